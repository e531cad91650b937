"""Early stopping: training ends before the network knows its images by heart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from bench.api import Defense, HeldOut, Training
from bench.registry import register


@register
@dataclass(frozen=True)
class EarlyStopping(Defense):
    """Holds out a `share` of the owner's own images, of each class alike, and releases the weights that had the least loss on them.

    Every so many epochs the held-out loss is looked at; training ends after `patience` looks without a lesser one. The images held out are
    not trained on, and so cost accuracy and cannot come back; they are members all the same, for they are the owner's.
    """

    name: ClassVar[str] = "early_stopping"
    paper: ClassVar[str] = "Prechelt: Early Stopping — But When? Neural Networks: Tricks of the Trade, 1998"
    version: ClassVar[int | None] = 1
    against: ClassVar[tuple[str, ...]] = ("span_ica_change",)  # what training added is in the span of the images, however little it is

    share: float = 0.2  # above 0, below 1; at least one image is held out
    patience: int = 20  # looks, at least 1
    every: int = 100  # epochs between looks, at least 1

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ValueError(f"share is a number above 0 and below 1, not {self.share!r}")
        if min(self.patience, self.every) < 1:
            raise ValueError(f"patience and every are at least 1, not {self.patience!r} and {self.every!r}")

    def training(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> Training:
        places = torch.empty(len(images))  # within the class, in a random order
        for label in labels.unique():
            own = labels == label
            places[own] = torch.randperm(int(own.sum()), generator=generator).to(places)
        first = (places + torch.rand(len(images), generator=generator)).argsort()[: max(1, round(self.share * len(images)))]
        held_out = torch.zeros(len(images), dtype=torch.bool)
        held_out[first] = True
        return Training(held_out=HeldOut(held_out, self.patience, self.every))
