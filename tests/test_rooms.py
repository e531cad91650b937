"""The import rules of DESIGN §3, kept by reading the syntax trees: rooms know only those before them, and attacks know hardly anything."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# room → what it may import of the project at module top or inside functions; itself is always allowed
ALLOWED: dict[str, set[str]] = {
    "bench.errors": set(),
    "bench.seeds": set(),
    "bench.home": set(),
    "bench.memory": set(),
    "bench.sealed": set(),
    "bench.files": {"bench.errors", "bench.home"},
    "bench.schema": {"bench", "bench.api", "bench.errors", "bench.registry"},
    "bench.granted": {"bench.errors"},
    "bench.api": {"bench.errors"},
    "bench.registry": {"bench.api", "bench.errors"},
    "bench.data": {"bench.api", "bench.registry", "bench.errors", "bench.seeds", "bench.home"},
    "bench.metrics": {"bench", "bench.api", "bench.registry", "bench.errors", "bench.seeds", "bench.home", "bench.schema"},
    "bench.targets": {
        "bench.api", "bench.registry", "bench.errors", "bench.seeds", "bench.home", "bench.sealed", "bench.files", "bench.data",
        "bench.metrics", "bench.memory",
    },
    "bench.tracks": {
        "bench", "bench.api", "bench.registry", "bench.errors", "bench.seeds", "bench.home", "bench.metrics", "bench.schema", "bench.store",
        "bench.data", "bench.targets", "bench.sealed", "bench.files", "bench.granted",
    },
    "bench.artefacts": {
        "bench", "bench.api", "bench.registry", "bench.errors", "bench.seeds", "bench.data", "bench.targets", "bench.metrics",
    },
    "bench.grids": {"bench.api", "bench.registry", "bench.errors"},
    # store and report read rows only: no data, no targets, no attacks, and not the engine
    "bench.store": {"bench", "bench.api", "bench.registry", "bench.errors", "bench.schema", "bench.home", "bench.files", "bench.report"},
    "bench.report": {"bench", "bench.api", "bench.errors", "bench.schema", "bench.store", "bench.seeds", "bench.metrics", "bench.registry"},
}  # fmt: skip
PLUGIN_MAY = {"bench.api", "bench.registry", *(f"bench.tracks.{path.parent.name}" for path in ROOT.glob("bench/tracks/*/release.py"))}


def room_of(module: str) -> str:
    """``bench.targets.train`` → ``bench.targets``; ``attacks.kkt.engine`` → ``attacks``."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "bench" else parts[0]


def module_of(path: Path) -> str:
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


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


def resolve(name: str) -> str:
    """``bench.api.Setting`` → ``bench.api``: the longest prefix that is a file or a package."""
    parts = name.split(".")
    while len(parts) > 1:
        base = ROOT.joinpath(*parts)
        if base.with_suffix(".py").is_file() or base.is_dir():
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
    if mine not in ALLOWED:  # engine, cli, check, doctor, fetch: they tie the rooms together
        return
    known = {mine} | ALLOWED[mine]
    strangers = sorted(name for name in needed if room_of(name) not in known and name != mine)
    assert not strangers, f"{module_of(path)} imports {strangers}; {mine} may import {sorted(ALLOWED[mine])}"


@pytest.mark.parametrize("path", [*files("attacks"), *files("defenses")], ids=lambda path: str(path.relative_to(ROOT)))
def test_plugins_know_the_nouns_and_their_helpers_only(path):
    mine = module_of(path)
    top = mine.split(".")[0]
    helpers = {module_of(p) for p in files(top) if p.parent != ROOT / top}
    for name in {resolve(name) for name in imports(path)}:
        if name in PLUGIN_MAY or name in helpers or name == mine:
            continue
        rule = f"bench.api, bench.registry, bench.tracks.NAME for its Release, shared helpers ({top}/<folder>/), never each other"
        pytest.fail(f"{mine} imports {name}; attacks and defences import {rule}")


def test_nothing_light_imports_torch_at_the_top():
    light = ["api", "granted", "registry", "errors", "seeds", "cli", "grids/load", "engine/plan", "targets/cache", "targets/models"]
    releases = (ROOT / "bench" / "tracks").glob("*/release.py")
    for path in [*(ROOT / "bench" / f"{name}.py" for name in light), *releases, *files("bench/data")]:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] in ("torch", "torchvision") for name in names), f"{path} imports torch at the top"
