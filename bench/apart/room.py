"""Which attack runs in which process; what it answers is checked again here, where the secret is."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import torch

from bench import precision, registry, tracks
from bench.apart import sandbox, wire
from bench.apart.described import StandIn, given
from bench.apart.process import Process
from bench.apart.wire import Said
from bench.api import Architecture, Attack, Part
from bench.errors import AttackFault, BenchError, StorageError
from bench.faults import MemoryReportedError, ReportedError, is_full, printable
from bench.memory import is_out_of_memory
from bench.torch_state import restored

CHOICES = ("auto", "none", "bwrap")
LONGEST = 2000  # characters of a text that a process of attacks has sent


class Origin(NamedTuple):
    """Where an attack comes from. Attacks of one origin share a process."""

    file: str  # a plug-in's, or words for an entry point; empty: this project
    imported: bool = False  # here too, where the secret is


class Done(NamedTuple):
    """What came of a call: of each run its answer, or what is wrong with it; and what the process used, in MiB."""

    answers: list[Any | AttackFault]
    peak: float | None


class Room:
    """The processes of attacks of one run, or of one worker of it. Each starts when it is first asked, or earlier by `warm`.

    Args:
        choice: auto: in a sandbox where there is one; none: as plain processes; bwrap: in a sandbox or not at all.
        gpu: attacks may use a GPU.
        alone: each process is the head of a group of its own; else a worker's group, with which it ends.

    Raises:
        BenchError: there is no such choice, or no sandbox.
    """

    def __init__(self, choice: str = "auto", *, gpu: bool = False, alone: bool = True) -> None:
        if choice not in CHOICES:
            raise BenchError(f"--sandbox {choice}: not understood", expected=", ".join([*CHOICES, "off"]), got=repr(choice))
        lacking = "" if choice == "none" else sandbox.works()
        if choice == "bwrap" and lacking:
            raise BenchError(
                "there is no sandbox here", expected="bubblewrap, for --sandbox bwrap", got=lacking, hint="install it, or --sandbox none"
            )
        self.choice, self.sandboxed = choice, choice != "none" and not lacking
        self._gpu, self._alone = gpu, alone
        self._processes: dict[str, Process] = {}
        self._accepted: set[tuple[str, str, str]] = set()
        self._origins: dict[type, Origin | None] = {}

    def __enter__(self) -> Room:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Ends all processes."""
        while self._processes:
            self._processes.popitem()[1].close()

    def origin(self, name: str, cls: type[Attack]) -> Origin | None:
        """Where an attack comes from; None: its class is no file's, so that no other process can have it."""
        if cls not in self._origins:
            self._origins[cls] = _origin(name, cls)
        return self._origins[cls]

    def isolation(self, name: str, cls: type[Attack]) -> str:
        """What holds an attack back, as rows tell it."""
        origin = self.origin(name, cls)
        if origin is None:
            return "none"
        return "imported" if origin.imported else "bwrap" if self.sandboxed else "process"

    def warm(self, attacks: Mapping[str, type[Attack] | None]) -> None:
        """Starts the processes of attacks, by name. That takes them a second or two, in which the caller has other work."""
        for name, cls in attacks.items():
            origin = None if cls is None else self.origin(name, cls)
            if cls is not None and origin is not None:
                self._process(origin.file, [*_loaded(origin.file), *_files_of_track(cls.track)])

    def wait(self, name: str, cls: type[Attack]) -> None:
        """Until the process of an attack has imported it, which is no part of the attack's time. If it cannot, the attack's cell tells."""
        origin = self.origin(name, cls)
        if origin is not None:
            with contextlib.suppress(BenchError, ReportedError):
                self._ask(origin.file, {"do": "ready", "load": _loaded(origin.file)}, _nothing)

    def describe(self, file: str) -> list[Any]:
        """What a file, or an entry point, registers, as `bench.apart.described` words it in the process that has imported it.

        Raises:
            BenchError: it raises at import, or registers nothing.
        """
        classes = self._ask(file, {"do": "describe", "load": _loaded(file), "origin": file}, _nothing).words.get("classes")
        if not isinstance(classes, list):
            raise AttackFault("the attack's process sent what is no answer", expected="the classes of a file")
        return classes

    def accept(self, file: str, name: str, hyperparameters: Mapping[str, Any]) -> None:
        """Lets hyperparameters pass that an attack of a file takes. Asked once: an attack is made again for every rung and plan.

        Raises:
            BenchError: it refuses them, or its process has ended.
        """
        key = (file, name, repr(sorted(hyperparameters.items())))
        if key in self._accepted:
            return
        try:
            self.ask(file, "accept", name, hyperparameters)
        except ReportedError as error:
            raise BenchError(
                f"attack '{name}' refuses its hyperparameters",
                expected="values that its class accepts",
                got=str(error),
                hint=f"python -m bench info {name}",
            ) from None
        self._accepted.add(key)

    def ask(
        self,
        file: str,
        do: str,
        name: str,
        hyperparameters: Mapping[str, Any],
        release: Any = None,
        track: str = "",
        architecture: Architecture | None = None,
    ) -> dict[str, Any]:
        """What an attack of a file says of itself: ``accept``, ``unsupported``, ``memory``.

        Args:
            release: narrowed.

        Raises:
            ReportedError: it has raised.
            BenchError: it refuses, or its process has ended.
        """
        message: dict[str, Any] = {
            "do": do,
            "load": [file],
            "name": name,
            "hyperparameters": dict(hyperparameters),
            "architecture": architecture,
        }
        if release is not None:
            message |= {"release": handed(release, track), "load": [*_loaded(file), *_files_of_track(track)]}
        owner = f"{name} {_digest(file)}"
        return self._ask(file, message, lambda question: _answer(question, [release], owner)).words

    def attack(
        self,
        name: str,
        cls: type[Attack],
        attacks: Sequence[Attack],
        releases: Sequence[Any],
        targets: Sequence[str],
        generators: Sequence[torch.Generator],
        device: torch.device,
    ) -> Done:
        """One call of an attack in its process.

        Args:
            attacks: of this class, one a run, as are the following.
            releases: narrowed.
            targets: ids; runs on one target have equal releases.

        Raises:
            ReportedError: the attack has raised, or memory has run out.
            AttackFault: its process has ended, or sends what it should not.
            StorageError: what it keeps cannot be written.
        """
        origin = self.origin(name, cls)
        assert origin is not None
        places = {target: f"{place}" for place, target in enumerate(dict.fromkeys(targets))}  # an id would tell a transplant by its name
        packed: dict[str, tuple[bytes, bytes]] = {}
        for target, release in zip(targets, releases, strict=True):
            if places[target] not in packed:
                packed[places[target]] = handed(release, cls.track)
        message = {
            "do": "attack",
            "load": [*_loaded(origin.file), *_files_of_track(cls.track)],
            "name": name,
            "track": cls.track,
            "device": str(device),
            "releases": packed,
            "runs": [
                (places[target], _hyperparameters(one), generator.get_state())
                for target, one, generator in zip(targets, attacks, generators, strict=True)
            ],
        }
        owner = f"{name} {_digest(origin.file)}" if origin.file else ""
        said = self._ask(origin.file, message, lambda question: _answer(question, releases, owner))
        return Done(_answers(said, releases, cls.track), _noted(said))

    def _ask(self, file: str, message: Mapping[str, Any], answer: Any) -> Said:
        process = self._process(file, message["load"])
        said = process.call(message, answer)
        if said.words.get("say") == "raised":
            if self._gpu:  # after a fault on a GPU its process may use it no more
                process.close()
            refused = said.words.get("refused")
            if isinstance(refused, list) and len(refused) == 4:
                raise _refusal(BenchError, refused)
            text = printable(str(said.words.get("text"))[:LONGEST])
            raise (MemoryReportedError if said.words.get("memory") is True else ReportedError)(text)
        if said.words.get("say") != "done":
            raise AttackFault("the attack's process sent what is no answer")
        return said

    def _process(self, file: str, load: Sequence[str]) -> Process:
        """The living process of an origin, which can read these files."""
        found, readable = self._processes.get(file), set(load)
        if found is None or not found.alive or (self.sandboxed and not found.readable.issuperset(load)):
            if found is not None:
                found.close()
                readable |= found.readable
            found = Process(sandboxed=self.sandboxed, gpu=self._gpu, alone=self._alone, readable=sorted(readable))
            self._processes[file] = found
        return found


