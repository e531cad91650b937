"""Captured steps are done as often as asked, and a capture that fails ends well: on graphs that only pretend."""

from __future__ import annotations

import pytest
import torch

from bench.capture import WARM_UP, Repeated, repeat
from bench.memory import fitting
from tests.captures import FakeGraphs, NothingReadBack, same_every_time

CPU, GPU = torch.device("cpu"), torch.device("cuda")
FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def test_on_a_cpu_a_step_is_called() -> None:
    count = torch.zeros(())

    def step() -> None:
        count.add_(1)

    assert not repeat(step, 7, CPU)
    assert count.item() == 7


@pytest.mark.parametrize("times", [0, 1, WARM_UP, WARM_UP + 1, 10])
def test_a_captured_step_is_done_as_often_as_asked(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    graphs = FakeGraphs(monkeypatch)
    assert repeat(graphs.step, times, GPU) == (times > WARM_UP)
    assert len(graphs.done) == times
    assert graphs.streams == []


def test_in_pieces_it_is_captured_once_and_what_comes_before_a_step_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    graphs, drawn = FakeGraphs(monkeypatch), []
    repeated = Repeated(graphs.step, GPU, before=lambda: drawn.append(len(graphs.done)))
    for times in (1, 0, 1, 2, 5, 1):
        repeated(times)
    assert len(graphs.done) == 10
    assert graphs.kept == ["step"]
    assert drawn == list(range(10))  # once before each


@pytest.mark.parametrize("phase", ["begin", "record", "end"])
def test_out_of_memory_in_a_capture_halves_the_stack(monkeypatch: pytest.MonkeyPatch, phase: str) -> None:
    """Until it fits, and with one as a loop; the stream is the one before, and what the capture held is let go."""
    halved: list[int] = []

    def attack(count: int) -> int:
        graphs = FakeGraphs(monkeypatch, phase if count > 2 else "", FULL)
        try:
            repeat(graphs.step, 10, GPU, alone=count == 1)
        finally:
            assert graphs.streams == []
            assert graphs.emptied == (count > 2)
        return len(graphs.done)

    assert fitting(attack, 8, halved.append) == 10
    assert halved == [4, 2]


@pytest.mark.parametrize("phase", ["begin", "record", "end"])
def test_what_cannot_be_halved_goes_on_as_a_loop(monkeypatch: pytest.MonkeyPatch, phase: str) -> None:
    graphs = FakeGraphs(monkeypatch, phase, FULL)
    with pytest.warns(UserWarning, match=r"runs as a loop, slowly \(OutOfMemoryError: CUDA out of memory"):
        assert not repeat(graphs.step, 10, GPU, alone=True)
    assert len(graphs.done) == 10
    assert graphs.streams == []
    assert graphs.emptied == 1


def test_an_error_at_the_end_of_a_capture_does_not_hide_that_memory_ran_out(monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = FakeGraphs(monkeypatch, "end", RuntimeError("CUDA error: operation failed due to a previous error during capture"))

    def step() -> None:
        if graphs.recording:
            raise FULL
        graphs.step()

    with pytest.raises(torch.OutOfMemoryError, match="the capture of a step ran out of memory"):
        repeat(step, 10, GPU)


def test_what_cannot_be_captured_runs_as_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = FakeGraphs(monkeypatch, "record", RuntimeError("CUDA error: operation not permitted when stream is capturing"))
    with pytest.warns(UserWarning, match="operation not permitted"):
        assert not repeat(graphs.step, 10, GPU)
    assert len(graphs.done) == 10


@pytest.mark.parametrize("phase", ["step", "replay"])
def test_out_of_memory_outside_of_a_capture_is_the_stacks(monkeypatch: pytest.MonkeyPatch, phase: str) -> None:
    graphs = FakeGraphs(monkeypatch, phase, FULL)
    with pytest.raises(torch.OutOfMemoryError, match="Tried to allocate"):
        repeat(graphs.step, 10, GPU, alone=True)
    assert graphs.streams == []


def test_a_fault_of_the_code_is_no_matter_of_captures(monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = FakeGraphs(monkeypatch, "record", TypeError("not a tensor"))
    with pytest.raises(TypeError, match="not a tensor"):
        repeat(graphs.step, 10, GPU, alone=True)


def test_the_watch_over_steps_refuses_what_a_graph_cannot_hold() -> None:
    x = torch.arange(4.0)
    for step in (lambda: x.sum().item(), lambda: x[x > 1], lambda: bool((x > 1).all()), lambda: x.nonzero()):
        with pytest.raises(AssertionError, match=r"captured on a GPU|a mask as index"), NothingReadBack():
            step()
    sizes = iter((1, 2, 3, 3, 2))

    def step() -> None:
        x[: next(sizes)].add_(1)

    with pytest.raises(AssertionError, match="other shapes"):
        same_every_time(step, 5)
