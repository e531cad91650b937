"""Runs one batch of cells: attack, check, keep, score; each cell ends as a row, whatever happened.

A batch is cells of one attack on targets of one shape; their runs (cells × runs of the sweep) go to ``Attack.reconstruct_batch`` together.
If that raises, each cell is tried alone, so that only the culprit fails. Every run gets a copy of its release, narrowed to the attack's
access tier, and a generator named by the cell and the run; a release that comes back changed fails the cell. The runs of a sweep are kept
one by one as they end: what is interrupted goes on with the next run, and a longer sweep begins with the runs of a shorter one.

Answers are rounded to the precision in which they are kept before they are scored: scoring them again later gives the same numbers.
"""

from __future__ import annotations

import contextlib
import functools
import json
import platform
import resource
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import bench
from bench import registry, seeds, tracks
from bench.api import DIVERGED, OWN_LOSS, Objective, Release, Row, Secret, Target
from bench.engine.plan import PROTOCOL, Cell, PlannedAttack, draws, runs_id
from bench.errors import AttackFault, BenchError, StorageError
from bench.files import Files
from bench.grids.load import Grid
from bench.memory import fitting
from bench.sealed import seal, unseal
from bench.store import setting_row
from bench.torch_state import restored

Answer = Any  # what an attack of a track answers with: images or a network; the track's own functions know its form
RUNS_AT_ONCE = {"cpu": 32, "cuda": 512}  # runs stacked in one call; more gains nothing on a CPU and delays the first finished cell
FACTS = ("train_accuracy", "test_accuracy", "train_loss", "epochs_run", "kkt_residual", "seconds_train")


@dataclass(frozen=True)
class Result:
    """What became of one cell."""

    cell: Cell
    row: Row
    images: list[Row]

    @property
    def status(self) -> str:
        """ok, skipped, failed or timeout."""
        return str(self.row["status"])

    @property
    def reason(self) -> str:
        """Why the status is not ok."""
        return str(self.row["reason"])


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
    least = release.nbytes
    try:
        return max([least, *(attack.memory(release) for attack in cell.attack.instances[:1])])
    except Exception:  # the plug-in's estimate is wrong, which is no reason not to run it
        return 4 * least


def run_batch(
    cells: Sequence[Cell],
    targets: Mapping[str, Target],
    grid: Grid,
    files: Files,
    device: torch.device,
    memory: int,
    *,
    no_cache: bool = False,
    debug: Callable[[Exception], None] | None = None,
) -> Iterator[Result]:
    """Attacks the targets of the cells and yields one result a cell, in order.

    Args:
        files: where the raw reconstructions are kept, one file a cell.
        device: where the targets are.
        memory: bytes that the runs of one stack may take, by the attack's estimate.
        no_cache: attack again also where a run of a sweep is kept.
        debug: is called with what an attack on one cell has raised, before the cell fails.

    Raises:
        StorageError: the reconstructions cannot be written.
    """
    began = time.perf_counter()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    track = tracks.get(cells[0].attack.track).work
    saved = [_saved(targets[cell.target_id].release) for cell in cells]
    runs = _Runs(files)
    if not no_cache:
        runs.find(cells)
    answers, stack = _attack(cells, targets, device, memory, runs, debug)
    seconds = (time.perf_counter() - began) / len(cells)  # a batch runs together; its time is shared out evenly
    cost = {"seconds_attack": seconds, "peak_memory_mb": peak_memory_mb(device), "device": device_name(device)}
    for cell, answer, before in zip(cells, answers, saved, strict=True):
        target = targets[cell.target_id]
        cost |= {"stack": stack.size, "stack_halvings": stack.halvings + target.facts.get("stack_halvings", 0)}
        # what an attack found on disk, of its own or of others, cost what it cost when it was made
        cost["seconds_attack"] = seconds + _saved(target.release) - before + runs.spared.get(cell.id, 0.0)
        facts = {name: target.facts.get(name) for name in FACTS}
        if isinstance(answer, str):
            yield failed(cell, grid, answer, {**facts, **cost})
            continue
        began = time.perf_counter()
        swept = cell.attack.spec.sweep is not None
        try:
            rounded = [track.rounded(run) for run in answer]
            pooled = track.pool(rounded, told=swept)
            keep(files, cell.id, pooled, cell.attack.track)
            scores, images = judge(cell.id, pooled, target.secret, cell.attack.track, grid.gallery)
        except StorageError:
            raise
        except Exception as error:  # images too small for the window, say; the other cells go on
            if debug is not None:
                debug(error)
            yield failed(cell, grid, f"scoring: {blame(error)}", {**facts, **cost})
            continue
        losses = [run.loss for run in rounded if run.loss is not None]
        row = {
            **describe(cell, grid),
            **facts,
            **cost,
            **scores,
            "status": "ok",
            "reason": "",
            "runs": len(answer),
            "attack_loss": min(losses) if losses else None,
            "sweep_runs": _sweep_runs(cell, rounded, scores.get("sweep_runs") or []) if swept else None,
            "seconds_score": time.perf_counter() - began,
        }
        yield Result(cell, row, images)


