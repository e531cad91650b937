"""From decoded pixels to an ImageSet: exact duplicates dropped, within the training split and from the test split."""

from __future__ import annotations

import numpy as np

from bench.api import ImageSet
from bench.data.decoded import Arrays
from bench.data.duplicates import first_occurrences


def without_duplicates(images: np.ndarray, labels: np.ndarray, test_images: np.ndarray | None, test_labels: np.ndarray | None) -> Arrays:
    """The arrays of a set under the names ``images labels [test_images test_labels]``, each image once in train and test together."""
    seen: set[bytes] = set()
    keep = first_occurrences(images, seen)
    arrays = {"images": images[keep], "labels": labels[keep]}
    if test_images is not None and test_labels is not None:
        keep = first_occurrences(test_images, seen)
        arrays |= {"test_images": test_images[keep], "test_labels": test_labels[keep]}
    return arrays


def image_set(
    name: str,
    display: str,
    arrays: Arrays,
    class_names: tuple[str, ...],
    binary: tuple[str, str] | None = None,
    positive: frozenset[int] | None = None,
) -> ImageSet:
    """An ImageSet of such arrays. Without a binary task of its own, a set's later half of classes is the positive side."""
    if binary is None or positive is None:
        half = (len(class_names) + 1) // 2
        positive = frozenset(range(half, len(class_names)))
        binary = class_names if len(class_names) == 2 else (f"first {half} classes", "the other classes")  # type: ignore[assignment]
    return ImageSet(
        name,
        display,
        arrays["images"],
        arrays["labels"],
        class_names,
        binary or ("", ""),
        positive,
        arrays.get("test_images"),
        arrays.get("test_labels"),
    )
