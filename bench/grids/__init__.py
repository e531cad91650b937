"""Grids: YAML files that span settings, attacks and seeds.

============  ==========================================================================
``model``     what a grid is, field by field
``syntax``    YAML text as plain data
``faults``    what is wrong with a field, in words
``points``    the settings of a grid, one for each combination of axis values and seed
``select``    parts of a grid: ``--set``, ``--attack``, ``--seeds``
``read``      a grid by name or by path, checked
``promised``  the seeds that a built-in grid fixes in advance
============  ==========================================================================
"""
