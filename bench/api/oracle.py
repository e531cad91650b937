"""A network behind an interface: what it answers, and what it counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float, Int
    from torch import Tensor


@runtime_checkable
class Oracle(Protocol):
    """A network that can only be asked. Every answer is counted: an image's class, its outputs, or one gradient of them by the image.

    Images are in [0, 1]; the oracle centres them itself. All three raise BenchError once ``limit`` answers would be exceeded, or where the
    attack's access tier does not hold the answer.
    """

    @property
    def device(self) -> torch.device:
        """Where it computes."""

    used: int  # answers given so far
    limit: int

    def labels(self, images: Float[Tensor, "n c h w"]) -> Int[Tensor, " n"]:
        """The class of each image; n answers. Tier ``query_labels``."""

    def logits(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """The outputs for each image; n answers. Tier ``queries``."""

    def gradients(self, images: Float[Tensor, "n c h w"], directions: Float[Tensor, "n r k"]) -> Float[Tensor, "n r c h w"]:
        """For each image the gradients by it of r weighted sums of the outputs; n·r answers. Tier ``input_gradients``."""
