"""A published table in files, one a grid: the same rows come back, no file is too large, and a kill at any moment loses no row."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from fuzzing import cases
from hypothesis import given
from hypothesis import strategies as st
from test_store import NOW, images, score

from bench import store as S
from bench.cli import main
from bench.errors import BenchError
from bench.store import published, split
from bench.store.tables import serialise

CAP = 40_000  # bytes; without any rows a file of scores has some 20 000
NO_SCORES, NO_IMAGES = S.to_table([], "scores"), S.to_table([], "images")
GRIDS = ("a", "A", "a_b", "../a", "", "_", "width.2", "größe")


def noise(rng: np.random.Generator) -> dict[str, float]:
    """Columns that do not compress."""
    return {name: float(rng.random()) for name in ("ssim_mean", "ssim_median", "lpips_median", "auc", "kkt_residual", "excess_recall")}


def tables(folder: Path) -> list[Path]:
    return sorted(path.relative_to(folder) for path in folder.rglob("*.parquet"))


ROWS = [score(f"{i:016x}", seed=i, attack=f"attack{i % 7}", **noise(np.random.default_rng(i))) for i in range(250)]


@cases(12)
@given(changes=st.lists(st.dictionaries(st.sampled_from(GRIDS), st.integers(0, len(ROWS)), max_size=3), min_size=1, max_size=2))
def test_any_rows_come_back_in_order_from_files_that_are_not_too_large(tmp_path_factory, changes):
    folder = tmp_path_factory.mktemp("split")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(split, "LARGEST", CAP)
        patch.setattr(os, "fsync", lambda handle: None)
        for counts in changes:
            wanted = S.to_table([{**row, "grid": grid} for grid in counts for row in ROWS[: counts[grid]]], "scores")
            wanted = published._sorted(wanted, published.ORDER)
            published.write_results(folder, NO_SCORES, NO_IMAGES, wanted, NO_IMAGES)
            assert published.load_tables(folder)[0].equals(wanted)
            paths = S.scores_files(folder)
            schemas = [pq.read_schema(path) for path in paths]
            assert all(one.equals(schemas[0], check_metadata=True) for one in schemas)
            assert all(path.stat().st_size <= CAP for path in paths)
            assert tables(folder) == sorted(path.relative_to(folder) for path in paths)
            if paths:
                read = pq.read_table(folder / "scores")  # as pandas does
                assert published._sorted(read, published.ORDER).equals(wanted)
    shutil.rmtree(folder)


class Killed(BaseException):
    """Nothing catches it on the way."""


@contextlib.contextmanager
def killed_before(change: int) -> Iterator[None]:
    """The process is killed before it changes the file system for the n-th time."""
    left = itertools.count(change, -1)

    def dying(function):
        def call(*args, **kwargs):
            if next(left) == 0:
                raise Killed
            return function(*args, **kwargs)

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", dying(os.replace))
        patch.setattr(Path, "unlink", dying(Path.unlink))
        patch.setattr(os, "fsync", lambda handle: None)
        yield


def rows_of(grid: str, numbers: range, **more: object) -> list[dict]:
    return [{**ROWS[i], "grid": grid, "cell_id": f"{grid}{i:015x}", **more} for i in numbers]


def per_grid(folder: Path) -> dict[str, dict[str, float]]:
    """Cell → excess recall, as anyone sees it."""
    frame = S.load_scores(folder)
    return {grid: dict(zip(mine["cell_id"], mine["excess_recall"], strict=True)) for grid, mine in frame.groupby("grid")}


def write(folder: Path, rows: list[dict]) -> None:
    folder.mkdir(exist_ok=True)
    published.write_results(folder, NO_SCORES, NO_IMAGES, S.to_table(rows, "scores"), NO_IMAGES)


@pytest.mark.parametrize(("before", "after", "older"), [(10, 150, False), (150, 10, False), (150, 130, True)])
def test_a_kill_leaves_each_grid_as_it_was_or_as_it_is_to_be(tmp_path, monkeypatch, before, after, older):
    monkeypatch.setattr(split, "LARGEST", len(serialise(S.to_table(rows_of("b", range(60)), "scores"))))
    old = [*rows_of("a", range(5)), *rows_of("b", range(before)), *rows_of("c", range(5))]
    new = [*rows_of("a", range(3, 9)), *rows_of("b", range(70, 70 + after), excess_recall=0.125), *rows_of("c", range(5))]
    start, end = tmp_path / "start", tmp_path / "end"
    write(start, old)
    write(end, new)
    states = [per_grid(folder) for folder in (start, end)]
    content = {path: (end / path).read_bytes() for path in tables(end)}
    assert max(len(list((folder / "scores").glob("b*.parquet"))) for folder in (start, end)) > 2
    if older:
        shutil.rmtree(start / "scores")
        pq.write_table(S.to_table(old, "scores"), start / "scores.parquet")
    for change in itertools.count():
        folder = tmp_path / f"killed{change}"
        shutil.copytree(start, folder)
        with killed_before(change):
            try:
                write(folder, new)
                break
            except Killed:
                found = per_grid(folder)
        for grid in ("a", "b", "c"):
            assert found.get(grid) in [state.get(grid) for state in states], (change, grid)
        write(folder, new)
        assert {path: (folder / path).read_bytes() for path in tables(folder)} == content
    assert change > 3
    assert per_grid(folder) == states[1]


def test_cells_that_change_files_are_in_one_of_them_after_a_kill(tmp_path):
    """The first grid of a cell has its image rows. It may lose the cell, and another that comes before it may gain it."""
    shared, own = images("1" * 16), images("2" * 16)
    both = [score("1" * 16, "b"), score("2" * 16, "c"), score("1" * 16, "c")]
    for new in (both[1:], [*both, score("1" * 16, "a"), score("2" * 16, "a")]):
        for change in itertools.count():
            folder = tmp_path / f"{len(new)}-{change}"
            S.publish(both, [*shared, *own], folder)
            pictures = published.load_tables(folder)[1]
            with killed_before(change):
                try:
                    published.write_results(folder, NO_SCORES, pictures, S.to_table(new, "scores"), NO_IMAGES)
                    break
                except Killed:
                    pass
            assert len(S.load_results(folder)[1]) == len(shared) + len(own), change
        assert change > 2


def test_a_folder_of_an_earlier_version_is_read_and_has_a_file_a_grid_once_something_is_published(tmp_path):
    old = [score("1" * 16, "a"), score("2" * 16, "b")]
    pq.write_table(S.to_table(old, "scores"), tmp_path / "scores.parquet")
    assert (S.has_results(tmp_path), per_grid(tmp_path)) == (True, {"a": {"1" * 16: 0.5}, "b": {"2" * 16: 0.5}})
    assert main(["merge", str(tmp_path), "--into", str(tmp_path / "into")]) == 0
    S.publish([], [], tmp_path)
    assert tables(tmp_path / "into")[0:2] == tables(tmp_path)[-2:] == [Path("scores/a.parquet"), Path("scores/b.parquet")]
    assert not (tmp_path / "scores.parquet").exists()


def test_where_both_layouts_are_there_the_files_a_grid_count_for_the_grids_that_they_have(tmp_path):
    S.publish([score("1" * 16, "a", excess_recall=0.25)], [], tmp_path)
    old = [score("1" * 16, "a", finished_at=NOW + timedelta(9)), score("3" * 16, "a", seed=1), score("2" * 16, "b")]
    pq.write_table(S.to_table(old, "scores"), tmp_path / "scores.parquet")
    wanted = {"a": {"1" * 16: 0.25}, "b": {"2" * 16: 0.5}}
    assert per_grid(tmp_path) == wanted
    S.publish([], [], tmp_path)
    assert per_grid(tmp_path) == wanted
    assert tables(tmp_path) == [Path("scores/a.parquet"), Path("scores/b.parquet")]


def test_a_run_changes_the_file_of_its_grid_alone(tmp_path):
    S.publish([score("1" * 16, "a"), score("2" * 16, "b")], [*images("1" * 16), *images("2" * 16)], tmp_path)
    before = {path: ((tmp_path / path).read_bytes(), (tmp_path / path).stat().st_ino) for path in tables(tmp_path)}
    S.publish([score("2" * 16, "b", excess_recall=0.75)], [], tmp_path)
    after = {path: ((tmp_path / path).read_bytes(), (tmp_path / path).stat().st_ino) for path in tables(tmp_path)}
    assert {path for path in after if after[path] != before[path]} == {Path("scores/b.parquet")}


def test_who_reads_beside_a_writer_sees_each_grid_as_it_was_or_as_it_is_to_be(tmp_path, monkeypatch):
    """What is published while files are read is read again: a grid whose files were listed may have others by then."""
    S.publish([score("1" * 16, "a"), score("2" * 16, "b")], [], tmp_path)
    load = published._load_file
    fresh = [score("3" * 16, "c", excess_recall=0.75), score("2" * 16, "b", excess_recall=0.75)]

    def meanwhile(path, *args):
        if path.name == "b.parquet" and fresh:
            row = fresh.pop()
            with monkeypatch.context() as patch:
                patch.setattr(published, "_load_file", load)  # the writer's own
                S.publish([row], [], tmp_path)
        return load(path, *args)

    monkeypatch.setattr(published, "_load_file", meanwhile)
    assert per_grid(tmp_path) == {"a": {"1" * 16: 0.5}, "b": {"2" * 16: 0.75}, "c": {"3" * 16: 0.75}}


def test_a_folder_that_keeps_changing_is_one_message(tmp_path, monkeypatch):
    S.publish([score()], [], tmp_path)
    load = published._load_file

    def meanwhile(path, *args):
        (tmp_path / "scores" / "quick.parquet").touch()
        return load(path, *args)

    monkeypatch.setattr(published, "_load_file", meanwhile)
    with pytest.raises(BenchError, match="keeps changing"):
        S.load_results(tmp_path)


def test_publishers_of_several_grids_at_once_lose_nothing(tmp_path):
    threads = [
        threading.Thread(target=S.publish, args=([score(f"{i:016x}", grid, seed=i)], images(f"{i:016x}"), tmp_path))
        for i, grid in enumerate("abcabc")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    scores, pictures = S.load_results(tmp_path)
    assert sorted(zip(scores["grid"], scores["seed"], strict=True)) == sorted((grid, i) for i, grid in enumerate("abcabc"))
    assert pictures["cell_id"].nunique() == 6


def test_no_rows_at_all_are_results(tmp_path, capsys):
    assert main(["report", "--out", str(tmp_path)]) == 1
    assert "no results" in capsys.readouterr().err
    S.publish([], [], tmp_path)
    assert S.has_results(tmp_path)
    assert S.load_scores(tmp_path).empty
    assert main(["report", "--out", str(tmp_path)]) == 0
