"""Checkpoints of others: what they hold is found out, what they lack is asked for or assumed aloud, and nothing in them is ever run."""

from __future__ import annotations

import contextlib
import pickle
import subprocess
import sys
import zipfile
from collections import OrderedDict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fuzzing import cases
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from bench.api import Architecture
from bench.artefacts import tensors
from bench.artefacts.checkpoints import read_checkpoint
from bench.errors import BenchError
from bench.targets.models import forward, initial_weights


def mlp(*widths: int, bias: tuple[int, ...] = (0,), dtype: torch.dtype = torch.float32) -> OrderedDict[str, torch.Tensor]:
    """A state dict as PyTorch makes it: weight, then bias, of each layer in turn."""
    generator = torch.Generator().manual_seed(0)
    state: OrderedDict[str, torch.Tensor] = OrderedDict()
    for layer, (fan_in, fan_out) in enumerate(pairwise(widths)):
        state[f"layers.{layer}.weight"] = torch.randn(fan_out, fan_in, generator=generator, dtype=dtype)
        if layer in bias:
            state[f"layers.{layer}.bias"] = torch.randn(fan_out, generator=generator, dtype=dtype)
    return state


def saved(path: Path, value: Any, **how: Any) -> Path:
    torch.save(value, path, **how)
    return path


