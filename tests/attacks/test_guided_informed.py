"""Informed adversaries that read some of the weights: which they keep, that keeping all is the base attack, and the black box of LIME."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from attacks.informed_adversary import InformedAdversary
from attacks.mnemonist_informed import MnemonistInformed
from attacks.random_mask import RandomMask
from attacks.reconstructor import study
from attacks.reconstructor.kernel import fit_kernel, squared_distances
from attacks.redundancy.refit import refit_error
from attacks.redundancy.units import groups
from bench import seeds
from bench.api import Setting
from bench.tracks.informed import work as informed

SETTING = Setting(
    dataset="photo_tiles", n_per_class=6, hidden=(8,), bias="all", init_scale=None, lr=0.3, epochs=60, weight_decay=0.001, dtype="float32"
)
SHADOWS = 120
OF_UNITS, OF_COORDINATES = ("lime", "inactive"), ("constant", "unmoved")


@pytest.fixture(scope="module")
def target():
    """A relu target with eight hidden units."""
    return informed.obtain([SETTING], None)[0]


@pytest.fixture(scope="module")
def release(target):
    return informed.narrow(target.release, MnemonistInformed.needs)


@pytest.fixture(scope="module")
def shadows(release):
    weights = {}

    def train(images, labels):
        weights.update(release.train(images, labels))
        return weights

    return study(dataclasses.replace(release, train=train), SHADOWS), weights


def with_dead_units(release, shadows, dead):
    """The same, some units' biases pushed far below the kink in every network, and their weights back at what decay left of the start."""
    of, weights = shadows
    left = (1 - SETTING.lr * SETTING.weight_decay) ** SETTING.epochs
    changed = {name: w.clone() for name, w in weights.items()}
    start = {name: w.clone() for name, w in release.initial_weights.items()}
    start["layers.0.bias"][dead] = -100.0
    changed["layers.0.weight"][:, dead] = left * start["layers.0.weight"][dead]
    changed["layers.0.bias"][:, dead] = -100.0 * left
    changed["layers.1.weight"][:, :, dead] = left * start["layers.1.weight"][:, dead]
    rows = torch.cat([w.flatten(1) for w in changed.values()], 1)
    varies = rows.std(0) > 1e-6 * rows.mean(0).abs().clamp_min(1e-6)
    scaled = torch.where(varies, (rows - rows.mean(0)) / rows.std(0).clamp_min(1e-30), 0.0)
    return dataclasses.replace(release, initial_weights=start), dataclasses.replace(of, shadows=scaled, varies=varies), changed


@pytest.mark.parametrize("detector", [*OF_UNITS, *OF_COORDINATES])
def test_units_that_are_dead_and_untouched_in_every_shadow_are_left_out_first(release, shadows, detector):
    dead = [2, 5]
    changed, of, weights = with_dead_units(release, shadows, dead)
    attack = MnemonistInformed(detector=detector, keep=0.0, shadows=SHADOWS)
    kept = attack.chosen(changed, of, weights, seeds.generator("chosen"))
    if detector == "lime":  # it may find others that do not help
        assert not kept["layers.0.bias"][dead].any()
    else:
        assert (~kept["layers.0.bias"]).nonzero().flatten().tolist() == dead
    assert not kept["layers.0.weight"][dead].any()
    assert not kept["layers.1.weight"][:, dead].any()
    assert kept["layers.1.bias"].all()
    if detector == "inactive":
        kept = dataclasses.replace(attack, keep=0.75).chosen(changed, of, weights, seeds.generator("chosen"))
        assert (~kept["layers.0.bias"]).nonzero().flatten().tolist() == dead


