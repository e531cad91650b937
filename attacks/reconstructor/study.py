"""Shadows and the networks under attack as rows of numbers on one scale, and a reconstructor between these and images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from attacks.reconstructor.kernel import fit_kernel
from attacks.reconstructor.network import fit_network
from bench.tracks.informed import Release

Kind = Literal["kernel", "network"]
CONSTANT = 1e-6  # a coordinate whose deviation over shadows is below this share of its size does not vary: it is rounding


@dataclass(frozen=True)
class Study:
    """What the attacker has after training its shadows."""

    shadows: Float[Tensor, "s p"]  # weights of the shadows, scaled
    images: Float[Tensor, "s c h w"]  # the image that each shadow saw and no other did
    attacked: Float[Tensor, "t p"]  # weights of the networks under attack, on the scale of the shadows
    shapes: Mapping[str, tuple[int, ...]]  # tensor name → shape, in the order in which the p coordinates follow
    varies: Bool[Tensor, " p"]  # coordinates that differ between shadows at all; the others are 0 in both


def study(release: Release, shadows: int, mirror: bool = False) -> Study:
    """Trains shadows by the release's recipe, and scales all weights by the shadows' means and deviations.

    Every attack of a release takes the same shadows, so that they are trained once.

    Args:
        shadows: how many; as many as the shadow images allow, where these are fewer.
        mirror: images turned left to right follow the images themselves, for sets where a mirrored image is as likely.
    """
    images, labels = shadow_set(release, mirror)
    images, labels = images[:shadows], labels[:shadows]
    weights = release.train(images, labels)
    rows, attacked = flat(weights), flat({name: release.weights[name] for name in weights})
    mean, deviation = rows.mean(0), rows.std(0)
    varies = deviation > CONSTANT * mean.abs().clamp_min(CONSTANT)
    scale = torch.where(varies, 1 / deviation, 0.0)
    shapes = {name: tuple(value.shape[1:]) for name, value in weights.items()}
    return Study(rows.sub_(mean).mul_(scale), images, attacked.sub_(mean).mul_(scale), shapes, varies)


def shadow_set(release: Release, mirror: bool) -> tuple[Float[Tensor, "s c h w"], Int[Tensor, " s"]]:
    """The shadow images in an order of their own, the same for every attack: classes mixed, originals before mirrored ones."""
    order = torch.randperm(len(release.shadow_images), generator=torch.Generator().manual_seed(0)).to(release.device)
    images, labels = release.shadow_images[order], release.shadow_labels[order]
    return (torch.cat([images, images.flip(-1)]), torch.cat([labels, labels])) if mirror else (images, labels)


def flat(weights: Mapping[str, Tensor]) -> Float[Tensor, "b p"]:
    """All weights of each network in one row, in the order of the mapping."""
    return torch.cat([value.flatten(1) for value in weights.values()], 1).float()


def rebuild(
    of: Study,
    release: Release,
    kind: Kind,
    kept: Bool[Tensor, " p"] | None = None,
    name: str = "",
    epochs: int = 30,
) -> tuple[Float[Tensor, "t c h w"], float]:
    """The secret images by a reconstructor fitted on the shadows, and its error on shadows it was not fitted on (MSE).

    Args:
        kept: coordinates that the reconstructor is given; all where it is None.
        name: says what ``kept`` is, for what is kept on disk of a network that took long to fit.
        epochs: of the network's training.
    """
    columns = of.varies if kept is None else of.varies & kept.to(of.varies.device)
    if not bool(columns.any()):  # nothing to look at: the best answer is the mean
        mean = of.images.mean(0)
        return mean.expand(len(of.attacked), *mean.shape).clone(), float(((of.images - mean) ** 2).mean())
    shadows, attacked = of.shadows[:, columns], of.attacked[:, columns]
    if kind == "kernel":
        kernel = fit_kernel(shadows, of.images)
        return kernel(attacked), kernel.error
    key = f"network {epochs} epochs, {len(shadows)} shadows, {name}, {int(columns.sum())} of {len(columns)}"
    return fit_network(shadows, of.images, attacked, epochs, lambda make: release.keep(key, make))
