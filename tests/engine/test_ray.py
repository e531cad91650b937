"""A Ray cluster: the rows of one process, also when a node is lost; only culprits fail, and what is missing is one message.

Workers take seconds to start, so the cluster is shared, and each test puts as much into one run as goes.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from same_rows import differing
from tiny_grid import clean_registry, write_grid, write_plugin  # noqa: F401

from bench import line, registry
from bench.cli import main
from bench.engine import run as engine
from bench.engine import stored
from bench.engine.executors import seat
from bench.engine.plan import plan
from bench.engine.progress import Silent
from bench.errors import BenchError
from bench.grids.read import load

ray = pytest.importorskip("ray")
from bench.engine.executors import cluster as reached  # noqa: E402
from bench.engine.executors import ray as on_ray  # noqa: E402
from bench.engine.executors.cluster import Cluster  # noqa: E402

pytestmark = pytest.mark.usefixtures("clean_registry")
CPU = torch.device("cpu")
NODE = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False}

ONE = """
name: one
title: One
question: Who fails?
base: {{dataset: lfw_faces, n_per_class: 2, hidden: [8], epochs: 5}}
seeds: 1
attacks: [{attacks}]
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A head and one node, a CPU each, whose store is not the one of the runs."""
    from ray.cluster_utils import Cluster as Nodes

    with pytest.MonkeyPatch.context() as patch:
        store = tmp_path_factory.mktemp("nodes")
        (store / "weights").symlink_to(Path(os.environ["RECONBENCH_HOME"]) / "weights")
        patch.setenv("RECONBENCH_HOME", str(store))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("OMP_NUM_THREADS", "1")
        nodes = Nodes(initialize_head=True, head_node_args=NODE)
        nodes.add_node(**NODE)
        nodes.store = store
        yield nodes
        nodes.shutdown()


@pytest.fixture(autouse=True)
def _program_of_now() -> None:
    """Files that were edited since another test asked are no other program."""
    seat.program.cache_clear()


def go(path, cluster, **options):
    """Plans and runs a grid file on the cluster, or in this process where there is none; returns the summary and this grid's rows."""
    rows = stored.store()
    planned = plan(load(path), stored.known(rows))
    where = None if cluster is None else Cluster(cluster.address)
    summary = engine.run(planned, rows, CPU, jobs=None if cluster else 1, cluster=where, **options)
    frame = stored.collect(planned, rows)[0]
    assert len(frame) == len(rows.rows()) == len(planned.cells), "a row a cell"
    return summary, frame


# ----------------------------------------------------------------------------------------------------------------- the same


def test_a_node_is_lost_and_the_rows_are_those_of_one_process(tmp_path, bench_home, cluster):
    """Three nodes, one of which is killed while it works; its cells are done elsewhere, each once.

    That one shares the store of the run, the others do not: they must train what it had trained.
    """
    body = "import time\ntime.sleep(1)\nreturn (release.mean_image + self.scale * torch.randn(4, *release.mean_image.shape, "
    body += "generator=generator)).clamp(0, 1)"
    plugin = write_plugin(tmp_path, body=body)
    registry.load_plugin(plugin)
    path = write_grid(tmp_path, "noise, heldout_images")
    path.write_text(path.read_text().replace("seeds: 2", "seeds: 3"))
    _, alone = go(path, None)
    for folder in ("rows", "targets", "reconstructions"):
        shutil.rmtree(bench_home / folder)
    third = cluster.add_node(**NODE)
    lost: list[str] = []
    give, lose = on_ray._Seat.give, on_ray._lost

    def given(place, job, *more):
        give(place, job, *more)
        if place.home == "the run's" and job.kind == "attack" and third in cluster.list_all_nodes():
            cluster.remove_node(third, allow_graceful=False)

    def counted(run, place, error):
        lost.append(place.home)
        return lose(run, place, error)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(on_ray._Seat, "give", given)
        patch.setattr(on_ray, "_lost", counted)
        summary, together = go(path, cluster)
    assert (summary.ok, summary.failed, summary.left) == (12, 0, 0)
    assert lost == ["the run's"], "the node was not in use when it went"
    # a node with a store of its own may never have had the other network, and its row says so
    assert not [one for one in differing(alone, together) if not one.startswith("transplant")]
    kept = {file.name for file in (bench_home / "reconstructions").glob("*.safetensors")}
    assert kept == {f"{cell}.safetensors" for cell in together["cell_id"]}, "reconstructions come back with the rows"
    assert list((cluster.store / "targets").glob("*.safetensors")), "targets stay where they are trained"
    assert not list(bench_home.glob(".ray-*"))
    again, _ = go(path, cluster)
    assert (again.cached, again.ok) == (12, 0)


# ----------------------------------------------------------------------------------------------------------------- culprits

FAULTS = {
    "stubborn": "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('here I stay', flush=True)\nwhile True: pass",
    "segfault": "import ctypes, sys\nprint('about to fall', file=sys.stderr, flush=True)\nctypes.string_at(0)",
    "is_killed": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
    "killer": "import os, signal, time\nos.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(60)",
    "raises": "print('so it goes', flush=True)\nraise ValueError('enough said')",
}