@pytest.mark.parametrize("ablate", ["redundant", "informative"])
@pytest.mark.parametrize("keep", [0.25, 0.5, 0.9])
@pytest.mark.parametrize("detector", [*OF_UNITS, *OF_COORDINATES])
def test_a_mask_has_the_size_of_the_random_one_beside_it(release, shadows, detector, keep, ablate):
    of, weights = shadows
    attack = MnemonistInformed(detector=detector, keep=keep, ablate=ablate)
    guided = attack.chosen(release, of, weights, seeds.generator(0))
    random = RandomMask(level="unit" if detector in OF_UNITS else "coordinate", keep=keep).chosen(release, of, weights, seeds.generator(0))
    assert {name: m.shape for name, m in guided.items()} == {name: w.shape[1:] for name, w in weights.items()}
    assert sum(int(m.sum()) for m in guided.values()) == sum(int(m.sum()) for m in random.values())


@pytest.mark.parametrize("detector", [*OF_UNITS, *OF_COORDINATES])
def test_the_two_ends_of_the_ranking_are_the_opposite_halves(release, shadows, detector):
    of, weights = shadows
    ends = [
        MnemonistInformed(detector=detector, ablate=side, keep=0.5).chosen(release, of, weights, seeds.generator(0))
        for side in ("redundant", "informative")
    ]
    both, neither = (sum(int(f(ends[0][n], ends[1][n]).sum()) for n in weights) for f in (torch.logical_and, lambda a, b: ~(a | b)))
    total = sum(w[0].numel() for w in weights.values())
    if detector in OF_UNITS:  # but for the output bias, which is always kept
        assert (both, neither) == (1, 0)
    else:
        assert both + neither <= 0.02 * total  # equals are taken in their order from both ends


def test_keeping_everything_is_the_informed_adversary(release):
    plain = InformedAdversary(shadows=SHADOWS).reconstruct(release, seeds.generator(0))
    for attack in (MnemonistInformed(keep=1.0, shadows=SHADOWS), RandomMask(keep=1.0, shadows=SHADOWS, level="coordinate")):
        guided = attack.reconstruct(release, seeds.generator(0))
        torch.testing.assert_close(guided.images, plain.images)
        assert guided.loss == pytest.approx(plain.loss)


def nothing_kept(name, make):
    """In place of a release's ``keep``: everything is made again."""
    return make()


