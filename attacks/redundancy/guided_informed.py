"""An informed adversary that reads some of the weights only: its reconstructor is fitted anew on those that are kept. Ours."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from attacks.reconstructor import Study, WeightReader, rebuild, study
from bench.api import Candidates
from bench.tracks.informed import Release


@dataclass(frozen=True)
class GuidedInformed(WeightReader):
    """A subclass says which parameters are kept; with all of them kept, the answer is `informed_adversary`'s."""

    keep: float = 0.5  # share that is kept, in (0, 1]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.keep <= 1:
            raise ValueError(f"keep is a share in (0, 1], not {self.keep}")

    @abstractmethod
    def chosen(self, release: Release, of: Study, weights: Mapping[str, Tensor], generator: torch.Generator) -> Mapping[str, Tensor]:
        """Which parameters are kept: name → Bool[Tensor, "..."] of the weight's shape, without a leading axis.

        Args:
            of: the shadows, scaled.
            weights: the shadows as they were trained, s × …
        """

    def mask(self, release: Release, generator: torch.Generator) -> tuple[Study, Mapping[str, Tensor]]:
        """The shadows, and which parameters are kept: name → Bool[Tensor, "..."] of the weight's shape, without a leading axis."""
        train, trained = release.train, {}

        def once(images: Tensor, labels: Tensor) -> dict[str, Tensor]:  # the study keeps the scaled weights only
            trained.update(train(images, labels))
            return trained

        of = study(replace(release, train=once), self.shadows, self.mirror)
        return of, self.chosen(release, of, trained, generator)

    def reconstruct(self, release: Release, generator: torch.Generator) -> Candidates:
        of, kept = self.mask(release, generator)
        flat = torch.cat([kept[name].flatten() for name in of.shapes])
        digest = hashlib.sha256(flat.cpu().numpy().tobytes()).hexdigest()[:16]
        images, error = rebuild(of, release, self.reconstructor, flat, f"mask {digest}", self.epochs)
        return Candidates(images, loss=error)
