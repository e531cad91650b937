"""The line to a server: whoever calls over it waits, is told so, and does not wait for ever.

Some libraries know no timeouts, try again for a quarter of an hour, or ask servers of credentials that nobody answers for; in compiled code
not even Ctrl-C gets through. So each call runs in a thread of its own, which is left behind when no answer comes.
"""

from __future__ import annotations

import concurrent.futures
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from bench.say import say

T = TypeVar("T")

PATIENCE = 30.0  # seconds without an answer before a call is given up
WORD = 5.0  # seconds without an answer before the reader is told


class Line:
    """The line to one place. Several threads may call at once.

    Args:
        place: how messages name it: without credentials.
    """

    def __init__(self, place: str) -> None:
        self._place = place
        self._left: list[threading.Thread] = []  # calls that were given up
        self._told = float("-inf")  # when the reader was last told, on the monotonic clock

    def call(self, function: Callable[[], T], times: int = 1) -> T:
        """What the function returns or raises. While an earlier call is still without an answer, no other is begun.

        Args:
            times: 30 s are allowed so many times over: for what takes long on a line that works.

        Raises:
            TimeoutError: no answer.
        """
        patience = PATIENCE * times
        if any(thread.is_alive() for thread in self._left):
            raise TimeoutError(f"no answer in {PATIENCE:g} s to what was asked before")
        self._left = []
        answer: concurrent.futures.Future[T] = concurrent.futures.Future()

        def work() -> None:
            try:
                answer.set_result(function())
            except BaseException as error:  # raised again where the answer is awaited
                answer.set_exception(error)

        # a daemon: the program ends without it
        thread = threading.Thread(target=work, name=f"call to {self._place}", daemon=True)
        thread.start()
        concurrent.futures.wait([answer], min(WORD, patience))
        if not answer.done() and patience > WORD:
            self._tell(patience)
            concurrent.futures.wait([answer], patience - WORD)
        if not answer.done():
            self._left.append(thread)
            raise TimeoutError(f"no answer in {patience:g} s")
        return answer.result()

    def _tell(self, patience: float) -> None:
        now = time.monotonic()
        if now - self._told >= PATIENCE:  # once for many calls at the same time
            self._told = now
            say(f"waiting for {self._place}, {patience:g} s at most")
