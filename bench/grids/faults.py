"""What is wrong with a field, in words: file, line, field, what was expected and what came."""

from __future__ import annotations

import types
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import ValidationError

from bench.api import Setting
from bench.errors import BenchError, did_you_mean
from bench.grids.model import AttackSpec, AxisValue, Budget, Published
from bench.grids.syntax import HINT


def check_field(name: str, fields: Iterable[str], where: str, axis: bool = False) -> None:
    fields = list(fields)
    if name in fields:
        return
    if name == "seed":
        raise BenchError(
            f"{where}: seeds are no setting of a grid", expected="the grid's own `seeds:`", hint="write seeds: 5 or seeds: [0, 1]"
        )
    raise BenchError(
        f"{where}: unknown setting field '{name}'.{did_you_mean(str(name), fields)}",
        expected="one of " + ", ".join(fields) + (", or values of the form {label: ..., set: {field: value}}" if axis else ""),
        got=repr(name),
        hint="python -m bench info setting",
    )


def check_value(name: str, value: Any, where: str) -> None:
    """One field's value, whatever the other fields are."""
    try:
        Setting.__pydantic_validator__.validate_assignment(Setting.model_construct(), name, value)
    except ValidationError as error:
        own = [e for e in error.errors() if e["loc"][:1] == (name,)]
        if own:
            one = own[0]["type"] == "tuple_type" and isinstance(value, int | float)
            raise BenchError(
                f"{where}: {_message(own[0])}",
                expected=in_words(Setting.model_fields[name]),
                got=_shown(value),
                hint=f"--set '{name}=[{value}]'" if one else "python -m bench info setting",
            ) from error


def _message(fault: Any) -> str:
    """What pydantic finds wrong, in words of this project."""
    return "a list is wanted" if fault["type"] == "tuple_type" else str(fault["msg"]).removeprefix("Value error, ")


def invalid(error: ValidationError, where: str, raw: Any, node: yaml.Node | None, fields: Mapping[str, Any]) -> BenchError:
    """The first fault that pydantic found, as file, line, field, what was expected and what came."""
    fault = error.errors(include_url=False)[0]
    path: list[Hashable] = [part for part in fault["loc"] if isinstance(part, str | int)]
    path = [
        part for part in path if not (isinstance(part, str) and part.startswith(("literal", "constrained", "function", "int", "tuple")))
    ]
    name = ".".join(str(part) for part in path) or "(the whole)"
    at = place(where, node, tuple(path))
    field = fields.get(str(path[0])) if path else None
    if fault["type"] == "extra_forbidden":
        known: Iterable[str] = fields
        for model, head in ((AttackSpec, "attacks"), (AxisValue, "axes"), (Budget, "budget"), (Published, "published")):
            if len(path) > 1 and path[0] == head:
                known = model.model_fields
        known = list(known)
        last = str(path[-1]) if path else ""
        return BenchError(
            f"{at}: unknown field '{name}'.{did_you_mean(last, known)}", expected="one of " + ", ".join(known), got=repr(last), hint=HINT
        )
    if fault["type"] == "missing":
        return BenchError(f"{at}: '{name}' is missing", expected=in_words(field) if field else "a value", hint=HINT)
    if path and path[-1] == "attacks" and fault["type"] == "too_short":
        return BenchError(
            f"{at}: no attacks", expected="at least one name under `attacks:`", got="an empty list", hint="python -m bench ls"
        )
    message = _message(fault)
    came = fault.get("input")
    return BenchError(
        f"{at}: {name}: {message}",
        expected=in_words(field) if field is not None else "",
        got=_shown(came) if came is not raw else "",
        hint="python -m bench info setting" if fields is Setting.model_fields else HINT,
    )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def in_words(field: Any) -> str:
    """A field's type and bounds in words, from its pydantic description."""
    return ", ".join(part for part in (field.description, _bounds(field.annotation, field.metadata)) if part)


def _bounds(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    """What a type and its constraints admit: ``≥ 1, ≤ 16``, ``one of a, b``, ``1 to 16 values, each ≥ 1``."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _bounds(inner[0], [bound for item in inner[1:] for bound in getattr(item, "metadata", [item])])
    if origin is Literal:
        return "one of " + ", ".join(map(str, inner)) if len(inner) > 1 else str(inner[0])
    if origin in (Union, types.UnionType):
        own = [text for text in map(_bounds, inner) if text]
    elif origin is tuple:
        own = [f"each {text}" for text in [_bounds(inner[0])] if text]
    else:
        own = []

    def of(key: str) -> Any:
        return next((value for bound in metadata if (value := getattr(bound, key, None)) is not None), None)

    least, most = of("min_length"), of("max_length")
    unit = "characters" if annotation is str else "values"
    length = f"{'a list of ' if origin is tuple else ''}{least or 0} to {most} {unit}" if most is not None else "not empty" if least else ""
    signs = [f"{sign} {of(key)}" for key, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<")) if of(key) is not None]
    return ", ".join(part for part in (length, *signs, " or ".join(own)) if part)


def place(source: str, node: yaml.Node | None, path: Sequence[Hashable]) -> str:
    """``file, line N`` of the deepest node on the path that the file has."""
    line = None
    for part in path:
        if isinstance(node, yaml.MappingNode):
            step = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            if step is None:
                break
            line, node = step[0].start_mark.line + 1, step[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return source + (f", line {line}" if line is not None else "")
