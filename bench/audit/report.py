"""What an audit found: the network, what each attack came to, and the verdict that follows."""

from __future__ import annotations

from dataclasses import dataclass

from bench.audit.scoring import Judgement
from bench.audit.subject import Subject
from bench.audit.tried import RIGHT
from bench.audit.verdict import Verdict, verdict


@dataclass(frozen=True)
class Report:
    """What an audit found."""

    subject: Subject
    judged: tuple[Judgement, ...]
    positive: tuple[Judgement, ...] | None = None  # the same attacks on the positive control

    @property
    def verdict(self) -> Verdict:
        """What came of it."""
        correct = self.subject.facts.get("train_accuracy")
        misread = self.subject.guessed and correct is not None and correct < RIGHT
        return verdict(
            self.judged,
            truth=self.subject.truth is not None,
            positive=self.positive,
            doubt=f"only {correct:.0%} of the members are classified correctly by the network as it was read" if misread else "",
        )

    def passes(self, fail_above: float | None) -> bool:
        """Not if an attack failed or none was scored; with a bar neither if an attack's excess recall is above it, or nothing could be
        found by what was tried."""
        return not any(one.failed for one in self.judged) and self.verdict.passes(fail_above)
