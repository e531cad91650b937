"""Trains the targets of a chunk together; a stack that fails, or that memory does not hold, is halved until the culprit stands alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from bench import tracks
from bench.api import Setting, Target
from bench.faults import blame, is_full
from bench.memory import is_out_of_memory
from bench.targets.cache import TargetCache
from bench.torch_state import restored


def train(
    settings: Mapping[str, Setting], track: str, cache: TargetCache, device: torch.device, halvings: int = 0
) -> tuple[dict[str, Target], dict[str, str]]:
    """Targets by id, and for those that could not be had the reason. A stack that fails, or that memory does not hold, is halved.

    Args:
        halvings: how often memory has run out before; a target's fact ``stack_halvings`` says it, for its rows.
    """
    try:
        with restored():
            made = dict(zip(settings, tracks.get(track).work.obtain(list(settings.values()), cache, device), strict=True))
        if halvings:
            made = {name: replace(target, facts={**target.facts, "stack_halvings": halvings}) for name, target in made.items()}
        return made, {}
    except Exception as error:
        if is_full(error):
            raise
        if len(settings) == 1:
            return {}, dict.fromkeys(settings, f"training: {blame(error)}")
        halvings += is_out_of_memory(error)
    if device.type == "cuda":
        torch.cuda.empty_cache()
    names = list(settings)
    trained: dict[str, Target] = {}
    faults: dict[str, str] = {}
    for half in (names[: len(names) // 2], names[len(names) // 2 :]):
        got, fault = train({name: settings[name] for name in half}, track, cache, device, halvings)
        trained |= got
        faults |= fault
    return trained, faults
