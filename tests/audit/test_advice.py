"""What the advice says that grids measured is what the published rows hold."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from bench.audit.advice import MEASURED, UNMEASURED
from bench.store.published import load_scores

RESULTS = Path(__file__).parents[2] / "results"


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    found = load_scores(RESULTS)
    return found[(found["status"] == "ok") & (found["role"] == "attack")]


def means(rows: pd.DataFrame, grid: str, attack: str) -> dict[str, float]:
    """Excess recall by the setting, in the mean over seeds."""
    own = rows[(rows["grid"] == grid) & (rows["attack"] == attack)]
    return {"; ".join(json.loads(axis).values()): value for axis, value in own.groupby("axis")["excess_recall"].mean().items()}  # type: ignore[call-overload]


def advice_on(grid: str) -> str:
    [words] = [one for one in MEASURED if grid in one]
    return words


def says(words: str, *values: float) -> None:
    """Each of the values stands in the words, as they are printed."""
    for value in values:
        assert f"{value + 0.0:.2f}" in words, f"{value:.4f} is not said by: {words}"


def test_the_weights_before_training(rows: pd.DataFrame) -> None:
    words, with_them = advice_on("default_init"), means(rows, "default_init", "span_ica_change")
    without = means(rows, "default_init", "span_ica")
    says(words, min(with_them.values()), max(with_them.values()))
    assert max(map(abs, without.values())) < 0.005
    says(words, 0.0)


def test_more_images_a_class(rows: pd.DataFrame) -> None:
    for attack in ("span_ica_change", "span_ica"):
        found = means(rows, "dataset_size", attack)
        says(advice_on("dataset_size"), found["2"], found["40"])
        assert [found[n] for n in ("2", "5", "10", "20", "40")] == sorted(found.values(), reverse=True), "it falls all the way"


def test_convolutions(rows: pd.DataFrame) -> None:
    every: dict[str, list[float]] = {"dense": [], "cnn": []}
    strongest: dict[str, float] = {}
    for attack in rows[rows["grid"] == "architectures"]["attack"].unique():
        for axis, value in means(rows, "architectures", attack).items():
            strongest[axis] = max(strongest.get(axis, -1.0), value)
    for axis, value in strongest.items():
        every["dense" if "fully connected" in axis else "cnn"].append(value)
    assert len(every["cnn"]) == 10
    assert len(every["dense"]) == 2
    says(advice_on("architectures"), max(every["cnn"]), min(every["dense"]), max(every["dense"]))
    told = set(rows[rows["grid"] == "architectures"]["attack"])
    assert not told & {"span_features", "span_features_change"}, "the advice says that they were not there"


def test_weight_decay(rows: pd.DataFrame) -> None:
    words = advice_on("weight_decay")
    usual = ("0.0", "0.0003", "0.001", "0.003", "0.01")
    without, with_them = (means(rows, "weight_decay", attack) for attack in ("span_ica", "span_ica_change"))
    says(words, without["0.0"], without["0.01"])
    assert [without[decay] for decay in usual] == sorted(without[decay] for decay in usual)
    says(words, min(with_them[decay] for decay in usual), max(with_them[decay] for decay in usual))


def test_what_is_no_defence(rows: pd.DataFrame) -> None:
    words = advice_on("training_length")
    spreads = []
    for grid in ("width", "losses", "training_length"):
        found = means(rows, grid, "span_ica_change").values()
        spreads.append(f"{max(found) - min(found):.2f}")
        assert grid in words
    assert f"{spreads[0]}, {spreads[1]} and {spreads[2]}" in words


def test_what_no_grid_has_measured(rows: pd.DataFrame) -> None:
    assert "no published grid" in UNMEASURED
    assert not {"rounding", "weight_noise"} & set(rows["defense"]), "they are measured now: say what they are worth"
