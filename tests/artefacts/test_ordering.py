"""The order of layers: numbers, then widths, then the file or what members say; never the alphabet, and never a guess in silence."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from fuzzing import cases
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn

from bench.artefacts.checkpoints import Checkpoint, read_checkpoint
from bench.artefacts.ordering import clearly_best
from bench.errors import BenchError
from bench.targets.models import forward

State = Mapping[str, Tensor]


def network(*layers: tuple[str, int, int], bias: bool = True) -> dict[str, Tensor]:
    """A state dict of fully connected layers (name, inputs, outputs) in the order in which they follow each other."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, fan_in, fan_out in layers:
        state[f"{name}.weight"] = torch.randn(fan_out, fan_in, generator=generator) / fan_in**0.5
        if bias:
            state[f"{name}.bias"] = torch.randn(fan_out, generator=generator)
    return state


def kept(folder: Path, state: State) -> Path:
    """As PyTorch saves it: in the order given."""
    torch.save(OrderedDict(state), folder / "net.pth")
    return folder / "net.pth"


def resorted(folder: Path, state: State) -> Path:
    """A .pth that somebody has sorted by name."""
    return kept(folder, dict(sorted(state.items())))


def lost(folder: Path, state: State) -> Path:
    """As safetensors, which keeps no order."""
    save_file(dict(state), folder / "net.safetensors")
    return folder / "net.safetensors"


def first_names(state: State) -> list[str]:
    return list(dict.fromkeys(name.rpartition(".")[0] for name in state))


def assert_read_as(read: Checkpoint, state: State) -> None:
    """Weights and biases stand in the order of ``state``, each bias with its own weight."""
    for i, name in enumerate(first_names(state)):
        for kind in ("weight", "bias"):
            own, theirs = read.weights.get(f"layers.{i}.{kind}"), state.get(f"{name}.{kind}")
            assert (own is None and theirs is None) or torch.equal(own, theirs), f"{name}.{kind} is not layer {i}'s"
    assert len(read.weights) == len(state)


def told(read: Checkpoint) -> str:
    [note] = [note for note in read.notes if note.startswith("layers read")]
    return note


# --- numbers ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("save", [kept, resorted, lost])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "model.net.", "layers."])
def test_ten_comes_after_two(tmp_path, save, prefix):
    """A Sequential of six layers, 0, 2, … 10, equal ones among them: its outputs are those of the model that was saved."""
    widths = [784, 20, 20, 20, 20, 20, 1]
    steps = [part for fan_in, fan_out in pairwise(widths) for part in (nn.Linear(fan_in, fan_out), nn.ReLU())][:-1]
    model = nn.Sequential(*steps)
    read = read_checkpoint(save(tmp_path, {prefix + name: value for name, value in model.state_dict().items()}))
    assert read.architecture.hidden == (20,) * 5
    x = torch.rand(4, 1, 28, 28)
    torch.testing.assert_close(forward(read.architecture, read.weights, x), model(x.flatten(1)).detach())
    assert "in the order of their numbers" in told(read)
    assert told(read).endswith(", ".join(f"{prefix}{i}" for i in (0, 2, 4, 6, 8, 10)))
    assert ("order of the file" in told(read)) == (save is kept)


@pytest.mark.parametrize("save", [kept, resorted, lost])
@pytest.mark.parametrize(
    "names",
    [
        ["fc1", "fc2", "fc9", "fc10"],
        ["block1.layer1", "block1.layer2", "block2.layer1", "block10.layer1"],
        ["net.0.fc", "net.1.fc", "net.2", "net.11.fc"],
    ],
)
def test_numbers_anywhere_in_a_name(tmp_path, save, names):
    """Equal layers all through, so that widths tell nothing but the ends."""
    widths = [784, *[8] * (len(names) - 1), 1]
    state = network(*((name, *pair) for name, pair in zip(names, pairwise(widths), strict=True)))
    assert_read_as(read_checkpoint(save(tmp_path, state)), state)


@cases(40)
@given(order=st.permutations(range(12)), depth=st.integers(4, 6))
def test_any_order_of_the_entries_is_read_alike(tmp_path, order, depth):
    state = network(*((f"fc{i}", 16 if i == 0 else 4, 4 if i < depth - 1 else 2) for i in range(depth)))
    names = list(state)
    shuffled = {names[i]: state[names[i]] for i in order if i < len(names)}
    assert_read_as(read_checkpoint(kept(tmp_path, shuffled), shape=(1, 4, 4)), state)


