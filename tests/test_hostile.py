"""Malicious input is refused: names that climb out of a folder, archives and pictures that unpack to too much, markup; and no secret leaks.

Pickle bombs and lying checkpoints are in ``tests/artefacts/test_checkpoints.py``, YAML that builds objects in ``tests/test_fuzz.py``.
A plug-in is no input: it is code that runs as the user, and the documentation says so.
"""

from __future__ import annotations

import io
import json
import os
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import EpsImagePlugin, Image
from tiny_grid import clean_registry, write_grid, write_plugin  # noqa: F401

from bench import registry, store
from bench.artefacts.images import read_images
from bench.cli import main
from bench.data import listing, parquet_images, picture
from bench.engine import run as engine
from bench.engine import stored
from bench.engine.plan import plan
from bench.errors import BenchError
from bench.grids.read import load
from bench.registry import resolve_data
from bench.report import render

pytestmark = pytest.mark.usefixtures("clean_registry")
ROOT = Path(__file__).resolve().parent.parent


# ------------------------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    "name",
    ["../../escaped", "/etc/x", "a/b", "a\\\\b", "..", "x\\x00y", "<script>alert(1)</script>", "[x](http://evil)", "a|b", "x" * 61, "-rf"],
)
def test_a_plugin_whose_name_is_a_path_or_markup_is_refused(tmp_path, name):
    path = write_plugin(tmp_path, "named")
    path.write_text(path.read_text().replace('name: ClassVar[str] = "named"', f'name: ClassVar[str] = "{name}"'))
    with pytest.raises(BenchError, match=r"a name that cannot be used|no name"):
        registry.load_plugin(path)
    assert not registry._plugins
    assert main(["check", str(path)]) == 1
    assert main(["run", "--grid", str(write_grid(tmp_path)), "--plugin", str(path)]) == 1


@pytest.mark.parametrize("name", ["../escaped", "a/b", "A b", ".hidden", "x\0y", "<b>"])
def test_a_grid_whose_name_is_a_path_is_refused(tmp_path, name):
    path = write_grid(tmp_path)
    path.write_text(path.read_text().replace("name: tiny", f"name: {name!r}"))
    with pytest.raises(BenchError):
        load(path)


def test_rows_of_a_grid_with_a_path_for_a_name_stay_in_their_folder(tmp_path):
    """Tables that are merged may come from anyone."""
    _, frame, images = run(tmp_path)
    frame["grid"] = "../../escaped"
    frame["grid_title"] = "<img src=x onerror=alert(1)> [x](javascript:alert(1))"
    folder = tmp_path / "deep" / "down" / "results"
    store.publish(frame, images, folder)
    made = render(folder)
    assert all(folder in path.resolve().parents for path in made)
    assert not list(tmp_path.glob("*escaped*"))
    assert not list(tmp_path.glob("deep/*escaped*"))
    for page in folder.rglob("*.md"):
        assert "<img" not in page.read_text()
        assert "](javascript" not in page.read_text().replace("\\]", "")


def test_folders_that_are_data_sets_may_be_called_anything(tmp_path):
    """The path of a data set goes into rows and pages as text, and into no file name."""
    home = tmp_path / "<b>x</b> [l](http:evil)|..;$(touch gone)"
    for label in ("a<script>", "b|c"):
        (home / label).mkdir(parents=True)
        rng = np.random.default_rng(len(label))
        for i in range(30):
            Image.fromarray(rng.integers(0, 255, (12, 12), dtype=np.uint8)).save(home / label / f"{i}.png")
    path = write_grid(tmp_path, "mean_image")
    path.write_text(path.read_text().replace("dataset: lfw_faces", f'dataset: "folder:{home}"'))
    summary, frame, images = run(tmp_path, path)
    assert summary.failed == 0
    store.publish(frame, images, tmp_path / "results")
    for made in render(tmp_path / "results"):
        if made.suffix == ".md":
            assert "<b>x" not in made.read_text()
            assert "<script" not in made.read_text()
            assert not re.search(r"(?<!\\)\[l(?<!\\)\]\(", made.read_text())
    assert not Path("gone").exists()


def test_what_an_attack_raises_is_obeyed_by_no_terminal_and_no_browser(tmp_path, capsys):
    text = "\\x1b]0;gone\\x07\\x1b[2J\\r<script>alert(1)</script> [l](http://evil)"
    plugin = write_plugin(tmp_path, "shouts", f'raise ValueError("{text}")')
    path, out = write_grid(tmp_path, "shouts, mean_image"), tmp_path / "results"
    assert main(["run", "--grid", str(path), "--plugin", str(plugin), "--out", str(out)]) == 2
    said = capsys.readouterr()
    assert "ValueError: " in said.err
    assert not {"\x1b", "\x07", "\r"} & set(said.out + said.err)
    pages = "".join(page.read_text() for page in out.glob("*.md"))
    assert "ValueError: " in pages
    assert "<script" not in pages
    assert not re.search(r"(?<!\\)\]\(http", pages)


