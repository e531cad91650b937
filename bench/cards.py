"""The GPUs of this machine as PyTorch sees them, and why it sees none."""

from __future__ import annotations

import os
import subprocess
from typing import NamedTuple

VISIBLE = "CUDA_VISIBLE_DEVICES"
BUILDS = "https://pytorch.org/get-started/locally"


class Card(NamedTuple):
    """One GPU."""

    name: str
    capability: tuple[int, int]  # what it can compute, NVIDIA's number
    memory: int  # bytes, free ones or not
    built_for: bool  # whether this torch has code for it


def cards() -> list[Card]:
    """Those that PyTorch can use, in its order."""
    import torch

    if not torch.cuda.is_available():
        return []
    majors = {arch.rpartition("_")[2].rstrip("af")[:-1] for arch in torch.cuda.get_arch_list()}  # sm_90 runs on every 9.x
    found = []
    for number in range(torch.cuda.device_count()):
        made = torch.cuda.get_device_properties(number)
        found.append(Card(made.name, (made.major, made.minor), made.total_memory, not majors or str(made.major) in majors))
    return found


def driver() -> str:
    """The version of NVIDIA's driver; empty where there is none, or it does not answer."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return (done.stdout.split() or [""])[0]


def lacking() -> tuple[str, str]:
    """Why PyTorch sees no GPU here, and what to do about it."""
    import torch

    version, cuda = torch.__version__, torch.version.cuda
    if cuda is None:
        return f"torch {version}, built without CUDA", f"install a torch built with CUDA, see {BUILDS}"
    if not (found := driver()):
        return f"torch {version} for CUDA {cuda}, but no NVIDIA driver answers", "install NVIDIA's driver, until nvidia-smi lists the GPU"
    if VISIBLE in os.environ:
        return f"{VISIBLE}={os.environ[VISIBLE]!r} hides what driver {found} has", f"unset {VISIBLE}"
    return (
        f"torch {version} for CUDA {cuda}, driver {found}",
        f"a driver for CUDA {cuda} or newer, or a torch for an older CUDA, see {BUILDS}",
    )
