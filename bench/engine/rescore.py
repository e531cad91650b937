"""Scores kept reconstructions again, without attacking: for a new metric, or a protocol that has changed.

Where the protocol is another than the row's, the scores become a row of another cell, and the answer is kept under that cell's id as well;
the row of the older protocol stays in the store as it was.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from bench import registry, tracks
from bench.api import Row, Secret, Setting
from bench.engine.answers import Answer, keep, kept
from bench.engine.judge import judge
from bench.engine.plan import id_of, protocol_of
from bench.engine.progress import Progress, Silent
from bench.engine.stored import cache_of, reconstructions
from bench.errors import BenchError
from bench.faults import blame
from bench.grids.read import options_of
from bench.store import Store
from bench.targets.cache import target_id

OF_TARGET = ("margin", "multiplier", "span_share")  # of image rows: they follow from the network
OF_BOTH = ("pattern_oracle_members", "pattern_oracle_controls", "exact_controls")  # of score rows: from the network and the protocol
OF_NETWORK = ("margin_auc",)  # of score rows: from the network alone; rows that are older than such a column get it where the network is
IDENTIFIED = ("target_id", "attack", "attack_params", "sweep", "attack_version")  # as `id_of` takes them
LATER = ("channels", "kernel", "pooling", "batch_size")  # fields of settings that only some networks have


def rescore(
    rows: Store, grid: str | None, progress: Progress | None = None, only: Collection[str] | None = None
) -> tuple[list[Row], dict[str, list[str]]]:
    """Scores kept reconstructions again, by the protocols in force, without attacking, and stores the new rows.

    Args:
        grid: only the rows of this one.
        only: cell ids; no others.

    Returns:
        The new score rows, and for each reason why cells could not be scored these cells in words: their reconstructions are not here,
        or their data are not, or are others than those attacked.
    """
    progress = progress or Silent()
    frame = rows.rows()
    frame = frame[frame["status"] == "ok"]
    if grid is not None:
        frame = frame[frame["grid"] == grid]
    if only is not None:
        frame = frame[frame["cell_id"].isin(list(only))]
    frame = _not_superseded(frame)
    frame = frame.sort_values(["target_id", "cell_id"], kind="stable")
    progress.start(len(frame), task="score")
    fresh: list[Row] = []
    missing: dict[str, list[str]] = {}
    drawn: tuple[Any, Secret] | None = None  # of the last track and target; the rows come target by target
    before = rows.images(frame["cell_id"]).set_index(["cell_id", "split", "index"])[list(OF_TARGET)]
    try:
        for row in frame.to_dict("records"):
            row = {str(name): None if _null(value) else value for name, value in row.items()}
            name = f"{row['grid']}: {row['attack']} on {row['dataset']}, seed {row['seed']} [{row['cell_id']}]"
            track, earlier, cell = row["track"] or tracks.DEFAULT, row["cell_id"], _id_now(row)
            began = time.perf_counter()
            try:
                candidates = _kept(row)
                whose = (track, row["target_id"], _lacking(row))  # tracks may share targets, each with a secret of its own
                if drawn is None or drawn[0] != whose:
                    drawn = (whose, _secret(row))
            except Exception as error:  # data may come from a plug-in, which may raise anything
                reason = blame(error)
                missing.setdefault(reason, []).append(name)
                progress.finished(name, "missing", reason)
                continue
            if cell != earlier:
                keep(reconstructions(), cell, candidates, track)
                row |= {**dict.fromkeys(OF_BOTH), "cell_id": cell, "protocol": protocol_of(track)}
            scores, images = judge(cell, candidates, drawn[1], track, None if row["gallery"] is None else int(row["gallery"]))
            if scores.get("sweep_runs"):
                scores["sweep_runs"] = _with_draws(scores["sweep_runs"], row["sweep_runs"])
            _carry_over(before, earlier, images)
            row = {**row, **scores, "finished_at": None, "seconds_score": time.perf_counter() - began}
            rows.append([row], images)
            fresh.append(row)
            progress.finished(name, "ok", "")
    finally:
        progress.close()
    return fresh, missing


def _id_now(row: Mapping[str, Any]) -> str:
    """The id of a row's cell under the protocol in force."""
    protocol = protocol_of(row["track"] or tracks.DEFAULT)
    if row["protocol"] == protocol:
        return str(row["cell_id"])
    target, attack, params, sweep, version = (row[name] for name in IDENTIFIED)
    return id_of(target, attack, params, sweep, version, protocol)


def _not_superseded(frame: pd.DataFrame) -> pd.DataFrame:
    """Without rows of an earlier protocol beside which there is the row of the one in force."""
    facts = frame[["grid", "cell_id", "track", "protocol", *IDENTIFIED]].astype("object")
    now = [(row["grid"], row["cell_id"], _id_now(row)) for row in facts.where(facts.notna(), None).to_dict("records")]
    here = {(grid, cell) for grid, cell, _ in now}
    return frame.loc[pd.Series([cell == then or (grid, then) not in here for grid, cell, then in now], index=frame.index, dtype=bool)]


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
    track = row["track"] or tracks.DEFAULT
    work, cache = tracks.get(track).work, cache_of(False)
    # what follows from the network and the protocol both is had where the network is at hand, if the row is to be of another protocol
    changed, lacking = _id_now(row) != row["cell_id"], _lacking(row)
    same = (changed or lacking) and target_id(setting, digest, track) == row["target_id"]
    if not same or cache.get(row["target_id"]) is None:
        return work.secret_of(setting)
    found: Any = work.obtain([setting], cache, "cpu")[0].secret
    if changed:
        return found  # type: ignore[no-any-return]
    secret: Any = work.secret_of(setting)
    return replace(secret, findable={**secret.findable, **{name: found.findable.get(name) for name in lacking}})


def _lacking(row: Row) -> tuple[str, ...]:
    """The columns of its track that follow from the network alone and that a row does not have yet."""
    known = {column.name for column in tracks.get(row["track"] or tracks.DEFAULT).columns("scores")}
    return tuple(name for name in OF_NETWORK if name in known and row.get(name) is None)


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
