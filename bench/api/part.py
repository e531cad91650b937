"""A part of a release that is no plain data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

Ask = Callable[[str, "Mapping[str, Tensor]", Mapping[str, Any]], "tuple[dict[str, Tensor], dict[str, Any]]"]  # as `Part.answer`


class Part(ABC):
    """A part of a release that stays where the run is, as an oracle does. An attack in another process holds a stand-in in its place, which
    puts questions to it. It is the value of a field of the release."""

    @abstractmethod
    def stand_in(self) -> Callable[[Ask], Any]:
        """What makes the stand-in there: called with a function that puts a question, which returns what `answer` does. It is pickled, and
        must hold nothing that the attack may not see."""

    @abstractmethod
    def answer(
        self, question: str, tensors: Mapping[str, Tensor], facts: Mapping[str, Any], owner: str
    ) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What the stand-in asks, answered.

        Args:
            tensors: on the CPU. They and the facts, plain values, come from the attack's process: whatever it likes.
            owner: whose process asks; empty: one of attacks of this project.

        Raises:
            BenchError: the question is refused; the attack is told so.
        """
