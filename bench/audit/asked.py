"""What the command line named as truth: a setting of a registered data set, or the user's own images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.api import Setting
from bench.artefacts import truth
from bench.artefacts.truth import Truth
from bench.errors import BenchError
from bench.grids.points import expand
from bench.grids.read import validate
from bench.grids.select import override


def setting_of(dataset: str, overrides: Sequence[str], seed: int) -> Setting:
    """The setting of ``--dataset NAME --set FIELD=VALUE … --seed N``.

    Raises:
        BenchError: an unknown field, or a value out of bounds.
    """
    raw: dict[str, Any] = {"name": "asked", "title": "Asked", "question": "What is drawn?", "base": {"dataset": dataset}}
    grid = validate({**raw, "seeds": [seed], "attacks": ["mean_image"]}, "command line")
    grid = override(grid, overrides)
    if isinstance(grid.base.get("classes"), int) and grid.base.get("loss", "bce") == "bce":
        grid = grid.model_copy(update={"base": {**grid.base, "loss": "ce"}})  # the loss is of no consequence for the draw
    return expand(grid, "command line")[0].setting


def truth_of(
    dataset: str,
    overrides: Sequence[str],
    seed: int,
    members: str,
    controls: str,
    labels: str,
    shape: tuple[int, int, int] | None = None,
) -> Truth | None:
    """Members and controls as asked for; None where nothing was named.

    Args:
        shape: c, h, w of an image, where the members' file does not say it.

    Raises:
        BenchError: options that do not go together, or images that cannot be had.
    """
    if overrides and not dataset:
        raise BenchError("--set without --dataset: of which data set?", expected="--dataset NAME", hint="--dataset cifar10")
    if (controls or labels) and not members:
        raise BenchError(f"{'--controls' if controls else '--labels'} without --members", expected="--members PATH")
    if controls and dataset:
        raise BenchError("--controls and --dataset: which of them are the controls?", expected="one of the two", hint="leave out --dataset")
    if seed < 0:
        raise BenchError(f"--seed {seed}: not understood", expected="a whole number, 0 or more", got=str(seed), hint="--seed 0")
    setting = setting_of(dataset, overrides, seed) if dataset else None
    if members:
        return truth.own(members, controls, labels, setting, seed, shape)
    return truth.drawn(setting) if setting is not None else None
