"""The detectors of redundancy, on networks built with units that are known to be dead, untouched or constant."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from attacks.redundancy.constant import constant
from attacks.redundancy.evidence import Evidence
from attacks.redundancy.inactive import inactive
from attacks.redundancy.lime import lime, of_groups
from attacks.redundancy.units import groups, hidden, mask_of_units, most_informative, of_parameters
from attacks.redundancy.unmoved import common_factor, unmoved
from attacks.redundancy.verdict import Redundancy
from bench import seeds
from bench.api import Architecture
from bench.targets.models import forward

ACTIVATIONS = ["relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "tanh", "sigmoid"]
SHAPE, N = (1, 4, 5), 12


def net(activation="relu", hidden=(9,), outputs=1):
    return Architecture("mlp", SHAPE, hidden, outputs, activation, "all", "bce")


def draw(architecture, *stream, b=3):
    """b random networks, float64."""
    g = seeds.generator("redundancy", *map(str, stream))
    widths = [20, *architecture.hidden, architecture.outputs]
    weights = {}
    for i in range(len(widths) - 1):
        weights[f"layers.{i}.weight"] = torch.randn(b, widths[i + 1], widths[i], generator=g, dtype=torch.float64)
        weights[f"layers.{i}.bias"] = torch.randn(b, widths[i + 1], generator=g, dtype=torch.float64)
    return weights


def images(*stream, n=N):
    return torch.randn(n, *SHAPE, generator=seeds.generator("redundancy images", *map(str, stream)), dtype=torch.float64)


def parameters_of(architecture, dead):
    """True for every parameter that feeds or reads a dead unit, built by hand: dead is {layer: [units]}."""
    widths = [20, *architecture.hidden, architecture.outputs]
    result = {}
    for i in range(len(widths) - 1):
        W, b = torch.zeros(widths[i + 1], widths[i], dtype=torch.bool), torch.zeros(widths[i + 1], dtype=torch.bool)
        W[dead.get(i, [])] = True
        b[dead.get(i, [])] = True
        W[:, dead.get(i - 1, [])] = True
        result |= {f"layers.{i}.weight": W, f"layers.{i}.bias": b}
    return result


def same(got, wanted):
    assert list(got) == list(wanted)
    for name in wanted:
        assert torch.equal(got[name], wanted[name]), name


# ------------------------------------------------------------------------------------------------------------------- inactive


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("widths", "dead"), [((9,), {0: [0, 4, 8]}), ((9, 7), {0: [2], 1: [0, 5]}), ((9,), {})])
def test_inactive_finds_exactly_the_units_that_never_vary(activation, widths, dead):
    architecture = net(activation, widths)
    weights = draw(architecture, activation, widths)
    for layer, units in dead.items():
        weights[f"layers.{layer}.weight"][:, units] = 0  # a bias alone: the same activation on every image
    found = inactive(Evidence(architecture, weights, known=images()))
    same(found.redundant, parameters_of(architecture, dead))
    for layer, values in enumerate(found.units):
        assert (values == 0).nonzero().flatten().tolist() == dead.get(layer, [])


def test_a_relu_that_never_fires_is_inactive_and_one_that_fires_once_is_not():
    architecture = net()
    weights, known = draw(architecture, "fires"), images()
    preactivation = known.flatten(1) @ weights["layers.0.weight"].mT  # b × n × u
    weights["layers.0.bias"][:, 3] = -preactivation[:, :, 3].amax(1) - 0.1  # below its kink everywhere
    weights["layers.0.bias"][:, 5] = -preactivation[:, :, 5].sort(1).values[:, -2:].mean(1)  # above it for one image
    found = inactive(Evidence(architecture, weights, known=known))
    same(found.redundant, parameters_of(architecture, {0: [3]}))
    assert found.units[0][3] == 0 < found.units[0][5] < found.units[0][[0, 1, 2, 4, 6, 7, 8]].min()


def test_a_unit_must_be_inactive_in_every_network_and_on_its_own_missing_image():
    architecture = net()
    weights, known = draw(architecture, "stack"), images()
    weights["layers.0.weight"][:, 2] = 0
    weights["layers.0.bias"][:, 2] = -1
    weights["layers.0.weight"][:2, 6] = 0  # alive in the third network
    weights["layers.0.bias"][:2, 6] = -1
    same(inactive(Evidence(architecture, weights, known=known)).redundant, parameters_of(architecture, {0: [2]}))
    missing = images("missing", n=3)
    towards = missing[1].flatten()
    weights["layers.0.weight"][1, 2] = towards  # fires for the second network's own image, and for no known one
    weights["layers.0.bias"][1, 2] = -(known.flatten(1) @ towards).max() - 0.1
    assert towards.square().sum() + weights["layers.0.bias"][1, 2] > 0
    assert inactive(Evidence(architecture, weights, known=known)).redundant["layers.0.bias"].nonzero().flatten().tolist() == [2]
    assert not inactive(Evidence(architecture, weights, known=known, missing=missing)).redundant["layers.0.bias"].any()


def test_inactive_of_a_stack_is_inactive_in_all_its_networks(monkeypatch):
    architecture = net("relu", (9, 7))
    weights, known = draw(architecture, "together", b=5), images(n=4)
    together = inactive(Evidence(architecture, weights, known=known))
    alone = [inactive(Evidence(architecture, {k: w[i : i + 1] for k, w in weights.items()}, known=known)) for i in range(5)]
    same(together.redundant, {k: torch.stack([a.redundant[k] for a in alone]).all(0) for k in weights})
    monkeypatch.setattr("attacks.redundancy.inactive.AT_ONCE", 1)
    chunked = inactive(Evidence(architecture, weights, known=known))
    same(chunked.redundant, together.redundant)
    for a, b in zip(chunked.units, together.units, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_hidden_activations_are_those_of_the_forward_pass(activation):
    architecture = net(activation, (9, 7), 3)
    weights, x = draw(architecture, "hidden", activation), images()
    *_, last = hidden(architecture, weights, x.unsqueeze(0))
    out = last @ weights["layers.2.weight"].mT + weights["layers.2.bias"].unsqueeze(1)
    torch.testing.assert_close(out, forward(architecture, weights, x.unsqueeze(0)), rtol=1e-12, atol=1e-12)


# ------------------------------------------------------------------------------------------------------ unmoved and constant


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("left", [1.0, 0.3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_unmoved_finds_exactly_the_coordinates_that_only_shrank(given, left, dtype):
    architecture = net("relu", (30,))
    start = {name: w[0].to(dtype) for name, w in draw(architecture, "start").items()}
    final = {name: (left * w).expand(2, *w.shape).clone() for name, w in start.items()}
    final["layers.0.weight"][:, 4:] += draw(architecture, "moves", b=2)["layers.0.weight"][:, 4:].to(dtype)
    final["layers.0.bias"][0, 7] += 0.5
    final["layers.1.weight"][1, :, 2] -= 0.5
    final["layers.1.bias"] += 1
    found = unmoved(Evidence(architecture, final, start, left=left if given else None))
    moved = {name: torch.zeros_like(w, dtype=torch.bool) for name, w in start.items()}
    moved["layers.0.weight"][4:] = True
    moved["layers.0.bias"][7] = moved["layers.1.weight"][:, 2] = moved["layers.1.bias"][:] = True
    same(found.redundant, {name: ~m for name, m in moved.items()})
    assert all(bool(((found.informativeness[name] > 0) == moved[name]).all()) for name in moved)


def test_each_layer_may_have_shrunk_by_a_factor_of_its_own():
    architecture = net("relu", (30,))
    start = {name: w[0] for name, w in draw(architecture, "start").items()}
    factor = {"layers.0.weight": 0.5, "layers.0.bias": 0.9, "layers.1.weight": 0.25, "layers.1.bias": 0.7}
    final = {name: (factor[name] * w).unsqueeze(0) for name, w in start.items()}
    final["layers.0.weight"][:, 5] += 1
    found = unmoved(Evidence(architecture, final, start, left=factor))
    assert found.redundant["layers.0.weight"].all(1).nonzero().flatten().tolist() == [i for i in range(30) if i != 5]
    found = unmoved(Evidence(architecture, final, start))  # the last has one coordinate only, which no factor can be read from
    assert found.redundant["layers.0.weight"].all(1).nonzero().flatten().tolist() == [i for i in range(30) if i != 5]
    assert found.redundant["layers.0.bias"].all()
    assert found.redundant["layers.1.weight"].all()


@given(st.floats(0.05, 1.0), st.integers(3, 60), st.integers(0, 5))
def test_the_common_factor_is_found_among_scattered_ratios(left, untouched, seed):
    g = seeds.generator("ratios", seed)
    scattered = torch.randn(200, generator=g, dtype=torch.float64) * 2
    ratios = torch.cat([scattered, torch.full((untouched,), left, dtype=torch.float64)])
    found = common_factor(ratios[torch.randperm(len(ratios), generator=g)], 1e-6)
    assert found == pytest.approx(left, rel=1e-5)


def test_no_factor_where_nothing_agrees():
    scattered = torch.randn(500, generator=seeds.generator("ratios"), dtype=torch.float64)
    assert common_factor(scattered, 1e-6) is None
    assert common_factor(-scattered.abs(), 1e-6) is None


def test_constant_finds_exactly_what_no_shadow_changes():
    architecture = net("tanh", (9,))
    shadows = draw(architecture, "shadows", b=6)
    shadows["layers.0.weight"][:, 3:, :7] = shadows["layers.0.weight"][:1, 3:, :7]
    shadows["layers.0.bias"][:, 1] = 2.0
    shadows["layers.1.bias"] *= 1e-9
    shadows["layers.1.bias"] += 1  # differs by rounding only
    wanted = {name: torch.zeros_like(w[0], dtype=torch.bool) for name, w in shadows.items()}
    wanted["layers.0.weight"][3:, :7] = wanted["layers.0.bias"][1] = wanted["layers.1.bias"][:] = True
    found = constant(Evidence(architecture, shadows))
    same(found.redundant, wanted)
    assert all(bool(((found.informativeness[name] == 0) == wanted[name]).all()) for name in wanted)
    wide = {name: w.clone() for name, w in shadows.items()}
    wide["layers.0.weight"][:, 2] = shadows["layers.0.weight"].mean((0, 1)) + 3 * (wide["layers.0.weight"][:, 2] - 0.5)
    order = constant(Evidence(architecture, wide)).informativeness["layers.0.weight"].mean(1)
    assert order.argmax() == 2


# ------------------------------------------------------------------------------------------------------------------------ lime


@pytest.mark.parametrize("keep", [0.5, 0.3])
def test_lime_recovers_a_planted_linear_function(keep):
    planted = torch.tensor([3.0, 0.0, -1.0, 2.0, 0.5, 0.0, 1.0])
    found = lime(lambda mask: 10.0 - float(planted[mask].sum()), 7, seeds.generator("lime"), masks=60, keep=keep, ridge=1e-9)
    torch.testing.assert_close(found.informativeness, planted, atol=1e-5, rtol=0)
    assert found.intercept == pytest.approx(10.0, abs=1e-5)
    assert found.explained == pytest.approx(1.0, abs=1e-9)
    assert found.redundant().nonzero().flatten().tolist() == [1, 2, 5]


def test_lime_ranks_under_noise_and_curvature():
    planted = torch.linspace(0, 2, 9)
    noise = seeds.generator("lime noise")

    def error(mask):
        return float(torch.exp(-0.3 * planted[mask].sum())) + 0.002 * float(torch.randn((), generator=noise))

    found = lime(error, 9, seeds.generator("lime"), masks=400)
    assert found.informativeness.argsort().tolist() == list(range(9))
    assert found.redundant()[0]
    assert not found.redundant()[3:].any()


def test_lime_of_groups_ranks_parameters_and_repeats_itself():
    architecture = net("relu", (4,))
    like = {name: w[0] for name, w in draw(architecture, "groups").items()}
    numbers = groups(like, architecture.hidden)
    planted = torch.tensor([1.0, 4.0, 0.0, 2.0, 3.0])
    found = [lime(lambda mask: -float(planted[mask].sum()), 5, seeds.generator(1), masks=40) for _ in range(2)]
    assert torch.equal(found[0].informativeness, found[1].informativeness)
    verdict = of_groups(found[0], numbers)
    order = torch.cat([n.flatten() for n in numbers.values()])[verdict.ranking()]
    assert order.unique_consecutive().tolist() == [1, 4, 3, 0, 2]
    assert verdict.redundant["layers.0.weight"].all(1).tolist() == [False, False, True, False]


@pytest.mark.parametrize(("words", "change"), [("even number of masks", {"masks": 6}), ("even", {"masks": 41}), ("keep", {"keep": 1.0})])
def test_lime_says_what_it_cannot_do(words, change):
    with pytest.raises(ValueError, match=words):
        lime(lambda mask: 0.0, 8, seeds.generator(0), **{"masks": 40, **change})


# ------------------------------------------------------------------------------------------------------- units and verdicts


def test_groups_part_all_parameters_and_a_unit_has_its_row_bias_and_column():
    like = {name: w[0] for name, w in draw(net("relu", (3,), 2), "parts").items()}
    numbers = groups(like, (3,))
    assert numbers["layers.0.weight"].tolist() == [[0] * 20, [1] * 20, [2] * 20]
    assert numbers["layers.0.bias"].tolist() == [0, 1, 2]
    assert numbers["layers.1.weight"].tolist() == [[0, 1, 2]] * 2
    assert numbers["layers.1.bias"].tolist() == [3, 3]
    deep = groups({name: w[0] for name, w in draw(net("relu", (3, 2)), "parts").items()}, (3, 2))
    assert deep["layers.1.weight"].tolist() == [[3] * 3, [4] * 3]
    assert deep["layers.2.weight"].tolist() == [[3, 4]]
    assert deep["layers.2.bias"].tolist() == [5]


def test_a_mask_of_units_leaves_out_what_any_of_its_units_leaves_out():
    architecture = net("relu", (9, 7))
    like = {name: w[0] for name, w in draw(architecture, "mask").items()}
    kept = [torch.tensor([i not in (1, 2) for i in range(9)]), torch.tensor([i != 6 for i in range(7)])]
    wanted = parameters_of(architecture, {0: [1, 2], 1: [6]})
    same(mask_of_units(kept, like), {name: ~w for name, w in wanted.items()})
    values = of_parameters([torch.arange(9.0), torch.full((7,), 4.0)], like, 9.0)
    assert values["layers.1.weight"][0].tolist() == [0, 1, 2, 3, 4, 4, 4, 4, 4]
    assert values["layers.2.bias"].tolist() == [9.0]


@given(st.floats(0.001, 1.0), st.integers(0, 3))
def test_the_kept_share_is_exact_nested_and_the_most_informative(share, seed):
    g = seeds.generator("verdict", seed)
    values = {"a": torch.randn(5, 7, generator=g), "b": torch.randint(0, 3, (9,), generator=g).float()}
    verdict = Redundancy(values, {name: v < 0 for name, v in values.items()})
    kept, more = verdict.kept(share), verdict.kept(min(1.0, 1.3 * share))
    flat = torch.cat([k.flatten() for k in kept.values()])
    every = torch.cat([v.flatten() for v in values.values()])
    assert int(flat.sum()) == max(1, round(share * 44))
    assert flat.all() or every[flat].min() >= every[~flat].max()
    assert all(bool((kept[name] <= more[name]).all()) for name in kept)
    assert sorted(verdict.ranking().tolist()) == list(range(44))


@given(st.floats(0.001, 1.0), st.lists(st.integers(1, 12), min_size=1, max_size=3))
def test_the_most_informative_units_are_kept_layer_by_layer(share, widths):
    units = [torch.randn(w, generator=seeds.generator("units", i, w)) for i, w in enumerate(widths)]
    for values, kept in zip(units, most_informative(units, share), strict=True):
        assert int(kept.sum()) == max(1, round(share * len(values)))
        assert kept.all() or values[kept].min() >= values[~kept].max()


@pytest.mark.parametrize("share", [0.0, -0.1, 1.01])
def test_a_share_lies_in_0_1(share):
    with pytest.raises(ValueError, match="share"):
        Redundancy({"a": torch.ones(3)}, {"a": torch.ones(3) > 0}).kept(share)


def test_detectors_say_what_they_need():
    weights = draw(net(), "needs", b=1)
    for detector, word in ((inactive, "known images"), (unmoved, "initial weights"), (constant, "two networks")):
        with pytest.raises(ValueError, match=word):
            detector(Evidence(net(), weights))
    with pytest.raises(ValueError, match="missing image for each"):
        Evidence(net(), weights, missing=images(n=2))
    with pytest.raises(ValueError, match=r"layers\.0\.weight"):
        Evidence(net(), weights, initial={"layers.0.weight": torch.zeros(2, 2)})
