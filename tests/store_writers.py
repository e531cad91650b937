"""Processes that write to a store until they are killed. They import little, so that they start at once."""

from __future__ import annotations

import itertools
import multiprocessing
import os
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

from bench.files import files_at
from bench.store import Store

MANY, FEW = 400, 2  # image rows of each split
LARGE = 12_000_000  # bytes, of which S3 takes 10 MiB at a time


def context() -> ForkServerContext:
    """Where they are started from: a process that has imported this module and has no threads yet."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["store_writers"])
    return found


def many_images(cell: str) -> bool:
    """Whether a cell has MANY image rows; FEW otherwise."""
    return int(cell[-6:]) % 3 == 0


def rows(cell: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A cell's score row and image rows."""
    count = MANY if many_images(cell) else FEW
    pictures = [{"cell_id": cell, "split": split, "index": i, "ssim": 0.5} for split in ("member", "control") for i in range(count)]
    return {"grid": "quick", "cell_id": cell, "attack": "haim_kkt", "role": "attack", "status": "ok", "reason": ""}, pictures


def write(place: str, who: int, done: str) -> None:
    """Appends cell after cell; the name of each is in a file once its row is stored. Every ninth time the store is compacted."""
    store = Store(place)
    with open(done, "a", buffering=1, encoding="ascii") as told:
        for i in itertools.count():
            cell = f"{who:02d}{os.getpid():08d}{i:06d}"
            score, pictures = rows(cell)
            store.append([score], pictures)
            told.write(f"{cell}\n")
            if i % 9 == 8:
                store.compact()


def compact(place: str) -> None:
    """Compacts again and again."""
    store = Store(place)
    while True:
        store.compact()


def put_large(place: str, ready: str) -> None:
    """Writes and removes a file that goes in parts, again and again."""
    files, content = files_at(place), bytes(LARGE)
    Path(ready).touch()
    while True:
        files.put("large", content)
        files.delete("large")
