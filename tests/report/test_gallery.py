"""Galleries: which members are shown, that their thumbnails are published and no others, and what stands beside them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import fake
import pandas as pd
from PIL import Image

from bench import report, store
from bench.report.kit import selection
from bench.tracks.reconstruction.page import gallery

Rows = list[dict[str, Any]]


def made(n: int | None, values: int = 2, seeds: int = 2, n_per_class: int = 10) -> tuple[Rows, Rows]:
    decays = [0.0, 0.001, 0.003, 0.01, 0.02, 0.03, 0.04][:values]
    rates: dict[str, list[float | None]] = {"haim_kkt": [0.6] * values, "mean_image": [0.1] * values}
    rows, images = fake.grid("quick", "weight_decay", decays, rates, seeds=seeds, n_per_class=n_per_class)
    return [{**row, "gallery": n} for row in rows], images


def with_thumbnails(images: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return dict(list(images[images["truth_png"].notna()].groupby("cell_id")))


def test_the_best_members_keep_their_thumbnails_and_no_other_cell_any(tmp_path: Path) -> None:
    rows, images = made(8)
    store.publish(rows, images, tmp_path)
    scores, published = store.load_results(tmp_path)
    cells = with_thumbnails(published)
    assert set(cells) == selection.figure_cells(scores)
    assert len(cells) == 2
    for cell, kept in cells.items():
        members = published[(published["cell_id"] == cell) & (published["split"] == "member")]
        order = members.sort_values(["ssim", "index"], ascending=[False, True])["index"].tolist()
        strip = set(selection.shown_images(members)["index"])
        assert set(kept["index"]) == set(order[:8]) | strip
        assert len(kept) < len(members)


def test_a_grid_without_a_gallery_keeps_the_strip_s_six(tmp_path: Path) -> None:
    store.publish(*made(None), tmp_path)
    scores, published = store.load_results(tmp_path)
    assert {len(kept) for kept in with_thumbnails(published).values()} == {6}
    assert selection.gallery_sizes(scores) == {}
    assert gallery.figure(scores, published, "title") is None
    report.render(tmp_path)
    assert not list((tmp_path / "figures").glob("*_gallery.png"))
    assert "Best reconstructions" not in (tmp_path / "quick.md").read_text()


def test_members_are_shown_best_first(tmp_path: Path) -> None:
    store.publish(*made(5), tmp_path)
    scores, published = store.load_results(tmp_path)
    shown = gallery.cells(scores, published)
    assert [row["weight_decay"] for row, _ in shown] == [0.0, 0.001]
    for row, best in shown:
        assert row["seed"] == 0
        assert len(best) == 5
        members = published[(published["cell_id"] == row["cell_id"]) & (published["split"] == "member")]
        assert best["ssim"].tolist() == sorted(members["ssim"], reverse=True)[:5]
        counts = gallery._counts(row)
        hits = int((members["ssim"] > 0.4).sum())
        assert f"{hits} of 20 members and " in counts
        assert "of 20 controls above 0.4" in counts


def test_many_settings_share_the_room_that_a_grid_has(tmp_path: Path) -> None:
    rows, images = made(100, values=7, seeds=1)
    store.publish(rows, images, tmp_path)
    scores, _ = store.load_results(tmp_path)
    sizes = selection.gallery_sizes(scores)
    assert len(sizes) == selection.GALLERY_SETTINGS, "the seventh setting has no place"
    assert set(sizes.values()) == {selection.GALLERY_PAIRS // selection.GALLERY_SETTINGS}
    report.render(tmp_path)
    picture = (tmp_path / "figures" / "quick_gallery.png").read_bytes()
    assert len(picture) < 2**20
    assert all(path.stat().st_size < 2**20 for path in (tmp_path / "images").glob("*.parquet"))
    assert Image.open(io.BytesIO(picture)).format == "PNG"


def test_a_gallery_is_of_the_strongest_line_of_an_attack(tmp_path: Path) -> None:
    rows, images = made(4, values=1)
    second, more = fake.grid("quick", "weight_decay", [0.0], {"haim_kkt": [0.05]}, seeds=2, n_per_class=10)
    for row in second:  # the same attack with other parameters, named so that it comes first, and much weaker
        old, row["cell_id"] = row["cell_id"], f"f{row['cell_id'][1:]}"
        row |= {"attack_params": {"a": 1}, "gallery": 4, "excess_recall": -0.2}
        for image in more:
            image["cell_id"] = row["cell_id"] if image["cell_id"] == old else image["cell_id"]
    for row in rows:
        if row["attack"] == "haim_kkt":
            row["attack_params"] = {"b": 1}
    store.publish([*rows, *second], [*images, *more], tmp_path)
    scores, published = store.load_results(tmp_path)
    [(row, _)] = gallery.cells(scores, published)
    assert row["attack_params"] == '{"b": 1}'


def test_misses_and_broken_thumbnails_are_grey(tmp_path: Path) -> None:
    rows, images = made(20, values=1, seeds=1)
    for image in images:
        if image["split"] == "member" and image["index"] < 3:
            image |= {"ssim": None, "recon_png": None}
        elif image["split"] == "member" and image["index"] == 4:
            image["recon_png"] = b"no picture"
    store.publish(rows, images, tmp_path)
    scores, published = store.load_results(tmp_path)
    [(_, best)] = gallery.cells(scores, published)
    assert len(best) == 20
    assert best["ssim"].isna().tolist() == [False] * 17 + [True] * 3
    assert gallery.figure(scores, published, "title") is not None


def test_a_table_made_before_its_grid_had_a_gallery_shows_what_it_has(tmp_path: Path) -> None:
    rows, images = made(None)
    store.publish(rows, images, tmp_path)
    scores, published = store.load_results(tmp_path)
    scores["gallery"] = 10.0
    for _, best in gallery.cells(scores, published):
        assert 2 <= len(best) <= 6
        assert best["truth_png"].notna().all()


def test_rendering_twice_gives_the_same_picture_and_it_goes_with_its_grid(tmp_path: Path) -> None:
    rows, images = made(10)
    store.publish(rows, images, tmp_path)
    report.render(tmp_path)
    picture = tmp_path / "figures" / "quick_gallery.png"
    before = picture.read_bytes()
    assert "](figures/quick_gallery.png)" in (tmp_path / "quick.md").read_text()
    report.render(tmp_path)
    assert picture.read_bytes() == before
    store.publish([{**row, "gallery": None} for row in rows], images, tmp_path)
    report.render(tmp_path)
    assert not picture.exists()
