"""Damaged files and random input: refused by one clear message or set aside with a warning; nothing is written, nothing is believed.

What people bring (checkpoints, pictures, grids) is fuzzed here and beside its own tests; what this program keeps is fuzzed here.
``make fuzz`` runs the same properties many times over.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from fuzzing import cases, damage, damaged, listing, planned
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from test_store import images as image_rows
from test_store import score

from bench.api import Candidates
from bench.artefacts.images import read_images
from bench.cli import main
from bench.engine.answers import file_name, keep, kept
from bench.errors import BenchError
from bench.files import Folder
from bench.grids.points import expand
from bench.grids.read import builtin, load
from bench.grids.select import override
from bench.grids.syntax import parse
from bench.registry import resolve_data
from bench.regular import path_of
from bench.say import plain
from bench.sealed import seal, unseal
from bench.store import CorruptFileWarning, Store, load_results, publish
from bench.targets.cache import TargetCache

GRIDS = {name: path.read_bytes() for name, path in builtin().items()}


def same(a: pd.DataFrame, b: pd.DataFrame) -> bool:
    return bool(a.reset_index(drop=True).equals(b.reset_index(drop=True)))


def refused(call: Callable[[], Any]) -> Any:
    """What a call gives, or the message by which it is refused; anything else that it raises is a fault."""
    try:
        return call()
    except BenchError as error:
        message = str(error)
    assert 0 < len(message) < 5000
    return message


@pytest.fixture
def fresh(tmp_path, monkeypatch) -> Callable[[], Path]:
    """Gives the test's folder, emptied: cases are too many for a folder each, and too many to wait each time until it is on the disk."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)

    def make() -> Path:
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()
        return tmp_path

    return make


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A store of a few rows: its files, its score rows and its image rows."""
    folder = tmp_path_factory.mktemp("store")
    store = Store(folder)
    names = [f"{i:016x}" for i in range(3)]
    store.append([score(name, seed=i) for i, name in enumerate(names)], [row for name in names for row in image_rows(name)])
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    return files, store.rows(), store.images()


@cases(150)
@given(which=st.sampled_from(["scores", "images"]), how=damage)
def test_a_damaged_part_of_a_store_is_set_aside_or_as_it_was(fresh, parts, which, how):
    files, scores, images = parts
    folder = fresh()
    for name, content in files.items():
        (folder / name).write_bytes(damaged(content, how) if name.startswith(which) else content)
    changed = listing(folder) != files
    store = Store(folder)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        found = refused(lambda: (store.rows(), store.images()))
    if isinstance(found, str):
        assert "newer version" in found
        return
    aside = [path.name for path in folder.glob("*.corrupt")]
    if aside:
        assert changed
        assert aside == store.corrupt
        assert any(isinstance(w.message, CorruptFileWarning) and which in str(w.message) for w in heard)
        assert len(found[which == "images"]) == 0
        assert same(found[which == "scores"], images if which == "scores" else scores)
    else:  # the damage hit what does not count, such as statistics or a description
        before, after = (scores, found[0]) if which == "scores" else (images, found[1])
        assert len(before) == len(after)
        for column in before.columns:
            assert before[column].equals(after[column]) or after[column].isna().all(), column


@pytest.mark.parametrize(
    ("which", "column"), [("scores", "grid"), ("scores", "cell_id"), ("images", "cell_id"), ("images", "split"), ("images", "index")]
)
def test_a_damaged_name_of_a_key_column_makes_the_part_corrupt(tmp_path, parts, which, column):
    """Without its key, rows would count as one another's and go unnoticed."""
    for name, content in parts[0].items():
        changed = content.replace(column.encode(), b"#" + column.encode()[1:]) if name.startswith(which) else content
        (tmp_path / name).write_bytes(changed)
    with pytest.warns(CorruptFileWarning, match=f"{which}.*is corrupt.*set aside"):
        found = Store(tmp_path).rows() if which == "scores" else Store(tmp_path).images()
    assert not len(found)


@pytest.fixture(scope="module")
def published(parts, tmp_path_factory) -> bytes:
    """The score rows of a results folder."""
    folder = tmp_path_factory.mktemp("published")
    publish(*parts[1:], folder)
    return (folder / "scores" / "quick.parquet").read_bytes()


@cases(100)
@given(how=damage)
def test_damaged_published_rows_are_refused_and_left_alone(fresh, published, how):
    folder = fresh()
    table = folder / "scores" / "quick.parquet"
    table.parent.mkdir()
    table.write_bytes(damaged(published, how))
    before = listing(folder)
    found = refused(lambda: load_results(folder)[0])
    assert str(table) in found if isinstance(found, str) else len(found) == 3
    assert listing(folder) == before


