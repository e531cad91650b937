"""Labels: which columns are classes, which are refused and in which words, and the one order in which classes stand."""

from __future__ import annotations

import datetime
import decimal
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fuzzing import cases
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bench.api import ImageSet
from bench.artefacts.images import read_images
from bench.data.label_column import read_labels
from bench.data.labels import class_order, one_hot, row_list
from bench.errors import BenchError
from bench.registry import resolve_data


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECONBENCH_HOME", str(tmp_path / "store"))


def png(seed: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (6, 6), dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


PICTURES = [png(seed) for seed in range(16)]


def write(path: Path, labels: Any, feature: Any = None, first: int = 0) -> None:
    """A file with one picture a label, other ones where ``first`` differs."""
    column = labels if isinstance(labels, pa.Array) else pa.array(labels)
    table = pa.table({"image": PICTURES[first : first + len(column)], "label": column})
    if feature is not None:
        table = table.replace_schema_metadata({b"huggingface": json.dumps({"info": {"features": {"label": feature}}}).encode()})
    pq.write_table(table, path)


def loaded(path: Path, labels: Any, feature: Any = None) -> ImageSet:
    write(path, labels, feature)
    return resolve_data(f"parquet:{path}").load()


# --- the order of classes


def test_classes_stand_as_torchvision_sorts_them_unless_all_are_numbers() -> None:
    assert class_order(["dog", "Cat", "10", "2"]) == sorted(["dog", "Cat", "10", "2"])  # torchvision.datasets.folder.find_classes
    assert class_order(["10", "2", "0", "1"]) == ["0", "1", "2", "10"]
    assert class_order(["01", "2", "1", "-3", "1.5"]) == ["-3", "01", "1", "1.5", "2"]
    assert class_order(["n02", "n10", "n1"]) == ["n02", "n1", "n10"]
    assert class_order(["1", "²", "10"]) == ["1", "10", "²"]  # a digit to str.isdigit, no number here


@given(st.lists(st.integers(-50, 50), unique=True))
def test_numbers_as_names_stand_by_value(values: list[int]) -> None:
    assert class_order(map(str, values)) == [str(value) for value in sorted(values)]


def test_every_reader_has_the_same_order_of_classes(tmp_path: Path) -> None:
    names = [str(k) for k in (0, 1, 10, 11, 2, 3)]
    for k, name in enumerate(names):
        (tmp_path / "root" / name).mkdir(parents=True)
        (tmp_path / "root" / name / "0.png").write_bytes(PICTURES[k])
    wanted = ("0", "1", "2", "3", "10", "11")
    folder, members = resolve_data(f"folder:{tmp_path / 'root'}").load(), read_images(tmp_path / "root")
    assert folder.class_names == members.names == wanted
    assert (folder.images == (members.images.numpy() * 255).round().astype(np.uint8)).all()
    assert loaded(tmp_path / "text.parquet", names).class_names == wanted
    assert loaded(tmp_path / "numbers.parquet", [int(name) for name in names]).class_names == wanted


# --- columns of Parquet files


@pytest.mark.parametrize(
    ("labels", "names", "wanted"),
    [
        ([5, 2, 5], ("2", "5"), [1, 0, 1]),
        (pa.array([5, 2, 5], pa.uint64()), ("2", "5"), [1, 0, 1]),
        ([-1, 1, 1], ("-1", "1"), [0, 1, 1]),
        ([0.0, 10.0, 2.0], ("0", "2", "10"), [0, 2, 1]),
        ([decimal.Decimal("1.0"), decimal.Decimal("3")], ("1", "3"), [0, 1]),
        ([True, False, True], ("False", "True"), [1, 0, 1]),
        (["b", "a", "b"], ("a", "b"), [1, 0, 1]),
        (["10", "2", "10"], ("2", "10"), [1, 0, 1]),
        (pa.array(["b", "a", "b"]).dictionary_encode(), ("a", "b"), [1, 0, 1]),
        (pa.array(["b", "a"], pa.string_view()), ("a", "b"), [1, 0]),
        ([[0, 1, 0], [1, 0, 0]], ("0", "1"), [1, 0]),
        ([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]], ("0", "2"), [1, 0]),
        ([[True, False], [False, True]], ("0", "1"), [0, 1]),
        (pa.array([[1, 0], [0, 1]], pa.list_(pa.int8(), 2)), ("0", "1"), [0, 1]),
        (pa.array([[1, 0], [0, 1]], pa.large_list(pa.int64())), ("0", "1"), [0, 1]),
    ],
)
def test_what_is_a_class(tmp_path: Path, labels: Any, names: tuple[str, ...], wanted: list[int]) -> None:
    images = loaded(tmp_path / "x.parquet", labels)
    assert images.class_names == names
    assert images.labels.tolist() == wanted
    assert images.labels.dtype == np.int64