def test_each_culprit_fails_with_its_own_reason_and_no_other_cell(tmp_path, cluster):
    """The plug-in files are where no node looks for them by itself: what the nodes load is what was sent."""
    for name, body in FAULTS.items():
        registry.load_plugin(write_plugin(tmp_path, name, body))
    path = tmp_path / "one.yaml"
    path.write_text(ONE.format(attacks=", ".join(["mean_image", *FAULTS, "heldout_images"])))
    summary, frame = go(path, cluster, timeout=20.0)
    row = frame.set_index("attack")
    assert (summary.ok, summary.failed, summary.left) == (2, 5, 0)
    assert dict(row["status"]) == dict.fromkeys(FAULTS, "failed") | dict.fromkeys(["mean_image", "heldout_images"], "ok") | {
        "stubborn": "timeout"
    }
    assert row.loc["stubborn", "reason"] == "exceeded 20 s"
    assert row.loc["stubborn", "stderr"] == "here I stay"
    assert row.loc["segfault", "reason"] == "killed by signal 11 (segmentation fault)"
    assert row.loc["segfault", "stderr"].startswith("about to fall")
    assert row.loc["is_killed", "reason"] == "killed by signal 9 (from outside, as the system does when memory runs out)"
    assert row.loc["killer", "reason"].startswith("lost its worker 3 times, at last because ")
    assert row.loc["raises", "reason"].startswith("ValueError: enough said (at raises.py:")
    assert row.loc["raises", "stderr"] == "so it goes"
    assert row.loc[["mean_image", "heldout_images"], "stderr"].isna().all()


def test_plugins_are_sent_where_their_path_means_nothing(tmp_path, bench_home):
    path = tmp_path / "mine.py"
    path.write_bytes(b"here = 1")
    assert seat._placed(seat.Plugin(str(path), b"here = 1")) == str(path)
    for elsewhere in (str(path), "/no/such/folder/mine.py"):
        placed = Path(seat._placed(seat.Plugin(elsewhere, b"here = 2")))
        assert placed.read_bytes() == b"here = 2"
        assert placed.name == "mine.py"
        assert bench_home in placed.parents


