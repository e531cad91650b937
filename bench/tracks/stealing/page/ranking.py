"""What the pages say of the track stealing: planted labels that came along with a copy, beside what never having seen the owner gives.

Nothing is rebuilt here, so nothing is compared with SSIM.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import ClassVar

from bench.api import Headline, Section
from bench.metrics.intervals import Interval
from bench.report.kit.groups import Group, axis_names
from bench.report.kit.page import Page
from bench.report.kit.ranking import TIME, Column, Ranking, headline_columns
from bench.report.kit.settings import compared
from bench.report.kit.text import NONE, axis_heads, axis_labels, escape, few, general, hits, interval, number, table
from bench.tracks.stealing.page.summary import FALSE_POSITIVES

ORACLE = {"query_labels", "queries", "input_gradients"}  # tiers of a thief that asks

HOW_TO_READ = (
    "**Planted labels** are the share of planted inputs to which the thief's network gives the label that the owner planted.",
    "**Unplanted labels** are the same of inputs of the same kind, with labels drawn alike, that nobody planted; **by clean",
    "networks** the same of networks of the owner's architecture that were trained on right labels and never saw the owner.",
    "Intervals are over seeds and inputs; that of the difference pairs each input with the clean networks' answers to it.",
    "**Claim upheld**: copies for which the owner's claim stands at a false positive rate of 5 %: a copy's rank among the clean",
    "networks of its owner is a p-value, and is at most 0.05. **Mean p** is its mean over the owners, itself no p-value.",
    "**Answers** are those that the owner's network gave: one an image, and one more for each gradient.",
)


def null_of(counts: Iterable[float | None]) -> list[str]:
    """On how many clean networks an owner p-values stand, and what so many can tell.

    Args:
        counts: ``n_clean`` of lines; None: of one without scores.
    """
    said = []
    for n in sorted({round(count) for count in counts if count is not None}):
        most = sum((1 + k) / (n + 1) <= FALSE_POSITIVES for k in range(n)) - 1
        allowed = "none is at most 0.05" if most < 0 else f"the claim stands where at most {most} of them have as many planted labels"
        said.append(f"The p-values stand on **{n} clean networks** an owner: none is below {1 / (n + 1):.3f}, and {allowed}.")
    return said


def _per_cent(value: float | None) -> str:
    return NONE if value is None else f"{100 * value:.1f} %"


class Compared(Section):
    """What is compared, and how to read the tables."""

    name: ClassVar[str] = "compared"

    def lines(self, page: Page) -> list[str]:
        """See Section."""
        return [
            f"*Compared:* {compared(page.groups)}.",
            "",
            *HOW_TO_READ,
            *null_of(group.means.get("n_clean") for group in page.groups),
            "",
        ]


class OfCopies(Ranking):
    """Attacks and controls, ranked within each axis value by the excess of transfer."""

    def columns(self, headline: Headline) -> Sequence[Column]:
        """See Ranking."""
        return [
            Column("asks about", _asks_about, left=True),
            Column("thief", _thief, left=True),
            *headline_columns(headline),
            Column("planted labels [95 % CI]", _planted),
            _share("unplanted labels", "planted_transfer_controls"),
            Column("by clean networks", lambda group: _per_cent(group.controls.estimate if group.controls else None)),
            Column("claim upheld", lambda group: hits(group.hits.get("upheld"))),
            Column("mean p", lambda group: number(group.means.get("watermark_p"), 3)),
            _share("agreement", "agreement"),
            _share("thief's accuracy", "thief_accuracy"),
            Column("answers", lambda group: general(group.means.get("queries_used"))),
            TIME,
            Column("seeds", lambda group: str(len(group.cell_ids))),
        ]

    def meanings(self) -> dict[str, str]:
        """See Section."""
        return {
            "transfer − clean": "track stealing: share of planted inputs to which the copy gives the planted label, minus the share to "
            "which networks do that never saw the owner; the grid's page explains the other columns",
        }


def _share(head: str, column: str) -> Column:
    return Column(head, lambda group: _per_cent(group.means.get(column)))


def _planted(group: Group) -> str:
    found = group.members
    return NONE if found is None else f"{100 * found.estimate:.1f} % [{100 * found.low:.0f}, {100 * found.high:.0f}]"


def _asks_about(group: Group) -> str:
    """By its hyperparameters; a dash where they do not tell."""
    own = group.hyperparameters
    source = str(own["source"]).replace("_", " ") if "source" in own and ORACLE & set(group.access.split("+")) else ""
    noise = f", σ {general(own['noise'])}" if source == "perturbed" and isinstance(own.get("noise"), int | float) else ""
    return escape(source + noise) or NONE


def _thief(group: Group) -> str:
    """The architecture, likewise."""
    own = group.hyperparameters
    if own.get("model") == "same":
        return "as the owner's"
    layers = (own.get("channels") if own.get("model") == "cnn" else None, own.get("hidden"))
    return (
        escape(" ".join([str(own.get("model", "")), *("-".join(map(str, part)) for part in layers if isinstance(part, list))]).strip())
        or NONE
    )


class ByAccess(Section):
    """What comes along with more access, and with less."""

    name: ClassVar[str] = "by_access"

    def lines(self, page: Page) -> list[str]:
        """See Section."""
        return _by_access(page.groups)


class Watermarks(Section):
    """How well the owners' networks hold their watermark, and what it costs."""

    name: ClassVar[str] = "watermarks"
    title: ClassVar[str] = "### Owners"

    def lines(self, page: Page) -> list[str]:
        """See Section."""
        return _owners(page.groups)


