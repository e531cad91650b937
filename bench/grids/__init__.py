"""Grids: YAML files that span settings, attacks and seeds. ``load`` reads and validates them."""
