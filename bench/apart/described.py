"""What a class of a plug-in is like, in plain words: said where its file is imported, made a class of again where it is not."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from bench import registry
from bench.api import Architecture, Attack, Claim, Objective
from bench.errors import BenchError
from bench.faults import ReportedError

SHOWN = 2000  # characters of a text


class Imported(Protocol):
    """Where plug-ins are imported, as ``bench.apart.room.Room``."""

    def describe(self, file: str) -> list[Any]:
        """What a file registers."""

    def accept(self, file: str, name: str, hyperparameters: Mapping[str, Any]) -> None:
        """Lets hyperparameters pass."""

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
        """What an attack of a file says of itself."""


class Opaque:
    """A default that is no plain value: only what it is printed as is known."""

    def __init__(self, shown: str) -> None:
        self.shown = shown

    def __repr__(self) -> str:
        return self.shown


def described(entry: registry.Entry) -> dict[str, Any]:
    """A registered class as JSON; of an attack with all that a plan, a row and a page need of it."""
    cls = cast(Any, registry.get(entry.kind, entry.name))
    said: dict[str, Any] = {"kind": entry.kind, "name": entry.name}
    if entry.kind != "attack":
        return said
    facts = {name: _plain(getattr(cls, name)) for name in ("paper", "track", "role", "kkt", "ranges", "budget")}
    fields = None
    if dataclasses.is_dataclass(cls):
        fields = [
            {
                "name": field.name,
                "type": field.type if isinstance(field.type, str) else getattr(field.type, "__name__", ""),
                **({} if _default(field) is dataclasses.MISSING else {"default": _plain(_default(field))}),
            }
            for field in dataclasses.fields(cls)
            if field.init
        ]
    return {
        **said,
        "class": cls.__name__,
        "source": inspect.getfile(cls),
        "doc": cls.__doc__,
        "summary": entry.summary,
        "facts": facts,
        "needs": sorted(cls.needs),
        "version": cls.__dict__.get("version"),
        "goes_by": [cls.goes_by.name, cls.goes_by.better],
        "claims": [_plain(dataclasses.asdict(claim)) for claim in cls.__dict__.get("claims") or () if isinstance(claim, Claim)],
        "fields": fields,
        "own": [name for name in METHODS if getattr(cls, name) is not getattr(Attack, name)],
        "refuses": hasattr(cls, "__post_init__") or not dataclasses.is_dataclass(cls),
    }


class StandIn(Attack):
    """Stands for an attack whose file is not imported in this process. What it cannot know it asks the process that has imported it."""

    file: str = ""
    room: Imported | None = None  # where to ask; None: nobody is asked, as where pages are made
    described: Mapping[str, Any] = {}

    def __post_init__(self) -> None:
        if self.described["refuses"] and self.room is not None:
            self.room.accept(self.file, self.described["name"], self.given())

    def given(self) -> dict[str, Any]:
        """Its hyperparameters, but for defaults that only the class itself knows."""
        return {name: value for name, value in given(self).items() if not isinstance(value, Opaque)}

    def reconstruct(self, release: Any, generator: Any) -> Any:
        """Not here."""
        raise BenchError(f"attack '{self.described['name']}' runs in a process of its own", hint="--sandbox off imports its file here")


def load_plugin(path: str | Path, room: Imported) -> list[registry.Entry]:
    """As ``registry.load_plugin``; but a file that registers attacks alone is imported in its own process only, and stand-ins are known
    here. A file that brings anything else, such as a track, is imported here too: its attacks' rows say so.

    Raises:
        BenchError: as there; or its process ends over it.
    """
    file = str(registry.plugin_path(path))
    classes = room.describe(file)
    try:
        apart = all(said["kind"] == "attack" for said in classes) and bool(classes)
        makers = [functools.partial(made, said, file) for said in classes] if apart else []
        for make in makers:
            make(None)
    except BenchError:
        raise
    except Exception as error:  # a process may say anything
        raise BenchError(f"plug-in {file} is not described as plug-ins are", got=f"{type(error).__name__}: {error}"[:SHOWN]) from error
    return registry.stand_in(file, makers, room) if apart else registry.load_plugin(file)


def load_packages(names: Iterable[str], room: Imported) -> None:
    """Attacks that other packages bring by entry points are imported in a process of each package's own; stand-ins are known here.

    Args:
        names: of attacks that are going to be needed.

    Raises:
        BenchError: one raises at import, or is no attack.
    """
    known = registry.entries("attack")
    for name in dict.fromkeys(names):
        entry = known.get(name)
        if entry is not None and entry.entry_point is not None and entry.cls is None:
            said = next((one for one in room.describe(entry.origin) if one.get("name") == name), None)
            if said is None:
                raise BenchError(f"entry point '{name}' of {entry.origin} names another attack", expected=f"a class whose name is '{name}'")
            registry.stand_in_for(entry, functools.partial(made, said, entry.origin), room)


def made(said: Mapping[str, Any], file: str, room: Imported | None) -> type[StandIn]:
    """The class that stands for the one described."""
    module = sys.modules.setdefault(name := registry.plugin_module(Path(file)), types.ModuleType(name))
    module.__file__ = _source(said, file)  # by which its version is known, and nothing of it is in the module
    facts = {key: _value(value) for key, value in said["facts"].items()}
    kinds = {"paper": str, "track": str, "role": str, "kkt": bool, "ranges": dict, "budget": str}
    for key, kind in kinds.items():
        if not isinstance(facts[key], kind):
            raise BenchError(f"plug-in {file}: {key} of attack '{said['name']}' is of the wrong kind", expected=kind.__name__)
    namespace: dict[str, Any] = {
        **{key: facts[key] for key in kinds},
        "__module__": name,
        "__doc__": None if said["doc"] is None else str(said["doc"]),
        "name": said["name"],
        "summary": str(said["summary"]),
        "needs": frozenset(map(str, said["needs"])),
        "goes_by": Objective(*said["goes_by"]),
        "claims": tuple(Claim(**_value(claim)) for claim in said["claims"]),
        "file": file,
        "room": room,
        "described": said,
        **{method: METHODS[method] for method in said["own"]},
    }
    if said["version"] is not None:
        namespace["version"] = int(said["version"])
    if said["fields"] is None:
        return type(str(said["class"]), (StandIn,), namespace)
    fields = [(str(one["name"]), str(one["type"]), _field(one)) for one in said["fields"]]
    return dataclasses.make_dataclass(str(said["class"]), fields, bases=(StandIn,), namespace=namespace, frozen=True)


def _source(said: Mapping[str, Any], file: str) -> str:
    """The file by which an attack's version is known: the plug-in's own, whatever its process says. Where a package's file lies only the
    process knows; that it were one of this project's is not believed."""
    if Path(file).is_file():
        return file
    source = Path(str(said["source"])).resolve()
    return "" if source.is_relative_to(registry.ROOT) else str(source)


