"""What is here and what is missing on this machine, and what to do about it. Works where torch or torchvision are absent or broken."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Literal, NamedTuple

from bench import cards, posix
from bench.errors import BenchError
from bench.files import store_files
from bench.home import STORE, home

LIBRARIES = (
    "numpy",
    "pandas",
    "pyarrow",
    "scikit-image",
    "scipy",
    "pydantic",
    "PyYAML",
    "typer",
    "rich",
    "safetensors",
    "matplotlib",
    "lpips",
)
MIN_PYTHON = (3, 10)
MIN_TORCH = (2, 8)
MINOR_APART = 15  # torch 2.8 goes with torchvision 0.23, …, 2.13 with 0.28
MIN_FREE = 2.0  # GB


class Check(NamedTuple):
    """One line of the report."""

    name: str
    status: Literal["ok", "warn", "missing"]
    detail: str  # what is here
    todo: str = ""  # what to do; empty if nothing


def report() -> list[Check]:
    """All checks, in the order in which they should be read. Never raises, prints no environment but RECONBENCH_HOME,
    BENCH_DATA and, without credentials, RECONBENCH_STORE."""
    return [_python(), _torch(), _torchvision(), _devices(), *_gpus(), _libraries(), *_data_sets(), _lpips(), _store(), _disk(), _sandbox()]


def torchvision_for(torch_version: str) -> str:
    """The torchvision version, "0.N", that was built with a torch version "2.M…"; empty if that is not known."""
    version = _version(torch_version)
    return f"0.{version[1] + MINOR_APART}" if version is not None and version[0] == 2 and version >= MIN_TORCH else ""


def _python() -> Check:
    text = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.version_info < MIN_PYTHON:
        return Check("python", "missing", text, "install Python 3.10 or newer")
    if lacks := posix.missing():
        return Check("python", "missing", f"{text}, without {lacks}", "use Linux or macOS; on Windows, inside WSL: wsl --install")
    return Check("python", "ok", text)


def _torch() -> Check:
    installed = _installed("torch")
    if not installed:
        return Check("torch", "missing", "not installed", "make venv, or pip install 'torch>=2.8'")
    try:
        import torch
    except Exception as error:
        return Check(
            "torch",
            "missing",
            f"{installed}, but its import fails: {_first_line(error)}",
            "install it again: pip install --force-reinstall torch",
        )
    version = _version(torch.__version__)
    if version is not None and version < MIN_TORCH:
        return Check("torch", "warn", torch.__version__, "pip install 'torch>=2.8'")
    threads = torch.get_num_threads()
    return Check("torch", "ok", f"{torch.__version__}, {threads} {'thread' if threads == 1 else 'threads'}")


def _torchvision() -> Check:
    installed = _installed("torchvision")
    wanted = torchvision_for(_installed("torch"))
    install = f"pip install 'torchvision=={wanted}.*'" if wanted else "pip install torchvision"
    note = "needed for cifar and mnist as torchvision has them; the rest works without it"
    if not installed:
        return Check("torchvision", "warn", f"not installed; {note}", install)
    if wanted and _version(installed) != _version(wanted):
        return Check("torchvision", "warn", f"{installed} beside torch {_installed('torch')}, which goes with {wanted}", install)
    try:
        from bench.data.torchvision_import import torchvision_module

        torchvision_module("datasets")
    except BenchError as error:
        return Check("torchvision", "warn", f"{installed}, but its import fails: {error.got or error.what}; {note}", install)
    return Check("torchvision", "ok", f"{installed}, which goes with torch {_installed('torch')}" if wanted else installed)


def _devices() -> Check:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    text = f"cpu ({cores} {'core' if cores == 1 else 'cores'})"
    try:
        found = cards.cards()
        why, todo = ("", "") if found else cards.lacking()
    except Exception as error:
        return Check("devices", "warn", f"{text}; torch cannot say whether there is a GPU: {_first_line(error)}", "see torch above")
    if found:
        return Check("devices", "ok", f"{text}, {len(found)} {'GPU' if len(found) == 1 else 'GPUs'}, driver {cards.driver() or 'unknown'}")
    return Check("devices", "ok", f"{text}; no GPU ({why}), and none is needed for the built-in grids", f"for a GPU: {todo}")


def _gpus() -> Iterator[Check]:
    """One line a GPU: what it is, and what it did when it was tried."""
    try:
        for number, card in enumerate(cards.cards()):
            name = f"cuda:{number}"
            text = f"{card.name}, compute capability {'.'.join(map(str, card.capability))}, {card.memory / 2**30:.0f} GiB"
            if not card.built_for:
                yield Check(name, "warn", f"{text}; this torch has no code for it", f"another build of torch, see {cards.BUILDS}")
                continue
            try:
                yield Check(name, "ok", f"{text}; {_tried(name)}")
            except BenchError as error:
                yield Check(name, "missing", f"{text}; {error.what}: {error.got}", error.hint)
            except Exception as error:
                yield Check(name, "missing", f"{text}; it does not work: {_first_line(error)}", "see devices above, then nvidia-smi")
    except Exception:  # no torch, as told above
        return


def _tried(device: str) -> str:
    """What a GPU rounds, and whether steps are captured there.

    Raises:
        BenchError: it rounds what it must not.
    """
    import torch

    from bench import capture, precision

    place = torch.device(device)
    precision.check(place)
    with precision.pinned("tf32"):
        search = precision.measured(place)
    count = torch.zeros((), device=place)

    def step() -> None:
        count.add_(1)

    with torch.cuda.device(place):
        replayed = capture.repeat(step, 10, place)
    if int(count) != 10:
        raise BenchError("a captured step is not repeated as often as asked", got=f"{int(count)} of 10 times")
    steps = "steps are captured" if replayed else "steps are not captured: they run, but slowly"
    return f"training and scoring in full float32, the KKT search's products {search}; {steps} ({capture.CAPTURED})"


def _libraries() -> Check:
    found = {name: _installed(name) for name in LIBRARIES}
    absent = [name for name, version in found.items() if not version]
    text = ", ".join(f"{name} {version}" for name, version in found.items() if version)
    if absent:
        return Check("libraries", "missing", f"{text}; not here: {', '.join(absent)}", "make venv, or pip install " + " ".join(absent))
    return Check("libraries", "ok", text)


def _data_sets() -> Iterator[Check]:
    """One line a data set; those that take a path are the user's own."""
    try:
        from bench import registry

        known = registry.entries("data")
    except Exception as error:
        yield Check("data sets", "missing", f"cannot be listed: {_first_line(error)}", "see libraries above")
        return
    for name in known:
        try:
            cls = registry.get("data", name)
            if getattr(cls, "takes_path", False):
                continue
            source = cls()
            missing = source.missing()
            if missing:
                what, _, todo = missing.partition("; ")
                yield Check(f"data {name}", "warn", what, todo)
            else:
                yield Check(f"data {name}", "ok", _where(source))
        except BenchError as error:
            yield Check(f"data {name}", "missing", error.what, error.hint)
        except Exception as error:
            yield Check(f"data {name}", "missing", _first_line(error), "the file that defines it is broken")


