"""The contract of a data set."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from bench import registry
from bench.api import DataSource, Setting
from bench.check.outcomes import Outcome, Tests, need, text
from bench.data.duplicates import hashes
from bench.data.split import largest_n_per_class, split


def check_data(name: str) -> list[Outcome]:
    """The contract of a data set, by the name that a setting would use (with its path, where it takes one)."""
    tests = Tests()
    cls = registry.get("data", name.partition(":")[0])
    tests.run("has a docstring", lambda: need(bool(cls.__doc__), "write one"))
    tests.run("has a one-line summary", lambda: need(bool(getattr(cls, "summary", "")), "summary = '...' is missing"))
    if getattr(cls, "takes_path", False) and ":" not in name:
        tests.add("loads", True, f"not tested: give a path, as in {name}:PATH")
        return tests.outcomes
    source: DataSource = registry.resolve_data(name)
    missing = tests.run("missing() gives a text", lambda: text(source.missing()))
    if missing is None:
        return tests.outcomes
    if missing:
        tests.add("loads", True, f"not tested: {missing}")
        return tests.outcomes

    def digest() -> None:
        got = source.digest()
        need(bool(re.fullmatch("[0-9a-f]{16}", got)), f"digest {got!r}, not 16 hex digits")
        need(registry.resolve_data(name).digest() == got, "a second source of the same name gave another digest")

    tests.run("digest() is 16 hex digits, and stable", digest)
    images = tests.run("loads", source.load)
    if images is None:
        return tests.outcomes

    def form() -> None:
        for part in (images.images, images.test_images):
            if part is None:
                continue
            need(part.dtype in (np.float32, np.uint8) and part.ndim == 4, f"images {part.dtype}, {part.ndim} dimensions")
            if part.dtype == np.float32:
                need(bool(np.isfinite(part).all()), "images that are not finite")
                need(float(part.min()) >= 0 and float(part.max()) <= 1, "pixel values outside [0, 1]")
        need(images.labels.dtype == np.int64 and len(images.labels) == len(images.images), f"labels {images.labels.dtype}")
        need(set(np.unique(images.labels)) <= set(range(len(images.class_names))), "labels beyond the class names")
        shape = tuple(source.image_shape())
        need(shape == images.images.shape[1:], f"image_shape() says {shape}")

    def distinct() -> None:
        found = hashes(images.images)
        need(len(set(found)) == len(found), f"{len(found) - len(set(found))} images stand twice")

    tests.run("images are n×c×h×w, float32 in [0, 1] or uint8 in 0..255; labels are int64", form)
    tests.run("no image stands twice", distinct)
    for classes, loss in (("binary", "bce"), (2, "ce")):
        if classes == "binary" and not images.positive:
            continue
        tests.run(f"splits are disjoint and alike ({classes})", lambda c=classes, s=loss: _check_split(images, name, c, s))  # type: ignore[misc]
    return tests.outcomes


def _check_split(images: Any, name: str, classes: Any, loss: str) -> None:
    setting = Setting.model_validate({"dataset": name, "classes": classes, "loss": loss, "n_per_class": 1})
    most = largest_n_per_class(images, setting)
    need(most >= 1, "too few images for a single one a class")
    setting = setting.model_copy(update={"n_per_class": min(5, most)})
    parts = split(images, setting)
    need(parts.train.shape == parts.control.shape, "members and controls differ in number")
    need(bool((np.bincount(parts.train_labels) == np.bincount(parts.control_labels)).all()), "members and controls differ in classes")
    every = [h for part in (parts.train, parts.control, parts.test, parts.public) for h in hashes(part)]
    need(len(set(every)) == len(every), "one image stands in two parts")
    again = split(images, setting)
    need(np.array_equal(again.train, parts.train), "the same setting was split otherwise")
