"""`make gpu-bundle`: wheels for the machine with the device, data sets and weights, in one folder of at most 50 MiB."""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
MOST = 50 * 2**20  # bytes
# what every machine with PyTorch for CUDA has, or must have: too large to carry
LARGE = re.compile(r"(torch|torchvision|triton|nvidia|numpy|scipy|pandas|pyarrow|matplotlib|pillow|scikit-image|sympy|networkx)\b", re.I)
ROOTS = ("lpips", "tabulate", "pydantic", "PyYAML", "typer", "rich", "safetensors", "jaxtyping", "pytest", "hypothesis")
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux1_x86_64")


def main(arguments: Sequence[str] | None = None) -> int:
    """0: the folder is full; 1: a wheel could not be had, or all is larger than it may be."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu.bundle", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--python", default="3.12", help="of the machine with the device (default: 3.12)")
    parser.add_argument("--data", type=Path, help="folder with local copies of data sets, one folder each (default: $BENCH_DATA)")
    given = parser.parse_args(arguments)
    wheels = given.folder / "wheels"
    wheels.mkdir(parents=True, exist_ok=True)
    for pin in pins((ROOT / "constraints.txt").read_text(encoding="utf-8"), needed()):
        if not fetched(pin, wheels, given.python):
            print(f"no wheel of {pin} for Python {given.python} on x86-64 could be had", file=sys.stderr)
            return 1
    copy_data(given.data, given.folder / "data")
    weights = ROOT / ".reconbench" / "weights"
    if weights.is_dir():
        shutil.copytree(weights, given.folder / "weights", dirs_exist_ok=True)
    else:
        print("no LPIPS weights here (python -m bench fetch lpips): LPIPS will be null there", file=sys.stderr)
    size = sum(path.stat().st_size for path in given.folder.rglob("*") if path.is_file())
    print(f"{given.folder}: {size / 2**20:.1f} MiB")
    if size > MOST:
        print(f"more than {MOST / 2**20:.0f} MiB: leave a data set out", file=sys.stderr)
    return int(size > MOST)


def needed() -> set[str]:
    """The distributions that the project and its tests stand on, by normal name, those of theirs included, the large ones left out."""
    from importlib.metadata import PackageNotFoundError, requires

    found: set[str] = set()
    todo = list(ROOTS)
    while todo:
        name = normal(todo.pop())
        if name in found or LARGE.match(name):
            continue
        found.add(name)
        try:
            asked = requires(name) or []
        except PackageNotFoundError:
            continue
        todo += [match[0] for line in asked if "extra ==" not in line and (match := re.match(r"[\w.-]+", line))]
    return found


def pins(constraints: str, names: set[str]) -> list[str]:
    """``name==version`` of these, at the versions of the constraints for a new Python."""
    result = []
    for line in constraints.splitlines():
        match = re.match(r"([\w.-]+)==([\w.]+)", line)
        if match and normal(match[1]) in names and not re.search(r"python_version\s*<", line):
            result.append(f"{match[1]}=={match[2]}")
    return result


def normal(name: str) -> str:
    """As PEP 503 writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def fetched(pin: str, wheels: Path, python: str) -> bool:
    """Whether the wheel is there, or pip could get it."""
    name, version = pin.split("==")
    if list(wheels.glob(f"{name.replace('-', '_')}-{version}-*.whl")):
        return True
    words = [
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "--python-version",
        python,
        "--implementation",
        "cp",
        "-d",
        str(wheels),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *words, *(f"--platform={p}" for p in PLATFORMS), pin]
    )
    return done.returncode == 0


def copy_data(source: Path | None, to: Path) -> None:
    """The local copies of CIFAR-10 and MNIST, where there are any."""
    import os

    named = source or (Path(os.environ["BENCH_DATA"]) if os.environ.get("BENCH_DATA") else None)
    for name in ("cifar10", "mnist"):
        if named is not None and (named / name).is_dir():
            shutil.copytree(named / name, to / name, dirs_exist_ok=True)
        else:
            print(f"no local copy of {name} (BENCH_DATA): grids on it will have no rows there", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