def failed(cell: Cell, grid: Grid, reason: str, more: Mapping[str, Any] | None = None, status: str = "failed") -> Result:
    """A row without scores: the cell failed, or was skipped, for this reason."""
    return Result(cell, {**describe(cell, grid), **(more or {}), "status": status, "reason": reason}, [])


def _saved(release: Release) -> float:
    """Seconds that a release's recipe and keeper have spared its attacks so far, in tracks that have them."""
    return sum(getattr(part, "saved", 0.0) for part in release.held().values())


def judge(cell_id: str, answer: Answer, secret: Secret, track: str = "reconstruction", gallery: int | None = None) -> tuple[Row, list[Row]]:
    """Scores a pooled answer against the secret by the protocol of a track: score columns of the row, and image rows.

    Args:
        gallery: how many of the best members get thumbnails; None: as many as a strip shows.
    """
    bootstrap = seeds.seed("bootstrap", cell_id)
    scores, images = tracks.get(track).work.score(answer, secret, bootstrap_seed=bootstrap, gallery=gallery)
    return scores, [{**image, "cell_id": cell_id} for image in images]


def keep(files: Files, cell_id: str, answer: Answer, track: str = "reconstruction", seconds: float = 0.0) -> None:
    """Writes a cell's pooled answer as safetensors, in the form that its track gives it.

    Args:
        seconds: what it took, where that is to be known again.

    Raises:
        StorageError: the disk is full, or the store cannot be written.
    """
    tensors, facts = tracks.get(track).work.pack(answer)
    metadata = {"cell_id": cell_id, "protocol": PROTOCOL, "seconds": repr(seconds), **{k: json.dumps(v) for k, v in facts.items()}}
    files.put(file_name(cell_id), seal(tensors, metadata))


def kept(files: Files, cell_id: str, track: str = "reconstruction") -> Answer | None:
    """The kept answer of a cell, or None where there is none, or the file is corrupt."""
    found = _read(files, cell_id, track)
    return None if found is None else found[0]


def _read(files: Files, cell_id: str, track: str) -> tuple[Answer, float] | None:
    """A kept answer and the seconds that it took, or None. A corrupt file is set aside with a warning."""
    name = file_name(cell_id)
    try:
        tensors, said = unseal(files.read(name))
        facts = {name: json.loads(text) for name, text in said.items() if name not in ("cell_id", "protocol", "seconds")}
        return tracks.get(track).work.unpack(tensors, facts), float(said.get("seconds", 0))
    except FileNotFoundError:
        return None
    except (OSError, KeyError, ValueError) as error:
        aside = f"{cell_id}.corrupt"
        files.set_aside(name, aside)
        warnings.warn(f"{files.at(name)} is corrupt ({error}); set aside as {aside}", stacklevel=3)
        return None


def file_name(cell_id: str) -> str:
    """The name of the file with a cell's raw reconstructions."""
    return f"{cell_id}.safetensors"


# ------------------------------------------------------------------------------------------------------------- attacking


@dataclass
class _Stack:
    """How many runs went together."""

    limit: int  # runs in one stack at most
    size: int | None = None  # the largest that went through
    halvings: int = 0

    def halve(self, limit: int) -> None:
        """Memory has run out; no more than so many from now on."""
        self.limit = limit
        self.halvings += 1


@dataclass
class _Runs:
    """The runs that need not be done again, and where those of sweeps are kept as they end."""

    files: Files
    done: dict[tuple[str, int], Answer] = field(default_factory=dict)  # (cell id, run)
    spared: dict[str, float] = field(default_factory=dict)  # cell id → seconds that its runs took when they were made

    def keep(self, cell: Cell, run: int, answer: Answer, seconds: float) -> None:
        """Takes note of a finished run, in the store if it is one of a sweep."""
        self.done[cell.id, run] = answer
        if cell.attack.spec.sweep is not None:
            track = cell.attack.track
            keep(self._of(cell), f"{run}", tracks.get(track).work.rounded(answer), track, seconds)

    def find(self, cells: Sequence[Cell]) -> None:
        """Reads the kept runs of the cells' sweeps."""
        for cell in cells:
            if cell.attack.spec.sweep is None:
                continue
            files = self._of(cell)
            here = {file.name for file in files.listing()}
            for run in range(len(cell.attack.instances)):
                found = _read(files, f"{run}", cell.attack.track) if file_name(f"{run}") in here else None
                if found is not None:
                    self.done[cell.id, run] = found[0]
                    self.spared[cell.id] = self.spared.get(cell.id, 0.0) + found[1]

    def _of(self, cell: Cell) -> Files:
        return self.files.within(f"runs/{runs_id(cell)}")


