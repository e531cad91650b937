"""reconbench for Python: ``audit``, ``run``, ``load_results``; and the console script of that name.

>>> import reconbench
>>> found = reconbench.audit(model, members, controls)  # an nn.Module; tensors, arrays, Datasets or DataLoaders
>>> found.outcome, found.verdict, found.table, found.images

The script finds this project's packages, whatever the current folder holds.

``bench``, ``attacks`` and ``defenses`` are names that others use too. A folder of such a name in the current one would be imported instead,
where ``PYTHONPATH`` names the current folder, or is empty in a place.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from bench.audit.python import Audit, audit

__all__ = ["Audit", "audit", "load_results", "main", "run"]


def __getattr__(name: str) -> Any:
    """What is imported when it is first asked for: it brings PyTorch."""
    if name not in ("Audit", "audit"):
        raise AttributeError(f"module 'reconbench' has no attribute {name!r}")
    from bench.audit import python

    return getattr(python, name)


def run(grid: str, *options: str) -> pd.DataFrame:
    """Runs a grid as ``python -m bench run --grid NAME`` does, and returns the scores of its rows.

    Args:
        options: more words of the command, such as ``"--seeds", "0"``. Without ``--out`` nothing is published.

    Raises:
        BenchError: the command was refused, or cells have failed.
    """
    import tempfile

    from bench.cli import main as command
    from bench.errors import BenchError
    from bench.store import load_results as load

    words = list(options)
    with tempfile.TemporaryDirectory() as scratch:
        if "--out" not in words:
            words += ["--out", scratch]
        code = command(["run", "--grid", grid, *words])
        if code != 0:
            raise BenchError(
                f"grid {grid} did not run to its end", expected="exit code 0", got=str(code), hint="the messages above say why"
            )
        return load(words[words.index("--out") + 1])[0]


def load_results(folder: Path | str = "") -> tuple[pd.DataFrame, pd.DataFrame]:
    """(scores, images) of a results folder; by default the published ones of this project.

    Rows of verified submissions are among them, and say who and when (columns ``submission``, ``submitted_by``, ``submitted_at``).

    Raises:
        BenchError: a file is corrupt, or of a newer schema version.
    """
    from bench.store import load_everyones as load

    return load(folder or os.path.join(os.path.dirname(os.path.realpath(__file__)), "results"))


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