class Bomb:
    """What a pickle can do to whoever opens it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


# --- what is read -----------------------------------------------------------------------------------------------------------------------


def test_the_authors_file_is_read(tmp_path):
    """{"batch", "epoch", "state_dict"} with layers.N, as their save_weights writes it."""
    state = mlp(3072, 50, 40, 1)
    path = saved(tmp_path / "weights-cifar10_d250.pth", {"batch": None, "epoch": None, "state_dict": state})
    read = read_checkpoint(path)
    a = read.architecture
    assert (a.model, a.input_shape, a.hidden, a.outputs, a.activation, a.bias, a.loss) == (
        "mlp",
        (3, 32, 32),
        (50, 40),
        1,
        "relu",
        "first",
        "bce",
    )
    assert a.homogeneous
    assert list(read.weights) == ["layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.2.weight"]
    assert all(torch.equal(read.weights[name], state[name]) for name in state)
    told = " ".join(read.notes)
    for assumed in ("activation assumed: relu", "loss assumed: bce", "3x32x32"):
        assert assumed in told
    x = torch.rand(5, 3, 32, 32)
    hidden = torch.relu(x.flatten(1) @ state["layers.0.weight"].T + state["layers.0.bias"])
    theirs = torch.relu(hidden @ state["layers.1.weight"].T) @ state["layers.2.weight"].T
    torch.testing.assert_close(forward(a, read.weights, x), theirs)


@pytest.mark.parametrize("how", [{}, {"_use_new_zipfile_serialization": False}])
def test_old_and_new_files_of_pytorch(tmp_path, how):
    path = saved(tmp_path / "weights.pth", mlp(784, 20, 10, dtype=torch.float64), **how)
    read = read_checkpoint(path, activation="tanh")
    assert (read.architecture.input_shape, read.architecture.outputs, read.architecture.loss) == ((1, 28, 28), 10, "ce")
    assert read.architecture.activation == "tanh"
    assert read.weights["layers.0.weight"].dtype == torch.float64


def test_our_own_targets_are_read(tmp_path):
    save_file(dict(mlp(784, 20, 1)), tmp_path / "target.safetensors", metadata={"facts": "{}"})
    assert read_checkpoint(tmp_path / "target.safetensors").architecture.hidden == (20,)


@pytest.mark.parametrize(
    ("bias", "pattern", "homogeneous"),
    [((), "none", True), ((0,), "first", True), ((0, 1, 2), "all", False), ((0, 1), "all", False), ((1,), "all", False)],
)
def test_the_pattern_of_biases(tmp_path, bias, pattern, homogeneous):
    read = read_checkpoint(saved(tmp_path / "w.pth", mlp(784, 8, 6, 1, bias=bias)))
    assert (read.architecture.bias, read.architecture.homogeneous) == (pattern, homogeneous)


def test_names_of_other_programs_are_taken_in_the_order_of_the_file(tmp_path):
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 30), torch.nn.ReLU(), torch.nn.Linear(30, 3, bias=False))
    read = read_checkpoint(saved(tmp_path / "sequential.pt", {"model": model.state_dict(), "epoch": 3}))
    assert (read.architecture.hidden, read.architecture.outputs, read.architecture.bias) == ((30,), 3, "first")
    assert any("order of the file" in note for note in read.notes)
    x = torch.rand(4, 1, 28, 28)
    torch.testing.assert_close(forward(read.architecture, read.weights, x), model(x).detach())


def test_prefixes_of_wrappers_are_dropped(tmp_path):
    state = OrderedDict((f"module.{name}", value) for name, value in mlp(784, 8, 1).items())
    assert read_checkpoint(saved(tmp_path / "w.pth", state)).architecture.hidden == (8,)


def test_half_precision_is_widened(tmp_path):
    read = read_checkpoint(saved(tmp_path / "w.pth", mlp(784, 8, 1, dtype=torch.bfloat16)))
    assert read.weights["layers.0.weight"].dtype == torch.float32


def test_an_unknown_width_asks_for_the_shape(tmp_path):
    path = saved(tmp_path / "w.pth", mlp(625, 8, 1))
    with pytest.raises(BenchError, match="--shape"):
        read_checkpoint(path)
    assert read_checkpoint(path, shape=(1, 25, 25)).architecture.input_shape == (1, 25, 25)
    with pytest.raises(BenchError, match="625 numbers"):
        read_checkpoint(path, shape=(3, 32, 32))


def cnn(pooling: str, channels: tuple[int, ...] = (4, 6), kernel: int = 3) -> tuple[Architecture, dict[str, torch.Tensor]]:
    architecture = Architecture("cnn", (3, 32, 32), (10,), 1, "relu", "first", "bce", channels, kernel, pooling)
    weights = initial_weights(architecture, None, torch.Generator().manual_seed(0))
    return architecture, {name: weight.float() for name, weight in weights.items()}


@pytest.mark.parametrize("pooling", ["stride", "max", "avg", "none"])
def test_convolutions_are_found_out(tmp_path, pooling):
    """Channels and kernel from the weights; pooling where it is said, or as far as the sizes tell."""
    architecture, weights = cnn(pooling)
    path = saved(tmp_path / "cnn.pth", {"state_dict": weights})
    read = read_checkpoint(path, pooling=pooling)
    assert read.architecture == architecture
    x = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(forward(read.architecture, read.weights, x), forward(architecture, weights, x))
    guessed = read_checkpoint(path)
    assert guessed.architecture.pooling == ("none" if pooling == "none" else "stride")
    assert any("pooling assumed" in note for note in guessed.notes)
    assert any("max, avg would fit as well" in note for note in guessed.notes) == (pooling != "none")
    with pytest.raises(BenchError, match="do not fit what lies behind"):
        read_checkpoint(path, pooling="none" if pooling != "none" else "max")
    with pytest.raises(BenchError, match="do not fit what lies behind"):
        read_checkpoint(path, shape=(3, 24, 24))


def test_convolutions_out_of_place_are_refused(tmp_path):
    _, weights = cnn("stride")
    oblong = {**weights, "layers.1.weight": torch.zeros(6, 4, 3, 5)}
    behind = {"layers.0.weight": torch.zeros(8, 784), "layers.1.weight": torch.zeros(4, 8, 3, 3), "layers.2.weight": torch.zeros(1, 4)}
    alone = {name: weight for name, weight in weights.items() if name[7] in "01"}
    for state, says in ((oblong, "different sides"), (behind, "behind a fully connected"), (alone, "hidden layer")):
        with pytest.raises(BenchError, match=says):
            read_checkpoint(saved(tmp_path / "cnn.pth", state))


# --- what is refused --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [{}, {"_use_new_zipfile_serialization": False}])
@pytest.mark.parametrize("wrap", [lambda bomb: bomb, lambda bomb: {"state_dict": {**mlp(784, 8, 1), "layers.2.weight": bomb}}])
def test_a_pickle_bomb_does_not_go_off(tmp_path, how, wrap):
    mark = tmp_path / "touched"
    path = saved(tmp_path / "weights.pth", wrap(Bomb(mark)), **how)
    with pytest.raises(BenchError, match="holds more than tensors") as caught:
        read_checkpoint(path)
    assert not mark.exists()
    assert "run code" in str(caught.value)
    torch.load(path, weights_only=False)  # it is a real one
    assert mark.exists()


def test_a_bare_pickle_bomb_does_not_go_off(tmp_path):
    mark, path = tmp_path / "touched", tmp_path / "weights.pkl"
    path.write_bytes(pickle.dumps({"layers.0.weight": Bomb(mark)}))
    with pytest.raises(BenchError):
        read_checkpoint(path)
    assert not mark.exists()


def test_object_arrays_of_numpy_are_refused(tmp_path):
    mark = tmp_path / "touched"
    np.save(tmp_path / "w.npy", np.array([Bomb(mark)], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "w.npz", images=np.array([Bomb(mark)], dtype=object))
    for name in ("w.npy", "w.npz"):
        with pytest.raises(BenchError, match="cannot be read"):
            tensors.load(tmp_path / name)
    assert not mark.exists()


def test_a_whole_model_is_refused_with_what_to_do(tmp_path):
    path = saved(tmp_path / "model.pt", torch.nn.Linear(4, 2))
    with pytest.raises(BenchError, match="state_dict"):
        read_checkpoint(path)


def bad(name: str) -> Any:
    """A state dict with one thing wrong."""
    state: dict[str, Any] = dict(mlp(784, 8, 6, 1))
    if name == "gap":
        state["layers.3.weight"] = state.pop("layers.2.weight")
    elif name == "no weight":
        state["layers.3.bias"] = torch.zeros(3)
    elif name == "nan":
        state["layers.1.weight"][2, 3] = float("nan")
    elif name == "infinite":
        state["layers.0.bias"][0] = float("inf")
    elif name == "text":
        state["layers.1.weight"] = "no tensor"
    elif name == "widths":
        state["layers.1.weight"] = torch.zeros(6, 9)
    elif name == "bias":
        state["layers.0.bias"] = torch.zeros(7)
    elif name == "one axis":
        state["layers.1.weight"] = torch.zeros(6)
    elif name == "integers":
        state["layers.1.weight"] = torch.zeros(6, 8, dtype=torch.long)
    elif name == "complex":
        state["layers.1.weight"] = torch.zeros(6, 8, dtype=torch.complex64)
    elif name == "sparse":
        state["layers.1.weight"] = torch.zeros(6, 8).to_sparse()
    elif name == "empty":
        state["layers.1.weight"] = torch.zeros(6, 0)
    elif name == "normalisation":
        state |= {"norm.weight": torch.ones(8), "norm.running_mean": torch.zeros(8)}
    elif name == "huge by strides":
        state["layers.1.weight"] = torch.zeros(1).as_strided((200_000, 200_000), (0, 0))
    elif name == "one layer":
        state = {"layers.0.weight": torch.zeros(1, 784)}
    elif name == "nothing":
        state = {}
    return state


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("gap", "layer 2 has no weight"),
        ("no weight", "layer 3 has no weight"),
        ("nan", "'layers.1.weight' holds NaN or infinity"),
        ("infinite", "'layers.0.bias' holds NaN or infinity"),
        ("text", "is no tensor"),
        ("widths", "layers 0 and 1 do not fit"),
        ("bias", "bias of layer 0"),
        ("one axis", "layer 1 is neither"),
        ("integers", "no floating-point"),
        ("complex", "another kind"),
        ("sparse", "another kind"),
        ("empty", "unusable size"),
        ("normalisation", "the normalisation 'norm' is incomplete"),
        ("huge by strides", "'layers.1.weight' claims more numbers than are there"),
        ("one layer", "hidden layer"),
        ("nothing", "is no checkpoint"),
    ],
)
def test_what_is_wrong_with_a_state_dict_is_said(tmp_path, name, says):
    with pytest.raises(BenchError, match=says):
        read_checkpoint(saved(tmp_path / "w.pth", bad(name)))


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [("activation", "rely", "relu"), ("loss", "hinge", "one of"), ("loss", "bce", "one output"), ("pooling", "max", "no convolutions")],
)
def test_options_that_do_not_fit_are_said(tmp_path, option, value, says):
    with pytest.raises(BenchError, match=says):
        read_checkpoint(saved(tmp_path / "w.pth", mlp(784, 8, 3)), **{option: value})


def test_files_that_are_none(tmp_path):
    (tmp_path / "empty.pth").touch()
    (tmp_path / "text.pth").write_text("hello, this is a text and no checkpoint\n")
    with zipfile.ZipFile(tmp_path / "texts.zip", "w") as archive:
        archive.writestr("a.txt", "text")
    for name, says in (
        ("empty.pth", "is empty"),
        ("text.pth", "no file of tensors"),
        ("texts.zip", "without tensors"),
        ("none.pth", "no such file"),
        ("", "is a folder"),
    ):
        with pytest.raises(BenchError, match=says):
            read_checkpoint(tmp_path / name)


def test_tensors_that_share_their_numbers_count_each(tmp_path, monkeypatch):
    """A file of a few kilobytes may show the same numbers under any count of names."""
    shared = torch.zeros(100, 100)
    path = saved(tmp_path / "w.pth", {f"layers.{i}.weight": shared.view(100, 100) for i in range(200)})
    assert path.stat().st_size < 100_000
    tensors.load(path)
    monkeypatch.setattr(tensors, "MAX_BYTES", 1_000_000)
    with pytest.raises(BenchError, match=r"too large together[\s\S]*0\.00745 GiB"):
        tensors.load(path)


def pickled(path: Path, body: bytes, old: bool) -> Path:
    """A file of PyTorch whose pickle is this."""
    if old:
        torch.save(torch.zeros(3), path, _use_new_zipfile_serialization=False)
        head = b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {}))
        path.write_bytes(head + body + pickle.dumps([], 2))
        return path
    torch.save(torch.zeros(3), path)
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, body if name.endswith("data.pkl") else content)
    return path


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize(
    ("call", "says"),
    [
        (b"cbuiltins\nbytearray\nJ\x00\x00\x10\x00\x85R", "calls bytearray"),
        (b"ctorch\nTensor\n(J\x00\x00\x10\x00tR", "than the file holds"),
    ],
)
def test_a_pickle_that_calls_for_memory_is_refused(tmp_path, old, call, says):
    """A few bytes that have a mebibyte or a million numbers made, as they could any size."""
    path = pickled(tmp_path / "w.pth", b"\x80\x02" + call + b".", old)
    assert torch.load(path, weights_only=True) is not None  # PyTorch itself lets it
    with pytest.raises(BenchError, match=says):
        tensors.load(path)


def test_an_archive_that_unpacks_to_too_much_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, images=np.zeros((100, 1, 100, 100)))
    assert path.stat().st_size < 100_000
    monkeypatch.setattr(tensors, "MAX_BYTES", 1_000_000)
    with pytest.raises(BenchError, match="too large"):
        tensors.load(path)


def test_a_record_that_claims_to_be_longer_than_the_file_reaches_nothing_beyond_it(tmp_path):
    """The pickle says how long a storage is; made to lie, it must not give memory that is not the file's."""
    path = saved(tmp_path / "w.pth", {"layers.0.weight": torch.ones(2, 100)})
    with zipfile.ZipFile(path) as archive:
        members = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    [name] = [name for name in members if name.endswith("data.pkl")]
    lying = members[name].replace(b"K\xc8", b"M\xff\xff").replace(b"K\x02Kd", b"M\xff\x00Kd")  # 200 numbers → 65 535; 2 × 100 → 255 × 100
    assert lying != members[name]
    with zipfile.ZipFile(path, "w") as archive:
        for other, content in members.items():
            archive.writestr(other, lying if other == name else content)
    with pytest.raises(BenchError):
        read_checkpoint(path, shape=(1, 10, 10))


