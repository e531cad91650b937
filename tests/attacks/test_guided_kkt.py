"""KKT attacks that listen to some hidden units: which they choose, that keeping all is the base attack, and what they refuse."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from attacks.haim_kkt import HaimKKT
from attacks.mnemonist_kkt import MnemonistKKT, norms
from attacks.multiclass_kkt import MulticlassKKT
from attacks.random_mask_kkt import RandomMaskKKT
from attacks.redundancy.guided_kkt import kind_for
from attacks.regression_kkt import RegressionKKT
from bench import seeds
from bench.api import Architecture, Setting
from bench.targets.models import bound_forward
from bench.tracks.reconstruction import Release
from bench.tracks.reconstruction.targets import obtain

COMMON = {"n_per_class": 3, "hidden": (40,), "epochs": 800, "weight_decay": 0.01, "lr": 0.1, "dtype": "float64"}


@pytest.fixture(scope="module")
def targets():
    """A two-class relu target, a tanh one, one of many classes, and a deep one."""
    changes = [{}, {"activation": "tanh"}, {"dataset": "photo_tiles", "classes": 3, "loss": "ce"}, {"hidden": (20, 12)}]
    return [obtain([Setting(**{**COMMON, **change})])[0] for change in changes]


BASES = [HaimKKT, RegressionKKT, MulticlassKKT, HaimKKT]


@pytest.mark.parametrize("cls", [MnemonistKKT, RandomMaskKKT])
def test_keeping_every_unit_is_the_base_attack(targets, cls):
    for target, base in zip(targets, BASES, strict=True):
        guided = cls(steps=40, keep=1.0, lr=0.05).reconstruct(target.release, seeds.generator("run"))
        plain = base(steps=40, lr=0.05).reconstruct(target.release, seeds.generator("run"))
        assert torch.equal(guided.images, plain.images)
        assert guided.loss == plain.loss


@pytest.mark.parametrize("weighting", ["mask", "soft"])
@pytest.mark.parametrize("detector", ["norm", "inactive"])
def test_the_mask_holds_the_kept_share_of_every_layer(targets, detector, weighting):
    for target in targets:
        attack = MnemonistKKT(steps=20, first_steps=10, keep=0.3, detector=detector, weighting=weighting)
        mask = attack.informative(target.release, seeds.generator("mask"))
        widths = target.release.architecture.hidden
        assert sorted(mask) == list(range(len(widths) + 1))
        assert mask[0][1] is None
        assert mask[len(widths)][0] is None
        for layer, width in enumerate(widths):
            rows, columns = mask[layer][0], mask[layer + 1][1]
            assert torch.equal(rows, columns)
            full = int((rows == 1).sum())
            assert full == round(0.3 * width)
            assert rows.max() == 1
            rest = rows[rows < 1]
            assert bool((rest == 0).all()) if weighting == "mask" else bool((rest > 0).any())


def test_norm_finds_the_units_that_were_planted():
    """Units that training never used: a small row and a small outgoing weight among large ones."""
    g = seeds.generator("planted")
    used = torch.zeros(20, dtype=torch.bool)
    used[[1, 5, 6, 13]] = True
    size = torch.where(used, 1.0, 1e-3)
    weights = {
        "layers.0.weight": torch.randn(20, 16, generator=g) * size[:, None],
        "layers.0.bias": torch.randn(20, generator=g) * size,
        "layers.1.weight": torch.randn(1, 20, generator=g).abs() + 0.5,
    }
    architecture = Architecture("mlp", (1, 4, 4), (20,), 1, "relu", "first", "bce")
    mean = torch.full((1, 4, 4), 0.5)
    release = Release(architecture=architecture, weights=weights, forward=bound_forward(architecture), n_train=4, mean_image=mean)
    mask = MnemonistKKT(keep=0.2).informative(release, seeds.generator("mask"))
    assert torch.equal(mask[0][0] == 1, used)
    torch.testing.assert_close(norms(release)[0].max(), torch.tensor(1.0))

    def by_hand(j):
        row = torch.cat([weights["layers.0.weight"][j], weights["layers.0.bias"][j : j + 1]])
        return row.norm() * weights["layers.1.weight"][0, j].abs()

    torch.testing.assert_close(norms(release)[0][5] / norms(release)[0][13], by_hand(5) / by_hand(13))


def test_inactive_leaves_out_the_units_that_fire_for_no_found_image(targets):
    """Units pushed far below their kink fire for no image near the mean; the attack's own first run shows that."""
    release = targets[0].release
    weights = {name: w.clone() for name, w in release.weights.items()}
    weights["layers.0.bias"][:30] = -100.0
    mask = MnemonistKKT(steps=30, first_steps=30, detector="inactive", keep=0.25).informative(
        replace(release, weights=weights), seeds.generator("mask")
    )
    assert mask[0][0][:30].eq(0).all()
    assert mask[0][0][30:].eq(1).all()


def test_soft_weights_are_informativeness_over_that_of_the_last_unit_kept(targets):
    release = targets[0].release
    soft = MnemonistKKT(weighting="soft", keep=0.5).informative(release, seeds.generator(0))[0][0]
    values = norms(release)[0]
    least = values.sort(descending=True).values[19]
    torch.testing.assert_close(soft, (values / least).clamp(max=1))


def test_runs_of_several_kinds_and_detectors_in_one_batch(targets):
    attacks = [
        MnemonistKKT(steps=20, keep=0.5, dtype="float64", lr=0.05),
        MnemonistKKT(steps=20, keep=0.5, dtype="float64", lr=0.05, detector="inactive", first_steps=5),
        MnemonistKKT(steps=20, keep=0.7, dtype="float64", lr=0.05, weighting="soft"),
        MnemonistKKT(steps=20, keep=1.0, dtype="float64", lr=0.05),
    ]
    runs = [(attack, target) for attack in attacks for target in targets]
    together = MnemonistKKT.reconstruct_batch(
        [a for a, _ in runs], [t.release for _, t in runs], [seeds.generator(i) for i in range(len(runs))]
    )
    for i, (attack, target) in enumerate(runs):
        alone = attack.reconstruct(target.release, seeds.generator(i))
        assert together[i].loss == pytest.approx(alone.loss, rel=1e-8)
    assert len({round(answer.loss, 9) for answer in together}) == len(runs)


def test_a_random_mask_is_drawn_from_the_generator_alone(targets):
    release = targets[0].release
    masks = [RandomMaskKKT(keep=0.25).informative(release, seeds.generator(i))[0][0] for i in (1, 1, 2)]
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])
    assert int(masks[0].sum()) == 10


def test_the_base_follows_from_the_architecture():
    net = Architecture("mlp", (1, 4, 4), (8,), 1, "relu", "first", "bce")
    assert kind_for(net) == "binary"
    assert kind_for(replace(net, outputs=3, loss="ce")) == "multiclass"
    for change in ({"activation": "tanh"}, {"bias": "all"}, {"loss": "mse"}):
        assert kind_for(replace(net, **change)) == "regression"
        assert MnemonistKKT().unsupported(replace(net, **change)) == ""
    assert "3 outputs" in MnemonistKKT().unsupported(replace(net, outputs=3, loss="ce", activation="tanh"))
    assert "cnn" in MnemonistKKT().unsupported(replace(net, model="cnn"))


@pytest.mark.parametrize(
    ("change", "words"),
    [({"keep": 0.0}, "keep"), ({"keep": 1.2}, "keep"), ({"weighting": "hard"}, "mask or soft"), ({"detector": "lime"}, "norm or inactive")],
)
def test_hyperparameters_that_make_no_sense_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        MnemonistKKT(**change)
