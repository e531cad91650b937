"""Members, controls, test and public images: disjoint draws from one source, decided by names alone.

Members and controls are *exchangeable*: within each class the images are shuffled and paired, and a pair gives one image to the members and
one to the controls. So the two have the same size, the same classes and the same distribution, and whatever is measured on the controls
is what chance would have done on the members. Pairs are taken in an order in which every prefix holds the classes in proportion (a side of
a binary task may span several), so a larger training set of the same seed contains the smaller one. Pairs that remain give one image to the
test part and the other to the public part, or both to the public part where the source has a test split of its own.

*Look-alikes* are what is left of the same images: neither members nor controls, and not public, so that no attack can have met them. A
control is one of them as far as anybody can tell. Where more of them are in a test split of the source's own, they are of that.

Members of the *next seed* are a second null beside the controls: what its draw makes members, images of this draw's members, controls and
public part passed over, so that no attack can have met them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.api import ImageSet, Setting
from bench.data.duplicates import hashes
from bench.errors import BenchError
from bench.seeds import numpy_generator

MAX_TEST = 2_000  # images; a standard error of at most 1.1 % on the test accuracy
MAX_PUBLIC = 5_000  # images
PUBLIC_PER_MEMBER = 50
MAX_LOOKALIKES = 1_000  # images
MIN_LEFT = 5  # images a class that test and public must each have


@dataclass(frozen=True)
class Split:
    """One draw. Images float32 n × c × h × w in [0, 1]; labels int64 in 0..K-1, label 1 being the positive side of a binary task."""

    train: np.ndarray
    train_labels: np.ndarray
    control: np.ndarray  # as many as in train, class by class, and never trained on
    control_labels: np.ndarray
    test: np.ndarray  # for the test accuracy; the classes balanced
    test_labels: np.ndarray
    public: np.ndarray  # what an attacker may own of the same distribution; the classes balanced
    public_labels: np.ndarray
    lookalikes: np.ndarray  # of the same kind, no attack can have met them; test images among them; the classes balanced
    other: np.ndarray  # members of the next seed, none of train, control or public; as many as in train, or fewer
    outputs: int  # of the network: 1 for two classes under bce, mse, huber, else the number of classes
    class_names: tuple[str, ...]


def outputs_of(setting: Setting) -> int:
    """How many outputs the network of a setting has: 1 for two classes under bce, mse, huber; else the number of classes."""
    classes = 2 if setting.classes == "binary" else setting.classes
    return 1 if classes == 2 and setting.loss != "ce" else classes


def split(images: ImageSet, setting: Setting, most_public: int = MAX_PUBLIC) -> Split:
    """Draws the parts of a setting; a pure function of the data, ``classes``, ``n_per_class`` and ``seed``.

    Args:
        most_public: images that the public part holds at most.

    Raises:
        BenchError: too few classes or images for the setting (it says the largest n_per_class that works), or a source with an image twice.
    """
    check_size(images, setting)
    sides, names = _sides(images, setting)
    n = setting.n_per_class
    # the source without its path: the key of a target goes by the content, so the same images elsewhere must give the same members
    task = (images.name.partition(":")[0], setting.classes, setting.seed)
    pairs = [_draw(images.labels, side, ("split", *task, k), 2) for k, side in enumerate(sides)]

    members = [p[:n, 0] for p in pairs]
    controls = [p[:n, 1] for p in pairs]
    if images.test_images is not None and images.test_labels is not None:
        test_source = images.test_images
        test = [_draw(images.test_labels, side, ("split-test", *task, k), 1).ravel() for k, side in enumerate(sides)]
        public = [p[n:].ravel() for p in pairs]
    else:
        test_source = images.images
        test = [p[n:, 0] for p in pairs]
        public = [p[n:, 1] for p in pairs]
    test = _balanced(test, MAX_TEST)
    public = _balanced(public, min(most_public, PUBLIC_PER_MEMBER * n * len(sides)))
    left = [rest[~np.isin(rest, own)] for rest, own in zip((p[n:].T.ravel() for p in pairs), public, strict=True)]
    lookalikes, like_test = _balanced(left, MAX_LOOKALIKES), _balanced(test, MAX_LOOKALIKES)

    taken = set(np.concatenate([*members, *controls, *public]).tolist())
    result = Split(
        _pixels(images.images, members),
        _labels(members),
        _pixels(images.images, controls),
        _labels(controls),
        _pixels(test_source, test),
        _labels(test),
        _pixels(images.images, public),
        _labels(public),
        _pixels(images.images, lookalikes) if len(lookalikes[0]) >= len(like_test[0]) else _pixels(test_source, like_test),
        _pixels(images.images, _of_the_next_seed(images, setting, sides, taken)),
        outputs_of(setting),
        names,
    )
    _check_distinct(result, images.name)
    return result


def largest_n_per_class(images: ImageSet, setting: Setting) -> int:
    """The largest n_per_class for which the source has enough images; 0 or less if there is none."""
    sides, _ = _sides(images, setting)
    smallest = min(_pairs(images, side) for side in sides)
    return smallest - (MIN_LEFT + 1) // 2 if images.test_images is not None else smallest - MIN_LEFT


def _pairs(images: ImageSet, side: list[int]) -> int:
    """How many pairs of one class a side has; what is left over of a class stays out."""
    return sum(int((images.labels == c).sum()) // 2 for c in side)


def _sides(images: ImageSet, setting: Setting) -> tuple[list[list[int]], tuple[str, ...]]:
    """For each label of the task the classes of the source that it spans, and the labels' names."""
    known = len(images.class_names)
    if setting.classes == "binary":
        if not images.positive or len(images.positive) == known:
            raise BenchError(
                f"data set '{images.name}' has no binary task",
                expected="classes on both sides",
                hint="set classes to a number, and loss to ce",
            )
        return [[c for c in range(known) if c not in images.positive], sorted(images.positive)], images.binary
    if setting.classes > known:
        raise BenchError(
            f"data set '{images.name}' has {known} classes, the setting asks for {setting.classes}",
            expected=f"classes from 2 to {known}, or binary",
            got=str(setting.classes),
            hint=f"--set classes={known}",
        )
    return [[c] for c in range(setting.classes)], images.class_names[: setting.classes]


