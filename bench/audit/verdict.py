"""What an audit comes to: leaks, no leak found, or inconclusive; in a word, in a sentence, and for the exit code.

Not finding counts only where there was something to find by the way that was tried. An audit is inconclusive if no attack could be run or
scored; if none of those that were rests on a premise that holds in this network; or if the same attacks find nothing in a network of the
same form that was trained so as to give its images away (the positive control).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.audit.scoring import Judgement

LEAKS, NO_LEAK, INCONCLUSIVE = "leaks", "no leak found", "inconclusive"


@dataclass(frozen=True)
class Verdict:
    """The outcome and why."""

    outcome: str  # leaks, no leak found or inconclusive
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


def verdict(judged: Sequence[Judgement], *, truth: bool, positive: Sequence[Judgement] | None = None, doubt: str = "") -> Verdict:
    """The verdict with its numbers: the best attack beside the best control.

    Args:
        truth: whether there were members and controls to score against.
        positive: the same attacks on the positive control; None: there was none.
        doubt: why the network may have been misread; empty: nothing speaks for that.
    """
    attacks = [one for one in judged if one.role == "attack"]
    ran = [one.name for one in attacks if one.candidates is not None]
    if not ran:
        reasons = "; ".join(f"{one.name}: {one.reason}" for one in attacks)
        return Verdict(INCONCLUSIVE, f"no attack ran on this network to its end, so nothing was tested. {reasons}")
    if not truth:
        return Verdict(
            INCONCLUSIVE,
            f"{', '.join(ran)} ran, but nothing could be scored. Give the training images (--members PATH), and as many of the same "
            "kind that were never trained on (--controls PATH, or --dataset NAME to draw them from).",
        )
    scored = [one for one in attacks if one.row is not None]
    if not scored:
        return Verdict(INCONCLUSIVE, f"{', '.join(ran)} ran, but nothing could be scored.")
    controls = [one for one in judged if one.row is not None and one.role == "control"]
    able = [one for one in scored if one.premise is None or one.premise.holds]
    # an attack that cannot work here is no further chance of a find
    sure = {one.name: one.surely(len({one.name, *(other.name for other in able)})) for one in scored}
    best = max(scored, key=lambda one: (sure[one.name], one.surely(), _excess(one)))
    most = max(map(_excess, scored))
    words = f"{best.sentence()}."
    if best.surely() and not sure[best.name]:
        words += f" That is its p alone; of the best of {len(able)} attacks that could work it is no surer than chance."
    if controls:
        words += f" The best control: {max(controls, key=_excess).sentence()}."
    if sure[best.name]:
        better = not controls or _excess(best) > max(map(_excess, controls))
        though = "" if better else ", though no better than a control finds them"
        return Verdict(LEAKS, f"training images come back beyond what controls give{though}. {words}", most)
    if doubt:
        return Verdict(INCONCLUSIVE, f"{doubt}, so that it may have been misread, and nothing was tested. {words}", most)
    if not able:
        missing = "; ".join(dict.fromkeys(one.premise.words for one in scored if one.premise is not None))
        return Verdict(
            INCONCLUSIVE, f"what the attacks rest on does not hold here, so that none finds anything says nothing: {missing}. {words}", most
        )
    held = "; ".join(dict.fromkeys(one.premise.words for one in able if one.premise is not None and one.premise.holds))
    if positive is not None:
        could = [one for one in positive if one.name in {a.name for a in able} and one.surely(len(able))]
        if not could:
            return Verdict(
                INCONCLUSIVE,
                "the same attacks find nothing either in a network of the same form that was trained so as to give its images away "
                f"(the positive control). {words}",
                most,
            )
        held += ("; " if held else "") + f"on the positive control {max(could, key=_excess).sentence()}"
    idle = [f"{one.name} {one.reason}" for one in attacks if one.candidates is None and "initial_weights" in one.reason]
    words += f" {'; '.join(idle)}." if idle else ""
    return Verdict(
        NO_LEAK,
        "no attack finds surely more members than controls, which does not prove the model safe"
        + (f"; the premises hold: {held}" if held else "")
        + f". {words}",
        most,
    )


def _excess(judged: Judgement) -> float:
    assert judged.row is not None
    return float(judged.row["excess_recall"])
