"""``ls`` and ``info``: what is there, and all about one of it."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.cli.describe import access, grid_info, plugin_info, setting_field
from bench.cli.exits import OK
from bench.cli.options import Plugins
from bench.cli.reading import load_plugins
from bench.errors import BenchError, did_you_mean


def list_(plugin: Plugins = []) -> int:  # noqa: B006
    """List grids, attacks, controls, defences, metrics and data sets."""
    from bench import registry
    from bench.grids.read import titles

    load_plugins(plugin)
    attacks = registry.entries("attack")
    kinds: list[tuple[str, list[tuple[str, str, str]]]] = [
        ("grids", [(name, "", question) for name, question in titles().items()]),
    ]
    for title, role in (("attacks", "attack"), ("controls", "control")):
        mine = [e for e in attacks.values() if (e.facts or {}).get("role", "attack") == role]
        kinds.append((title, [(e.name, access(e.facts or {}), e.summary) for e in mine]))
    kinds.append(("defences", [(e.name, "", e.summary) for e in registry.entries("defense").values()]))
    kinds.append(("metrics", [(e.name, "", e.summary) for e in registry.entries("metric").values()]))
    kinds.append(("data sets", [(e.name, "", e.summary) for e in registry.entries("data").values()]))
    for title, lines in kinds:
        print(f"{title}:")
        wide = max((len(name) for name, _, _ in lines), default=0)
        for name, facts, text in lines:
            print(f"  {name:<{wide}}  {text}" + (f"  [{facts}]" if facts else ""))
        if not lines:
            print("  (none)")
    return OK


def info(
    name: Annotated[str, typer.Argument(help="an attack, defence, metric, data set or grid; a field; a column; 'setting'; 'schema'")],
    plugin: Plugins = [],  # noqa: B006
) -> int:
    """Say all about one plug-in, data set, grid or field."""
    from bench import registry
    from bench.api import Setting
    from bench.grids.read import builtin, options_of

    load_plugins(plugin)
    if name == "schema":
        from bench.store import describe_schema

        print(describe_schema())
        return OK
    parts: list[str] = []
    if name == "setting":
        parts.append("\n".join(setting_field(field) for field in Setting.model_fields))
    if name in Setting.model_fields:
        parts.append("setting field " + setting_field(name))
    if name in builtin() or name.endswith((".yaml", ".yml")):
        parts.append(grid_info(name))
    known: dict[str, None] = dict.fromkeys(["setting", "schema", *builtin(), *Setting.model_fields])
    for kind in registry.WORDS:
        entries = registry.entries(kind)
        known |= dict.fromkeys(entries)
        if name.partition(":")[0] in entries:
            parts.append(plugin_info(kind, name))
    if not parts:
        from bench.schema import described

        parts += described(name)
    if not parts:
        raise BenchError(
            f"unknown name '{name}'.{did_you_mean(name, known)}",
            expected="an attack, defence, metric, data set, grid, setting field, column of the tables, 'setting' or 'schema'",
            got=repr(name),
            hint=f"python -m bench info {meant[1]}" if (meant := options_of(name).split()) else "python -m bench ls",
        )
    print("\n\n".join(parts))
    return OK
