"""The missing image as a solution: the direction outside is exact, the label is read off, images come back to rounding, or not at all."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from attacks.informed_adversary import InformedAdversary
from attacks.informed_inverse import InformedInverse
from attacks.inverse import Equations, Subspace, guesses, read_labels
from attacks.inverse.newton import SOLVED, misfit
from attacks.inverse.robust import robust_step
from attacks.reconstructor import study
from attacks.reconstructor.study import shadow_set
from bench.api import Setting
from bench.metrics.ssim import ssim_pairs
from bench.tracks.informed import work as informed

FEW = 4  # networks that a test attacks


def target(activation: str, **fields):
    setting = Setting(
        **{
            "dataset": "photo_tiles", "n_per_class": 10, "hidden": (8,), "bias": "all", "init_scale": None, "optimizer": "heavy_ball",
            "lr": 0.05, "epochs": 40, "seed": 100, "activation": activation, **fields,
        }
    )  # fmt: skip
    return informed.obtain([setting], None)[0]


@pytest.fixture(scope="module")
def relu():
    return target("relu")


def few(release, step: int = 20):
    return dataclasses.replace(release, weights={name: w[::step][:FEW] for name, w in release.weights.items()})


def attacked(found, activation: str | None = None):
    answer = InformedInverse(shadows=200).reconstruct(few(found.release), torch.Generator().manual_seed(0))
    return answer, ssim_pairs(answer.images, found.secret.members[::20][:FEW])


@pytest.mark.parametrize("activation", ["gelu", "tanh"])
def test_smooth_networks_give_the_image_to_rounding(activation):
    answer, ssim = attacked(target(activation))
    assert float(ssim.min()) > 0.999
    assert answer.loss == 0
    assert float(answer.confidence.min()) > 0


def test_relu_networks_give_it_too_and_the_attack_knows_where_it_did_not(relu):
    answer, ssim = attacked(relu)
    solved = answer.confidence > 0
    assert int(solved.sum()) >= FEW // 2
    assert float(ssim[solved].min()) > 0.99
    assert float(ssim.min()) > 0.9  # those whose equations do not hold are near all the same
    assert answer.loss == pytest.approx(1 - float(solved.float().mean()))


def test_weight_decay_is_part_of_the_equations():
    _, ssim = attacked(target("tanh", weight_decay=0.01, bias="first"))
    assert float(ssim.min()) > 0.99


def test_what_does_not_converge_leaves_the_kernels_answer(relu):
    weights = {
        name: w + 0.05 * torch.randn(w.shape, generator=torch.Generator().manual_seed(1)) for name, w in relu.release.weights.items()
    }
    noisy = dataclasses.replace(few(dataclasses.replace(relu.release, weights=weights)))
    answer = InformedInverse(shadows=200, tries=1, steps=2).reconstruct(noisy, torch.Generator().manual_seed(0))
    kernel = InformedAdversary(shadows=200).reconstruct(noisy, torch.Generator().manual_seed(0))
    torch.testing.assert_close(answer.images, kernel.images, atol=1e-6, rtol=0)  # two products of the same numbers
    assert answer.loss == 1
    assert float(answer.confidence.max()) < 0


def test_the_direction_outside_the_known_images_is_exact(relu):
    space = Subspace.of(relu.release)
    assert torch.allclose(space.basis.mT @ space.basis, torch.eye(space.basis.shape[1], dtype=torch.float64), atol=1e-9)
    outside = space.outside(relu.secret.members.double().flatten(1) - space.mean)
    for i in (0, 33, 99):
        cosine = outside[i] @ Equations(relu.release, space, i).unit / outside[i].norm()
        assert abs(float(cosine)) > 0.9999


def test_the_truth_solves_the_equations_and_others_do_not(relu):
    space = Subspace.of(relu.release)
    equations = Equations(relu.release, space, 7)
    own = space.coordinates(relu.secret.members[6:9], equations.unit)
    fits = misfit(equations, equations.rows(own, relu.secret.member_labels[7].expand(3)))
    assert float(fits[1]) < 0.1 * SOLVED
    assert float(fits[[0, 2]].min()) > 10 * SOLVED
    assert torch.allclose(space.images(own[1:2], equations.unit)[0], relu.secret.members[7], atol=1e-5)


@pytest.mark.parametrize(("activation", "fields"), [("gelu", {}), ("relu", {"bias": "none"}), ("tanh", {"weight_decay": 0.01})])
def test_the_derivatives_of_a_row_are_its_differences(activation, fields):
    found = target(activation, **fields)
    space = Subspace.of(found.release)
    equations = Equations(found.release, space, 7)
    own, label = space.coordinates(found.secret.members[8:9], equations.unit)[0], found.secret.member_labels[7]
    row, jacobian = equations.tangent(own, label)
    steps = 1e-7 * torch.eye(len(own)).double()
    there, here = (equations.rows(own + sign * steps, label.expand(len(own))) for sign in (1, -1))
    torch.testing.assert_close(row, equations.rows(own[None], label[None])[0], atol=1e-9, rtol=1e-9)
    assert float((jacobian - ((there - here) / 2e-7).mT).norm()) < 1e-4 * float(jacobian.norm())


def test_labels_are_read_off(relu):
    of = study(relu.release, 300)
    labels = shadow_set(relu.release, mirror=False)[1][: len(of.images)]
    assert float((read_labels(of, labels)[:, 0] == relu.secret.member_labels).float().mean()) > 0.9


def test_a_wrong_label_is_given_up_for_the_next():
    found = target("gelu")
    space = Subspace.of(found.release)
    equations, truth, right = Equations(found.release, space, 7), found.secret.members[7], found.secret.member_labels[7]
    start = found.release.shadow_images[found.release.shadow_labels == right][0]
    ways = (guesses(equations, start, label, start[None]) for label in (1 - right, right))
    image, confidence = InformedInverse()._network(equations, ways, torch.Generator().manual_seed(0))
    assert float(ssim_pairs(image[None], truth[None])) > 0.999
    assert confidence > 0


def test_a_robust_step_is_right_though_a_quarter_of_the_equations_are_broken():
    g = torch.Generator().manual_seed(0)
    jacobian, truth = torch.randn(200, 10, generator=g).double(), torch.randn(10, generator=g).double()
    residual = jacobian @ truth + 1e-3 * torch.randn(200, generator=g).double()
    residual[:50] += 5 * torch.randn(50, generator=g).double()
    step, answer = robust_step(jacobian, residual, 1.0)
    assert float((step - truth).norm()) < 0.01
    torch.testing.assert_close(answer(torch.stack([residual, 2 * residual])), torch.stack([step, 2 * step]), atol=1e-3, rtol=1e-3)
    assert float((torch.linalg.lstsq(jacobian, residual).solution - truth).norm()) > 0.1
