"""Which results folder a command reads and writes."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import BenchError
from bench.regular import path_of

if TYPE_CHECKING:
    from bench.grids.read import Loaded

PROJECT = Path(__file__).resolve().parents[2]


def results_dir(out: str) -> Path:
    """The folder given, or ``results/`` of the clone, or of the current folder where the package is installed."""
    if out:
        return path_of(out)
    return (PROJECT if (PROJECT / "pyproject.toml").exists() else Path.cwd()) / "results"


def local_results() -> Path:
    from bench.home import home

    return home() / "results"


def probe(folder: Path) -> None:
    """Raises BenchError where results cannot be written: better known before they are computed than after."""
    from bench import regular
    from bench.files import Folder
    from bench.store import images_files, scores_files

    Folder(folder).probe()
    for path in (folder / "scores.parquet", folder / "scores", folder / "images", *scores_files(folder), *images_files(folder)):
        regular.check(path)


def no_results(folder: Path) -> BenchError:
    """What a command says that reads a results folder without any."""
    return BenchError(
        f"no results in {folder}",
        expected="scores/",
        got="none",
        hint=f"python -m bench run --grid quick --out {shlex.quote(str(folder))}",
    )


def shadows(loaded: Loaded) -> bool:
    """Whether a user's file would write into the page of a built-in grid."""
    from bench.grids.read import builtin

    mine = builtin().get(loaded.grid.name)
    return mine is not None and mine != Path(loaded.source).resolve()
