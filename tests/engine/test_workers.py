"""Worker processes: the same rows whatever their number, only culprits fail and say why, and nothing is left running.

A worker takes seconds to start, so each test puts several faults into one run.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from same_rows import differing
from tiny_grid import clean_registry, write_grid, write_plugin  # noqa: F401

from bench import registry
from bench.cli import main
from bench.cli.reading import seconds_of
from bench.engine import messages, queue, stored
from bench.engine import run as engine
from bench.engine.executors import process, workers
from bench.engine.plan import plan
from bench.engine.progress import Silent
from bench.errors import BenchError
from bench.grids.read import load
from bench.targets.cache import TargetCache
from bench.tracks.reconstruction import work as reconstruction

pytestmark = pytest.mark.usefixtures("clean_registry")
ROOT = Path(__file__).resolve().parent.parent.parent
CPU = torch.device("cpu")

ONE = """
name: one
title: One
question: Who fails?
base: {{dataset: lfw_faces, n_per_class: 2, hidden: [8], epochs: 5}}
seeds: 1
attacks: [{attacks}]
"""


def go(path, **options):
    """Plans and runs a grid file; returns the summary and this grid's rows."""
    rows = stored.store()
    planned = plan(load(path), stored.known(rows), no_cache=options.get("no_cache", False))
    summary = engine.run(planned, rows, CPU, **options)
    return summary, stored.collect(planned, rows)[0]


def alive(pid: int) -> bool:
    """Whether a process runs; one that is dead and not yet buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(what, seconds=200):
    """Waits until something is true, as long as a slow machine may take."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)


# ----------------------------------------------------------------------------------------------------------------- the same


def test_scores_are_the_same_in_one_process_and_in_several(tmp_path, bench_home):
    registry.load_plugin(write_plugin(tmp_path))
    path = write_grid(tmp_path, "noise, heldout_images, {name: noise, sweep: {runs: 3, ranges: {scale: {low: 0.01, high: 0.3}}}}")
    _, alone = go(path)
    assert len(alone) == 12
    assert alone["transplant"].notna().sum() == 6
    for folder in ("rows", "targets", "reconstructions"):
        shutil.rmtree(bench_home / folder)
    summary, together = go(path, jobs=2)
    assert (summary.ok, summary.failed, summary.left) == (12, 0, 0)
    assert not differing(alone, together)
    again, _ = go(path, jobs=2)
    assert (again.cached, again.ok) == (12, 0)
    assert len(stored.store().rows()) == 12


def test_workers_share_the_memory_that_is_allowed(tmp_path):
    registry.load_plugin(write_plugin(tmp_path, after="\n    def memory(self, release):\n        return 2**20\n"))
    path = write_grid(tmp_path, "{name: noise, sweep: {runs: 6, ranges: {scale: {low: 0.01, high: 0.3}}}}")
    _, frame = go(path, jobs=2, memory_gib=4 / 1024)  # room for four runs of a mebibyte, two a worker
    assert set(frame["stack"]) == {2}


class Fake:
    """A cell, as far as sharing out goes."""

    def __init__(self, target):
        self.target_id = target


def test_chunks_are_halved_until_every_worker_has_one():
    cells = [Fake(f"{i // 2}") for i in range(10)]
    cut = queue.spread([cells], 3)
    assert [len({c.target_id for c in part}) for part in cut] == [1] * 5
    assert queue.spread([cells], 1) == [cells]
    assert [c for part in cut for c in part] == cells
    assert all(len([p for p in cut if any(c.target_id == t for c in p)]) == 1 for t in map(str, range(5)))
    assert queue.spread([cells[:2]], 3) == [cells[:2]]
    assert queue.spread([], 3) == []


def test_no_worker_trains_the_one_large_chunk_while_others_have_small_ones():
    sizes = [len(part) for part in queue.spread([[Fake(i) for i in range(35)], [Fake(100)], [Fake(101)]], 2)]
    assert max(sizes) <= 10
    assert sum(sizes) == 37


