"""Exact duplicates: found by hashing pixels, so that no image can be a member and a control at once."""

from __future__ import annotations

import hashlib

import numpy as np


def hashes(images: np.ndarray) -> list[bytes]:
    """A 16-byte hash of each image's pixels; equal images have equal hashes. Shape n × …, any dtype."""
    return [hashlib.blake2b(np.ascontiguousarray(image).tobytes(), digest_size=16).digest() for image in images]


def first_occurrences(images: np.ndarray, seen: set[bytes] | None = None) -> np.ndarray:
    """Indices, ascending, of the images that equal no earlier one and none whose hash is in ``seen``; ``seen`` grows by them."""
    seen = set() if seen is None else seen
    keep = []
    for i, key in enumerate(hashes(images)):
        if key not in seen:
            seen.add(key)
            keep.append(i)
    return np.array(keep, dtype=np.int64)
