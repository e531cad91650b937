"""A defence: what the owner does before, in and after training."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, NamedTuple

if TYPE_CHECKING:
    import torch
    from jaxtyping import Bool, Float, Int
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


class Private(NamedTuple):
    """Differentially private descent: each image's gradient is shortened to ``clip`` at most, and Gaussian noise of standard deviation
    ``noise`` · ``clip`` is added to their sum. Minibatches are Poisson samples: each image is in one by a chance of its own."""

    clip: float  # > 0; infinity: none is shortened, and there is no noise
    noise: float  # ≥ 0; the noise multiplier
    rate: float = 1.0  # that chance, in a step of full-batch descent; of adam it follows from batch_size


class HeldOut(NamedTuple):
    """Early stopping: images that are not trained on, whose loss says when to stop. Released are the weights that had the least."""

    images: Bool[Tensor, " n"]
    patience: int  # looks without a lesser loss, after which training ends
    every: int  # epochs between looks


class Training(NamedTuple):
    """How the owner's training differs from plain descent on its images. What is left at its default changes nothing.

    The loss that is told on the way, and at the end, is that of the images as they are, without dropout.
    """

    smoothing: float = 0.0  # share of each label that is spread evenly over all classes
    mixing: float = 0.0  # α: each step blends every image, and its label, with another, by a share drawn for the step from Beta(α, α)
    dropout: float = 0.0  # chance of a unit of a fully connected hidden layer to be off, at each image and step; the others are scaled up
    variants: Float[Tensor, "v n c h w"] | None = None  # in [0, 1]; each step has one of each image, drawn anew, in the image's place
    held_out: HeldOut | None = None
    private: Private | None = None


class Defense(ABC):
    """Subclass as a frozen dataclass whose fields are the hyperparameters. Hooks run at the owner's side, in this order."""

    name: ClassVar[str]
    paper: ClassVar[str] = ""
    version: ClassVar[int | None] = None
    # names of attacks that know of it and adapt; where none of them was run no page calls the defence effective
    against: ClassVar[tuple[str, ...]] = ()
    withholds: ClassVar[frozenset[str]] = frozenset()  # access tiers that the owner does not grant, whatever the track could

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

    def training(self, images: Float[Tensor, "n c h w"], labels: Int[Tensor, " n"], generator: torch.Generator) -> Training | None:
        """How the owner trains on what ``before_training`` returned; None: as anyone would.

        What training itself draws, step by step, is drawn from a stream that the setting's seed names.
        """
        return None

    def after_training(self, weights: Mapping[str, Tensor], generator: torch.Generator) -> Mapping[str, Tensor]:
        """The weights that are released."""
        return weights

    def released(self, weights: Mapping[str, Tensor], start: Mapping[str, Tensor], generator: torch.Generator) -> Mapping[str, Tensor]:
        """As ``after_training``, which it calls, for a defence that looks at the weights before training as well.

        Args:
            start: the weights before training, which change nothing by being looked at.
        """
        return self.after_training(weights, generator)

    def explained(self, gradients: Float[Tensor, "n r c h w"], generator: torch.Generator) -> Tensor:
        """What the interface tells who asks for gradients of the outputs by the image (tier ``input_gradients``), in the same shape.

        Args:
            generator: of this attacker; it goes on from answer to answer.
        """
        return gradients

    def answers(self) -> int | None:
        """How many answers the interface gives an attacker at most; None: as many as any."""
        return None
