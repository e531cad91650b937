"""The engine: plans the cells of a grid, runs them, and loses nothing. Each file knows only those before it.

===============  ======================================================================
``plan``         from a grid to cells, with ``prepare`` and ``kinds`` (attacks), ``sweeps`` and ``runs`` (draws), ``checks`` (what is
                 refused), ``canonical`` (keys)
``rows``         a cell as a row, with ``provenance``; ``stored``: what the store has of them
``stacks``       how cells are cut so that each part fits in memory
``training``     targets, a stack at a time
``batch``        cells of one attack, with ``attack`` (their runs) and ``answers`` (as they are kept)
``rescore``      kept answers, scored again
``messages``     what a run and its workers say to each other; ``queue``: what is left to do, and who does it
``executors``    where batches run: ``serial``, ``workers``, ``ray``
``run``          the whole of it
===============  ======================================================================

``progress`` is what a person sees meanwhile; ``debug`` stops where an attack has raised.
"""

from bench import posix

posix.check()  # also for whoever imports it without the command line
