"""Plug-in files in processes of their own: not imported where the secret is, and whatever they do is the loss of their own cells."""

from __future__ import annotations

import inspect
import os
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from tiny_grid import NOISE, clean_registry, write_plugin  # noqa: F401

import bench.tracks.reconstruction.score as scorer
from bench import registry
from bench.apart import described
from bench.apart.room import Room
from bench.engine import run as engine
from bench.engine import stored
from bench.engine.plan import plan
from bench.engine.prepare import prepare
from bench.engine.sources import source_of
from bench.errors import BenchError
from bench.grids.model import AttackSpec
from bench.grids.read import load
from bench.precision import Switches

pytestmark = pytest.mark.usefixtures("clean_registry")
CPU = torch.device("cpu")
GRID = """
name: plugged
title: Plugged
question: Who fails?
base: {{dataset: lfw_faces, n_per_class: 2, hidden: [8], epochs: 5}}
seeds: {seeds}
attacks: [{attacks}]
"""


@pytest.fixture
def room():
    """Processes without a sandbox."""
    with Room("none") as room:
        yield room


def go(tmp_path: Path, attacks: str, room: Room | None, seeds: int = 1, **options) -> pd.DataFrame:
    """Rows of these attacks on small targets, by attack and seed."""
    grid = tmp_path / "plugged.yaml"
    grid.write_text(GRID.format(attacks=attacks, seeds=seeds))
    rows = stored.store()
    planned = plan(load(str(grid)), stored.known(rows), no_cache=True)
    engine.run(planned, rows, CPU, room=room, **options)
    frame = stored.collect(planned, rows)[0]
    return frame.set_index("attack" if seeds == 1 else ["attack", "seed"])


def test_a_file_of_attacks_is_not_imported_where_the_secret_is(room, tmp_path):
    mark = tmp_path / "imported_by"
    before = f"import os\nwith open({str(mark)!r}, 'a') as file: file.write(f'{{os.getpid()}} ')\n"
    path = write_plugin(tmp_path, before=before)
    entries = described.load_plugin(path, room)
    assert [(entry.kind, entry.name, entry.origin) for entry in entries] == [("attack", "noise", str(path))]
    apart = go(tmp_path, "noise, mean_image", room)
    pids = mark.read_text().split()
    assert len(pids) == 1, "once, in one process for all that is asked of it"
    assert int(pids[0]) != os.getpid()
    assert apart["status"].tolist() == ["ok", "ok"], apart["reason"].tolist()
    assert apart["isolation"].tolist() == ["process", "process"]
    registry._plugins.clear()
    registry.load_plugin(path)
    here = go(tmp_path, "noise, mean_image", None)
    for column in ("cell_id", "attack_version", "attack_defaults", "excess_recall", "ssim_median", "access", "role"):
        assert here[column].tolist() == apart[column].tolist(), column


FULL = '''
@register
@dataclass(frozen=True)
class Full(Attack):
    """All that a class may declare."""

    name: ClassVar[str] = "full"
    paper: ClassVar[str] = "none: a test"
    role: ClassVar[str] = "control"
    version: ClassVar[int] = 3
    kkt: ClassVar[bool] = True
    needs: ClassVar[frozenset[str]] = frozenset({"final_weights"})
    ranges: ClassVar = {"lr": (0.001, 0.1, "log")}
    goes_by: ClassVar[Objective] = Objective("share left", "lower")
    budget: ClassVar[str] = "steps"
    claims: ClassVar = (Claim("one", "It works.", "ours", ("quick",), "works", where={"dataset": ("a", "b")}),)

    lr: float = 0.01
    steps: int = 10
    sizes: tuple[int, ...] = (2, 3)
    kind: object = torch.float32

    def __post_init__(self):
        if self.lr > 1:
            raise ValueError("lr is at most 1")

    def unsupported(self, architecture):
        return "too wide" if architecture.hidden[0] > 8 else 1 / 0 if architecture.hidden[0] == 7 else ""

    def memory(self, release):
        return 1000 * self.steps + (10**9 if hasattr(release, "mean_image") else len(release.weights))

    def reconstruct(self, release, generator):
        assert self.kind is torch.float32
        assert self.sizes == (2, 3)
        return torch.zeros(2, *release.architecture.input_shape)
'''