def planted(target, release, telling):
    """The release of a recipe of our own: the image moves the rows of some units, and every other weight barely, and senselessly."""
    start = release.initial_weights
    g = seeds.generator("planted")
    pixels = start["layers.0.weight"].shape[1]
    telling = torch.tensor(telling)

    def train(images, labels):
        flat = (images - release.mean_image).flatten(1)
        weights = {}
        for name, w in start.items():
            mix = torch.randn(pixels, w.numel(), generator=g.manual_seed(len(name))) / pixels**0.5
            weights[name] = w + 1e-3 * torch.sin(1e5 * flat @ mix).view(len(images), *w.shape)
        sums = torch.randn(8, pixels, pixels // 8, generator=g.manual_seed(1))
        for unit in telling.tolist():
            weights["layers.0.weight"][:, unit, : pixels // 8] += flat @ sums[unit] / pixels**0.5
        return weights

    weights = train(target.secret.members, target.secret.member_labels)
    return dataclasses.replace(release, train=train, weights=weights, keep=nothing_kept)


def test_what_is_informative_is_found_and_hurts_to_lose(target, release):
    """Rows of two units hold the image, all else is noise: guided beats the base attack, and the other end of the ranking is blind."""
    own = planted(target, release, [1, 6])
    truth = target.secret.members

    def error(attack):
        return float((attack.reconstruct(own, seeds.generator(0)).images - truth).square().mean())

    share = 2 * 384 / sum(w.numel() for w in own.initial_weights.values())
    base = error(InformedAdversary(shadows=SHADOWS))
    blind = float((truth - own.shadow_images.mean(0)).square().mean())
    for detector in OF_COORDINATES:
        kept = error(MnemonistInformed(detector=detector, keep=share, shadows=SHADOWS))
        lost = error(MnemonistInformed(detector=detector, keep=1 - share, ablate="informative", shadows=SHADOWS))
        assert kept < 0.9 * base < 0.9 * blind
        assert lost > 0.98 * blind


def test_the_network_reconstructor_is_kept_on_disk_by_mask(tmp_path, target):
    kept = {}

    def keep(name, make):
        return kept.setdefault(name, make())

    release = dataclasses.replace(informed.narrow(target.release, MnemonistInformed.needs), keep=keep)
    answers = [
        MnemonistInformed(detector="unmoved", reconstructor="network", epochs=1, keep=share, shadows=40).reconstruct(
            release, seeds.generator(0)
        )
        for share in (0.5, 0.5, 0.2)
    ]
    assert len(kept) == 2
    assert torch.equal(answers[0].images, answers[1].images)
    assert not torch.equal(answers[0].images, answers[2].images)


def test_lime_is_asked_once_for_all_masks_of_a_target(release, shadows, monkeypatch):
    of, weights = shadows
    kept, made = {}, []

    def keep(name, make):
        if name not in kept:
            made.append(name)
            kept[name] = make()
        return kept[name]

    own = dataclasses.replace(release, keep=keep)
    masks = [
        MnemonistInformed(keep=share, ablate=side).chosen(own, of, weights, seeds.generator(share, side))["layers.0.bias"]
        for share, side in ((0.25, "redundant"), (0.75, "redundant"), (0.25, "informative"), (0.0, "redundant"))
    ]
    assert len(made) == 1
    assert bool((masks[0] <= masks[1]).all())  # nested
    assert not bool((masks[2] & masks[0]).any())
    fresh = MnemonistInformed(keep=0.25).chosen(dataclasses.replace(release, keep=nothing_kept), of, weights, seeds.generator(9))
    assert torch.equal(fresh["layers.0.bias"], masks[0])


def test_the_black_box_is_the_leave_one_out_error_of_a_reconstructor_on_the_kept_groups(shadows):
    of, weights = shadows
    rows, images = of.shadows[:30], of.images[:30]
    number = torch.cat([g.flatten() for g in groups({n: w[0] for n, w in weights.items()}, (8,)).values()])
    error = refit_error(rows, images, number)
    best = fit_kernel(rows, images)
    width = best.sharpness * squared_distances(rows, rows).median()
    truth = (images - images.mean(0)).flatten(1).double()
    for mask in (torch.ones(9, dtype=torch.bool), torch.arange(9) % 3 > 0, torch.arange(9) == 4):
        squares = squared_distances(rows[:, mask[number]], rows[:, mask[number]])
        kernel = torch.exp(-width / squares.median() * squares).double()
        off = []
        for i in range(30):
            others = torch.arange(30) != i
            inside = kernel[others][:, others] + best.ridge * torch.eye(29, dtype=torch.float64)
            off.append(kernel[i, others] @ torch.linalg.solve(inside, truth[others]) - truth[i])
        assert error(mask) == pytest.approx(float(torch.stack(off).square().mean()), rel=1e-3)
    assert error(torch.zeros(9, dtype=torch.bool)) == pytest.approx(float(truth.square().mean()), rel=1e-6)
    with pytest.raises(ValueError, match="ten shadows"):
        refit_error(rows[:9], images[:9], number)


@pytest.mark.parametrize(
    ("cls", "change", "words"),
    [
        (MnemonistInformed, {"detector": "norm"}, "lime, constant"),
        (MnemonistInformed, {"ablate": "both"}, "redundant or informative"),
        (MnemonistInformed, {"keep": 1.1}, "share"),
        (MnemonistInformed, {"shadows": 3}, "at least 20"),
        (RandomMask, {"keep": 0.0}, "share"),
        (RandomMask, {"level": "layer"}, "unit or coordinate"),
    ],
)
def test_hyperparameters_that_make_no_sense_are_refused(cls, change, words):
    with pytest.raises(ValueError, match=words):
        cls(**change)