def _origin(name: str, cls: type[Attack]) -> Origin | None:
    entry = registry.entries("attack").get(name)
    if entry is None:
        return None
    if entry.cls is not None:
        known = entry.cls is cls and (entry.made is not None or os.path.isfile(entry.origin))
        return Origin(entry.origin, imported=entry.made is None) if known else None
    ours = entry.entry_point is None and cls.__module__ == entry.module and getattr(cls, "name", None) == name
    return Origin("") if ours else None


def _nothing(said: Said) -> dict[str, Any]:
    return {"refused": ("there is nothing to ask", "", "", "")}


def _loaded(file: str) -> list[str]:
    """What a process loads first: a plug-in's file. Entry points it finds by name."""
    return [file] if os.path.isfile(file) else []


def _files_of_track(track: str) -> list[str]:
    """The file that has brought a track, if one has."""
    entry = registry.entries("track").get(track)
    return [entry.origin] if entry is not None and entry.cls is not None else []


def _digest(file: str) -> str:
    try:
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()[:16]
    except OSError:
        return file


def _hyperparameters(attack: Attack) -> dict[str, Any]:
    return attack.given() if isinstance(attack, StandIn) else given(attack)


def handed(release: Any, track: str) -> tuple[bytes, bytes]:
    """A release, its parts left out, and what stands for these."""
    parts = {name: value for name, value in release.held().items() if isinstance(value, Part)}
    try:
        whole = wire.dumps(release, {id(part): name for name, part in parts.items()})
        return whole, wire.dumps({name: part.stand_in() for name, part in parts.items()})
    except Exception as error:
        raise BenchError(
            f"a release of the track '{track}' cannot be handed to another process",
            expected="tensors, plain values, functions of modules, and parts (bench.api.Part)",
            got=f"{type(error).__name__}: {error}",
            hint="--sandbox off",
        ) from error


