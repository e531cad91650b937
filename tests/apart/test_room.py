"""What is sent and what is believed: nothing of the secret goes over the socket, and counts are the oracle's own."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tiny_grid import clean_registry, write_plugin  # noqa: F401

from bench import registry, seeds, tracks
from bench.apart import described, sandbox, wire
from bench.apart.room import Room, handed
from bench.api import Candidates, Secret
from bench.cli import main
from bench.cli.reading import room_of
from bench.errors import AttackFault, BenchError
from bench.targets.cache import TargetCache
from bench.tracks.informed.recipe import Keeper

pytestmark = pytest.mark.usefixtures("clean_registry", "few_clean_networks")
CPU = torch.device("cpu")
ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def room():
    """Processes without a sandbox."""
    with Room("none") as room:
        yield room


def setting(**more):
    """A small one."""
    from bench.api import Setting

    return Setting.model_validate({"dataset": "lfw_faces", "n_per_class": 2, "hidden": [8], "epochs": 5, **more})


PLANTED = {"defense": "memorized_examples", "defense_params": {"kind": "noise", "count": 2, "repeat": 1}}


@pytest.mark.parametrize("track", ["reconstruction", "informed", "stealing"])
def test_nothing_of_the_secret_is_sent(track):
    """Every tier that the track grants, and all parts: no member's or control's pixels are in the bytes, of which the release's are."""
    target = tracks.get(track).work.obtain([setting(**(PLANTED if track == "stealing" else {}))], TargetCache(None), CPU)[0]
    release = tracks.get(track).work.narrow(target.release, tracks.get(track).tiers)
    sent = b"".join(handed(release, track))
    granted = [tensor for _, tensor in release.tensors()]
    assert all(tensor.numpy().tobytes() in sent for tensor in granted)
    hidden = [*target.secret.members, *(target.secret.controls if track != "informed" else ())]
    for image in hidden:
        assert image.contiguous().numpy().tobytes() not in sent
        bytes_ = (image * 255).round().to(torch.uint8).contiguous().numpy().tobytes()
        assert bytes_ not in sent or len(set(bytes_)) == 1, "but for a picture that is all black"
    assert b"lfw_faces" not in sent, "nor what it was drawn from"
    assert type(target.secret).__name__.encode() not in sent.replace(b"SecretKey", b"")


def test_an_attack_cannot_tell_a_transplant_from_a_target_by_what_it_is_sent(room, monkeypatch):
    cls, release = registry.get("attack", "mean_image"), tracks.get("reconstruction").work
    target = release.obtain([setting()], TargetCache(None), CPU)[0]
    sent = []

    def asked(self, file, message, answer):
        sent.append(wire.dumps(message))
        raise AttackFault("enough")

    monkeypatch.setattr(Room, "_ask", asked)
    narrowed = release.narrow(target.release, cls.needs)
    for names in ([target.id, "other"], [f"{target.id}-transplant", "other-transplant"]):
        with pytest.raises(AttackFault, match="enough"):
            room.attack("mean_image", cls, [cls(), cls()], [narrowed, narrowed], names, [seeds.generator("t")] * 2, CPU)
    assert sent[0] == sent[1], "no id goes over the socket"
    assert target.id.encode() not in sent[0]


def test_a_view_does_not_bring_what_it_looks_into():
    whole = torch.arange(1000.0)
    sent = wire.dumps({"view": whole[10:12]})
    assert len(sent) < 400
    assert torch.equal(wire.loads(sent, lambda name: None)["view"], whole[10:12])


def test_a_secret_is_never_pickled():
    images = torch.zeros(1, 1, 2, 2)
    with pytest.raises(TypeError, match="Secret is not for attacks"):
        wire.dumps({"deep": [Secret(images, torch.zeros(1).long(), images, torch.zeros(1).long())]})
    with pytest.raises(TypeError, match="no field holds it"):
        wire.dumps({"part": Keeper(None, "t", CPU)})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool])
def test_tensors_arrive_as_they_were(dtype):
    for shape in ((), (0,), (3, 2), (2, 0, 4)):
        tensor = torch.ones(shape).to(dtype)
        there = wire.loads(wire.dumps(tensor), lambda name: None)
        assert there.dtype == dtype
        assert torch.equal(there, tensor)


