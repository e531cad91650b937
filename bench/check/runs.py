"""What a run of an attack must keep: it is run as the engine would, on narrowed copies, alone and in a batch."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import torch

from bench import seeds, tracks
from bench.api import Architecture, Attack, Candidates, Release
from bench.check.handed import holds_any, reachable_tensors
from bench.check.outcomes import Tests, need
from bench.check.traces import MOVED, global_state
from bench.engine.race import standing

TOLERANCE = 1e-4  # between an answer alone and in a batch, in pixel values: stacked products round differently


def check_runs(attack: Attack, architecture: Architecture, tests: Tests) -> None:
    """What a run must keep, on one architecture."""
    at = f" [{architecture.model}, {'x'.join(map(str, architecture.input_shape))}, {architecture.outputs} outputs]"
    cls = type(attack)
    track = tracks.get(cls.track).work
    narrow, check_answer, fingerprint = track.narrow, track.check_answer, track.fingerprint
    one, two = (track.example(architecture, k) for k in (1, 2))
    (release, members), (other, _) = one, two

    def alone(of: Release, stream: int) -> Any:
        mine = narrow(of, attack.needs)
        return check_answer(attack.reconstruct(mine, seeds.generator("check", stream)), mine)

    form = tracks.get(cls.track).answer
    first = tests.run(f"{form}{at}", lambda: alone(release, 1))
    if first is None:
        return
    if isinstance(first, Candidates):
        outside = float(((first.images < 0) | (first.images > 1)).float().mean())
        tests.add(f"pixel values in [0, 1]{at}", True, f"{outside:.1%} outside, which the score clips" if outside else "")

    def raced() -> None:
        short = dataclasses.replace(cast(Any, attack), **{cls.budget: 1})
        mine = narrow(release, attack.needs)
        standing([check_answer(short.reconstruct(mine, seeds.generator("check", 1)), mine)])

    def repeats() -> None:
        torch.manual_seed(99)  # a global generator in another state must change nothing
        again = alone(release, 1)
        need(track.alike(first, again, 0.0), "the same generator gave another answer: draw from the generator that is passed, only")

    def pure() -> None:
        mine = narrow(release, attack.needs)
        before = fingerprint(mine)
        attack.reconstruct(mine, seeds.generator("check", 1))
        need(fingerprint(mine) == before, "a tensor of the release changed: clone before writing")

    def leaves_no_trace() -> None:
        before = global_state()
        alone(release, 1)
        need(global_state() == before, MOVED)

    def batch() -> None:
        pairs = [(release, 1), (other, 2)]
        singles = [alone(r, k) for r, k in pairs]
        for order in (pairs, pairs[::-1]):
            mine = [narrow(r, attack.needs) for r, _ in order]
            generators = [seeds.generator("check", k) for _, k in order]
            answers = cls.reconstruct_batch([attack] * 2, mine, generators)
            need(isinstance(answers, list | tuple) and len(answers) == 2, "expected a list with one answer a run")
            checked = [check_answer(a, r) for a, r in zip(answers, mine, strict=True)]
            wanted = singles if order is pairs else singles[::-1]
            for got, want in zip(checked, wanted, strict=True):
                need(track.alike(got, want, TOLERANCE), "an answer in a batch differs from the same run alone")

    def blind() -> None:
        mine = narrow(release, attack.needs)
        for tensor in reachable_tensors(mine):
            need(not holds_any(tensor, members), "the release that the attack gets holds an image that its track keeps from it")

    if isinstance(getattr(attack, str(cls.budget), None), int):
        tests.run(f"tells what its runs are compared by in a race, the shortest too{at}", raced)
    tests.run(f"the same generator gives the same answer{at}", repeats)
    tests.run(f"leaves the release as it was{at}", pure)
    tests.run(f"leaves the global generators alone{at}", leaves_no_trace)
    tests.run(f"a batch gives what single runs give, in any order{at}", batch)
    tests.run(f"is given no image that its track keeps from it{at}", blind)
