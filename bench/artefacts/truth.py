"""Members and controls to score against: drawn as a setting draws them, or the user's own.

A count of members above a threshold means nothing without the same count of controls: real images of the same kind, as many, of the same
classes, that the network never saw. Who brings members brings controls as well, or names a data set that they are drawn from; images of it
that equal a member, or come as near to one as another copy of the same photograph does, are left out of the draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from bench import registry
from bench.api import ImageSet, Secret, Setting
from bench.artefacts.images import Pictures, in_range, read_images, read_labels
from bench.data.split import check_size, split
from bench.errors import BenchError
from bench.seeds import numpy_generator

# Two images count as copies of one where the root mean squared difference of their pixels is below this share of the contrast (standard
# deviation) of the one: a JPEG copy of a small photograph is at a tenth of it, two handwritten ones are rarely below a fifth.
SAME = 0.15
LEAST_CONTRAST = 0.05
PUBLIC = 50  # images a member that an attacker may own of the same distribution, at most


@dataclass(frozen=True)
class Truth:
    """Both sides, and what else the draw gave."""

    secret: Secret
    labelled: bool  # whether the labels of the members are known; they are 0 where they are not
    public: Float[Tensor, "n c h w"] | None  # neither members nor controls; None where there are none
    notes: tuple[str, ...]


def drawn(setting: Setting) -> Truth:
    """Members, controls and public images of a setting, as its target is trained on them.

    Raises:
        BenchError: the data set is missing or too small.
    """
    parts = split(registry.resolve_data(setting.dataset).load(), setting)
    secret = Secret(
        torch.from_numpy(parts.train),
        torch.from_numpy(parts.train_labels),
        torch.from_numpy(parts.control),
        torch.from_numpy(parts.control_labels),
    )
    note = f"members: the {len(parts.train)} that the setting draws from {setting.dataset} with seed {setting.seed}, and as many controls"
    return Truth(secret, True, torch.from_numpy(parts.public), (note,))


def own(
    members: Path | str,
    controls: Path | str = "",
    labels: Path | str = "",
    setting: Setting | None = None,
    seed: int = 0,
    shape: tuple[int, int, int] | None = None,
) -> Truth:
    """The user's members; controls from files of their own, or drawn from the data set of a setting by its classes.

    Args:
        members, controls: anything that `read_images` reads.
        labels: a file with the members' labels, where sub-folders do not give them.
        setting: which data set, and which of its classes; ignored where controls are given.
        seed: draws controls where there are more than are needed.
        shape: as of `own_members`.

    Raises:
        BenchError: neither controls nor a setting; or the two do not fit together, or share images.
    """
    theirs = own_members(members, labels, shape)
    shape = (theirs.images.shape[1], theirs.images.shape[2], theirs.images.shape[3])
    if controls:
        return paired(theirs, in_range(read_images(controls, shape), str(controls)), seed)
    if setting is None:
        raise BenchError(
            "members without controls: a count of hits proves nothing, for real images that the network never saw pass the threshold too",
            expected="--controls PATH, or --dataset NAME to draw them from",
            hint="as many images of the same kind and classes that were never trained on",
        )
    images, control_labels, public, more = _from_dataset(theirs, setting, seed)
    return _truth(theirs, images, control_labels, public, [*theirs.notes, *more])


def paired(members: Pictures, controls: Pictures, seed: int = 0) -> Truth:
    """Members and controls that somebody brings, as many of both, class by class where both have labels.

    Raises:
        BenchError: the two do not fit together, or share images.
    """
    n, shape = len(members.images), tuple(members.images.shape[1:])
    notes = list(members.notes)
    if tuple(controls.images.shape[1:]) != shape:
        raise BenchError(
            "members and controls have different shapes",
            expected="×".join(map(str, shape)),
            got="×".join(map(str, controls.images.shape[1:])),
        )
    shared = sum(bool((image == members.images).flatten(1).all(1).any()) for image in controls.images)
    if shared:
        raise BenchError(f"{shared} of the controls are members", expected="images that the network was never trained on")
    if len(controls.images) < n:
        raise BenchError("too few controls", expected=f"at least as many as members, {n}", got=str(len(controls.images)))
    given = _in_classes_of(members, controls)
    chosen = _chosen(members.labels, given, n, len(controls.images), seed)
    if len(controls.images) > n:
        notes.append(f"{n} of {len(controls.images)} controls drawn, as many as there are members")
    if members.labels is None or given is None:
        without = "members" if members.labels is None else "controls"
        notes.append(f"the {without} have no labels, so controls are not matched to members class by class")
    elif not torch.equal(given[chosen].sort().values, members.labels.sort().values):
        notes.append("of some class there are fewer controls than members; controls of others fill up")
    return _truth(members, controls.images[chosen], None if given is None else given[chosen], None, notes)


def _truth(members: Pictures, images: Tensor, labels: Tensor | None, public: Tensor | None, notes: Sequence[str]) -> Truth:
    zeros = torch.zeros(len(members.images), dtype=torch.long)
    secret = Secret(members.images, zeros if members.labels is None else members.labels, images, zeros if labels is None else labels)
    return Truth(secret, members.labels is not None, public, tuple(notes))


def own_members(members: Path | str, labels: Path | str = "", shape: tuple[int, int, int] | None = None) -> Pictures:
    """The user's members, with labels where a file, sub-folders or a data source gives them.

    Args:
        shape: c, h, w of an image; needed for files of n × pixels.

    Raises:
        BenchError: as `read_images`, or values outside [0, 1].
    """
    found = in_range(read_images(members, shape), str(members))
    if not labels:
        return found
    given = read_labels(labels, len(found.images))
    return Pictures(found.images, given, (), None, found.notes)


def _in_classes_of(members: Pictures, controls: Pictures) -> Int[Tensor, " n"] | None:
    """The controls' labels as the members count them: a class is told by its name where both sides have names, else by its number.

    Raises:
        BenchError: the controls lack the name of a class of the members.
    """
    if controls.labels is None or not members.names or not controls.names or members.names == controls.names:
        return controls.labels
    if not set(members.names) <= set(controls.names):
        raise BenchError(
            "members and controls have classes of different names",
            expected=", ".join(members.names),
            got=", ".join(controls.names),
            hint="name the sub-folders of both alike, or put the controls into one folder without sub-folders",
        )
    names = [*members.names, *(name for name in controls.names if name not in members.names)]
    return torch.tensor([names.index(name) for name in controls.names])[controls.labels]


def _chosen(wanted: Tensor | None, given: Tensor | None, n: int, available: int, seed: int) -> Int[Tensor, " n"]:
    """Which n controls to take: class by class where both sides have labels and enough images, else by chance."""
    rng = numpy_generator("controls", seed)
    order = torch.from_numpy(rng.permutation(available))
    if wanted is None or given is None:
        return order[:n].sort().values
    counts = torch.bincount(wanted)
    classes = [order[given[order] == k][: int(count)] for k, count in enumerate(counts)]
    chosen = torch.cat(classes)
    if len(chosen) < n:  # too few of a class: others fill up
        rest = order[~torch.isin(order, chosen)]
        chosen = torch.cat([chosen, rest[: n - len(chosen)]])
    return chosen.sort().values


def _from_dataset(theirs: Pictures, setting: Setting, seed: int) -> tuple[Tensor, Tensor, Tensor | None, list[str]]:
    """Controls, their labels and public images of the setting's classes, none of them a member."""
    source = registry.resolve_data(setting.dataset)
    images = source.load()
    shape = tuple(theirs.images.shape[1:])
    if tuple(images.images.shape[1:]) != shape:
        raise BenchError(
            f"images of '{setting.dataset}' have another shape than the members",
            expected="×".join(map(str, shape)),
            got="×".join(map(str, images.images.shape[1:])),
            hint="another --dataset, or --controls",
        )
    check_size(images, setting.model_copy(update={"n_per_class": 1}))
    side = _side_of(images, setting)
    n, classes = len(theirs.images), int(side.max()) + 1
    notes: list[str] = []
    if theirs.labels is not None and int(theirs.labels.max()) < classes:
        wanted = torch.bincount(theirs.labels, minlength=classes).tolist()
    else:
        wanted = [n // classes + (k < n % classes) for k in range(classes)]
        known = 0 if theirs.labels is None else int(theirs.labels.max()) + 1
        why = f"{known}, and {setting.dataset} is asked for {classes} (--set classes={known})" if known else "not known"
        notes.append(f"the members' classes are {why}: controls are drawn from all classes alike")
    flat = theirs.images.flatten(1)
    contrast = flat.std(1).clamp_min(LEAST_CONTRAST)
    chosen: list[np.ndarray] = []
    spare: list[np.ndarray] = []
    near = 0
    for k, count in enumerate(wanted):
        order = numpy_generator("controls", seed, k).permutation(np.flatnonzero(side == k))
        kept: list[np.ndarray] = []
        target = count + PUBLIC * max(count, 1)
        for start in range(0, len(order), 1000):
            part = order[start : start + 1000]
            distance = torch.cdist(_scaled(images, part).flatten(1), flat) / flat.shape[1] ** 0.5
            far = (distance > SAME * contrast).all(1).numpy()
            near += int((~far).sum())
            kept.append(part[far])
            if sum(map(len, kept)) >= target:
                break
        all_kept = np.concatenate(kept) if kept else order[:0]
        if len(all_kept) < count:
            raise BenchError(
                f"data set '{setting.dataset}' has too few images that are no members",
                expected=f"{count} of class {k}",
                got=str(len(all_kept)),
                hint="another --dataset, or --controls",
            )
        chosen.append(all_kept[:count])
        spare.append(all_kept[count:target])
    notes.append(
        f"controls: {n} images of {setting.dataset}, {_per_class(wanted)}"
        + (f"; {near} that equal a member, or nearly, left out" if near else "")
    )
    labels = torch.from_numpy(np.repeat(np.arange(classes), wanted))
    public = np.concatenate(spare)
    return _scaled(images, np.concatenate(chosen)), labels, _scaled(images, public) if len(public) else None, notes


def _side_of(images: ImageSet, setting: Setting) -> np.ndarray:
    """The label of each image in the setting's task; −1: of no class in it."""
    if setting.classes == "binary":
        return np.isin(images.labels, sorted(images.positive)).astype(np.int64)
    return np.where(images.labels < setting.classes, images.labels, -1)


def _scaled(images: ImageSet, index: np.ndarray) -> Float[Tensor, "n c h w"]:
    part = images.images[index].astype(np.float32)
    return torch.from_numpy(part / np.float32(255) if images.images.dtype == np.uint8 else part)


def _per_class(counts: Sequence[int]) -> str:
    return " + ".join(map(str, counts)) + (" of its classes" if len(counts) > 1 else "")
