"""Finds attacks, defences, data sets, metrics, tracks and sections of pages by name; imports only what is asked for.

A plug-in is a class marked ``@register``. It is found in three places: the folders ``attacks/``, ``defenses/``, ``bench/data/``,
``bench/metrics/``, ``bench/tracks/`` and ``bench/report/sections/`` (files and packages); entry points of installed packages (groups
``reconbench.attacks``, ``reconbench.defenses``, ``reconbench.data``, ``reconbench.metrics``, ``reconbench.tracks``,
``reconbench.sections``); and files passed by ``--plugin``. The folders are read by ``ast`` (name, docstring, access tier are literals in
the class), so that listing needs no torch and a broken file breaks only itself.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import hashlib
import importlib
import importlib.util
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Literal

from bench.api import Attack, DataSource, Defense, Metric, Objective, Section, Track
from bench.errors import BenchError, did_you_mean
from bench.regular import path_of

Kind = Literal["attack", "defense", "data", "metric", "track", "section"]
WORDS: dict[Kind, str] = {
    "attack": "attack",
    "defense": "defence",
    "data": "data set",
    "metric": "metric",
    "track": "track",
    "section": "section",
}
BASES: dict[str, type] = {"attack": Attack, "defense": Defense, "data": DataSource, "metric": Metric, "track": Track, "section": Section}
GROUPS: dict[Kind, str] = {
    "attack": "reconbench.attacks",
    "defense": "reconbench.defenses",
    "data": "reconbench.data",
    "metric": "reconbench.metrics",
    "track": "reconbench.tracks",
    "section": "reconbench.sections",
}
ROOT = Path(__file__).resolve().parent.parent
FOLDERS: dict[Kind, Path] = {
    "attack": ROOT / "attacks",
    "defense": ROOT / "defenses",
    "data": ROOT / "bench" / "data",
    "metric": ROOT / "bench" / "metrics",
    "track": ROOT / "bench" / "tracks",
    "section": ROOT / "bench" / "report" / "sections",
}

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,59}")

_plugins: dict[tuple[str, str], Entry] = {}  # filled by load_plugin


@dataclass(frozen=True)
class Entry:
    """What is known of a plug-in without importing it."""

    kind: Kind
    name: str
    summary: str
    origin: str  # file path, or "package (entry point)"
    cls: type | None = None
    module: str = ""
    class_name: str = ""
    entry_point: EntryPoint | None = None
    facts: dict[str, Any] | None = None  # literal class attributes: paper, role, needs, track, version
    claims: str = ""  # source text of the declaration of its claims, if it has one
    made: Callable[[Any], type] | None = None  # makes ``cls``, which stands for a class whose file is not imported in this process


def register(cls: type) -> type:
    """Class decorator: marks an Attack, Defense, DataSource, Metric, Track or Section as a plug-in.

    Raises:
        BenchError: if the class derives from none of the six, has no name, or goes by what is no Objective.
    """
    kind = next((k for k, base in BASES.items() if issubclass(cls, base)), None)
    if kind is None:
        raise BenchError(
            f"@register on {cls.__name__}, which is no plug-in",
            expected="a subclass of bench.api.Attack, Defense, DataSource, Metric, Track or Section",
            got=f"bases {[b.__name__ for b in cls.__bases__]}",
            hint="derive the class from one of them",
        )
    if not isinstance(getattr(cls, "name", None), str) or not cls.name:  # type: ignore[attr-defined]
        raise BenchError(
            f"plug-in class {cls.__name__} has no name", expected='a class attribute name = "..."', hint="add one, in snake_case"
        )
    _check_name(cls.name, cls.__name__)  # type: ignore[attr-defined]
    if issubclass(cls, Attack) and not isinstance(cls.goes_by, Objective):
        raise BenchError(
            f"attack '{cls.name}': goes_by is no bench.api.Objective",
            expected='Objective("confidence", "higher"): the words for its confidences, and which side is better',
            got=repr(cls.goes_by)[:100],
            hint="declare one, or leave it out; a hyperparameter needs another name",
        )
    cls.__bench_kind__ = kind  # type: ignore[attr-defined]
    return cls


def _check_name(name: str, where: str) -> None:
    """Names become parts of file names, of commands and of tables."""
    if not NAME.fullmatch(name):
        raise BenchError(
            f"plug-in {where} has a name that cannot be used",
            expected="up to 60 letters, digits, '_' and '-', beginning with a letter; snake_case as a rule",
            got=repr(name)[:100],
            hint="rename it",
        )


def load_plugin(path: str | Path) -> list[Entry]:
    """Imports a file and makes its registered classes known. A plug-in is code that runs as you.

    Raises:
        BenchError: the file is missing, raises at import, registers nothing, or takes a name that is taken.
    """
    path = plugin_path(path)
    module = _import(lambda: _import_file(plugin_module(path), path), str(path))
    found = [_entry_of(cls, str(path)) for cls in _registered_in(module)]
    if not found:
        raise BenchError(
            f"plug-in {path} registers nothing",
            expected="at least one class marked @register (from bench.registry import register)",
            hint="see attacks/README.md for a complete example",
        )
    return _take(found)


def stand_in(path: str, makers: Sequence[Callable[[Any], type]], room: Any = None) -> list[Entry]:
    """Makes classes known that stand for those of a file which is not imported here.

    Args:
        makers: each makes one, given the room; they can be pickled.
        room: where the file is imported (``bench.apart.room.Room``), to be asked; None: nobody is.

    Raises:
        BenchError: a name that is taken, or no name.
    """
    return _take([dataclasses.replace(_entry_of(register(make(room)), path), made=make) for make in makers])


def stand_in_for(entry: Entry, make: Callable[[Any], type], room: Any) -> None:
    """Makes a class known that stands for that of an entry point, whose package is then not imported here."""
    _plugins[entry.kind, entry.name] = dataclasses.replace(entry, cls=register(make(room)), made=make)


def loaders() -> list[Callable[[], list[Entry]]]:
    """What makes the same plug-ins known in another process, to be pickled; what stands for a class here does so there."""
    found: list[Callable[[], list[Entry]]] = []
    for path in plugin_files():
        makers = [entry.made for entry in _plugins.values() if entry.origin == path and entry.made is not None]
        found.append(functools.partial(stand_in, path, makers) if makers else functools.partial(load_plugin, path))
    return found


def plugin_path(path: str | Path) -> Path:
    """A plug-in's file, as it is known.

    Raises:
        BenchError: there is none.
    """
    path = path_of(path).resolve()
    if not path.is_file():
        raise BenchError(f"plug-in file not found: {path}", expected="a Python file", hint="check the path given to --plugin")
    return path


def plugin_module(path: Path) -> str:
    """The name of the module that a plug-in's file becomes."""
    return f"reconbench_plugin_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"


