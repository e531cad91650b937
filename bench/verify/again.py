"""The kept answers, scored by a fresh process that never loads the attack: whatever a plug-in has done to the scorer, it did elsewhere.

The salt travels through a pipe: the environment and the command of a process can be read by others.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bench.data.blind import holding
from bench.errors import BenchError
from bench.home import STORE

Rows = dict[str, dict[str, Any]]  # by cell


def scored_again(store: Path, grid: str, salt: str) -> tuple[Rows, dict[str, str]]:
    """The score rows of the cells whose answers a store has kept, made anew; and why there is none of the others, by cell in words.

    Raises:
        BenchError: the process ended without an answer.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_score, args=(there,), name="reconbench scorer")
    process.start()
    there.close()
    answer: Any = None
    try:
        with contextlib.suppress(EOFError, OSError):  # it has died
            here.send((str(store), grid, salt))
            answer = here.recv()
    finally:
        here.close()
        if answer is None:
            process.terminate()
        process.join()
    if answer is None or isinstance(answer, str):
        raise BenchError("the kept answers could not be scored again", got=answer or f"the process ended with {process.exitcode}")
    return answer


def _score(pipe: Connection) -> None:
    """The life of the process."""
    store, grid, salt = pipe.recv()
    os.environ[STORE] = store
    from bench.engine.rescore import rescore
    from bench.engine.stored import store as rows

    try:
        with holding(salt):
            fresh, missing = rescore(rows(), grid)
        pipe.send(({str(row["cell_id"]): row for row in fresh}, {name: reason for reason, names in missing.items() for name in names}))
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {error}")


def disagreement(before: Mapping[str, Any], after: Mapping[str, Any], columns: list[str]) -> str:
    """Which number of a row came out otherwise, in words, or an empty string.

    A processor gives the same numbers again. Of a GPU's, rounded otherwise, one image may have crossed the threshold.
    """
    slack = 1e-6
    if str(before.get("device") or "").startswith("cuda"):
        slack += 1 / max(1, min(int(before.get(name) or 1) for name in ("n_members", "n_controls")))
    for name in columns:
        was, now = before.get(name), after.get(name)
        if (was is None) != (now is None) or (was is not None and now is not None and abs(was - now) > slack):
            return f"{name} was {was}, and is {now} when the kept answer is scored again"
    return ""