def test_what_stands_for_a_class_is_like_it(room, tmp_path):
    path = tmp_path / "full.py"
    head = "from dataclasses import dataclass\nfrom typing import ClassVar\nimport torch\n"
    path.write_text(head + "from bench.api import Attack, Claim, Objective\nfrom bench.registry import register\n" + FULL)
    described.load_plugin(path, room)
    apart = registry.get("attack", "full")
    found = [prepare(AttackSpec(name="full", params={"lr": 0.02}))]
    facts = dict(registry.entries("attack")["full"].facts or {})
    registry._plugins.clear()
    registry.load_plugin(path)
    here = registry.get("attack", "full")
    for name in ("name", "paper", "role", "version", "kkt", "needs", "ranges", "goes_by", "budget", "claims", "track", "__doc__"):
        assert getattr(here, name) == getattr(apart, name), name
    assert facts == registry.entries("attack")["full"].facts
    assert registry.source_version(apart) == registry.source_version(here)
    assert registry.source_version(here).startswith("3+src-")
    assert source_of(apart) == source_of(here) is not None
    found.append(prepare(AttackSpec(name="full", params={"lr": 0.02})))
    for what in ("params_json", "defaults_json", "identity", "full", "version", "access"):
        assert getattr(found[0], what) == getattr(found[1], what), what
    registry._plugins.clear()
    described.load_plugin(path, room)
    with pytest.raises(BenchError, match="refuses its hyperparameters") as refused:
        prepare(AttackSpec(name="full", params={"lr": 2}))
    assert "lr is at most 1" in refused.value.got
    with pytest.raises(BenchError, match="no hyperparameter 'step'"):
        prepare(AttackSpec(name="full", params={"step": 2}))
    assert go(tmp_path, "full", room)["status"].tolist() == ["ok"]


def test_a_class_is_asked_whether_it_applies_and_what_it_takes(room, tmp_path):
    from bench.api import Architecture, Target
    from bench.engine.plan import unsupported
    from bench.engine.stacks import run_bytes
    from bench.tracks.reconstruction.example import example

    path = tmp_path / "full.py"
    head = "from dataclasses import dataclass\nfrom typing import ClassVar\nimport torch\n"
    path.write_text(head + "from bench.api import Attack, Claim, Objective\nfrom bench.registry import register\n" + FULL)
    described.load_plugin(path, room)
    planned = prepare(AttackSpec(name="full"))

    def net(width: int) -> Architecture:
        return Architecture(model="mlp", hidden=(width,), activation="relu", input_shape=(1, 4, 4), outputs=1, bias="first", loss="bce")

    assert unsupported(planned, net(8)) == ""
    assert unsupported(planned, net(9)) == "too wide"
    assert unsupported(planned, net(7)).startswith("!unsupported() raised ZeroDivisionError: division by zero")
    release, _ = example(net(8), 0)

    class Cell:
        attack, target_id = planned, "t"

    memory = run_bytes(Cell, {"t": Target("t", None, release, None)})
    assert memory == max(release.nbytes, 10_000 + len(release.weights)), "the release that it is asked about is narrowed"


CHEAT = """
import bench.tracks.reconstruction.score, bench.tracks.reconstruction.work, bench.metrics.ssim, bench.tracks
def nothing(*args, **more):
    return {"excess_recall": 1.0}, []
bench.tracks.reconstruction.score.score = bench.tracks.reconstruction.work.score = nothing
bench.metrics.ssim.ssim_matrix = None
bench.tracks.get = None
"""


