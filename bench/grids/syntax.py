"""YAML text as plain data, by a loader that builds no objects; what is broken, bombs or stands twice is refused with its line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from bench.errors import BenchError

MAX_NODES = 100_000  # expanded through aliases: stops an alias bomb before it is built
MAX_DEPTH = 40
HINT = f"{Path(__file__).parent / 'quick.yaml'} is a complete grid"


class Loader(yaml.SafeLoader):
    """PyYAML's safe loader with numbers as people write them: 1e-4 and 1.5e3 are some, where YAML 1.1 wants 1.0e-4 and 1.5e+3; and 010 and
    1:30 are no 8 and 90, nor is 2001-01-01 a date."""


_INTEGER = r"[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|0b[01_]+)"
_FLOAT = (
    r"[-+]?(?:(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN)"
)
_OWN = {f"tag:yaml.org,2002:{name}" for name in ("int", "float", "timestamp", "value")}
Loader.yaml_implicit_resolvers = {
    key: [(tag, pattern) for tag, pattern in value if tag not in _OWN] for key, value in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(f"^(?:{_INTEGER})$"), list("-+0123456789"))
Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(f"^(?:{_FLOAT})$"), list("-+.0123456789"))


def parse(text: str, source: str) -> tuple[dict[str, Any], yaml.Node | None]:
    """YAML text to plain data, by a loader that builds no objects. Returns the data and the node tree (for line numbers)."""
    try:
        node = yaml.compose(text, Loader=Loader)
        if node is None:
            raise BenchError(f"grid {source} is empty", expected="a mapping with name, base, axes, seeds and attacks", hint=HINT)
        _measure(node, source)
        loader = Loader(text)
        try:
            raw = loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise _broken(error, source) from error
    except (RecursionError, ValueError, OverflowError, TypeError, AttributeError) as error:
        raise BenchError(
            f"grid {source} cannot be read as YAML", expected="a small mapping of plain values", got=f"{type(error).__name__}: {error}"
        ) from error
    if not isinstance(raw, dict):
        raise BenchError(
            f"grid {source} is not a mapping",
            expected="a mapping with name, base, axes, seeds and attacks",
            got=f"{type(raw).__name__}: {str(raw)[:60]!r}",
            hint=HINT,
        )
    return raw, node


def value_of(raw: str, where: str, example: str) -> Any:
    """The value of an option ``NAME=VALUE``, as a grid file would have it.

    Raises:
        BenchError: no YAML.
    """
    try:
        return yaml.load(raw, Loader=Loader)
    except (yaml.YAMLError, ValueError, RecursionError, TypeError) as error:
        raise BenchError(
            f"{where}: the value is no YAML",
            expected="a number, a word, or a list like [500, 500]",
            got=raw,
            hint=f"{example}, in quotes where a space is in it",
        ) from error


def _measure(root: yaml.Node, source: str) -> None:
    """Walks the tree as it will be built, aliases expanded: refuses bombs, self-references, doubled keys and object tags."""
    stack: list[tuple[yaml.Node, int]] = [(root, 0)]
    count = 0
    while stack:
        node, depth = stack.pop()
        count += 1
        line = node.start_mark.line + 1
        if depth > MAX_DEPTH or count > MAX_NODES:
            raise BenchError(
                f"grid {source}, line {line}: nested too deeply, too large, or an alias that refers to itself",
                expected=f"at most {MAX_DEPTH} levels and {MAX_NODES} values",
            )
        if not node.tag.startswith("tag:yaml.org,2002:") or node.tag.startswith("tag:yaml.org,2002:python"):
            raise BenchError(
                f"grid {source}, line {line}: the tag {node.tag!r} is refused",
                expected="plain values (numbers, texts, lists, mappings); a grid builds no objects",
                hint="remove the tag",
            )
        if isinstance(node, yaml.MappingNode):
            keys = set()
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                    if key.value in keys:
                        raise BenchError(
                            f"grid {source}, line {key.start_mark.line + 1}: '{key.value}' stands twice", expected="each key once"
                        )
                    keys.add(key.value)
                stack += [(key, depth + 1), (value, depth + 1)]
        elif isinstance(node, yaml.SequenceNode):
            stack += [(item, depth + 1) for item in node.value]


def _broken(error: yaml.YAMLError, source: str) -> BenchError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line = f", line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
    problem = " ".join(str(part) for part in (getattr(error, "context", None), getattr(error, "problem", None)) if part)
    return BenchError(
        f"grid {source}{line}: broken YAML", expected="well-formed YAML", got=problem or str(error).partition("\n")[0], hint=HINT
    )