def _by_access(groups: Sequence[Group]) -> list[str]:
    """For each setting, whether intervals of thieves with less access and with more overlap, each by its strongest line; and whether those
    that are told labels alone are apart from clean networks.
    """
    names = axis_names(groups) if any(group.axis for group in groups) else []
    lines: dict[str, list[str]] = {}  # what is said, and where
    labels: list[str] = []
    by_setting: dict[tuple[int, str], list[Group]] = {}
    for group in groups:
        by_setting.setdefault((group.axis_index, group.label), []).append(group)
    for found in by_setting.values():
        best: dict[str, Group] = {}
        for group in found:
            if group.role == "attack" and group.excess is not None:
                other = best.get(group.attack)
                if other is None or other.excess is None or group.excess.estimate > other.excess.estimate:
                    best[group.attack] = group
        ordered = sorted((g.members.estimate, name) for name, g in best.items() if g.members is not None)
        where = ", ".join(escape(found[0].axis.get(name, "")) for name in names) or "all"
        labels += [
            f"- {where}: {escape(group.name)} is {_against_clean(group.excess)} ({interval(group.excess)})."
            for group in found
            if group.role == "attack" and group.excess is not None and ORACLE & set(group.access.split("+")) == {"query_labels"}
        ]
        for (_, low), (_, high) in itertools.pairwise(ordered):
            a, b = best[low].members, best[high].members
            assert a is not None
            assert b is not None
            word = "do not overlap" if a.high < b.low else "overlap"
            lines.setdefault(f"the intervals of {escape(best[low].name)} and {escape(best[high].name)} {word}", []).append(where)
    said = [f"- {text}: {few(places)}." for text, places in lines.items()]
    result = ["The strongest line of each attack, next to next:", "", *said, ""] if said else []
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
        if group.excess is None or key in seen:
            continue
        seen.add(key)
        m = group.means
        rows.append(
            [
                *axis_labels(group, names),
                escape(f"{group.setting.get('defense')} {group.setting.get('defense_params') or ''}"),
                _per_cent(m["planted_owner"]),
                _per_cent(m["test_accuracy"]),
                _per_cent(m["clean_accuracy"]),
                general(m["n_clean"]),
            ]
        )
    head = axis_heads(names)
    columns = [*head, "defence", "planted labels memorised", "owner's test accuracy", "that of clean networks", "clean networks an owner"]
    return [*table(columns, rows, right=range(len(head) + 1, len(columns))), ""]
