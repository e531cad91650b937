"""The transplant canary: an attack also meets releases that hold the network of another seed, and is scored against the cell's own secret.

A transplant is the release of a cell in which all that comes of the network is another seed's, of the same setting (``transplant`` of the
track's work). Who reads members off the weights finds nothing there: another network saw other images. Who finds as many as before has them
from elsewhere. The other network knows of the draw of these members and controls as little as a coin does, so that either are hits as often
but for chance, which ``bench.report.kit.transplants`` tests. But the mean image, which stays, knows of it: whatever an attack has, with the
mean added it is nearer to members. So an answer that scores above chance is scored a second time, against controls that are levelled for
this (``levelled`` of the track's work), and what is less counts. (On faces, 2 to 10 images a class, seeds 100 to 119, all transplanted:
without it haim_kkt had 68 of 200 members and 26 of 200 controls, with it 81.) Levelled controls alone would wrong an attack that does not
add the mean: they are less like images than members are.

One seed in four meets a transplant, since each costs an attack more: those of remainder 1, two of the eight of a grid. The other network is
that of the seed before it in the grid's list, of the first one the last: it is a target of the same run, trained before its turn, and none
is trained for this. Where it is not at hand the row says so. Of a sweep the first runs go, at most `FIRST_RUNS` and not raced; their
answers are not kept. The random streams bear the name of the transplant.

It finds attacks whose authors do not know that the weights have no part in their score, and cheats that do not look for it. One that looks
whether weights and mean image belong together can behave; such a cheat is for fresh targets on secret data.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from bench import tracks
from bench.api import Row, Setting, Target
from bench.engine.attack import Ended
from bench.engine.judge import judge
from bench.engine.plan import Cell
from bench.engine.prepare import PlannedAttack
from bench.engine.training import train
from bench.faults import blame
from bench.targets.cache import TargetCache, target_id

ONE_OF, REMAINDER = 4, 1  # seeds that meet a transplant
FIRST_RUNS = 4  # of a sweep
MARK = "-transplant"  # behind the ids of a cell and of its target


Attacking = Callable[[Sequence[Cell], Mapping[str, Target]], Sequence[list[Ended] | str]]  # for each cell its runs, or why there are none


def transplanted(
    cells: Sequence[Cell], targets: Mapping[str, Target], seeds: Sequence[int], device: torch.device, attacking: Attacking
) -> dict[str, Row]:
    """The columns of the transplants, by the id of the cell.

    Args:
        cells: of one attack, whose answers on their own releases are known.
        targets: those at hand, by id; what is missing is looked up in the cache.
        seeds: of the grid, in its order.
        attacking: attacks such cells on such targets, as their own were, and keeps no run.
    """
    found: dict[str, Row] = {}
    made: dict[str, tuple[Cell, Target, int]] = {}  # cell id → the cell and the target of the transplant, and the other's seed
    for cell in cells:
        began = time.perf_counter()
        other = _other(cell, targets, seeds, device)
        if isinstance(other, str):
            found[cell.id] = {"transplant_reason": other}
            continue
        target = targets[cell.target_id]
        release = tracks.get(cell.attack.track).work.transplant(target.release, other.release)  # type: ignore[attr-defined]
        made[cell.id] = (_marked(cell), dataclasses.replace(target, id=target.id + MARK, release=release), other.setting.seed)
        found[cell.id] = {"seconds_transplant": time.perf_counter() - began}
    if not made:
        return found
    began = time.perf_counter()
    mine = [cell for cell, _, _ in made.values()]
    answers = attacking(mine, {cell.target_id: target for cell, target, _ in made.values()})
    seconds = (time.perf_counter() - began) / len(mine)
    for (id_, (cell, target, seed)), answer in zip(made.items(), answers, strict=True):
        began = time.perf_counter()
        columns = _columns(cell, target.secret, answer, device)
        seconds_own = found[id_]["seconds_transplant"] + seconds + time.perf_counter() - began
        found[id_] = {"transplant_reason": "", **columns, "transplant_seed": seed, "seconds_transplant": seconds_own}
    return found


def partners(cells: Sequence[Cell], seeds: Sequence[int]) -> dict[str, str]:
    """Of the cells that are to meet a transplant: their id → the id of the target whose network they meet."""
    return {
        cell.id: target_id(other, cell.data_digest, cell.attack.track)
        for cell in cells
        if _has_hook(cell.attack) and (other := _partner(cell.setting, seeds)) is not None
    }


def _partner(setting: Setting, seeds: Sequence[int]) -> Setting | None:
    """The same setting with the seed before it, if this one is to meet a transplant and there is another."""
    if setting.seed % ONE_OF != REMAINDER or setting.seed not in seeds or len(set(seeds)) < 2:
        return None
    return setting.model_copy(update={"seed": seeds[list(seeds).index(setting.seed) - 1]})


def _has_hook(planned: PlannedAttack) -> bool:
    return planned.track in tracks.names() and hasattr(tracks.get(planned.track).work, "transplant")


def _other(cell: Cell, targets: Mapping[str, Target], seeds: Sequence[int], device: torch.device) -> Target | str:
    """The target whose network the cell's attack is to meet, or why there is none."""
    if not _has_hook(cell.attack):
        return tracks.get(cell.attack.track).no_transplant
    setting = _partner(cell.setting, seeds)
    if setting is None:
        due = cell.setting.seed % ONE_OF == REMAINDER
        return "the grid has no other seed" if due else f"one seed in {ONE_OF} meets a transplant"
    id_ = target_id(setting, cell.data_digest, cell.attack.track)
    if id_ in targets:
        return targets[id_]
    cache = TargetCache()
    try:
        if cache.get(id_) is None:
            return f"the network of seed {setting.seed} is not in the cache"
        had, faults = train({id_: setting}, cell.attack.track, cache, device)
    except Exception as error:
        return f"the network of seed {setting.seed} cannot be had: {blame(error)}"
    return had[id_] if id_ in had else faults[id_]


