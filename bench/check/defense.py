"""The contract of a defence."""

from __future__ import annotations

from typing import Any, get_args

import torch
from torch import Tensor

from bench import registry, seeds, tracks
from bench.api import Defense, Setting, Tier, Training
from bench.check.classes import check_class
from bench.check.networks import ARCHITECTURES
from bench.check.outcomes import Outcome, Tests, need
from bench.check.traces import MOVED, global_state
from bench.targets.train import train_stack
from bench.targets.train_defended import refuse


def check_defense(cls: type[Defense]) -> list[Outcome]:
    """The contract of a defence."""
    tests = Tests()
    check_class(cls, tests)
    defense = tests.run("can be made without arguments", cls)
    if defense is None:
        return tests.outcomes
    architecture = ARCHITECTURES[1]
    release, images = tracks.get(tracks.DEFAULT).work.example(architecture, 1)
    labels = torch.arange(len(images)) % architecture.outputs

    def data(stream: int = 1) -> tuple[Tensor, Tensor]:
        return defense.before_training(images.clone(), labels.clone(), seeds.generator("check", stream))

    def weights(stream: int = 1) -> dict[str, Tensor]:
        copies = {name: w.clone() for name, w in release.weights.items()}
        return dict(defense.released(copies, start(), seeds.generator("check", stream)))

    def start() -> dict[str, Tensor]:
        return {name: 0.9 * w for name, w in release.initial_weights.items()}

    def known() -> None:
        need(isinstance(cls.against, tuple), f"`against` is a tuple of names, not {type(cls.against).__name__}")
        for name in cls.against:
            need(name in registry.entries("attack"), f"`against` names {name!r}, and there is no such attack")
            need(registry.get("attack", name).role == "attack", f"`against` names {name!r}, which is a control")
        need(isinstance(cls.withholds, frozenset), f"`withholds` is a frozenset of access tiers, not {type(cls.withholds).__name__}")
        unknown = sorted(cls.withholds - set(get_args(Tier)))
        need(not unknown, f"`withholds` names {', '.join(unknown)}; access tiers are {', '.join(get_args(Tier))}")

    def told() -> None:
        asked = torch.randn(3, 2, *images.shape[1:], generator=seeds.generator("check", 2))
        masked, again = (defense.explained(asked.clone(), seeds.generator("check", 3)) for _ in range(2))
        need(masked.shape == asked.shape, f"gradients of shape {tuple(masked.shape)}, not {tuple(asked.shape)}")
        need(bool(torch.isfinite(masked).all()), "gradients that are not finite")
        need(torch.equal(masked, again), "the same generator gave other gradients")
        answers = defense.answers()
        need(answers is None or (isinstance(answers, int) and answers >= 1), f"answers() is a whole number from 1 on, or None: {answers!r}")

    def data_kept() -> None:
        x, y = data()
        need(x.shape[1:] == images.shape[1:], f"images of shape {tuple(x.shape[1:])}, not {tuple(images.shape[1:])}")
        need(len(x) == len(y) and len(x) > 0, f"{len(x)} images and {len(y)} labels")
        need(x.dtype == images.dtype and y.dtype == labels.dtype, f"dtypes {x.dtype}, {y.dtype}")
        need(bool(torch.isfinite(x).all()), "images that are not finite")

    def weights_kept() -> None:
        got = weights()
        need(set(got) == set(release.weights), f"weights named {sorted(got)}, not {sorted(release.weights)}")
        for name, w in release.weights.items():
            need(got[name].shape == w.shape and got[name].dtype == w.dtype, f"{name}: {tuple(got[name].shape)} {got[name].dtype}")
            need(bool(torch.isfinite(got[name]).all()), f"{name} is not finite")

    def steps(stream: int = 1) -> Training | None:
        return defense.training(images.clone(), labels.clone(), seeds.generator("check", stream))

    def trains() -> None:
        changed = steps()
        if changed is None:
            return
        need(isinstance(changed, Training), f"{type(changed).__name__}, not a bench.api.Training")
        plain = {"defense": cls.name, "epochs": 3}
        refuse(changed, Setting.model_validate(plain), len(images), False)
        shape = None if changed.variants is None else changed.variants.shape[1:]
        need(shape in (None, images.shape), f"variants of shape {shape}, not {tuple(images.shape)}")
        start = {name: w.double() for name, w in release.initial_weights.items()}
        centred = images.double() - images.double().mean(0)
        if changed.variants is not None:
            changed = changed._replace(variants=changed.variants - images.mean(0))
        setting = Setting.model_validate({**plain, "loss": architecture.loss, "classes": architecture.outputs})
        twice = [train_stack(architecture, [setting], [centred], [labels], [start], changes=[changed])[0].weights for _ in range(2)]
        need(all(bool(torch.isfinite(w).all()) for w in twice[0].values()), "three steps of training gave weights that are not finite")
        need(all(torch.equal(w, twice[1][name]) for name, w in twice[0].items()), "the same training gave other weights")

    def repeats() -> None:
        (x, y), w, t = data(), weights(), steps()
        torch.manual_seed(99)
        (x2, y2), w2, t2 = data(), weights(), steps()
        need(torch.equal(x, x2) and torch.equal(y, y2), "the same generator gave other data")
        need(all(torch.equal(w[name], w2[name]) for name in w), "the same generator gave other weights")
        need(_same(t, t2), "the same generator gave another training")

    def pure() -> None:
        x, y = images.clone(), labels.clone()
        defense.before_training(x, y, seeds.generator("check", 1))
        defense.training(x, y, seeds.generator("check", 1))
        need(torch.equal(x, images) and torch.equal(y, labels), "the images or labels that were passed changed: clone before writing")
        copies, before = {name: w.clone() for name, w in release.weights.items()}, start()
        defense.released(copies, before, seeds.generator("check", 1))
        need(all(torch.equal(before[name], w) for name, w in start().items()), "the initial weights changed: clone before writing")
        same = set(copies) == set(release.weights) and all(torch.equal(copies[name], release.weights[name]) for name in copies)
        need(same, "the weights that were passed changed: clone before writing")

    def leaves_no_trace() -> None:
        before = global_state()
        data()
        weights()
        steps()
        need(global_state() == before, MOVED)

    tests.run("names attacks that know of it, and tiers that it withholds", known)
    tests.run("before_training keeps the form of the data", data_kept)
    tests.run("after_training keeps names, shapes and dtypes of the weights", weights_kept)
    tests.run("training is one that networks can be trained by", trains)
    tests.run("masks gradients into finite ones of the same shape", told)
    tests.run("the same generator gives the same result", repeats)
    tests.run("changes nothing in place", pure)
    tests.run("leaves the global generators alone", leaves_no_trace)
    return tests.outcomes


def _same(a: Any, b: Any) -> bool:
    """Whether two values, or tuples of them, are equal, tensors bit by bit."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return torch.equal(a, b)
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    return bool(a == b)
