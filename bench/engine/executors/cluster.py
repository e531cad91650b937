"""The Ray cluster of a run: how it is reached, what room it has, and how its nodes know whether they share the run's store."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

from bench.errors import BenchError
from bench.files import is_uri, store_files
from bench.home import STORE
from bench.line import Line
from bench.regular import path_of

PATIENCE = 20.0  # seconds that the head of a cluster may take to answer

OBJECTS = 256 * 2**20  # bytes of shared memory for results, in a cluster of this machine alone


class Cluster(NamedTuple):
    """Where to run, and with what."""

    address: str = ""  # HOST:PORT of the head, auto, or local: this machine alone, for this run; "": $RAY_ADDRESS, else local
    device: str = "auto"  # auto, cpu or cuda; auto: cuda where the cluster has GPUs
    gpus: float | None = None  # share of a GPU that a worker gets; None: a whole one


@contextlib.contextmanager
def connected(cluster: Cluster, jobs: int | None) -> Iterator[Any]:
    """The module ``ray``, connected. A connection that was there before is used and stays.

    Raises:
        BenchError: Ray is missing, or there is no cluster at the address.
    """
    try:
        import ray
    except ImportError as error:
        raise BenchError(
            "Ray is not installed", expected="the package ray, for --executor ray", got=str(error), hint="pip install 'reconbench[ray]'"
        ) from error
    if ray.is_initialized():
        yield ray
        return
    address = cluster.address or os.environ.get("RAY_ADDRESS") or "local"
    _check_address(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anyone
    alone: dict[str, Any] = {} if address != "local" else {"num_cpus": jobs, "object_store_memory": OBJECTS, "include_dashboard": False}
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, **alone)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise _unreachable(address, str(error)) from error
    finally:
        if threading.current_thread() is threading.main_thread():  # Ray has put a handler of its own there
            signal.signal(signal.SIGTERM, handler)
    try:
        yield ray
    finally:
        ray.shutdown()


def _check_address(address: str) -> None:
    """Ray itself tries for minutes, and then ends the process.

    Raises:
        BenchError: nobody answers there, or not as the head of a cluster of this version of Ray.
    """
    if address == "local":
        return
    line, command = Line(f"the Ray cluster at {address}"), [sys.executable, "-m", "ray.scripts.scripts", "health-check"]
    if address != "auto":  # else Ray finds a head that runs here, or one that ran here once
        host, colon, port = address.rpartition(":")
        if not colon or "//" in address or not port.isdecimal():
            raise BenchError(
                f"--address {address}: not understood",
                expected="HOST:PORT of the cluster's head, as `ray start --head` prints it, or auto",
                got=repr(address),
                hint="run this on a node of the cluster, which may be one without a GPU",
            )
        try:  # over the line, since the name of the host is looked up before the timeout counts
            line.call(lambda: socket.create_connection((host.strip("[]"), int(port)), timeout=5).close())
        except (OSError, OverflowError) as error:
            raise _unreachable(address, str(error)) from error
        command += ["--address", address]
    try:
        done = line.call(lambda: subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", timeout=PATIENCE))
    except (TimeoutError, subprocess.TimeoutExpired) as error:
        raise _unreachable(address, f"no answer in {PATIENCE:g} s") from error
    if done.returncode:
        raise _unreachable(address, ((done.stderr or done.stdout).strip().splitlines() or ["it is not well"])[-1])


def _unreachable(address: str, got: str) -> BenchError:
    return BenchError(
        "a Ray cluster of this machine alone does not start" if address == "local" else f"no Ray cluster answers at {address}",
        expected="a head that runs the same versions of Ray and Python",
        got=" ".join(got.split())[:500],
        hint="ray start --head here, and --address auto"
        if address == "local"
        else "ray start --head on one machine, ray start --address HEAD:6379 on the others, and ray status",
    )


@contextlib.contextmanager
def marked() -> Iterator[str]:
    """A file in this run's store, by which a node knows whether it shares the store."""
    name = f".ray-{secrets.token_hex(8)}"
    store_files().put(name, b"a run on a Ray cluster is under way")
    try:
        yield name
    finally:
        store_files().delete(name)


def store_address() -> str:
    """RECONBENCH_STORE as it is understood wherever the folder that this runs in is not."""
    store = os.environ.get(STORE, "")
    return store if not store or is_uri(store) else str(path_of(store).absolute())


def room(ray: Any, cluster: Cluster) -> tuple[str, float, list[int]]:
    """cpu or cuda, the share of a GPU that a worker gets (0: none), and how many workers each node has room for.

    Raises:
        BenchError: an impossible share, or no room at all.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    device = cluster.device
    if device == "auto":
        device = "cuda" if cluster.gpus or (cluster.gpus is None and any(node.get("GPU") for node in nodes)) else "cpu"
    share = 0.0 if device == "cpu" else cluster.gpus or 1.0
    room = [int(node.get("CPU", 0)) for node in nodes]
    if share:
        room = [min(cpus, int(node.get("GPU", 0)) * int(1 / share + 1e-9)) for cpus, node in zip(room, nodes, strict=True)]
    if not sum(room):
        has = {name: sum(node.get(name, 0) for node in nodes) for name in ("CPU", "GPU")}
        raise BenchError(
            "the cluster has no room for a worker",
            expected=f"a node with 1 CPU and {share:g} GPU" if share else "a node with 1 CPU",
            got=f"{len(nodes)} nodes with {has['CPU']:g} CPUs and {has['GPU']:g} GPUs in all",
            hint="--device cpu, or ray start with --num-cpus and --num-gpus" if share else "ray start with --num-cpus",
        )
    return device, share, room
