"""``report`` leaves pages that this very code made of these rows, and no others."""

from __future__ import annotations

from pathlib import Path

import fake
import pytest

from bench import report, store
from bench.report import same_code


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two rendered grids."""
    rows, images = [], []
    for name in ("quick", "width"):
        more, pictures = fake.grid(name, "dataset", ["lfw_faces"], {"haim_kkt": [0.5]}, seeds=1)
        rows += more
        images += pictures
    store.publish(rows, images, tmp_path / "results")
    report.render(tmp_path / "results")
    return tmp_path / "results"


def made(folder: Path, **options: bool) -> list[str]:
    titles: list[str] = []
    report.render(folder, tell=lambda number, total, title: titles.append(title), **options)
    return titles


EVERY = ["Quick", "Width", "claims", "leaderboard"]


def test_nothing_is_made_twice_and_a_changed_grid_alone(folder: Path) -> None:
    assert made(folder) == []
    row = store.load_scores(folder).query("grid == 'width'").head(1)
    store.publish(row.assign(seconds_attack=77.0), [], folder)
    assert made(folder) == ["Width", "claims", "leaderboard"]
    assert made(folder) == []


def test_other_code_makes_all_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(same_code, "LIBRARIES", (*same_code.LIBRARIES, "pytest"))
    assert made(folder, only_if_changed=True) == []
    assert made(folder) == EVERY
    assert made(folder) == []


def test_a_page_that_somebody_edited_is_made_again(folder: Path) -> None:
    before = (folder / "quick.md").read_bytes()
    (folder / "quick.md").write_bytes(before + b"a conflict")
    assert made(folder) == EVERY
    assert (folder / "quick.md").read_bytes() == before


def test_pages_of_other_code_are_not_taken_for_this_code_s_after_a_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(same_code, "LIBRARIES", ("pytest",))
        assert made(folder) == EVERY
    row = store.load_scores(folder).query("grid == 'width'").head(1)
    store.publish(row.assign(seconds_attack=77.0), [], folder)
    assert made(folder, only_if_changed=True) == ["Width", "claims", "leaderboard"]  # as a run does
    assert made(folder) == EVERY


def test_a_folder_from_elsewhere_is_made_again_whoever_made_it(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECONBENCH_HOME", str(tmp_path / "another"))
    assert made(folder) == EVERY
