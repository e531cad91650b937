"""Reconstructors: the closed form is what it says, the order of tensors is settled, and images come back from weights that hold them."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from attacks.informed_adversary import InformedAdversary
from attacks.nearest_shadow import NearestShadow
from attacks.reconstructor import blocks, fit_kernel, rebuild, study
from attacks.reconstructor import kernel as kernel_module
from attacks.reconstructor.kernel import RIDGES, squared_distances
from bench import seeds
from bench.api import Setting
from bench.tracks.informed import work as informed

SMALL = {
    "dataset": "photo_tiles", "n_per_class": 10, "hidden": (8,), "bias": "all", "init_scale": None, "optimizer": "heavy_ball",
    "lr": 0.05, "epochs": 40,
}  # fmt: skip


@pytest.fixture(scope="module")
def target():
    return informed.obtain([Setting(**SMALL)], None)[0]


def linear_problem(s: int = 60, p: int = 12, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    rows = torch.randn(s, p, generator=g)
    images = torch.sigmoid(rows @ torch.randn(p, 9, generator=g) / 3).view(s, 1, 3, 3)
    return rows, images


def test_the_leave_one_out_error_is_that_of_leaving_one_out():
    rows, images = linear_problem(30)
    kernel = fit_kernel(rows, images)
    errors = []
    for i in range(len(rows)):
        kept = torch.arange(len(rows)) != i
        K = torch.exp(-kernel.sharpness * squared_distances(rows[kept], rows[kept])).double()
        K.diagonal().add_(kernel.ridge)
        mean = images.mean(0)  # the closed form leaves out the shadow, not its share in the mean
        alpha = torch.linalg.solve(K, (images[kept] - mean).flatten(1).double())
        guess = torch.exp(-kernel.sharpness * squared_distances(rows[i : i + 1], rows[kept])).double() @ alpha
        errors.append(float(((guess - (images[i] - mean).flatten().double()) ** 2).mean()))
    assert kernel.error == pytest.approx(sum(errors) / len(errors), rel=1e-5)
    assert kernel.ridge in RIDGES


def test_images_come_back_from_rows_that_hold_them():
    rows, images = linear_problem(400)
    kernel = fit_kernel(rows[:350], images[:350])
    error = float(((kernel(rows[350:]) - images[350:]) ** 2).mean())
    assert error < 0.1 * float(((images[:350].mean(0) - images[350:]) ** 2).mean())
    answer = kernel(rows[350:])
    assert float(answer.min()) >= 0
    assert float(answer.max()) <= 1


def test_squared_distances():
    a, b = torch.randn(5, 7), torch.randn(4, 7)
    assert torch.allclose(squared_distances(a, b), torch.cdist(a, b) ** 2, atol=1e-4)
    assert float(squared_distances(a, a).diagonal().abs().max()) < 1e-4


def test_the_scale_is_that_of_the_shadows_alone(target):
    of = study(target.release, 60)
    assert torch.allclose(of.shadows[:, of.varies].mean(0), torch.zeros(int(of.varies.sum())), atol=1e-3)
    assert torch.allclose(of.shadows[:, of.varies].std(0), torch.ones(int(of.varies.sum())), atol=1e-3)
    others = dataclasses.replace(target.release, weights={k: w + 1 for k, w in target.release.weights.items()})
    assert torch.equal(study(others, 60).shadows, of.shadows)


def test_the_order_of_the_tensors_changes_nothing(target):
    turned = dataclasses.replace(target.release, weights=dict(reversed(list(target.release.weights.items()))))
    assert torch.equal(study(turned, 60).attacked, study(target.release, 60).attacked)


def test_every_attack_of_a_release_takes_the_same_shadows(target):
    some, more = study(target.release, 40), study(target.release, 60)
    assert torch.equal(some.images, more.images[:40])
    mirrored = study(target.release, 10**6, mirror=True)
    half = len(mirrored.images) // 2
    assert half == len(target.release.shadow_images)
    assert torch.equal(mirrored.images[:half].flip(-1), mirrored.images[half:])


def test_columns_that_are_not_kept_are_not_read(target):
    of = study(target.release, 60)
    kept = torch.arange(len(of.varies)) % 2 == 0
    images, error = rebuild(of, target.release, "kernel", kept)
    spoiled = dataclasses.replace(of, attacked=torch.where(kept, of.attacked, 99.0), shadows=torch.where(kept, of.shadows, -99.0))
    again, same = rebuild(spoiled, target.release, "kernel", kept)
    assert torch.equal(images, again)
    assert error == same
    nothing, _ = rebuild(of, target.release, "kernel", torch.zeros_like(kept))
    assert torch.allclose(nothing[0], of.images.mean(0))


def test_the_attack_beats_looking_up_and_the_mean(target):
    truth = target.secret.members
    given = informed.narrow(target.release, InformedAdversary.needs)

    def mse(answer):
        return float(((informed.check_answer(answer, given).images.clamp(0, 1) - truth) ** 2).mean())

    attack = InformedAdversary(mirror=True).reconstruct(given, seeds.generator("x"))
    mean = given.shadow_images.mean(0).expand_as(truth)
    assert mse(attack) < 0.8 * mse(mean)
    assert mse(attack) < mse(NearestShadow().reconstruct(given, seeds.generator("x")))
    assert attack.loss == pytest.approx(mse(attack), rel=0.5), "the attacker's own account is of that size"


def test_the_network_is_a_reconstructor_too():
    """Of small grey images: its first layer has a thousand units, each with a weight for every weight of the networks under attack."""
    target = informed.obtain([Setting(**{**SMALL, "dataset": "lfw_faces"})], None)[0]
    given = informed.narrow(target.release, InformedAdversary.needs)
    attack = InformedAdversary(reconstructor="network", shadows=100, epochs=10)
    first, again = (attack.reconstruct(given, seeds.generator("x")) for _ in range(2))
    assert torch.equal(first.images, again.images)
    truth, mean = target.secret.members, given.shadow_images.mean(0)
    assert float(((first.images - truth) ** 2).mean()) < 0.8 * float(((mean - truth) ** 2).mean())


@pytest.mark.parametrize("wrong", [{"shadows": 3}, {"epochs": 0}])
def test_hyperparameters_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="shadows is at least 20"):
        InformedAdversary(**wrong)


@pytest.mark.parametrize("keep", ["device", "cpu"])
def test_under_a_cap_on_memory_the_fit_is_the_same_in_more_blocks(monkeypatch, keep):
    g = torch.Generator().manual_seed(3)
    rows, images = torch.randn(230, 12, generator=g), torch.rand(230, 1, 4, 5, generator=g)
    whole = fit_kernel(rows, images, memory=2**40)
    monkeypatch.setattr(blocks, "LEAST", 1 if keep == "device" else 10**6)
    stored, widest, counts = 4 * 230 * 231 if keep == "device" else 0, [], []
    for height in (100, 40, 7):
        made = []
        monkeypatch.setattr(
            kernel_module, "squared_distances", lambda a, b, made=made: made.append(len(a) * len(b)) or squared_distances(a, b)
        )
        capped = fit_kernel(rows, images, memory=24 * 230 * 20 + stored + blocks.PANEL * 230 * height)
        assert capped.error == pytest.approx(whole.error, rel=1e-6)
        assert capped.ridge == whole.ridge
        torch.testing.assert_close(capped.coefficients, whole.coefficients, rtol=1e-5, atol=1e-6)  # distances are float32
        counts.append(len(made) - 1)  # the first is of those that width and ridge are chosen on
        widest.append(max(made[1:]))
    assert counts == [3, 6, 33]
    assert all(most <= height * 230 for most, height in zip(widest, (100, 40, 7), strict=True))


def test_a_system_is_cut_by_what_fits():
    GiB = 2**30
    assert blocks.plan(44_000, 784, 60 * GiB).kept == "device"
    assert blocks.plan(44_000, 784, 10 * GiB).kept == "device"
    large, small = blocks.plan(44_000, 784, 6 * GiB), blocks.plan(44_000, 784, 2 * GiB)
    assert (large.kept, small.kept) == ("cpu", "cpu")
    assert 0 < small.rows < large.rows
    for memory in (2 * GiB, 6 * GiB, 10 * GiB, 60 * GiB):
        cut = blocks.plan(44_000, 784, memory)
        kept = 4 * 44_000**2 if cut.kept == "device" else 0
        assert kept + blocks.PANEL * cut.rows * 44_000 <= memory
    assert blocks.plan(10, 3, 0) == blocks.Plan(1, "cpu")


def test_a_system_by_panels_is_solved_also_where_memory_runs_out(monkeypatch):
    g = torch.Generator().manual_seed(5)
    a = torch.randn(50, 60, generator=g, dtype=torch.float64)
    K, right = a @ a.mT, torch.randn(50, 3, generator=g, dtype=torch.float64)
    tall = []

    def block(rows, columns):
        tall.append(rows.stop - rows.start)
        if tall[-1] > 8:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return K[rows, columns].clone()

    torch.testing.assert_close(blocks.solve(block, right, 2**40), torch.linalg.solve(K, right), rtol=1e-8, atol=1e-10)
    assert tall[:4] == [50, 25, 13, 7]
