"""Control: the papers' search, begun at public images. What comes back may be a training image, or the image that it began as."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from attacks.kkt.engine import KKTAttack
from attacks.kkt.objective import Kind
from bench.api import Architecture, Candidates
from bench.registry import register
from bench.tracks.reconstruction import Release


@register
@dataclass(frozen=True)
class WarmStart(KKTAttack):
    """The KKT objective that fits the network, with candidates that begin as public images which the network puts into their class.

    Runkel et al. begin such searches at images that were never trained on, and get images back that look as real as training images. So
    this control counts beside members how many of its answers are still the image that they began as (``start_recall``).
    """

    name: ClassVar[str] = "warm_start"
    paper: ClassVar[str] = (
        "Runkel, Gandikota, Geiping, Schönlieb, Moeller: Training Data Reconstruction: Privacy due to Uncertainty? arXiv 2412.08544"
    )
    role: ClassVar[str] = "control"
    needs: ClassVar[frozenset[str]] = frozenset({"final_weights", "mean_image", "public_images"})
    version: ClassVar[int | None] = 1
    kind: ClassVar[Kind] = "binary"  # or another, by the network

    def unsupported(self, architecture: Architecture) -> str:
        if architecture.outputs > 1 and architecture.loss != "ce":
            return f"needs one output, or cross-entropy (ce), this network has {architecture.outputs} outputs and loss {architecture.loss}"
        if architecture.outputs > 1 and not architecture.homogeneous:
            return "needs one output, or a homogeneous network (relu or leaky_relu, bias in the first layer at most)"
        return ""

    def starts(self, release: Release, labels: Int[Tensor, " m"], generator: torch.Generator) -> Float[Tensor, "m c h w"]:
        public = release.public_images
        out = release.forward(release.weights, public - release.mean_image)
        predicted = ((out[:, 0] > 0).long() if out.shape[1] == 1 else out.argmax(1)).cpu()
        order = torch.randperm(len(public), generator=generator)
        chosen = torch.empty_like(labels)
        for k in labels.unique().tolist():
            own = order[predicted[order] == k]
            own = own if len(own) else order  # the network puts no public image there
            count = int((labels == k).sum())
            chosen[labels == k] = own.repeat(-(-count // len(own)))[:count]
        return public[chosen.to(public.device)]

    @classmethod
    def reconstruct_batch(
        cls, attacks: Sequence[KKTAttack], releases: Sequence[Release], generators: Sequence[torch.Generator]
    ) -> list[Candidates]:
        fitting = OF_KIND[kind_of(releases[0].architecture)]
        return super().reconstruct_batch([fitting(**asdict(attack)) for attack in attacks], releases, generators)


class _Multiclass(WarmStart):
    kind: ClassVar[Kind] = "multiclass"


class _Regression(WarmStart):
    kind: ClassVar[Kind] = "regression"


OF_KIND: Mapping[str, type[WarmStart]] = {"binary": WarmStart, "multiclass": _Multiclass, "regression": _Regression}


def kind_of(architecture: Architecture) -> Kind:
    """The equations that hold for a network of this kind, as the attacks of the papers choose them."""
    if architecture.outputs > 1:
        return "multiclass"
    return "binary" if architecture.loss == "bce" and architecture.homogeneous else "regression"
