"""A plug-in, a grid or a field in words, as ``info`` prints them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.grids.read import Loaded


def access(facts: Mapping[str, Any]) -> str:
    return "+".join(sorted(facts.get("needs") or {"final_weights"}))


def setting_field(name: str) -> str:
    from bench.api import Setting
    from bench.grids.faults import in_words

    field = Setting.model_fields[name]
    default = field.get_default(call_default_factory=True)
    return f"{name} = {default!r}\n    {in_words(field)}"


def grid_info(name: str) -> str:
    from bench.grids.read import load

    loaded = load(name)
    facts = _grid_facts(loaded)
    lines = [f"grid {loaded.grid.name}: {loaded.grid.title}", *filter(None, [loaded.grid.question]), f"file: {loaded.source}", *facts]
    for scale in loaded.grid.scales:
        lines += ["", f"with --scale {scale}, where it differs:"]
        theirs = _grid_facts(load(name, scale=scale))
        changed = {line.split()[0] for line in {*facts} ^ {*theirs}}  # all attacks are shown where one is another
        lines += [f"  {line}" for line in theirs if line.split()[0] in changed]
    return "\n".join(lines)


def _grid_facts(loaded: Loaded) -> list[str]:
    from bench.grids.points import expand

    grid = loaded.grid
    settings = len(expand(grid, loaded.source))
    lines = [f"base: {grid.base}"]
    lines += [f"axis {axis}: {'; '.join(value.label for value in values)}" for axis, values in grid.axes.items()]
    lines.append(f"seeds: {', '.join(map(str, grid.seeds))}")
    for spec in grid.attacks:
        sweep = f", sweep of {spec.sweep.runs} runs over {', '.join(spec.sweep.ranges) or 'the ranges it declares'}" if spec.sweep else ""
        sweep += f", raced with halving {spec.sweep.halving}" if spec.sweep and spec.sweep.halving else ""
        lines.append(f"attack {spec.name}{' ' + str(spec.params) if spec.params else ''}{sweep}")
    lines.append(f"cells: {settings} settings × {len(grid.attacks)} attacks = {settings * len(grid.attacks)}")
    minutes = grid.budget.minutes
    return [*lines, f"budget: {f'{minutes:g} minutes' if minutes else 'none'}"]


def plugin_info(kind: str, name: str) -> str:
    import dataclasses
    import inspect

    from bench import registry
    from bench.api import Claim

    head = name.partition(":")[0]
    entry = registry.entries(kind)[head]  # type: ignore[arg-type]
    cls = registry.get(kind, head)  # type: ignore[arg-type]
    word = registry.WORDS[kind]  # type: ignore[index]
    facts = {"role": getattr(cls, "role", ""), "paper": getattr(cls, "paper", ""), "track": getattr(cls, "track", "")}
    lines = [f"{word} {head}", inspect.cleandoc(cls.__doc__ or entry.summary), f"from: {entry.origin}"]
    lines += [f"{key}: {value}" for key, value in facts.items() if value]
    if kind == "attack":
        lines += [f"access: {access({'needs': cls.needs})}", f"version: {registry.source_version(cls)}"]  # type: ignore[attr-defined]
        lines += [
            f"claim {claim.name}: {claim.text} ({claim.source})" for claim in cls.__dict__.get("claims") or () if isinstance(claim, Claim)
        ]
    if kind == "metric":
        from bench.schema import described, metrics

        metric = next(one for one in metrics() if one.name == head)
        lines.append(f"unit {metric.unit}, range {metric.interval}; {metric.better} is nearer")
        lines += [text for column in [metric.image_column(), *metric.statistic_columns()] for text in described(column.name)]
    if dataclasses.is_dataclass(cls):
        for field in dataclasses.fields(cls):
            default = "(required)"
            if field.default is not dataclasses.MISSING:
                default = repr(field.default)
            elif field.default_factory is not dataclasses.MISSING:
                default = repr(field.default_factory())
            swept = getattr(cls, "ranges", {}).get(field.name)
            drawn = f"; a sweep draws it from {swept[0]:g} to {swept[1]:g}, {swept[2]}" if swept else ""
            raced = "; the budget by which a sweep is raced" if field.name == getattr(cls, "budget", None) else ""
            lines.append(f"hyperparameter {field.name}: {field.type} = {default}{drawn}{raced}")
    if kind == "data" and not (cls.takes_path and ":" not in name):  # type: ignore[attr-defined]
        source = registry.resolve_data(name)
        missing = source.missing()
        lines.append(
            f"missing: {missing}" if missing else f"here; digest {source.digest()}, images {'x'.join(map(str, source.image_shape()))}"
        )
    return "\n".join(lines)
