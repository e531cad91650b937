"""Paths as people type them, and files that are none: one message and exit code 1, nothing is waited for and nothing read."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench import regular
from bench.errors import BenchError
from bench.files import Folder
from bench.store import load_results

pytestmark = pytest.mark.timeout(120)  # a pipe that is opened keeps its reader waiting for ever


@pytest.fixture
def arrays(tmp_path) -> tuple[str, ...]:
    """The options of a ``score`` that goes through."""
    rng = np.random.default_rng(0)
    for name in ("x", "members", "controls"):
        np.save(tmp_path / f"{name}.npy", rng.random((4, 1, 12, 12), dtype=np.float32))
    names = (("--reconstructions", "x"), ("--members", "members"), ("--controls", "controls"))
    return tuple(word for option, name in names for word in (option, str(tmp_path / f"{name}.npy")))


def commands(path: object, arrays: tuple[str, ...], into: Path) -> list[tuple[str, ...]]:
    """Each option and argument that takes a path, given this one."""
    place = str(path)
    against = ("score", "--reconstructions", arrays[1], "--set", "n_per_class=2", "--dataset")
    return [
        (*against, f"folder:{place}"),
        (*against, f"parquet:{place}"),
        ("score", "--reconstructions", place, *arrays[2:]),
        ("score", *arrays[:2], "--members", place, *arrays[4:]),
        ("score", *arrays[:4], "--controls", place),
        ("score", *arrays, "--labels", place),
        ("score", *arrays, "--add-mean", place),
        ("run", "--grid", f"{place}/x.yaml" if place.startswith("~") else place, "--dry-run"),
        ("run", "--grid", "quick", "--dry-run", "--plugin", place),
        ("run", "--grid", "quick", "--limit", "1", "--out", place),
        ("audit", place),
        ("report", "--out", place),
        ("claims", "--out", place),
        ("merge", place, "--into", str(into)),
    ]


def test_a_path_that_cannot_be_is_one_message(bench, tmp_path, arrays):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    os.mkfifo(tmp_path / "pipe")
    cases = (
        ("~no-such-user-here", "no such user"),
        ("x" * 5000, "too long"),
        (tmp_path / ("y" * 300), "too long"),
        (tmp_path / "loop", "leads back to itself"),
        (tmp_path / "pipe", "a named pipe"),
        (Path(os.devnull), "a device"),
    )
    for path, says in cases:
        for words in commands(path, arrays, tmp_path / "into"):
            code, out, err = bench(*words)
            assert code == 1, (words, out, err)
            assert says in err, (words, err)
            assert len(err) < 2000
    code, _, err = bench("score", *arrays)
    assert code == 0, err


def folder_with(root: Path) -> Path:
    """Eight grey pictures in each of the class folders a and b."""
    for label in "ab":
        (root / label).mkdir(parents=True)
        for i in range(8):
            pixels = np.random.default_rng([i, ord(label)]).integers(0, 256, (12, 12), dtype=np.uint8)
            Image.fromarray(pixels).save(root / label / f"{i}.png")
    return root


def special(path: Path, kind: str) -> None:
    """Puts something that is no file at a path."""
    if kind == "a named pipe":
        os.mkfifo(path)
    elif kind == "a link that leads back to itself":
        path.symlink_to(path.name)
    elif kind == "a device":
        path.symlink_to(os.devnull)
    elif kind == "a folder":
        path.mkdir()
    else:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(os.path.relpath(path))  # a socket's name is short


SPECIAL = ("a named pipe", "a link that leads back to itself", "a device", "a socket")


@pytest.mark.parametrize("kind", [*SPECIAL, "a folder"])
def test_what_is_no_file_in_a_folder_of_pictures_is_refused(bench, tmp_path, arrays, kind, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = folder_with(tmp_path / "root")
    special(root / "a" / "z.png", kind)
    for words in (
        ("score", *arrays[:2], "--set", "n_per_class=2", "--dataset", f"folder:{root}"),
        ("score", *arrays[:2], "--members", root, *arrays[4:]),
        ("score", *arrays[:2], "--members", root / "a", *arrays[4:]),
    ):
        code, _, err = bench(*words)
        assert code == 1, err
        assert "z.png is no file" in err
        assert kind in err


@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_no_file_in_a_results_folder_is_refused(bench, tmp_path, kind, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bench.engine.run.run", lambda *a, **k: pytest.fail("it was computed"))
    results = tmp_path / "results"
    (results / "images").mkdir(parents=True)
    special(results / "images" / "quick.parquet", kind)
    with pytest.raises(BenchError, match=kind):
        load_results(results)
    (results / "images" / "quick.parquet").unlink()
    (results / "scores").mkdir()
    for path in (results / "scores.parquet", results / "scores" / "quick.parquet", results / "images" / "quick.parquet"):
        special(path, kind)
        for words in (("merge", results, "--into", tmp_path / "into"), ("run", "--grid", "quick", "--out", results)):
            code, _, err = bench(*words)
            assert code == 1, err
            assert kind in err
        path.unlink()


@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_no_file_in_a_store_is_refused(bench, tmp_path, bench_home, kind, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (bench_home / "rows").mkdir()
    special(bench_home / "rows" / "scores-00000000000000000001-1-aaaaaa.parquet", kind)
    code, _, err = bench("run", "--grid", "quick", "--limit", "1", "--dry-run")
    assert code == 1
    assert kind in err


def test_folders_with_the_names_of_pages_and_pictures_are_left_alone(bench, tmp_path):
    """Nothing of what ``report`` sweeps away is one."""
    grid = tmp_path / "tiny.yaml"
    grid.write_text(
        "name: tiny\nbase: {dataset: lfw_faces, n_per_class: 2, hidden: [8], epochs: 5}\nseeds: 1\nattacks: [mean_image]\n",
        encoding="utf-8",
    )
    out = tmp_path / "out"
    others = [out / "older.md", out / "figures" / "older_best.png"]
    for folder in others:
        folder.mkdir(parents=True)
    code, _, err = bench("run", "--grid", grid, "--out", out)
    assert code == 0, err
    assert all(folder.is_dir() for folder in others)


@pytest.mark.parametrize("below", ["", "deeper/still"])
def test_an_out_that_cannot_be_written_is_found_before_anything_is_computed(bench, tmp_path, arrays, below, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    out = tmp_path / "file" / below
    monkeypatch.setattr("bench.engine.run.run", lambda *a, **k: pytest.fail("it was computed"))
    monkeypatch.setattr("bench.engine.rescore.rescore", lambda *a, **k: pytest.fail("it was scored"))
    monkeypatch.setattr("bench.audit.scoring.judge_files", lambda *a, **k: pytest.fail("it was judged"))
    monkeypatch.setattr("bench.store.Store.rows", lambda self: __import__("pandas").DataFrame({"grid": ["quick"], "status": ["ok"]}))
    for words in (("run", "--grid", "quick"), ("score",), ("score", *arrays)):
        code, _, err = bench(*words, "--out", out)
        assert code == 1
        assert f"cannot write {out}" in err


def test_a_file_that_turns_into_a_pipe_is_not_waited_for(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr(regular, "check", lambda path: None)
    with pytest.raises(OSError, match="pipe"):
        regular.read(tmp_path / "pipe")


def test_a_folder_is_opened_by_nobody(tmp_path):
    with pytest.raises(IsADirectoryError):
        regular.read(tmp_path)
    with pytest.raises(IsADirectoryError):
        Folder(tmp_path.parent).read(tmp_path.name)


def test_an_earlier_audit_that_is_damaged_counts_as_none(tmp_path):
    from bench.audit.audit import folder_for

    (tmp_path / "w").mkdir()
    for text in ("[" * 100_000, "null", '{"checkpoint": 3}', json.dumps({"checkpoint": "~no-such-user-here/w.pth"})):
        (tmp_path / "w" / "audit.json").write_text(text)
        assert folder_for(str(tmp_path / "w.pth"), tmp_path) == tmp_path / "w"
