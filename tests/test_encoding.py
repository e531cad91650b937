"""Files are UTF-8 whatever the language of the machine: nothing is opened as text without saying so."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = [path for room in ("bench", "attacks", "defenses", "tests/perf", "tests/chaos") for path in sorted((ROOT / room).rglob("*.py"))]


def unsaid(source: str) -> list[int]:
    """Lines of calls that read or write text in an encoding that the machine would choose."""
    found = []
    for call in ast.walk(ast.parse(source)):
        if not isinstance(call, ast.Call):
            continue
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        words = {word.arg: word.value for word in call.keywords}
        literal = [value.value for value in [*call.args, *words.values()] if isinstance(value, ast.Constant)]
        binary = any(isinstance(value, str) and "b" in value and set(value) <= set("rwxab+") for value in literal)
        textual = name in ("read_text", "write_text") or (name in ("open", "fdopen", "NamedTemporaryFile") and not binary)
        other = name == "open" and isinstance(call.func, ast.Attribute) and getattr(call.func.value, "id", "") in OTHERS
        shell = any(getattr(words.get(word), "value", False) is True for word in ("text", "universal_newlines"))
        if ((textual and not other) or shell) and "encoding" not in words:
            found.append(call.lineno)
    return found


OTHERS = {"os", "Image", "tarfile", "zipfile"}  # whose open gives no text


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_text_file_says_its_encoding(path):
    assert not unsaid(path.read_text(encoding="utf-8")), path


@pytest.mark.parametrize(
    ("line", "fine"),
    [
        ("open(p)", False),
        ("open(p, 'w')", False),
        ("open(p, 'rb')", True),
        ("p.read_text()", False),
        ("p.write_text('rb')", False),
        ("p.read_text(encoding='utf-8')", True),
        ("run(c, text=True)", False),
        ("run(c, encoding='utf-8')", True),
        ("os.open(p, os.O_RDONLY)", True),
    ],
)
def test_what_is_looked_for(line, fine):
    assert (not unsaid(line)) == fine
