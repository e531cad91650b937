"""Repeats a step: a Python loop on a CPU, replays of one captured CUDA graph on a GPU.

A step of training or of an attack launches some forty small kernels; from Python each launch costs about as much as the kernel itself.
Captured once, the whole step is one launch. This is the only place that knows: a step must work in place on tensors that exist beforehand,
read nothing back, and keep nothing in Python that changes from step to step.

A capture has memory of its own, which the steps before it, on a side stream, have left free. Where it does not fit, the capture ends and
the error goes on, so that whoever stacks tries half as many; what cannot be halved, and what cannot be captured, goes on as a loop.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch

from bench.memory import is_out_of_memory

WARM_UP = 3  # steps before a capture, on a side stream, so that libraries have made their handles and workspaces
CAPTURED = "training, but for that on rehearsals or by a defence's own steps, and the KKT search, but through a forward function of others"


def captured(device: torch.device) -> bool:
    """Whether steps there are replayed from a graph, and so must not look at any number."""
    return device.type == "cuda"


def repeat(step: Callable[[], None], times: int, device: torch.device, *, alone: bool = False) -> bool:
    """Calls ``step`` so many times, or does what that would do; says whether it was captured. Arguments and errors as of `Repeated`."""
    if times <= WARM_UP:
        for _ in range(times):
            step()
        return False
    repeated = Repeated(step, device, alone=alone)
    repeated(times)
    if captured(device):
        torch.cuda.synchronize(device)
    return repeated.graph is not None


class Repeated:
    """A step that is done as often as it is asked for, a few times or many.

    Args:
        before: is called before each step, is never captured, and so may do what a step may not.
        alone: whether there is no smaller stack to try: where a capture does not fit, go on without.
    """

    def __init__(
        self, step: Callable[[], None], device: torch.device, *, before: Callable[[], None] | None = None, alone: bool = False
    ) -> None:
        self.step, self.before, self.device, self.alone = step, before, device, alone
        self.graph: torch.cuda.CUDAGraph | None = None
        self.warmed = 0 if captured(device) else None  # steps before the capture; None: there is, or will be, none

    def __call__(self, times: int) -> None:
        """So many steps.

        Raises:
            torch.OutOfMemoryError: the capture does not fit, and half of the stack may.
        """
        while times and self.warmed is not None:
            if self.warmed < WARM_UP:
                self._beside(self._once)
                self.warmed, times = self.warmed + 1, times - 1
            else:
                self.warmed, self.graph = None, self._capture()
        for _ in range(times):
            self._once()

    def _once(self) -> None:
        if self.before is not None:
            self.before()
        if self.graph is None:
            self.step()
        else:
            self.graph.replay()

    def _beside(self, call: Callable[[], None]) -> None:
        """On a side stream, as a capture is; whatever happens there, this stream is the current one afterwards."""
        side, here = torch.cuda.Stream(self.device), torch.cuda.current_stream(self.device)
        side.wait_stream(here)
        try:
            with torch.cuda.stream(side):
                call()
        finally:
            here.wait_stream(side)

    def _capture(self) -> torch.cuda.CUDAGraph | None:
        """The step as a graph, which records it and does not run it; None where it goes on without."""
        made: list[torch.cuda.CUDAGraph] = []
        full, said = False, ""

        def record() -> None:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):  # ends the capture whatever happens, and frees what the allocator keeps before it begins
                self.step()
            made.append(graph)

        try:
            self._beside(record)
        except (MemoryError, RuntimeError) as error:
            full, said = _for_memory(error), f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        if made:
            return made[0]
        torch.cuda.empty_cache()  # outside the handler, whose traceback holds the tensors of the capture
        if full and not self.alone:
            raise torch.OutOfMemoryError(f"the capture of a step ran out of memory ({said})")
        warnings.warn(f"a step could not be captured and runs as a loop, slowly ({said})", stacklevel=2)
        return None


def _for_memory(error: BaseException | None) -> bool:
    """Whether memory ran out. The end of a capture that has failed may raise an error of its own over the one that made it fail."""
    while error is not None:
        if is_out_of_memory(error):
            return True
        error = error.__context__
    return False
