"""From rows to groups: one group is a grid × setting (seed aside) × attack, over all its seeds.

Intervals answer for other seeds and other images: the bootstrap over seeds and, within each, its images, worked out exactly
(``bench.metrics.intervals.bootstrap_shares``). Nothing is averaged over survivors in silence: a group knows how many of its cells have no
scores, and why.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
import pandas as pd

from bench import seeds as streams
from bench.metrics.intervals import bootstrap_seeds, bootstrap_shares, wilson
from bench.report.kit.groups import FACTS, SETTING, Group, Theft, axis_of, setting_key
from bench.schema import metrics

NAMED = 3  # hyperparameters that a line's name holds, those at their defaults included
MEANS = (  # besides the statistics of every metric
    "auc", "tpr_at_1fpr", "precision", "precision_controls", "n_candidates", "n_submitted", "runs", "seconds_attack", "seconds_score",
    "peak_memory_mb", "attack_loss", "pool_mse_mean", "pool_ssim_mean", "pool_lpips_median", "beats_pool",
)  # fmt: skip
THEFT = (
    "planted_transfer_controls", "transfer_excess_controls", "watermark_p", "watermark_tpr", "n_clean", "planted_owner", "agreement",
    "thief_accuracy", "clean_accuracy", "queries_used", "seconds_attack", "test_accuracy", "attack_loss",
)  # fmt: skip
SELECTIONS = ("", "oracle_", "nn_", "haim_")  # prefixes of the recall columns
_NEEDED = (
    "grid", "cell_id", "target_id", "track", "attack", "attack_params", "attack_defaults", "sweep", "role", "access", "axis", "axis_index",
    "seed", "status", "protocol",
    "reason", "lpips_reason", "excess_recall", "n_members", "n_controls", "input_shape", *SETTING, *MEANS, *FACTS,
    *(f"{prefix}recall_{side}" for prefix in SELECTIONS for side in ("members", "controls")),
    "planted_transfer", "planted_transfer_clean", *(name for name in THEFT if name not in (*MEANS, *FACTS)),
)  # fmt: skip


FALSE_POSITIVES = 0.05  # at which an owner's claim stands
_COPIED = ("planted_transfer", "planted_transfer_clean", "n_clean")


def aggregate(scores: pd.DataFrame, images: pd.DataFrame | None = None) -> list[Group]:
    """All groups, in grid order; within a setting ranked by excess recall, groups without scores last.

    The recalls of the rows and their numbers of images give the hit counts, so image rows are not needed.

    Args:
        images: image rows. With them intervals of the track stealing pair each planted input with what clean networks answer to it;
            without, answers of clean networks count as independent of each other and of the copy's.
    """
    if scores.empty:
        return []
    records = _records(scores)
    keys = setting_key(scores).tolist()
    sections = _sections(records)
    grouped: dict[tuple[str, ...], list[int]] = {}
    for i, row in enumerate(records):
        identity = (row["grid"], keys[i], row["attack"] or "", row["attack_params"] or "", row["sweep"] or "", row["protocol"] or "")
        grouped.setdefault(identity, []).append(i)
    lines: dict[tuple[str, str, str], list[int]] = {}  # of one setting and attack, a record of each of its variants
    for (grid, key, attack, *_), members in grouped.items():
        lines.setdefault((grid, key, attack), []).append(members[0])
    planted = _beyond_clean(images)
    groups = []
    for (grid, key, attack, *_), members in grouped.items():
        others = [records[i] for i in lines[grid, key, attack]]
        variant = _variant(records[members[0]], others) if len(others) > 1 else ""
        rows = sorted((records[i] for i in members), key=lambda row: (row["seed"] or 0, row["cell_id"]))
        groups.append(_group(rows, sections[members[0]], variant, planted))
    return sorted(groups, key=_order)


def _records(scores: pd.DataFrame) -> list[dict[str, Any]]:
    """The needed columns row by row, as Python values, None where there is none. By column, which is several times faster than pandas'."""
    needed = (*_NEEDED, *measured())
    columns = [scores[name].to_numpy(dtype=object, na_value=None).tolist() for name in needed]
    return [dict(zip(needed, row, strict=True)) for row in zip(*columns, strict=True)]


def measured() -> list[str]:
    """The score columns that metrics bring."""
    return [column.name for metric in metrics() for column in metric.statistic_columns()]


def _order(group: Group) -> tuple[Any, ...]:
    excess = group.excess or (group.theft.excess if group.theft is not None else None)
    value = -math.inf if excess is None else excess.estimate
    return group.track, group.grid, group.section, group.axis_index, group.label, -value, group.role, group.name


