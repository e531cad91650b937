"""The process of attacks: loads them, runs them on what it is handed, and says what they answer. It dies with the run.

It knows no data, no split and no store, and what it says is not believed: see ``bench.apart.room``.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import select
import socket
import sys
import threading
import warnings
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from bench import registry, tracks
from bench.apart import wire
from bench.apart.attempt import attempt
from bench.apart.described import described
from bench.errors import AttackFault, BenchError
from bench.faults import blame
from bench.memory import forget_peak, is_out_of_memory, peak_memory_mb
from bench.notes import Notes
from bench.posix import dies_with_its_parent
from bench.precision import watched


def main(number: int) -> None:
    """The life of a process of attacks.

    Args:
        number: of the socket that leads to the run.
    """
    line = socket.socket(fileno=number)
    os.set_inheritable(number, False)  # what attacks start has no part in it
    _dies_with_the_run(line)
    faulthandler.enable()
    try:
        setup = wire.receive(line)
        sys.path[:] = setup["path"]
        torch.set_num_threads(setup["threads"])
        while True:
            message = wire.receive(line)
            said = _Task(line).answer(message)
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError, ValueError, AttributeError):  # the attack may have closed it
                    stream.flush()
            wire.say(line, *said)
    except (EOFError, ConnectionError):  # the run has gone
        return


def _dies_with_the_run(line: socket.socket) -> None:
    """Also where the system does not end this process with its parent: there a thread does."""
    dies_with_its_parent()

    def watch() -> None:
        poll = select.poll()
        poll.register(line.fileno(), 0)  # asks for nothing but hears of the end
        poll.poll()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class _Task:
    """What the run asks for once, and what was warned of meanwhile."""

    def __init__(self, line: socket.socket) -> None:
        self.line = line
        self.notes = Notes()

    def answer(self, message: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Does it. Whatever goes wrong is an answer too."""
        warnings.showwarning = self.notes
        try:
            for file in message["load"]:
                if file not in registry.plugin_files():
                    registry.load_plugin(file)
            return getattr(self, message["do"])(message)  # type: ignore[no-any-return]
        except Exception as error:
            refused = [error.what, error.expected, error.got, error.hint] if isinstance(error, BenchError) else None
            return {"say": "raised", "text": blame(error), "memory": is_out_of_memory(error), "refused": refused}, {}

    def ready(self, message: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """All is imported."""
        return {"say": "done"}, {}

    def describe(self, message: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """What has been registered under an origin: a file, or an entry point."""
        entries = [entry for kind in registry.GROUPS for entry in registry.entries(kind).values()]
        return {"say": "done", "classes": [described(entry) for entry in entries if entry.origin == message["origin"]]}, {}

    def accept(self, message: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Whether an attack takes its hyperparameters."""
        self._made(message)
        return {"say": "done"}, {}

    def unsupported(self, message: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Why an attack does not apply, or nothing."""
        reason = self._made(message).unsupported(message["architecture"])
        if not isinstance(reason, str):
            raise BenchError(f"unsupported() returned {type(reason).__name__}, not a text")
        return {"say": "done", "reason": reason}, {}

    def memory(self, message: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """What an attack would take."""
        return {"say": "done", "bytes": int(self._made(message).memory(self._release(0, *message["release"])))}, {}

    @staticmethod
    def _made(message: Mapping[str, Any]) -> Any:
        return registry.get("attack", message["name"])(**message["hyperparameters"])

    def attack(self, message: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Runs of one attack: see Room.attack."""
        cls = registry.get("attack", message["name"])
        track = tracks.get(message["track"]).answering
        device = torch.device(message["device"])
        forget_peak(device)
        releases, generators = [], []
        prints: dict[str, str] = {}
        for run, (target, _, state) in enumerate(message["runs"]):
            releases.append(self._release(run, *message["releases"][target]))
            if target not in prints:
                prints[target] = track.fingerprint(releases[-1])
            generators.append(torch.Generator())
            generators[-1].set_state(state)
        attacks = [cls(**hyperparameters) for _, hyperparameters, _ in message["runs"]]
        before = [prints[target] for target, _, _ in message["runs"]]
        with watched(device) as watch:
            answers = attempt(cls, track, attacks, releases, before, generators)
        runs: list[dict[str, Any]] = []
        tensors: dict[str, Tensor] = {}
        for run, answer in enumerate(answers):
            if isinstance(answer, AttackFault):
                runs.append({"fault": [answer.what, answer.expected, answer.got, answer.hint]})
                continue
            packed, facts = track.pack(track.rounded(answer))
            tensors |= {f"{run}/{name}": tensor for name, tensor in packed.items()}
            runs.append({"facts": facts})
        words = {"say": "done", "runs": runs, "peak": peak_memory_mb(device), "rounding": watch.coarsest, "notes": self.notes.taken()}
        return words, tensors

    def _release(self, run: int, packed: bytes, stand_ins: bytes) -> Any:
        """A run's own copy of its release."""
        makers = wire.loads(stand_ins, lambda name: None)
        return wire.loads(packed, lambda name: makers[name](partial(self._ask, run, name)))

    def _ask(
        self, run: int, part: str, question: str, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]
    ) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Puts a question to a part of a release; see `bench.api.Part`."""
        wire.say(self.line, {"say": "ask", "run": run, "part": part, "question": question, "facts": dict(facts)}, tensors)
        told = wire.receive(self.line)
        if "refused" in told:
            what, expected, got, hint = told["refused"]
            raise BenchError(what, expected=expected, got=got, hint=hint)
        if "raised" in told:
            raise MemoryError(told["raised"]) if told["memory"] else RuntimeError(told["raised"])
        return told["tensors"], told["facts"]


if __name__ == "__main__":
    main(int(sys.argv[1]))