def test_a_file_that_replaces_the_scorer_replaces_nothing(room, tmp_path):
    alone = go(tmp_path, "mean_image", room, seeds=2)
    score = scorer.score
    described.load_plugin(write_plugin(tmp_path, "cheat", before=CHEAT), room)
    beside = go(tmp_path, "mean_image, cheat", room, seeds=2)
    assert scorer.score is score
    honest = beside.loc[["mean_image"]]
    columns = ["status", "excess_recall", "recall_members", "auc", "ssim_median", "n_submitted"]
    pd.testing.assert_frame_equal(honest[columns], alone[columns], check_dtype=False)
    assert (beside.loc[["cheat"], "excess_recall"].astype(float).fillna(0) < 1).all()


SIDE_EFFECTS = {
    "device": "torch.set_default_device('meta')",
    "dtype": "torch.set_default_dtype(torch.float64)",
    "tf32": "torch.backends.cuda.matmul.allow_tf32 = True; torch.set_float32_matmul_precision('medium')",
    "autocast": "torch.set_autocast_enabled(True); torch.autocast('cpu', torch.bfloat16).__enter__()",
    "gradients": "torch.set_grad_enabled(False)",
    "recursion": "import sys; sys.setrecursionlimit(60)",
    "streams": "import os, sys; sys.stdout.close(); sys.stderr.close(); os.close(1); os.close(2)",
    "environment": "import os; os.environ['RECONBENCH_HOME'] = '/nowhere'; os.chdir('/')",
    "signals": "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
    "modules": "import bench.engine.batch, bench.store; bench.engine.batch.run_batch = bench.store.Store = None",
    "threads": "torch.set_num_threads(3)",
}


def test_what_a_file_sets_in_its_process_is_its_own_loss(room, tmp_path):
    alone = go(tmp_path, "mean_image, model_inversion", room)
    state = (torch.get_default_dtype(), torch.get_default_device(), Switches.now(), sys.getrecursionlimit(), dict(os.environ), os.getcwd())
    for name, statement in SIDE_EFFECTS.items():
        described.load_plugin(write_plugin(tmp_path, name, before=statement + "\n"), room)
    beside = go(tmp_path, ", ".join([*SIDE_EFFECTS, "mean_image", "model_inversion"]), room)
    assert state == (
        torch.get_default_dtype(), torch.get_default_device(), Switches.now(), sys.getrecursionlimit(), dict(os.environ), os.getcwd(),
    )  # fmt: skip
    columns = ["status", "excess_recall", "ssim_median", "attack_loss", "rounding_attack", "isolation"]
    pd.testing.assert_frame_equal(beside.loc[alone.index, columns], alone[columns], check_dtype=False)
    fine = [name for name in SIDE_EFFECTS if name not in ("device", "recursion")]
    assert (beside.loc[fine, "status"] == "ok").all(), beside.loc[fine, "reason"].tolist()


DEATHS = {
    "leaves": ("import os; os._exit(3)", "the attack ended its process with exit code 3"),
    "crashes": ("import ctypes; ctypes.string_at(0)", "the attack was killed by signal 11 (segmentation fault)"),
    "killed": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "the attack was killed by signal 9"),
    "exits": ("import sys; sys.exit(4)", "the attack called sys.exit(4)"),
    "raises": ("raise ValueError('so it is')", "ValueError: so it is (at raises.py:"),
    "writes": ("release.mean_image.add_(1); return release.mean_image[None]", "the attack changed the release that it was given"),
    "shapes": ("return torch.zeros(1, 2)", "the attack returned images of the wrong shape"),
    "asks": ("return release.initial_weights", "release.initial_weights was not granted"),
    "garbage": ("send(b'x' * 4096); return release.mean_image[None]", "no message"),
    "huge": ("import struct, time; send(struct.pack('!QQ', 2, 2**60) + b'{}'); time.sleep(20)", "no message"),
    "lies": ("import struct, time; send(struct.pack('!QQ', 15, 0) + b'{\"say\": \"done\"}'); time.sleep(20)", "no answer"),
    "deep": ("import struct, time; send(struct.pack('!QQ', 10**5, 0) + b'[' * 10**5); time.sleep(20)", "no message"),
    "pickles": ("import pickle, struct; it = pickle.dumps(print); send(struct.pack('!QQ', len(it), 0) + it)", "no message"),
    "closes": ("import os; [os.close(fd) for fd in lines()]; return release.mean_image[None]", "ended its process with exit code 1"),
}  # fmt: skip
LINE = """
import os, stat
def lines():
    for fd in range(3, 4096):
        try:
            if stat.S_ISSOCK(os.fstat(fd).st_mode): yield fd
        except OSError: pass
def send(content):
    for fd in lines(): os.write(fd, content)
"""


