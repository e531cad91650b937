"""The page ``claims.md``: every claim with its verdict, and where that comes from. Text in, text out; no file is touched here."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from bench.api import Claim
from bench.claims.findings import (
    ALPHA,
    BROKEN,
    CONTRADICTED,
    INCONCLUSIVE,
    NO_ROWS,
    REPRODUCED,
    Finding,
    conditions,
)
from bench.metrics.intervals import Interval
from bench.metrics.significance import MOST_SEEDS
from bench.report.kit.text import GENERATED, NONE, escape, folded, plain, signed, unfolded
from bench.report.opening import command

HEAD = ("claim", "grid", "verdict", "effect [95 %]", "p, corrected")
BEHIND = ("claim", "source", "grid", "p, as it was", "seeds", "more seeds needed", "members : controls over 0.4")


def page(findings: Sequence[Finding], broken: Sequence[str] = ()) -> str:
    """The whole of claims.md."""
    lines = [GENERATED, "", "# Claims of the papers, tested", ""]
    lines += ["**Question.** Does what the papers behind the attacks say hold on the rows of this table?", ""]
    lines += [f"**Answer.** {_tally(findings)} A line is one claim in one grid; its verdict holds for the settings of that grid.", ""]
    lines += ["**Command.** `python -m bench claims`; [where a verdict comes from](#where-a-verdict-comes-from) is below.", ""]
    rows, behind = [], []
    before = ""
    for one in findings:
        name, first = escape(one.claim.name), str(one.claim.name) != before
        before = str(one.claim.name)
        rows.append([f"{escape(one.claim.text, 600)} (`{name}`)" if first else "″", *_cells(one)])
        behind.append([f"`{name}`" if first else "″", escape(one.claim.source) if first else "″", *_behind(one)])
    if rows:
        lines += [*unfolded(HEAD, rows), "", *folded("Sources, seeds and counts of each line", unfolded(BEHIND, behind))]
    else:
        lines += ["No attack declares a claim."]
    lines += ["", *(f"- {escape(text)}" for text in broken), *([""] if broken else [])]
    lines += ["## Where a verdict comes from", "", *_method(findings), ""]
    lines += ["## What is measured", "", *(f"- `{escape(name)}`: {text}" for name, text in _measures(findings).items())]
    return "\n".join(lines).rstrip() + "\n"


def line(one: Finding) -> str:
    """One finding for the terminal."""
    parts = [f"{one.verdict:13}", f"{one.claim.name} ({one.grid})"]
    if one.effect is not None:
        p = "" if one.corrected is None else f", p {_p(one.corrected)}, {len(one.values)} seeds"
        seeds = "seed" if one.more == 1 else "seeds"
        more = f"; {_more(one)} more {seeds} would decide" if one.verdict == INCONCLUSIVE and one.more is not None else ""
        parts.append(f"{_effect(one.effect)}{p}{more}")
    elif one.verdict == NO_ROWS:
        parts.append(command(one.grid))
    if one.reason:
        parts.append(f"({one.reason})")
    return "  ".join(parts)


def _tally(findings: Sequence[Finding]) -> str:
    counts = Counter(one.verdict for one in findings)
    if not counts:
        return "Nothing is claimed."
    known = [REPRODUCED, CONTRADICTED, INCONCLUSIVE, NO_ROWS, BROKEN]
    order = [*known[:2], *sorted(set(counts) - set(known)), *known[2:]]
    return f"Of {len(findings)} tests: {', '.join(f'{counts[verdict]} {escape(verdict)}' for verdict in order if counts[verdict])}."


def _cells(one: Finding) -> list[str]:
    """What is seen of a line at once."""
    verdict = escape(one.verdict)
    if one.verdict not in (INCONCLUSIVE, NO_ROWS, BROKEN):
        verdict = f"**{verdict}**"
    if one.verdict == NO_ROWS:
        verdict += f": `{escape(command(one.grid))}`"
    if one.reason:
        verdict += f" ({escape(one.reason)})"
    return [escape(one.grid), verdict, _effect(one.effect) + _level(one), NONE if one.corrected is None else _p(one.corrected)]


def _behind(one: Finding) -> list[str]:
    """And what stands behind it."""
    p = NONE if one.p is None else _p(one.p)
    return [escape(one.grid), p, str(len(one.values) or NONE), _more(one), escape(one.beside) or NONE]


def _more(one: Finding) -> str:
    if one.verdict != INCONCLUSIVE:
        return NONE
    if len(one.values) < 2:
        return "at least 1"
    return str(one.more) if one.more is not None else f"over {MOST_SEEDS}"


def _level(one: Finding) -> str:
    """What the effect is tested against, where that is not 0."""
    return "" if one.effect is None or one.claim.level == 0 else f" against {one.claim.level:g}".replace("-", "−")


def _effect(value: Interval | None) -> str:
    """Estimate and interval to two significant digits of the largest of them, and at least two decimals."""
    if value is None:
        return NONE
    largest = max((abs(v) for v in value if math.isfinite(v)), default=0.0)
    decimals = 2 if largest == 0 else min(6, max(2, 1 - math.floor(math.log10(largest))))
    if not math.isfinite(value.low):
        return signed(value.estimate, decimals)
    return f"{signed(value.estimate, decimals)} [{signed(value.low, decimals)}, {signed(value.high, decimals)}]"


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _method(findings: Sequence[Finding]) -> list[str]:
    family = sum(one.p is not None for one in findings)
    return [
        "**The unit is the seed**, which draws the images and the initial weights. At each seed the effect is taken at every point of",
        "the setting (each data set, each value of the other axes), and lines that are compared are paired there; the mean over the",
        "points is the seed's value. Points that some seed lacks are left out for all. The effect is the mean over the seeds, its",
        "interval Student's t over them, without correction.",
        "",
        "**Verdicts** follow from the two-sided t test of the effect against the claim's level, corrected by Holm's method over all",
        f"{family} tests on this page, at {ALPHA:g}: *reproduced* on the side that the paper says, *contradicted* on the other, else",
        "*inconclusive*. So an interval may leave the level out and the verdict still be *inconclusive*. Questions without a side get",
        "the answer as their verdict. The t test takes the seeds' values for draws of a normal distribution, which a handful of seeds",
        "cannot check; a permutation test of five seeds could not fall below 0.06, and would never pass. Where all seeds have the very",
        "same value the spread is unknown, and the exact sign-flip test is used.",
        "",
        "**More seeds needed** says how many would decide with a power of 80 %, beyond those here, if effect and spread stay as",
        "measured and the test has to pass the next step of Holm's method. It is a plan from few seeds, not a promise.",
        "",
        "**Members : controls** counts, over all cells of the test, the training images and the controls (images of the same kind, never",
        "trained on) that a submitted image matches at SSIM above 0.4; of a comparison, the two sides apart.",
    ]


def _measures(findings: Sequence[Finding]) -> dict[str, str]:
    """Of each claim what its test looks at."""
    result: dict[str, str] = {}
    for one in findings:
        if one.claim.name not in result and one.verdict != BROKEN:
            result[one.claim.name] = escape(_measure(one.owner, one.claim), 900)
    return result


def _measure(owner: str, claim: Claim) -> str:
    where, a, b = conditions(owner, claim)
    among = f", among rows with {_said(where)}" if where else ""
    side = {"above": f"above {claim.level:g}", "below": f"below {claim.level:g}"}.get(
        claim.expected, f"{claim.words[0]} if above {claim.level:g}, {claim.words[1]} if below"
    )
    column = f"({claim.column} − {claim.minus})" if claim.minus else claim.column
    if claim.test == "works":
        what = column
    elif claim.test in ("difference", "beats"):
        other = "the best line" if claim.test == "beats" else "the mean"
        what = f"{column} where {_said(a)} − {other} where {_said(b)}"
        same = ", ".join(name.removeprefix("param:") for name in claim.match)
        what += f", at equal {same}" if same else ""
    elif claim.test == "trend":
        what = f"slope of {column} a doubling of {claim.along}"
    elif claim.test == "concordance":
        what = "of the pairs of a sweep's runs with different hits (members less controls), the share in which the lower loss has more"
    else:
        distance = "its margin, and so with its distance to the least one" if claim.along == "margin" else "|λ|, its multiplier"
        less = ", less the same over controls" if claim.along == "margin" else ""
        what = f"Spearman's ρ of a member's {claim.column} with {distance}{less}"
    return f"{what}{among}; said to be {side}" if claim.expected != "either" else f"{what}{among}; {side}"


def _said(chosen: Mapping[str, Any]) -> str:
    return " and ".join(f"{key.removeprefix('param:').removeprefix('axis:')} {_value(value)}" for key, value in chosen.items())


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        return "in {" + ", ".join(plain(one) for one in value) + "}"
    return str(value) if isinstance(value, str) and value[:1] in "<>" else f"= {plain(value)}"
