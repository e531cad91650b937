"""The console script ``reconbench``: finds this project's packages, whatever the current folder holds.

``bench``, ``attacks`` and ``defenses`` are names that others use too. A folder of such a name in the current one would be imported instead,
where ``PYTHONPATH`` names the current folder, or is empty in a place.
"""

from __future__ import annotations

import os
import sys


def main() -> int:
    """Runs a command; the current folder comes last where modules are looked for, unless it is this project's own."""
    here, current = os.path.dirname(os.path.realpath(__file__)), os.path.realpath(os.curdir)
    if here != current:
        sys.path.sort(key=lambda place: os.path.realpath(place or os.curdir) == current)  # stable: the order of the others stays
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as in bench/__main__.py
    try:
        from bench.cli import main as command

        return command()
    except KeyboardInterrupt:  # while this was still being imported
        return 130
