"""`python -m tests.chaos`: torments a run of a real grid, and says what came of it."""

from __future__ import annotations

import argparse
import os
import random
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from bench.store import Store

from .clock import Clock
from .disk import small
from .driver import ROOT, Driver
from .faults import BrokenError
from .storm import Storm
from .trial import FIRST, FULL, SHORT, Trial
from .verdict import Verdict, judge, unexplained


def main(arguments: list[str] | None = None) -> int:
    """0 if every cell came out with one true row and its undisturbed score, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=None, metavar="N", help="of the order and the pauses of the faults; default: drawn")
    parser.add_argument("--short", action="store_true", help="two faults and a tiny grid, about a minute")
    parser.add_argument("--minutes", type=float, default=15.0, help="after which it counts as hung (default: 15)")
    parser.add_argument("--timeout", type=int, default=None, metavar="SECONDS", help="that a task of the grid may take, on a slow machine")
    given = parser.parse_args(arguments)
    trial = SHORT if given.short else FULL
    trial = trial if given.timeout is None else replace(trial, timeout=given.timeout)
    seed = secrets.randbelow(10**6) if given.seed is None else given.seed
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # not without unmounting the disk and ending the run
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="chaos") as folder:
        return torment(trial, Path(folder), seed, time.monotonic() + 60 * given.minutes)


def torment(trial: Trial, folder: Path, seed: int, deadline: float, mount: bool = True) -> int:
    """The whole trial in an empty folder: exit code 0 or 1.

    Args:
        deadline: on the monotonic clock; what has not come to its end by then is judged hung.
        mount: try to mount a small disk.
    """
    began = time.monotonic()

    def tell(text: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {text}", flush=True)

    for name in ("marks", "peace", "home"):
        (folder / name).mkdir()
    grid, files = trial.write(folder)
    plugins = [word for path in files for word in ("--plugin", str(path))]
    words = ["run", "--grid", str(grid), "--device", "cpu", *plugins, "--out", str(folder / "results")]
    environment = {"CHAOS_PRINTED_MIB": str(trial.printed), "CHAOS_MARKS": str(folder / "marks")}
    peace = undisturbed(trial, [*words[:-1], str(folder / "peaceful results")], folder / "peace", environment, deadline)
    pace = (time.monotonic() - began) / len(trial.deck)  # on a busy machine all takes longer
    tell(f"undisturbed, in one process: {len(peace[0])} cells")
    with small(folder / "home", trial.disk, mount) as disk:
        lend_weights(folder / "home")
        clock = Clock(folder / "clock")
        environment |= {**clock.environment, "RECONBENCH_HOME": str(folder / "home")}
        words += ["-j", "2", "--timeout", f"{trial.timeout}s"]
        storm = Storm(trial, words, folder / "home", disk, clock, environment, random.Random(seed), deadline, pace, tell)
        verdict = Verdict(len(peace[0]))
        try:
            storm.rage()
            tell("at peace")
            twice = storm.injected["kill a worker"] // 2
            early = unexplained(Store(folder / "home" / "rows").rows(), trial, FIRST, twice)
            storm.again("--retry", "failed")
            tell("failed cells were tried again")
            verdict = judge(folder / "home", folder / "results", peace, set(peace[0]["cell_id"]), trial)
            verdict.untrue += early
        except BrokenError as broken:
            verdict.untrue.append(str(broken))
        verdict.lost += storm.lost
        summary = report(trial, storm, verdict, disk.how)
    print(f"{summary}\nseed {seed}, {time.monotonic() - began:.0f} s", flush=True)
    return 0 if verdict.whole else 1


def undisturbed(
    trial: Trial, words: Sequence[str], home: Path, environment: Mapping[str, str], deadline: float
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score and image rows of the grid, run in one process with nothing going wrong.

    Raises:
        SystemExit: something did.
    """
    lend_weights(home)
    driver = Driver(words, {**environment, "CHAOS_CALM": "1", "RECONBENCH_HOME": str(home)}, trial.memory)
    if driver.wait(deadline - time.monotonic()) != 0:
        driver.kill()
        sys.exit(f"the grid does not run, even undisturbed:\n{driver.said}")
    store = Store(home / "rows")
    return store.rows(), store.images()


def lend_weights(home: Path) -> None:
    """LPIPS's weights, where they have been fetched; without them its columns are null in both runs."""
    own = Path(os.environ.get("RECONBENCH_HOME") or ROOT / ".reconbench").expanduser().absolute() / "weights"
    if own.is_dir():
        (home / "weights").symlink_to(own)


def report(trial: Trial, storm: Storm, verdict: Verdict, disk: str) -> str:
    """What was done to the run, and what came of it."""
    kinds = ", ".join(f"{kind} {count}×" for kind, count in sorted(storm.injected.items()))
    lines = [
        f"faults injected: {storm.injected.total()} ({kinds}); attacks that misbehave: {', '.join(trial.bad)}",
        f"a full disk is {disk}; memory ends at {trial.memory / 2**30:g} GiB of address space (RLIMIT_AS); runs started: {storm.starts}",
        f"cells: {verdict.cells}",
    ]
    for name, found in (
        ("rows lost", verdict.lost),
        ("rows doubled", verdict.doubled),
        ("untrue reasons", verdict.untrue),
        ("scores that differ from the undisturbed run", verdict.differing),
    ):
        lines += [f"{name}: {len(found)}", *(f"  {text}" for text in found[:20])]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