def given(attack: Any) -> dict[str, Any]:
    """The hyperparameters of an attack."""
    fields = dataclasses.fields(attack) if dataclasses.is_dataclass(attack) else ()
    return {field.name: getattr(attack, field.name) for field in fields if field.init}


def _unsupported(self: StandIn, architecture: Architecture) -> str:
    """See Attack."""
    if self.room is None:
        return ""
    try:
        said = self.room.ask(self.file, "unsupported", self.described["name"], self.given(), architecture=architecture)
    except ReportedError as error:
        raise BenchError(f"unsupported() raised {error}") from None
    return str(said.get("reason"))[:SHOWN]


def _memory(self: StandIn, release: Any) -> int:
    """See Attack."""
    if self.room is None:
        return Attack.memory(self, release)
    return int(self.room.ask(self.file, "memory", self.described["name"], self.given(), release, self.track)["bytes"])


METHODS: Mapping[str, Callable[..., Any]] = {"unsupported": _unsupported, "memory": _memory}  # of classes that have their own


def _field(said: Mapping[str, Any]) -> Any:
    if "default" not in said:
        return dataclasses.field()
    value = _value(said["default"])
    make: Callable[[], Any] = functools.partial(_value, said["default"])
    return dataclasses.field(default_factory=make) if isinstance(value, list | dict) else dataclasses.field(default=value)


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _plain(value: Any) -> Any:
    """A value as JSON that keeps tuples and mappings apart; of another kind, what it is printed as."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, tuple):
        return {"tuple": [_plain(item) for item in value]}
    if isinstance(value, Mapping):
        return {"dict": [[_plain(key), _plain(item)] for key, item in value.items()]}
    return {"opaque": str(value)[:SHOWN]}


def _value(plain: Any) -> Any:
    """The inverse of `_plain`."""
    if isinstance(plain, list):
        return [_value(item) for item in plain]
    if not isinstance(plain, dict):
        return plain
    ((kind, inner),) = plain.items()
    if kind == "tuple":
        return tuple(_value(item) for item in inner)
    return {_value(key): _value(item) for key, item in inner} if kind == "dict" else Opaque(str(inner))
