"""Precision is pinned whatever was set before and by which of PyTorch's two sets of switches, said, and set back."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch

from bench import precision
from bench.errors import BenchError
from bench.precision import Switches, check, in_force, measured, pinned, watched

CPU, GPU = torch.device("cpu"), torch.device("cuda")
BACKENDS = torch.backends
NEW = bool(precision._switches())  # PyTorch 2.9 or later


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = Switches.now()
    yield
    before.restore()


def mixed() -> None:
    BACKENDS.cuda.matmul.fp32_precision = "tf32"  # the older set cannot say this: reading it raises
    with pytest.raises(RuntimeError):
        torch.get_float32_matmul_precision()


def general() -> None:
    BACKENDS.fp32_precision = "tf32"  # type: ignore[attr-defined]  # every operator that says nothing of its own follows


def conv_apart() -> None:
    BACKENDS.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError):
        _ = BACKENDS.cudnn.allow_tf32


MADE = {
    "as PyTorch begins": lambda: None,
    "the older set, coarse": lambda: torch.set_float32_matmul_precision("medium"),
    "the older set, fine": lambda: setattr(BACKENDS.cudnn, "allow_tf32", False),
}
if NEW:
    MADE |= {"the newer set alone": mixed, "a general switch": general, "convolutions apart": conv_apart}


@pytest.mark.parametrize("state", MADE)
@pytest.mark.parametrize("rounding", ["ieee", "tf32", "bf16"])
def test_a_pin_holds_whatever_was_set_and_ends_with_it(state: str, rounding: precision.Rounding) -> None:
    try:
        MADE[state]()
        before = [in_force(device, operator) for device in (CPU, GPU) for operator in ("matmul", "conv")]
        with contextlib.suppress(KeyError), pinned(rounding):
            assert in_force(CPU, "matmul") == ("tf32" if rounding == "tf32" and NEW else "bf16" if rounding == "bf16" else "ieee")
            assert in_force(CPU, "conv") == "ieee"
            assert in_force(GPU, "conv") == ("tf32" if rounding == "tf32" else "ieee")
            # both sets agree, so that neither raises when it is read
            assert torch.get_float32_matmul_precision() == precision.OLDER[rounding]
            assert BACKENDS.cudnn.allow_tf32 == (rounding == "tf32")
            assert BACKENDS.cudnn.deterministic
            with pinned():
                assert in_force(GPU) == in_force(CPU) == "ieee"
            raise KeyError
        assert [in_force(device, operator) for device in (CPU, GPU) for operator in ("matmul", "conv")] == before
        assert not BACKENDS.cudnn.deterministic
    finally:
        if NEW:
            BACKENDS.fp32_precision = "none"  # type: ignore[attr-defined]


@pytest.mark.skipif(not NEW, reason="PyTorch before 2.9 has one set of switches")
def test_an_operator_follows_the_general_switch_after_a_pin_as_before() -> None:
    try:
        general()
        with pinned():
            pass
        BACKENDS.fp32_precision = "ieee"  # type: ignore[attr-defined]
        assert in_force(GPU, "matmul") == "ieee"
    finally:
        BACKENDS.fp32_precision = "none"  # type: ignore[attr-defined]


def test_one_set_of_switches_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in PyTorch 2.8."""
    monkeypatch.setattr(precision, "_switches", lambda: ())
    before = Switches.now()
    assert before.newer == ()
    with pinned("tf32"):
        assert (in_force(GPU), in_force(CPU)) == ("tf32", "ieee")
        with pinned():
            assert in_force(GPU) == "ieee"
    with pinned("bf16"):
        assert in_force(CPU) == "bf16"
    assert Switches.now() == before


def test_what_the_environment_asks_is_undone() -> None:
    """PyTorch takes it for the setting to begin with."""
    code = (
        "import torch; from bench.precision import *; gpu = torch.device('cuda'); print(in_force(gpu, 'matmul'))\n"
        "with pinned(): print(in_force(gpu, 'matmul'), torch.backends.cuda.matmul.allow_tf32)\n"
        "print(in_force(gpu, 'matmul'))"
    )
    environment = {**os.environ, "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", env=environment, check=True)
    assert done.stdout.split() == ["tf32", "ieee", "False", "tf32"]


def test_rounding_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    assert measured(CPU) == "ieee"
    matmul, conv2d = torch.Tensor.__matmul__, torch.nn.functional.conv2d

    def coarse(bits: int, x: torch.Tensor) -> torch.Tensor:
        mantissa, exponent = torch.frexp(x)
        return torch.ldexp((mantissa * 2**bits).round() / 2**bits, exponent)

    for bits, word in ((11, "tf32"), (8, "bf16")):
        with monkeypatch.context() as patch:
            patch.setattr(torch.Tensor, "__matmul__", lambda a, b, bits=bits: matmul(coarse(bits, a), b))
            assert measured(CPU) == word
        with monkeypatch.context() as patch:
            patch.setattr(torch.nn.functional, "conv2d", lambda a, *given, bits=bits, **named: conv2d(coarse(bits, a), *given, **named))
            assert measured(CPU) == word


def test_a_gpu_that_rounds_all_the_same_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    asked: list[str] = []
    monkeypatch.setattr(precision, "measured", lambda device: asked.append(in_force(device)) or "tf32")
    check(CPU)
    assert asked == []
    with pytest.raises(BenchError) as caught:
        check(GPU)
    assert asked == ["ieee"]  # it is measured under a pin
    assert caught.value.got == "tf32, NVIDIA_TF32_OVERRIDE=1"
    assert "unset NVIDIA_TF32_OVERRIDE" in caught.value.hint
    assert os.environ.pop("CUBLAS_WORKSPACE_CONFIG") == ":4096:8"
    monkeypatch.setattr(precision, "measured", lambda device: "ieee")
    check(GPU)


def test_what_was_in_force_is_noted_with_what_code_sets_by_itself() -> None:
    with watched(GPU) as none:
        pass
    with watched(GPU) as fine, pinned():
        pass
    with watched(GPU) as asked, pinned(), pinned("tf32"):
        pass
    with watched(GPU) as meddled, pinned():
        torch.set_float32_matmul_precision("high")
    with watched(CPU) as other, pinned(), pinned("bf16"):
        pass
    assert [w.coarsest for w in (none, fine, asked, meddled, other)] == [None, "ieee", "tf32", "tf32", "bf16"]
