"""What stands in for a GPU's captures on a CPU: a mode that refuses what a captured step may not do, and graphs that only pretend."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bench.capture import WARM_UP


class NothingReadBack(TorchDispatchMode):
    """Refuses what a captured CUDA graph cannot do: numbers that the host reads, and shapes that follow from numbers.

    What is left may make tensors, but the same ones each time: ``shapes`` says what a step made.
    """

    REFUSED = ("local_scalar_dense", "nonzero", "is_nonzero", "masked_select", "unique", "equal", "item")

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[tuple[str, tuple[int, ...]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name().removeprefix("aten::").partition(".")[0].lstrip("_")
        assert name not in self.REFUSED, f"{name} in a step that is captured on a GPU"
        assert not (name == "index" and any(i is not None and i.dtype == torch.bool for i in args[1])), "a mask as index"
        result = func(*args, **(kwargs or {}))
        self.shapes += [(name, tuple(made.shape)) for made in tree_leaves(result) if isinstance(made, torch.Tensor)]
        return result


class Watched:
    """In place of `bench.capture.Repeated`, on a CPU: no step reads anything back, and once warmed up each makes tensors of the same
    shapes, as replays would. Counts the steps of all that are made."""

    steps = 0

    def __init__(
        self, step: Callable[[], None], device: torch.device, *, before: Callable[[], None] = lambda: None, alone: bool = False
    ) -> None:
        self.step, self.before = step, before
        self.count, self.shapes = 0, [("", (0,))]

    def __call__(self, times: int) -> None:
        for _ in range(times):
            self.before()
            with NothingReadBack() as mode:
                self.step()
            assert self.count <= WARM_UP or mode.shapes == self.shapes, "tensors of other shapes than in the step before"
            self.shapes = mode.shapes
            self.count += 1
            Watched.steps += 1


def same_every_time(step: Callable[[], None], times: int) -> None:
    """In place of `bench.capture.repeat`: does a step so often, watched."""
    Watched(step, torch.device("cpu"))(times)


class FakeGraphs:
    """Graphs that note what is recorded, and do it when they are replayed; ``fail`` raises in a phase."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fail: str = "", error: Exception | None = None) -> None:
        self.recording = False
        self.done: list[str] = []
        self.kept: list[str] = []
        self.streams: list[str] = []  # entered and not left
        self.emptied = 0
        self.fail, self.error = fail, error

        fakes = self

        class Graph:
            def replay(self) -> None:
                fakes.maybe("replay")
                fakes.done.extend(fakes.kept)

        @contextlib.contextmanager
        def record(graph: Graph) -> Iterator[None]:
            self.maybe("begin")
            self.recording = True
            try:
                yield
            finally:
                self.recording = False
                self.maybe("end")

        @contextlib.contextmanager
        def enter(stream: object) -> Iterator[None]:
            self.streams.append("side")
            try:
                yield
            finally:
                self.streams.pop()

        def empty() -> None:
            self.emptied += 1

        stream = SimpleNamespace(wait_stream=lambda other: None)
        replaced = {
            "Stream": lambda device: stream,
            "current_stream": lambda device: stream,
            "stream": enter,
            "CUDAGraph": Graph,
            "graph": record,
            "synchronize": lambda device: None,
            "empty_cache": empty,
        }
        for name, fake in replaced.items():
            monkeypatch.setattr(torch.cuda, name, fake)

    def maybe(self, phase: str) -> None:
        if phase == self.fail and self.error is not None:
            raise self.error

    def step(self) -> None:
        """A step that says that it was done, or recorded."""
        self.maybe("record" if self.recording else "step")
        (self.kept if self.recording else self.done).append("step")
