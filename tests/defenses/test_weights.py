"""Defences that change the released weights."""

from __future__ import annotations

import pytest
import torch

from defenses.rounding import Rounding
from defenses.weight_noise import WeightNoise


@pytest.mark.parametrize("bits", [-1, 0, 1, 17])
def test_a_number_of_bits_that_means_nothing_is_refused(bits):
    with pytest.raises(ValueError, match="from 2 to 16"):
        Rounding(bits=bits)


@pytest.mark.parametrize("bits", [2, 5, 16])
def test_rounded_weights_lie_on_that_many_levels(bits):
    w = torch.randn(200, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rounded = Rounding(bits=bits).after_training({"w": w}, torch.Generator())["w"]
    assert len(rounded.unique()) <= 2**bits - 1
    assert float((rounded - w).abs().max()) <= float(w.abs().max()) / (2 ** (bits - 1) - 1) / 2 + 1e-12


@pytest.mark.parametrize("std", [-0.1, float("nan")])
def test_noise_is_not_negative(std):
    with pytest.raises(ValueError, match="from 0 on"):
        WeightNoise(relative_std=std)
