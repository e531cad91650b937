"""Scores kept reconstructions again, without attacking: for a new metric, or a protocol that has changed."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from bench import registry, tracks
from bench.api import Row, Secret, Setting
from bench.engine.answers import Answer, kept
from bench.engine.batch import judge
from bench.engine.faults import blame
from bench.engine.progress import Progress, Silent
from bench.engine.stored import reconstructions
from bench.errors import BenchError
from bench.grids.read import options_of
from bench.store import Store

OF_TARGET = ("margin", "multiplier", "span_share")  # of image rows: they follow from the network
LATER = ("channels", "kernel", "pooling", "batch_size")  # fields of settings that only some networks have


def rescore(rows: Store, grid: str | None, progress: Progress | None = None) -> tuple[list[Row], dict[str, list[str]]]:
    """Scores kept reconstructions again, without attacking, and stores the new rows.

    Returns:
        The new score rows, and for each reason why cells could not be scored these cells in words: their reconstructions are not here,
        or their data are not, or are others than those attacked.
    """
    progress = progress or Silent()
    frame = rows.rows()
    frame = frame[frame["status"] == "ok"]
    if grid is not None:
        frame = frame[frame["grid"] == grid]
    frame = frame.sort_values(["target_id", "cell_id"], kind="stable")
    progress.start(len(frame), task="score")
    fresh: list[Row] = []
    missing: dict[str, list[str]] = {}
    drawn: tuple[tuple[str, str], Secret] | None = None  # of the last track and target; the rows come target by target
    before = rows.images(frame["cell_id"]).set_index(["cell_id", "split", "index"])[list(OF_TARGET)]
    try:
        for row in frame.to_dict("records"):
            row = {str(name): None if _null(value) else value for name, value in row.items()}
            name = f"{row['grid']}: {row['attack']} on {row['dataset']}, seed {row['seed']} [{row['cell_id']}]"
            began = time.perf_counter()
            try:
                candidates = _kept(row)
                whose = (row["track"] or tracks.DEFAULT, row["target_id"])  # tracks may share targets, each with a secret of its own
                if drawn is None or drawn[0] != whose:
                    drawn = (whose, _secret(row))
            except Exception as error:  # data may come from a plug-in, which may raise anything
                reason = blame(error)
                missing.setdefault(reason, []).append(name)
                progress.finished(name, "missing", reason)
                continue
            scores, images = judge(
                row["cell_id"],
                candidates,
                drawn[1],
                row["track"] or tracks.DEFAULT,
                None if row["gallery"] is None else int(row["gallery"]),
            )
            if scores.get("sweep_runs"):
                scores["sweep_runs"] = _with_draws(scores["sweep_runs"], row["sweep_runs"])
            _carry_over(before, row["cell_id"], images)
            row = {**row, **scores, "finished_at": None, "seconds_score": time.perf_counter() - began}
            rows.append([row], images)
            fresh.append(row)
            progress.finished(name, "ok", "")
    finally:
        progress.close()
    return fresh, missing


def _with_draws(scored: Sequence[Row], before: str | None) -> list[Row]:
    """What the row said of each run, its draw and its objective, with the new scores of those that are scored."""
    said = {run["run"]: run for run in json.loads(before or "[]")}
    fresh = {run["run"]: run for run in scored}
    return [{**said.get(k, {}), **fresh.get(k, {})} for k in sorted({*said, *fresh})]


def _carry_over(before: pd.DataFrame, cell: str, images: Sequence[Row]) -> None:
    """Numbers of image rows that follow from the target, which scoring again does not have."""
    known = before.loc[[cell]].to_dict("index") if cell in before.index else {}
    for row in images:
        found = known.get((cell, row["split"], row["index"]), {})
        row |= {str(name): None if _null(value) else value for name, value in found.items()}


def _kept(row: Row) -> Answer:
    """The kept reconstructions of a row's cell.

    Raises:
        BenchError: there are none, or their file is corrupt.
    """
    candidates = kept(reconstructions(), row["cell_id"], row["track"] or tracks.DEFAULT)
    if candidates is None:
        grid = options_of(row["grid"]) or f"--grid FILE.yaml (the file of grid '{row['grid']}')"
        raise BenchError(f"no reconstructions in {reconstructions()}", hint=f"python -m bench run --no-cache {grid}, which attacks again")
    return candidates


def _secret(row: Row) -> Secret:
    """The secret that a row was scored against, drawn again.

    Raises:
        BenchError: the data are not here, or are others by now.
    """
    setting = setting_of(row)
    digest = registry.resolve_data(setting.dataset).digest()
    if row["data_digest"] not in (None, digest):
        raise BenchError(
            f"data set '{setting.dataset}' holds other images now than those attacked",
            expected=f"digest {row['data_digest']}",
            got=digest,
            hint="bring the earlier copy back, or run the grid again",
        )
    return tracks.get(row["track"] or tracks.DEFAULT).work.secret_of(setting)


def setting_of(row: Mapping[str, Any]) -> Setting:
    """The setting that a score row was made from."""
    fields = {name: row[name] for name in Setting.model_fields if name in row and name not in LATER}
    if row["model"] == "cnn":
        fields |= {"channels": tuple(int(width) for width in str(row["channels"]).split("-"))}
        fields |= {"kernel": int(row["kernel"]), "pooling": row["pooling"]}
    if row["optimizer"] == "adam":
        fields["batch_size"] = int(row["batch_size"])
    fields["classes"] = row["classes"] if row["classes"] == "binary" else int(row["classes"])
    fields["hidden"] = tuple(int(width) for width in str(row["hidden"]).split("-"))
    fields["defense_params"] = json.loads(row["defense_params"] or "{}")
    return Setting.model_validate(fields)


def _null(value: Any) -> bool:
    return value is pd.NaT or (isinstance(value, float) and math.isnan(value)) or value is pd.NA
