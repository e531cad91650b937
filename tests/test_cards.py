"""Why there is no GPU, and what to do about it; what the doctor says of those that there are."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace

import pytest
import torch

from bench import cards, doctor, precision
from bench.cards import Card
from bench.engine.run import pick_device
from bench.errors import BenchError


def pretend(monkeypatch: pytest.MonkeyPatch, cuda: str | None, driver: str, visible: str | None = None) -> None:
    """Another build of torch, on a machine with another driver."""

    def smi(command: list[str], **named: object) -> SimpleNamespace:
        if command[0] != "nvidia-smi" or not driver:
            raise FileNotFoundError(command[0])
        return SimpleNamespace(stdout=f"{driver}\n{driver}\n")

    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(subprocess, "run", smi)
    monkeypatch.delenv(cards.VISIBLE, raising=False)
    if visible is not None:
        monkeypatch.setenv(cards.VISIBLE, visible)


@pytest.mark.parametrize(
    ("cuda", "driver", "visible", "got", "hint"),
    [
        (None, "", None, "built without CUDA", "install a torch built with CUDA"),
        ("12.8", "", None, "for CUDA 12.8, but no NVIDIA driver answers", "install NVIDIA's driver"),
        ("12.8", "550.54", "", "CUDA_VISIBLE_DEVICES='' hides what driver 550.54 has", "unset CUDA_VISIBLE_DEVICES"),
        ("13.0", "550.54", None, "for CUDA 13.0, driver 550.54", "a driver for CUDA 13.0 or newer"),
    ],
)
def test_cuda_where_there_is_none_says_what_to_install(monkeypatch, cuda, driver, visible, got, hint):
    pretend(monkeypatch, cuda, driver, visible)
    with pytest.raises(BenchError) as caught:
        pick_device("cuda")
    assert got in caught.value.got
    assert caught.value.hint.startswith(hint)
    assert caught.value.hint.endswith("; or --device cpu")
    assert pick_device("auto") == torch.device("cpu")
    [line] = [check for check in doctor.report() if check.name == "devices"]
    assert got in line.detail
    assert hint in line.todo


H100 = Card("NVIDIA H100", (9, 0), 80 * 2**30, True)


def gpus(monkeypatch, *found: Card) -> list[doctor.Check]:
    monkeypatch.setattr(cards, "cards", lambda: list(found))
    monkeypatch.setattr(cards, "driver", lambda: "550.54")
    checks = doctor.report()
    assert next(check for check in checks if check.name == "devices").detail.endswith(f"{len(found)} GPUs, driver 550.54")
    return [check for check in checks if check.name.startswith("cuda:")]


def test_the_doctor_names_each_gpu_and_what_it_did(monkeypatch):
    """Tried on this CPU in place of a GPU, which captures nothing."""
    device = torch.device
    with monkeypatch.context() as patch:
        patch.setattr(torch, "device", lambda name: device("cpu"))
        patch.setattr(torch.cuda, "device", lambda place: torch.no_grad())
        good, old = gpus(patch, H100, H100._replace(name="Tesla K80", capability=(3, 7), built_for=False))
    assert good.status == "ok"
    assert good.detail.startswith("NVIDIA H100, compute capability 9.0, 80 GiB; training and scoring in full float32, the KKT search's")
    assert "steps are not captured" in good.detail
    assert old.status == "warn"
    assert "this torch has no code for it" in old.detail


def test_the_doctor_tells_of_a_gpu_that_does_not_work_and_of_one_that_rounds(monkeypatch):
    def raises(device: torch.device) -> None:
        raise RuntimeError("CUDA error: no kernel image is available\nand more")

    with monkeypatch.context() as patch:
        patch.setattr(precision, "check", raises)
        broken, _ = gpus(patch, H100, H100)
    assert (broken.status, broken.todo) == ("missing", "see devices above, then nvidia-smi")
    assert broken.detail.endswith("it does not work: RuntimeError: CUDA error: no kernel image is available")
    monkeypatch.setattr(precision, "measured", lambda device: "tf32")
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    coarse, _ = gpus(monkeypatch, H100, H100)
    assert coarse.status == "missing"
    assert coarse.detail.endswith("whatever PyTorch's settings say: tf32")
    assert "unset" in coarse.todo


def test_a_card_is_known_with_what_torch_can_run_on_it(monkeypatch):
    made = [
        SimpleNamespace(name="new", major=9, minor=0, total_memory=8),
        SimpleNamespace(name="old", major=3, minor=7, total_memory=8),
        SimpleNamespace(name="next", major=12, minor=1, total_memory=8),
    ]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: made[number])
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_80", "sm_90a", "sm_120", "compute_120"])
    assert [(card.name, card.built_for) for card in cards.cards()] == [("new", True), ("old", False), ("next", True)]