def test_a_one_hot_extension_type_is_read_as_its_storage() -> None:
    kind = pa.fixed_shape_tensor(pa.int32(), (2,))
    column = pa.ExtensionArray.from_storage(kind, pa.array([[0, 1], [1, 0]], pa.list_(pa.int32(), 2)))
    assert read_labels(pa.chunked_array([column]), None, "x").values.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("labels", "got"),
    [
        ([{"id": 1}, {"id": 2}], "struct<id: int64>"),
        ([[1, 0], [1]], "lists of 1 or 2"),
        ([[3], [4]], "list<element: int64>: lists of 1"),
        ([[], []], "lists of 0"),
        ([[1, 0, 0], [0, 0, 0]], "[0, 0, 0] in row 1"),
        ([[1, 0], [1, 1]], "[1, 1] in row 1"),
        ([[0.25, 0.75], [1.0, 0.0]], "[0.25, 0.75] in row 0"),
        ([[2, 0], [0, 1]], "[2, 0] in row 0"),
        ([[2**60 + 1, 0], [0, 1]], "[1.15292e+18, 0] in row 0"),
        ([[1, None], [0, 1]], "[1, nan] in row 0"),
        ([[True, None], [False, True]], "[1, nan] in row 0"),
        ([["a", "b"], ["b", "a"]], "list<element: string>"),
        ([[[1, 0]], [[0, 1]]], "list<element: list<element: int64>>"),
        ([0.5, 1.0], "double: 0.5 in row 0"),
        ([1.0, float("inf")], "double: inf in row 1"),
        ([decimal.Decimal("1.5"), decimal.Decimal("1.0")], "decimal128(2, 1): 1.5 in row 0"),
        (pa.array([2**63 + 1, 1], pa.uint64()), "uint64: 9223372036854775809 in row 0"),
        ([b"cat", b"dog"], "binary"),
        ([datetime.date(2020, 1, 1), datetime.date(2020, 1, 2)], "date32"),
        (pa.array([[("a", 1)], [("a", 2)]], pa.map_(pa.string(), pa.int64())), "map<"),
    ],
)
def test_what_is_no_class_is_refused_with_its_type(tmp_path: Path, labels: Any, got: str) -> None:
    path = tmp_path / "x.parquet"
    with pytest.raises(BenchError, match="holds no classes") as caught:
        loaded(path, labels)
    assert f"column 'label' of {path}" in caught.value.what
    assert got in caught.value.got
    assert caught.value.hint


@pytest.mark.parametrize(
    ("labels", "rows"),
    [
        ([0, None, 1], "row 1 of"),
        (["a", None, "b"], "row 1 of"),
        ([0.0, float("nan"), float("nan")], "rows 1, 2 of"),
        ([[1, 0], None, [0, 1]], "row 1 of"),
        (pa.array([[1, 0], None, [0, 1]], pa.list_(pa.int64(), 2)), "row 1 of"),
        (pa.nulls(3), "rows 0, 1, 2 of"),
        (["a", "nan", " "], "rows 1, 2 of"),
        (pa.array(["a", None, "b"]).dictionary_encode(), "row 1 of"),
    ],
)
def test_rows_without_a_label_are_named_with_their_file(tmp_path: Path, labels: Any, rows: str) -> None:
    path = tmp_path / "x.parquet"
    with pytest.raises(BenchError, match="no label") as caught:
        loaded(path, labels)
    assert rows in caught.value.what
    assert str(path) in caught.value.what


def test_the_file_of_a_row_without_a_label_is_named_among_several(tmp_path: Path) -> None:
    write(tmp_path / "train-0.parquet", [0, 1])
    write(tmp_path / "train-1.parquet", [1, None], first=2)
    with pytest.raises(BenchError, match=r"row 1 of column 'label' of .*train-1\.parquet has no label"):
        resolve_data(f"parquet:{tmp_path}").load()


def test_class_names_of_the_metadata_cover_every_label(tmp_path: Path) -> None:
    feature = {"names": ["oak", "elm"], "_type": "ClassLabel"}
    assert loaded(tmp_path / "x.parquet", [1, 0, 1], feature).class_names == ("oak", "elm")
    with pytest.raises(BenchError, match=r"row 1 of .* has no label"):  # −1: the datasets library's class that is not known
        loaded(tmp_path / "unknown.parquet", [1, -1, 0], feature)
    with pytest.raises(BenchError, match="classes without a name") as caught:
        loaded(tmp_path / "beyond.parquet", [1, 2, 0], feature)
    assert (caught.value.expected[:6], caught.value.got) == ("0 to 1", "0 to 2")


