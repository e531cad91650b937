"""What the pages say of the stealing track: planted labels that came along with a copy, beside what never having seen the owner gives.

These lines are ranked by the excess of transfer, in tables of their own: nothing is rebuilt here, so nothing is compared with SSIM.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

from bench.metrics.intervals import Interval
from bench.report.kit import figures
from bench.report.kit.groups import Group, axis_names
from bench.report.kit.text import NONE, attack_name, escape, general, interval, number, seconds, table

TRACK = "stealing"
ORACLE = {"query_labels", "queries", "input_gradients"}  # tiers of a thief that asks


def mine(groups: Sequence[Group]) -> bool:
    """Whether these groups are of this track; groups of one section are of one track."""
    return bool(groups) and all(group.track == TRACK for group in groups)


def _per_cent(value: float | None) -> str:
    return NONE if value is None else f"{100 * value:.1f} %"


def ranking(groups: Sequence[Group]) -> list[str]:
    """Attacks and controls, ranked within each axis value by the excess of transfer."""
    names = axis_names(groups) if any(group.axis for group in groups) else []
    head = [
        *(escape(name) for name in names), "#", "attack", "access", "asks about", "thief", "transfer − clean [95 % CI]",
        "planted labels [95 % CI]", "unplanted labels", "by clean networks", "claim upheld", "mean p", "agreement", "thief's accuracy",
        "answers", "time", "seeds", "coverage",
    ]  # fmt: skip
    rows, place, before = [], 0, None
    for group in groups:
        value = (group.axis_index, group.label)
        place = 1 if value != before else place + 1
        start, before = value != before, value
        labels = [escape(group.axis.get(name, "")) if start else "" for name in names]
        access = escape(" + ".join(tier.replace("_", " ") for tier in group.access.split("+")))
        coverage = f"{group.ok}/{group.cells} ok" if group.ok == group.cells else f"**{group.ok}/{group.cells} ok**"
        found = group.theft
        if found is None:
            rows.append([*labels, NONE, attack_name(group), access, *_means(group), *[NONE] * 10, "0", coverage])
            continue
        m = found.means
        bold = "**" if group.role == "attack" and found.excess.low > 0 and found.cells > 1 else ""
        transfer = found.transfer
        rows.append(
            [
                *labels,
                str(place),
                attack_name(group),
                access,
                *_means(group),
                f"{bold}{interval(found.excess)}{bold}",
                f"{100 * transfer.estimate:.1f} % [{100 * transfer.low:.0f}, {100 * transfer.high:.0f}]",
                _per_cent(m["planted_transfer_controls"]),
                _per_cent(found.clean.estimate),
                f"{found.upheld} / {found.cells}",
                number(m["watermark_p"], 3),
                _per_cent(m["agreement"]),
                _per_cent(m["thief_accuracy"]),
                general(m["queries_used"]),
                seconds(m["seconds_attack"]),
                str(found.cells),
                coverage,
            ]
        )
    first = len(names)
    return [*table(head, rows, right=[first, *range(first + 5, len(head) - 1)]), ""]


def _means(group: Group) -> list[str]:
    """What a thief asks about, and its architecture, by its hyperparameters; dashes where they do not tell."""
    own = group.hyperparameters
    source = str(own["source"]).replace("_", " ") if "source" in own and ORACLE & set(group.access.split("+")) else ""
    noise = f", σ {general(own['noise'])}" if source == "perturbed" and isinstance(own.get("noise"), int | float) else ""
    if own.get("model") == "same":
        thief = "as the owner's"
    else:
        layers = (own.get("channels") if own.get("model") == "cnn" else None, own.get("hidden"))
        thief = " ".join([str(own.get("model", "")), *("-".join(map(str, part)) for part in layers if isinstance(part, list))]).strip()
    return [escape(source + noise) or NONE, escape(thief) or NONE]


def section(groups: Sequence[Group]) -> list[str]:
    """The lines of a page for the groups of one section: how to read them, what comes along by access, and the owners."""
    lines = [
        "**Planted labels** are the share of planted inputs to which the thief's network gives the label that the owner planted.",
        "**Unplanted labels** are the same of inputs of the same kind, with labels drawn alike, that nobody planted; **by clean",
        "networks** the same of networks of the owner's architecture that were trained on right labels and never saw the owner.",
        "Intervals are over seeds and inputs; that of the difference pairs each input with the clean networks' answers to it.",
        "**Claim upheld**: copies for which the owner's claim stands at a false positive rate of 5 %: a copy's rank among the clean",
        "networks of its owner is a p-value, and is at most 0.05, which takes more planted labels than any of 20 have. **Mean p** is its",
        "mean over the owners, itself no p-value; with 20 clean networks none is below 0.048.",
        "**Answers** are those that the owner's network gave: one an image, and one more for each gradient.",
        "",
    ]
    return [*lines, "### Ranking", "", *ranking(groups), *_by_access(groups), "### Owners", "", *_owners(groups)]


def _by_access(groups: Sequence[Group]) -> list[str]:
    """For each setting, whether intervals of thieves with less access and with more overlap, each by its strongest line; and whether those
    that are told labels alone are apart from clean networks.
    """
    names = axis_names(groups) if any(group.axis for group in groups) else []
    lines: list[str] = []
    labels: list[str] = []
    by_setting: dict[tuple[int, str], list[Group]] = {}
    for group in groups:
        by_setting.setdefault((group.axis_index, group.label), []).append(group)
    for found in by_setting.values():
        best: dict[str, Group] = {}
        for group in found:
            if group.role == "attack" and group.theft is not None:
                other = best.get(group.attack)
                if other is None or other.theft is None or group.theft.excess.estimate > other.theft.excess.estimate:
                    best[group.attack] = group
        ordered = sorted((g.theft.transfer.estimate, name) for name, g in best.items() if g.theft is not None)
        where = ", ".join(escape(found[0].axis.get(name, "")) for name in names) or "all"
        labels += [
            f"- {where}: {escape(group.name)} is {_against_clean(group.theft.excess)} ({interval(group.theft.excess)})."
            for group in found
            if group.role == "attack" and group.theft is not None and ORACLE & set(group.access.split("+")) == {"query_labels"}
        ]
        for (_, low), (_, high) in itertools.pairwise(ordered):
            a, b = best[low].theft, best[high].theft
            assert a is not None
            assert b is not None
            word = "do not overlap" if a.transfer.high < b.transfer.low else "overlap"
            lines.append(f"- {where}: the intervals of {escape(best[low].name)} and {escape(best[high].name)} {word}.")
    result = ["The strongest line of each attack, next to next:", "", *lines, ""] if lines else []
    if labels:
        result += ["Thieves that are told labels alone, against clean networks on the same inputs:", "", *labels, ""]
    return ["### By access", "", *result] if result else []


def _against_clean(excess: Interval) -> str:
    """Where the interval of transfer less that of the clean networks lies, in words."""
    if excess.low > 0:
        return "**above** the clean level"
    return "**below** the clean level" if excess.high < 0 else "not apart from the clean level"


def _owners(groups: Sequence[Group]) -> list[str]:
    names = axis_names(groups) if any(group.axis for group in groups) else []
    rows = []
    seen: set[tuple[int, str]] = set()
    for group in groups:
        key = (group.axis_index, group.label)
        if group.theft is None or key in seen:
            continue
        seen.add(key)
        m = group.theft.means
        rows.append(
            [
                *([escape(group.axis.get(name, "")) for name in names] or ["all"]),
                escape(f"{group.setting.get('defense')} {group.setting.get('defense_params') or ''}"),
                _per_cent(m["planted_owner"]),
                _per_cent(m["test_accuracy"]),
                _per_cent(m["clean_accuracy"]),
                general(m["n_clean"]),
            ]
        )
    head = [*(escape(name) for name in names)] or ["setting"]
    columns = [*head, "defence", "planted labels memorised", "owner's test accuracy", "that of clean networks", "clean networks an owner"]
    return [*table(columns, rows, right=range(len(head) + 1, len(columns))), ""]


def figure(groups: Sequence[Group], title: str) -> bytes | None:
    """PNG of the excess of transfer against the axis; None where no line of this track has scores."""
    shown = [dataclasses.replace(g, excess=g.theft.excess) for g in groups if g.track == TRACK and g.theft is not None]
    return figures.excess(shown, title, "planted labels that came along\n(thief − clean networks)")
