"""Another set behind a salt: the same salt gives the same members, another gives others, and nobody is told the salt."""

from __future__ import annotations

import contextlib
import itertools
import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import registry
from bench.api import DataSource, ImageSet, Setting
from bench.check import check_plugin
from bench.data import blind
from bench.data.blind import changed, holding, salt_digest
from bench.data.duplicates import hashes
from bench.data.split import split
from bench.errors import BenchError

SALTS = ("one salt of this test", "and another salt of it")
PUBLIC = ("lfw_faces", "photo_tiles")


@pytest.fixture(autouse=True)
def _no_salt(monkeypatch):
    monkeypatch.delenv(blind.SALT, raising=False)


def members(dataset: str, seed: int = 0, n: int = 10) -> np.ndarray:
    return split(registry.resolve_data(dataset).load(), Setting(dataset=dataset, n_per_class=n, seed=seed)).train


def likeness(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Correlation of every image of one with every image of the other."""
    flat = [(x - x.mean((1, 2, 3), keepdims=True)).reshape(len(x), -1) for x in (a, b)]
    flat = [x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9) for x in flat]
    return flat[0] @ flat[1].T


@pytest.mark.parametrize("name", PUBLIC)
def test_a_blind_set_keeps_the_contract_of_every_source(name):
    with holding(SALTS[0]):
        for _, outcomes in check_plugin(f"blind:{name}"):
            assert {o.name: o.detail for o in outcomes if not o.ok} == {}
            assert len(outcomes) >= 8, "the images were looked at"


@pytest.mark.parametrize("name", PUBLIC)
def test_the_salt_decides_everything(name, monkeypatch):
    source, found = registry.resolve_data(f"blind:{name}"), {}
    for salt in SALTS:
        with holding(salt):
            found[salt] = source.digest(), salt_digest(), members(f"blind:{name}")
    digests = {registry.resolve_data(name).digest(), *(f[0] for f in found.values()), *(f[1] for f in found.values())}
    assert len(digests) == 5
    assert not {*hashes(found[SALTS[0]][2])} & {*hashes(found[SALTS[1]][2])}
    blind._load.cache_clear()
    monkeypatch.setenv(blind.SALT, SALTS[0])  # held or in the environment, it is the same
    assert (source.digest(), salt_digest()) == found[SALTS[0]][:2]
    assert np.array_equal(members(f"blind:{name}"), found[SALTS[0]][2])


@pytest.mark.parametrize("name", PUBLIC)
def test_no_image_stands_there_as_it_was_and_each_is_the_same_picture_still(name):
    public = registry.resolve_data(name).load().images
    with holding(SALTS[0]):
        found = registry.resolve_data(f"blind:{name}").load().images
    assert not {*hashes(found)} & {*hashes(public)}
    order = blind.numpy_generator("blind", blind._key(SALTS[0]), "order").permutation(len(public))
    alike = [likeness(public[i : i + 1], found[place : place + 1])[0, 0] for place, i in enumerate(order[:150])]
    assert np.median(alike) > 0.3


@pytest.mark.parametrize("name", PUBLIC)
def test_which_images_are_members_follows_from_the_salt_alone(name, monkeypatch):
    """Left as they are, images tell which ones were drawn: by neither salt those of the other, nor those of a public draw."""
    monkeypatch.setattr(blind, "changed", lambda images, *_: images)
    drawn = []
    for salt in SALTS:
        blind._load.cache_clear()
        with holding(salt):
            drawn.append({*hashes(members(f"blind:{name}"))})
    blind._load.cache_clear()
    renamed = replace(registry.resolve_data(name).load(), name=f"blind:{name}")  # the split of the set behind it, under that name
    drawn.append({*hashes(split(renamed, Setting(dataset=f"blind:{name}")).train)})
    drawn += [{*hashes(members(name, seed))} for seed in range(10)]
    for one, other in itertools.combinations(drawn, 2):
        assert len(one & other) < 0.6 * len(one)


@settings(max_examples=15)
@given(seed=st.integers(0, 1000), n=st.integers(1, 20), salt=st.sampled_from(SALTS))
def test_members_controls_and_public_images_are_apart(seed, n, salt):
    with holding(salt):
        parts = split(registry.resolve_data("blind:lfw_faces").load(), Setting(dataset="blind:lfw_faces", n_per_class=n, seed=seed))
    keys = [{*hashes(part)} for part in (parts.train, parts.control, parts.test, parts.public)]
    assert all(not a & b for a, b in itertools.combinations(keys, 2))
    assert len(keys[0]) == len(keys[1]) == 2 * n


def test_labels_classes_and_shape_stay():
    plain = registry.resolve_data("photo_tiles").load()
    with holding(SALTS[0]):
        source = registry.resolve_data("blind:photo_tiles")
        found = source.load()
    assert source.image_shape() == found.images.shape[1:] == plain.images.shape[1:]
    assert np.array_equal(np.bincount(found.labels), np.bincount(plain.labels))
    assert (found.class_names, found.binary, found.positive) == (plain.class_names, plain.binary, plain.positive)
    assert (found.name, found.display) == ("blind:photo_tiles", "photo_tiles, blind")
    assert found.images.dtype == np.float32


def test_each_image_is_changed_on_its_own_and_within_bounds():
    image = registry.resolve_data("photo_tiles").load().images[700]
    for pixels in (np.stack([image] * 40), (np.stack([image] * 40) * 255).astype(np.uint8)):
        found = changed(pixels, "key", "images", mirrored=True)
        assert found.dtype == pixels.dtype
        assert found.shape == pixels.shape
        assert len(set(hashes(found))) == 40, "copies do not stay copies"
        assert np.array_equal(found, changed(pixels, "key", "images", mirrored=True))
        assert not {*hashes(found)} & {*hashes(changed(pixels, "key", "test", mirrored=True))}
        assert 0 <= found.min() <= found.max() <= (255 if pixels.dtype == np.uint8 else 1)


def test_a_digit_is_never_mirrored():
    """A bar at the left: where it is mirrored it stands at the right, which no shift of two pixels does."""
    bar = np.zeros((60, 1, 28, 28), dtype=np.float32)
    bar[..., 6:10] = 1.0
    right = [(image[0, :, 14:].sum() > image[0, :, :14].sum()) for image in changed(bar, "key", "images", mirrored=False)]
    assert not any(right)
    right = [(image[0, :, 14:].sum() > image[0, :, :14].sum()) for image in changed(bar, "key", "images", mirrored=True)]
    assert 15 < sum(right) < 45
    assert not registry.get("data", "mnist").mirrored
    assert registry.get("data", "cifar10").mirrored


def test_a_set_of_its_own_test_split_is_blind_throughout(monkeypatch):
    rng = np.random.default_rng(0)
    images, test = (rng.integers(0, 255, (n, 1, 12, 12)).astype(np.uint8) for n in (60, 20))
    plain = ImageSet("noise", "noise", images, np.arange(60) % 2, ("a", "b"), ("a", "b"), frozenset({1}), test, np.arange(20) % 2)

    class Noise(DataSource):
        name, summary, mirrored = "noise", "noise", False

        def digest(self):
            return "0" * 16

        def load(self):
            return plain

    monkeypatch.setitem(registry._plugins, ("data", "noise"), registry.Entry("data", "noise", "", "here", cls=Noise))
    with holding(SALTS[0]):
        found = registry.resolve_data("blind:noise").load()
    assert found.images.dtype == found.test_images.dtype == np.uint8
    assert len(found.test_images) == 20
    assert np.array_equal(found.test_labels, plain.test_labels)
    assert not {*hashes(found.test_images)} & {*hashes(test)}


@pytest.mark.parametrize(
    "bad", ["short", "a" * 40, "0123456789abcdef"[:15], "abcdefghijklmnopqrstuvwxyz", "12345678" * 4, "abab" * 10, "0123456789" * 2]
)
def test_a_salt_that_can_be_guessed_is_refused_and_not_repeated(bad, monkeypatch):
    with pytest.raises(BenchError, match="easily guessed") as error, holding(bad):
        pass
    assert bad not in str(error.value)
    monkeypatch.setenv(blind.SALT, bad)
    source = registry.resolve_data("blind:lfw_faces")
    assert "easily guessed" in source.missing()
    assert bad not in source.missing()
    for ask in (source.digest, source.load, salt_digest):
        with pytest.raises(BenchError, match="easily guessed"):
            ask()


def test_without_a_salt_there_is_nothing():
    source = registry.resolve_data("blind:lfw_faces")
    assert "RECONBENCH_SALT is not set" in source.missing()
    assert "bench verify" in source.missing()
    for ask in (source.digest, source.load, salt_digest):
        with pytest.raises(BenchError, match="RECONBENCH_SALT is not set"):
            ask()


def test_what_is_behind_it_must_be_there():
    with holding(SALTS[0]):
        assert "folder:nowhere" in registry.resolve_data("blind:folder:nowhere").missing()
        with pytest.raises(BenchError, match="blind twice"):
            registry.resolve_data("blind:blind:lfw_faces").missing()
        with pytest.raises(BenchError, match="unknown data set 'lfw_face'"):
            registry.resolve_data("blind:lfw_face").missing()


def test_a_salt_is_taken_out_of_the_environment_held_and_let_go(monkeypatch):
    monkeypatch.setenv(blind.SALT, SALTS[0])
    with contextlib.suppress(RuntimeError), blind.taken() as salt, holding(salt):
        assert salt == blind.salt() == SALTS[0]
        assert blind.SALT not in os.environ
        assert blind.for_workers() == {blind.SALT: SALTS[0]}
        raise RuntimeError
    assert os.environ[blind.SALT] == SALTS[0]
    assert blind.for_workers() == {}
    monkeypatch.delenv(blind.SALT)
    with blind.taken() as one, blind.taken() as other:
        assert one != other
        assert len(blind.check(one)) == 64
    monkeypatch.setenv(blind.SALT, "password")
    with pytest.raises(BenchError, match="easily guessed"), blind.taken():
        pass
    assert os.environ[blind.SALT] == "password"