def test_only_the_culprit_fails_and_says_why(room, tmp_path, monkeypatch):
    monkeypatch.setattr("bench.apart.process.PATIENCE", 0.5)
    for name, (body, _) in DEATHS.items():
        described.load_plugin(write_plugin(tmp_path, name, body=body, before=LINE), room)
    rows = go(tmp_path, ", ".join([*DEATHS, "mean_image"]), room)
    assert rows.loc["mean_image", "status"] == "ok"
    for name, (_, reason) in DEATHS.items():
        assert rows.loc[name, "status"] == "failed", name
        assert reason in rows.loc[name, "reason"], (name, rows.loc[name, "reason"])


def test_of_a_batch_only_the_cell_fails_whose_attack_ends_the_process(room, tmp_path):
    body = "import os\nif float(release.mean_image.sum()) > WHERE: os._exit(3)\nreturn release.mean_image[None]"
    sums = go(tmp_path, "mean_image", room, seeds=3)
    assert (sums["status"] == "ok").all()
    path = write_plugin(tmp_path, "picky", body=body.replace("WHERE", "LIMIT[0]"), before="LIMIT = [0.0]\n")
    described.load_plugin(path, room)
    assert (go(tmp_path, "picky", room, seeds=3)["reason"] == "the attack ended its process with exit code 3").all()


def test_an_attack_of_another_package_is_not_imported_here_either(room, tmp_path, monkeypatch):
    path = write_plugin(tmp_path, "packaged", body="return release.mean_image[None]")
    info = tmp_path / "packaged-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: packaged\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[reconbench.attacks]\npackaged = packaged:Packaged\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    described.load_packages(["packaged", "mean_image", "unknown"], room)
    rows = go(tmp_path, "packaged, mean_image", room)
    assert rows["status"].tolist() == ["ok", "ok"], rows["reason"].tolist()
    assert rows["isolation"].tolist() == ["process", "process"]
    assert "packaged" not in sys.modules
    version = rows.loc["packaged", "attack_version"]
    registry._plugins.clear()
    assert go(tmp_path, "packaged", None)["attack_version"].tolist() == [version]
    assert path.stem in sys.modules
    assert registry.plugin_files() == []
    monkeypatch.delitem(sys.modules, "packaged")


def test_a_process_cannot_lend_its_attack_the_source_of_another(room, tmp_path):
    """Else it would go by an honest attack's version, and by the hash of its file."""
    path = tmp_path / "full.py"
    head = "from dataclasses import dataclass\nfrom typing import ClassVar\nimport torch\n"
    path.write_text(head + "from bench.api import Attack, Claim, Objective\nfrom bench.registry import register\n" + FULL)
    (said,) = room.describe(str(path))
    honest = registry.get("attack", "span_ica")
    for source in (inspect.getfile(honest), "/nowhere.py"):
        lent = described.made({**said, "source": source}, str(path), None)
        assert source_of(lent) == source_of(described.made(said, str(path), None))
        assert registry.source_version(lent).startswith("3+src-")
        of_package = described.made({**said, "source": source}, "package (entry point x:Y)", None)
        assert source_of(of_package) is None
        assert registry.source_version(of_package).startswith("3+src-")
