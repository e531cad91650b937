"""Labels of pictures: distinct and short for any settings, and readable where settings differ late in long names."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import fake
import pytest
from hypothesis import given
from hypothesis import strategies as st
from legible import watched
from matplotlib.figure import Figure

from bench.report import render
from bench.report.kit import labels
from bench.store import publish
from bench.tracks.reconstruction.page import strips

WORDS = st.lists(st.sampled_from(["ten", "classes", "cross-entropy,", "0.001", "\n", "x" * 50, "é", "$", "(2)"]), max_size=9).map(" ".join)
TEXTS = st.lists(WORDS | st.text(max_size=120), max_size=12)


@given(TEXTS, st.integers(8, 60))
def test_distinct_labels_are_distinct_and_bounded(texts: list[str], limit: int) -> None:
    found = labels.distinct(texts, limit)
    assert len(set(found)) == len(found) == len(texts)
    assert all(len(label) <= limit and label.isprintable() for label in found)
    assert found == labels.distinct(texts, limit)


@given(TEXTS)
def test_a_text_that_fits_and_stands_once_stays_as_it_is(texts: list[str]) -> None:
    words = [" ".join(text.split()) for text in texts]
    for text, label in zip(words, labels.distinct(words, 200), strict=True):
        if words.count(text) == 1 and text.isprintable() and len(text) <= 200:
            assert label == text


@given(st.integers(1, 3).flatmap(lambda n: st.lists(st.tuples(*[WORDS] * n), min_size=1, max_size=8)), st.integers(1, 40), st.booleans())
def test_tick_labels_are_distinct_and_bounded(points: list[tuple[str, ...]], width: int, broken: bool) -> None:
    found = labels.ticks(points, width, broken=broken)
    assert len(set(found)) == len(found) == len(points)
    assert max(map(len, found)) <= (labels.LIMIT + 1) * len(points[0]) * 2 + len(" (8)")
    assert not broken or labels.widest(found) <= max(width, len("all")) + len(" (8)")


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([("2 classes, logistic", "0"), ("10 classes, cross-entropy", "0")], ["0\nlogistic", "0\ncross-entropy"]),
        ([("8 classes", "8 units, stride 2"), ("8 classes", "8 units, no pooling")], ["stride 2\n8 classes", "no pooling\n8 classes"]),
        ([("mlp, no boost",), ("mlp, rehearsal, each half as often",)], ["no boost", "rehearsal, each half as\noften"]),
        ([("0, small init",), ("0",)], ["0, small init", "0"]),
        ([("same",), ("same",)], ["same", "same (2)"]),
        ([()], ["all"]),
    ],
)  # fmt: skip
def test_what_varies_stands_first_and_what_all_share_is_left_out(points: list[tuple[str, ...]], expected: list[str]) -> None:
    assert labels.ticks(points, 24) == expected


def test_texts_cut_off_to_the_same_words_lose_their_common_beginning() -> None:
    long = "the planted images are shown twice as often as others, which is"
    assert labels.distinct([f"{long} all", f"{long} half of them"], 40) == ["… all", "… half of them"]


LONG = ["8 classes, cross-entropy, 8 channels, stride 2", "8 classes, cross-entropy, 8 channels, max pooling"] + [
    f"8 classes, cross-entropy, 8 channels and a hidden layer of {n} units, average pooling" for n in range(14)
]


def published(folder: Path, axes: list[dict[str, str]]) -> None:
    """A grid with a setting for each of these labels."""
    rows, images = fake.grid("quick", "n_per_class", list(range(2, 2 + len(axes))), {"haim_kkt": [0.5] * len(axes)}, seeds=2)
    for row in rows:
        row["axis"] = json.dumps(axes[row["axis_index"]])
    publish(rows, images, folder)


@pytest.mark.parametrize(
    "axes",
    [
        [{"model": label} for label in LONG],
        [{"task": f"{n} classes, {loss}", "decay": decay} for n, loss in ((2, "squared error"), (9, "Huber")) for decay in ("0", "0.01")],
        [{"a": "y" * 70}, {"a": "y" * 71}],
        [{"a": f"value {a}", "b": f"other {b}", "c": f"a third thing {c}"} for a in "xy" for b in "zwv" for c in "pqrs"],
    ],
    ids=["one long axis", "two axes", "no spaces", "three axes"],
)
def test_pictures_of_settings_with_long_names_can_be_read(tmp_path: Path, axes: list[dict[str, str]]) -> None:
    published(tmp_path, axes)
    with watched() as faults:
        render(tmp_path)
    assert not faults


def test_upright_labels_of_a_panel_stay_clear_of_the_next(tmp_path: Path) -> None:
    """Two parts of a grid, which differ in a field beyond its axis, are two panels of one picture."""
    rows: list[dict[str, Any]] = []
    images: list[dict[str, Any]] = []
    for loss in ("bce", "mse"):
        part = fake.grid("quick", "n_per_class", list(range(2, 2 + len(LONG))), {"haim_kkt": [0.5] * len(LONG)}, seeds=2, loss=loss)
        for row in [*part[0], *part[1]]:
            row["cell_id"] = loss + row["cell_id"][3:]
        rows += part[0]
        images += part[1]
    for row in rows:
        row["axis"] = json.dumps({"model": LONG[row["axis_index"]]})
    publish(rows, images, tmp_path)
    with watched() as faults:
        render(tmp_path)
    assert not faults


def test_a_picture_that_cannot_be_read_is_told() -> None:
    """The test of the test: labels alike, labels over each other, a text over the edge."""
    figure = Figure(figsize=(4, 3))
    axis = figure.subplots()
    axis.set_xlim(0, 1)
    axis.set_xticks([0.2, 0.21, 0.8], ["six words", "six words", "others"])
    axis.text(5, 0.5, "far away")
    with watched() as faults:
        figure.savefig(io.BytesIO())
    assert [fault.partition(": ")[2].partition(" lies")[0] for fault in faults] == [
        "2 ticks are labelled 'six words'", "'six words' and 'six words' overlap", "'far away'",
    ]  # fmt: skip


def test_headings_of_strips_say_of_what_their_numbers_are() -> None:
    rows: list[dict[str, Any]] = [
        {"axis": json.dumps({"n_per_class": "5", "hidden": h}), "dataset": "x", "dataset_display": "x"} for h in ("20", "50")
    ]
    assert strips._headings(rows) == ["20", "50"]
    rows[1]["axis"] = json.dumps({"n_per_class": "9", "hidden": "50"})
    assert strips._headings(rows) == ["hidden 20\nn per class 5", "hidden 50\nn per class 9"]
    rows = [{"axis": json.dumps({"model": label}), "dataset": "x", "dataset_display": "x"} for label in LONG]
    assert len(set(strips._headings(rows))) == len(LONG)
