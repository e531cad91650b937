"""A site of plausible rows, made once, with names and texts among them that would break a page if it let them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench import registry
from bench.report import render
from bench.store import publish

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))  # for `fake`

import fake
from foul import EVIL


def rows():
    """Those of the report's tests; data as they are here, so that controls are drawn; one grid and one attack of foul names."""
    scores, images = fake.everything()
    here = {name: registry.resolve_data(name).digest() for name in ("lfw_faces", "photo_tiles")}
    foul, more = fake.grid("foul", "weight_decay", [0.0, 0.01], {EVIL: [0.5, 0.2], "mean_image": [0.02, 0.02]}, thumbnails=False)
    for row in foul:
        row |= {"grid": f"foul {EVIL}", "grid_title": EVIL, "grid_question": EVIL, "reason": EVIL, "device": EVIL}
    for row in scores:
        row["data_digest"] = here[row["dataset"]]
    return [*scores, *foul], [*images, *more]


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Published and rendered; to be read, not written."""
    folder = tmp_path_factory.mktemp("published")
    publish(*rows(), folder)
    render(folder)
    return folder


@pytest.fixture(scope="session")
def site(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of it."""
    pytest.importorskip("itables")
    pytest.importorskip("vl_convert")
    from bench.site import build

    return build(results, tmp_path_factory.mktemp("built") / "site").folder
