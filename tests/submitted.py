"""A small grid to be required in place of the tracks' own, submissions for it, and ways to forge them."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from tiny_grid import write_plugin

from bench.apart import described
from bench.apart.room import Room
from bench.store import load_results, publish, scores_files
from bench.store.submissions import FOLDER, MANIFEST, Submission
from bench.submitting import Who, pack

ROOT = Path(__file__).resolve().parent.parent
GRID = """
name: small
title: Small
question: Does a submission come through?
base: {hidden: [8], epochs: 5, n_per_class: 5}
axes: {dataset: [lfw_faces, photo_tiles]}
seeds: 4
attacks: [mean_image]
"""


def honest(folder: Path) -> Path:
    """An attack that finds nothing, wherever."""
    return write_plugin(folder, "honest", "return torch.rand(4, *release.mean_image.shape, generator=generator)")


RUN = """
import sys
from bench.cli.reading import load_plugins, room_of
from bench.engine import run, stored
from bench.engine.plan import plan
from bench.engine.required import of_attacks
from bench.grids.read import load

if __name__ == "__main__":
    file, grid, attack, walls = sys.argv[1:]
    room = room_of(walls, False, "cpu")
    load_plugins([file], room)
    run.run(plan(of_attacks(load(grid), [attack]), {}), stored.store(), run.pick_device("cpu"), room=room)
    if room is not None:
        room.close()
"""


def ran(file: Path, grid: Path, home: Path, walls: str) -> None:
    """The rows of a file's attack in a store, by a process of its own, where the attack does what it wants."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "RECONBENCH_HOME": str(home)}
    words = [sys.executable, "-c", RUN, str(file), str(grid), file.stem, walls]
    done = subprocess.run(words, capture_output=True, text=True, env=env, timeout=280)
    assert done.returncode == 0, done.stderr


def packed(results: Path, file: Path, attack: str) -> Submission:
    """A submission of what the store holds, whatever its rows say."""
    with Room("none") as room:  # some files are better not imported here
        described.load_plugin(file, room)
    return pack(Who(attack, "Jane Doe", "jane@example.org", "MIT"), file, [attack], "reconstruction", results / FOLDER / attack)


def resealed(folder: Path, **more: Any) -> None:
    """Makes the digests of a folder that was tampered with right again, as whoever tampers would."""
    said = json.loads((folder / MANIFEST).read_text())
    there = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    said["files"] = {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in there}
    (folder / MANIFEST).write_text(json.dumps({**said, **more}))


def with_rows(folder: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """Other score rows in a submission, with right digests."""
    scores, images = load_results(folder)
    for path in scores_files(folder):
        path.unlink()
    publish(change(scores), images, folder)
    resealed(folder)