def _take(found: list[Entry]) -> list[Entry]:
    """Makes plug-ins known, if their names are free."""
    for entry in found:
        for other in [*_static(entry.kind), *_plugins.values()]:
            if (other.kind, other.name) == (entry.kind, entry.name) and other.origin != entry.origin:
                raise _collision(entry, other)
        if sum((other.kind, other.name) == (entry.kind, entry.name) for other in found) > 1:
            raise _collision(entry, entry)
    for entry in found:
        _plugins[entry.kind, entry.name] = entry
    return found


def plugin_files() -> list[str]:
    """The files that ``load_plugin`` has loaded, for processes that must know the same plug-ins."""
    return list(dict.fromkeys(entry.origin for entry in _plugins.values() if entry.entry_point is None))


def entries(kind: Kind) -> dict[str, Entry]:
    """All plug-ins of a kind by name, sorted, without importing them.

    Raises:
        BenchError: two places define one name.
    """
    result: dict[str, Entry] = {}
    for entry in [*_static(kind), *(e for (k, _), e in _plugins.items() if k == kind)]:
        other = result.get(entry.name)
        if other is not None and other.origin != entry.origin:
            raise _collision(entry, other)
        result[entry.name] = entry
    return dict(sorted(result.items()))


def get(kind: Kind, name: str) -> Any:
    """The class of a plug-in, importing its file.

    Raises:
        BenchError: unknown name (with the nearest known one), or a file that raises at import.
    """
    known = entries(kind)
    entry = known.get(name)
    if entry is None:
        raise BenchError(
            f"unknown {WORDS[kind]} '{name}'.{did_you_mean(name, known)}",
            expected="one of " + ", ".join(known),
            got=repr(name),
            hint="python -m bench ls, or load a file with --plugin PATH",
        )
    _check_name(name, entry.origin)
    if entry.cls is not None:
        return entry.cls
    if entry.entry_point is not None:
        cls = _import(entry.entry_point.load, entry.origin)
        if not (isinstance(cls, type) and issubclass(cls, BASES[kind])):
            raise BenchError(
                f"entry point '{name}' of {entry.origin} is no {WORDS[kind]}",
                expected=f"a subclass of bench.api.{BASES[kind].__name__}",
                got=repr(cls),
                hint="point it at the class, as in package.module:ClassName",
            )
        return cls
    module = _import(lambda: importlib.import_module(entry.module), entry.origin)
    cls = getattr(module, entry.class_name)
    if not issubclass(cls, BASES[kind]):
        own: Kind = cls.__bench_kind__
        raise BenchError(
            f"'{name}' is registered as {WORDS[own]}, in the folder of another kind of plug-in",
            expected=f"{FOLDERS[own].relative_to(ROOT).as_posix()}/{name}.py; here a {WORDS[kind]} alone",
            got=entry.origin,
            hint="move it to a file there, or load the whole file with --plugin",
        )
    return cls


