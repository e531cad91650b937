"""What the network does to an image before its first layer: subtracts a mean, divides by a standard deviation; and the size it takes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from bench.artefacts.candidates import read_mean
from bench.errors import BenchError

CONSTANTS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {  # as torchvision's examples have them: mean, standard deviation
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "mnist": ((0.1307,), (0.3081,)),
    "half": ((0.5,), (0.5,)),
}
GREY = (0.299, 0.587, 0.114)  # luma of ITU-R BT.601, as torchvision has it


@dataclass(frozen=True, eq=False)
class Preprocessing:
    """(image − mean) / std."""

    mean: Float[Tensor, "c h w"]
    std: Float[Tensor, "c h w"]
    words: str
    option: str  # what to type for it

    def __call__(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """What the network gets."""
        return (images - self.mean.to(images)) / self.std.to(images)

    @property
    def scaled(self) -> bool:
        """Whether it divides by anything but 1."""
        return bool((self.std != 1).any())


def asked(mean: str, std: str, images: Tensor | None, shape: tuple[int, int, int], notes: list[str]) -> Preprocessing:
    """What the options say.

    Args:
        mean: ``members``, ``none``, a name of ``CONSTANTS``, numbers, or a file with one image; empty: the members' mean, else grey.
        std: a name, numbers or a file; empty: that of a mean by name, else 1.

    Raises:
        BenchError: an option that is not understood, or does not fit the images.
    """
    if not std and mean in CONSTANTS:
        std = mean
    if std == "members" and images is not None:
        spread = images.movedim(1, 0).flatten(1).std(1)[:, None, None].expand(shape)
    else:
        spread = torch.ones(shape) if not std or std == "none" else _values(std, 1, shape, "--std")
    if not bool((spread > 0).all()):
        raise BenchError(f"--std {std}: not understood", expected="numbers above 0", got=std, hint="--std 0.25")
    option = f"--mean {mean}" + (f" --std {std}" if std and std != mean else "")
    if mean == "none":
        return Preprocessing(torch.zeros(shape), spread, "no mean subtracted", option)
    if mean not in ("", "members"):
        return Preprocessing(_values(mean, 0, shape, "--mean"), spread, f"mean {mean}" + (f", std {std}" if std else ""), option)
    if images is not None:
        notes.append("mean image: that of the members, as the papers subtract it (--mean none: the network gets pixels as they are)")
        return Preprocessing(images.mean(0), spread, "the members' mean image", "--mean members" + (f" --std {std}" if std else ""))
    if mean == "members":
        raise BenchError("--mean members without members", expected="--members PATH, or --mean FILE")
    notes.append("mean image not known: 0.5 grey assumed, which costs an attacker some of what a better guess finds (--mean FILE)")
    return Preprocessing(torch.full(shape, 0.5), spread, "0.5 grey", option)


def usual(images: Float[Tensor, "n c h w"]) -> list[Preprocessing]:
    """What else people do, in the order in which it is tried."""
    shape = (int(images.shape[1]), int(images.shape[2]), int(images.shape[3]))
    found = [Preprocessing(torch.zeros(shape), torch.ones(shape), "no normalisation", "--mean none")]
    for name, (constant, _) in CONSTANTS.items():
        if len(constant) in (1, shape[0]) and not (name == "mnist" and shape[0] != 1):
            found.append(
                Preprocessing(_values(name, 0, shape, "--mean"), _values(name, 1, shape, "--std"), f"{name} constants", f"--mean {name}")
            )
    channels = images.movedim(1, 0).flatten(1)
    mean, std = channels.mean(1), channels.std(1).clamp_min(1e-3)
    numbers = [",".join(f"{value:.3g}" for value in values.tolist()) for values in (mean, std)]
    own = [values[:, None, None].expand(shape).clone() for values in (mean, std)]
    found.append(Preprocessing(own[0], own[1], "the members' mean and std of each channel", f"--mean {numbers[0]} --std {numbers[1]}"))
    return found


def fitted(images: Float[Tensor, "n c h w"], shape: tuple[int, int, int]) -> Float[Tensor, "n c h w"]:
    """The images as the network takes them: grey or colour, and resized (bilinear, with antialiasing)."""
    if images.shape[1] == 3 and shape[0] == 1:
        images = (images * images.new_tensor(GREY).view(3, 1, 1)).sum(1, keepdim=True)
    elif images.shape[1] == 1 and shape[0] == 3:
        images = images.expand(-1, 3, -1, -1)
    if tuple(images.shape[2:]) != shape[1:]:
        images = F.interpolate(images, shape[1:], mode="bilinear", antialias=True, align_corners=False).clamp(0, 1)
    return images.contiguous()


def numbers_of(text: str, which: int, shape: tuple[int, int, int]) -> Float[Tensor, "c h w"] | None:
    """A mean (0) or a standard deviation (1) that was given as numbers or by a name; None for anything else."""
    named = text in CONSTANTS or (bool(text) and all(part.strip().replace(".", "", 1).isdigit() for part in text.split(",")))
    return _values(text, which, shape, ("--mean", "--std")[which]) if named else None


def _values(text: str, which: int, shape: tuple[int, int, int], option: str) -> Float[Tensor, "c h w"]:
    """Numbers, a name of ``CONSTANTS``, or a file."""
    if text in CONSTANTS:
        numbers = list(CONSTANTS[text][which])
    else:
        try:
            numbers = [float(part) for part in text.split(",")]
        except ValueError:
            return read_mean(text, shape)
    if len(numbers) not in (1, shape[0]) or not bool(torch.isfinite(torch.tensor(numbers)).all()):
        raise BenchError(
            f"{option} {text}: not understood",
            expected=f"one number, or {shape[0]}, one a channel; or {', '.join(CONSTANTS)}; or a file with an image",
            got=f"{len(numbers)} numbers",
            hint=f"{option} {','.join(['0.5'] * shape[0])}",
        )
    return torch.tensor(numbers).view(-1, 1, 1).expand(shape).clone()
