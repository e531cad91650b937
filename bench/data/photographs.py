"""The pictures inside scikit-image's wheel, read by path: no download, no cache folder, no import of scikit-image itself."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from bench.errors import BenchError


def shipped(filename: str) -> Path:
    """The path of a file of ``skimage/data``.

    Raises:
        BenchError: scikit-image is not installed, or its version ships no such file.
    """
    spec = importlib.util.find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        raise BenchError(
            "scikit-image is not installed",
            expected="its wheel, whose pictures are the embedded data",
            hint="make venv, or pip install scikit-image",
        )
    path = Path(spec.submodule_search_locations[0]) / "data" / filename
    if not path.is_file():
        raise BenchError(
            f"scikit-image ships no {filename}", expected=str(path), hint="pip install 'scikit-image>=0.22', as in the constraints file"
        )
    return path