def test_numbers_win_over_the_order_of_the_file_and_it_is_said(tmp_path):
    state = network(("fc1", 784, 8), ("fc2", 8, 8), ("fc3", 8, 8), ("fc4", 8, 1))
    swapped = {name: state[name] for stem in ("fc1", "fc3", "fc2", "fc4") for name in (f"{stem}.weight", f"{stem}.bias")}
    read = read_checkpoint(kept(tmp_path, swapped))
    assert_read_as(read, state)
    assert "the file has them as fc1, fc3, fc2, fc4" in told(read)


def test_gaps_for_activations_are_read_and_a_lone_gap_is_refused(tmp_path):
    """Everywhere a gap, as of Linear, ReLU, Dropout; or nowhere. One alone is a layer that is missing."""
    read = read_checkpoint(kept(tmp_path, network(("layers.1", 784, 8), ("layers.3", 8, 8), ("layers.6", 8, 1))))
    assert read.architecture.hidden == (8, 8)
    with pytest.raises(BenchError, match="layer 2 has no weight"):
        read_checkpoint(kept(tmp_path, network(("layers.0", 784, 8), ("layers.1", 8, 8), ("layers.3", 8, 1))))
    with pytest.raises(BenchError, match="layer 4 has no weight"):  # in a container of which the other numbers have no say
        read_checkpoint(lost(tmp_path, network(("a.2", 784, 9), ("a.3", 9, 9), ("a.5", 9, 8), ("head.0", 8, 1))))


@pytest.mark.parametrize("save", [kept, lost])
def test_numbers_that_contradict_the_widths(tmp_path, save):
    """A decoder that is numbered from behind. The file's order counts where it keeps one; else nothing is guessed."""
    state = network(("up3", 784, 30), ("up2", 30, 20), ("up1", 20, 1))
    path = save(tmp_path, state)
    if save is kept:
        read = read_checkpoint(path)
        assert_read_as(read, state)
        assert "which their numbers contradict" in told(read)
        return
    with pytest.raises(BenchError, match=r"(?s)do not fit together in the order of their numbers.*up3, up2, up1") as caught:
        read_checkpoint(path)
    assert "layers.0.weight" in (caught.value.hint or "")
    assert_read_as(read_checkpoint(path, classified=lambda a, w: torch.ones(20, dtype=torch.bool)), state)


# --- widths -----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("save", [kept, resorted, lost])
@pytest.mark.parametrize("names", [("input", "hidden", "output"), ("encoder", "middle", "a_head"), ("z.0", "y", "x.4")])
@pytest.mark.parametrize("bias", [True, False])
def test_names_without_numbers_are_chained_by_widths(tmp_path, save, names, bias):
    state = network(*((name, *pair) for name, pair in zip(names, [(784, 8), (8, 8), (8, 1)], strict=True)), bias=bias)
    read = read_checkpoint(save(tmp_path, state))
    assert_read_as(read, state)
    assert "the only order in which their widths fit together" in told(read)
    assert told(read).endswith(", ".join(names))


