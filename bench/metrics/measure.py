"""What every registered metric says of pairs of images, and what a cell's row holds of that."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import numpy as np
from jaxtyping import Float
from torch import Tensor

from bench import registry, schema
from bench.errors import BenchError

Values = Mapping[str, np.ndarray | None]  # metric → a number an image, NaN without a partner; None: cannot be had


def measure(a: Float[Tensor, "n c h w"], b: Float[Tensor, "n c h w"], but: Collection[str] = ()) -> dict[str, np.ndarray | None]:
    """Every registered metric of ``a[i]`` against ``b[i]``, images in [0, 1], as float64; None where it cannot be had here.

    Args:
        but: names of metrics to leave out.

    Raises:
        BenchError: a metric that raises, or gives anything but n numbers.
    """
    return {m.name: _values(m.name, a, b) for m in schema.metrics() if m.name not in but}


def _values(name: str, a: Tensor, b: Tensor) -> np.ndarray | None:
    wanted = f"{len(a)} numbers, one a pair, or None"
    try:
        found = registry.get("metric", name)().pairs(a, b)
    except BenchError:
        raise
    except Exception as error:
        raise BenchError(f"metric '{name}' failed", expected=wanted, got=f"{type(error).__name__}: {error}") from error
    if found is None:
        return None
    if not isinstance(found, Tensor) or tuple(found.shape) != (len(a),):
        got = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        raise BenchError(f"metric '{name}' gives no number a pair", expected=wanted, got=got, hint=f"python -m bench check {name}")
    values: np.ndarray = found.detach().cpu().double().numpy()
    if not np.isfinite(values).all():
        got = f"{int((~np.isfinite(values)).sum())} of {len(a)} are NaN or infinite"
        raise BenchError(f"metric '{name}' gives no number a pair", expected=wanted, got=got, hint=f"python -m bench check {name}")
    return values


def statistics(values: Values, suffix: str = "") -> dict[str, float | None]:
    """The columns of a cell's row over its images: ``NAME_median``, ``NAME_mean``, each with ``suffix``.

    An image without a partner counts as the metric's worst value. Where that is beyond any number, so may the statistic be: then None.
    """
    row: dict[str, float | None] = {}
    found = registry.entries("metric")
    for metric in schema.metrics():
        own = values.get(metric.name)
        worst = registry.literal(found[metric.name], "worst")
        beyond = -math.inf if metric.better == "higher" else math.inf
        filled = None if own is None else np.nan_to_num(own, nan=beyond if worst is None else worst)
        for statistic in metric.statistics:
            row[f"{metric.name}_{statistic}{suffix}"] = None if filled is None else _statistic(filled, statistic)
    return row


def _statistic(values: np.ndarray, name: str) -> float | None:
    chosen = values if name == "mean" else np.sort(values)[[(len(values) - 1) // 2, len(values) // 2]]
    return float(chosen.mean()) if np.isfinite(chosen).all() else None
