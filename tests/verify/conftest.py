"""The grid that submissions have to run, as small as one can be that tells a cheat from an attack."""

from __future__ import annotations

from pathlib import Path

import pytest
from submitted import GRID


@pytest.fixture
def small_grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Its file; the track `reconstruction` requires it meanwhile."""
    from bench.tracks.reconstruction import Reconstruction

    path = tmp_path / "small.yaml"
    path.write_text(GRID)
    monkeypatch.setattr(Reconstruction, "required", (str(path),))
    return path
