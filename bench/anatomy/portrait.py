"""One ReLU network of the informed track: its first layer as images, and what is rebuilt from which of its parameters.

The attacks are those of the board, run on the board's own targets; nothing here trains or reconstructs by itself.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bench import registry, seeds
from bench.anatomy.dynamics import informed_setting
from bench.api import ImageSet
from bench.report.kit.canvas import matplotlib

if TYPE_CHECKING:
    from torch import Tensor

    from bench.targets.cache import TargetCache

KEEP = 0.5  # share of units that the masks of units keep
KEEP_COORDINATES = 0.3  # share of parameters that the masks of single parameters keep
SHADOWS = 3000  # with mirrored images where a small set has too few
# name → attack, hyperparameters; the order is that of the picture
REBUILT: dict[str, tuple[str, dict[str, Any]]] = {
    "all": ("informed_adversary", {}),
    "units kept": ("mnemonist_informed", {"detector": "lime", "keep": KEEP}),
    "units random": ("random_mask", {"level": "unit", "keep": KEEP}),
    "units removed": ("mnemonist_informed", {"detector": "lime", "keep": KEEP, "ablate": "informative"}),
    "parameters kept": ("mnemonist_informed", {"detector": "constant", "keep": KEEP_COORDINATES}),
    "parameters random": ("random_mask", {"level": "coordinate", "keep": KEEP_COORDINATES}),
    "parameters removed": ("mnemonist_informed", {"detector": "constant", "keep": KEEP_COORDINATES, "ablate": "informative"}),
}
DRAWN = ("units kept", "parameters kept")  # masks that the first layer is shown under
TARGETS = 8  # shown
UNITS = 20  # shown
GREY = np.array([206, 206, 206])


def portrait(images: ImageSet, seed: int, cache: TargetCache | None) -> list[dict[str, Any]]:
    """Rows of one target: pictures of its first units, raw and under both masks; and of its first targets, truth and reconstructions.

    Values are SSIM of a shown image (``ssim``, with its picture), its mean over all images of the target (``mean ssim``), mean MSE
    (``mean mse``), and for a unit 1 where it is kept.
    """
    import torch

    from bench.metrics.ssim import ssim_pairs
    from bench.tracks.informed import work as informed

    setting = informed_setting(images, "relu", seed)
    target = informed.obtain([setting], cache)[0]
    members = target.secret.members
    shown = torch.linspace(0, len(members) - 1, min(TARGETS, len(members))).round().long().tolist()  # of all classes
    common = {"recipe": "informed", "activation": "relu", "seed": seed}
    rows: list[dict[str, Any]] = [
        {**common, "part": "rebuilt", "measure": "truth", "index": i, "value": 1.0, "png": png(members[i])} for i in shown
    ]
    masks: dict[str, Mapping[str, Tensor]] = {}
    for label, (name, params) in REBUILT.items():
        attack = registry.get("attack", name)(shadows=SHADOWS, mirror=setting.classes == "binary", **params)
        release = informed.narrow(target.release, attack.needs)
        answer = attack.reconstruct(release, seeds.generator("anatomy", seed, label)).images.clamp(0, 1)
        if label in DRAWN:
            masks[label] = attack.mask(release, seeds.generator("anatomy", seed, label))[1]
        ssim = ssim_pairs(members, answer, "gaussian")
        own = {**common, "part": "rebuilt"}
        rows += [{**own, "measure": label, "index": i, "value": float(ssim[i]), "png": png(answer[i])} for i in shown]
        rows.append({**own, "measure": f"mean ssim: {label}", "value": float(ssim.mean())})
        rows.append({**own, "measure": f"mean mse: {label}", "value": float((answer - members).square().mean())})
    first = target.release.weights["layers.0.weight"][shown[0]]
    rows += [{**common, **row, "part": "first_layer"} for row in _first_layer(first, masks, tuple(members.shape[1:]))]
    return rows


def _first_layer(first: Tensor, masks: Mapping[str, Mapping[str, Tensor]], shape: tuple[int, ...]) -> list[dict[str, Any]]:
    """The first units' incoming weights as images: as they are, and with what each mask leaves out in grey."""
    rows = []
    size = float(first.abs().flatten().quantile(0.995))
    for unit in range(min(UNITS, len(first))):
        weights = first[unit].reshape(shape).mean(0) / size  # channels averaged: a diverging scale has room for one number
        tile = _diverging(weights.double().numpy())
        rows.append({"measure": "weights", "index": unit, "value": 1.0, "png": _encode(tile)})
        alive = masks["units kept"]["layers.0.weight"][unit]
        faded = tile if bool(alive.any()) else (0.25 * tile.mean(2, keepdims=True) + 0.75 * GREY).astype(np.uint8)
        rows.append({"measure": "units kept", "index": unit, "value": float(alive.any()), "png": _encode(faded)})
        kept = masks["parameters kept"]["layers.0.weight"][unit].reshape(shape).double().mean(0).numpy() >= 0.5
        masked = np.where(kept[..., None], tile, GREY).astype(np.uint8)
        rows.append({"measure": "parameters kept", "index": unit, "value": float(kept.mean()), "png": _encode(masked)})
    return rows


def _diverging(values: np.ndarray) -> np.ndarray:
    """−1 … 1 as blue, white, red; h × w × 3, uint8."""
    return (matplotlib().colormaps["RdBu_r"]((values.clip(-1, 1) + 1) / 2)[..., :3] * 255).round().astype(np.uint8)


def png(image: Tensor) -> bytes:
    """An image c × h × w in [0, 1] as PNG."""
    pixels = (image.detach().cpu().float().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    return _encode(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def _encode(pixels: np.ndarray) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