@pytest.mark.parametrize(
    "feature", [{"feature": {"names": ["a", "b"], "_type": "ClassLabel"}}, [{"names": ["a", "b"], "_type": "ClassLabel"}]]
)
def test_lists_of_class_numbers_are_not_one_hot(tmp_path: Path, feature: Any) -> None:
    with pytest.raises(BenchError, match="holds no classes") as caught:
        loaded(tmp_path / "x.parquet", [[0, 1], [1, 0]], feature)
    assert "lists of class numbers" in caught.value.got


@pytest.mark.parametrize(
    ("first", "second", "expected", "got"),
    [
        ([0, 1], ["a", "b"], "whole numbers", "text"),
        ([[1, 0], [0, 1]], [0, 1], "one-hot lists of 2", "whole numbers"),
        ([[1, 0], [0, 1]], [[1, 0, 0], [0, 1, 0]], "one-hot lists of 2", "one-hot lists of 3"),
        ([True, False], [1, 0], "true and false", "whole numbers"),
    ],
)
@pytest.mark.parametrize("names", [("train-0", "train-1"), ("train", "test")])
def test_files_of_one_set_have_labels_of_one_kind(
    tmp_path: Path, names: tuple[str, str], first: Any, second: Any, expected: str, got: str
) -> None:
    write(tmp_path / f"{names[0]}.parquet", first)
    write(tmp_path / f"{names[1]}.parquet", second, first=2)
    with pytest.raises(BenchError, match="others than those") as caught:
        resolve_data(f"parquet:{tmp_path}").load()
    assert (caught.value.expected, caught.value.got) == (expected, got)


def test_files_of_one_set_name_their_classes_alike(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", [0, 1], {"names": ["oak", "elm"]})
    write(tmp_path / "test.parquet", [0, 1], {"names": ["elm", "oak"]}, first=2)
    with pytest.raises(BenchError, match="others than those") as caught:
        resolve_data(f"parquet:{tmp_path}").load()
    assert (caught.value.expected, caught.value.got) == ("oak, elm", "elm, oak")


def test_whole_numbers_of_any_width_are_one_kind_and_the_test_split_follows(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", pa.array([10, 2, 10], pa.int8()))
    write(tmp_path / "test.parquet", [2.0, 10.0], first=4)
    images = resolve_data(f"parquet:{tmp_path}").load()
    assert images.labels.tolist() == [1, 0, 1]
    assert images.test_labels is not None
    assert images.test_labels.tolist() == [0, 1]


def test_a_copy_of_a_known_set_with_text_for_labels_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    (tmp_path / "mnist").mkdir()
    write(tmp_path / "mnist" / "train.parquet", ["one", "two"])
    with pytest.raises(BenchError, match="holds something else") as caught:
        resolve_data("mnist").load()
    assert "labels one to two" in caught.value.got


# --- one-hot rows


@cases(60)
@given(labels=st.lists(st.integers(0, 6), min_size=1, max_size=8), kind=st.sampled_from(["int64", "float32", "bool"]), fixed=st.booleans())
def test_one_hot_lists_are_the_labels_that_they_were_made_of(labels: list[int], kind: str, fixed: bool) -> None:
    rows = np.eye(7, dtype=kind)[labels]
    column = pa.array(rows.tolist(), pa.list_(pa.from_numpy_dtype(rows.dtype), 7 if fixed else -1))
    assert read_labels(pa.chunked_array([column]), None, "x").values.tolist() == labels
    assert one_hot(rows)[0].tolist() == labels


@cases(100)
@given(rows=st.lists(st.lists(st.sampled_from([0, 1, 2, None]), min_size=0, max_size=3), min_size=1, max_size=5))
def test_lists_are_one_hot_or_refused(rows: list[list[int | None]]) -> None:
    proper = all(row.count(1) == 1 and row.count(0) == len(row) - 1 for row in rows) and len({len(row) for row in rows}) == 1
    column = pa.chunked_array([pa.array(rows, pa.list_(pa.int64()))])
    if proper and len(rows[0]) > 1:
        assert read_labels(column, None, "x").values.tolist() == [row.index(1) for row in rows]
    else:
        with pytest.raises(BenchError, match="holds no classes"):
            read_labels(column, None, "x")


def test_rows_in_words() -> None:
    assert row_list([3]) == "row 3"
    assert row_list([1, 2]) == "rows 1, 2"
    assert row_list(np.arange(12)) == "rows 0, 1, 2, 3, 4 and 7 more"
