"""The contract of a metric."""

from __future__ import annotations

import re
from typing import cast

import numpy as np
import torch
from torch import Tensor

from bench import seeds
from bench.api import Metric
from bench.check.outcomes import Outcome, Tests, need
from bench.check.traces import MOVED, global_state
from bench.metrics.measure import measure
from bench.schema import columns, metrics


def check_metric(cls: type[Metric]) -> list[Outcome]:
    """The contract of a metric, on noise, flat images and near copies, grey and colour."""
    tests = Tests()
    tests.run("has a docstring", lambda: need(bool(cls.__doc__), "write one; its first line describes the columns"))
    tests.run("name is in snake_case", lambda: need(bool(re.fullmatch(r"[a-z][a-z0-9_]*", cls.name)), f"name is {cls.name!r}"))
    found = tests.run("brings columns that the tables can hold", lambda: (columns("images"), columns("scores"), metrics())[2])
    if found is None:
        return tests.outcomes
    low, high = next(m.range for m in found if m.name == cls.name)
    high = float("inf") if high is None else high
    sign = 1 if cls.better == "higher" else -1

    def values(a: Tensor, b: Tensor) -> np.ndarray:
        return cast(np.ndarray, measure(a.clone(), b.clone())[cls.name])

    for shape in ((6, 1, 12, 10), (6, 3, 9, 13)):
        at = f" [{'x'.join(map(str, shape[1:]))}]"
        a = torch.rand(shape, generator=seeds.generator("check", "metric"))
        near = (a + 0.02 * torch.randn(shape, generator=seeds.generator("check", "near"))).clamp(0, 1)
        others = torch.cat([a[1:], torch.full((1, *shape[1:]), 0.5)])
        got = tests.run(f"gives a finite number a pair{at}", lambda a=a, b=others: values(a, b))  # type: ignore[misc]
        if not isinstance(got, np.ndarray):  # it failed, or cannot be had here
            continue

        def inside(got: np.ndarray = got) -> None:
            need(bool((got >= low - 1e-6).all() and (got <= high + 1e-6).all()), f"{got.min():g} to {got.max():g}")

        def ordered(a: Tensor = a, near: Tensor = near, got: np.ndarray = got) -> None:
            same, close = values(a, a), values(a, near)
            need(bool((sign * same >= sign * close - 1e-6).all()), f"{same.mean():g} for equal images, {close.mean():g} for near copies")
            need(bool(sign * close.mean() > sign * got.mean()), f"{close.mean():g} for near copies, {got.mean():g} for other images")

        def alone(a: Tensor = a, b: Tensor = others, got: np.ndarray = got) -> None:
            single = [values(a[i : i + 1], b[i : i + 1])[0] for i in range(len(a))]
            need(bool(np.allclose(single, got, rtol=1e-4, atol=1e-5)), "a pair alone has another value than among others")

        def pure(a: Tensor = a, b: Tensor = others) -> None:
            mine, state = (a.clone(), b.clone()), global_state()
            measure(*mine)
            need(torch.equal(a, mine[0]) and torch.equal(b, mine[1]), "an image changed: clone before writing")
            need(global_state() == state, MOVED)

        tests.run(f"stays inside its range{at}", inside)
        tests.run(f"puts equal images before near copies, and these before others{at}", ordered)
        tests.run(f"has the same value for a pair alone{at}", alone)
        tests.run(f"leaves images and global generators as they were{at}", pure)
    return tests.outcomes
