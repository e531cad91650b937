"""Which cells and images the strips and galleries show; everything else needs no thumbnails, and the published table keeps none for it."""

from __future__ import annotations

import pandas as pd

from bench.api import EXCESS_RECALL

BANDS = ("best", "median", "worst")
PER_BAND = 2  # images shown of each band; few, because the published table keeps their pixels
GALLERY_SETTINGS = 6  # of a grid, the strongest
GALLERY_PAIRS = 60  # of all settings of a gallery: some 600 KB of picture at 32×32 in colour, so that it stays below 1 MB


def figure_cells(scores: pd.DataFrame) -> set[str]:
    """For each grid, data set and setting, the first seed of the attack (controls and flagged ones aside) with the highest mean excess
    recall, where cells without scores count as 0."""
    return set(shown_cells(scores)["cell_id"])


def shown_cells(scores: pd.DataFrame) -> pd.DataFrame:
    """The score rows that strips show, in grid order.

    Settings that differ in anything but the seed are shown apart, so ``--set dataset=...`` gets its own strip.
    """
    from bench.report.kit.flagged import fair
    from bench.report.kit.groups import setting_key

    scores = fair(scores, lambda _: EXCESS_RECALL)
    scored = (scores["status"] == "ok") & scores["excess_recall"].notna()
    ok = scores[(scores["role"] == "attack") & (scored | (scores["status"] != "ok"))]
    if not scored[ok.index].any():
        return ok[scored[ok.index]]
    ok = ok.assign(_setting=setting_key(ok) + "\x1f" + ok["protocol"].fillna(""))  # scores of two protocols are not compared
    # a gallery shows the strongest line; strips, which came first, the strongest attack over all its lines
    line = ok["attack"] + "\x1f" + ok["attack_params"].fillna("") + "\x1f" + ok["sweep"].fillna("")
    ok = ok.assign(_line=line.where(ok["gallery"].notna(), ok["attack"]))
    group = ["grid", "_setting"]
    every = ok.assign(excess_recall=ok["excess_recall"].where(ok["status"] == "ok", 0.0))
    ok = ok[ok["status"] == "ok"]
    mean = every.groupby([*group, "_line"], sort=True)["excess_recall"].mean().reset_index()
    mean = mean.merge(ok[[*group, "_line"]].drop_duplicates())
    top = mean.sort_values([*group, "excess_recall", "_line"], ascending=[True, True, False, True]).drop_duplicates(group)
    mine = ok.merge(top[[*group, "_line"]], on=[*group, "_line"])
    first = mine.sort_values([*group, "seed", "attack_params", "cell_id"]).drop_duplicates(group)
    return first.sort_values(["grid", "axis_index", "_setting"], kind="stable").drop(columns=["_setting", "_line"]).reset_index(drop=True)


def ranked(images: pd.DataFrame) -> pd.DataFrame:
    """The members of one cell by one-to-one SSIM, the best first, misses last."""
    members = images[images["split"] == "member"]
    order = members.assign(_ssim=members["ssim"].fillna(-2.0)).sort_values(["_ssim", "index"], ascending=[False, True], kind="stable")
    return order.drop(columns="_ssim")


def gallery_sizes(scores: pd.DataFrame) -> dict[str, int]:
    """Of a grid that asks for a gallery the cells in it, and how many of its best members each shows, at most what they can share."""
    shown = shown_cells(scores)
    shown = shown[shown["gallery"].notna()]
    shown = shown.sort_values(["grid", "excess_recall", "axis_index"], ascending=[True, False, True], kind="stable")
    shown = shown.groupby("grid", sort=False).head(GALLERY_SETTINGS)
    cells = shown.groupby("grid")["cell_id"].transform("count")
    most = (GALLERY_PAIRS // cells).clip(lower=1)
    return {cell: int(min(n, limit)) for cell, n, limit in zip(shown["cell_id"], shown["gallery"], most, strict=True)}


def shown_images(images: pd.DataFrame) -> pd.DataFrame:
    """The members of one cell that its strip shows, with their ``band``: by one-to-one SSIM, misses last.

    With fewer images than places every image is shown once, best first, and the bands share them out.
    """
    order = ranked(images)
    n = len(order)
    per_band = min(PER_BAND, n // 3) if n >= 3 else 0
    if not per_band:
        return order.assign(band=[BANDS[min(i, 2)] for i in range(n)])
    middle = max(per_band, min(n // 2 - per_band // 2, n - 2 * per_band))
    picks = [*range(per_band), *range(middle, middle + per_band), *range(n - per_band, n)]
    return order.iloc[picks].assign(band=[band for band in BANDS for _ in range(per_band)])


def thumbnail_rows(scores: pd.DataFrame, images: pd.DataFrame) -> pd.Index:
    """Index labels of the image rows whose thumbnails are published."""
    cells = figure_cells(scores)
    mine = images[images["cell_id"].isin(cells) & (images["truth_png"].notna() | images["recon_png"].notna())]
    sizes = gallery_sizes(scores)
    labels: list[object] = []
    for name, cell in mine.groupby("cell_id", sort=True):
        best = ranked(cell).index[: sizes.get(str(name), 0)]
        labels += dict.fromkeys([*shown_images(cell).index, *best])
    return pd.Index(labels, dtype=mine.index.dtype)
