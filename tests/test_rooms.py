"""The import rules of DESIGN §3, kept by reading the syntax trees: rooms know only those before them, and attacks know hardly anything."""

from __future__ import annotations

import ast
import functools
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# room → what it may import of the project at module top or inside functions; itself is always allowed
ALLOWED: dict[str, set[str]] = {
    "bench.errors": set(),
    "bench.seeds": set(),
    "bench.home": {"bench.regular"},
    "bench.memory": set(),
    "bench.cards": set(),
    "bench.precision": {"bench.errors"},
    "bench.capture": {"bench.memory"},
    "bench.torch_state": {"bench.precision"},
    "bench.sealed": set(),
    "bench.say": set(),
    "bench.colour": {"bench.say"},
    "bench.regular": {"bench.errors"},
    "bench.shadows": {"bench.errors"},
    "bench.notes": set(),
    "bench.posix": {"bench.errors"},
    "bench.line": {"bench.say"},
    "bench.files": {"bench", "bench.errors", "bench.regular", "bench.home", "bench.line"},
    "bench.schema": {"bench", "bench.api", "bench.errors", "bench.registry"},
    "bench.granted": {"bench.errors"},
    "bench.api": {"bench.errors"},
    "bench.faults": {"bench.errors"},
    "bench.registry": {"bench.api", "bench.errors", "bench.regular"},
    "bench.data": {"bench", "bench.api", "bench.registry", "bench.errors", "bench.seeds", "bench.home", "bench.regular"},
    "bench.metrics": {
        "bench", "bench.api", "bench.registry", "bench.errors", "bench.seeds", "bench.home", "bench.schema", "bench.memory",
        "bench.precision",
    },
    "bench.targets": {
        "bench.api", "bench.registry", "bench.errors", "bench.seeds", "bench.home", "bench.sealed", "bench.files", "bench.data",
        "bench.metrics", "bench.memory", "bench.precision", "bench.capture",
    },
    "bench.tracks": {
        "bench", "bench.api", "bench.registry", "bench.errors", "bench.seeds", "bench.home", "bench.metrics", "bench.schema", "bench.store",
        "bench.data", "bench.targets", "bench.sealed", "bench.files", "bench.granted", "bench.precision", "bench.memory",
        "bench.report.kit",
    },
    "bench.artefacts": {
        "bench", "bench.api", "bench.registry", "bench.errors", "bench.seeds", "bench.data", "bench.targets", "bench.metrics",
        "bench.regular",
    },
    # between tracks and engine: of what a run knows it is handed narrowed releases alone
    "bench.apart": {
        "bench.api", "bench.registry", "bench.errors", "bench.faults", "bench.memory", "bench.precision", "bench.sealed",
        "bench.torch_state", "bench.tracks", "bench.files", "bench.home", "bench.regular", "bench.posix", "bench.notes",
    },
    "bench.grids": {"bench", "bench.api", "bench.registry", "bench.errors", "bench.regular"},
    "bench.engine": {
        "bench", "bench.api", "bench.registry", "bench.errors", "bench.seeds", "bench.home", "bench.files", "bench.memory", "bench.sealed",
        "bench.torch_state", "bench.schema", "bench.data", "bench.targets", "bench.tracks", "bench.grids", "bench.store",
        "bench.line", "bench.say", "bench.posix", "bench.notes", "bench.precision", "bench.cards", "bench.regular", "bench.apart",
        "bench.faults",
    },
    # store, claims and report read rows only: no data, no targets, no attacks, and not the engine
    "bench.store": {
        "bench", "bench.api", "bench.registry", "bench.errors", "bench.regular", "bench.schema", "bench.home", "bench.say", "bench.files",
        "bench.report.kit",
    },
    "bench.report.kit": {"bench", "bench.api", "bench.errors", "bench.schema", "bench.seeds", "bench.metrics"},  # below the tracks
    "bench.claims": {
        "bench", "bench.api", "bench.errors", "bench.schema", "bench.metrics", "bench.registry", "bench.tracks", "bench.report.kit",
    },
    "bench.report": {
        "bench", "bench.api", "bench.errors", "bench.schema", "bench.store", "bench.seeds", "bench.metrics", "bench.registry",
        "bench.home", "bench.report.kit", "bench.tracks", "bench.claims", "bench.regular", "bench.colour",
        "bench.grids",  # which seeds were fixed in advance
    },
    "bench.verify": {
        "bench", "bench.api", "bench.errors", "bench.registry", "bench.home", "bench.data", "bench.grids", "bench.engine", "bench.store",
        "bench.tracks", "bench.metrics", "bench.report.kit", "bench.apart", "bench.schema", "bench.files",
    },
    "bench.publishing": {"bench", "bench.colour", "bench.errors", "bench.say", "bench.store", "bench.report", "bench.engine"},
    # the one reader of rows that draws images again: controls are in no results folder
    "bench.site": {
        "bench", "bench.api", "bench.errors", "bench.registry", "bench.store", "bench.claims", "bench.tracks", "bench.metrics",
        "bench.report", "bench.report.kit", "bench.engine", "bench.sealed",
    },
}  # fmt: skip
OF_US = {"bench.api", "bench.registry", "bench.capture", "bench.memory", "bench.precision"}  # the last three: what the machine is like
PLUGIN_MAY = {*OF_US, *(f"bench.tracks.{path.parent.name}" for path in ROOT.glob("bench/tracks/*/release.py"))}
# room → the only ones that may import it
ENTRANCES = {
    "bench.cli": {"bench.__main__"},
    "bench.publishing": {"bench.cli"},
    "bench.submitting": {"bench.cli"},
    "bench.doctor": {"bench.cli"},
    "bench.site": {"bench.cli"},
    "bench.check": {"bench.cli"},
    "bench.verify": {"bench.cli"},
}
LIGHT = {
    "bench.cli",
    "bench.colour",
    "bench.errors",
    "bench.regular",
    "bench.say",
    "bench.shadows",
    "bench.streams",
}  # what the command line may import before it knows which command


