"""The gradient of a step beside the same through torch.compile: whether its fusion would bring more than operators written in place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from attacks.kkt.gradient import kkt_gradient

from .clock import interleaved, seconds
from .line import Check, Line
from .problem import Arguments, loop_seconds


def compiled(key: str, what: str, at: Arguments, *, steps: int, repeats: int, compiler: str) -> Line:
    """The line, stated; on a GPU ours is a captured graph, as in the engine, and theirs what torch.compile makes of many small kernels."""
    what = f"{what}, against the same through torch.compile"
    scratch: dict[str, torch.Tensor] = {}
    options: dict[str, Any] = {"mode": "reduce-overhead"} if at.x.is_cuda and compiler == "inductor" else {}
    try:
        program = torch.compile(lambda *arguments: kkt_gradient(*arguments, want_loss=False), backend=compiler, **options)
        took = seconds(lambda: program(*at))
    except Exception as error:  # it needs a compiler of C++, and versions of it that fit
        return Line(key, what, None, note=f"torch.compile failed here: {type(error).__name__}: {str(error).strip().partition(chr(10))[0]}")

    def ours() -> None:
        kkt_gradient(*at, want_loss=False, scratch=scratch)

    def theirs() -> None:
        for _ in range(steps):
            program(*at)

    times = interleaved(repeats, ours=lambda: loop_seconds(ours, steps, at.x.device) / steps, theirs=lambda: seconds(theirs) / steps)
    expected = kkt_gradient(*at, want_loss=False)
    worst = max(float((a - b).abs().max() / a.abs().max()) for a, b in zip(expected[1:], program(*at)[1:], strict=True))
    return Line(
        key,
        what,
        replace(times["ours"], per="gradient"),
        replace(times["theirs"], per="gradient"),
        checks=(Check("gradients by x and λ, relative", worst, 1e-2 if at.x.is_cuda else 1e-4),),
        note=f"compiled in {took:.0f} s with {compiler}",
    )