WEIGHTS = {"layers.0.weight": torch.arange(24.0).reshape(4, 6), "layers.1.weight": torch.ones(1, 4, dtype=torch.float64)}


@cases(200)
@given(how=damage)
def test_a_damaged_target_is_trained_again_and_never_used(fresh, how):
    folder = fresh()
    cache = TargetCache(folder)
    cache.put("0" * 16, WEIGHTS, {"train_loss": 0.25, "epochs_run": 5})
    path = folder / "targets" / f"{'0' * 16}.safetensors"
    path.write_bytes(damaged(path.read_bytes(), how))
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        found = cache.get("0" * 16)
    if found is None:
        assert path.with_suffix(".corrupt").is_file()
        assert not path.exists()
        assert [str(w.message) for w in heard if "is corrupt" in str(w.message)]
    else:
        assert found[1] == {"train_loss": 0.25, "epochs_run": 5}
        assert set(found[0]) == set(WEIGHTS)
        assert all(torch.equal(found[0][name], WEIGHTS[name]) for name in WEIGHTS)


@cases(150)
@given(how=damage)
def test_damaged_reconstructions_are_never_scored(fresh, how):
    folder = fresh()
    answer = Candidates(
        torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(0)).half().float(), torch.tensor([3.0, 2.0, 1.0]), 0.5
    )
    files = Folder(folder)
    keep(files, "c" * 16, answer)
    path = folder / file_name("c" * 16)
    path.write_bytes(damaged(path.read_bytes(), how))
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        found = kept(files, "c" * 16)
    if found is None:
        assert [str(w.message) for w in heard if "is corrupt" in str(w.message)]
    else:
        assert torch.equal(found.images, answer.images)
        assert torch.equal(found.confidence, answer.confidence)
        assert found.loss == answer.loss


def test_a_seal_holds_for_every_kind_of_tensor_and_old_files_have_none():
    from safetensors.torch import save

    tensors = {
        "half": torch.ones(2, 3).half(), "whole": torch.tensor([1, -2], dtype=torch.int32), "flag": torch.tensor([True, False]),
        "empty": torch.zeros(0, 3), "one": torch.tensor(1.5, dtype=torch.float64),
    }  # fmt: skip
    for content in (seal(tensors, {"said": "yes"}), save(tensors, metadata={"said": "yes"})):
        found, said = unseal(content)
        assert said == {"said": "yes"}
        assert all(torch.equal(found[name], tensors[name]) and found[name].dtype == tensors[name].dtype for name in tensors)