def room_of(module: str) -> str:
    """``bench.targets.train`` → ``bench.targets``; ``attacks.kkt.engine`` → ``attacks``."""
    parts = module.split(".")
    if ".".join(parts[:3]) in ALLOWED:
        return ".".join(parts[:3])
    return ".".join(parts[:2]) if parts[0] == "bench" else parts[0]


def module_of(path: Path) -> str:
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def imports(path: Path) -> set[str]:
    """The project modules that a file imports, wherever in the file. Imports for type checkers count too: a room is known by name."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] in ("bench", "attacks", "defenses", "tests")}


@functools.cache
def resolve(name: str) -> str:
    """``bench.api.Setting`` → ``bench.api``: the longest prefix that is a file or a package, also on a disk that is blind to capitals."""
    parts = name.split(".")
    while len(parts) > 1:
        base = ROOT.joinpath(*parts)
        if base.is_dir() or base.with_suffix(".py").name in {path.name for path in base.parent.glob("*.py")}:
            break
        parts.pop()
    return ".".join(parts)


def files(folder: str) -> list[Path]:
    return sorted(path for path in (ROOT / folder).rglob("*.py") if "__pycache__" not in path.parts)


@pytest.mark.parametrize("path", files("bench"), ids=lambda path: str(path.relative_to(ROOT)))
def test_rooms_know_only_those_before_them(path):
    mine = room_of(module_of(path))
    needed = {resolve(name) for name in imports(path)}
    assert not any(name.startswith("tests") for name in needed), f"{path} imports the tests"
    if mine not in ALLOWED:  # cli, check, audit, doctor, fetch: they tie the rooms together
        return
    known = {mine} | ALLOWED[mine]
    strangers = sorted(name for name in needed if room_of(name) not in known and name != mine)
    assert not strangers, f"{module_of(path)} imports {strangers}; {mine} may import {sorted(ALLOWED[mine])}"


def circles(graph: dict[str, set[str]]) -> set[frozenset[str]]:
    """The strongly connected components of more than one module, of a graph from modules to those that they import."""

    def reach(start: str) -> set[str]:
        found: set[str] = set()
        left = [start]
        while left:
            fresh = (graph.get(left.pop()) or set()) - found
            found |= fresh
            left += fresh
        return found

    reached = {name: reach(name) for name in graph}
    return {frozenset(other for other in reached[name] if name in reached.get(other, ())) for name in graph if name in reached[name]}


def test_a_circle_is_found_wherever_it_is_entered():
    graph = {"a": {"b"}, "b": {"c", "f"}, "c": {"a"}, "d": {"a", "e"}, "e": {"d"}, "f": set()}
    assert circles(graph) == {frozenset("abc"), frozenset("de")}
    assert circles({**graph, "c": {"f"}, "e": set()}) == set()


def test_no_modules_import_each_other_in_a_circle():
    graph = {module_of(path): {resolve(name) for name in imports(path)} - {module_of(path)} for path in files("bench")}
    assert "bench.engine.plan" in graph["bench.engine.run"], "the graph is of modules, not of names"
    found = circles(graph)
    assert not found, f"import circles: {sorted(map(sorted, found))}"


def test_in_the_engine_only_run_knows_where_batches_run():
    for path in (ROOT / "bench" / "engine").glob("*.py"):
        known = sorted(name for name in imports(path) if name.startswith("bench.engine.executors"))
        assert path.name == "run.py" or not known, f"{path.name} imports {known}"


@pytest.mark.parametrize("path", files("bench"), ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_knows_the_command_line(path):
    mine = room_of(module_of(path))
    for room in {room_of(resolve(name)) for name in imports(path)} - {mine}:
        assert mine in ENTRANCES.get(room, {mine}), f"{module_of(path)} imports {room}; only {sorted(ENTRANCES[room])} may"


@pytest.mark.parametrize("path", files("bench/cli"), ids=lambda path: path.name)
def test_a_command_group_is_small_and_loads_at_once(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 180
    for node in ast.parse(text).body:  # what stands under TYPE_CHECKING is no statement of the module's own
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [f"{node.module}.{alias.name}" for alias in node.names] if isinstance(node, ast.ImportFrom) else []
        heavy = [n for n in names if n.split(".")[0] not in {*sys.stdlib_module_names, "typer"} and room_of(resolve(n)) not in LIGHT]
        assert not heavy, f"{path} imports {heavy} at the top"


@pytest.mark.parametrize("path", [*files("attacks"), *files("defenses")], ids=lambda path: str(path.relative_to(ROOT)))
def test_plugins_know_the_nouns_and_their_helpers_only(path):
    mine = module_of(path)
    top = mine.split(".")[0]
    helpers = {module_of(p) for p in files(top) if p.parent != ROOT / top}
    for name in {resolve(name) for name in imports(path)}:
        if name in PLUGIN_MAY or name in helpers or name == mine:
            continue
        rule = f"{', '.join(sorted(OF_US))}, bench.tracks.NAME for its Release, shared helpers ({top}/<folder>/), never each other"
        pytest.fail(f"{mine} imports {name}; attacks and defences import {rule}")


def test_nothing_light_imports_torch_at_the_top():
    light = ["granted", "registry", "errors", "seeds", "targets/cache", "targets/models"]
    light += [f"engine/{name}" for name in ("plan", "prepare", "kinds", "sweeps", "runs", "checks", "canonical", "messages", "progress")]
    light += [f"engine/executors/{name}" for name in ("child", "process", "seat", "cluster")]
    releases = (ROOT / "bench" / "tracks").glob("*/release.py")
    folders = [path for room in ("api", "data", "grids") for path in files(f"bench/{room}")]
    for path in [*(ROOT / "bench" / f"{name}.py" for name in light), *releases, *folders]:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] in ("torch", "torchvision") for name in names), f"{path} imports torch at the top"


def test_a_noun_is_small_and_reached_by_one_door():
    nouns = {module_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in files("bench/api")}
    assert max(nouns.values()) <= 260
    for path in [path for top in ("bench", "attacks", "defenses") for path in files(top)]:
        inner = sorted({resolve(name) for name in imports(path)} & nouns.keys() - {"bench.api"})
        assert not inner or room_of(module_of(path)) == "bench.api", f"{path} imports {inner}; import from bench.api"
