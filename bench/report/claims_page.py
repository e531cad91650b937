"""The page ``claims.md``: of every claim a line with its verdict, paper by paper, and what is behind it folded below. Text in, text out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from bench.api import Claim
from bench.claims.findings import conditions
from bench.claims.verdicts import (
    ALPHA,
    BROKEN,
    CONTRADICTED,
    EQUIVALENT,
    MIXED,
    NO_CONTROL,
    NO_ROWS,
    OPEN,
    REPRODUCED,
    UNDECIDED,
    Finding,
    stands_for,
)
from bench.metrics.intervals import Interval
from bench.metrics.significance import POWER
from bench.report.kit.text import GENERATED, NONE, escape, folded, plain, signed, table, unfolded
from bench.report.opening import command

HEAD = ("claim", "verdict", "effect [95 %]")
BEHIND = ("claim", "grid", "verdict", "effect [95 %]", "p", "could have shown", "seeds", "members : controls over 0.4")
KNOWN = (REPRODUCED, CONTRADICTED, MIXED, EQUIVALENT, OPEN, NO_CONTROL, NO_ROWS, BROKEN)  # the order in which they are counted


def page(findings: Sequence[Finding], broken: Sequence[str] = ()) -> str:
    """The whole of claims.md."""
    families: dict[str, dict[tuple[str, str], list[Finding]]] = {}
    for one in findings:
        families.setdefault(str(one.family), {}).setdefault((one.owner, str(one.claim.name)), []).append(one)
    claims = [grids for family in families.values() for grids in family.values()]
    lines = [GENERATED, "", "# Claims of the papers, tested", ""]
    lines += ["**Question.** Does what the papers behind the attacks say hold on the rows of this table?", ""]
    lines += [f"**Answer.** {_tally(claims)}", ""]
    lines += ["**Command.** `python -m bench claims`"]
    if families:
        per_paper = [[escape(name), _counts(list(family.values()))] for name, family in families.items()]
        lines += ["", *table(["paper", "its claims"], per_paper), "", *_in_short()]
    for name, family in families.items():
        lines += ["", f"## {escape(name)}", "", *_family(list(family.values()))]
    lines += [] if families else ["", "No attack declares a claim."]
    lines += ["", *(f"- {escape(text)}" for text in broken), *([""] if broken else [])]
    lines += ["## Where a verdict comes from", "", *folded("Units, controls, tests, corrections, power", _method()), ""]
    measures = [f"- `{escape(name)}`: {text}" for name, text in _measures(findings).items()]
    lines += ["## What is measured", "", *folded("Columns, rows and source of each claim", measures)]
    return "\n".join(lines).rstrip() + "\n"


def line(one: Finding) -> str:
    """One finding for the terminal."""
    parts = [f"{one.verdict:13}", f"{one.claim.name} ({one.grid})"]
    if one.effect is not None:
        p = "" if one.corrected is None else f", p {_p(one.corrected)}, {len(one.values)} seeds"
        shown = "" if one.shown is None else f" that could have shown {_size(one.shown)}"
        parts.append(f"{_effect(one.effect)}{f' beside {one.against}' if one.against else ''}{p}{shown}")
    elif one.verdict == NO_ROWS:
        parts.append(command(one.grid))
    if one.reason:
        parts.append(f"({one.reason})")
    return "  ".join(parts)


def _family(claims: Sequence[Sequence[Finding]]) -> list[str]:
    """A line for each claim of a paper, and behind them one for each claim in each grid."""
    tests = max((one.tests or 0 for grids in claims for one in grids), default=0)
    said = f"{len(claims)} {'claim' if len(claims) == 1 else 'claims'}, {tests} {'test' if tests == 1 else 'tests'} of a claim in a grid"
    shown, behind = [], []
    for grids in claims:
        _, one = stands_for(grids)
        name = f"`{escape(one.claim.name)}`"
        at = f" on {escape(one.grid)}" if len(grids) > 1 and one.effect is not None else ""
        open_ = one.verdict == OPEN and one.shown is not None
        power = f"; {len(one.values)} seeds could have shown {_size(one.shown or 0.0)}" if open_ else ""
        shown.append([f"{escape(one.claim.text, 600)} ({name})", _together(grids), _effect_of(one) + at + power])
        behind += [[name if i == 0 else "″", *_behind(each)] for i, each in enumerate(grids)]
    together = f"{said}{', corrected together' if tests > 1 else ''}."
    return [together, "", *unfolded(HEAD, shown), "", *folded("Each claim in each grid", unfolded(BEHIND, behind))]


def _tally(claims: Sequence[Sequence[Finding]]) -> str:
    return f"Of {len(claims)} claims: {_counts(claims)}." if claims else "Nothing is claimed."


def _counts(claims: Sequence[Sequence[Finding]]) -> str:
    counts = Counter(_word(stands_for(grids)[0]) for grids in claims)
    order = [*KNOWN[:2], *sorted(set(counts) - set(KNOWN)), *KNOWN[2:]]
    return ", ".join(f"{counts[word]} {escape(word)}" for word in order if counts[word])


def _in_short() -> list[str]:
    """What the words of the tables mean, in a breath."""
    return [
        "*Reproduced*: the effect is there, beside every control where it faces controls. *Contradicted*: it is on the other side.",
        "*Equivalent*: there is none worth the name. *Open*: these seeds do not tell; the line says which effect they could have shown.",
        "Of several grids a line shows the least sure that decides. [Where a verdict comes from](#where-a-verdict-comes-from) is below.",
    ]


def _word(verdict: str) -> str:
    return EQUIVALENT if verdict.startswith(EQUIVALENT) else verdict


def _together(grids: Sequence[Finding]) -> str:
    """The verdict of a claim, and which grids say so where there are several."""
    verdict, one = stands_for(grids)
    bold = escape(verdict) if verdict in UNDECIDED else f"**{escape(verdict)}**"
    if verdict.startswith(EQUIVALENT):
        bold += ", no effect worth the name"
    at: dict[str, list[str]] = {}
    for each in grids:
        at.setdefault(each.verdict, []).append(escape(each.grid))
    if len(grids) == 1:
        return bold + _why(one)
    if verdict != MIXED:
        first = at.pop(verdict)
        bold += f" on {', '.join(first)}" if at else ""
    rest = "; ".join(f"{escape(word)} on {', '.join(names)}" for word, names in at.items())
    return f"{bold}{': ' if verdict == MIXED else '; ' if rest else ''}{rest}"


def _why(one: Finding) -> str:
    return f": `{escape(command(one.grid))}`" if one.verdict == NO_ROWS else ""


def _behind(one: Finding) -> list[str]:
    """A claim in one grid."""
    verdict = escape(one.verdict) if one.verdict in UNDECIDED else f"**{escape(one.verdict)}**"
    verdict += _why(one) + (f" ({escape(one.reason)})" if one.reason else "")
    p = NONE if one.corrected is None else _p(one.corrected)
    shown = NONE if one.shown is None else _size(one.shown)
    return [escape(one.grid), verdict, _effect_of(one), p, shown, str(len(one.values) or NONE), escape(one.beside) or NONE]


def _effect_of(one: Finding) -> str:
    """The effect, what it is tested against where that is not 0, and beside which control it is the least."""
    if one.effect is None:
        return NONE
    level = "" if one.claim.level == 0 else f" against {one.claim.level:g}".replace("-", "−")
    return _effect(one.effect) + level + (f" beside {escape(one.against, 60)}" if one.against else "")


def _effect(value: Interval) -> str:
    """Estimate and interval to two significant digits of the largest of them, and at least two decimals."""
    decimals = _decimals(value)
    if not math.isfinite(value.low):
        return signed(value.estimate, decimals)
    return f"{signed(value.estimate, decimals)} [{signed(value.low, decimals)}, {signed(value.high, decimals)}]"


def _size(value: float) -> str:
    """A size without a sign, in as many digits."""
    return f"{value:.{_decimals([value])}f}"


def _decimals(values: Sequence[float]) -> int:
    largest = max((abs(v) for v in values if math.isfinite(v)), default=0.0)
    return 2 if largest == 0 else min(6, max(2, 1 - math.floor(math.log10(largest))))


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _method() -> list[str]:
    return [
        "**The unit is the seed**, which draws the images and the initial weights. At each seed the effect is taken at every point of",
        "the setting (each data set, each value of the other axes), and lines that are compared are paired there; the mean over the",
        "points is the seed's value. Points that some seed lacks are left out for all. The effect is the mean over the seeds, its",
        "interval Student's t over them, without correction; where all seeds have the very same value, a score interval from the counts",
        "(Newcombe's), which keeps a width at 0 : 0. The seeds are those that the grid file names.",
        "",
        "**Controls.** What is said to work faces every control of its setting, each by itself and over all seeds, never the best one of",
        "each seed. It is *reproduced* only where every one of these tests passes (intersection–union: the largest p counts, and no number",
        "of controls makes a false win), and *contradicted* where one control is ahead, corrected for their number. The effect is shown",
        "beside the control that leaves the least. A grid without a control decides nothing: *no control*.",
        "",
        f"**Verdicts** follow from two-sided t tests of the effect against the claim's level at {ALPHA:g}, corrected by Holm's method",
        "within the paper, over each claim in each grid: *reproduced* on the side that the claim says, *contradicted* on the other,",
        "else *open*. So an interval may leave the level out and the verdict still be *open*. Questions without a side get the answer as",
        "verdict. A claim may name a margin beforehand, below which an effect is not worth the name: *equivalent within ±m* is what two",
        "one-sided tests at the same level say, corrected along with the others, even where there is an effect of that size. No claim of",
        "another paper counts in the correction. The t test takes the seeds' values for draws of a normal distribution, which a handful",
        "cannot check; a permutation test of five seeds could not fall below 0.06, and would never pass. Where all seeds have the very",
        "same value the spread is unknown, and the exact sign-flip test is used.",
        "",
        "**The verdict of a claim** is that of every grid that decides, where they agree; *mixed* where they do not; *open* where none",
        "decides. Its line shows the grid of the largest p among those of the verdict.",
        "",
        f"**Could have shown** is the smallest effect that these seeds would have shown with a power of {100 * POWER:.0f} %, if the spread",
        f"between them is the true one, at the level of the first step of Holm's method ({ALPHA:g} over the number of tests of the",
        "paper); of several controls, beside the one that is hardest to tell.",
        "",
        "**Members : controls** counts, over all cells of the test, the training images and the controls (images of the same kind, never",
        "trained on) that a submitted image matches at SSIM above 0.4; of a comparison, the two sides apart.",
    ]


def _measures(findings: Sequence[Finding]) -> dict[str, str]:
    """Of each claim what its test looks at."""
    result: dict[str, str] = {}
    for one in findings:
        if one.claim.name not in result and one.verdict != BROKEN:
            result[one.claim.name] = f"{escape(_measure(one.owner, one.claim), 900)}. Source: {escape(one.claim.source)}"
    return result


def _measure(owner: str, claim: Claim) -> str:
    where, a, b = conditions(owner, claim)
    among = f", among rows with {_said(where)}" if where else ""
    side = {"above": f"above {claim.level:g}", "below": f"below {claim.level:g}"}.get(
        claim.expected, f"{claim.words[0]} if above {claim.level:g}, {claim.words[1]} if below"
    )
    column = f"({claim.column} − {claim.minus})" if claim.minus else claim.column
    if claim.test == "level":
        what = column
    elif claim.test == "works":
        which = {key: value for key, value in b.items() if key != "role"}
        others = f"each control of the setting{f' with {_said(which)}' if which else ''}"
        what = f"{column} where {_said(a)} − {others}{f' and {claim.null}' if claim.null else ''}"
    elif claim.test in ("difference", "beats", "interaction"):
        other = "each line" if claim.test == "beats" else "the mean"
        what = f"{column} where {_said(a)} − {other} where {_said(b)}"
        same = ", ".join(name.removeprefix("param:") for name in claim.match)
        what += f", at equal {same}" if same else ""
        what += f"; that with {_said(claim.across[0])} − that with {_said(claim.across[1])}" if claim.across else ""
    elif claim.test == "trend":
        what = f"slope of {column} a doubling of {claim.along}"
    elif claim.test == "concordance":
        what = "of the pairs of a sweep's runs with different hits (members less controls), the share in which the lower loss has more"
    else:
        distance = "its margin, and so with its distance to the least one" if claim.along == "margin" else "|λ|, its multiplier"
        less = ", less the same over controls" if claim.along == "margin" else ""
        what = f"Spearman's ρ of a member's {claim.column} with {distance}{less}"
    within = f"; within ±{claim.margin:g} of that no effect worth the name" if claim.margin is not None else ""
    return f"{what}{among}; {'said to be ' if claim.expected != 'either' else ''}{side}{within}"


def _said(chosen: Mapping[str, Any]) -> str:
    return " and ".join(f"{key.removeprefix('param:').removeprefix('axis:')} {_value(value)}" for key, value in chosen.items())


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        return "in {" + ", ".join(plain(one) for one in value) + "}"
    return str(value) if isinstance(value, str) and value[:1] in "<>" else f"= {plain(value)}"
