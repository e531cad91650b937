"""Rows as runs leave them, with hits drawn from a table of plausible rates, so that pages can be looked at and tested."""

from __future__ import annotations

import io
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np

from bench.api import Setting
from bench.store import setting_row

START = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
CONTROLS = {"mean_image": 0.02, "heldout_images": 0.12, "first_layer_weights": 0.05, "model_inversion": 0.03}


def png(pixels: np.ndarray) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray((pixels * 255).astype(np.uint8)).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def cell(
    grid: str,
    attack: str,
    setting: Setting,
    axis: dict[str, str],
    index: int,
    rates: tuple[float, float],
    *,
    thumbnails: bool = False,
    **more: Any,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """One ok cell: a score row and its image rows; ``rates`` are the chances of a hit for members and for controls."""
    n = setting.n_per_class * 2
    rng = np.random.default_rng([sum(grid.encode()), sum(attack.encode()), index, setting.seed, n])
    key = f"{rng.integers(2**62):016x}"
    row: dict[str, Any] = {
        **setting_row(setting), "grid": grid, "grid_title": grid.replace("_", " ").capitalize(), "grid_question": f"Does {grid} matter?",
        "protocol": "v1" if "track" in more else "v2", "track": "reconstruction",
        "cell_id": key, "target_id": f"{index:08d}{setting.seed:08d}"[-16:], "attack": attack,
        "attack_version": "1", "attack_params": {}, "role": "control" if attack in CONTROLS else "attack",
        "access": "final_weights" + ("+public_images" if attack == "heldout_images" else "+mean_image"), "axis": axis, "axis_index": index,
        "dataset_display": setting.dataset, "input_shape": "1x25x25", "status": "ok", "reason": "", "lpips_reason": "",
        "n_members": n, "n_controls": n, "n_candidates": 2 * n, "n_submitted": 2 * n, "runs": 1,
        "train_accuracy": 1.0, "test_accuracy": 0.8, "train_loss": 3e-4, "epochs_run": setting.epochs, "kkt_residual": 0.031,
        "seconds_train": 20.0, "seconds_attack": 8.0 if attack not in CONTROLS else 0.1, "seconds_score": 0.2, "peak_memory_mb": 310.0,
        "device": "cpu", "code_version": "0.1.0", "data_digest": "0123456789abcdef", "versions": {"torch": "2.13.0", "numpy": "2.2.0"},
        "python": "3.11.2", "platform": "Linux x86_64", "finished_at": START + timedelta(minutes=index, seconds=setting.seed),
    }  # fmt: skip
    images = []
    for split, rate in zip(("member", "control"), rates, strict=True):
        hit = rng.random(n) < rate
        ssim = np.where(hit, rng.uniform(0.42, 0.8, n), rng.uniform(0.0, 0.38, n)).round(4)
        for i in range(n):
            image = {
                "cell_id": key, "split": split, "index": i, "label": i % 2, "ssim": ssim[i], "ssim_w3": ssim[i], "psnr": 14 + 10 * ssim[i],
                "lpips": 0.7 - ssim[i] / 2, "ncc": ssim[i], "nn_ssim": ssim[i], "oracle_ssim": ssim[i], "haim_ssim": ssim[i],
                "candidate": i,
            }  # fmt: skip
            if thumbnails and split == "member":
                y, x = np.mgrid[0:25, 0:25] / 24
                truth = 0.5 + 0.4 * np.sin(6 * x + i) * np.cos(5 * y + setting.seed)
                image["truth_png"] = png(truth)
                image["recon_png"] = png(np.clip(ssim[i] * truth + (1 - ssim[i]) * rng.random((25, 25)), 0, 1))
            images.append(image)
    members = np.array([image["ssim"] for image in images[:n]])
    controls = np.array([image["ssim"] for image in images[n:]])
    a, b = float((members > 0.4).mean()), float((controls > 0.4).mean())
    for prefix in ("", "oracle_", "nn_", "haim_"):
        row |= {f"{prefix}recall_members": a, f"{prefix}recall_controls": b, f"{prefix}excess_recall": a - b}
    row |= {
        "excess_recall_lo": a - b - 0.2, "excess_recall_hi": a - b + 0.2, "auc": 0.5 + (a - b) / 2, "tpr_at_1fpr": a, "precision": a / 2,
        "precision_controls": b / 2, "ssim_median": float(np.median(members)), "ssim_mean": float(members.mean()),
        "ssim_median_controls": float(np.median(controls)), "lpips_median": 0.45, "lpips_median_controls": 0.6, "psnr_median": 15.2,
        "ncc_median": 0.4, "attack_loss": 0.12,
    }  # fmt: skip
    row |= more
    if row["status"] != "ok":
        row = {
            k: None if k.startswith(("excess", "recall", "oracle_", "nn_", "haim_")) or k in ("auc", "ssim_median") else v
            for k, v in row.items()
        }
        images = []
    return row, images


def grid(
    name: str,
    field: str,
    values: list[Any],
    rates: dict[str, list[float | None]],
    seeds: int = 3,
    *,
    thumbnails: bool = True,
    **base: Any,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A grid along one field; ``rates[attack][i]`` is the chance of a member's hit at value i, None for a skipped cell."""
    rows, images = [], []
    for index, value in enumerate(values):
        for seed in range(seeds):
            setting = Setting.model_validate({**base, field: value, "seed": seed})
            label = "-".join(map(str, value)) if isinstance(value, list) else str(value)
            for attack, chances in rates.items():
                chance = chances[index]
                control = CONTROLS.get(attack, 0.04)
                more: dict[str, Any] = (
                    {} if chance is not None else {"status": "skipped", "reason": f"{attack} needs {field} other than {label}"}
                )
                row, found = cell(
                    name, attack, setting, {field: label}, index, (chance or 0.0, control),
                    thumbnails=thumbnails and attack not in CONTROLS, **more,
                )  # fmt: skip
                rows.append(row)
                images += found
    return rows, images


def everything() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A quick grid, three axis grids, a failure, a timeout and missing LPIPS."""
    controls: dict[str, list[float | None]] = {name: [rate, rate] for name, rate in CONTROLS.items()}
    parts = [
        grid("quick", "dataset", ["lfw_faces", "photo_tiles"], {"haim_kkt": [0.55, 0.4], **controls}, seeds=5),
        grid(
            "weight_decay", "weight_decay", [0.0, 0.0003, 0.001, 0.003, 0.01],
            {"haim_kkt": [0.05, 0.1, 0.25, 0.55, 0.6], "mean_image": [0.02] * 5, "heldout_images": [0.12] * 5}, seeds=5,
        ),
        grid(
            "activations", "activation", ["relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "tanh", "sigmoid"],
            {"haim_kkt": [0.5, 0.5, None, None, None, None, None, None], "regression_kkt": [0.4, 0.45, 0.3, 0.3, 0.3, 0.2, 0.2, 0.1],
             "mean_image": [0.02] * 8, "heldout_images": [0.12] * 8},
        ),
    ]  # fmt: skip
    rows = [row for part in parts for row in part[0]]
    images = [image for part in parts for image in part[1]]
    for row in rows:
        if row["grid"] == "weight_decay" and row["attack"] == "haim_kkt" and row["axis_index"] == 4 and row["seed"] in (1, 2):
            row |= {
                "status": "failed" if row["seed"] == 1 else "timeout",
                "reason": "attack returned NaN | in run 3 <b>",
                "excess_recall": None,
            }
        if row["grid"] == "activations":
            row |= {
                "lpips_median": None,
                "lpips_median_controls": None,
                "lpips_reason": "weights are not here: python -m bench fetch lpips",
            }
    lost = {row["cell_id"] for row in rows if row["status"] != "ok"}
    return rows, [image for image in images if image["cell_id"] not in lost]
