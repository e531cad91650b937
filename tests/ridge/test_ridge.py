"""The regression, its attack and its bounds are what they are said to be, and the page is made of its table alone."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch

from bench import ridge as package
from bench import seeds
from bench.cli import main
from bench.errors import BenchError
from bench.ridge import experiment, page
from bench.ridge.experiment import LAMBDA, C, R, answer, ball_entropy, fit, left_over, lower_bound, noise_size, theory


def records(n=30, d=40, name="records"):
    g = seeds.generator("test ridge", name)
    x = torch.randn(n, d, generator=g, dtype=torch.float64)
    return R * x / x.norm(dim=1, keepdim=True), torch.randint(2, (n,), generator=g).double() * 2 - 1


def test_the_fit_is_where_the_gradient_of_the_loss_vanishes():
    X, y = records()
    theta = fit(X, y).requires_grad_()
    (0.5 * (X @ theta - y).square().sum() + 0.5 * len(X) * LAMBDA * theta.square().sum()).backward()
    assert float(theta.grad.abs().max()) < 1e-10


def test_without_noise_the_known_records_give_the_missing_one_away():
    X, y = records()
    for i in (0, 7):
        others = torch.arange(len(X)) != i
        told = answer(left_over(X[others], y[others], fit(X, y)), float(y[i]))
        torch.testing.assert_close(told, X[i], rtol=1e-9, atol=1e-9)


def test_another_record_moves_the_fit_by_no_more_than_the_noise_allows_for():
    X, y = records()
    g = seeds.generator("neighbours")
    most = 0.0
    for _ in range(200):
        other, their = X.clone(), y.clone()
        other[0] = -X[0] if torch.rand((), generator=g) < 0.5 else records(1, 40, float(torch.rand((), generator=g)))[0][0]
        their[0] = 1 - 2 * torch.randint(2, (), generator=g)
        assert float((X @ fit(X, y) - y).abs().max()) <= C
        most = max(most, float((fit(X, y) - fit(other, their)).norm()))
    bound = 2 * R * C / (LAMBDA * len(X))
    assert 0.3 * bound < most <= bound
    rho = 3.0  # of a Gaussian mechanism of this sensitivity: Δ² / 2σ²
    assert bound**2 / (2 * noise_size(rho, len(X)) ** 2) == pytest.approx(rho)


@pytest.mark.parametrize("ratio", [0.1, 1.0, 10.0])
def test_theory_is_what_the_attack_measures(ratio):
    X, y = records(80, 500)
    known, theta = slice(1, None), fit(X, y)
    residual = abs(float(X[0] @ theta - y[0]))
    g = seeds.generator("noise", ratio)
    errors = []
    for _ in range(200):
        released = theta + noise_size(ratio * 500, 80) * torch.randn(500, generator=g, dtype=torch.float64)
        errors.append(float((answer(left_over(X[known], y[known], released), float(y[0])) - X[0]).square().sum()))
    slack = 4 * np.std(errors) / math.sqrt(200) + 2e-3
    assert theory(X[known], residual, ratio * 500) == pytest.approx(float(np.mean(errors)), abs=slack)
    rule = 2 - 2 / math.sqrt(1 + 2 * (C / residual) ** 2 / ratio)
    assert theory(X[known], residual, ratio * 500) == pytest.approx(rule, abs=0.02)


def test_the_entropy_of_a_ball():
    volume = {1: 2.0, 2: math.pi, 3: 4 / 3 * math.pi}  # of radius 1
    for d, unit in volume.items():
        assert ball_entropy(d) == pytest.approx(math.log(unit * (d + 2) ** (d / 2)))
    d = 400  # in many dimensions that of normal numbers, of which it is the largest
    assert lower_bound(ball_entropy(d), d, 0.0) == pytest.approx(1, abs=0.03)
    assert lower_bound(ball_entropy(d), d, 0.0) < 1
    assert lower_bound(ball_entropy(d), d, d / 2) == pytest.approx(math.exp(-1), abs=0.03)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "SYNTHETIC", (64, 128, 256))
        patch.setattr(experiment, "TARGETS", 12)
        patch.setattr(experiment, "KNOWN", 15)
        out = tmp_path_factory.mktemp("ridge")
        assert main(["ridge", "--dataset", "lfw_faces", "--out", str(out)]) == 0
        return out


def test_curves_of_several_dimensions_fall_on_one_another_above_the_lower_bound(folder):
    table = package.read(folder)
    for dataset in ("ball", "lfw_faces"):
        mine = table[table["dataset"] == dataset]
        thresholds = [page.threshold(mine, "error: closed form", d) for d in sorted(mine["d"].unique())]
        assert len(thresholds) == 3
        assert max(thresholds) / min(thresholds) < 2
        assert min(thresholds) > 0.4
        assert max(thresholds) < 2.5
        for d in sorted(mine["d"].unique()):
            measured, said = (page.curve(mine, measure, d)["mean"] for measure in ("error: closed form", "theory"))
            assert float((measured - said).abs().max()) < 0.35
            if dataset == "ball":
                assert (page.curve(mine, "lower bound", d)["mean"] < measured).all()
    assert page.spread(table[table["dataset"] == "ball"], "error: closed form") < 0.5


def test_the_page_is_made_of_the_table_alone_and_a_run_keeps_other_data_sets(folder, tmp_path):
    text = (folder / "ridge.md").read_text(encoding="utf-8")
    assert "Threshold" in text
    assert (folder / "figures" / "ridge-lfw_faces.png").read_bytes().startswith(b"\x89PNG")
    page.render(package.read(folder), tmp_path)
    assert (tmp_path / "ridge.md").read_text(encoding="utf-8") == text
    table = package.read(folder)
    other = table[table["dataset"] == "lfw_faces"].assign(dataset="mine", dataset_display="mine | too")
    page.render(pd.concat([table, other]), tmp_path)
    both = (tmp_path / "ridge.md").read_text(encoding="utf-8")
    assert both.count("\n## ") == 2


def test_refusals(tmp_path):
    with pytest.raises(BenchError, match="--seed -1"):
        package.ridge("lfw_faces", -1, tmp_path)
    (tmp_path / "ridge.parquet").write_bytes(b"no table")
    with pytest.raises(BenchError, match="cannot be read"):
        package.read(tmp_path)