def test_each_worker_sees_one_gpu_and_its_share_of_the_memory(tmp_path, monkeypatch):
    planned = plan(load(write_grid(tmp_path)), {})
    places = queue.places_of(planned)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, 5,7")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    made = workers._setups(planned, places, "cuda", 5, None, False)
    assert [setup.environment["CUDA_VISIBLE_DEVICES"] for setup in made] == ["4", "5", "7", "4", "5"]
    assert [setup.share for setup in made] == [2, 2, 1, 2, 2]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert [setup.environment["CUDA_VISIBLE_DEVICES"] for setup in workers._setups(planned, places, "cuda", 2, None, False)] == ["0", "1"]
    made = workers._setups(planned, places, "cpu", 2, None, False)
    assert [(dict(setup.environment), setup.share) for setup in made] == [({}, 2), ({}, 2)]


def test_two_workers_see_one_fake_gpu_each_before_torch_is_there(tmp_path, monkeypatch):
    """The environment that a GPU's worker gets, on workers that have none; each waits for the other, so that both are seen."""
    setups = workers._setups
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)

    def on_cpu(planned, places, device, *given):
        return [dataclasses.replace(setup, device="cpu") for setup in setups(planned, places, "cuda", *given)]

    monkeypatch.setattr(workers, "_setups", on_cpu)
    body = f"""
        import os, pathlib, time
        seen = os.environ["CUDA_VISIBLE_DEVICES"]
        folder = pathlib.Path({str(tmp_path)!r})
        (folder / f"gpu-{{seen}}").touch()
        for _ in range(2000):
            if len(list(folder.glob("gpu-*"))) == 2:
                break
            time.sleep(0.05)
        return Candidates(torch.full((4, *release.mean_image.shape), 0.5), None, float(seen))
    """
    registry.load_plugin(write_plugin(tmp_path, "looker", body))
    summary, frame = go(write_grid(tmp_path, "looker"), jobs=2)
    assert summary.ok == 4
    assert set(frame["attack_loss"]) == {4.0, 5.0}  # and none sees both


# ----------------------------------------------------------------------------------------------------------------- culprits

FAULTS = {
    "stubborn": "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('here I stay', flush=True)\nwhile True: pass",
    "segfault": "import ctypes, sys\nprint('x' * 5000 + 'about to fall', file=sys.stderr, flush=True)\nctypes.string_at(0)",
    "leaves": "import os\nos._exit(0)",
    "leaves_badly": "import os\nos._exit(3)",
    "is_killed": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
    "chatters": "import os\nfor _ in range(2000): os.write(1, b'y' * 1000)\nraise ValueError('enough said')",
}


def test_each_culprit_fails_with_its_own_reason_and_no_other_cell(tmp_path):
    for name, body in FAULTS.items():
        registry.load_plugin(write_plugin(tmp_path, name, body))
    path = tmp_path / "one.yaml"
    path.write_text(ONE.format(attacks=", ".join(["mean_image", *FAULTS, "heldout_images"])))
    summary, frame = go(path, jobs=2, timeout=20.0)
    row = frame.set_index("attack")
    assert (summary.ok, summary.failed, summary.left) == (2, 6, 0)
    assert dict(row["status"]) == dict.fromkeys(FAULTS, "failed") | dict.fromkeys(["mean_image", "heldout_images"], "ok") | {
        "stubborn": "timeout"
    }
    assert row.loc["stubborn", "reason"] == "exceeded 20 s"
    assert row.loc["segfault", "reason"] == "killed by signal 11 (segmentation fault)"
    assert row.loc["leaves", "reason"] == "ended its process with exit code 0"
    assert row.loc["leaves_badly", "reason"] == "ended its process with exit code 3"
    assert row.loc["is_killed", "reason"] == "killed by signal 9 (from outside, as the system does when memory runs out)"
    assert row.loc["chatters", "reason"].startswith("ValueError: enough said (at chatters.py:")
    assert row.loc["stubborn", "stderr"] == "here I stay"
    assert "Fatal Python error: Segmentation fault" in row.loc["segfault", "stderr"]
    assert "segfault.py" in row.loc["segfault", "stderr"]
    assert row.loc["chatters", "stderr"] == "y" * process.TAIL
    assert row["stderr"].dropna().str.len().max() <= process.TAIL
    assert row.loc[["mean_image", "heldout_images"], "stderr"].isna().all()
    from bench import store

    store.publish(*stored.collect(plan(load(path), {}), stored.store()), tmp_path / "results")
    assert pq.read_table(tmp_path / "results" / "scores")["stderr"].null_count == 8, "what was printed stays on this machine"
    again, _ = go(path, jobs=2, timeout=20.0)
    assert (again.cached, again.failed, again.left) == (2, 6, 0), "failed cells are not tried again"


