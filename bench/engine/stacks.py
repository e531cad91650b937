"""How cells are cut so that each part fits in memory: chunks, whose targets are trained together, and batches, whose runs are stacked."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence

import torch

from bench import tracks
from bench.api import Attack, Target
from bench.data.split import MAX_PUBLIC, MAX_TEST, PUBLIC_PER_MEMBER
from bench.engine.plan import Cell
from bench.targets.convolutions import activations_per_image
from bench.targets.models import weight_shapes

RUNS_AT_ONCE = {"cpu": 32, "cuda": 512}  # runs stacked in one call; more gains nothing on a CPU and delays the first finished cell

TARGETS_AT_ONCE = {"cpu": 64, "cuda": 512}

BYTES_PER_WEIGHT = 40  # initial and current weights, float64 among them, and the products of one step

BYTES_PER_ACTIVATION = 48  # of a cnn in training: 17 to 30 measured in float32, with what the backward pass keeps; twice that in float64


def chunks(cells: Sequence[Cell], device: str, memory: int) -> Iterator[list[Cell]]:
    """Cells whose targets are trained, and attacked, in one stack: of one shape, and no more than so many bytes hold."""
    shapes: dict[Hashable, list[Cell]] = {}
    for cell in cells:
        shapes.setdefault(_shape(cell), []).append(cell)
    for group in shapes.values():
        yield from _chunks(group, device, memory)


def stacks(cells: Sequence[Cell]) -> bool:
    """Whether the track of a chunk's cells lets targets, and the cells on them, go together."""
    return tracks.get(cells[0].attack.track).stacks


def _shape(cell: Cell) -> Hashable:
    """Cells that share it have targets that can be trained, and attacked, in one stack."""
    s = cell.setting
    return (cell.attack.track, cell.architecture, s.n_per_class, s.dtype, s.epochs, s.defense, s.classes)


def _chunks(cells: Sequence[Cell], device: str, memory: int) -> Iterator[list[Cell]]:
    """Cuts cells of one shape so that their targets fit in memory together; the cells of a target stay together."""
    shape = cells[0].architecture
    assert shape is not None  # a cell without data is never to run
    size = BYTES_PER_WEIGHT * sum(map(math.prod, weight_shapes(shape)))
    setting = cells[0].setting
    images = setting.n_per_class * (2 if setting.classes == "binary" else setting.classes)
    pixels = math.prod(shape.input_shape)
    # a target holds members, controls and public images, its test part while it is trained; training has a copy of the members in float64
    size += 4 * pixels * (2 * images + min(MAX_PUBLIC, PUBLIC_PER_MEMBER * images) + MAX_TEST) + 8 * images * (pixels + sum(shape.hidden))
    if shape.channels:  # feature maps outweigh the kernels that make them
        size += BYTES_PER_ACTIVATION * images * activations_per_image(shape)
    most = max(1, min(TARGETS_AT_ONCE[device], memory // size))
    if not stacks(cells):
        most = 1
    by_target: dict[str, list[Cell]] = {}
    for cell in cells:
        by_target.setdefault(cell.target_id, []).append(cell)
    names = list(by_target)
    for start in range(0, len(names), most):
        yield [cell for name in names[start : start + most] for cell in by_target[name]]


def batches(cells: Sequence[Cell], targets: Mapping[str, Target], device: torch.device, memory: int) -> Iterator[list[Cell]]:
    """Cuts the cells of one attack into batches whose runs fit in so many bytes: at least one cell each, in order."""
    batch: list[Cell] = []
    runs = size = 0
    for cell in cells:
        more = len(cell.attack.instances)
        cost = more * run_bytes(cell, targets)
        if batch and (runs + more > RUNS_AT_ONCE[device.type] or size + cost > memory):
            yield batch
            batch, runs, size = [], 0, 0
        batch.append(cell)
        runs += more
        size += cost
    if batch:
        yield batch


def run_bytes(cell: Cell, targets: Mapping[str, Target]) -> int:
    """What one run of the cell's attack takes, by the attack's own estimate; at least a copy of the release."""
    release = targets[cell.target_id].release
    least = int(release.nbytes)
    one = next(iter(cell.attack.instances), None)
    if one is None or type(one).memory is Attack.memory:  # no copy is made to be measured
        return least if one is None else 4 * least
    try:
        return max(least, one.memory(tracks.get(cell.attack.track).work.narrow(release, cell.attack.needs)))
    except Exception:  # the plug-in's estimate is wrong, which is no reason not to run it
        return 4 * least