def run(tmp_path, path=None):
    """A tiny run: its summary and its rows."""
    rows = stored.store()
    planned = plan(load(path or write_grid(tmp_path, "mean_image")), stored.known(rows))
    return engine.run(planned, rows, torch.device("cpu")), *stored.collect(planned, rows)


# ------------------------------------------------------------------------------------------------------------------- bombs


def png_of(width: int, height: int) -> bytes:
    """A PNG of a few kilobytes whose header promises so many pixels, all of them black."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(10**6), 9)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("sides", [(60_000, 60_000), (16_000, 16_000), (20_000, 1_000)])
def test_a_picture_that_unpacks_to_too_much_is_refused_before_it_is_unpacked(tmp_path, sides, recwarn):
    """Above PIL's own two limits, and above ours alone."""
    bomb = png_of(*sides)
    assert len(bomb) < 10_000
    for label in "ab":
        (tmp_path / "folder" / label).mkdir(parents=True)
        (tmp_path / "folder" / label / "0.png").write_bytes(bomb)
    pd.DataFrame({"image": [{"bytes": bomb, "path": "0.png"}] * 4, "label": [0, 1, 0, 1]}).to_parquet(tmp_path / "x.parquet")
    for read in (
        lambda: resolve_data(f"folder:{tmp_path / 'folder'}").load(),
        lambda: resolve_data(f"folder:{tmp_path / 'folder'}").image_shape(),
        lambda: resolve_data(f"parquet:{tmp_path / 'x.parquet'}").load(),
        lambda: resolve_data(f"parquet:{tmp_path / 'x.parquet'}").image_shape(),
        lambda: read_images(tmp_path / "folder"),
    ):
        with pytest.raises(BenchError, match="too large a picture"):
            read()


def test_parquet_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    """By what its footer says, before any of it is read; and by what the pictures come to, where a small file repeats a large one."""
    zeros = pa.table({"image": [bytes(10**6)] * 40, "label": [0, 1] * 20})
    pq.write_table(zeros, tmp_path / "zeros.parquet", compression="zstd", use_dictionary=False)
    assert (tmp_path / "zeros.parquet").stat().st_size < 100_000
    monkeypatch.setattr(picture, "MAX_BYTES", 10**7)
    with monkeypatch.context() as patch:
        patch.setattr(pq, "read_table", lambda *a, **k: pytest.fail("it was read"))
        with pytest.raises(BenchError, match="too large once unpacked"):
            parquet_images.decode([tmp_path / "zeros.parquet"], mode="L")
    file = io.BytesIO()
    Image.new("L", (1000, 1000)).save(file, "PNG")
    pq.write_table(pa.table({"image": [file.getvalue()] * 20, "label": [0, 1] * 10}), tmp_path / "same.parquet")
    assert (tmp_path / "same.parquet").stat().st_size < 10_000
    with pytest.raises(BenchError, match="too large once unpacked"):
        parquet_images.decode([tmp_path / "same.parquet"], mode="L")
    monkeypatch.setattr(picture, "MAX_BYTES", 2 * 10**7)
    assert len(parquet_images.decode([tmp_path / "same.parquet"], mode="L").images) == 20
    assert picture.MAX_PIXELS >= 10**6


def test_folders_that_unpack_to_too_much_are_refused(tmp_path, monkeypatch):
    """As Parquet is, and before all of it is unpacked."""
    for label in "ab":
        (tmp_path / label).mkdir()
        for i in range(10):
            Image.new("L", (1000, 1000), i).save(tmp_path / label / f"{i}.png")
    assert sum(file.stat().st_size for file in tmp_path.rglob("*.png")) < 100_000
    unpacked = []
    monkeypatch.setattr(listing, "pixels", lambda *a: unpacked.append(1) or picture.pixels(*a))
    monkeypatch.setattr(picture, "MAX_BYTES", 9 * 10**6)
    for read in (lambda: resolve_data(f"folder:{tmp_path}").load(), lambda: read_images(tmp_path / "a"), lambda: read_images(tmp_path)):
        unpacked.clear()
        with pytest.raises(BenchError, match="too large once unpacked"):
            read()
        assert len(unpacked) == 10


