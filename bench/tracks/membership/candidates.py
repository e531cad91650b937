"""Members and controls as one list, in an order that tells nothing: by the hash of each image.

So the order depends on the set of the candidates alone. Were members and controls exchanged, the list would be the same; there is no draw
to keep, and scoring an answer again needs the images only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Int
from torch import Tensor

from bench import api
from bench.api import Setting, Target
from bench.data.duplicates import hashes
from bench.targets.cache import TargetCache
from bench.tracks.membership.release import Release
from bench.tracks.reconstruction import targets as reconstruction
from bench.tracks.reconstruction.release import Release as Network


def order(secret: api.Secret) -> Int[Tensor, " m"]:
    """Candidate i is image ``order[i]`` of members and controls, the controls behind the members."""
    keys = [*hashes(secret.members.numpy()), *hashes(secret.controls.numpy())]
    return torch.tensor(sorted(range(len(keys)), key=keys.__getitem__))


def beside(network: Network, secret: api.Secret) -> Release:
    """The network with the candidates of its secret, where its weights are."""
    chosen, like = order(secret), next(iter(network.weights.values()))
    return Release(
        architecture=network.architecture,
        n_train=network.n_train,
        input_range=network.input_range,
        weights=network.weights,
        forward=network.forward,
        mean_image=network.mean_image,
        images=torch.cat([secret.members, secret.controls])[chosen].to(like),
        labels=torch.cat([secret.member_labels, secret.control_labels])[chosen].to(like.device),
    )


def obtain(settings: Sequence[Setting], cache: TargetCache | None = None, device: torch.device | str = "cpu") -> list[Target]:
    """The targets of the track ``reconstruction``, with their candidates. Raises as they do."""
    found = reconstruction.obtain(settings, cache, device)
    return [replace(target, release=beside(target.release, target.secret)) for target in found]