# --- damage -----------------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, bytes]:
    """One good file of each format."""
    folder = tmp_path_factory.mktemp("whole")
    state = mlp(16, 4, 1)
    saved(folder / "new.pth", {"epoch": 1, "state_dict": state})
    saved(folder / "old.pth", state, _use_new_zipfile_serialization=False)
    save_file(dict(state), folder / "our.safetensors")
    np.save(folder / "images.npy", np.zeros((2, 1, 4, 4)))
    np.savez(folder / "images.npz", images=np.zeros((2, 1, 4, 4)))
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


FILES = st.sampled_from(["new.pth", "old.pth", "our.safetensors", "images.npy", "images.npz"])


def opened_or_refused(path: Path) -> None:
    """A file is read, or a BenchError says what is wrong; anything else is a fault."""
    with contextlib.suppress(BenchError):
        loaded = tensors.load(path)
        for value in loaded.values() if isinstance(loaded, dict) else [loaded]:
            tensors.dense(value, "entry")
    with contextlib.suppress(BenchError):
        read_checkpoint(path, shape=(1, 4, 4))


@cases(60)
@given(name=FILES, share=st.floats(0, 1, exclude_max=True))
def test_a_file_that_is_cut_off_is_refused(whole, tmp_path, name, share):
    path = tmp_path / name
    path.write_bytes(whole[name][: int(share * len(whole[name]))])
    with pytest.raises(BenchError, match=name):
        tensors.load(path)


