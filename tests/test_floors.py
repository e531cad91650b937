"""The oldest versions that pyproject.toml allows: read right, and every command has its help. ``make floors`` runs this among them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import typer

from bench.cli import app, main

ROOT = Path(__file__).resolve().parent.parent
SPEC = importlib.util.spec_from_file_location("floors", ROOT / ".ci" / "floors.py")
assert SPEC is not None
assert SPEC.loader is not None
FLOORS = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(FLOORS)

PROJECT = '[project]\ndependencies = ["torch>=2.8", "Moto[s3]>=5.0.1"]\noptional-dependencies = {{dev = [{}]}}\n'
CONSTRAINTS = 'torch==2.13.0\ntorchvision==0.28.0\nray==2.60.0 ; python_version >= "3.11"\nray==2.59.0 ; python_version < "3.11"\n'


def test_floors_are_constraints_and_what_is_kept_is_at_its_exact_version() -> None:
    project = PROJECT.format('"ray >= 2.40", "torch>=2.8"')
    assert FLOORS.floors(project, CONSTRAINTS, set()) == ["Moto==5.0.1", "ray==2.40", "torch==2.8"]
    kept = ["Moto==5.0.1", 'ray==2.60.0 ; python_version >= "3.11"', 'ray==2.59.0 ; python_version < "3.11"', "torch==2.13.0"]
    assert sorted(FLOORS.floors(project, CONSTRAINTS, {"torch", "ray"})) == sorted(kept)


@pytest.mark.parametrize(
    ("more", "keep", "says"),
    [
        ('"numpy"', "", "numpy: expected one floor"),
        ('"numpy>=1,<2"', "", "expected one floor"),
        ('"numpy~=1.0"', "", "expected one floor"),
        ('"torch>=2.9"', "", "two floors, 2.8 and 2.9"),
        ("", "numpy", "does not ask for numpy"),
    ],
)
def test_what_has_no_one_floor_is_refused(more: str, keep: str, says: str) -> None:
    with pytest.raises(SystemExit, match=says):
        FLOORS.floors(PROJECT.format(more), CONSTRAINTS, set(keep.split()))


def test_every_dependency_of_this_project_has_one() -> None:
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in ("pyproject.toml", "constraints.txt")]
    found = FLOORS.floors(*texts, set())
    assert len(found) > 20
    assert all("==" in line for line in found)


@pytest.mark.parametrize("command", ["", *sorted(typer.main.get_command(app).commands)])  # type: ignore[attr-defined]
def test_every_command_has_its_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*filter(None, [command]), "--help"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith(f"Usage: python -m bench {command}".rstrip())
    assert "--help" in out
