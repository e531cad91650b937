"""Where numbers come from: which code and libraries, on which system and device, at what cost in memory."""

from __future__ import annotations

import functools
import json
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version

import torch

import bench
from bench import registry
from bench.api import Row


@functools.cache
def provenance() -> Row:
    """Which code and libraries, on which system."""
    names = ("torch", "torchvision", "numpy", "scipy", "scikit-image", "lpips")
    versions = {}
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "code_version": code_version(),
        "versions": json.dumps(versions),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
    }


@functools.cache
def code_version() -> str:
    """The program's version, with the commit when it runs from a clone, and ``.dirty`` when its code was changed since."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(registry.ROOT), *words], capture_output=True, encoding="utf-8", errors="replace", timeout=10, check=True
        ).stdout.strip()

    if not (registry.ROOT / ".git").exists():
        return bench.__version__
    try:
        changed = git("status", "--porcelain", "--", "bench", "attacks", "defenses")
        return f"{bench.__version__}+g{git('rev-parse', '--short=8', 'HEAD')}" + (".dirty" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return bench.__version__


def device_name(device: torch.device) -> str:
    """``cpu``, or ``cuda: NVIDIA H100``."""
    return f"cuda: {torch.cuda.get_device_name(device)}" if device.type == "cuda" else device.type