def _beyond_clean(images: pd.DataFrame | None) -> dict[str, np.ndarray]:
    """Of each cell of the track stealing, for each planted input, whether its label came along, less the share of clean networks."""
    if images is None or "transferred" not in images:
        return {}
    planted = images[(images["split"] == "member") & images["transferred"].notna() & images["clean_rate"].notna()].sort_values("index")
    beyond = planted["transferred"] - planted["clean_rate"]
    return {str(cell): part.to_numpy(dtype=float) for cell, part in beyond.groupby(planted["cell_id"])}


def _group(rows: Sequence[Mapping[str, Any]], section: str, variant: str, planted: Mapping[str, np.ndarray]) -> Group:
    first = rows[0]
    group = Group(
        grid=first["grid"],
        section=section,
        axis=axis_of(first),
        axis_index=-1 if first["axis_index"] is None else int(first["axis_index"]),
        track=first["track"] or "reconstruction",
        attack=first["attack"] or "",
        variant=variant,
        role=first["role"] or "attack",
        access=first["access"] or "",
        setting={**{name: first[name] for name in SETTING}, "input_shape": first["input_shape"]},
        seeds=sorted({int(row["seed"] or 0) for row in rows}),
        counts=Counter(row["status"] for row in rows),
        reasons=[(int(row["seed"] or 0), row["status"], row["reason"] or "") for row in rows if row["status"] != "ok"],
    )
    for row in rows:
        if row["train_accuracy"] is not None:
            group.targets[row["target_id"]] = {name: row[name] for name in FACTS}
    copies = [row for row in rows if row["status"] == "ok" and row["n_members"] and all(row[name] is not None for name in _COPIED)]
    if copies:
        group.theft = _theft(copies, planted)
        group.hyperparameters = _hyperparameters(first) or {}
        group.cell_ids = {int(row["seed"] or 0): row["cell_id"] for row in copies}
    scored = [row for row in rows if row["status"] == "ok" and row["excess_recall"] is not None and row["n_members"] and row["n_controls"]]
    if not scored:
        return group
    group.per_seed = {int(row["seed"] or 0): float(row["excess_recall"]) for row in scored}
    group.hyperparameters = _hyperparameters(first) or {}
    group.cell_ids = {int(row["seed"] or 0): row["cell_id"] for row in scored}
    sizes = {side: np.array([row[f"n_{side}"] for row in scored], dtype=np.int64) for side in ("members", "controls")}
    hits: dict[str, np.ndarray] = {}
    for prefix in SELECTIONS:
        for side, n in sizes.items():
            shares = [row[f"{prefix}recall_{side}"] for row in scored]
            if all(share is not None for share in shares):
                hits[prefix + side] = np.rint(np.array(shares, dtype=float) * n).astype(np.int64)
                group.hits[prefix + side] = int(hits[prefix + side].sum()), int(n.sum())
    if "members" in hits and "controls" in hits:
        found = bootstrap_shares(hits["members"], sizes["members"], hits["controls"], sizes["controls"])
        group.excess, group.members, group.controls = found
    if all(f"oracle_{side}" in hits and np.array_equal(hits[f"oracle_{side}"], hits.get(side, ())) for side in sizes):
        group.oracle = group.excess  # nothing to choose from: every candidate was submitted
    elif "oracle_members" in hits and "oracle_controls" in hits:
        group.oracle, _, _ = bootstrap_shares(hits["oracle_members"], sizes["members"], hits["oracle_controls"], sizes["controls"])
    names = (*MEANS, *measured())
    table = np.array([[row[name] for row in scored] for name in names], dtype=float)  # None becomes NaN
    group.means = {name: None if math.isnan(mean) else mean for name, mean in zip(names, table.mean(axis=1).tolist(), strict=True)}
    group.lpips_reasons = sorted({row["lpips_reason"] for row in scored if row["lpips_median"] is None and row["lpips_reason"]})
    return group


