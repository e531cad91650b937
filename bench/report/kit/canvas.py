"""matplotlib as a library that draws into memory, whatever windows, notebooks and settings of a person it would look for.

A notebook asks every process that it starts, by ``MPLBACKEND``, to draw into its page. matplotlib reads that when it is imported, and is
not imported at all where the backend is not installed beside it, though no backend is needed for a picture in a file.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any

from bench.errors import BenchError


def matplotlib() -> Any:
    """The module, imported without regard to ``MPLBACKEND``. Whoever else draws in this process finds that as it was, where it is known.

    Raises:
        BenchError: a ``matplotlibrc`` that is no text, without which matplotlib does not start.
    """
    if "matplotlib" in sys.modules:
        return sys.modules["matplotlib"]
    asked = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib
    except (UnicodeDecodeError, OSError) as error:
        raise BenchError(
            "matplotlib does not start",
            expected="a matplotlibrc that it can read, or none",
            got=f"{type(error).__name__}: {error}",
            hint="move away the matplotlibrc of this folder, or of ~/.config/matplotlib",
        ) from error
    finally:
        if asked is not None:
            os.environ["MPLBACKEND"] = asked
    if asked:
        with contextlib.suppress(ValueError):  # one that it does not know
            matplotlib.rcParams["backend"] = asked
    return matplotlib
