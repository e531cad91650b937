"""What options say, read: durations, memory, clusters, plug-in files. What is not understood is refused."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from bench.errors import BenchError

if TYPE_CHECKING:
    from bench.engine.executors.cluster import Cluster


def load_plugins(paths: Iterable[str]) -> list[str]:
    """Loads the files and returns the names of the attacks in them."""
    if not paths:
        return []
    from bench import registry

    return [entry.name for path in paths for entry in registry.load_plugin(path) if entry.kind == "attack"]


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
