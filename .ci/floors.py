"""Prints the oldest versions that pyproject.toml allows, of all dependencies and extras, as constraints for pip: ``typer==0.15``.

Those that FLOORS_KEEP names (as in FLOORS_KEEP="torch torchvision") stay at what constraints.txt says. Standard library only.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    from pip._vendor import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent


def floors(pyproject: str, constraints: str, keep: set[str]) -> list[str]:
    """The constraints, by name.

    Raises:
        SystemExit: a dependency without one floor, two floors of the same name, or a name to keep that nothing asks for.
    """
    project = tomllib.loads(pyproject)["project"]
    found: dict[str, str] = {}
    for line in [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]:
        match = re.fullmatch(r"([\w.-]+)(?:\[[\w,]+\])?>=([\w.]+)", line.replace(" ", ""))
        if match is None:
            raise SystemExit(f"pyproject.toml: {line}: expected one floor, as in typer>=0.15")
        name, floor = match.groups()
        if found.setdefault(name, floor) != floor:
            raise SystemExit(f"pyproject.toml: {name} has two floors, {found[name]} and {floor}")
    if keep - set(found):
        raise SystemExit(f"FLOORS_KEEP: pyproject.toml does not ask for {', '.join(sorted(keep - set(found)))}")
    kept = [line for line in constraints.splitlines() if re.split(r"[=<>; ]", line)[0] in keep]
    return sorted([*kept, *(f"{name}=={floor}" for name, floor in found.items() if name not in keep)], key=str.lower)


if __name__ == "__main__":
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in ("pyproject.toml", "constraints.txt")]
    print("\n".join(floors(texts[0], texts[1], set(os.environ.get("FLOORS_KEEP", "").split()))))
