"""Work in a fresh process, so that its peak memory and its imports are its own: `python -m tests.perf.child MODULE FUNCTION [JSON]`."""

from __future__ import annotations

import importlib
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent


class Done(NamedTuple):
    """What a process answered, its whole wall-clock time, and the most memory that it held."""

    answer: Any
    seconds: float
    peak: int  # bytes


def call(module: str, function: str, home: Path | str = "", **arguments: Any) -> Done:
    """Runs ``tests.perf.<module>.<function>(**arguments)`` in a process of its own.

    Args:
        home: its RECONBENCH_HOME, if not the present one.
        arguments: what JSON can carry; so must be the answer.

    Raises:
        RuntimeError: the process failed; the message is the end of what it said.
    """
    env = dict(os.environ)
    if home:
        env["RECONBENCH_HOME"] = str(home)
    command = [sys.executable, "-m", "tests.perf.child", module, function, json.dumps(arguments)]
    began = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, encoding="utf-8")
    spent = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"{module}.{function} failed: {done.stderr.strip()[-2000:]}")
    answer = json.loads(done.stdout.splitlines()[-1])
    return Done(answer["answer"], spent, answer["peak"])


def peak_bytes() -> int:
    """The most memory that this process has held so far (resident set).

    From Linux's own account of this program: what getrusage says there begins with the parent's figure.
    """
    try:
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main() -> None:
    """The process's side."""
    module, function, arguments = sys.argv[1:4]
    answer = getattr(importlib.import_module(f"tests.perf.{module}"), function)(**json.loads(arguments))
    print(json.dumps({"answer": answer, "peak": peak_bytes()}))


if __name__ == "__main__":
    main()
