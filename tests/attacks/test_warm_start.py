"""The control that begins at public images: where it begins, what no gradient reaches, and that what comes back is counted."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from attacks.haim_kkt import HaimKKT
from attacks.kkt.subspace import row_space
from attacks.warm_start import OF_KIND, WarmStart, kind_of
from bench import seeds
from bench.api import Architecture, Candidates, Setting, Target
from bench.errors import AttackFault
from bench.tracks.reconstruction.targets import obtain
from bench.tracks.reconstruction.work import check_answer, narrow, pack, pool, rounded, score, unpack

SETTING = Setting(n_per_class=3, hidden=(30,), epochs=300, lr=0.1, seed=100)


@pytest.fixture(scope="module")
def target() -> Target:
    return obtain([SETTING])[0]


def answer(target: Target, **fields: Any) -> Candidates:
    release = narrow(target.release, WarmStart.needs)
    return check_answer(WarmStart(**fields).reconstruct(release, seeds.generator("test", "warm")), release)


def test_without_a_step_the_answers_are_the_images_that_it_began_as(target: Target) -> None:
    found = answer(target, steps=0)
    assert found.starts is not None
    assert torch.allclose(found.images, found.starts, atol=1e-5)
    row, _ = score(found, target.secret, bootstrap_seed=0, thumbnails=False)
    assert row["start_recall"] == 1


def test_starts_are_public_images_each_of_the_class_that_it_stands_for(target: Target) -> None:
    release = narrow(target.release, WarmStart.needs)
    labels = torch.arange(12) // 6
    starts = WarmStart().starts(release, labels, seeds.generator("test"))
    public = {image.numpy().tobytes() for image in release.public_images}
    assert {image.numpy().tobytes() for image in starts} <= public
    assert not {image.numpy().tobytes() for image in starts} & {image.numpy().tobytes() for image in target.secret.members}
    assert torch.equal(release.forward(release.weights, starts - release.mean_image)[:, 0] > 0, labels == 1)
    few = dataclasses.replace(release, public_images=release.public_images[:1])
    assert torch.equal(WarmStart().starts(few, labels, seeds.generator("test")), release.public_images[:1].expand(12, -1, -1, -1))


def test_what_lies_outside_the_row_space_stays_and_the_rest_moves(target: Target) -> None:
    found = answer(target, steps=200, subspace=4)
    assert found.starts is not None
    basis = row_space(target.release.weights["layers.0.weight"], 6, 4)
    assert basis is not None
    inside_range = ((found.images > 0) & (found.images < 1)).flatten(1).all(1)  # the others were clipped
    moved = (found.images - found.starts).flatten(1)[inside_range]
    assert len(moved)
    assert moved.norm() > 0.1
    assert (moved - moved @ basis @ basis.mT).norm() < 1e-4 * moved.norm().clamp(min=1)


def test_the_same_run_begun_at_noise_is_the_papers(target: Target) -> None:
    """The hook draws last, so the multipliers begin alike; with starts at the mean image the search is that of ``haim_kkt`` from σ = 0."""

    @dataclasses.dataclass(frozen=True)
    class AtTheMean(HaimKKT):
        def starts(self, release: Any, labels: Any, generator: Any) -> Any:
            return release.mean_image.expand(len(labels), -1, -1, -1)

    release = narrow(target.release, HaimKKT.needs)
    here = AtTheMean(steps=20).reconstruct(release, seeds.generator("test", "mean"))
    there = HaimKKT(steps=20, sigma=0.0).reconstruct(release, seeds.generator("test", "mean"))
    assert torch.allclose(here.images, there.images, atol=1e-5)


def test_the_equations_are_those_that_fit_the_network() -> None:
    net = Architecture("mlp", (1, 8, 8), (4,), 1, "relu", "first", "bce")
    replace = dataclasses.replace
    assert kind_of(net) == "binary"
    assert kind_of(replace(net, loss="mse")) == kind_of(replace(net, activation="tanh")) == "regression"
    assert kind_of(replace(net, outputs=3, loss="ce")) == "multiclass"
    assert {kind: cls.kind for kind, cls in OF_KIND.items()} == {kind: kind for kind in OF_KIND}
    assert WarmStart().unsupported(net) == ""
    assert "cross-entropy" in WarmStart().unsupported(replace(net, outputs=3, loss="mse"))
    assert "homogeneous" in WarmStart().unsupported(replace(net, outputs=3, loss="ce", activation="tanh"))


# --- starts in an answer ----------------------------------------------------------------------------------------------------------------


def images(n: int, seed: int) -> torch.Tensor:
    return torch.rand(n, 1, 24, 24, generator=torch.Generator().manual_seed(seed))


def test_starts_are_kept_rounded_and_pooled_with_their_images() -> None:
    a = Candidates(images(2, 1), torch.tensor([0.9, 0.1]), starts=images(2, 2))
    b = Candidates(images(1, 3), torch.tensor([0.5]), starts=images(1, 4))
    pooled = pool([a, b])
    assert a.starts is not None
    assert b.starts is not None
    assert pooled.starts is not None
    assert torch.equal(pooled.starts, torch.cat([a.starts[:1], b.starts, a.starts[1:]]))
    assert pool([a, b._replace(starts=None)]).starts is None
    turns = pool([one._replace(confidence=None) for one in (a, b)])
    assert turns.starts is not None
    assert torch.equal(turns.starts, pooled.starts)
    kept = rounded(pooled)
    back = unpack(*pack(kept))
    assert kept.starts is not None
    assert back.starts is not None
    assert torch.equal(back.starts, kept.starts)
    assert unpack(*pack(rounded(a._replace(starts=None)))).starts is None


def test_starts_that_do_not_fit_are_refused(target: Target) -> None:
    release = narrow(target.release, WarmStart.needs)
    shape = release.architecture.input_shape
    for starts in (torch.zeros(3, *shape), torch.full((2, *shape), torch.nan), "noise"):
        with pytest.raises(AttackFault, match="starts do not fit"):
            check_answer(Candidates(torch.zeros(2, *shape), starts=starts), release)  # type: ignore[arg-type]


def test_the_share_of_starts_that_come_back_by_hand(target: Target) -> None:
    came = target.release.public_images[:4].float()
    row, _ = score(Candidates(came, starts=torch.cat([came[:1], torch.zeros_like(came[1:])])), target.secret, bootstrap_seed=0)
    assert row["start_recall"] == 0.25
    assert "start_recall" not in score(Candidates(came), target.secret, bootstrap_seed=0)[0]
