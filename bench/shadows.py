"""Whether Python finds this project's packages under their names, which others use too: ``bench``, ``attacks``, ``defenses``."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from bench.errors import BenchError

NAMES = ("bench", "attacks", "defenses")
ROOT = Path(__file__).resolve().parent.parent


def check() -> None:
    """Raises BenchError where another package of such a name stands before ours: attacks would be listed from one, run from the other."""
    for name in NAMES:
        spec = importlib.util.find_spec(name)
        places = [os.path.realpath(place) for place in (spec.submodule_search_locations or [spec.origin or ""])] if spec else []
        if os.path.realpath(ROOT / name) not in places:
            raise BenchError(
                f"Python finds another '{name}' before this project's",
                expected=str(ROOT / name),
                got=", ".join(places) or "none",
                hint="run it from another folder, or as the command reconbench; see what PYTHONPATH names",
            )
