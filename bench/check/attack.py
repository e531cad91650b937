"""The contract of an attack: what it declares, and on which small networks it is run."""

from __future__ import annotations

import dataclasses
from typing import Any, cast, get_args

from bench import tracks
from bench.api import Attack, Tier
from bench.check.claims import check_claims
from bench.check.classes import check_class
from bench.check.networks import ARCHITECTURES, QUICK
from bench.check.outcomes import Outcome, Tests, need
from bench.check.runs import check_runs
from bench.errors import did_you_mean


def check_attack(cls: type[Attack]) -> list[Outcome]:
    """The contract of an attack."""
    tests = Tests()
    check_class(cls, tests)
    tests.run("says where it is from: `paper`, or that it is its own", lambda: need(bool(cls.paper), "paper is empty"))
    tests.run("role is attack or control", lambda: need(cls.role in ("attack", "control"), f"role is {cls.role!r}"))
    tests.run("needs is a frozenset of access tiers that the track grants", lambda: _check_needs(cls))
    tests.run("a sweep can draw what it declares", lambda: _check_ranges(cls))
    tests.run("a race can shorten its budget", lambda: _check_budget(cls))
    tests.run("claims are of known grids, columns and hyperparameters, under names of their own", lambda: check_claims(cls))
    attack = tests.run("can be made without arguments", cls)
    if attack is None or not dataclasses.is_dataclass(cls):
        return tests.outcomes
    if tests.run("unsupported() gives a text for every architecture", lambda: _check_unsupported(attack)) is None:
        return tests.outcomes
    applies = [a for a in ARCHITECTURES if not attack.unsupported(a)]
    if not applies:
        tests.add("applies to a test architecture", False, "none of " + "; ".join(map(str, ARCHITECTURES)))
        return tests.outcomes
    costs = {f.name for f in dataclasses.fields(cast(Any, attack))} & set(QUICK)
    attack = dataclasses.replace(cast(Any, attack), **{name: min(QUICK[name], getattr(attack, name)) for name in costs})
    dense, convolutional = ([a for a in applies if a.model == model] for model in ("mlp", "cnn"))
    runs = tracks.get(cls.track).models
    for architecture in (a for a in [*dense[:2], *convolutional[:1]] if a.model in runs):
        check_runs(attack, architecture, tests)
    return tests.outcomes


def _check_ranges(cls: type[Attack]) -> None:
    """What a sweep may draw: hyperparameters of the attack, between bounds that its class accepts."""
    fields = [f.name for f in dataclasses.fields(cast(Any, cls)) if f.init]
    for name, bounds in cls.ranges.items():
        need(name in fields, f"ranges: no hyperparameter is named {name!r}.{did_you_mean(name, fields)}")
        need(isinstance(bounds, tuple) and len(bounds) == 3, f"ranges[{name!r}] is no (low, high, 'log' or 'linear')")
        low, high, scale = bounds
        need(scale in ("log", "linear"), f"ranges[{name!r}] has the scale {scale!r}, which is neither 'log' nor 'linear'")
        need(low <= high and (scale == "linear" or low > 0), f"ranges[{name!r}]: {low} to {high}, {scale}, is no range")
        cls(**{name: low}), cls(**{name: high})


def _check_budget(cls: type[Attack]) -> None:
    """What a race shortens: a hyperparameter that is a whole number, which no sweep draws."""
    need(isinstance(cls.budget, str), f"budget is a {type(cls.budget).__name__}, not the name of a hyperparameter")
    if not cls.budget:
        return
    defaults = {f.name: f.default for f in dataclasses.fields(cast(Any, cls)) if f.init}
    need(cls.budget in defaults, f"budget: no hyperparameter is named {cls.budget!r}.{did_you_mean(cls.budget, defaults)}")
    full = defaults[cls.budget]
    need(isinstance(full, int) and not isinstance(full, bool) and full > 0, f"budget: {cls.budget} is {full!r}, no whole number above 0")
    need(cls.budget not in cls.ranges, f"budget: {cls.budget} is among the ranges, and a race compares runs of one budget")
    cls(**{cls.budget: 1})


def _check_needs(cls: type[Attack]) -> None:
    need(isinstance(cls.needs, frozenset), f"needs is a {type(cls.needs).__name__}")
    unknown = sorted(set(cls.needs) - set(get_args(Tier)))
    need(not unknown, f"unknown tiers {unknown}; known are {', '.join(get_args(Tier))}")
    reason = tracks.ungrantable(cls.track, cls.needs)
    need(not reason, reason)


def _check_unsupported(attack: Attack) -> bool:
    for architecture in ARCHITECTURES:
        answer = attack.unsupported(architecture)
        need(isinstance(answer, str), f"returned {answer!r} for {architecture}")
    return True