def _sweep_runs(cell: Cell, runs: Sequence[Answer], scores: Sequence[Row]) -> list[Row]:
    """What the row says of each run of a sweep: its draw, its own loss and objective, and how it scores alone."""
    scored = {score["run"]: score for score in scores}
    assert cell.attack.cls is not None
    ranked = all(getattr(run, "confidence", None) is not None for run in runs)  # as runs are pooled
    objective = cell.attack.cls.goes_by if ranked else OWN_LOSS
    return [
        {
            "run": k,
            "params": {name: float(f"{value:.6g}") for name, value in draw.items()},
            "loss": run.loss,
            "objective": {"name": objective.name, "better": objective.better, "value": _reached(run, objective) if ranked else run.loss},
            **{name: scored.get(k, {}).get(name) for name in ("members", "controls", "submitted")},
        }
        for k, (draw, run) in enumerate(zip(draws(cell.attack.spec, cell.attack.cls), runs, strict=True))
    ]


def _reached(run: Answer, objective: Objective) -> float | None:
    """The objective of a run with confidences; None where it came to no end."""
    best = float(run.confidence.max())
    return None if best <= DIVERGED else -best if objective.better == "lower" else best


def _attack(
    cells: Sequence[Cell],
    targets: Mapping[str, Target],
    device: torch.device,
    memory: int,
    runs: _Runs,
    debug: Callable[[Exception], None] | None = None,
) -> tuple[list[list[Answer] | str], _Stack]:
    """For each cell the candidates of its runs, or why there are none; and how they were stacked.

    Raises:
        StorageError: a run of a sweep cannot be kept, for which no cell is to blame.
    """
    fit = memory // max(1, run_bytes(cells[0], targets))
    stack = _Stack(limit=max(1, min(RUNS_AT_ONCE[device.type], fit)))
    answers: list[list[Answer] | str] = []
    if len(cells) > 1:
        with contextlib.suppress(Exception):  # one of them has spoiled the batch: each alone
            return _attempt(cells, targets, stack, runs), stack
    for cell in cells:
        try:
            answers += _attempt([cell], targets, stack, runs)
        except StorageError:
            raise
        except Exception as error:
            if debug is not None:
                debug(error)
            answers.append(blame(error))
    return answers, stack


class PluginExitError(Exception):
    """A plug-in called sys.exit, which must not end the run."""


def _attempt(cells: Sequence[Cell], targets: Mapping[str, Target], stack: _Stack, kept_runs: _Runs) -> list[list[Answer] | str]:
    """All runs of the cells that are not done yet, stack by stack."""
    planned = cells[0].attack
    if planned.cls is None:
        return [planned.error for _ in cells]
    track = tracks.get(planned.track).work
    prints = {cell.target_id: track.fingerprint(track.narrow(targets[cell.target_id].release, planned.needs)) for cell in cells}
    left = [(cell, k) for cell in cells for k in range(len(planned.instances)) if (cell.id, k) not in kept_runs.done]
    faults: dict[str, str] = {}
    while left:
        began = time.perf_counter()
        answers = _stacked(planned, left[: stack.limit], targets, stack)
        seconds = (time.perf_counter() - began) / len(answers)
        for (cell, k), (answer, release) in zip(left, answers, strict=False):  # out of memory, a stack answers for its first half
            try:
                if track.fingerprint(release) != prints[cell.target_id]:
                    raise AttackFault(
                        "the attack changed the release that it was given",
                        expected="a release that is only read",
                        hint="clone before writing",
                    )
                kept_runs.keep(cell, k, track.check_answer(answer, release), seconds)
            except AttackFault as fault:
                faults.setdefault(cell.id, blame(fault))
        left = left[len(answers) :]
    return [faults[cell.id] if cell.id in faults else [kept_runs.done[cell.id, k] for k in range(len(planned.instances))] for cell in cells]


