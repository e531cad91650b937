"""What a thief may see, what it answers with, and what only the scorer sees."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from bench import api
from bench.api import Architecture, Oracle
from bench.granted import granted

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float, Int, UInt8
    from torch import Tensor


class Networks(NamedTuple):
    """The architectures of this project, for attacks that train networks of their own: pure functions, as a release's ``forward`` is."""

    start: Callable[[Architecture, torch.Generator], dict[str, Tensor]]  # initial weights in PyTorch's default, float64
    forward: Callable[[Architecture, Mapping[str, Tensor], Tensor], Tensor]  # weights … × …, inputs … × n × c × h × w → … × n × k


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Release(api.Release):
    """A network without its weights: it is seen through ``oracle`` alone. The answer is a `Network`."""

    public_images: Float[Tensor, "n c h w"] = granted("public_images")  # of the owner's distribution, none of them planted
    other_images: Float[Tensor, "m c h w"] = granted("public_images")  # of another data set, in the same shape
    shadow_images: Float[Tensor, "n c h w"] = granted("shadow_data")  # the public images once more
    shadow_labels: Int[Tensor, " n"] = granted("shadow_data")  # and their right labels
    oracle: Oracle = granted("query_labels", "queries", "input_gradients")  # the owner's network behind its interface
    networks: Networks  # how the thief builds networks of its own

    @property
    def device(self) -> torch.device:
        """Where its images are, or else the oracle, and where the answer is expected."""
        return self.oracle.device if hasattr(self, "oracle") else super().device


class Network(NamedTuple):
    """An answer that is a network: what a thief has trained."""

    architecture: Architecture
    weights: Mapping[str, Tensor]  # named as in Architecture
    mean_image: Float[Tensor, "c h w"]  # what is subtracted from images in [0, 1] before they go in
    loss: float | None = None  # the attack's own final loss, lower is better, for the row
    used: int = 0  # answers of the oracle that it took; written by the track, as is
    asked: UInt8[Tensor, "q c h w"] | None = None  # which images it asked about, each once, times 255


@dataclass(frozen=True)
class Secret(api.Secret):
    """Members are planted inputs under the labels that were planted; controls were not planted."""

    # test images and labels, and what the owner and the clean networks answer, and how steep the owner's network is at the planted and
    # unplanted inputs
    watermark: Mapping[str, Tensor]