@cases(150)
@given(name=FILES, where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_read_over_or_refused(whole, tmp_path, name, where, bit):
    content = bytearray(whole[name])
    content[int(where * len(content))] ^= 1 << bit
    path = tmp_path / name
    path.write_bytes(bytes(content))
    opened_or_refused(path)


@cases(60)
@given(head=st.sampled_from([b"", b"\x93NUMPY\x01\x00", b"PK\x03\x04", b"\x80\x02", b"\x10\0\0\0\0\0\0\0{"]), rest=st.binary(max_size=200))
def test_any_bytes_are_refused(tmp_path, head, rest):
    path = tmp_path / "any.pth"
    path.write_bytes(head + rest)
    opened_or_refused(path)


def test_reading_imports_no_code_from_the_current_folder(tmp_path):
    """A pickle that names a module beside it: the module is not imported."""
    (tmp_path / "evil.py").write_text("import pathlib\npathlib.Path('touched').touch()\n\n\nclass Weights(dict):\n    pass\n")
    make = "import torch, evil; torch.save(evil.Weights(a=1), 'w.pth')"
    subprocess.run([sys.executable, "-c", make], cwd=tmp_path, check=True, timeout=280)
    (tmp_path / "touched").unlink()
    with pytest.raises(BenchError, match="evil"):
        tensors.load(tmp_path / "w.pth")
    assert not (tmp_path / "touched").exists()