LIAR = """
release.oracle.logits(torch.rand(7, *release.architecture.input_shape))
release.oracle.used = 0
release.oracle._ask = None
"""


def test_questions_are_counted_where_they_are_answered(room, tmp_path):
    path = write_plugin(tmp_path, "liar", body=LIAR + "return torch.zeros(1, *release.architecture.input_shape)")
    path.write_text(path.read_text().replace('{"final_weights", "mean_image"}', '{"queries"}'))
    described.load_plugin(path, room)
    work = tracks.get("reconstruction").work
    target = work.obtain([setting()], TargetCache(None), CPU)[0]
    from bench import registry

    cls = registry.get("attack", "liar")
    releases = [work.narrow(target.release, frozenset({"queries"})) for _ in range(2)]
    generators = [seeds.generator("attack", k) for k in range(2)]
    done = room.attack("liar", cls, [cls(), cls()], releases, ["t", "t"], generators, CPU)
    assert [answer.used for answer in done.answers] == [7, 7], "each run has an oracle of its own"
    assert [release.oracle.used for release in releases] == [7, 7]


LIMITED = """
from bench.errors import BenchError
try:
    release.oracle.logits(torch.rand(9, *release.architecture.input_shape))
except BenchError as error:
    assert "the oracle refuses" in str(error), error
try:
    release.oracle.labels(torch.rand(1, *release.architecture.input_shape))
except BenchError as error:
    assert "lack query_labels" in str(error), error
assert release.oracle.limit == 8 and release.oracle.used == 0
found = release.oracle.logits(torch.rand(3, *release.architecture.input_shape, dtype=torch.float64))
assert found.shape == (3, 1) and found.dtype == torch.float32 and release.oracle.used == 3
return torch.zeros(1, *release.architecture.input_shape)
"""


def test_the_oracle_refuses_there_as_here(room, tmp_path):
    path = write_plugin(tmp_path, "limited", body=LIMITED)
    path.write_text(path.read_text().replace('{"final_weights", "mean_image"}', '{"queries"}'))
    described.load_plugin(path, room)
    work = tracks.get("reconstruction").work
    release = work.narrow(work.obtain([setting()], TargetCache(None), CPU)[0].release, frozenset({"queries"}))
    release.oracle.limit = 8
    from bench import registry

    cls = registry.get("attack", "limited")
    (answer,) = room.attack("limited", cls, [cls()], [release], ["t"], [seeds.generator("a")], CPU).answers
    assert isinstance(answer, Candidates), answer
    assert answer.used == 3


def test_what_one_attack_keeps_no_other_reads(bench_home):
    from bench.files import store_files

    keeper = Keeper(store_files().within("shadows"), "target", CPU)
    assert keeper.answer("find", {}, {"name": "it"}, "mine") == ({}, {"found": False})
    keeper.answer("keep", {"x": torch.ones(2)}, {"name": "it"}, "mine")
    assert torch.equal(keeper.answer("find", {}, {"name": "it"}, "mine")[0]["x"], torch.ones(2))
    assert keeper.answer("find", {}, {"name": "it"}, "another's")[1] == {"found": False}
    assert keeper.answer("find", {}, {"name": "it"}, "")[1] == {"found": False}, "nor do those of this project"
    with pytest.raises(BenchError, match="looked for first"):
        keeper.answer("keep", {"x": torch.ones(2)}, {"name": "other"}, "mine")


def test_memory_that_runs_out_there_halves_the_stack_here(room, tmp_path):
    from tiny_grid import GREEDY

    from bench import registry
    from bench.memory import fitting

    described.load_plugin(write_plugin(tmp_path, "greedy", after=GREEDY), room)
    cls, work = registry.get("attack", "greedy"), tracks.get("reconstruction").work
    target = work.obtain([setting()], TargetCache(None), CPU)[0]
    tried = []

    def first(count):
        tried.append(count)
        releases = [work.narrow(target.release, frozenset(cls.needs)) for _ in range(count)]
        generators = [seeds.generator(str(k)) for k in range(count)]
        return room.attack("greedy", cls, [cls()] * count, releases, ["t"] * count, generators, CPU).answers

    assert len(fitting(first, 7)) == 2
    assert tried == [7, 4, 2]


