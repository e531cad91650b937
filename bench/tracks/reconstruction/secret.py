"""What the scorer sees of a target. Of a watermarked one that is everything that it memorises, planted inputs included.

A defence that plants nothing leaves the members the images that the setting draws, whatever it does to them before training. One that
plants (`Defense.planted`) has other images in the network too, and wrong labels: then planted inputs are members beside the images of the
setting, each image once, under the label that it was trained with. (What a boost makes of planted inputs, such as blends, are training
images, but no members: nobody asks for them.) Controls are alike in kind: beside planted inputs that are no images of the setting stand
unplanted ones, and beside mislabelled members controls under labels drawn alike.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bench import seeds
from bench.api import Defense, Rehearsal, Training
from bench.data.duplicates import first_occurrences, hashes
from bench.data.split import Split
from bench.errors import BenchError
from bench.tracks.reconstruction.release import Secret


def training_data(parts: Split, defense: Defense, name: str) -> tuple[Float[Tensor, "n c h w"], Int[Tensor, " n"]]:
    """Images in [0, 1] and labels, after the defence has had its say.

    Args:
        name: of the target; names the random stream of the defence.
    """
    shape = parts.train.shape[1:]
    images, labels = defense.before_training(torch.from_numpy(parts.train), torch.from_numpy(parts.train_labels), _stream(name))
    if images.shape[1:] != shape or len(images) != len(labels) or labels.ndim != 1:
        raise BenchError(
            f"defence '{defense.name}': before_training returned images and labels that do not fit",
            expected=f"images n x {' x '.join(map(str, shape))}, and n labels",
            got=f"{tuple(images.shape)} and {tuple(labels.shape)}",
            hint=f"python -m bench check {defense.name}",
        )
    return images, labels


def rehearsal_of(parts: Split, defense: Defense, name: str, mean: Float[Tensor, "c h w"]) -> Rehearsal | None:
    """What the owner rehearses in training, its questions centred.

    Args:
        name: of the target, as in `training_data`.
    """
    found = defense.rehearsal(torch.from_numpy(parts.train), torch.from_numpy(parts.train_labels), _stream(name))
    return None if found is None else found._replace(questions=found.questions - mean)


def training_of(
    images: Float[Tensor, "n c h w"], labels: Int[Tensor, " n"], defense: Defense, name: str, mean: Float[Tensor, "c h w"]
) -> Training | None:
    """How the owner trains, variants of images centred.

    Args:
        images, labels: what `training_data` gives.
        name: of the target, as there; names a random stream beside that of the data.
    """
    found = defense.training(images, labels, seeds.generator("defense", "training", name))
    return found if found is None or found.variants is None else found._replace(variants=found.variants - mean)


def secret_from(parts: Split, defense: Defense, name: str) -> Secret:
    """Members and controls with their labels, and which of them are planted; without what follows from the trained network.

    Args:
        name: of the target, as in `training_data`.
    """
    images, labels, others, other_labels = (
        torch.from_numpy(part) for part in (parts.train, parts.train_labels, parts.control, parts.control_labels)
    )
    planted = defense.planted(images, labels, others, other_labels, _stream(name))
    other, lookalikes = torch.from_numpy(parts.other), torch.from_numpy(parts.lookalikes)
    if planted is None:
        return Secret(images, labels, others, other_labels, other=other, lookalikes=lookalikes)
    every = torch.cat([images, planted.inputs]), torch.cat([labels, planted.labels])
    members, member_labels, member_planted = _side(*every, planted.inputs, planted.labels, set())
    mine, theirs = set(hashes(members.numpy())), set(hashes(others.numpy()))
    beside = first_occurrences(planted.unplanted.numpy(), mine | theirs)[: len(members) - len(images)]
    every = torch.cat([others, planted.unplanted[beside]]), torch.cat([other_labels, planted.unplanted_labels[beside]])
    controls, control_labels, control_planted = _side(*every, planted.unplanted, planted.unplanted_labels, mine)
    marks = {"member": member_planted, "control": control_planted}
    beside = first_occurrences(parts.lookalikes, {*hashes(members.numpy()), *hashes(controls.numpy())})  # what is planted may be one
    return Secret(
        members, member_labels, controls, control_labels, mean_image=images.mean(0), planted=marks, other=other,
        lookalikes=lookalikes[beside],
    )  # fmt: skip


def levelled(secret: Secret) -> Secret:
    """The secret with controls of which the mean image tells as much as of members: moved by one and the same image, so that their mean is
    the members'. What an attack matches because it adds the mean image to whatever it has, it then matches of both alike.

    Members less their mean and controls less theirs are drawn alike, and of normal distribution they are so whatever the mean is; of images
    of uneven contrast moved controls are rather nearer to the mean than members are. Pixels of the moved controls may lie outside [0, 1].
    Planted controls are moved by themselves, to the planted members: where they are no images of the setting, the mean image has no part of
    them, and noise among them would carry the others off. What else is known of the images is left out.
    """
    moved = secret.controls.clone()
    sides = secret.planted or {
        "member": torch.zeros(len(secret.members), dtype=torch.bool),
        "control": torch.zeros(len(moved), dtype=torch.bool),
    }
    for planted in (False, True):
        mine, theirs = (sides[side].to(moved.device) == planted for side in ("member", "control"))
        if mine.any() and theirs.any():
            moved[theirs] += secret.members[mine].mean(0) - secret.controls[theirs].mean(0)
    return Secret(secret.members, secret.member_labels, moved, secret.control_labels, mean_image=secret.mean_image)


def _stream(name: str) -> torch.Generator:
    return seeds.generator("defense", "data", name)


def _side(
    images: Tensor, labels: Tensor, marked: Tensor, their_labels: Tensor, barred: set[bytes]
) -> tuple[Float[Tensor, "n c h w"], Int[Tensor, " n"], Bool[Tensor, " n"]]:
    """The distinct images that are not barred, their labels, and which of them are among the marked ones, whose labels these then have."""
    keep = torch.from_numpy(first_occurrences(images.numpy(), set(barred)))
    given = dict(zip(hashes(marked.numpy()), their_labels.tolist(), strict=True))
    keys = hashes(images[keep].numpy())
    own = [given.get(key, label) for key, label in zip(keys, labels[keep].tolist(), strict=True)]
    return images[keep], torch.tensor(own, dtype=labels.dtype), torch.tensor([key in given for key in keys])