def _stacked(
    planned: PlannedAttack, runs: Sequence[tuple[Cell, int]], targets: Mapping[str, Target], stack: _Stack
) -> list[tuple[Any, Release]]:
    """One call of reconstruct_batch, each run with its own copy of its release; out of memory, the first half of the runs instead."""
    cls = planned.cls
    assert cls is not None

    def first(count: int) -> tuple[Any, list[Release]]:
        some = runs[:count]
        releases = [tracks.get(planned.track).work.narrow(targets[cell.target_id].release, planned.needs) for cell, _ in some]
        generators = [seeds.generator("attack", runs_id(cell), k) for cell, k in some]
        try:
            with restored():
                return cls.reconstruct_batch([planned.instances[k] for _, k in some], releases, generators), releases
        except SystemExit as error:
            raise PluginExitError(f"the attack called sys.exit({error.code})") from error

    raw, releases = fitting(first, len(runs), stack.halve)
    runs = runs[: len(releases)]
    if not isinstance(raw, list | tuple) or len(raw) != len(runs):
        came = f"{len(raw)} answers" if isinstance(raw, list | tuple) else type(raw).__name__
        raise AttackFault("reconstruct_batch returned the wrong number of answers", expected=f"a list of {len(runs)}, one a run", got=came)
    stack.size = max(stack.size or 0, len(runs))
    return list(zip(raw, releases, strict=True))


def blame(error: BaseException) -> str:
    """One line that says what a plug-in raised, and where in its own file, without what a terminal would obey."""
    return "".join(character if character.isprintable() else "�" for character in _blame(error))


def _blame(error: BaseException) -> str:
    if isinstance(error, PluginExitError):
        return str(error)
    if isinstance(error, BenchError):
        return error.line
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__ and frame.filename[:1] != "<"]
    own = [f for f in own if "site-packages" not in f.filename] or own
    where = f" (at {_file(own[-1].filename)}:{own[-1].lineno})" if own else ""
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text}{where}"[:500]


def _file(name: str) -> str:
    """A source file by its name, or by its folder too where that says nothing."""
    path = Path(name)
    return f"{path.parent.name}/{path.name}" if path.name == "__init__.py" else path.name


# -------------------------------------------------------------------------------------------------------------- describing


def describe(cell: Cell, grid: Grid) -> Row:
    """The columns of a row that are known before anything runs."""
    shape = cell.architecture.input_shape if cell.architecture is not None else None
    return {
        **setting_row(cell.setting),
        **labels(cell, grid),
        "protocol": PROTOCOL,
        "track": cell.attack.track,
        "cell_id": cell.id,
        "target_id": cell.target_id,
        "attack": cell.attack.spec.name,
        "attack_version": cell.attack.version,
        "attack_params": cell.attack.params_json,
        "attack_defaults": cell.attack.defaults_json,
        "sweep": cell.attack.sweep_json,
        "role": cell.attack.role,
        "access": cell.attack.access,
        "dataset_display": display_name(cell.setting.dataset) if shape is not None else cell.setting.dataset,
        "input_shape": "x".join(str(side) for side in shape) if shape is not None else None,
        "data_digest": cell.data_digest,
        **provenance(),
    }


def labels(cell: Cell, grid: Grid) -> Row:
    """The columns that belong to the grid and not to the cell; rewritten when a cell is shared by two grids."""
    return {
        "grid": grid.name,
        "grid_title": grid.title or grid.name,
        "grid_question": grid.question,
        "grid_published": json.dumps([figure.model_dump() for figure in grid.published], ensure_ascii=False) if grid.published else None,
        "gallery": grid.gallery,
        "axis": json.dumps(dict(cell.axis), ensure_ascii=False),
        "axis_index": cell.axis_index,
    }


@functools.cache
def display_name(dataset: str) -> str:
    """The data set as tables name it."""
    return str(registry.resolve_data(dataset).load().display)


@functools.cache
def provenance() -> Row:
    """Which code and libraries, on which system."""
    names = ("torch", "torchvision", "numpy", "scipy", "scikit-image", "lpips")
    versions = {}
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "code_version": code_version(),
        "versions": json.dumps(versions),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
    }


@functools.cache
def code_version() -> str:
    """The program's version, with the commit when it runs from a clone, and ``.dirty`` when its code was changed since."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(registry.ROOT), *words], capture_output=True, text=True, timeout=10, check=True
        ).stdout.strip()

    if not (registry.ROOT / ".git").exists():
        return bench.__version__
    try:
        changed = git("status", "--porcelain", "--", "bench", "attacks", "defenses")
        return f"{bench.__version__}+g{git('rev-parse', '--short=8', 'HEAD')}" + (".dirty" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return bench.__version__


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory in MiB: on a GPU of this batch; on a CPU of the whole process so far, which is all that the system tells."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def device_name(device: torch.device) -> str:
    """``cpu``, or ``cuda: NVIDIA H100``."""
    return f"cuda: {torch.cuda.get_device_name(device)}" if device.type == "cuda" else device.type