@pytest.fixture(scope="module")
def pictures() -> bytes:
    """Forty small pictures of two classes in the Hugging Face layout."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(40):
        file = io.BytesIO()
        Image.fromarray(rng.integers(0, 255, (6, 6), dtype=np.uint8)).save(file, "PNG")
        rows.append({"image": {"bytes": file.getvalue(), "path": f"{i}.png"}, "label": i % 2})
    out = io.BytesIO()
    pd.DataFrame(rows).to_parquet(out)
    return out.getvalue()


def read(source):
    """The images of a data source, as a run reads them."""
    shape, _ = source.image_shape(), source.digest()
    images = source.load().images
    assert images.shape[1:] == shape
    return images


@cases(100)
@given(how=damage)
def test_damaged_data_are_refused(fresh, pictures, how):
    folder = fresh()
    path = folder / "mine.parquet"
    path.write_bytes(damaged(pictures, how))
    before = listing(folder)
    found = refused(lambda: read(resolve_data(f"parquet:{path}")))
    assert isinstance(found, str) or found.shape[1:] == (1, 6, 6) or found.shape[1:] == (3, 6, 6)
    assert listing(folder) == before


@pytest.mark.parametrize("name", [b"label", b"image", b"bytes", b"path", b".png"])
def test_data_with_text_that_is_no_utf8_are_refused_or_read(tmp_path, pictures, name):
    """Bytes that are no UTF-8 in the name of a column, or in a value."""
    path = tmp_path / "mine.parquet"
    path.write_bytes(pictures.replace(name, b"\xe1" + name[1:]))
    found = refused(lambda: read(resolve_data(f"parquet:{path}")))
    assert str(path) in found if isinstance(found, str) else found.shape == (40, 1, 6, 6)


FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF")


def encoded(kind: str, mode: str) -> bytes:
    file = io.BytesIO()
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (9, 7, 3), dtype=np.uint8)).convert(mode)
    picture.save(file, kind, **({"compression": "tiff_deflate"} if kind == "TIFF" else {}))
    return file.getvalue()


PICTURES = {(kind, mode): encoded(kind, mode) for kind in FORMATS for mode in ("RGB", "L")}


@cases(300)
@given(which=st.sampled_from(sorted(PICTURES)), how=damage)
def test_a_damaged_picture_of_any_format_is_read_over_or_refused(fresh, which, how):
    folder = fresh()
    (folder / "0.png").write_bytes(damaged(PICTURES[which], how))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of decoders
        found = refused(lambda: read_images(folder).images)
    assert isinstance(found, str) or (found.ndim == 4 and found.shape[1] in (1, 3))


@cases(200)
@given(text=st.text(max_size=40) | st.sampled_from(["~", "~x", "/", "", ".", "a" * 300, "/".join("a" * 5000), "\ud800", "\udcff", "\0"]))
def test_any_path_is_one_or_one_message(text):
    found = refused(lambda: path_of(text))
    assert isinstance(found, str) or found.expanduser() == found


@cases(200)
@given(text=st.text(st.characters(max_codepoint=0x2100), max_size=40) | st.text("\x1b[]0;1mP^\\\x07\x9b\x9d\x9c ab\n", max_size=40))
def test_nothing_printed_is_obeyed_and_nothing_readable_is_lost(text):
    said = plain(text)
    assert not {character for character in said if character < " " and character not in "\n\t"} | {c for c in said if "\x7f" <= c <= "\x9f"}
    assert plain(said) == said
    assert said.count("\n") == text.count("\n")
    if all(c.isprintable() for c in text):
        assert said == text


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner)
)


@cases(100)
@given(names=JSON, depth=st.sampled_from([0, 1, 100_000]))
def test_any_metadata_of_parquet_are_one_message_or_read(fresh, pictures, names, depth):
    path = fresh() / "mine.parquet"
    said = json.dumps({"info": {"features": {"label": {"names": names}}}})
    table = pq.read_table(io.BytesIO(pictures)).replace_schema_metadata({"huggingface": "[" * depth + said + "]" * depth})
    pq.write_table(table, path)
    found = refused(lambda: read(resolve_data(f"parquet:{path}")))
    assert isinstance(found, str) or len(found) == 40


@cases(150)
@given(name=st.sampled_from(sorted(GRIDS)), how=damage)
def test_a_damaged_grid_is_one_message(fresh, name, how):
    folder = fresh()
    path = folder / "mine.yaml"
    path.write_bytes(damaged(GRIDS[name], how))
    refused(lambda: expand(load(str(path)).grid, str(path)))
    assert listing(folder).keys() == {"mine.yaml"}


QUICK = load("quick").grid
FIELDS = ["n_per_class", "hidden", "lr", "weight_decay", "dataset", "seed", "defense_params", "classes", "init_scale", "channels"]
YAMLS = ["[1, 2]", "{a: 1}", "!!python/name:os.system", "&a [*a]", "1e999", "-0", "nan", "null", "0x10"]


@cases(250)
@given(field=st.sampled_from(FIELDS) | st.text(max_size=10), value=st.text(max_size=20) | st.sampled_from(YAMLS))
def test_any_override_is_taken_or_one_message(field, value):
    assert refused(lambda: expand(override(QUICK, [f"{field}={value}"]), "quick"))


@cases(40)
@given(name=st.sampled_from(sorted(GRIDS)), how=damage)
def test_the_command_line_shows_no_traceback(fresh, bench_home, capsys, monkeypatch, name, how):
    monkeypatch.delenv("BENCH_DATA", raising=False)  # a grid that is still whole would decode data that are there, and keep them
    folder = fresh()
    path = folder / "mine.yaml"
    path.write_bytes(damaged(GRIDS[name], how))
    before = listing(bench_home)
    capsys.readouterr()
    code = main(["run", "--grid", str(path), "--limit", "1", "--dry-run"])
    out, err = capsys.readouterr()
    assert code in (0, 1), err
    assert "Traceback" not in out + err
    assert listing(bench_home) == before
    assert listing(folder).keys() == {"mine.yaml"}


def test_tags_that_build_objects_build_none():
    """YAML by the safe loader: a tag is an error, whatever it names."""
    for tag in ("!!python/object/apply:os.system ['touch touched']", "!!python/name:os.system", "!!python/object/new:os.system [x]"):
        with pytest.raises(BenchError, match=r"YAML|tag"):
            parse(f"name: x\nattacks: [mean_image]\nbase: {{dataset: {tag}}}\n", "x.yaml")
    assert not Path("touched").exists()


def test_the_suite_tries_at_least_a_thousand_cases():
    assert sum(count for name, count in planned.items() if name.startswith(f"{__name__}.")) >= 1000
