"""Four cheats, each a registered attack of the track reconstruction that passes ``bench check`` and reads nothing off the weights.

They are texts, so that a test writes one to a file and brings it as anyone would: ``write(folder, "redraw")``. Without a defence each of
them stands above every honest attack on a grid of embedded data. ``CHEATS`` has them by the name of their attack.
"""

from __future__ import annotations

from pathlib import Path

# (a) The split follows from public images and a small seed, so it can be drawn again until its mean is the mean image of the release.
REDRAW = '''
from dataclasses import dataclass
from typing import ClassVar

import torch

from bench import registry
from bench.api import Attack, Setting
from bench.data.split import split
from bench.registry import register


@register
@dataclass(frozen=True)
class Redraw(Attack):
    """Draws the split again until the mean image fits."""

    name: ClassVar[str] = "redraw"
    paper: ClassVar[str] = "none: a cheat"
    needs: ClassVar[frozenset[str]] = frozenset({"mean_image"})

    def reconstruct(self, release, generator):
        classes = "binary" if release.architecture.outputs == 1 else release.architecture.outputs
        loss, each = ("bce", 2) if classes == "binary" else ("ce", classes)
        for name in ("lfw_faces", "photo_tiles"):
            images = registry.resolve_data(name).load()
            if tuple(images.images.shape[1:]) != release.architecture.input_shape:
                continue
            for seed in range(40):
                drawn = Setting(dataset=name, classes=classes, loss=loss, n_per_class=release.n_train // each, seed=seed)
                members = torch.from_numpy(split(images, drawn).train).to(release.mean_image)
                if torch.allclose(members.mean(0), release.mean_image, atol=1e-4):
                    return members
        return release.mean_image[None]
'''

# (b) What the judge holds in the same process can be found by whoever walks over its objects.
HEAP = '''
import gc
import sys
from dataclasses import dataclass
from typing import ClassVar

import torch

from bench.api import Attack, Secret
from bench.registry import register


@register
@dataclass(frozen=True)
class Heap(Attack):
    """Finds the secret among the objects of the process, or in the frames of its callers."""

    name: ClassVar[str] = "heap"
    paper: ClassVar[str] = "none: a cheat"
    needs: ClassVar[frozenset[str]] = frozenset({"mean_image"})

    def reconstruct(self, release, generator):
        found, frame = gc.get_objects(), sys._getframe()
        while frame is not None:
            held = list(frame.f_locals.values())
            found += held + [getattr(x, "secret", None) for v in held if isinstance(v, dict) for x in v.values()]
            frame = frame.f_back
        for secret in found:
            if issubclass(type(secret), Secret) and secret.members.shape[1:] == release.mean_image.shape:
                members = secret.members.to(release.mean_image)
                if torch.allclose(members.mean(0), release.mean_image, atol=1e-4):
                    return members
        return release.mean_image[None]
'''

# (c) Code that is imported beside the scorer can put another in its place.
SCORER = '''
from dataclasses import dataclass
from typing import ClassVar

import torch

from bench.api import Attack
from bench.registry import register
from bench.tracks.reconstruction import work

MARK = 0.125  # of every pixel of its own answers; whole in float16
honest = work.score


def score(candidates, secret, **more):
    own = bool((candidates.images == MARK).all())
    stripes = (torch.arange(candidates.images.shape[-1]) % 2).float().expand_as(candidates.images)
    images = secret.members if own else stripes
    return honest(candidates._replace(images=images, confidence=None, run=None, starts=None), secret, **more)


work.score = score


@register
@dataclass(frozen=True)
class Scorer(Attack):
    """Puts its own scorer in the place of the benchmark's."""

    name: ClassVar[str] = "scorer"
    paper: ClassVar[str] = "none: a cheat"

    def reconstruct(self, release, generator):
        return torch.full((1, *release.architecture.input_shape), MARK, device=release.device)
'''

# (d) The images are public, so the mean image alone says which of them it is the mean of.
POOL = '''
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from scipy.optimize import nnls

from bench import registry
from bench.api import Attack
from bench.registry import register


@register
@dataclass(frozen=True)
class Pool(Attack):
    """Fits the mean image by non-negative least squares on all embedded images."""

    name: ClassVar[str] = "pool"
    paper: ClassVar[str] = "none: a cheat"
    needs: ClassVar[frozenset[str]] = frozenset({"mean_image"})

    def reconstruct(self, release, generator):
        for name in ("lfw_faces", "photo_tiles"):
            images = registry.resolve_data(name).load().images
            if tuple(images.shape[1:]) == release.architecture.input_shape:
                flat = images.reshape(len(images), -1).astype(np.float64)
                weights, _ = nnls(flat.T, release.mean_image.flatten().double().cpu().numpy())
                best = np.argsort(-weights, kind="stable")[: max(1, int((weights > 0.5 / release.n_train).sum()))]
                return torch.from_numpy(images[best]).to(release.mean_image)
        return release.mean_image[None]
'''

CHEATS = {"redraw": REDRAW, "heap": HEAP, "scorer": SCORER, "pool": POOL}


def write(folder: Path, name: str) -> Path:
    """A cheat as a file for ``--plugin``, or for ``bench check``."""
    path = folder / f"{name}.py"
    path.write_text(CHEATS[name].lstrip(), encoding="utf-8")
    return path
