"""Verdicts: what the effects of a claim at the seeds of a grid come to, beside the other claims of its paper.

A claim in a grid is one *test*. The tests of one family (a paper) are corrected together, by Holm's method at ``ALPHA``, and no test of
another family counts: a new claim of one paper does not weaken another's. A test that has a margin asks two questions, whether there is an
effect and whether there is none worth the name. At most one of the two can be answered falsely, so both together count once in the
correction (``bench.metrics.significance.holm``).

==========================  ============================================================================================================
verdict                     the corrected p-value is at most ``ALPHA`` for
==========================  ============================================================================================================
``reproduced``              an effect on the side of ``level`` that the claim says; of a claim that faces controls, beside each of them
``contradicted``            an effect on the other side; beside controls, beside one of them at least
``equivalent within ±m``    an effect nearer to ``level`` than the margin m; where there is an effect as well, it is too small to count
``open``                    neither
==========================  ============================================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from bench.api import Claim
from bench.metrics.intervals import LEVEL, Interval, paired
from bench.metrics.significance import POWER, beside_the_least, could_show, equivalence, holm, least_mean

ALPHA = 0.05
REPRODUCED, CONTRADICTED, EQUIVALENT, MIXED, OPEN = "reproduced", "contradicted", "equivalent", "mixed", "open"
NO_CONTROL, NO_ROWS, BROKEN = "no control", "no rows", "broken"
UNDECIDED = (OPEN, NO_CONTROL, NO_ROWS, BROKEN)  # in the order in which they tell of a claim whose grids all decide nothing

Values = Mapping[int, float]  # seed → effect
Shares = tuple[Sequence[tuple[int, int]], Sequence[tuple[int, int]]]  # hits and of how many: shares that an effect adds, and takes off


@dataclass(frozen=True)
class Line:
    """The effect at each seed beside one thing that the attack is compared with; without a name there is one line."""

    values: Values
    beside: str = ""  # members and controls over the threshold, and what else belongs beside the effect
    shares: Shares | None = None  # of all cells together, where the effect is made of shares and is the same at every seed


@dataclass(frozen=True)
class Finding:
    """What came of one claim in one grid."""

    owner: str
    claim: Claim
    grid: str
    lines: Mapping[str, Line] = field(default_factory=dict)  # by what is compared with, "" if it has no name
    reason: str = ""  # why there are no values, or which cells have none
    verdict: str = ""
    effect: Interval | None = None  # beside the strongest of the lines
    against: str = ""  # which that is
    p: float | None = None  # that there is an effect
    p_equal: float | None = None  # that there is none beyond the margin
    corrected: float | None = None  # Holm's over the tests of the family, of the p-value that the verdict stands on
    tests: int | None = None  # of the family
    shown: float | None = None  # the smallest effect that these seeds could have shown at ALPHA / tests; None: the spread tells nothing

    @property
    def family(self) -> str:
        """Whose claims are corrected together."""
        return self.claim.family or self.owner

    @property
    def values(self) -> Values:
        """Of the line that decides; before there is a verdict, of the first."""
        lines = self.lines or {"": Line({})}
        return lines[self.against if self.against in lines else next(iter(lines))].values

    @property
    def beside(self) -> str:
        """What belongs beside the effect."""
        return self.lines[self.against].beside if self.against in self.lines else ""


def judge(findings: Sequence[Finding]) -> list[Finding]:
    """The findings, in their order, with effect, p-values corrected within families, verdict, and what their seeds could have shown."""
    families: dict[str, list[int]] = {}
    for i, one in enumerate(findings):
        if _tested(one):
            families.setdefault(one.family, []).append(i)
    result = [_alone(one) for one in findings]
    for tests in families.values():
        for i, judged in zip(tests, _together([findings[i] for i in tests]), strict=True):
            result[i] = judged
    return result


def _tested(one: Finding) -> bool:
    return any(len(line.values) > 1 for line in one.lines.values())


def _alone(one: Finding) -> Finding:
    """A finding that no test can be made of."""
    if not one.lines:
        return one
    reason = ", ".join(part for part in ("a single seed", one.reason) if part)
    return replace(_with_effect(one), verdict=OPEN, reason=reason)


def _together(family: Sequence[Finding]) -> list[Finding]:
    differ = [beside_the_least(*_turned(one)) for one in family]
    equal = {i: equivalence(*_turned(one), one.claim.margin) for i, one in enumerate(family) if one.claim.margin is not None}
    corrected = holm([*(p for p, _ in differ), *equal.values()], of=[*range(len(family)), *equal])
    corrected_equal = dict(zip(equal, corrected[len(family) :], strict=True))
    result = []
    for i, one in enumerate(family):
        p, ahead = differ[i]
        if corrected_equal.get(i, 1.0) <= ALPHA:
            verdict, mine = f"{EQUIVALENT} within ±{one.claim.margin:g}", corrected_equal[i]
        else:
            verdict, mine = _verdict(one.claim, ahead) if corrected[i] <= ALPHA else OPEN, corrected[i]
        could = [could_show(list(line.values.values()), ALPHA / len(family), POWER) for line in one.lines.values()]
        shown = max((value for value in could if value is not None), default=None)
        told = replace(_with_effect(one), verdict=verdict, p=p, p_equal=equal.get(i), corrected=mine, tests=len(family), shown=shown)
        result.append(told)
    return result


def _verdict(claim: Claim, ahead: bool) -> str:
    """Of an effect that there is: ``ahead``, on the side where the claim puts it; of a question, above the level."""
    if claim.expected == "either":
        return claim.words[0] if ahead else claim.words[1]
    return REPRODUCED if ahead else CONTRADICTED


def _turned(one: Finding) -> tuple[list[np.ndarray], float]:
    """The values of each line and the level, turned round where the claim puts the effect below, so that more is better."""
    sign = -1.0 if one.claim.expected == "below" else 1.0
    return [sign * np.array(list(line.values.values())) for line in one.lines.values()], sign * one.claim.level


def _with_effect(one: Finding) -> Finding:
    values, _ = _turned(one)
    names, lines = list(one.lines), list(one.lines.values())
    below = one.claim.expected == "below"

    def interval(place: int, level: float) -> Interval:
        shares = lines[place].shares
        added, taken = shares or ((), ())
        return paired(values[place], *((taken, added) if below else (added, taken)), level=level)

    effect = least_mean(values, interval, level=LEVEL)
    if below:
        effect = Interval(-effect.estimate, -effect.high, -effect.low)
    if one.claim.test == "concordance":  # a share, which the t interval does not know
        effect = Interval(effect.estimate, max(0.0, effect.low), min(1.0, effect.high))
    return replace(one, effect=effect, against=names[int(np.argmin([line.mean() for line in values]))])


def stands_for(findings: Sequence[Finding]) -> tuple[str, Finding]:
    """What the grids of one claim come to together, and the grid that stands for it.

    The verdict is that of every grid that decides, if they agree; ``mixed`` if they do not; and ``open`` where none decides, or the reason
    why there is nothing to decide. Grids that are open or have no rows do not count against those that decide; the page says how many.
    The grid is the least sure one, that of the largest p-value, among those of the verdict; of a mixed one among all that decide.

    Args:
        findings: of one claim, one a grid, judged; at least one.
    """
    deciding = [one for one in findings if one.verdict not in UNDECIDED]
    words = sorted({one.verdict for one in deciding}) or [min((one.verdict for one in findings), key=UNDECIDED.index)]
    verdict = MIXED if len(words) > 1 else words[0]
    among = deciding or [one for one in findings if one.verdict == verdict]
    return verdict, max(among, key=lambda one: (one.corrected is not None, one.corrected or 0.0))