def _marked(cell: Cell) -> Cell:
    """The cell on the transplant: other streams of random numbers, and of a sweep a few runs that nothing keeps."""
    planned = cell.attack
    if planned.spec.sweep is not None:
        spec = planned.spec.model_copy(update={"sweep": None})
        planned = dataclasses.replace(planned, spec=spec, instances=planned.instances[:FIRST_RUNS])
    return dataclasses.replace(cell, id=cell.id + MARK, target_id=cell.target_id + MARK, attack=planned)


def _columns(cell: Cell, secret: Any, answer: list[Ended] | str, device: torch.device) -> Row:
    """What came of it: the headline, and hits of members and of controls, where the track counts hits. A failed attack found nothing."""
    track = tracks.get(cell.attack.track)
    headline, share, less = track.headline, track.headline.share, track.headline.less
    if isinstance(answer, str):
        reason = answer
    else:
        try:
            pooled = track.work.pool([track.work.rounded(run.answer) for run in answer], told=len(answer) > 1)
            row = judge(cell.id, pooled, secret, track.name, None, device)[0]
            if hasattr(track.work, "levelled") and row[headline.column] > headline.chance:  # else it is nothing as it is
                levelled = judge(cell.id, pooled, track.work.levelled(secret), track.name, None, device)[0]
                row = min(row, levelled, key=lambda row: row[headline.column])
            if share is None or less is None:
                return {"transplant": row[headline.column]}
            return {
                "transplant": row[headline.column],
                "transplant_members": row[share.column],
                "transplant_controls": row[less.column],
            }
        except Exception as error:
            reason = f"scoring: {blame(error)}"
    nothing = {} if share is None or less is None else {"transplant_members": 0.0, "transplant_controls": 0.0}
    return {"transplant": headline.chance, **nothing, "transplant_reason": f"failed on the transplant: {reason}"}
