"""Pages in several processes: the same files as in one, whatever becomes of a page or of a process."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import fake
import pytest

from bench import report, store
from bench.errors import BenchError
from bench.report import markdown, side_by_side

GRIDS = ("one", "two", "three", "four")


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def fill(folder: Path, attack: str = "haim_kkt") -> None:
    """A results folder of four small grids."""
    rows, images = [], []
    for name in GRIDS:
        more, pictures = fake.grid(name, "dataset", ["lfw_faces"], {attack: [0.5]}, seeds=1)
        rows += more
        images += pictures
    store.publish(rows, images, folder)


def test_several_processes_make_the_files_that_one_makes(tmp_path: Path) -> None:
    for name in ("alone", "beside"):
        fill(tmp_path / name)
    told: dict[int, list[tuple[int, int]]] = {1: [], 2: []}
    report.render(tmp_path / "alone", at_once=1, tell=lambda number, total, title: told[1].append((number, total)))
    report.render(tmp_path / "beside", at_once=2, tell=lambda number, total, title: told[2].append((number, total)))
    assert files(tmp_path / "beside") == files(tmp_path / "alone")
    assert told[2] == told[1] == [(number, 6) for number in range(1, 7)]


def test_few_pages_start_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(64), raising=False)
    assert side_by_side.processes(side_by_side.FEW) == 1
    assert side_by_side.processes(side_by_side.FEW + 1) == side_by_side.MOST
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(1), raising=False)
    assert side_by_side.processes(100) == 1


def test_where_no_process_starts_this_one_makes_the_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "a")
    fill(tmp_path / "b")
    report.render(tmp_path / "a", at_once=1)

    def refuse(*_: object) -> None:
        raise OSError("no more processes")

    monkeypatch.setattr("multiprocessing.process.BaseProcess.start", refuse)
    report.render(tmp_path / "b", at_once=2)
    assert files(tmp_path / "b") == files(tmp_path / "a")


BREAKS = '''
import os
import signal
from typing import ClassVar

from bench.api import Section
from bench.registry import register


@register
class Breaks(Section):
    """Fails on one grid."""

    name: ClassVar[str] = "breaks"

    def lines(self, page):
        if page.grid == "three":
            {how}
        return []
'''


@pytest.mark.parametrize("at_once", [1, 2])
def test_a_page_that_cannot_be_made_is_named_and_the_others_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    plugin(tmp_path, monkeypatch, "raise ValueError('a section gave up')")
    folder = tmp_path / "results"
    fill(folder)
    (folder / "three.md").write_text(f"{markdown.GENERATED}\nan older page")
    with pytest.raises(BenchError, match="page of grid 'three' could not be made") as caught:
        report.render(folder, at_once=at_once)
    assert caught.value.got == "ValueError: a section gave up"
    assert "in lines" in str(caught.value.__cause__)
    assert {"one.md", "two.md", "four.md", "leaderboard.md", "claims.md"} <= set(files(folder))
    assert "an older page" in (folder / "three.md").read_text()
    made: list[str] = []
    monkeypatch.setattr("bench.registry._plugins", {})
    report.render(folder, only_if_changed=True, tell=lambda number, total, title: made.append(title))
    assert made == ["Three", "claims", "leaderboard"]  # the others stand
    assert "an older page" not in (folder / "three.md").read_text()


def test_a_process_that_dies_takes_one_page_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin(tmp_path, monkeypatch, "os.kill(os.getpid(), signal.SIGKILL)")
    folder = tmp_path / "results"
    fill(folder)
    with pytest.raises(BenchError, match="page of grid 'three' could not be made") as caught:
        report.render(folder, at_once=2)
    assert caught.value.got == f"its process died, exit code {-signal.SIGKILL}"
    assert {"one.md", "two.md", "four.md", "leaderboard.md"} <= set(files(folder))


def plugin(folder: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """Loads a section that breaks on grid `three`, for this test alone."""
    from bench import registry

    monkeypatch.setattr(registry, "_plugins", {})
    path = folder / "breaks.py"
    path.write_text(BREAKS.format(how=how))
    registry.load_plugin(path)
