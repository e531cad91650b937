"""A cell as a row of the table: what is known of it before anything runs, and what became of it."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench import registry
from bench.api import Row
from bench.engine.plan import Cell, protocol_of
from bench.engine.provenance import provenance
from bench.engine.sources import source_of
from bench.grids.model import Grid
from bench.store import setting_row


@dataclass(frozen=True)
class Result:
    """What became of one cell."""

    cell: Cell
    row: Row
    images: list[Row]

    @property
    def status(self) -> str:
        """ok, skipped, failed or timeout."""
        return str(self.row["status"])

    @property
    def reason(self) -> str:
        """Why the status is not ok."""
        return str(self.row["reason"])


def failed(cell: Cell, grid: Grid, reason: str, more: Mapping[str, Any] | None = None, status: str = "failed") -> Result:
    """A row without scores: the cell failed, or was skipped, for this reason."""
    return Result(cell, {**describe(cell, grid), **(more or {}), "status": status, "reason": reason}, [])


def describe(cell: Cell, grid: Grid) -> Row:
    """The columns of a row that are known before anything runs."""
    shape = cell.architecture.input_shape if cell.architecture is not None else None
    return {
        **setting_row(cell.setting),
        "defense_against": "+".join(registry.get("defense", cell.setting.defense).against) or None,
        **labels(cell, grid),
        "protocol": protocol_of(cell.attack.track),
        "track": cell.attack.track,
        "cell_id": cell.id,
        "target_id": cell.target_id,
        "attack": cell.attack.spec.name,
        "attack_version": cell.attack.version,
        "attack_source": source_of(cell.attack.cls) if cell.attack.cls is not None else None,
        "attack_params": cell.attack.params_json,
        "attack_defaults": cell.attack.defaults_json,
        "sweep": cell.attack.sweep_json,
        "role": cell.attack.role,
        "access": cell.attack.access,
        "dataset_display": display_name(cell.setting.dataset) if shape is not None else cell.setting.dataset,
        "input_shape": "x".join(str(side) for side in shape) if shape is not None else None,
        "data_digest": cell.data_digest,
        **provenance(),
    }


def labels(cell: Cell, grid: Grid) -> Row:
    """The columns that belong to the grid and not to the cell; rewritten when a cell is shared by two grids."""
    return {
        "grid": grid.name,
        "grid_title": grid.title or grid.name,
        "grid_question": grid.question,
        "grid_published": json.dumps([figure.model_dump() for figure in grid.published], ensure_ascii=False) if grid.published else None,
        "gallery": grid.gallery,
        "axis": json.dumps(dict(cell.axis), ensure_ascii=False),
        "axis_index": cell.axis_index,
    }


@functools.cache
def display_name(dataset: str) -> str:
    """The data set as tables name it."""
    return str(registry.resolve_data(dataset).load().display)


def in_words(cell: Cell) -> str:
    """A cell as messages name it."""
    axis = ", ".join(f"{name}={label}" for name, label in cell.axis.items())
    return f"{cell.attack.spec.name}" + (f" on {axis}" if axis else "") + f", seed {cell.setting.seed} [{cell.id}]"
