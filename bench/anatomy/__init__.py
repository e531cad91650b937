"""What goes on inside: which units die, how far weights move, and what the parts of a network remember. ``python -m bench anatomy``.

``dynamics``   units that fall silent and weights that move, against epochs, by activation
``portrait``   one ReLU network: its first layer, redundant parts greyed out, and what is rebuilt from which parameters
``figures``    draws both
``page``       writes them up

Everything measured becomes a row of one table, ``anatomy.parquet``; page and figures are made of that table alone. A run replaces the rows
of its data set and leaves those of others.
"""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from bench import measured
from bench.api import Activation
from bench.errors import BenchError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

ACTIVATIONS: tuple[str, ...] = get_args(Activation)
SEEDS = 3  # networks a curve, and portraits
COLUMNS = {
    "dataset": "string",
    "dataset_display": "string",  # as tables name it
    "part": "string",  # dynamics | first_layer | rebuilt
    "recipe": "string",  # informed | kkt: the track whose targets these are
    "activation": "string",
    "seed": "int64",
    "epoch": "int64",  # dynamics
    "measure": "string",  # what value is
    "index": "int64",  # layer (dynamics), hidden unit (first_layer), target (rebuilt)
    "value": "float64",
    "png": "binary",  # first_layer, rebuilt: the picture
}


def anatomy(dataset: str, activations: Sequence[str], seed: int, folder: Path) -> Path:
    """Measures one data set, merges the rows into the folder's table, renders it, and returns the page.

    Args:
        dataset: as in a setting.
        activations: of the training curves; the portrait is of ReLU networks.
        seed: the first of three.
        folder: results folder.

    Raises:
        BenchError: an unknown activation or data set, a negative seed, or a folder that cannot be written.
    """
    for name in activations:
        if name not in ACTIVATIONS:
            raise BenchError(
                f"--activation {name}: not known.{did_you_mean(name, ACTIVATIONS)}",
                expected="one of " + ", ".join(ACTIVATIONS),
                got=repr(name),
                hint="--activation relu --activation elu",
            )
    if seed < 0:
        raise BenchError(f"--seed {seed}: not understood", expected="a whole number, 0 or more", got=str(seed), hint="--seed 0")
    import pandas as pd

    from bench import registry
    from bench.anatomy import dynamics, page, portrait
    from bench.files import Folder
    from bench.say import say
    from bench.store import atomic_write
    from bench.targets.cache import TargetCache

    Folder(folder).probe()
    images = registry.resolve_data(dataset).load()
    before = read(folder)
    seeds = range(seed, seed + SEEDS)
    rows: list[dict[str, object]] = []
    began = time.perf_counter()
    for name in dict.fromkeys(activations):
        rows += dynamics.curves(images, name, seeds)
        say(f"training curves, {name}: {time.perf_counter() - began:.0f} s")
    for one in seeds:
        rows += portrait.portrait(images, one, TargetCache())
        say(f"portrait, seed {one}: {time.perf_counter() - began:.0f} s")
    fresh = frame([{"dataset": dataset, "dataset_display": images.display, **row} for row in rows])
    kept = before[before["dataset"] != dataset]
    whole = pd.concat([kept, fresh], ignore_index=True) if len(kept) else fresh
    whole = whole.sort_values("dataset", kind="stable", ignore_index=True)
    buffer = io.BytesIO()
    whole.to_parquet(buffer, index=False, compression="zstd")
    atomic_write(folder / "anatomy.parquet", buffer.getvalue())
    return page.render(whole, folder)


def frame(rows: Sequence[dict[str, object]]) -> pd.DataFrame:
    """Rows as the table, every column there and of its type."""
    return measured.frame(rows, COLUMNS)


def read(folder: Path) -> pd.DataFrame:
    """The folder's table; empty where there is none.

    Raises:
        BenchError: a file that is no such table.
    """
    return measured.read(folder / "anatomy.parquet", COLUMNS)
