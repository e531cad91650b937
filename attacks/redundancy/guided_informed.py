"""An informed adversary that reads some of the weights only: its reconstructor is fitted anew on those that are kept. Ours."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from attacks.reconstructor import Study, rebuild, study
from bench.api import Architecture, Attack, Candidates, Release


@dataclass(frozen=True)
class GuidedInformed(Attack):
    """A subclass says which parameters are kept; with all of them kept, the answer is `informed_adversary`'s."""

    track: ClassVar[str] = "informed"
    needs: ClassVar[frozenset[str]] = frozenset({"final_weights", "mean_image", "initial_weights", "known_data", "shadow_data"})

    keep: float = 0.5  # share that is kept, in (0, 1]
    shadows: int = 3000  # networks that the attacker trains, at most; no more than there are shadow images
    reconstructor: Literal["kernel", "network"] = "kernel"
    mirror: bool = False  # mirrored images as further shadows, for sets where these are as likely
    epochs: int = 30  # of the neural network's training

    def __post_init__(self) -> None:
        if self.shadows < 20 or self.reconstructor not in ("kernel", "network") or self.epochs < 1:
            raise ValueError("shadows is at least 20, epochs at least 1, reconstructor 'kernel' or 'network'")
        if not 0 <= self.keep <= 1:
            raise ValueError(f"keep is a share in (0, 1], not {self.keep}")

    @abstractmethod
    def chosen(self, release: Release, of: Study, weights: Mapping[str, Tensor], generator: torch.Generator) -> Mapping[str, Tensor]:
        """Which parameters are kept: name → Bool[Tensor, "..."] of the weight's shape, without a leading axis.

        Args:
            of: the shadows, scaled.
            weights: the shadows as they were trained, s × …
        """

    def unsupported(self, architecture: Architecture) -> str:
        return "" if architecture.model == "mlp" else f"needs fully connected layers, this network is a {architecture.model}"

    def memory(self, release: Release) -> int:
        weights = sum(w[0].numel() for w in release.weights.values())
        return 4 * self.shadows * (7 * weights + 6 * self.shadows)

    def mask(self, release: Release, generator: torch.Generator) -> tuple[Study, Mapping[str, Tensor]]:
        """The shadows, and which parameters are kept: name → Bool[Tensor, "..."] of the weight's shape, without a leading axis."""
        assert release.train is not None, "granted with known_data and initial_weights"
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
