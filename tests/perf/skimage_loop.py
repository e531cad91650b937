"""The alternative to our scoring: scikit-image's structural_similarity, called pair by pair."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from skimage.metrics import structural_similarity


def ssim(a: np.ndarray, b: np.ndarray, pairs: Sequence[tuple[int, int]]) -> np.ndarray:
    """SSIM of a[i] with b[j] for each pair (i, j); images c × h × w in [0, 1], Gaussian window of σ = 1.5."""
    options = {"channel_axis": 0, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    return np.array([structural_similarity(a[i], b[j], **options) for i, j in pairs])