def test_a_picture_in_a_file_of_absurd_size_is_refused(tmp_path, monkeypatch):
    (tmp_path / "0.png").write_bytes(png_of(100, 100) + bytes(10_000))
    assert len(read_images(tmp_path).images) == 1
    monkeypatch.setattr(picture, "MAX_ENCODED", 10_000)
    with pytest.raises(BenchError, match="too large a picture"):
        read_images(tmp_path)


# -------------------------------------------------------------------------------------------------------------- other programs


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 12 12\n%%EndComments\nshowpage\n"
XBM = b"#define x_width 8\n#define x_height 8\nstatic char x_bits[] = {\n0,0,0,0,0,0,0,0\n};\n"


def test_no_picture_starts_another_program(tmp_path, monkeypatch):
    """PIL hands PostScript to Ghostscript, whatever the file is called."""
    marker, program = tmp_path / "started", tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch '{marker}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    with pytest.raises(OSError), Image.open(io.BytesIO(EPS)) as image:  # noqa: PT011 - of an output that is not there
        image.load()
    assert marker.exists()  # the danger is real
    marker.unlink()
    for read in readers(tmp_path, EPS):
        with pytest.raises(BenchError, match=r"cannot be decoded[\s\S]*begin with b'%!PS-Adobe"):
            read()
    assert not marker.exists()


@pytest.mark.parametrize("content", [XBM, b"P5 8 8 255 " + bytes(64), b"SIMPLE  =                    T" + bytes(2850)])
def test_pictures_of_rare_formats_are_refused(tmp_path, content):
    for read in readers(tmp_path, content):
        with pytest.raises(BenchError, match="cannot be decoded"):
            read()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP", "GIF", "TIFF", "JPEG"])
def test_pictures_of_the_usual_formats_are_read(tmp_path, kind):
    buffer = io.BytesIO()
    Image.new("L", (12, 12), 77).save(buffer, kind, **({"lossless": True} if kind == "WEBP" else {}))
    (tmp_path / "0.png").write_bytes(buffer.getvalue())
    assert (read_images(tmp_path).images * 255 == 77).all()


def readers(tmp_path, content):
    """Each way by which the bytes of a picture get into the program."""
    (tmp_path / "folder").mkdir()
    for label in "ab":
        (tmp_path / "folder" / label).mkdir()
        (tmp_path / "folder" / label / "0.png").write_bytes(content)
    pd.DataFrame({"image": [{"bytes": content, "path": "0.png"}] * 4, "label": [0, 1, 0, 1]}).to_parquet(tmp_path / "x.parquet")
    return (
        lambda: resolve_data(f"folder:{tmp_path / 'folder'}").load(),
        lambda: resolve_data(f"folder:{tmp_path / 'folder'}").image_shape(),
        lambda: resolve_data(f"parquet:{tmp_path / 'x.parquet'}").load(),
        lambda: resolve_data(f"parquet:{tmp_path / 'x.parquet'}").image_shape(),
        lambda: read_images(tmp_path / "folder"),
    )


def test_pictures_are_opened_in_one_place():
    """By decoders that are named; figures that the program has just drawn aside."""
    found = {
        path.relative_to(ROOT).as_posix(): line
        for folder in ("bench", "attacks", "defenses")
        for path in (ROOT / folder).rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if "Image.open(" in line
    }
    drawn = {"bench/report/kit/figures.py", "bench/site/figures.py", "bench/site/screenshot.py"}
    assert set(found) == {"bench/data/picture.py", *drawn}
    assert all("formats=" in line for line in found.values())


# ------------------------------------------------------------------------------------------------- texts, numbers, metadata


@pytest.mark.parametrize(
    "line", ['title: "\\ud800 of"', 'question: "\\udcff"', 'published: [{what: "\\udfff"}]', 'scales: {full: {title: "\\ud800"}}']
)
def test_half_a_character_in_a_grid_is_refused_before_anything_is_computed(tmp_path, line):
    path = write_grid(tmp_path)
    path.write_text("".join(kept + "\n" for kept in path.read_text().splitlines() if kept[:5] != line[:5]) + line)
    with pytest.raises(BenchError, match="half a character"):
        load(path)


@pytest.mark.parametrize("value", [".nan", "[1, .inf]", "{deep: [{x: -.inf}]}", '"\\ud800"', "!!binary aGk=", "2001-01-01T00:00:00Z"])
def test_parameters_that_no_row_can_hold_are_refused(tmp_path, value):
    for more in (f"defense_params={{a: {value}}}", f'attacks=[{{"name": "mean_image", "params": {{a: {value}}}}}]'):
        path = write_grid(tmp_path)
        if more.startswith("attacks"):
            path.write_text(path.read_text().replace("attacks: [mean_image]", more.replace("=", ": ", 1)))
            more = ""
        if "2001" in value:  # a text here
            continue
        with pytest.raises(BenchError, match=r"parameters must be plain|half a character"):
            plan(load(path, [more] if more else []), {})


