"""How much privacy stops reconstruction of a record from a noisy regression: ``python -m bench ridge``.

``experiment``  output-perturbed ridge regression, its closed-form attack, theory and lower bound
``page``        writes them up, and draws them

Everything measured becomes a row of one table, ``ridge.parquet``; page and figures are made of that table alone. A run replaces the rows of
its data set, and those of the records drawn from a ball, and leaves those of other data sets.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench import measured
from bench.errors import BenchError

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = {
    "dataset": "string",  # of part ball: ball
    "dataset_display": "string",  # as tables name it
    "part": "string",  # ball | images
    "d": "int64",  # dimensions of a record
    "rho": "float64",  # of ρ-zCDP
    "index": "int64",  # missing record
    "measure": "string",  # what value is
    "value": "float64",
}


def ridge(dataset: str, seed: int, folder: Path) -> Path:
    """Measures one data set and the records from a ball, merges the rows into the folder's table, renders it, and returns the page.

    Args:
        dataset: as in a setting.
        folder: results folder.

    Raises:
        BenchError: an unknown data set, a negative seed, or a folder that cannot be written.
    """
    if seed < 0:
        raise BenchError(f"--seed {seed}: not understood", expected="a whole number, 0 or more", got=str(seed), hint="--seed 0")
    import pandas as pd

    from bench import registry
    from bench.files import Folder
    from bench.ridge import experiment, page
    from bench.say import say
    from bench.store import atomic_write

    Folder(folder).probe()
    images = registry.resolve_data(dataset).load()
    before = read(folder)
    rows = [{"dataset": "ball", "dataset_display": "a ball", **row} for row in experiment.synthetic(seed)]
    say(f"records from a ball: {len(rows)} rows")
    rows += [{"dataset": dataset, "dataset_display": images.display, **row} for row in experiment.of_images(images, seed)]
    kept = before[~before["dataset"].isin([dataset, "ball"])]
    whole = pd.concat([kept, frame(rows)], ignore_index=True) if len(kept) else frame(rows)
    whole = whole.sort_values("dataset", kind="stable", ignore_index=True)
    buffer = io.BytesIO()
    whole.to_parquet(buffer, index=False, compression="zstd")
    atomic_write(folder / "ridge.parquet", buffer.getvalue())
    return page.render(whole, folder)


def frame(rows: Sequence[dict[str, object]]) -> pd.DataFrame:
    """Rows as the table, every column there and of its type."""
    return measured.frame(rows, COLUMNS)


def read(folder: Path) -> pd.DataFrame:
    """The folder's table; empty where there is none.

    Raises:
        BenchError: a file that is no such table.
    """
    return measured.read(folder / "ridge.parquet", COLUMNS)