def _draw(labels: np.ndarray, classes: list[int], stream: tuple[object, ...], together: int) -> np.ndarray:
    """Images of some classes in rows of ``together`` of one class, shuffled, ordered so that every prefix holds the classes in proportion.

    What is left over of a class stays out.
    """
    rows, keys = [], []
    for c in classes:
        draw = numpy_generator(*stream, c)
        own = draw.permutation(np.flatnonzero(labels == c))
        own = own[: len(own) // together * together].reshape(-1, together)
        rows.append(own)
        keys.append((np.arange(len(own)) + draw.random()) / max(len(own), 1))  # the j-th of m sits at (j + u) / m
    return np.concatenate(rows)[np.argsort(np.concatenate(keys), kind="stable")]


def _of_the_next_seed(images: ImageSet, setting: Setting, sides: list[list[int]], taken: set[int]) -> list[np.ndarray]:
    """For each label the first ``n_per_class`` images, or fewer, that the next seed puts on the members' side and that are not taken."""
    task = (images.name.partition(":")[0], setting.classes, setting.seed + 1)
    drawn = [_draw(images.labels, side, ("split", *task, k), 2)[:, 0] for k, side in enumerate(sides)]
    return [own[[i not in taken for i in own.tolist()]][: setting.n_per_class] for own in drawn]


def _balanced(parts: list[np.ndarray], most: int) -> list[np.ndarray]:
    """The same number of each label, at most ``most`` altogether."""
    each = min(max(most // len(parts), 1), *(len(part) for part in parts))
    return [part[:each] for part in parts]


def _pixels(source: np.ndarray, parts: list[np.ndarray]) -> np.ndarray:
    chosen = source[np.concatenate(parts)]
    return chosen.astype(np.float32) / np.float32(255) if source.dtype == np.uint8 else chosen.astype(np.float32)


def _labels(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.full(len(part), k, dtype=np.int64) for k, part in enumerate(parts)])


def check_size(images: ImageSet, setting: Setting) -> None:
    """Whether the source is large enough: each label needs n pairs, and enough beyond them for the test and the public part.

    Raises:
        BenchError: it is not; the message says the largest n_per_class that works.
    """
    sides, names = _sides(images, setting)
    own_test = images.test_images is not None and images.test_labels is not None
    beyond = (MIN_LEFT + 1) // 2 if own_test else MIN_LEFT
    pairs = [_pairs(images, side) for side in sides]
    k = int(np.argmin(pairs))
    if pairs[k] >= setting.n_per_class + beyond:
        if own_test:
            _check_own_test(images, setting, names)
        return
    largest = largest_n_per_class(images, setting)
    raise BenchError(
        f"data set '{images.name}' is too small for n_per_class={setting.n_per_class}",
        expected=f"at least {2 * (setting.n_per_class + beyond)} images of '{names[k]}': members, controls, {2 * beyond} beyond them",
        got=f"about {2 * pairs[k]}",
        hint=f"--set n_per_class={largest}, the largest that works" if largest >= 1 else "a larger data set, or fewer classes",
    )


def _check_own_test(images: ImageSet, setting: Setting, names: tuple[str, ...]) -> None:
    assert images.test_labels is not None
    for name, side in zip(names, _sides(images, setting)[0], strict=True):
        count = int(np.isin(images.test_labels, side).sum())
        if count < MIN_LEFT:
            raise BenchError(
                f"the test split of '{images.name}' is too small",
                expected=f"at least {MIN_LEFT} images of '{name}'",
                got=str(count),
                hint="put more images into it, or leave it out: the test part then comes from the rest",
            )


def _check_distinct(result: Split, name: str) -> None:
    """No image twice, within or across the parts. Sources have removed duplicates already; this is the proof, for every draw."""
    keys = [key for part in (result.train, result.control, result.test, result.public) for key in hashes(part)]
    if len(set(keys)) < len(keys):
        raise BenchError(
            f"data set '{name}' holds {len(keys) - len(set(keys))} images twice among those drawn",
            expected="each image once, in training and test together",
            hint="its load() should drop them with bench.data.duplicates.first_occurrences",
        )
