"""The parts of a draw: disjoint, balanced, exchangeable, decided by names alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.api import ImageSet, Setting
from bench.data.split import MAX_LOOKALIKES, MIN_LEFT, Split, largest_n_per_class, outputs_of, split
from bench.errors import BenchError
from bench.registry import resolve_data

PARTS = ("train", "control", "test", "public")


def numbered(counts: list[int], test_counts: list[int] | None = None, dtype: type = np.float32) -> ImageSet:
    """A set whose image i has i in its pixels, so that a part tells which images are in it."""

    def block(start: int, sizes: list[int]) -> tuple[np.ndarray, np.ndarray]:
        n = sum(sizes)
        codes = np.arange(start, start + n)
        digits = np.stack([codes % 16, codes // 16 % 16, codes // 256 % 16, codes // 4096], 1).reshape(n, 1, 2, 2)
        images = digits.astype(np.uint8) if dtype is np.uint8 else (digits / 255).astype(np.float32)
        order = np.random.default_rng(start).permutation(n)
        return images[order], np.repeat(np.arange(len(sizes)), sizes)[order]

    images, labels = block(0, counts)
    test = block(len(images), test_counts) if test_counts else (None, None)
    names = tuple(f"class {c}" for c in range(len(counts)))
    return ImageSet("numbered", "numbered", images, labels, names, ("low", "high"), frozenset(range(len(counts) // 2, len(counts))), *test)


def codes(images: np.ndarray) -> np.ndarray:
    digits = np.rint(images.reshape(len(images), 4) * 255).astype(int)
    return digits @ np.array([1, 16, 256, 4096])


def classes_of(source: ImageSet, images: np.ndarray) -> np.ndarray:
    scale = 1 if source.images.dtype == np.uint8 else 255
    known = dict(zip(codes(source.images / (255 / scale)), source.labels, strict=True))
    if source.test_images is not None:
        known |= dict(zip(codes(source.test_images / (255 / scale)), source.test_labels, strict=True))
    return np.array([known[code] for code in codes(images)])


@st.composite
def draws(draw: st.DrawFn) -> tuple[ImageSet, Setting]:
    counts = draw(st.lists(st.integers(14, 40), min_size=2, max_size=6))
    test_counts = [draw(st.integers(MIN_LEFT, 12)) for _ in counts] if draw(st.booleans()) else None
    source = numbered(counts, test_counts, draw(st.sampled_from([np.float32, np.uint8])))
    classes = draw(st.sampled_from(["binary", *range(2, len(counts) + 1)]))
    setting = Setting(classes=classes, loss="ce", n_per_class=1, seed=draw(st.integers(0, 2**31 - 1)))
    n = draw(st.integers(1, largest_n_per_class(source, setting)))
    return source, setting.model_copy(update={"n_per_class": n})


@settings(max_examples=60, deadline=None)
@given(draws())
def test_parts_are_disjoint_balanced_and_labelled_right(case: tuple[ImageSet, Setting]) -> None:
    source, setting = case
    result = split(source, setting)
    k = 2 if setting.classes == "binary" else setting.classes

    everything = np.concatenate([codes(getattr(result, part)) for part in PARTS])
    assert len(set(everything)) == len(everything)

    for part in ("train", "control"):
        labels = getattr(result, f"{part}_labels")
        assert np.bincount(labels, minlength=k).tolist() == [setting.n_per_class] * k
    for part in PARTS:
        images = getattr(result, part)
        assert images.dtype == np.float32
        assert 0 <= images.min() <= images.max() <= 1
    for part in ("train", "control", "test"):
        own = classes_of(source, getattr(result, part))
        expected = np.isin(own, list(source.positive)).astype(int) if setting.classes == "binary" else own
        assert (getattr(result, f"{part}_labels") == expected).all()
    # The same class balance for members and controls, down to the classes within a side.
    assert (
        np.bincount(classes_of(source, result.train), minlength=6) == np.bincount(classes_of(source, result.control), minlength=6)
    ).all()
    assert np.ptp(np.bincount(result.test_labels, minlength=k)) == 0
    assert len(result.test_labels) >= MIN_LEFT * k
    assert len(result.public) >= MIN_LEFT * k


@settings(max_examples=20, deadline=None)
@given(draws())
def test_a_draw_depends_on_its_names_alone(case: tuple[ImageSet, Setting]) -> None:
    source, setting = case
    first = split(source, setting)
    split(source, setting.model_copy(update={"seed": setting.seed ^ 1}))
    np.random.seed(0)  # the global generator has no say
    other = setting.model_copy(update={"lr": 0.5, "hidden": (7,), "weight_decay": 0.1, "epochs": 3})
    assert_same(first, split(source, other))


def assert_same(a: Split, b: Split) -> None:
    for field in dataclasses.fields(Split):
        x, y = getattr(a, field.name), getattr(b, field.name)
        assert (x == y).all() if isinstance(x, np.ndarray) else x == y


def test_a_larger_training_set_of_one_seed_contains_the_smaller() -> None:
    source = numbered([80, 40, 60, 20])
    small, large = (split(source, Setting(n_per_class=n)) for n in (10, 25))
    assert set(codes(small.train)) < set(codes(large.train))
    assert set(codes(small.control)) < set(codes(large.control))


def test_classes_within_a_side_come_in_proportion() -> None:
    result = split(source := numbered([150, 50, 100, 100]), Setting(n_per_class=40))
    assert np.abs(np.bincount(classes_of(source, result.train)) - [30, 10, 20, 20]).max() <= 1


def test_members_and_controls_are_exchangeable() -> None:
    source = numbered([30, 30])
    member, control = np.zeros(60), np.zeros(60)
    for seed in range(400):
        result = split(source, Setting(n_per_class=8, seed=seed))
        member[codes(result.train)] += 1
        control[codes(result.control)] += 1
    # Each image is a member, and a control, with probability 8/30: 107 of 400 times, standard deviation 8.8. Five of them, 120 times over.
    assert np.abs(member - 400 * 8 / 30).max() < 45
    assert np.abs(control - 400 * 8 / 30).max() < 45
    assert abs(member.std() - 8.8) < 3


def test_seeds_draw_differently() -> None:
    source = numbered([60, 60])
    a, b = (split(source, Setting(n_per_class=10, seed=seed)) for seed in (0, 1))
    assert set(codes(a.train)) != set(codes(b.train))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(14, 40), min_size=2, max_size=4), st.booleans())
def test_too_small_a_set_says_the_largest_that_works(counts: list[int], own_test: bool) -> None:
    source = numbered(counts, [6] * len(counts) if own_test else None)
    largest = largest_n_per_class(source, Setting())
    split(source, Setting(n_per_class=largest))
    with pytest.raises(BenchError, match="too small") as caught:
        split(source, Setting(n_per_class=largest + 1))
    assert f"n_per_class={largest}," in caught.value.hint
    assert "images of" in caught.value.expected


def test_too_many_classes_and_too_small_a_test_split_are_named() -> None:
    with pytest.raises(BenchError, match="has 2 classes, the setting asks for 3"):
        split(numbered([20, 20]), Setting(classes=3, loss="ce", n_per_class=2))
    with pytest.raises(BenchError, match="test split of 'numbered' is too small"):
        split(numbered([40, 40], [9, 2]), Setting(n_per_class=2))


def test_a_source_that_holds_an_image_twice_is_refused() -> None:
    source = numbered([20, 20])
    source.images[:] = source.images[0]
    with pytest.raises(BenchError, match="twice"):
        split(source, Setting(n_per_class=3))


@pytest.mark.parametrize(
    ("classes", "loss", "outputs"), [("binary", "bce", 1), ("binary", "ce", 2), (2, "mse", 1), (5, "mse", 5), (5, "ce", 5)]
)
def test_outputs(classes: int | str, loss: str, outputs: int) -> None:
    assert outputs_of(Setting(classes=classes, loss=loss)) == outputs


@pytest.mark.parametrize(("dataset", "n"), [("lfw_faces", 10), ("lfw_faces", 45), ("photo_tiles", 10), ("photo_tiles", 250)])
def test_the_embedded_sets_split(dataset: str, n: int) -> None:
    result = split(resolve_data(dataset).load(), Setting(dataset=dataset, n_per_class=n))
    assert len(result.train) == len(result.control) == 2 * n
    assert min(len(result.test), len(result.public)) >= 2 * MIN_LEFT


@given(draws())
@settings(max_examples=40, deadline=None)
def test_the_next_seeds_members_are_its_own_and_nobody_has_met_them(drawn: tuple[ImageSet, Setting]) -> None:
    source, setting = drawn
    mine, following = split(source, setting), split(source, setting.model_copy(update={"seed": setting.seed + 1}))
    other = codes(mine.other).tolist()
    met = {code for part in ("train", "control", "public") for code in codes(getattr(mine, part)).tolist()}
    assert len(set(other)) == len(other) <= len(mine.train)
    assert not met & set(other)
    theirs = {code for part in ("control", "public") for code in codes(getattr(following, part)).tolist()}
    if source.test_images is None:  # then half of each pair is on its members' side, in training or in the test part
        assert not theirs & set(other)
    fresh = [code for code in codes(following.train).tolist() if code not in met]
    assert set(fresh) <= set(other)


@given(draws())
@settings(max_examples=40, deadline=None)
def test_look_alikes_are_of_the_same_source_and_nobody_is_handed_them(drawn: tuple[ImageSet, Setting]) -> None:
    source, setting = drawn
    result = split(source, setting)
    k = 2 if setting.classes == "binary" else setting.classes
    found = codes(result.lookalikes).tolist()
    assert len(set(found)) == len(found) <= MAX_LOOKALIKES
    assert not {code for part in ("train", "control", "public") for code in codes(getattr(result, part)).tolist()} & set(found)
    own = classes_of(source, result.lookalikes)
    labels = np.isin(own, list(source.positive)).astype(int) if setting.classes == "binary" else own
    assert np.ptp(np.bincount(labels, minlength=k)) == 0
    from_test = set(found) <= set(codes(result.test).tolist())
    if source.test_images is None:
        assert set(codes(result.test).tolist()) <= set(found), "whoever is in the test part, and what else is left"
    else:
        assert from_test or not set(found) & set(codes(result.test).tolist()), "of one source, not of two"
    assert len(found) >= len(result.test)


def test_of_many_images_a_thousand_are_look_alikes_from_the_members_own_source_if_it_can_be() -> None:
    source = numbered([1500, 1500], [600, 600])
    plenty = split(source, Setting(n_per_class=5))
    assert len(plenty.lookalikes) == MAX_LOOKALIKES
    assert set(codes(plenty.lookalikes)) <= set(codes(source.images / np.float32(1)))
    scarce = split(source, Setting(n_per_class=300))  # all that is left is public
    assert set(codes(scarce.lookalikes)) <= set(codes(scarce.test))
    assert len(scarce.lookalikes) == MAX_LOOKALIKES
