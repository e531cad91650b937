"""What could be found at all: spans, patterns and shares of networks that are known by construction, and of trained ones."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bench import seeds
from bench.api import Candidates, Setting
from bench.store import to_table
from bench.tracks.reconstruction.findable import distinct, findable, shared, shares, span
from bench.tracks.reconstruction.targets import obtain, secret_of
from bench.tracks.reconstruction.work import score

D, UNITS, N = 40, 25, 6


def made(strength: tuple[float, ...], noise: float, kept: float = 0.5, units: int = UNITS) -> dict[str, Any]:
    """W₁ = ρ W₁(0) + C X with orthonormal images X, image k weighing ``strength[k]`` (a singular value of C X)."""
    g = seeds.generator("test", "findable", units)
    train = torch.linalg.qr(torch.randn(D, len(strength), generator=g, dtype=torch.float64)).Q.T
    columns = torch.linalg.qr(torch.randn(units, len(strength), generator=g, dtype=torch.float64)).Q
    start = torch.randn(units, D, generator=g, dtype=torch.float64) * noise
    return {"weights": kept * start + columns * torch.tensor(strength).double() @ train, "start": start, "train": train}


@pytest.mark.parametrize("units", [UNITS, 2 * D])
def test_only_images_above_the_noise_are_inside(units: int) -> None:
    known = made((3.0, 2.0, 1.0, 0.5, 1e-5, 1e-6), noise=1e-3, units=units)
    directions = span(**known)
    assert directions.shape == (D, 4)
    assert torch.allclose(directions.mT @ directions, torch.eye(4, dtype=torch.float64), atol=1e-9)
    inside = shares(known["train"], directions)
    assert (inside[:4] > 0.999).all()
    assert (inside[4:] < 0.1).all()


@pytest.mark.parametrize("kept", [1.0, 0.3, 1e-3])
def test_noise_alone_gives_no_direction_and_weak_images_come_out_of_it_as_it_shrinks(kept: float) -> None:
    assert span(**made((0.0, 0.0, 0.0), noise=1.0, kept=kept)).shape == (D, 0)
    known = made((50.0, 0.1, 0.0), noise=1.0, kept=kept)
    edge = kept * torch.linalg.matrix_norm(known["start"], 2)
    expected = int((torch.linalg.svdvals(known["weights"]) > 1.001 * edge).sum())
    assert span(**known).shape[1] == expected == (2 if kept == 1e-3 else 1)


def test_noise_that_a_defence_adds_counts_as_noise() -> None:
    known = made((3.0, 2.0, 1e-2, 1e-2), noise=1e-3)
    assert span(**known).shape[1] == 4
    extra = 1e-1 * torch.randn(UNITS, D, generator=seeds.generator("extra"), dtype=torch.float64)
    assert span(known["weights"] + extra, known["start"], known["train"]).shape[1] == 2


def test_shares_are_of_the_energy() -> None:
    directions = torch.eye(4, dtype=torch.float64)[:, :2]
    images = torch.tensor([[3.0, 0, 4, 0], [0, 1, 0, 0], [0, 0, 0, 2], [0, 0, 0, 0]])
    assert shares(images, directions).tolist() == pytest.approx([9 / 25, 1, 0, 0])


def test_patterns_by_hand() -> None:
    on = torch.tensor([[1, 0, 0, 1], [1, 0, 0, 1], [0, 1, 0, 0], [1, 1, 0, 1], [0, 1, 0, 0]]).bool()  # images × units
    assert shared(on) == 4
    assert shared(on[2:4]) == 0
    assert distinct(on, "relu") == 2  # units 0 and 3 are on together, unit 2 never
    assert distinct(on, "leaky_relu") == 3  # a unit that is off everywhere passes every image, scaled down
    assert distinct(torch.cat([on, torch.ones(5, 1).bool()], 1), "leaky_relu") == 3  # as one does that is on everywhere
    assert distinct(torch.zeros(3, 2).bool(), "relu") == 0


SMALL = {"n_per_class": 3, "hidden": (30,), "epochs": 800, "lr": 0.1}


def test_a_trained_network_holds_its_members_and_less_of_the_controls() -> None:
    target = obtain([Setting(**SMALL)])[0]
    row, images = score(Candidates(target.secret.members.clone()), target.secret, bootstrap_seed=0, thumbnails=False)
    assert 0 < row["span_rank"] <= 6
    assert row["span_reason"] == ""
    assert 1 <= row["unit_patterns"] <= 30
    assert 0 <= row["shared_patterns"] <= 6
    table = to_table([{**one, "cell_id": "0" * 16} for one in images], "images").to_pandas()
    mean = table.groupby("split")["span_share"].mean()
    assert mean["member"] > mean["control"] + 0.1
    assert table["span_share"].between(0, 1).all()


def test_what_cannot_be_told_is_null_with_a_reason() -> None:
    settings = [Setting(**SMALL, activation="tanh"), Setting(**SMALL, model="cnn", channels=(2,))]
    smooth, cnn = (target.secret for target in obtain(settings))
    assert smooth.findable["span_reason"] == ""
    assert set(smooth.span) == {"member", "control"}
    assert "unit_patterns" not in smooth.findable
    assert {name: value for name, value in cnn.findable.items() if name not in ("ceiling", "margin_auc")} == {
        "span_reason": "the first layer of a cnn is not fully connected"
    }
    row, images = score(Candidates(cnn.members.clone()), cnn, bootstrap_seed=0, thumbnails=False)
    assert row["span_reason"].startswith("the first layer")
    assert all(image["span_share"] is None for image in images)


def test_as_many_images_as_pixels_leave_no_noise_to_look_at() -> None:
    target = obtain([Setting(**SMALL)])[0]
    pixels = target.release.mean_image.numel()
    many = torch.randn(pixels, *target.release.mean_image.shape)
    row, sides = findable(target.release.architecture, target.release.weights, target.release.initial_weights, many, many[:2], many[:2])
    assert row["span_reason"] == "as many training images as pixels"
    assert "unit_patterns" in row
    assert sides == {}


def test_without_the_network_nothing_is_said() -> None:
    """As in an audit, and when kept answers are scored again: nothing, so that what the row said before stands."""
    secret = secret_of(Setting(**SMALL))
    row, images = score(Candidates(secret.members.clone()), secret, bootstrap_seed=0, thumbnails=False)
    assert not {"span_rank", "span_reason", "shared_patterns", "unit_patterns"} & set(row)
    assert all(image["span_share"] is None for image in images)
