"""The anatomy: its curves are those of the training itself, its pictures show the masks, and its page is made of its table alone."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from bench import anatomy as package
from bench import registry
from bench.anatomy import anatomy as look
from bench.anatomy import dynamics, figures, page, portrait
from bench.api import Architecture, Setting
from bench.cli import main
from bench.errors import BenchError
from bench.tracks.reconstruction.targets import obtain


@pytest.fixture(scope="module")
def images():
    return registry.resolve_data("photo_tiles").load()


@pytest.fixture(scope="module")
def small():
    """Networks and studies that are done in seconds."""
    with pytest.MonkeyPatch.context() as patch:
        _shrink(patch)
        yield


def _shrink(monkeypatch):
    monkeypatch.setattr(dynamics, "KKT", {**dynamics.KKT, "hidden": (30,), "n_per_class": 3, "epochs": 40, "lr": 0.1})
    monkeypatch.setattr(dynamics, "FEW", {**dynamics.FEW, "hidden": (6,), "n_per_class": 4})
    monkeypatch.setattr(dynamics, "INFORMED", {**dynamics.INFORMED, "epochs": 12, "stop_loss": 0.0})
    monkeypatch.setattr(dynamics, "MARKS", 5)
    monkeypatch.setattr(portrait, "SHADOWS", 40)
    monkeypatch.setattr(package, "SEEDS", 2)


@pytest.fixture(scope="module")
def table(small, tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("anatomy")
    assert look("photo_tiles", ["relu", "tanh"], 3, tmp_path) == tmp_path / "anatomy.md"
    return package.read(tmp_path)


def test_curves_end_where_the_targets_training_ends(small, images):
    rows = pd.DataFrame(dynamics.curves(images, "relu", [0]))
    target = obtain([Setting(dataset="photo_tiles", activation="relu", seed=0, **dynamics.KKT)])[0]
    release = target.release
    for layer in (0, 1):
        name = f"layers.{layer}.weight"
        moved = (release.weights[name] - release.initial_weights[name]).norm() / release.initial_weights[name].norm()
        mine = rows[(rows["recipe"] == "kkt") & (rows["measure"] == "moved") & (rows["index"] == layer)].set_index("epoch")["value"]
        assert list(mine.index) == sorted(dynamics.marks_until(40))
        assert mine[0] == 0
        assert mine[40] == pytest.approx(float(moved), rel=1e-3)
        assert mine.is_monotonic_increasing
    loss = rows[(rows["recipe"] == "kkt") & (rows["measure"] == "loss")].set_index("epoch")["value"]
    assert loss[40] == pytest.approx(target.facts["train_loss"], rel=1e-3)
    informed = rows[(rows["recipe"] == "informed") & (rows["measure"] == "moved")]
    assert informed["epoch"].max() == 12
    assert (informed[informed["epoch"] == 0]["value"].abs() < 1e-6).all()


def test_dead_and_quiet_units_are_counted():
    net = Architecture("mlp", (1, 2, 2), (10,), 1, "relu", "all", "bce")
    start = {"layers.0.weight": torch.randn(10, 4, generator=torch.Generator().manual_seed(0)), "layers.0.bias": torch.full((10,), 9.0)}
    start |= {"layers.1.weight": torch.ones(1, 10), "layers.1.bias": torch.zeros(1)}
    now = {name: w.clone() for name, w in start.items()}
    now["layers.0.bias"][:3] = -99.0
    now["layers.0.weight"][3] *= 1e-3
    now["layers.1.weight"] *= 3
    found = dynamics.inside(net, start, now, torch.rand(20, 1, 2, 2, generator=torch.Generator().manual_seed(1)))
    assert found["dead", 0] == pytest.approx(0.3)
    assert found["quiet", 0] == pytest.approx(0.4)
    assert found["moved", 1] == pytest.approx(2.0)


def test_the_table_holds_every_part(table):
    assert list(table.columns) == list(package.COLUMNS)
    assert set(table["part"]) == {"dynamics", "first_layer", "rebuilt"}
    assert set(table[table["part"] == "dynamics"]["activation"]) == {"relu", "tanh"}
    assert set(table["seed"]) == {3, 4}
    rebuilt = table[(table["part"] == "rebuilt") & (table["seed"] == 3)]
    for label in portrait.REBUILT:
        shown = rebuilt[rebuilt["measure"] == label]
        assert len(shown) == portrait.TARGETS
        assert shown["png"].map(lambda b: Image.open(io.BytesIO(b)).size == (32, 32)).all()
        assert rebuilt["measure"].eq(f"mean ssim: {label}").sum() == 1
    layer = table[(table["part"] == "first_layer") & (table["seed"] == 3)]
    assert sorted(layer[layer["measure"] == "weights"]["index"]) == list(range(6))
    assert layer[layer["measure"] == "units kept"]["value"].sum() == 3  # half of six
    share = layer[layer["measure"] == "parameters kept"]["value"].mean()
    assert 0.1 < share < 0.5


def test_what_a_mask_leaves_out_is_grey():
    first = torch.randn(3, 48, generator=torch.Generator().manual_seed(0))
    units = torch.ones(3, 48, dtype=torch.bool)
    units[1] = False
    single = torch.zeros(3, 48, dtype=torch.bool)
    single[:, :32] = True  # two channels of three, 4 × 4 each: a pixel is kept if most of its channels are
    single[2] = False
    masks = {"units kept": {"layers.0.weight": units}, "parameters kept": {"layers.0.weight": single}}
    rows = portrait._first_layer(first, masks, (3, 4, 4))
    pixels = {(row["measure"], row["index"]): np.asarray(Image.open(io.BytesIO(row["png"]))).astype(int) for row in rows}

    def colourful(tile):
        return (tile.max(2) - tile.min(2)).max()

    assert colourful(pixels["weights", 1]) > 50
    assert np.array_equal(pixels["units kept", 0], pixels["weights", 0])
    assert colourful(pixels["units kept", 1]) <= 2
    assert np.array_equal(pixels["parameters kept", 0], pixels["weights", 0])
    assert (pixels["parameters kept", 2] == portrait.GREY).all()
    assert [row["value"] for row in rows if row["measure"] == "units kept"] == [1.0, 0.0, 1.0]


def test_the_page_is_made_of_the_table_alone_and_again_the_same(table, tmp_path, monkeypatch):
    monkeypatch.setattr("bench.tracks.informed.work.obtain", lambda *a: pytest.fail("the page trains"))
    for folder in (tmp_path / "one", tmp_path / "two"):
        page.render(table, folder)
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*") if p.is_file())
    names = ["anatomy-photo_tiles-dynamics.png", "anatomy-photo_tiles-relu-3.png", "anatomy-photo_tiles-relu-4.png"]
    assert [str(f) for f in files] == ["anatomy.md", *(f"figures/{n}" for n in names)]
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    text = (tmp_path / "one" / "anatomy.md").read_text()
    assert all(f"(figures/{name})" in text for name in names)
    assert "photo tiles" in text.lower().replace("_", " ")
    mean = table[(table["measure"] == "mean ssim: all") & (table["seed"] == 3)]["value"].iloc[0]
    assert f"SSIM {mean:.3f}" in text


def test_figures_of_nothing_are_none():
    empty = package.frame([])
    assert figures.dynamics(empty, "") is None
    assert figures.portrait(empty, 0, "") is None


def test_a_run_replaces_its_own_data_set_and_leaves_the_others(table, tmp_path, monkeypatch):
    other = table.assign(dataset="other", dataset_display="Other")
    monkeypatch.setattr(dynamics, "curves", lambda *a: [{"part": "dynamics", "recipe": "kkt", "activation": "relu", "measure": "dead"}])
    monkeypatch.setattr(portrait, "portrait", lambda *a: [])
    pd.concat([table, other]).to_parquet(tmp_path / "anatomy.parquet")
    look("photo_tiles", ["relu"], 0, tmp_path)
    after = package.read(tmp_path)
    assert (after["dataset"] == "other").sum() == len(other)
    assert (after["dataset"] == "photo_tiles").sum() == 1
    assert "## Other" in (tmp_path / "anatomy.md").read_text()


def test_wrong_words_are_answered(tmp_path, capsys):
    for words, said in (
        (["--activation", "rellu"], "Did you mean 'relu'"),
        (["--seed", "-1"], "0 or more"),
        (["--dataset", "photo_tile"], "photo_tiles"),
    ):
        assert main(["anatomy", *words, "--out", str(tmp_path)]) == 1
        assert said in capsys.readouterr().err
    (tmp_path / "anatomy.parquet").write_bytes(b"no table")
    with pytest.raises(BenchError, match="cannot be read"):
        package.read(tmp_path)
    pd.DataFrame({"dataset": ["a"]}).to_parquet(tmp_path / "anatomy.parquet")
    with pytest.raises(BenchError, match="no anatomy table"):
        package.read(tmp_path)


def test_small_sets_get_two_classes_and_large_ones_ten(images):
    few = dynamics.informed_setting(images, "relu", 0)
    assert (few.classes, few.hidden) == ("binary", dynamics.FEW["hidden"])
    large = dataclasses.replace(
        images, images=np.zeros((2000, 1, 4, 4), np.float32), labels=np.arange(2000) % 10, class_names=tuple("0123456789"),
        positive=frozenset({1}), test_images=None, test_labels=None,
    )  # fmt: skip
    many = dynamics.informed_setting(large, "relu", 0)
    assert (many.classes, many.n_per_class, many.hidden) == (10, 20, (10,))
