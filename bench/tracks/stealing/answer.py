"""What the thief answers with: a network. How it is checked, kept and chosen among the runs of a sweep."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from bench.api import Architecture
from bench.errors import AttackFault, BenchError
from bench.targets.models import weight_names
from bench.targets.oracle import Asked
from bench.tracks.stealing.release import Network, Release


def check_answer(answer: object, release: Release) -> Network:
    """The answer as a float32 network without a graph, with the number of answers that the oracle gave; or else what is wrong with it.

    Raises:
        AttackFault: no Network; inputs or outputs that do not fit the owner's; weights that do not fit the architecture, or are not finite.
    """
    if not isinstance(answer, Network):
        raise AttackFault("the attack returned no network", expected="bench.tracks.stealing.Network", got=type(answer).__name__)
    net, owner = answer.architecture, release.architecture
    if not isinstance(net, Architecture) or tuple(net.input_shape) != tuple(owner.input_shape) or net.outputs != owner.outputs:
        wanted = f"input_shape {tuple(owner.input_shape)}, {owner.outputs} outputs"
        raise AttackFault("the network that the attack returned has other inputs or outputs", expected=wanted, got=str(net))
    wanted_shapes = weight_names(net)
    found = {name: tuple(w.shape) if isinstance(w, Tensor) else type(w).__name__ for name, w in dict(answer.weights).items()}
    if found != wanted_shapes:
        raise AttackFault("the weights do not fit the architecture", expected=str(wanted_shapes), got=str(found))
    tensors = {**answer.weights, "mean_image": answer.mean_image}
    if not isinstance(answer.mean_image, Tensor) or tuple(answer.mean_image.shape) != tuple(net.input_shape):
        raise AttackFault("mean_image does not fit the images", expected=str(tuple(net.input_shape)))
    for name, tensor in tensors.items():
        if not tensor.dtype.is_floating_point or not bool(torch.isfinite(tensor).all()):
            raise AttackFault("the attack returned weights that are not finite numbers", expected="finite floats", got=name)
    weights = {name: w.detach().to(torch.float32, copy=True) for name, w in answer.weights.items()}
    oracle = release.oracle if hasattr(release, "oracle") else None
    used = 0 if oracle is None else int(oracle.used)
    loss = None if answer.loss is None else float(answer.loss)
    asked = oracle.asked() if isinstance(oracle, Asked) else None
    return Network(dataclasses.replace(net), weights, answer.mean_image.detach().to(torch.float32, copy=True), loss, used, asked)


def alike(a: Network, b: Network, tolerance: float) -> bool:
    """Whether two answers are the same to within a tolerance of the weights, relative to the largest; 0: bit by bit."""
    if a.architecture != b.architecture or set(a.weights) != set(b.weights):
        return False
    if tolerance == 0:
        return all(torch.equal(w, b.weights[name]) for name, w in a.weights.items())
    return all(float((w - b.weights[name]).abs().max()) <= tolerance * max(1.0, float(w.abs().max())) for name, w in a.weights.items())


def rounded(answer: Network) -> Network:
    """As it is kept: weights in float32 on the CPU. (Rounded to half, a network may answer otherwise.)"""
    return answer._replace(
        weights={name: w.float().cpu() for name, w in answer.weights.items()}, mean_image=answer.mean_image.float().cpu()
    )


def pack(answer: Network) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An answer as tensors and plain facts, to be kept."""
    facts = {"architecture": dataclasses.asdict(answer.architecture), "loss": answer.loss, "used": answer.used}
    asked = {} if answer.asked is None else {"asked": answer.asked}
    return {**answer.weights, "mean_image": answer.mean_image, **asked}, facts


def unpack(tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Network:
    """The inverse of `pack`."""
    described: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in facts["architecture"].items()}
    weights = {name: w for name, w in tensors.items() if name not in ("mean_image", "asked")}
    return Network(Architecture(**described), weights, tensors["mean_image"], facts["loss"], int(facts["used"]), tensors.get("asked"))


def pool(answers: Sequence[Network], told: bool = True) -> Network:
    """Of the runs of a sweep the one with the lowest loss by the attack's own account; the first where they tell none."""
    if not answers:
        raise BenchError("no runs to pool", expected="at least one run of an attack")
    with_loss = [a for a in answers if a.loss is not None]
    return min(with_loss, key=lambda a: float(a.loss or 0.0)) if with_loss else answers[0]
