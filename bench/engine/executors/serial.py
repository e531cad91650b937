"""Runs cells in this process, a batch at a time.

Targets of one shape are trained together, attacked, and let go before the next shape.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING

import torch

from bench.engine.batch import run_batch
from bench.engine.plan import Cell, Plan
from bench.engine.progress import Progress
from bench.engine.rows import Result, failed
from bench.engine.stacks import batches, chunks
from bench.engine.stored import reconstructions
from bench.engine.training import train
from bench.targets.cache import TargetCache

if TYPE_CHECKING:
    from bench.apart.room import Room


def results(
    waiting: Sequence[Cell],
    plan: Plan,
    cache: TargetCache,
    device: torch.device,
    progress: Progress,
    deadline: float,
    memory: int,
    no_cache: bool = False,
    debug: Callable[[Exception], None] | None = None,
    room: Room | None = None,
) -> Generator[list[Result], None, None]:
    """Results in the order in which they come: shape by shape, targets by the stack, attack by attack."""
    for chunk in chunks(waiting, device.type, memory):
        if time.monotonic() >= deadline:
            return
        settings = {cell.target_id: cell.setting for cell in chunk}
        if room is not None:  # while there is training to do
            room.warm({cell.attack.spec.name: cell.attack.cls for cell in chunk})
        progress.stage(f"training {len(settings)} target{'s' if len(settings) > 1 else ''}")
        trained, faults = train(settings, chunk[0].attack.track, cache, device)
        for cell in chunk:
            if cell.target_id in faults:
                yield [failed(cell, plan.loaded.grid, faults[cell.target_id])]
        by_attack: dict[int, list[Cell]] = {}
        for cell in chunk:
            if cell.target_id in trained:
                by_attack.setdefault(id(cell.attack), []).append(cell)
        for cells in by_attack.values():
            for batch in batches(cells, trained, device, memory):
                if time.monotonic() >= deadline:
                    return
                progress.stage(f"{batch[0].attack.spec.name} on {len(batch)} target{'s' if len(batch) > 1 else ''}")
                for result in run_batch(
                    batch, trained, plan.loaded.grid, reconstructions(), device, memory, no_cache=no_cache, debug=debug, room=room
                ):
                    yield [result]