def test_a_batch_that_dies_is_tried_cell_by_cell(tmp_path, bench_home, monkeypatch, capfd):
    body = "import ctypes, os\nnorm = release.weights['layers.0.weight'].double().norm()\n"
    body += "if f'{norm:.9f}' == os.environ['WORST']:\n    ctypes.string_at(0)\nreturn release.mean_image.expand(4, -1, -1, -1).clone()"
    registry.load_plugin(write_plugin(tmp_path, "picky", body))
    path = write_grid(tmp_path, "picky")
    cells = plan(load(path), {}).cells
    made = reconstruction.obtain([cell.setting for cell in cells], TargetCache(bench_home))
    monkeypatch.setenv("WORST", f"{made[3].release.weights['layers.0.weight'].double().norm():.9f}")
    spoilt = bench_home / "targets" / f"{made[0].id}.safetensors"
    spoilt.write_bytes(spoilt.read_bytes()[:200])
    capfd.readouterr()
    with pytest.warns(UserWarning, match=f"cached target {spoilt.name} is corrupt"):
        summary, frame = go(path, jobs=2, timeout=120.0)
    assert (summary.ok, summary.failed) == (3, 1)
    assert frame.loc[frame["status"] == "failed", "cell_id"].tolist() == [cells[3].id]
    assert capfd.readouterr().out == ""
    left = [child for child in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split() if _is_worker(int(child))]
    assert not left


def _is_worker(pid: int) -> bool:
    return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()


CRASHES = """
import os
from dataclasses import dataclass
from typing import ClassVar

from bench.api import Defense
from bench.registry import register


@register
@dataclass(frozen=True)
class Crashes(Defense):
    '''Takes the process with it.'''

    name: ClassVar[str] = "crashes"
    paper: ClassVar[str] = "none: a test"

    def after_training(self, weights, generator):
        os.abort()
"""


def test_a_training_that_dies_fails_the_cells_of_its_target(tmp_path):
    defense = tmp_path / "crashes.py"
    defense.write_text(CRASHES)
    registry.load_plugin(defense)
    path = write_grid(tmp_path, "mean_image, heldout_images")
    text = path.read_text().replace("weight_decay: [0, 0.01]", "defense: [none, crashes]").replace("seeds: 2", "seeds: 1")
    path.write_text(text)
    summary, frame = go(path, jobs=1, timeout=120.0)
    assert (summary.ok, summary.failed) == (2, 2)
    reasons = set(frame.loc[frame["status"] == "failed", "reason"])
    assert reasons == {"training: killed by signal 6 (aborted)"}
    assert set(frame.loc[frame["status"] == "failed", "defense"]) == {"crashes"}


