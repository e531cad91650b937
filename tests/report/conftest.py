"""A results folder filled with plausible rows, made once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench.report import render
from bench.store import publish

sys.path.insert(0, str(Path(__file__).parent))  # for `fake`

import fake


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Published and rendered; to be read, not written."""
    folder = tmp_path_factory.mktemp("rendered")
    publish(*fake.everything(), folder)
    render(folder)
    return folder
