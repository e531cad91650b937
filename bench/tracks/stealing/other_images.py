"""Images of another data set, for thieves that have none of the owner's distribution: an embedded set in the size of the owner's images.

`photo_tiles` and `photo_patches` are cut from the same photographs. For an owner of the one, the other is taken only where nothing else is
left, as where the defence planted images of `lfw_faces`.
"""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from bench import registry, seeds
from bench.data.duplicates import hashes

EMBEDDED = ("photo_patches", "lfw_faces", "photo_tiles")  # the largest first
SAME_PHOTOGRAPHS = frozenset({"photo_patches", "photo_tiles"})
MOST = 2000  # images; every release holds a copy


def other_images(dataset: str, shape: tuple[int, int, int], barred: set[bytes]) -> Float[Tensor, "n c h w"]:
    """Images in [0, 1], float32, of an embedded set that is not the owner's and, where it can be helped, not the one that was planted from.

    Args:
        dataset: the owner's.
        shape: channels, height and width of the owner's images.
        barred: hashes of the planted and unplanted inputs, as `bench.data.duplicates.hashes` gives them. None of these is returned, and a
            set that holds any is the last to be taken. (A defence that resizes in another way than here is not found out.)
    """
    found = []
    for name in EMBEDDED:
        if name != dataset:
            images = _resized(name, shape)
            free = torch.tensor([key not in barred for key in hashes(images.numpy())])
            found.append((not bool(free.all()), {name, dataset} <= SAME_PHOTOGRAPHS, images[free]))
    return min(found, key=lambda one: one[:2])[2]


@functools.lru_cache(maxsize=8)
def _resized(name: str, shape: tuple[int, int, int]) -> Tensor:
    """At most `MOST` images of the set, always the same, bilinearly resized; grey where the channels differ."""
    raw = torch.from_numpy(registry.resolve_data(name).load().images)
    images = raw.float() / 255 if raw.dtype == torch.uint8 else raw.float()
    size = F.interpolate(images, size=shape[1:], mode="bilinear", antialias=True, align_corners=False)
    if size.shape[1] != shape[0]:
        size = size.mean(1, keepdim=True).expand(-1, shape[0], -1, -1)
    chosen = torch.randperm(len(size), generator=seeds.generator("other images", name))[:MOST]
    return size.clamp(0, 1)[chosen].contiguous()
