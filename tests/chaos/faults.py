"""What can go wrong, one function a kind. Each answers what it did, in words, or nothing where there was nothing to do it to."""

from __future__ import annotations

import contextlib
import os
import random
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from . import rows
from .clock import DAY, Clock
from .disk import Limit, Tmpfs
from .driver import Driver

DISK_SECONDS = 240.0  # until a run whose disk is full must have ended; trainings and attacks are let finish
JUMPS = (-3650 * DAY, -DAY, -3600, 0, 3600, 2 * DAY, 365 * DAY)  # seconds off the true time


class BrokenError(Exception):
    """The program did what it must not do."""


@dataclass
class Scene:
    """What the faults act on."""

    home: Path
    disk: Tmpfs | Limit
    clock: Clock
    driver: Driver
    rng: random.Random
    seen: set[rows.Key] = field(default_factory=set)  # cells that had a row when it was last looked
    damaged: set[rows.Key] = field(default_factory=set)  # cells whose rows were cut off since, and which may be gone


def kill_a_worker(scene: Scene) -> str:
    """SIGKILL, as when the system runs out of memory."""
    workers = scene.driver.workers()
    if not workers:
        return ""
    with contextlib.suppress(ProcessLookupError):
        os.kill(scene.rng.choice(workers), signal.SIGKILL)
        return "one of its processes"
    return ""


def kill_the_main_process(scene: Scene) -> str:
    """SIGKILL: no chance to say goodbye."""
    if not scene.driver.running:
        return ""
    scene.seen |= set(rows.stored(scene.home))
    scene.driver.kill()
    return "and its workers are gone"


def fill_the_disk(scene: Scene) -> str:
    """Nothing can be written until the run has ended by itself, which it must, with the reason."""
    if not scene.driver.workers():
        return ""
    scene.disk.fill([scene.driver.process.pid, *scene.driver.workers()])
    code = scene.driver.wait(DISK_SECONDS)
    scene.disk.free()
    if code is None:
        raise BrokenError(f"the disk was full for {DISK_SECONDS:.0f} s, and the run went on")
    if code == 1 and scene.disk.said not in scene.driver.said:
        raise BrokenError(f"the disk was full, and the run ended without saying so:\n{scene.driver.said}")
    return f"the run ended with exit code {code}"


def move_the_clock(scene: Scene) -> str:
    """To another hour, day or year."""
    shift = scene.rng.choice(JUMPS)
    scene.clock.move(shift)
    return f"{shift / DAY:+.1f} days off"


def cut_off_a_target(scene: Scene) -> str:
    """A trained network loses its end."""
    return _cut(scene, sorted((scene.home / "targets").glob("*.safetensors")))


def cut_off_a_reconstruction(scene: Scene) -> str:
    """The answer of an attack, or of one run of a sweep, loses its end."""
    return _cut(scene, sorted((scene.home / "reconstructions").rglob("*.safetensors")))


def cut_off_a_part_of_the_rows(scene: Scene) -> str:
    """Rows that were reported done are unreadable: their cells must run again."""
    paths = rows.parts(scene.home)
    if not paths:
        return ""
    path = scene.rng.choice(paths)
    keys = rows.in_file(path)
    done = _cut(scene, [path])
    if done:
        scene.damaged |= keys
    return f"{done}, {len(keys)} rows" if done else ""


def _cut(scene: Scene, paths: list[Path]) -> str:
    if not paths:
        return ""
    path = scene.rng.choice(paths)
    with contextlib.suppress(FileNotFoundError):  # joined with others meanwhile
        os.truncate(path, int(path.stat().st_size * scene.rng.random()))
        return path.name
    return ""


KINDS: dict[str, Callable[[Scene], str]] = {
    "kill a worker": kill_a_worker,
    "kill the main process": kill_the_main_process,
    "fill the disk": fill_the_disk,
    "move the clock": move_the_clock,
    "cut off a target": cut_off_a_target,
    "cut off a reconstruction": cut_off_a_reconstruction,
    "cut off a part of the rows": cut_off_a_part_of_the_rows,
}
