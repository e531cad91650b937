"""Imports torchvision where its compiled operators do not match torch.

The torchvision wheel built against CUDA fails at import beside a CPU-only torch (``operator torchvision::nms does not exist``), because
it describes the shapes of operators that could not be loaded. Data sets and model backbones need none of them. So where the plain import
fails in that way, the module with those descriptions is replaced by an empty one, and the import is tried again.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

from bench.errors import BenchError

_SHAPES = "torchvision._meta_registrations"


def torchvision_module(submodule: str = "") -> ModuleType:
    """``torchvision`` or, with ``submodule="datasets"``, ``torchvision.datasets``. Every import of torchvision goes through here.

    Raises:
        BenchError: torchvision is not installed, or fails to import for another reason.
    """
    name = f"torchvision.{submodule}" if submodule else "torchvision"
    try:
        return importlib.import_module(name)
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise _broken(error) from error
    except ImportError as error:
        raise _broken(error) from error
    for loaded in [m for m in sys.modules if m == "torchvision" or m.startswith("torchvision.")]:
        del sys.modules[loaded]  # what the failed import left behind
    sys.modules[_SHAPES] = ModuleType(_SHAPES)
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise _broken(error) from error


def _broken(error: Exception) -> BenchError:
    return BenchError(
        "torchvision cannot be imported",
        expected="a torchvision that matches torch: 0.28 beside torch 2.13, the minor versions 15 apart",
        got=f"{type(error).__name__}: {error}",
        hint="python -m bench doctor says which version fits; the embedded sets and local Parquet copies work without it",
    )
