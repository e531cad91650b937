"""The machine at fault: a full disk fails no cell, and a clock that is set back hides no row."""

from __future__ import annotations

import errno
import shutil
import time

import pytest
import torch
from tiny_grid import clean_registry, write_grid, write_plugin  # noqa: F401

from bench import files, registry
from bench.engine import rescore, stored
from bench.engine import run as engine
from bench.engine.plan import plan
from bench.errors import BenchError
from bench.grids.read import load
from bench.memory import forget_peak, is_out_of_memory

pytestmark = pytest.mark.usefixtures("clean_registry")
CPU = torch.device("cpu")
SWEPT = "{name: noise, sweep: {runs: 3, ranges: {scale: {low: 0.01, high: 0.3}}}}"


def go(path, retry=False):
    """Plans and runs a grid file; returns the summary and its rows."""
    rows = stored.store()
    planned = plan(load(path), stored.known(rows), retry=retry)
    summary = engine.run(planned, rows, CPU)
    return summary, stored.collect(planned, rows)[0]


def test_a_disk_that_is_full_in_the_middle_of_a_sweep_stops_the_run_and_fails_no_cell(tmp_path, monkeypatch):
    registry.load_plugin(write_plugin(tmp_path))
    path = write_grid(tmp_path, SWEPT)
    real = files.atomic_write

    def full(where, content):
        if where.parent.parent.name == "runs" and where.name == "1.safetensors":
            raise files.cannot_write(where, OSError(errno.ENOSPC, "No space left on device"))
        real(where, content)

    with monkeypatch.context() as patch:
        patch.setattr(files, "atomic_write", full)
        with pytest.raises(BenchError, match="disk is full"):
            go(path)
    assert "failed" not in set(stored.store().rows()["status"])
    summary, frame = go(path)
    assert (summary.ok, summary.failed) == (4, 0)
    assert set(frame["status"]) == {"ok"}


def test_a_row_counts_although_the_clock_was_set_back_since_the_one_before(tmp_path, monkeypatch):
    mark = tmp_path / "mark"
    body = f"from pathlib import Path\nif not Path({str(mark)!r}).exists():\n    raise ValueError('not yet')\n"
    registry.load_plugin(write_plugin(tmp_path, "later", body + "return release.mean_image.expand(4, -1, -1, -1).clone()"))
    path = write_grid(tmp_path, "later")
    assert go(path)[0].failed == 4
    mark.touch()
    time_ns = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: time_ns() - 3650 * 86_400 * 10**9)
    assert go(path, retry=True)[0].ok == 4
    assert set(stored.store().rows()["status"]) == {"ok"}
    stored.store().compact()
    assert set(stored.store().rows()["status"]) == {"ok"}
    assert go(path)[0].cached == 4


def test_reconstructions_that_are_cut_off_are_named_and_set_aside(tmp_path, bench_home):
    """Those of a sweep's run are made again, those of a cell are not scored again."""
    registry.load_plugin(write_plugin(tmp_path))
    path = write_grid(tmp_path, SWEPT)
    assert go(path)[0].ok == 4
    [run, *_] = sorted((bench_home / "reconstructions" / "runs").rglob("0.safetensors"))
    [cell, *_] = sorted((bench_home / "reconstructions").glob("*.safetensors"))
    for file in (run, cell):
        file.write_bytes(file.read_bytes()[:-9])
    with pytest.warns(UserWarning, match=f"{cell.name} is corrupt .*; set aside as {cell.stem}.corrupt"):
        fresh, missing = rescore.rescore(stored.store(), None)
    assert (len(fresh), sum(map(len, missing.values()))) == (3, 1)
    shutil.rmtree(bench_home / "rows")
    with pytest.warns(UserWarning, match=r"0\.safetensors is corrupt"):
        summary, _ = go(path)
    assert summary.ok == 4
    assert run.is_file()
    assert run.with_suffix(".corrupt").is_file()
    assert cell.with_suffix(".corrupt").is_file()


def test_what_pytorch_says_when_memory_runs_out_is_understood():
    with pytest.raises(RuntimeError) as error:
        torch.empty(2**60)
    assert is_out_of_memory(error.value)
    assert is_out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_a_control_group_bounds_what_is_free(tmp_path):
    from bench.memory import cgroup_bytes

    root, own = tmp_path / "cgroup", tmp_path / "own"
    assert cgroup_bytes(root, own) > 2**60
    job = root / "slurm" / "job_1"
    job.mkdir(parents=True)
    own.write_text("0::/slurm/job_1\n")
    for level, limit in ((job, "max"), (root / "slurm", "1000")):
        (level / "memory.max").write_text(f"{limit}\n")
        (level / "memory.current").write_text("700\n")
        (level / "memory.stat").write_text("anon 400\ninactive_file 300\n")
    assert cgroup_bytes(root, own) == 600
    (job / "memory.max").write_text("650\n")
    assert cgroup_bytes(root, own) == 250
    old = root / "memory" / "docker"
    old.mkdir(parents=True)
    own.write_text("4:cpu,cpuacct:/docker\n3:memory:/docker\n")
    for name, text in (("memory.limit_in_bytes", "500"), ("memory.usage_in_bytes", "600"), ("memory.stat", "total_inactive_file 50")):
        (old / name).write_text(text)
    assert cgroup_bytes(root, own) == 0


def test_a_run_that_starts_afresh_reads_what_it_wrote_itself_alone(tmp_path):
    from bench.files import Afresh, Folder

    before = Folder(tmp_path)
    before.within("shadows").put("a", b"old")
    files = Afresh(before)
    assert not files.exists()
    with pytest.raises(FileNotFoundError):
        files.within("shadows").read("a")
    assert files.within("shadows").listing() == []
    files.within("shadows").put("a", b"new")
    assert files.within("shadows").read("a") == before.within("shadows").read("a") == b"new"
    assert [file.name for file in files.within("shadows").listing()] == ["a"]


def test_a_process_that_has_not_used_the_gpu_yet_can_be_asked_for_its_peak(monkeypatch):
    began = []

    def reset(device):  # as PyTorch 2.11 answers
        if not began:
            raise RuntimeError("Invalid device argument")

    monkeypatch.setattr(torch.cuda, "init", lambda: began.append(True))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", reset)
    forget_peak(torch.device("cuda"))
    assert began
    began.clear()
    forget_peak(CPU)
    assert not began