class Convolutional(nn.Module):
    """Two blocks whose names sort the wrong way."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU())
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(4 * 8 * 8, 12), nn.ReLU(), nn.Linear(12, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.max_pool2d(self.trunk(x), 2))


@pytest.mark.parametrize("save", [kept, resorted, lost])
def test_convolutions_come_first_whatever_they_are_called(tmp_path, save):
    model = Convolutional()
    read = read_checkpoint(save(tmp_path, model.state_dict()), pooling="max")
    assert (read.architecture.channels, read.architecture.hidden, read.architecture.outputs) == ((4, 4), (12,), 3)
    assert told(read).endswith("trunk.0, trunk.3, classifier.1, classifier.3")
    x = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(forward(read.architecture, read.weights, x), model(x).detach())


def test_the_shape_of_the_images_tells_where_a_circle_begins(tmp_path):
    """16 → 4 → 16 or 4 → 16 → 4."""
    state = network(("c", 16, 4), ("b", 4, 16))
    with pytest.raises(BenchError, match="--shape"):
        read_checkpoint(lost(tmp_path, state))
    read = read_checkpoint(lost(tmp_path, state), shape=(1, 4, 4))
    assert_read_as(read, state)
    other = read_checkpoint(lost(tmp_path, state), shape=(1, 2, 2))
    assert other.architecture.hidden == (16,)


# --- equal layers with nothing to tell them apart ---------------------------------------------------------------------------------------

TWINS = (("a_in", 784, 8), ("some", 8, 8), ("other", 8, 8), ("z_out", 8, 1))  # which fit together in the order of the alphabet too


@pytest.mark.parametrize("bias", [True, False])
def test_equal_layers_stand_as_the_file_has_them_if_it_keeps_an_order(tmp_path, bias):
    state = network(*TWINS, bias=bias)
    read = read_checkpoint(kept(tmp_path, state))
    assert_read_as(read, state)
    assert told(read) == "layers read in the order of the file: a_in, some, other, z_out"


@pytest.mark.parametrize(("save", "bias"), [(resorted, True), (lost, True), (lost, False)])
def test_equal_layers_without_an_order_are_refused_with_the_candidates(tmp_path, save, bias):
    with pytest.raises(BenchError, match="2 orders, and nothing in the file tells") as caught:
        read_checkpoint(save(tmp_path, network(*TWINS, bias=bias)))
    error = str(caught.value)
    assert "a_in, some, other, z_out" in error
    assert "a_in, other, some, z_out" in error
    for way in ("layers.0.weight", "torch.save", "--members with labels"):
        assert way in error


def test_members_tell_equal_layers_apart(tmp_path):
    """The order under which they are classified correctly is read, whichever it is; where none is clearly best, none is."""
    path = lost(tmp_path, network(*TWINS))
    for second in ("some", "other"):
        wanted = network(*TWINS)[f"{second}.weight"]

        def right(architecture: Any, weights: State, wanted: Tensor = wanted) -> Tensor:
            assert architecture.hidden == (8, 8, 8)
            share = 20 if torch.equal(weights["layers.1.weight"], wanted) else 12
            return torch.arange(20) < share

        read = read_checkpoint(path, classified=right)
        assert torch.equal(read.weights["layers.1.weight"], wanted)
        assert "20 of 20 members are classified correctly" in told(read)
    for same in (20, 8):
        with pytest.raises(BenchError, match=f"{same / 20:.0%} correctly, which does not tell"):
            read_checkpoint(path, classified=lambda a, w, same=same: torch.arange(20) < same)


@pytest.mark.parametrize(
    ("hits", "best"),
    [
        ([[1] * 20, [1] * 10 + [0] * 10], 0),
        ([[0] * 20, [1] * 20, [1] * 9 + [0] * 11], 1),
        ([[1] * 4, [0] * 4], None),  # 4 of 4 is a chance of 1 in 16
        ([[1] * 5, [0] * 5], 0),  # 1 in 32
        ([[1] * 5, [0] * 5, [0] * 5], None),  # and twice that of two orders
        ([[1] * 20, [1] * 18 + [0] * 2], None),
        ([[1] * 15 + [0] * 5, [0] * 20], None),  # far ahead, but it classifies too few
        ([[1] * 20, [1] * 20], None),
    ],
)
def test_clearly_best(hits, best):
    assert clearly_best(torch.tensor(hits, dtype=torch.bool)) == best


# --- no order at all --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "says"),
    [
        (network(("fc1", 784, 8), ("fc2", 9, 1)), "nor do they in another order"),
        (network(("fc1", 8, 784), ("fc2", 1, 8), bias=False), "save weight.T"),
        ({name: value.mT if value.ndim == 2 else value for name, value in network(*TWINS).items()}, "save weight.T"),
        (network(("net.0", 784, 8), ("net.2", 784, 8)), "one network"),
        ({**network(*TWINS), "norm.weight": torch.ones(8), "norm.bias": torch.ones(8)}, "normalisation"),
        ({**network(*TWINS), "norm.num_batches_tracked": torch.tensor(3)}, "'norm' is incomplete"),
        ({**network(*TWINS), "optimizer": {"state": {}}}, "state dict of the network alone"),
        ({**network(*TWINS), "some.weight_g": torch.ones(8)}, "state dict of the network alone"),
        (network(*((f"fc{i}", 1, 1) for i in range(201))), "at most 200"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_to_do(tmp_path, state, says):
    with pytest.raises(BenchError) as caught:
        read_checkpoint(resorted(tmp_path, state))
    assert says in str(caught.value)


@pytest.mark.parametrize(("odd", "says"), [([], "more than 120 orders"), ([("z", 7, 7)], "too many orders to try")])
def test_a_search_without_end_ends(tmp_path, odd, says):
    """13 layers alike have six milliards of orders; with one that fits nowhere, none, which it would take as long to know."""
    path = lost(tmp_path, network(*((name, 8, 8) for name in "abcdefghijklm"), *odd))
    with pytest.raises(BenchError, match=says):
        read_checkpoint(path, shape=(1, 2, 4))


def test_a_number_of_any_length_is_no_fault(tmp_path):
    state = network(("a" + "9" * 5000, 784, 8), ("b" + "9" * 5000, 8, 1))
    assert_read_as(read_checkpoint(lost(tmp_path, state)), state)
