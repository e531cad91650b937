"""What options say, read: durations, memory, clusters, plug-in files. What is not understood is refused."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from bench.errors import BenchError

if TYPE_CHECKING:
    from bench.apart.room import Room
    from bench.engine.executors.cluster import Cluster


def load_plugins(paths: Iterable[str], room: Room | None = None) -> list[str]:
    """Loads the files and returns the names of the attacks in them.

    Args:
        room: where files that bring attacks alone are imported; None: here.
    """
    if not paths:
        return []
    from bench import registry
    from bench.apart import described

    found = [registry.load_plugin(path) if room is None else described.load_plugin(path, room) for path in paths]
    return [entry.name for entries in found for entry in entries if entry.kind == "attack"]


def load_packages(attacks: Iterable[str], room: Room | None) -> None:
    """Attacks among these that installed packages bring are imported apart, if there is a room."""
    if room is not None:
        from bench.apart import described

        described.load_packages(attacks, room)


def room_of(sandbox: str, pdb: bool, device: str) -> Room | None:
    """Where attacks run apart; None: in this process, where the debugger sees them."""
    if pdb and sandbox == "bwrap":
        raise BenchError("--pdb opens in this process, and --sandbox bwrap keeps attacks out of it", expected="one of them")
    if pdb or sandbox == "off":
        return None
    from bench.apart.room import Room

    return Room(sandbox, gpu=device != "cpu")


def check_jobs(jobs: int | None) -> None:
    """Refuses a number of worker processes that cannot be meant."""
    if jobs is not None and not 1 <= jobs <= 512:
        raise BenchError(f"--jobs {jobs}: not understood", expected="worker processes, 1 to 512", got=str(jobs), hint="-j 4")


def check_memory(memory: float | None) -> None:
    if memory is not None and not 0 < memory < float("inf"):  # not so of NaN
        raise BenchError(f"--memory {memory}: not understood", expected="GiB, more than 0", got=str(memory), hint="--memory 2")


def seconds_of(text: str) -> float:
    """A duration as ``--timeout`` takes it."""
    import re

    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh])", text.strip())
    value = float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]] if match else 0.0
    if not 0 < value <= 30 * 86_400:
        raise BenchError(
            f"--timeout {text}: not understood", expected="a number and s, m or h, up to 30 days", got=repr(text), hint="--timeout 10m"
        )
    return value


def cluster_of(executor: str, address: str, gpus: float | None, device: str) -> Cluster | None:
    """Where the workers are, if not on this machine."""
    if executor not in ("local", "ray"):
        raise BenchError(f"unknown executor '{executor}'", expected="local or ray", got=repr(executor))
    if executor == "local":
        if address or gpus is not None:
            raise BenchError("--address and --gpus-per-worker belong to --executor ray", expected="--executor ray beside them")
        return None
    if device not in ("auto", "cpu", "cuda"):
        raise BenchError(f"unknown device '{device}'", expected="auto, cpu or cuda", got=repr(device))
    if gpus is not None and not (0 < gpus <= 1 if device == "cuda" else gpus == 0 if device == "cpu" else 0 <= gpus <= 1):
        raise BenchError(
            f"--gpus-per-worker {gpus:g}: not understood",
            expected="a share of one GPU, more than 0 up to 1; or 0 for none, without --device cuda",
            got=f"{gpus:g} with --device {device}",
            hint="--gpus-per-worker 0.25",
        )
    from bench.engine.executors.cluster import Cluster

    return Cluster(address, device, gpus)
