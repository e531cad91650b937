"""Runs a plan on this machine, a batch at a time, and stores each cell as it ends: whatever stops a run, nothing finished is lost.

Targets of one shape are trained together, attacked, and let go before the next shape. A KeyboardInterrupt ends the run with what is
stored; the same command resumes. A budget that is spent starts no new batch. A cell that fails is a row with its reason.
With more than one job, or a timeout, the batches run in worker processes instead (``executors.workers``), or on a cluster
(``executors.ray``).
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import sys
import time
from collections.abc import Callable, Generator, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch

from bench import registry, tracks
from bench.api import Row, Secret, Setting, Target
from bench.data.split import MAX_PUBLIC, MAX_TEST, PUBLIC_PER_MEMBER
from bench.engine import cell as cells_module
from bench.engine.cell import Result, batches, failed, judge, kept, labels, run_batch
from bench.engine.plan import Cell, Plan
from bench.engine.progress import Progress, Silent
from bench.errors import BenchError, StorageError
from bench.files import Afresh, Files, store_files
from bench.grids.load import options_of
from bench.memory import budget, is_out_of_memory
from bench.store import Store
from bench.targets.cache import TargetCache
from bench.targets.convolutions import activations_per_image
from bench.targets.models import weight_shapes
from bench.torch_state import restored

if TYPE_CHECKING:
    from bench.engine.executors.ray import Cluster

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE)  # of the machine, whoever meets them
BYTES_PER_WEIGHT = 40  # initial and current weights, float64 among them, and the products of one step
BYTES_PER_ACTIVATION = 48  # of a cnn in training: 17 to 30 measured in float32, with what the backward pass keeps; twice that in float64
TARGETS_AT_ONCE = {"cpu": 64, "cuda": 512}
LATER = ("channels", "kernel", "pooling", "batch_size")  # fields of settings that only some networks have


@dataclass
class Summary:
    """How a run ended."""

    grid: str
    total: int
    ok: int = 0
    failed: int = 0
    skipped: int = 0
    cached: int = 0
    left: int = 0  # cells that were to run and did not: interrupted, or out of budget
    failures: list[tuple[str, str]] = field(default_factory=list)  # cell in words, reason
    interrupted: bool = False
    out_of_budget: bool = False
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """0 all fine; 2 some cells failed or are left; 130 interrupted."""
        if self.interrupted:
            return 130
        return 2 if self.failed or self.left else 0


def store() -> Store:
    """The rows of the store."""
    return Store(store_files().within("rows"))


def reconstructions() -> Files:
    """Where the store has raw reconstructions."""
    return store_files().within("reconstructions")


def known(rows: Store) -> dict[str, tuple[str, str]]:
    """cell id → (status, reason) over all grids: a cell that is done for one grid is done for all."""
    result: dict[str, tuple[str, str]] = {}
    for (_, cell), state in rows.status().items():
        if result.get(cell, ("", ""))[0] != "ok":
            result[cell] = state
    return result


def pick_device(name: str) -> torch.device:
    """``auto``, ``cpu`` or ``cuda`` as a device.

    Raises:
        BenchError: another word, or no GPU where one is asked for.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise BenchError(f"unknown device '{name}'", expected="auto, cpu or cuda", got=repr(name))
    if name == "cuda" and not torch.cuda.is_available():
        raise BenchError("there is no CUDA device here", expected="a GPU that torch sees", hint="--device cpu, or python -m bench doctor")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def run(
    plan: Plan,
    rows: Store,
    device: torch.device,
    progress: Progress | None = None,
    *,
    no_cache: bool = False,
    memory_gib: float | None = None,
    jobs: int | None = 1,
    timeout: float | None = None,
    cluster: Cluster | None = None,
    debug: Callable[[Exception], None] | None = None,
) -> Summary:
    """Runs what the plan has left, storing each cell as it ends.

    Args:
        memory_gib: what a stack of targets or runs may take; None: half of what is free on the device.
        jobs: worker processes; 1 without a timeout: none, everything runs in this process. None, on a cluster: as many as it has room for.
        timeout: seconds that one training, or one batch of cells, may take.
        cluster: where the workers are, if not on this machine; ``device`` is not asked then.
        debug: is called with what an attack on one cell has raised, before the cell fails; in this process only.

    Raises:
        BenchError: the store cannot be written (the disk is full); what was stored before is kept.
    """
    began = time.monotonic()
    progress = progress or Silent()
    waiting = [cell for cell in plan.cells if cell.state == "to run"]
    summary = Summary(plan.grid, len(plan.cells), cached=sum(cell.state == "cached" for cell in plan.cells), left=len(waiting))
    minutes = plan.loaded.grid.budget.minutes
    deadline = math.inf if minutes is None else began + 60 * minutes
    try:
        progress.start(len(waiting), summary.cached)
        _settled(plan, rows, summary)
        if cluster is not None:
            from bench.engine.executors import ray as on_ray

            source = on_ray.results(
                waiting, plan, cluster, progress, deadline, jobs=jobs, timeout=timeout, memory_gib=memory_gib, no_cache=no_cache
            )
        elif (jobs or 1) > 1 or timeout is not None:
            from bench.engine.executors import workers

            source = workers.results(
                waiting, plan, device.type, progress, deadline, jobs=jobs or 1, timeout=timeout, memory_gib=memory_gib, no_cache=no_cache
            )
        else:
            source = _results(waiting, plan, cache_of(no_cache), device, progress, deadline, budget(device, memory_gib), no_cache, debug)
        # what a plug-in prints is no part of our output; and whatever ends this loop ends the workers
        with contextlib.redirect_stdout(sys.stderr), contextlib.closing(source) as parts:
            for part in parts if waiting else ():
                rows.append([result.row for result in part], [image for result in part for image in result.images])
                for result in part:
                    _count(summary, result)
                    progress.finished(in_words(result.cell), result.status, result.reason)
        summary.out_of_budget = summary.left > 0
    except KeyboardInterrupt:
        summary.interrupted = True
    except OSError as error:
        raise BenchError(
            f"the store {store_files()} cannot be used",
            expected="free space, and a folder that can be read and written",
            got=str(error),
            hint="free some space, or set RECONBENCH_HOME or RECONBENCH_STORE, then run the same command again; finished cells are kept",
        ) from error
    finally:
        progress.close()
        summary.seconds = time.monotonic() - began
    return summary