def test_the_environment_names_no_store_and_no_data(room, tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_DATA", "/data")
    monkeypatch.setenv("RECONBENCH_SALT", "salt")
    body = "import os; raise ValueError(','.join(os.environ) + ' ' + os.getcwd() + ' ' + str(os.listdir('.')))"
    described.load_plugin(write_plugin(tmp_path, "curious", body=body), room)
    from bench import registry

    cls, work = registry.get("attack", "curious"), tracks.get("reconstruction").work
    release = work.narrow(work.obtain([setting()], TargetCache(None), CPU)[0].release, frozenset(cls.needs))
    with pytest.raises(Exception, match="PYTHONPATH") as raised:
        room.attack("curious", cls, [cls()], [release], ["t"], [seeds.generator("a")], CPU)
    assert "RECONBENCH" not in str(raised.value)
    assert "BENCH_DATA" not in str(raised.value)
    assert "/reconbench-attack-" in str(raised.value)


def test_a_sandbox_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(sandbox, "works", lambda: "bwrap is not installed")
    with pytest.raises(BenchError, match="there is no sandbox here") as refused:
        Room("bwrap")
    assert refused.value.got == "bwrap is not installed"
    with Room("auto") as room:
        assert not room.sandboxed
    with pytest.raises(BenchError, match="not understood"):
        Room("firejail")
    assert room_of("off", False, "cpu") is None
    assert room_of("auto", True, "cpu") is None
    with pytest.raises(BenchError, match="--pdb"):
        room_of("bwrap", True, "cpu")


def test_a_command_in_a_sandbox_is_what_is_started(monkeypatch):
    commands = []

    def command(argv, *, readable, gpu=False):
        commands.append((list(argv), list(readable), gpu))
        return list(argv)

    monkeypatch.setattr(sandbox, "works", lambda: "")
    monkeypatch.setattr(sandbox, "command", command)
    from bench import registry

    with Room("auto") as room:
        mean_image = registry.get("attack", "mean_image")
        room.warm({"mean_image": mean_image})
        assert room.isolation("mean_image", mean_image) == "bwrap"
    ((argv, readable, gpu),) = commands
    assert argv[1:3] == ["-m", "bench.apart.child"]
    assert readable == [ROOT]
    assert not gpu


def alive(pid: int) -> bool:
    """Whether a process runs; one that is dead and not yet buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
@pytest.mark.parametrize("options", [[], ["-j", "2"]])
def test_processes_of_attacks_die_with_the_run_however_it_ends(options, tmp_path):
    mark = tmp_path / "pids"
    body = f"import os, time\nwith open({str(mark)!r}, 'a') as file: print(os.getpid(), file=file)\ntime.sleep(600)"
    path = write_plugin(tmp_path, "sleeper", body=body)
    (tmp_path / "grid.yaml").write_text(
        "name: one\ntitle: One\nquestion: Who?\nbase: {dataset: lfw_faces, n_per_class: 2, hidden: [8], epochs: 5}\nseeds: 1\n"
        "attacks: [sleeper]\n"
    )
    command = [sys.executable, "-m", "bench", "run", "--grid", str(tmp_path / "grid.yaml"), "--plugin", str(path), *options]
    run = subprocess.Popen(
        [*command, "--sandbox", "none", "--out", str(tmp_path / "out")],
        cwd=ROOT,
        env={**os.environ, "RECONBENCH_HOME": str(tmp_path / "home")},
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        _until(lambda: mark.exists() and mark.read_text().endswith("\n"), 90)
        pids = [int(word) for word in mark.read_text().split()]
        assert all(map(alive, pids))
    finally:
        run.send_signal(signal.SIGKILL)
        run.wait()
    _until(lambda: not any(map(alive, pids)), 20)


def _until(true, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.05)


def test_the_command_marks_rows_and_leaves_nothing_running(tmp_path, monkeypatch, capfd, bench_home):
    import pandas as pd

    body = "import os; print('I am', os.getpid()); return release.mean_image[None]"
    path = write_plugin(tmp_path, "chatty", body=body)
    (tmp_path / "grid.yaml").write_text(
        "name: one\ntitle: One\nquestion: Who?\nbase: {dataset: lfw_faces, n_per_class: 2, hidden: [8], epochs: 5}\nseeds: 1\n"
        "attacks: [chatty, mean_image]\n"
    )
    words = ["run", "--grid", str(tmp_path / "grid.yaml"), "--plugin", str(path), "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sandbox, "works", lambda: "not here")
    monkeypatch.setenv("RECONBENCH_SANDBOX", "auto")
    assert main(words) == 0
    out, err = capfd.readouterr()
    assert "I am" not in out
    pid = int(err.partition("I am ")[2].split()[0])
    assert pid != os.getpid()
    assert not alive(pid)
    rows = pd.read_parquet(tmp_path / "out" / "scores").set_index("attack")
    assert rows["isolation"].to_dict() == {"chatty": "process", "mean_image": "process"}
    assert main([*words, "--no-cache", "--sandbox", "off"]) == 0
    rows = pd.read_parquet(tmp_path / "out" / "scores").set_index("attack")
    assert set(rows["isolation"]) == {"none"}


def test_a_run_and_its_page_say_which_attacks_were_not_held_apart(tmp_path, capfd):
    path = write_plugin(tmp_path, "mixed", body="return release.mean_image[None]")
    path.write_text(path.read_text() + MORE)
    (tmp_path / "grid.yaml").write_text(
        "name: one\ntitle: One\nquestion: Who?\nbase: {dataset: lfw_faces, n_per_class: 2, hidden: [8], epochs: 5}\nseeds: 1\n"
        "attacks: [mixed, mean_image]\n"
    )
    words = ["run", "--grid", str(tmp_path / "grid.yaml"), "--plugin", str(path), "--out", str(tmp_path / "out"), "--sandbox", "none"]
    assert main(words) == 0
    assert "not apart from the secret, as the column `isolation` says: mixed (imported)" in capfd.readouterr().err
    page = (tmp_path / "out" / "one.md").read_text()
    assert "- attacks that were not held apart from the secret: imported: mixed" in page


MORE = "\nfrom bench.api import Defense\n\n@register\nclass Shield(Defense):\n    '''Nothing.'''\n    name = 'shield'\n"  # than attacks


def test_an_attack_that_ends_its_process_with_workers(tmp_path):
    good = write_plugin(tmp_path, "fine", body="return release.mean_image[None]")
    bad = write_plugin(tmp_path, "leaves", body="import os, sys; print('last words', file=sys.stderr, flush=True); os._exit(3)")
    (tmp_path / "grid.yaml").write_text(
        "name: one\ntitle: One\nquestion: Who?\nbase: {dataset: lfw_faces, n_per_class: 2, hidden: [8], epochs: 5}\nseeds: 1\n"
        "attacks: [fine, leaves, mean_image]\n"
    )
    plugins = ["--plugin", str(good), "--plugin", str(bad)]
    words = ["run", "--grid", str(tmp_path / "grid.yaml"), *plugins, "--out", str(tmp_path / "out"), "-j", "2", "--sandbox", "none"]
    assert main(words) == 2
    from bench.engine import stored

    frame = stored.store().rows().set_index("attack")
    assert frame["status"].to_dict() == {"fine": "ok", "leaves": "failed", "mean_image": "ok"}
    assert frame.loc["leaves", "reason"] == "the attack ended its process with exit code 3"
    assert "last words" in frame.loc["leaves", "stderr"]
    assert set(frame["isolation"]) == {"process"}


def test_a_file_that_brings_more_than_attacks_is_imported_and_marked(room, tmp_path):
    from bench import registry

    path = write_plugin(tmp_path, "mixed", body="return release.mean_image[None]")
    path.write_text(path.read_text() + MORE)
    entries = described.load_plugin(path, room)
    assert {(entry.kind, entry.name) for entry in entries} == {("attack", "mixed"), ("defense", "shield")}
    cls = registry.get("attack", "mixed")
    assert room.isolation("mixed", cls) == "imported"
    work = tracks.get("reconstruction").work
    release = work.narrow(work.obtain([setting()], TargetCache(None), CPU)[0].release, frozenset(cls.needs))
    (answer,) = room.attack("mixed", cls, [cls()], [release], ["t"], [seeds.generator("a")], CPU).answers
    assert isinstance(answer, Candidates)
    assert pickle.dumps(answer)
    assert not isinstance(answer, AttackFault)
