"""The doctor answers on any machine, and says what to do about what is missing."""

from __future__ import annotations

import os
import re
import tempfile
from collections import namedtuple
from importlib import metadata
from pathlib import Path

import pytest

from bench import doctor
from bench.apart import sandbox
from bench.data import torchvision_import
from bench.errors import BenchError


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECONBENCH_HOME", str(tmp_path / "store"))
    monkeypatch.delenv("BENCH_DATA", raising=False)


def by_name() -> dict[str, doctor.Check]:
    checks = doctor.report()
    assert len({check.name for check in checks}) == len(checks)
    assert all(check.todo for check in checks if check.status != "ok")
    return {check.name: check for check in checks}


def pretend(monkeypatch: pytest.MonkeyPatch, **versions: str) -> None:
    """Other installed versions; an empty one is not installed."""
    true_version = metadata.version

    def version(name: str) -> str:
        found = versions.get(name)
        if found == "":
            raise metadata.PackageNotFoundError(name)
        return found or true_version(name)

    monkeypatch.setattr(doctor.metadata, "version", version)


def test_a_sound_machine() -> None:
    checks = by_name()
    assert all(
        checks[name].status == "ok" for name in ("python", "torch", "devices", "libraries", "data lfw_faces", "data photo_tiles", "store")
    )
    assert checks["data lfw_faces"].detail == "embedded"
    assert checks["data cifar10"].status == "warn"
    assert checks["data cifar10"].todo == "python -m bench fetch cifar10"
    assert checks["lpips weights"].status == "warn"
    assert checks["lpips weights"].todo == "python -m bench fetch lpips"
    assert "lpips_alexnet.safetensors" in checks["lpips weights"].detail  # rows leave the path out, so it is told here
    assert not {"data folder", "data parquet"} & set(checks)


def test_local_copies_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "train.parquet").touch()
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    check = by_name()["data mnist"]
    assert check.status == "ok"
    assert str(tmp_path / "mnist") in check.detail


@pytest.mark.parametrize(
    ("torch_version", "torchvision_version"),
    [("2.8.0", "0.23"), ("2.9.1+cu128", "0.24"), ("2.13.0+cpu", "0.28"), ("2.7.1", ""), ("1.13.1", ""), ("", ""), ("nightly", "")],
)
def test_which_torchvision_goes_with_which_torch(torch_version: str, torchvision_version: str) -> None:
    assert doctor.torchvision_for(torch_version) == torchvision_version


def test_versions_that_do_not_match(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, torch="2.9.0", torchvision="0.28.0")
    check = by_name()["torchvision"]
    assert check.status == "warn"
    assert "goes with 0.24" in check.detail
    assert check.todo == "pip install 'torchvision==0.24.*'"


def test_torchvision_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, torchvision="", torch="2.13.0")
    check = by_name()["torchvision"]
    assert check.status == "warn"
    assert "not installed" in check.detail
    assert "0.28" in check.todo


def test_torchvision_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, torchvision="0.28.0", torch="2.13.0")

    def fails(submodule: str = "") -> None:
        raise BenchError("torchvision cannot be imported", got="ImportError: libcudart.so is missing")

    monkeypatch.setattr(torchvision_import, "torchvision_module", fails)
    check = by_name()["torchvision"]
    assert check.status == "warn"
    assert "libcudart.so" in check.detail


def test_torch_is_missing_or_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        pretend(patch, torch="")
        assert by_name()["torch"].status == "missing"
    import builtins

    true_import = builtins.__import__

    def no_torch(name: str, *args: object, **kwargs: object) -> object:
        if name.split(".")[0] == "torch":
            raise OSError("libtorch.so: wrong ELF class")
        return true_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_torch)
    checks = by_name()
    assert checks["torch"].status == "missing"
    assert "wrong ELF class" in checks["torch"].detail
    assert checks["devices"].status == "warn"


def test_a_library_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, pyarrow="")
    check = by_name()["libraries"]
    assert check.status == "missing"
    assert check.todo == "make venv, or pip install pyarrow"


def test_every_make_target_that_is_named_exists() -> None:
    root = Path(doctor.__file__).parent.parent
    targets = set(re.findall(r"^([a-z]+):", (root / "Makefile").read_text(), flags=re.MULTILINE))
    named = {word for path in (root / "bench").rglob("*.py") for word in re.findall(r"[\"`]make ([a-z]+)[\"`,]", path.read_text())}
    assert "venv" in named
    assert named <= targets


def test_a_store_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refused)
    check = by_name()["store"]
    assert check.status == "missing"
    assert "RECONBENCH_HOME" in check.todo


def test_a_disk_that_is_almost_full(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage(10**12, 10**12, 10**8))
    check = by_name()["disk"]
    assert check.status == "warn"
    assert "0.1 GB free" in check.detail


def test_whether_attacks_can_be_put_into_a_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "works", lambda: "")
    assert by_name()["sandbox"].status == "ok"
    monkeypatch.setattr(sandbox, "works", lambda: "bubblewrap is not installed (apt install bubblewrap)")
    check = by_name()["sandbox"]
    assert check.status == "warn"
    assert check.detail.startswith("bubblewrap is not installed (apt install bubblewrap); ")


def test_no_secret_of_the_environment_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://user:hunter2@example.org/simple")
    monkeypatch.setenv("API_TOKEN", "hunter2")
    assert "hunter2" not in repr(doctor.report())
    assert os.environ["API_TOKEN"] == "hunter2"