def in_words(cell: Cell) -> str:
    """A cell as messages name it."""
    axis = ", ".join(f"{name}={label}" for name, label in cell.axis.items())
    return f"{cell.attack.spec.name}" + (f" on {axis}" if axis else "") + f", seed {cell.setting.seed} [{cell.id}]"


def collect(plan: Plan, rows: Store) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The score and image rows of a plan's cells that are stored, under this grid's name and labels."""
    frame = rows.rows()
    ids = {cell.id: cell for cell in plan.cells}
    frame = frame[frame["cell_id"].isin(list(ids))]
    # a cell may be stored under several grids: this grid's row first, then one that is ok
    rank = (frame["grid"] != plan.grid).astype(int) + 2 * (frame["status"] != "ok").astype(int)
    frame = frame.assign(_rank=rank).sort_values("_rank", kind="stable").drop_duplicates("cell_id").drop(columns="_rank")
    named = [labels(ids[cell], plan.loaded.grid) for cell in frame["cell_id"]]
    for column in ("grid", "grid_title", "grid_question", "grid_published", "gallery", "axis", "axis_index"):
        kind = "float64" if column == "gallery" else frame[column].dtype  # null in most grids
        frame[column] = pd.Series([row[column] for row in named], index=frame.index, dtype=kind)
    return frame.reset_index(drop=True), rows.images(frame.loc[frame["status"] == "ok", "cell_id"])


def rescore(rows: Store, grid: str | None, progress: Progress | None = None) -> tuple[list[Row], dict[str, list[str]]]:
    """Scores kept reconstructions again, without attacking, and stores the new rows.

    Returns:
        The new score rows, and for each reason why cells could not be scored these cells in words: their reconstructions are not here,
        or their data are not, or are others than those attacked.
    """
    progress = progress or Silent()
    frame = rows.rows()
    frame = frame[frame["status"] == "ok"]
    if grid is not None:
        frame = frame[frame["grid"] == grid]
    frame = frame.sort_values(["target_id", "cell_id"], kind="stable")
    progress.start(len(frame), task="score")
    fresh: list[Row] = []
    missing: dict[str, list[str]] = {}
    drawn: tuple[str, Secret] | None = None  # of the last target; the rows come target by target
    before = rows.images(frame["cell_id"]).set_index(["cell_id", "split", "index"])[["margin", "multiplier"]]
    try:
        for row in frame.to_dict("records"):
            row = {str(name): None if _null(value) else value for name, value in row.items()}
            name = f"{row['grid']}: {row['attack']} on {row['dataset']}, seed {row['seed']} [{row['cell_id']}]"
            began = time.perf_counter()
            try:
                candidates = _kept(row)
                if drawn is None or drawn[0] != row["target_id"]:
                    drawn = (row["target_id"], _secret(row))
            except Exception as error:  # data may come from a plug-in, which may raise anything
                reason = cells_module.blame(error)
                missing.setdefault(reason, []).append(name)
                progress.finished(name, "missing", reason)
                continue
            scores, images = judge(
                row["cell_id"],
                candidates,
                drawn[1],
                row["track"] or tracks.DEFAULT,
                None if row["gallery"] is None else int(row["gallery"]),
            )
            if scores.get("sweep_runs"):
                scores["sweep_runs"] = _with_draws(scores["sweep_runs"], row["sweep_runs"])
            _carry_over(before, row["cell_id"], images)
            row = {**row, **scores, "finished_at": None, "seconds_score": time.perf_counter() - began}
            rows.append([row], images)
            fresh.append(row)
            progress.finished(name, "ok", "")
    finally:
        progress.close()
    return fresh, missing


def _with_draws(scored: Sequence[Row], before: str | None) -> list[Row]:
    """What the row said of each run, its draw and its objective, with the new scores."""
    said = {run["run"]: run for run in json.loads(before or "[]")}
    return [{**said.get(run["run"], {}), **run} for run in scored]


def _carry_over(before: pd.DataFrame, cell: str, images: Sequence[Row]) -> None:
    """Numbers of image rows that follow from the target, which scoring again does not have."""
    known = before.loc[[cell]].to_dict("index") if cell in before.index else {}
    for row in images:
        found = known.get((cell, row["split"], row["index"]), {})
        row |= {str(name): None if _null(value) else value for name, value in found.items()}


def _kept(row: Row) -> cells_module.Answer:
    """The kept reconstructions of a row's cell.

    Raises:
        BenchError: there are none, or their file is corrupt.
    """
    candidates = kept(reconstructions(), row["cell_id"], row["track"] or tracks.DEFAULT)
    if candidates is None:
        grid = options_of(row["grid"]) or f"--grid FILE.yaml (the file of grid '{row['grid']}')"
        raise BenchError(f"no reconstructions in {reconstructions()}", hint=f"python -m bench run --no-cache {grid}, which attacks again")
    return candidates


def _secret(row: Row) -> Secret:
    """The secret that a row was scored against, drawn again.

    Raises:
        BenchError: the data are not here, or are others by now.
    """
    setting = setting_of(row)
    digest = registry.resolve_data(setting.dataset).digest()
    if row["data_digest"] not in (None, digest):
        raise BenchError(
            f"data set '{setting.dataset}' holds other images now than those attacked",
            expected=f"digest {row['data_digest']}",
            got=digest,
            hint="bring the earlier copy back, or run the grid again",
        )
    return tracks.get(row["track"] or tracks.DEFAULT).work.secret_of(setting)


def setting_of(row: Mapping[str, Any]) -> Setting:
    """The setting that a score row was made from."""
    fields = {name: row[name] for name in Setting.model_fields if name in row and name not in LATER}
    if row["model"] == "cnn":
        fields |= {"channels": tuple(int(width) for width in str(row["channels"]).split("-"))}
        fields |= {"kernel": int(row["kernel"]), "pooling": row["pooling"]}
    if row["optimizer"] == "adam":
        fields["batch_size"] = int(row["batch_size"])
    fields["classes"] = row["classes"] if row["classes"] == "binary" else int(row["classes"])
    fields["hidden"] = tuple(int(width) for width in str(row["hidden"]).split("-"))
    fields["defense_params"] = json.loads(row["defense_params"] or "{}")
    return Setting.model_validate(fields)


# ---------------------------------------------------------------------------------------------------------------- running


def _settled(plan: Plan, rows: Store, summary: Summary) -> None:
    """Cells whose fate needs no run: skipped, broken, failed before. New ones become rows."""
    before = rows.status()
    fresh: list[Row] = []
    for cell in plan.cells:
        if cell.state == "unsupported":
            summary.skipped += 1
            result = ("skipped", cell.reason)
        elif cell.state == "broken":
            result = ("failed", cell.reason)
        elif cell.state == "failed before":
            summary.failed += 1
            summary.failures.append((in_words(cell), cell.reason))
            continue
        else:
            continue
        if cell.state == "broken":
            summary.failed += 1
            summary.failures.append((in_words(cell), cell.reason))
        if before.get((plan.grid, cell.id)) != result:
            fresh.append(failed(cell, plan.loaded.grid, cell.reason, status=result[0]).row)
    if fresh:
        rows.append(fresh)


def _results(
    waiting: Sequence[Cell],
    plan: Plan,
    cache: TargetCache,
    device: torch.device,
    progress: Progress,
    deadline: float,
    memory: int,
    no_cache: bool = False,
    debug: Callable[[Exception], None] | None = None,
) -> Generator[list[Result], None, None]:
    """Results in the order in which they come: shape by shape, targets by the stack, attack by attack."""
    for chunk in chunks(waiting, device.type, memory):
        if time.monotonic() >= deadline:
            return
        settings = {cell.target_id: cell.setting for cell in chunk}
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
                    batch, trained, plan.loaded.grid, reconstructions(), device, memory, no_cache=no_cache, debug=debug
                ):
                    yield [result]


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


def cache_of(afresh: bool) -> TargetCache:
    """The targets of the store; ``afresh``: nothing is taken from it that was there before, shadows included."""
    return TargetCache(Afresh(store_files()) if afresh else None)


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
            return {}, dict.fromkeys(settings, f"training: {cells_module.blame(error)}")
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


def is_full(error: Exception) -> bool:
    """Whether the machine or the store is to blame, and not the cell: then the run stops, with a message, and no cell is marked failed.

    Other errors of the system are those of a data set or a plug-in, such as a picture that is cut off: they fail their cells.
    """
    return isinstance(error, StorageError) or (isinstance(error, OSError) and error.errno in FULL)


def _count(summary: Summary, result: Result) -> None:
    summary.left -= 1
    if result.status == "ok":
        summary.ok += 1
    elif result.status == "skipped":
        summary.skipped += 1
    else:
        summary.failed += 1
        summary.failures.append((in_words(result.cell), result.reason))


def _null(value: Any) -> bool:
    return value is pd.NaT or (isinstance(value, float) and math.isnan(value)) or value is pd.NA
