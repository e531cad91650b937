"""What an audit comes to: found, not found or inconclusive, in a word, in a sentence, and for the exit code.

Not finding counts only where there was something to find by the way that was tried. An audit is inconclusive if no attack could be run or
scored, and also if all that were scored follow the KKT condition and the network is nowhere near a KKT point of its members.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.audit.scoring import Judgement
from bench.report.kit.text import number

FOUND, NOT_FOUND, INCONCLUSIVE = "found", "not found", "inconclusive"
NO_KKT_POINT = 0.98  # residual: of the published cells some are found out up to 0.977, and none above


@dataclass(frozen=True)
class Verdict:
    """The outcome and why."""

    outcome: str  # found, not found or inconclusive
    why: str
    most: float | None = None  # the largest excess recall of an attack; None: none was scored

    def sentence(self) -> str:
        """Both, the outcome first."""
        return f"{self.outcome.capitalize()}: {self.why}"

    def passes(self, bar: float | None) -> bool:
        """Whether something was tested, by attacks that could tell, and with a bar nothing was found above it."""
        if self.outcome == INCONCLUSIVE or self.most is None:
            return False
        return bar is None or self.most <= bar


def verdict(judged: Sequence[Judgement], residual: float | None, *, truth: bool) -> Verdict:
    """The verdict with its numbers: the best attack beside the best control.

    Args:
        residual: KKT residual at the members, where there are any.
        truth: whether there were members and controls to score against.
    """
    attacks = [one for one in judged if one.role == "attack"]
    ran = [one.name for one in attacks if one.candidates is not None]
    if not ran:
        return Verdict(INCONCLUSIVE, "no attack ran on this checkpoint to its end, so nothing was tested; the reasons are above.")
    if not truth:
        return Verdict(
            INCONCLUSIVE,
            f"{', '.join(ran)} ran, but nothing could be scored. Give the training images (--members PATH), and as many of the same "
            "kind that were never trained on (--controls PATH, or --dataset NAME to draw them from).",
        )
    scored = [one for one in attacks if one.row is not None]
    controls = [one for one in judged if one.row is not None and one.role == "control"]
    best = max(scored, key=lambda one: (one.beyond_controls, _excess(one)))
    most = max(map(_excess, scored))
    words = f"{best.sentence()}."
    if controls:
        words += f" The best control: {max(controls, key=_excess).sentence()}."
    if best.beyond_controls:
        better = not controls or _excess(best) > max(map(_excess, controls))
        though = "" if better else ", though no better than a control finds them"
        return Verdict(FOUND, f"training images come back beyond what controls give{though}. {words}", most)
    if residual is not None and residual >= NO_KKT_POINT and all(one.needs_kkt for one in scored):
        return Verdict(
            INCONCLUSIVE,
            f"at a KKT residual of {number(residual, 3)} no KKT attack can be expected to work, and no other was scored; that none finds "
            f"anything says nothing about the model. {words}",
            most,
        )
    return Verdict(
        NOT_FOUND,
        f"no attack finds surely more members than controls (no interval lies above 0), which does not prove the model safe. {words}",
        most,
    )


def _excess(judged: Judgement) -> float:
    assert judged.row is not None
    return float(judged.row["excess_recall"])
