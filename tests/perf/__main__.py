"""`python -m tests.perf`: runs the benchmarks, prints the table, writes the page."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as the program itself runs; read when torch loads

BENCHMARKS = (
    "steps",
    "recovery",
    "subspaces",
    "initial",
    "optimisers",
    "span",
    "training",
    "scoring",
    "harness",
    "command",
    "workers",
    "memory",
    "shadows",
    "gpu",
    "growth",
)
LONG = ("long_training",)  # minutes to hours
ROOT = Path(__file__).resolve().parent.parent.parent


def main(arguments: list[str] | None = None) -> int:
    """0 if every benchmark ran and every check held, else 1; a target that is missed is a figure, not a fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.perf", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="toy sizes, seconds in all; nothing is written unless --out says where")
    parser.add_argument("--long", action="store_true", help=f"also {', '.join(LONG)}")
    parser.add_argument(
        "--only", nargs="+", choices=[*BENCHMARKS, *LONG], metavar="NAME", help="some of " + ", ".join((*BENCHMARKS, *LONG))
    )
    parser.add_argument("--page", default="", metavar="NAME", help="perf, or perf_SOMETHING; without it --only writes nothing")
    parser.add_argument("--out", default="", metavar="FOLDER", help="where the page goes; default: results")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="PyTorch's threads; default: its own choice")
    given = parser.parse_args(arguments)
    if given.page and not given.page.startswith("perf"):
        parser.error(f"--page {given.page}: the name of a page begins with perf")

    import torch

    from . import page
    from .gpu import COMMAND
    from .line import Line, Part

    if given.threads:
        torch.set_num_threads(given.threads)
    names = given.only or [*BENCHMARKS, *(LONG if given.long else ())]
    parts, failed = [], False
    for name in names:
        began = time.perf_counter()
        print(f"{name} …", end=" ", file=sys.stderr, flush=True)
        try:
            module = importlib.import_module(f"{__package__}.{name}")
            parts.append(module.run(module.QUICK if given.quick else module.FULL))
        except Exception as error:  # the others still run; the page says what failed
            failed = True
            reason = f"failed: {type(error).__name__}: {error}".splitlines()[0]
            parts.append(Part((Line(name, f"benchmark {name}", None, note=reason),)))
            print(reason, end=" ", file=sys.stderr)
        print(f"{time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    lines = [line for part in parts for line in part.lines]
    print(page.terminal(lines))
    for line in lines:
        for check in line.checks:
            if not check.ok:
                failed = True
                print(f"check failed: {line.key}: {check}", file=sys.stderr)
    if given.out or given.page or not (given.quick or given.only):
        made_by = "make perf" if not given.page else f"python -m tests.perf --only {' '.join(names)} --page {given.page}"
        paths = page.write(parts, Path(given.out) if given.out else ROOT / "results", given.page or "perf", made_by)
        print(f"\nwrote {', '.join(os.path.relpath(path) for path in paths)}")
    if not torch.cuda.is_available() and "gpu" in names:
        print(f"no CUDA device here; on a machine with one:\n  {COMMAND}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
