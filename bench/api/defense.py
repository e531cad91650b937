"""A defence: what the owner does before, in and after training."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, NamedTuple

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float, Int
    from torch import Tensor


class Planted(NamedTuple):
    """Inputs in [0, 1] that an owner makes the network memorise under labels of the owner's choice, and others that are not memorised."""

    inputs: Float[Tensor, "p c h w"]
    labels: Int[Tensor, " p"]
    unplanted: Float[Tensor, "q c h w"]
    unplanted_labels: Int[Tensor, " q"]


class Rehearsal(NamedTuple):
    """A further term of the owner's loss: what simulated thieves, linear in the outputs that they are told, would answer to some inputs.

    Thief s asks about ``questions[s]``. Told the outputs F, q × k, it would give outputs ``answers[s] @ F`` to the p inputs, and the owner
    adds the loss of these under ``labels`` to its own loss, times ``weight``, taking the thieves in turn, one a step.
    """

    questions: Float[Tensor, "s q c h w"]  # in [0, 1]
    answers: Float[Tensor, "s p q"]
    labels: Int[Tensor, " p"]
    weight: float


class Defense(ABC):
    """Subclass as a frozen dataclass whose fields are the hyperparameters. Hooks run at the owner's side, in this order."""

    name: ClassVar[str]
    paper: ClassVar[str] = ""
    version: ClassVar[int | None] = None

    def before_training(
        self, images: Float[Tensor, "n c h w"], labels: Int[Tensor, " n"], generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """The data that the network is trained on; members stay the images given here, unless the defence plants inputs."""
        return images, labels

    def planted(
        self,
        images: Float[Tensor, "n c h w"],
        labels: Int[Tensor, " n"],
        others: Float[Tensor, "m c h w"],
        other_labels: Int[Tensor, " m"],
        generator: torch.Generator,
    ) -> Planted | None:
        """What ``before_training`` plants into the same data by a generator in the same state; None: nothing.

        The track ``stealing`` asks whether a copy gives the planted labels, ``reconstruction`` whether planted inputs are rebuilt.

        Args:
            others: images of the same distribution that are not trained on, to make the unplanted inputs of.
        """
        return None

    def rehearsal(self, images: Float[Tensor, "n c h w"], labels: Int[Tensor, " n"], generator: torch.Generator) -> Rehearsal | None:
        """What the owner rehearses in training, by a generator in the same state as ``before_training``; None: nothing.

        Needs training on minibatches (``optimizer: adam``).
        """
        return None

    def after_training(self, weights: Mapping[str, Tensor], generator: torch.Generator) -> Mapping[str, Tensor]:
        """The weights that are released."""
        return weights