def literal(entry: Entry, fact: str) -> Any:
    """A class attribute of a plug-in, without importing its file where the class holds it as a literal or its base has a default; None:
    it has none.

    Raises:
        BenchError: a file that raises at import.
    """
    if entry.facts is None:
        return getattr(get(entry.kind, entry.name), fact, None)
    return entry.facts[fact] if fact in entry.facts else getattr(BASES[entry.kind], fact, None)


def brought(kind: Kind) -> tuple[tuple[str, str, int], ...]:
    """What ``load_plugin`` has made known of a kind: a key for what is derived from the registry."""
    return tuple((name, entry.origin, id(entry.cls)) for (k, name), entry in _plugins.items() if k == kind)


def source_version(cls: type) -> str:
    """``version`` of a plug-in for cache keys: the declared number, the head of the hash of its source file, or both.

    In the project's own folders the declared number stands alone: who reviews a change sees whether it was raised. Files from elsewhere
    are told apart by their source as well, whatever they declare.
    """
    declared = cls.__dict__.get("version")
    try:
        path = Path(inspect.getfile(cls)).resolve()
        own, source = any(path.is_relative_to(folder.resolve()) for folder in FOLDERS.values()), path.read_bytes()
    except (OSError, TypeError):
        own, source = False, cls.__qualname__.encode()
    if declared is not None and own:
        return str(declared)
    head = "src-" + hashlib.sha256(source).hexdigest()[:8]
    return head if declared is None else f"{declared}+{head}"


def _static(kind: Kind) -> Iterator[Entry]:
    """Entries from the folders and from entry points."""
    folder = FOLDERS[kind]
    for path in _files(folder):
        try:
            stat = path.stat()
        except OSError:  # gone since the folder was listed, or no package
            continue
        yield from _scan(kind, path, (stat.st_mtime_ns, stat.st_size, stat.st_ino))
    for point in _entry_points(GROUPS[kind], tuple(sys.path)):
        package = point.dist.name if point.dist else "installed package"
        yield Entry(kind, point.name, f"from package {package}", f"{package} (entry point {point.value})", entry_point=point)


def _files(folder: Path) -> list[Path]:
    """Modules of a folder and of its packages, by name. Listed at every look at a name: a glob takes five times as long."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:  # there is no such folder
        return []
    return [folder / name if name.endswith(".py") else folder / name / "__init__.py" for name in names if not name.startswith("_")]


@functools.lru_cache(maxsize=16)
def _entry_points(group: str, path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """The entry points of the packages on the path. Names are looked up for every cell, and reading the metadata takes milliseconds."""
    return tuple(entry_points(group=group))


def _stem(path: Path) -> str:
    """The name of a module or of a package."""
    return path.parent.name if path.name == "__init__.py" and path.parent not in FOLDERS.values() else path.stem


@functools.lru_cache(maxsize=1024)
def _scan(kind: Kind, path: Path, stamp: tuple[int, int, int]) -> tuple[Entry, ...]:
    """A file's registered classes, read again when its stamp says that it has changed."""
    return tuple(_parse(kind, path))