def test_a_row_is_not_lost_for_half_a_character(tmp_path):
    _, frame, images = run(tmp_path)
    rows = [{**row, "grid_title": "\ud800 of", "attack_params": {"a": "\udcff"}} for row in frame.dropna(axis=1).to_dict("records")]
    store.publish(rows, images, tmp_path / "results")
    kept = store.load_scores(tmp_path / "results")
    assert set(kept["grid_title"]) == {"\\ud800 of"}
    assert set(kept["attack_params"]) == {'{"a": "\\udcff"}'}


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("grid", None, "rows without grid"),
        ("cell_id", None, "rows without cell_id"),
        ("n_members", 10**12, "n_members 1000000000000"),
        ("n_controls", 10**12, "n_controls 1000000000000"),
        ("axis", "[" * 100_000 + "]" * 100_000, "axis that is nested too deeply"),
        ("attack_params", '{"a": ' * 500 + "1" + "}" * 500, "attack_params that is nested too deeply"),
    ],
)
def test_rows_that_this_program_never_writes_are_one_message(tmp_path, capsys, column, value, says):
    """Tables that are merged may come from anyone."""
    _, frame, images = run(tmp_path)
    folder = tmp_path / "results"
    store.publish(frame, images, folder)
    [path] = store.scores_files(folder)
    table = pq.read_table(path)
    place = table.schema.get_field_index(column)
    values = [value, *table[column].to_pylist()[1:]]
    pq.write_table(table.set_column(place, table.schema.field(column), pa.array(values, table.schema.field(column).type)), path)
    for words in (("report", "--out", str(folder)), ("merge", str(folder), "--into", str(tmp_path / "into"))):
        assert main(list(words)) == 1
        said = capsys.readouterr().err
        assert says in said
        assert len(said) < 2000


def test_json_with_brackets_in_its_texts_is_not_deep(tmp_path):
    _, frame, images = run(tmp_path)
    frame["attack_params"] = '{"a": "' + "[" * 300 + '\\"' + "{" * 300 + '"}'
    store.publish(frame, images, tmp_path / "results")
    assert len(store.load_scores(tmp_path / "results")) == len(frame)


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ("[" * 100_000 + "]" * 100_000, "cannot be read as Parquet"),
        ([[0], [1]], "do not name its classes"),
        ({"a": 0}, "do not name its classes"),
        (["\ud800", "b"], "do not name its classes"),
    ],
)
def test_metadata_of_parquet_that_name_no_classes_are_one_message(tmp_path, metadata, says):
    if not isinstance(metadata, str):
        metadata = json.dumps({"info": {"features": {"label": {"names": metadata, "_type": "ClassLabel"}}}})
    table = pa.table({"image": [png_of(8, 8)] * 4, "label": [0, 1, 0, 1]}).replace_schema_metadata({"huggingface": metadata})
    pq.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(BenchError, match=says):
        resolve_data(f"parquet:{tmp_path / 'x.parquet'}").load()


# ----------------------------------------------------------------------------------------------------------------- secrets


def test_no_secret_of_the_environment_is_in_what_a_run_leaves_behind(tmp_path, bench_home, monkeypatch, capsys):
    secret = "hunter2-in-the-environment"
    for name in ("API_TOKEN", "AWS_SECRET_ACCESS_KEY", "PIP_INDEX_URL"):
        monkeypatch.setenv(name, f"https://user:{secret}@example.org/")
    registry.load_plugin(write_plugin(tmp_path, "falls", "raise ValueError('no')"))
    path = write_grid(tmp_path, "mean_image, falls")
    out = tmp_path / "results"
    assert main(["run", "--grid", str(path), "--out", str(out)]) == 2
    main(["doctor"])
    said = capsys.readouterr()
    assert secret not in said.out + said.err
    files = [file for folder in (out, bench_home) for file in folder.rglob("*") if file.is_file() and not file.is_symlink()]
    assert len(files) > 5
    for file in files:
        assert secret.encode() not in file.read_bytes(), file
    for table in (pd.read_parquet(out / "scores"), stored.store().rows()):
        assert not table.astype(str).apply(lambda column: column.str.contains(secret)).any(axis=None)


def test_the_documentation_says_that_a_plugin_is_code_that_runs_as_you():
    text = " ".join((ROOT / "README.md").read_text().split())
    assert "a plug-in is code that runs with your rights" in text
