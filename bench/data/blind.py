"""``blind:NAME``: another set in a secret order, each image secretly changed a little, so that nobody can draw the members again.

The order follows from a *salt*, and ``bench.data.split`` draws by position: which images are members is as secret as the salt. Whoever has
the set could still look which of its images a mean image is the mean of. So each is moved, turned, mirrored and given another contrast by
draws of its own: members, controls, test and public images alike. What is left is an image of the same kind that stands in no file.

Whoever judges holds the salt, in memory (`holding`) or in ``$RECONBENCH_SALT``. It is never written, printed or put into a row: rows have
digests, and those are made slowly, so that nobody tries salts until one fits.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import os
import secrets
from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

import numpy as np

from bench import registry
from bench.api import DataSource, ImageSet
from bench.data.assemble import without_duplicates
from bench.errors import BenchError
from bench.registry import register
from bench.seeds import numpy_generator

SALT = "RECONBENCH_SALT"
SHORTEST, LEAST_DIFFERENT = 16, 8  # characters of a salt
ROUNDS = 200_000  # of PBKDF2: a tenth of a second for one salt, and years for a dictionary of them
SHIFT, TURN, CONTRAST = 2.0, 8.0, 0.15  # at most: pixels, degrees, parts of 1

_held: list[str] = []  # the salts of `holding`, the last one counts


@register
class Blind(DataSource):
    """Another data set in an order that follows from a secret salt, each of its images changed a little. `verify` runs on such sets."""

    name: ClassVar[str] = "blind"
    summary: ClassVar[str] = "blind:NAME, another set, split and changed a little by a secret salt (python -m bench verify)"
    takes_path: ClassVar[bool] = True

    def inner(self) -> DataSource:
        """The set behind it.

        Raises:
            BenchError: there is none of that name, or it is blind itself.
        """
        if self.path.partition(":")[0] == self.name:
            raise BenchError(f"blind:{self.path} is blind twice", expected="blind:NAME", hint="once is enough")
        source: DataSource = registry.resolve_data(self.path)
        return source

    def missing(self) -> str:
        """See DataSource."""
        try:
            salt()
        except BenchError as error:
            return f"{error.what}; {error.hint}"
        return self.inner().missing()

    def digest(self) -> str:
        """See DataSource. It changes with the salt."""
        return _digest("data", self.inner().digest())

    def image_shape(self) -> tuple[int, int, int]:
        """See DataSource."""
        return self.inner().image_shape()

    def load(self) -> ImageSet:
        """See DataSource."""
        return _load(self.path, self.inner().digest(), _key(salt()))


@contextlib.contextmanager
def taken() -> Iterator[str]:
    """The salt of the environment, or a fresh one where it has none. Meanwhile the environment has none, so that code which is loaded or
    started by whoever judges finds none there.

    Raises:
        BenchError: it is too short, or easily guessed.
    """
    given = os.environ.pop(SALT, None)
    try:
        yield check(given) if given else secrets.token_hex(32)
    finally:
        if given is not None:
            os.environ[SALT] = given


@contextlib.contextmanager
def holding(secret: str) -> Iterator[None]:
    """Holds a salt in memory: meanwhile there are blind sets. Raises as `taken`."""
    _held.append(check(secret))
    try:
        yield
    finally:
        _held.pop()


def salt() -> str:
    """The salt that is held, or else ``$RECONBENCH_SALT``.

    Raises:
        BenchError: there is none, it is too short, or easily guessed.
    """
    if _held:
        return _held[-1]
    given = os.environ.get(SALT)
    if not given:
        raise BenchError(f"{SALT} is not set", expected="a secret salt", hint="python -m bench verify, which draws one")
    return check(given)


def for_workers() -> dict[str, str]:
    """What worker processes of the judge add to their environment: the salt that is held, if any. It travels in their setup, since the
    environment that a process starts with can be read by others."""
    return {SALT: _held[-1]} if _held else {}


def check(secret: str) -> str:
    """The salt as it is.

    Raises:
        BenchError: it is too short, or easily guessed. The message does not say it.
    """
    steps = {ord(b) - ord(a) for a, b in itertools.pairwise(secret)}
    few, counted, repeated = len(set(secret)) < LEAST_DIFFERENT, len(steps) < LEAST_DIFFERENT // 2, secret in (secret + secret)[1:-1]
    if len(secret) < SHORTEST or few or counted or repeated:
        raise BenchError(
            "the salt is easily guessed",
            expected=f"{SHORTEST} characters or more, {LEAST_DIFFERENT} of them different, and no sequence or repetition",
            got=f"{len(secret)} characters, {len(set(secret))} of them different",
            hint=f"leave {SALT} out, and verify draws one; or python -c 'import secrets; print(secrets.token_hex())'",
        )
    return secret


def salt_digest() -> str:
    """16 hex digits that name the salt and do not tell it. Raises as `salt`."""
    return _digest("salt")


def _digest(*what: str) -> str:
    return hashlib.sha256("\0".join(("reconbench blind 1", *what, _key(salt()))).encode()).hexdigest()[:16]


@functools.lru_cache(maxsize=4)
def _key(secret: str) -> str:
    """What order, changes and digests follow from."""
    return hashlib.pbkdf2_hmac("sha256", secret.encode(errors="surrogateescape"), b"reconbench blind 1", ROUNDS).hex()


@functools.lru_cache(maxsize=2)
def _load(name: str, digest: str, key: str) -> ImageSet:
    source: DataSource = registry.resolve_data(name)
    images = source.load()
    order = numpy_generator("blind", key, "order").permutation(len(images.images))
    test = images.test_images
    parts = without_duplicates(
        changed(images.images[order], key, "images", source.mirrored),
        images.labels[order],
        None if test is None else changed(test, key, "test", source.mirrored),
        images.test_labels,
    )
    named = replace(images, name=f"blind:{images.name}", display=f"{images.display}, blind", images=parts["images"], labels=parts["labels"])
    return replace(named, test_images=parts.get("test_images"), test_labels=parts.get("test_labels"))


def changed(images: np.ndarray, key: str, part: str, mirrored: bool) -> np.ndarray:
    """Each image moved, turned, mirrored and given another contrast, by draws of its own. n × c × h × w, of the dtype that came.

    Args:
        key: names the draws, with ``part``.
        mirrored: whether images may be mirrored.
    """
    from scipy.ndimage import affine_transform

    rng, n = numpy_generator("blind", key, "change", part), len(images)
    angles, contrasts = np.radians(rng.uniform(-TURN, TURN, n)), 1 + rng.uniform(-CONTRAST, CONTRAST, n)
    moves, flips = rng.uniform(-SHIFT, SHIFT, (n, 2)), rng.random(n) < (0.5 if mirrored else 0.0)
    middle = (np.array(images.shape[2:]) - 1) / 2
    result = np.empty_like(images)
    white = 255.0 if images.dtype == np.uint8 else 1.0
    for i, image in enumerate(images):
        cos, sin = np.cos(angles[i]), np.sin(angles[i])
        turn = np.array([[cos, -sin], [sin, cos]])
        if flips[i]:
            turn[:, 1] *= -1
        offset = middle - turn @ (middle + moves[i])
        pixels = np.stack([affine_transform(channel, turn, offset, order=3, mode="reflect") for channel in image.astype(np.float64)])
        mean = pixels.mean()
        pixels = np.clip(mean + contrasts[i] * (pixels - mean), 0, white)
        result[i] = np.rint(pixels) if images.dtype == np.uint8 else pixels
    return result