def _theft(rows: Sequence[Mapping[str, Any]], planted: Mapping[str, np.ndarray]) -> Theft:
    """Intervals answer for other owners and other planted inputs.

    Args:
        planted: of each cell and planted input, by how much the label came along beyond clean networks; of other cells there is no telling.
    """
    n = np.array([row["n_members"] for row in rows], dtype=np.int64)
    clean_n = n * np.array([row["n_clean"] for row in rows], dtype=np.int64)
    hits = np.rint(np.array([row["planted_transfer"] for row in rows], dtype=float) * n).astype(np.int64)
    clean = np.rint(np.array([row["planted_transfer_clean"] for row in rows], dtype=float) * clean_n).astype(np.int64)
    excess, transfer, by_clean = bootstrap_shares(hits, n, clean, clean_n)
    if int(hits.sum()) in (0, int(n.sum())):  # a bootstrap of none or of all has no width
        transfer = wilson(int(hits.sum()), int(n.sum()))
    known = [planted[row["cell_id"]] for row in rows if row["cell_id"] in planted]
    if [len(one) for one in known] == n.tolist():  # some inputs are easy for every network
        rng = streams.numpy_generator("report", "theft", *(row["cell_id"] for row in rows))
        excess = excess._replace(**dict(zip(("low", "high"), bootstrap_seeds(known, [np.zeros(1)] * len(known), rng)[1:], strict=True)))
    table = np.array([[row[name] for row in rows] for name in THEFT], dtype=float)
    means = {name: None if math.isnan(mean) else mean for name, mean in zip(THEFT, table.mean(axis=1).tolist(), strict=True)}
    upheld = sum(row["watermark_p"] is not None and row["watermark_p"] <= FALSE_POSITIVES for row in rows)
    return Theft(excess, transfer, by_clean, len(rows), upheld, means)


def _sections(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """For each row the part of its grid that it is compared in.

    Rows of one grid and one axis label that differ in a setting field (after ``--set dataset=cifar10``, say) belong to different
    parts, named by those fields. Tracks and score protocols are parts of their own, whatever their settings.
    """
    settings_of = itemgetter(*SETTING)
    seen: dict[tuple[str, str, str], set[tuple[Any, ...]]] = {}
    tracks: dict[str, set[str]] = {}
    protocols: dict[str, set[str]] = {}
    for row in records:
        track = row["track"] or "reconstruction"
        tracks.setdefault(row["grid"], set()).add(track)
        protocols.setdefault(row["grid"], set()).add(row["protocol"] or "")
        seen.setdefault((row["grid"], track, row["axis"] or ""), set()).add(settings_of(row))
    varied: dict[tuple[str, str], set[str]] = {}
    for (grid, track, _), found in seen.items():
        differ = varied.setdefault((grid, track), set())
        differ.update(name for name, values in zip(SETTING, zip(*found, strict=True), strict=True) if len(set(values)) > 1)
    result = []
    for row in records:
        track = row["track"] or "reconstruction"
        differ = varied[row["grid"], track]
        names = [name for name in SETTING if name in differ] if differ else []
        if "dataset_display" in names and "dataset" in names:
            names.remove("dataset")
        parts = [f"track {track}"] if len(tracks[row["grid"]]) > 1 else []
        parts += [f"score protocol {row['protocol']}"] if len(protocols[row["grid"]]) > 1 else []
        result.append(", ".join([*parts, *(f"{name.removesuffix('_display')} = {row[name]}" for name in names)]))
    return result


def _variant(row: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> str:
    """The hyperparameters that tell a line from the others of its attack, where the rows know them all.

    Those at their defaults are among them as long as they are few; where many differ, a line is named by what its grid sets.
    """
    every = [_hyperparameters(other) for other in others]
    mine = _hyperparameters(row)
    if mine is None or any(other is None for other in every):
        return "; ".join(_short(text) for text in (row["attack_params"], row["sweep"]) if text not in (None, "", "{}")) or "defaults"
    known = [other for other in every if other is not None]
    # in alphabetical order: a line has one name at every axis value, wherever its hyperparameters stood
    names = [name for name in sorted({n for other in known for n in other}) if len({repr(other.get(name)) for other in known}) > 1]
    if len(names) > NAMED:
        names = sorted(json.loads(row["attack_params"] or "{}"))
    parts = [f"{name}={mine[name]}" for name in names if name in mine]
    texts = [", ".join(parts), _short(row["sweep"]) if row["sweep"] else ""]
    return "; ".join(text for text in texts if text) or "defaults"


def _hyperparameters(row: Mapping[str, Any]) -> dict[str, Any] | None:
    """All hyperparameters of a row's attack, or None where the row, an old one, does not tell its defaults."""
    try:
        defaults, params = json.loads(row["attack_defaults"] or ""), json.loads(row["attack_params"] or "{}")
    except ValueError:
        return None
    return {**params, **defaults} if isinstance(defaults, dict) and isinstance(params, dict) else None


def _short(text: str) -> str:
    """Hyperparameters or a sweep, as a few words."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    if not isinstance(value, dict):
        return text
    if "runs" in value and "ranges" in value:
        return f"{value['runs']} runs over {', '.join(value['ranges'] or ['nothing'])}"
    return ", ".join(f"{k}={v}" for k, v in value.items())