def _where(source: object) -> str:
    parquet, downloaded = getattr(source, "parquet", None), getattr(source, "downloaded", None)
    if parquet is None or downloaded is None:
        return "embedded" if type(source).__module__.startswith("bench.") else "here"
    splits = parquet()
    return f"Parquet copy in {splits.train[0].parent}" if splits is not None else f"torchvision's files in {home() / 'datasets'}"


def _lpips() -> Check:
    try:
        from bench.metrics.lpips import unavailable, weights_path

        reason = unavailable()
        where = weights_path()
    except Exception as error:
        return Check("lpips weights", "warn", f"cannot be checked: {_first_line(error)}", "see torch and libraries above")
    if reason:
        what, _, todo = reason.removeprefix("LPIPS is unavailable: ").partition("; ")
        return Check("lpips weights", "warn", f"{what} ({where}); rows have no LPIPS until then", todo or "python -m bench fetch lpips")
    return Check("lpips weights", "ok", f"{where}, checked on known images")


def _store() -> Check:
    try:
        files = store_files()
        files.probe()
        made = files.exists()
    except BenchError as error:
        return Check("store", "missing", f"{error.what}; {error.got}", error.hint or f"set {STORE} to {error.expected}")
    except Exception as error:  # as where pyarrow is broken
        return Check("store", "missing", f"cannot be looked at: {type(error).__name__}", "see libraries above")
    return Check("store", "ok", f"{files}{'' if made else ' (not made yet)'} is writable")


def _disk() -> Check:
    try:
        free = shutil.disk_usage(_existing(home())).free / 1e9
    except OSError as error:
        return Check("disk", "warn", f"free space unknown: {_first_line(error)}")
    if free < MIN_FREE:
        return Check(
            "disk", "warn", f"{free:.1f} GB free", f"free some: targets and reconstructions of all grids need up to {MIN_FREE:.0f} GB"
        )
    return Check("disk", "ok", f"{free:.0f} GB free")


def _sandbox() -> Check:
    try:
        from bench.apart import sandbox

        why = sandbox.works()
    except Exception as error:  # as where a library that it needs is broken
        return Check("sandbox", "warn", f"cannot be tried: {_first_line(error)}", "see libraries above")
    if why:
        return Check("sandbox", "warn", f"{why}; attacks can read what you can", "see CONTRIBUTING.md, What is promised, and what is not")
    return Check("sandbox", "ok", "bubblewrap keeps attacks from files and network")


def _existing(path: Path) -> Path:
    """The path, or its nearest parent that exists."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _installed(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def _version(text: str) -> tuple[int, int] | None:
    match = re.match(r"(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else None


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