def _parse(kind: Kind, path: Path) -> Iterator[Entry]:
    """Reads a file's registered classes from its syntax tree. A file that does not parse is left to fail when it is asked for."""
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError, OSError) as error:
        yield Entry(kind, _stem(path), f"broken file: {error.__class__.__name__}: {error}", str(path), module=module)
        return
    for node in tree.body:
        if not isinstance(node, ast.ClassDef) or not any(_decorator_name(d) == "register" for d in node.decorator_list):
            continue
        facts = dict(_literals(node))
        if isinstance(facts.get("name"), str):
            summary = (ast.get_docstring(node) or "").partition("\n")[0]
            line = facts.get("summary") or summary
            yield Entry(kind, facts["name"], line, str(path), module=module, class_name=node.name, facts=facts, claims=_claims(node))


def _claims(node: ast.ClassDef) -> str:
    """The right-hand side of the class's ``claims = ...``, as source text."""
    for statement in node.body:
        target = statement.targets[0] if isinstance(statement, ast.Assign) else getattr(statement, "target", None)
        if isinstance(target, ast.Name) and target.id == "claims" and (value := getattr(statement, "value", None)) is not None:
            return ast.unparse(value)
    return ""


def _decorator_name(node: ast.expr) -> str:
    node = node.func if isinstance(node, ast.Call) else node
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _literals(node: ast.ClassDef) -> Iterator[tuple[str, Any]]:
    """Class attributes whose values are literals, ``frozenset({...})`` included."""
    for statement in node.body:
        target = statement.targets[0] if isinstance(statement, ast.Assign) else getattr(statement, "target", None)
        value = getattr(statement, "value", None)
        if not isinstance(target, ast.Name) or value is None:
            continue
        if isinstance(value, ast.Call) and getattr(value.func, "id", "") == "frozenset" and value.args:
            value = value.args[0]
        try:
            yield target.id, ast.literal_eval(value)
        except ValueError:
            continue


def _import(load: Any, origin: str) -> Any:
    """Runs an import; whatever it raises becomes one message that names the file and line."""
    try:
        return load()
    except BenchError:
        raise
    except (Exception, SystemExit) as error:
        last = error.__traceback__
        while last is not None and last.tb_next is not None:
            last = last.tb_next
        where = f"{last.tb_frame.f_code.co_filename}:{last.tb_lineno}" if last is not None else origin
        raise BenchError(
            f"plug-in {origin} cannot be imported",
            expected="a file that imports cleanly",
            got=f"{type(error).__name__}: {error} (at {where})",
            hint="run it by itself with python to see the whole traceback",
        ) from error


def _import_file(module_name: str, path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise BenchError(f"plug-in {path} is no Python file", expected="a name that ends in .py", hint="check the path given to --plugin")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses look their module up while the class is made
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module_name]
        raise
    return module


def _registered_in(module: Any) -> Iterator[type]:
    for value in vars(module).values():
        if isinstance(value, type) and "__bench_kind__" in value.__dict__ and value.__module__ == module.__name__:
            yield value


def _entry_of(cls: Any, origin: str) -> Entry:
    summary = getattr(cls, "summary", "") or (inspect.getdoc(cls) or "").partition("\n")[0]
    names = {*BASES[cls.__bench_kind__].__annotations__, "paper"}
    facts = {key: getattr(cls, key) for key in names if hasattr(cls, key)}
    declared = cls.__dict__.get("claims", ())
    return Entry(cls.__bench_kind__, cls.name, summary, origin, cls=cls, facts=facts, claims=repr(declared) if declared else "")


def _collision(entry: Entry, other: Entry) -> BenchError:
    return BenchError(
        f"two plug-ins are named '{entry.name}'",
        expected="one name, one class",
        got=f"{other.origin} and {entry.origin}",
        hint="rename one of them",
    )


def resolve_data(name: str) -> Any:
    """The data source behind a setting's ``dataset``: ``NAME``, or ``NAME:PATH`` for a source that takes one."""
    head, _, path = name.partition(":")
    cls = get("data", head)
    if cls.takes_path != bool(path):
        raise BenchError(
            f"data set '{name}' is not understood",
            expected=f"{head}:PATH" if cls.takes_path else head,
            got=repr(name),
            hint="python -m bench ls",
        )
    return cls(path)
