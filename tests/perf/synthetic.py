"""Rows of runs that never were, as many as asked for: what planning skips and what reports are made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from bench.api import Setting
from bench.store import IMAGES_FOLDER, SCORES_FOLDER, Store, setting_row, to_table
from tests.report.fake import cell, png

ATTACKS = ("haim_kkt", "regression_kkt", "mean_image", "heldout_images")
SEEDS = 10
IMAGES = 50  # members of a cell, and controls

GRID = """
name: perf_plan
title: Planning
question: How long does it take to see that everything is done?
base: {{dataset: lfw_faces, n_per_class: 10, hidden: [500], epochs: 100}}
axes:
  weight_decay: [0, 0.0003, 0.001, 0.003, 0.01]
seeds: {seeds}
attacks: [haim_kkt, mean_image]
"""


def write_grid(folder: Path, cells: int) -> Path:
    """A grid file of so many cells, a multiple of ten."""
    path = folder / "perf_plan.yaml"
    path.write_text(GRID.format(seeds=cells // 10), encoding="utf-8")
    return path


def fill_store(grid: str) -> int:
    """Stores an ok row for every cell of a grid, and returns how many there are."""
    from bench.engine.plan import plan
    from bench.engine.rows import describe
    from bench.engine.stored import store
    from bench.grids.read import load

    loaded = load(grid)
    cells = plan(loaded, {}).cells
    rows = [{**describe(c, loaded.grid), "status": "ok", "reason": "", "excess_recall": 0.1} for c in cells]
    kept: Store = store()
    kept.append(rows)
    return len(cells)


def write_results(folder: str, rows: int, images_a_row: int) -> dict[str, int]:
    """Score rows and image rows of a results folder; thumbnails for the cells that the report shows."""
    from bench.report.kit.selection import figure_cells

    where = Path(folder)
    where.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    template, _ = cell("g", "haim_kkt", Setting(n_per_class=2), {}, 0, (0.5, 0.1))
    grids = 5 if rows >= 500 else 1
    settings = max(1, rows // (len(ATTACKS) * SEEDS * grids))
    made: list[dict[str, Any]] = []
    for i in range(rows):
        grid, rest = i % grids, i // grids
        attack, rest = ATTACKS[rest % len(ATTACKS)], rest // len(ATTACKS)
        seed, index = rest % SEEDS, rest // SEEDS
        decay = round(1e-4 * (index + 1), 10)
        setting = Setting(n_per_class=max(1, images_a_row // 4), weight_decay=min(decay, 1.0), seed=seed)
        hit = round(IMAGES * rng.uniform(0, 0.6 if attack.endswith("kkt") else 0.1)) / IMAGES
        made.append(
            {
                **template, **setting_row(setting), "grid": f"grid_{grid}", "grid_title": f"Grid {grid}", "cell_id": f"{i:016x}",
                "target_id": f"{i // len(ATTACKS):016x}", "attack": attack, "role": "attack" if attack.endswith("kkt") else "control",
                "axis": {"weight_decay": f"{decay:g}"}, "axis_index": index, "excess_recall": hit, "excess_recall_lo": hit - 0.1,
                "excess_recall_hi": hit + 0.1, "recall_members": hit, "recall_controls": 0.0, "n_members": IMAGES, "n_controls": IMAGES,
            }
        )  # fmt: skip
    scores = to_table(made, "scores")
    (where / SCORES_FOLDER).mkdir()
    pq.write_table(scores, where / SCORES_FOLDER / "synthetic.parquet", compression="zstd")
    if images_a_row:
        half = images_a_row // 2
        count = rows * 2 * half
        ssim = rng.random(count).astype(np.float32)
        frame = pd.DataFrame(
            {
                "cell_id": np.repeat([row["cell_id"] for row in made], 2 * half),
                "split": np.tile(np.repeat(["member", "control"], half), rows),
                "index": np.tile(np.arange(half), 2 * rows),
                "label": np.tile(np.arange(half) % 2, 2 * rows),
                **dict.fromkeys(("ssim", "ssim_w3", "lpips", "ncc", "nn_ssim", "oracle_ssim", "haim_ssim"), ssim),
                "psnr": 14 + 10 * ssim,
                "candidate": np.tile(np.arange(half), 2 * rows),
            }
        )
        shown = frame["cell_id"].isin(figure_cells(scores.to_pandas())) & (frame["split"] == "member")
        picture = png(rng.random((25, 25)))
        frame["truth_png"] = np.where(shown, picture, None)
        frame["recon_png"] = np.where(shown, picture, None)
        (where / IMAGES_FOLDER).mkdir()
        pq.write_table(to_table(frame, "images"), where / IMAGES_FOLDER / "synthetic.parquet", compression="zstd")
    return {"rows": rows, "images": rows * 2 * (images_a_row // 2), "settings": settings}