def test_nodes_keep_files_where_they_say_or_where_the_run_has_them(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    for own, run, expected in (
        ("/own", "/elsewhere/.reconbench", "/own"),
        ("", str(tmp_path / ".reconbench"), str(tmp_path / ".reconbench")),
        ("", "/no/such/folder/.reconbench", str(tmp_path / "user" / ".reconbench")),
    ):
        monkeypatch.setenv("RECONBENCH_HOME", own)
        monkeypatch.delenv("RECONBENCH_STORE", raising=False)
        seat._settle_down(seat.Place(run, "", "token"))
        assert os.environ["RECONBENCH_HOME"] == expected
    for own, run, expected in (
        ("", "s3://bucket/prefix", "s3://bucket/prefix"),
        ("/own", "s3://bucket/prefix", "s3://bucket/prefix"),
        ("/own", str(tmp_path / "store"), "/own"),
        ("", "/no/such/folder/store", ""),
    ):
        monkeypatch.setenv("RECONBENCH_STORE", own)
        seat._settle_down(seat.Place("/home", run, "token"))
        assert os.environ["RECONBENCH_STORE"] == expected


def test_the_same_program_and_the_same_data_on_every_node(tmp_path, cluster, monkeypatch):
    path = write_grid(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(on_ray, "program", lambda: "0.0.9, code 00000000")
        with pytest.raises(BenchError, match="has another version of this program") as error:
            go(path, cluster)
    assert (error.value.expected, error.value.got) == ("reconbench 0.0.9, code 00000000, as here", f"reconbench {seat.program()}")
    planned = plan(load(path), {})
    changed = [type(cell)(**{**vars(cell), "data_digest": "0" * 16}) for cell in planned.cells]
    source = on_ray.results(changed, planned, Cluster(cluster.address), Silent(), float("inf"))
    with pytest.raises(BenchError, match=r"on node \S+: data set 'lfw_faces' is not what the run began with"):
        list(source)


# ------------------------------------------------------------------------------------------------------------ interruptions


@pytest.fixture
def interruptible():
    """Interrupts are heard, also where the tests were started in the background of a shell, which has them ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupted_run_keeps_what_is_finished_and_leaves_no_process(tmp_path, cluster, interruptible):
    pids = tmp_path / "pids"
    body = f"import os, time\nopen({str(pids)!r}, 'a').write(f'{{os.getpid()}} ')\ntime.sleep(600)"
    registry.load_plugin(write_plugin(tmp_path, "sleeper", body))
    path = write_grid(tmp_path, "mean_image, sleeper")
    rows = stored.store()
    planned = plan(load(path), {})

    def interrupt() -> None:
        while not (pids.exists() and pids.read_text().split() and len(rows.rows())):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    watch = threading.Thread(target=interrupt, daemon=True)
    watch.start()
    summary = engine.run(planned, rows, CPU, jobs=None, cluster=Cluster(cluster.address))
    watch.join()
    assert summary.interrupted
    assert (summary.ok, summary.left) == (len(rows.rows()), 8 - len(rows.rows()))
    assert not ray.is_initialized()
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in pids.read_text().split()):
        assert time.monotonic() < deadline, "a worker lives on"
        time.sleep(0.05)


# ------------------------------------------------------------------------------------------------------------- the messages


def test_without_ray_there_is_one_message(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["run", "--grid", "quick", "--limit", "1", "--executor", "ray"]) == 1
    err = capsys.readouterr().err
    assert "Ray is not installed" in err
    assert "pip install 'reconbench[ray]'" in err
    assert "Traceback" not in err


def test_an_address_where_nobody_answers_is_said_at_once(monkeypatch, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        began = time.monotonic()
        assert main(["run", "--grid", "quick", "--limit", "1", "--executor", "ray", "--address", address]) == 1
        assert time.monotonic() - began < 60
    assert f"no Ray cluster answers at {address}" in capsys.readouterr().err
    monkeypatch.setattr(reached, "PATIENCE", 3.0)
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # somebody who is no Ray head
        with pytest.raises(BenchError, match="no Ray cluster answers at 127") as error:
            reached._check_address(f"127.0.0.1:{deaf.getsockname()[1]}")
        assert error.value.got == "no answer in 3 s"


def test_a_head_that_ran_here_once_is_not_waited_for_beyond_the_bound(monkeypatch, tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        (tmp_path / "ray").mkdir()
        (tmp_path / "ray" / "ray_current_cluster").write_text(f"127.0.0.1:{deaf.getsockname()[1]}")
        monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
        monkeypatch.delenv("RAY_ADDRESS", raising=False)
        monkeypatch.setattr(reached, "PATIENCE", 3.0)
        monkeypatch.setattr(line, "WORD", 0.5)
        began = time.monotonic()
        assert main(["run", "--grid", "quick", "--limit", "1", "--executor", "ray", "--address", "auto"]) == 1
        assert time.monotonic() - began < 60
    said = capsys.readouterr().err
    assert "waiting for the Ray cluster at auto" in said
    assert "no Ray cluster answers at auto" in said
    assert "no answer in 3 s" in said


@pytest.mark.parametrize(
    "words",
    [
        ["--executor", "slurm"],
        ["--address", "127.0.0.1:6379"],
        ["--executor", "ray", "--gpus-per-worker", "1.5"],
        ["--executor", "ray", "--gpus-per-worker", "0", "--device", "cuda"],
        ["--executor", "ray", "--address", "ray://head:10001"],
        ["--executor", "ray", "--address", "head"],
    ],
)
def test_options_that_make_no_sense_are_one_message(words, capsys):
    assert main(["run", "--grid", "quick", "--limit", "1", *words]) == 1
    err = capsys.readouterr().err
    assert "expected:" in err
    assert "Traceback" not in err


class FakeRay:
    """A cluster as Ray describes it."""

    def __init__(self, *resources) -> None:
        self.resources = resources

    def nodes(self):
        gone = {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}}
        return [gone, *({"Alive": True, "Resources": dict(r)} for r in self.resources)]


def test_there_are_as_many_workers_as_the_nodes_have_room_for():
    mixed = FakeRay({"CPU": 4.0}, {"CPU": 8.0, "GPU": 2.0}, {"CPU": 3.0, "GPU": 1.0})
    assert reached.room(mixed, Cluster()) == ("cuda", 1.0, [0, 2, 1])
    assert reached.room(mixed, Cluster(gpus=0.25)) == ("cuda", 0.25, [0, 8, 3])
    assert reached.room(mixed, Cluster(gpus=0.1))[2] == [0, 8, 3]
    assert reached.room(mixed, Cluster(device="cpu")) == ("cpu", 0.0, [4, 8, 3])
    assert reached.room(mixed, Cluster(gpus=0.0)) == ("cpu", 0.0, [4, 8, 3])
    assert reached.room(FakeRay({"CPU": 2.0}), Cluster()) == ("cpu", 0.0, [2])
    with pytest.raises(BenchError, match="the cluster has no room for a worker") as error:
        reached.room(FakeRay({"CPU": 2.0}), Cluster(device="cuda"))
    assert error.value.got == "1 nodes with 2 CPUs and 0 GPUs in all"


def test_stdout_is_one_json_object_and_the_command_that_resumes_says_where(tmp_path, cluster, capfd):
    path = write_grid(tmp_path, "mean_image", "budget: {minutes: 0.0001}")
    words = ["run", "--grid", str(path), "--executor", "ray", "--address", cluster.address, "-j", "1", "--gpus-per-worker", "0"]
    assert main([*words, "--out", str(tmp_path / "out"), "--json"]) == 2
    said = capfd.readouterr()
    assert json.loads(said.out)["cells"]["left"] == 4
    assert f"--executor ray --address {cluster.address} -j 1 --gpus-per-worker 0" in said.err