def test_workers_that_cannot_start_are_one_message(tmp_path, monkeypatch):
    plugin = write_plugin(tmp_path, before="\nimport os\nif os.environ.get('FALL'):\n    os._exit(5)\n")
    registry.load_plugin(plugin)
    planned = plan(load(write_grid(tmp_path, "noise")), {})
    monkeypatch.setenv("FALL", "1")
    with pytest.raises(BenchError, match="worker processes do not start") as error:
        engine.run(planned, stored.store(), CPU, jobs=2)
    assert error.value.got == "ended its process with exit code 5"
    monkeypatch.delenv("FALL")
    plugin.write_text(plugin.read_text() + "\n# another version\n")
    with pytest.raises(BenchError, match="attack 'noise' has changed on disk since the run began"):
        engine.run(planned, stored.store(), CPU, jobs=2)


def test_a_spent_budget_starts_nothing_new(tmp_path):
    planned = plan(load(write_grid(tmp_path)), {})
    got = workers.results(planned.cells, planned, "cpu", Silent(), time.monotonic() - 1, jobs=1)
    assert list(got) == []


# ------------------------------------------------------------------------------------------------------------ interruptions


def start(tmp_path: Path, *more: str) -> tuple[subprocess.Popen, Path]:
    """A run with two workers whose second attack says its process and sleeps; returns when both sleep, on the first target each."""
    pids = tmp_path / "pids"
    body = f"import os, time\nopen({str(pids)!r}, 'a').write(f'{{os.getpid()}} ')\ntime.sleep(600)"
    plugin = write_plugin(tmp_path, "sleeper", body)
    grid = write_grid(tmp_path, "mean_image, sleeper")
    words = [sys.executable, "-m", "bench", "run", "--grid", str(grid), "--plugin", str(plugin), "-j", "2", "--out", str(tmp_path / "out")]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [*words, *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )

    def sleeping() -> bool:
        assert process.poll() is None, process.communicate()
        return pids.exists() and len(pids.read_text().split()) == 2 and len(stored.store().rows()) == 2

    wait_for(sleeping)
    return process, pids


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_keeps_what_is_finished_and_leaves_no_process(tmp_path, how):
    process, pids = start(tmp_path)
    process.send_signal(how)
    began = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert time.monotonic() - began < 30
    assert process.returncode == 130, err
    assert "2 cells finished in this run are kept, 6 are left" in err
    assert "-j 2" in err
    assert "Traceback" not in err
    assert not any(alive(int(pid)) for pid in pids.read_text().split())
    assert set(stored.store().rows()["attack"]) == {"mean_image"}


def test_a_run_that_is_killed_takes_its_workers_with_it(tmp_path):
    process, pids = start(tmp_path)
    process.kill()
    process.communicate(timeout=60)
    wait_for(lambda: not any(alive(int(pid)) for pid in pids.read_text().split()))
    assert len(stored.store().rows()) == 2


# ------------------------------------------------------------------------------------------------------------- the options


@pytest.mark.parametrize(
    ("text", "seconds", "words"), [("90s", 90, "90 s"), ("10m", 600, "10 min"), ("1.5h", 5400, "90 min"), ("1h", 3600, "1 h")]
)
def test_a_timeout_is_a_number_with_a_unit(text, seconds, words):
    assert seconds_of(text) == seconds
    assert process.in_words(seconds) == words


@pytest.mark.parametrize(
    "words", [["--timeout", "10"], ["--timeout", "0s"], ["--timeout", "-1m"], ["--timeout", "9999h"], ["--timeout", "m"], ["-j", "0"]]
)
def test_options_that_make_no_sense_are_one_message(words, capsys):
    assert main(["run", "--grid", "quick", *words]) == 1
    err = capsys.readouterr().err
    assert "not understood" in err
    assert "Traceback" not in err


def test_a_cell_travels_without_its_attack(tmp_path):
    [cell, *_] = plan(load(write_grid(tmp_path)), {}).cells
    sent = messages.pack(cell, 0)
    assert sent.pop("attack") == 0
    assert sent == {name: getattr(cell, name) for name in cell.__dataclass_fields__ if name != "attack"}