def _answer(said: Said, releases: Sequence[Any], owner: str) -> dict[str, Any]:
    """What the process is told that has asked a part of a release."""
    words = said.words
    run, name, facts = words.get("run"), words.get("part"), words.get("facts")
    try:
        part = releases[run].held().get(str(name)) if type(run) is int and 0 <= run < len(releases) else None
        if not isinstance(part, Part) or not isinstance(facts, dict):
            raise BenchError("there is no such part of a release", got=repr(name)[:60])
        with restored():
            tensors, told = part.answer(str(words.get("question")), said.tensors, facts, owner)
        return {"tensors": dict(tensors), "facts": told}
    except StorageError:
        raise
    except BenchError as error:
        return {"refused": (error.what, error.expected, error.got, error.hint)}
    except Exception as error:  # questions may be any nonsense
        if is_full(error):
            raise
        return {"raised": f"{type(error).__name__}: {error}", "memory": is_out_of_memory(error)}


def _answers(said: Said, releases: Sequence[Any], track: str) -> list[Any | AttackFault]:
    """Of each run the answer, or what is wrong with it."""
    runs = said.words.get("runs")
    if not isinstance(runs, list) or len(runs) != len(releases):
        raise AttackFault("the attack's process sent what is no answer", expected=f"{len(releases)} answers, one a run")
    own: list[dict[str, torch.Tensor]] = [{} for _ in runs]
    for name, tensor in said.tensors.items():
        number, _, field = name.partition("/")
        if number.isdecimal() and int(number) < len(own):
            own[int(number)][field] = tensor
    return [_answered(track, *one) for one in zip(runs, own, releases, strict=True)]


def _answered(track: str, run: Any, tensors: Mapping[str, torch.Tensor], release: Any) -> Any | AttackFault:
    work = tracks.get(track).work
    try:
        if "fault" in run:
            return _refusal(AttackFault, run["fault"])
        return work.check_answer(work.unpack(tensors, run["facts"]), release)
    except AttackFault as fault:
        return fault
    except Exception as error:
        return AttackFault("the attack's process sent what is no answer", got=f"{type(error).__name__}: {error}"[:LONGEST])


def _refusal(kind: type[BenchError], texts: Sequence[Any]) -> Any:
    what, expected, got, hint = ("\n".join(map(printable, str(text)[:LONGEST].splitlines())) for text in texts)
    return kind(what, expected=expected, got=got, hint=hint)


def _noted(said: Said) -> float | None:
    """Passes on what the process has noted beside its answers; returns the memory that it took, in MiB."""
    notes, rounding, peak = said.words.get("notes"), said.words.get("rounding"), said.words.get("peak")
    for note in notes if isinstance(notes, list) else ():
        warnings.warn(printable(str(note)[:LONGEST]), stacklevel=2)
    if rounding in precision.COARSER:
        precision.note(rounding)
    return float(peak) if isinstance(peak, int | float) and math.isfinite(peak) and peak >= 0 else None
