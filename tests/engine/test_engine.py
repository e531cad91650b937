"""The engine: every cell ends as a row, only culprits fail, nothing finished is lost, and no attack is handed a training image."""

from __future__ import annotations

import errno
import json
import os
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from same_rows import differing
from tiny_grid import GREEDY, clean_registry, no_transplants, write_grid, write_plugin  # noqa: F401

from bench import faults, registry
from bench.check.handed import holds_any, reachable_tensors
from bench.engine import rescore, stacks, stored
from bench.engine import run as engine
from bench.engine.plan import plan
from bench.engine.runs import with_runs
from bench.errors import BenchError
from bench.grids.read import load
from bench.memory import fitting
from bench.tracks.reconstruction import score
from bench.tracks.reconstruction import work as reconstruction

pytestmark = pytest.mark.usefixtures("clean_registry")
CPU = torch.device("cpu")


def go(path, **options):
    """Plans and runs a grid file; returns the summary and this grid's rows by (attack, weight decay, seed)."""
    rows = stored.store()
    planned = plan(load(path), stored.known(rows), no_cache=options.get("no_cache", False), retry=options.pop("retry", False))
    summary = engine.run(planned, rows, CPU, **options)
    frame, images = stored.collect(planned, rows)
    return summary, frame, images


def test_a_run_ends_in_rows_and_resumes(tmp_path):
    registry.load_plugin(write_plugin(tmp_path))
    path = write_grid(tmp_path, "noise, mean_image, multiclass_kkt")
    summary, frame, images = go(path)
    assert (summary.ok, summary.skipped, summary.failed, summary.left) == (8, 4, 0, 0)
    assert len(frame) == 12
    done = frame[frame["status"] == "ok"]
    assert set(frame.loc[frame["attack"] == "multiclass_kkt", "status"]) == {"skipped"}
    assert frame.loc[frame["status"] == "skipped", "reason"].str.len().min() > 10
    for column in ("excess_recall", "train_accuracy", "kkt_residual", "seconds_train", "seconds_attack", "seconds_score", "peak_memory_mb"):
        assert done[column].notna().all(), column
    assert (done["n_members"] == 4).all()
    assert (done["n_controls"] == 4).all()
    assert (done.loc[done["attack"] == "noise", "access"] == "final_weights+mean_image").all()
    assert set(done["input_shape"]) == {"1x25x25"}
    assert len(images) == 8 * 8
    again, frame2, _ = go(path)
    assert (again.ok, again.cached, again.skipped) == (0, 8, 4)
    assert frame2.equals(frame)  # a second run writes nothing, not even skipped rows
    fresh, frame3, _ = go(path, no_cache=True)
    assert fresh.ok == 8
    assert not differing(frame3, frame)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("return torch.full((4, 1, 25, 25), float('nan'))", "NaN"),
        ("return torch.zeros(4, 3, 25, 25)", "wrong shape"),
        ("return torch.zeros(41, 1, 25, 25)", "too many images"),
        ("return torch.zeros(0, 1, 25, 25)", "no images"),
        ("return 'images'", "no tensor"),
        ("return Candidates(torch.zeros(4, 1, 25, 25), torch.zeros(3))", "confidence"),
        ("release.weights['layers.0.weight'].zero_()\nreturn torch.zeros(4, 1, 25, 25)", "changed the release"),
        ("release.mean_image.add_(1)\nreturn torch.zeros(4, 1, 25, 25)", "changed the release"),
        ("raise ValueError('my own fault')", "ValueError: my own fault"),
        ("import sys\nsys.exit(3)", "sys.exit(3)"),
        ("return release.public_images[:4]", "public_images was not granted"),
    ],
)
def test_a_bad_attack_fails_its_own_cells_and_no_other(tmp_path, body, reason):
    registry.load_plugin(write_plugin(tmp_path, "bad", body))
    summary, frame, _ = go(write_grid(tmp_path, "bad, mean_image"))
    assert (summary.ok, summary.failed) == (4, 4)
    bad = frame[frame["attack"] == "bad"]
    assert (bad["status"] == "failed").all()
    assert bad["reason"].str.contains(reason, regex=False).all(), bad["reason"].iloc[0]
    assert bad["excess_recall"].isna().all()
    assert (frame.loc[frame["attack"] == "mean_image", "status"] == "ok").all()
    assert not go(write_grid(tmp_path, "bad, mean_image"))[0].ok  # failed cells are not tried again
    retried, _, _ = go(write_grid(tmp_path, "bad, mean_image"), retry=True)
    assert (retried.failed, retried.cached) == (4, 4)


def test_one_bad_cell_does_not_spoil_its_batch(tmp_path):
    body = "if abs(release.weights['layers.0.weight'].norm() / WORST - 1) < 1e-5:\n    raise ValueError('this one')\n"
    body += "return release.mean_image.expand(4, -1, -1, -1).clone()"
    registry.load_plugin(write_plugin(tmp_path, "picky", body, before="\nWORST = None\n"))
    path = write_grid(tmp_path, "picky")
    cells = plan(load(path), {}).cells
    worst = reconstruction.obtain([cells[2].setting], None)[0].release.weights["layers.0.weight"].norm()
    sys.modules[cells[0].attack.cls.__module__].WORST = worst
    summary, frame, _ = go(path)
    assert (summary.ok, summary.failed) == (3, 1)
    assert frame.loc[frame["status"] == "failed", "cell_id"].tolist() == [cells[2].id]


def test_a_batch_of_the_wrong_length_is_the_attacks_fault(tmp_path):
    after = """
    @classmethod
    def reconstruct_batch(cls, attacks, releases, generators):
        return [releases[0].mean_image[None]] * 99
"""
    registry.load_plugin(write_plugin(tmp_path, "many", after=after))
    _, frame, _ = go(write_grid(tmp_path, "many"))
    assert frame["reason"].str.contains("wrong number of answers").all()


def test_how_cells_are_batched_changes_no_score(tmp_path, monkeypatch):
    registry.load_plugin(write_plugin(tmp_path))
    path = write_grid(tmp_path, "{name: noise, sweep: {runs: 3, ranges: {scale: {low: 0.01, high: 0.3}}}}")
    _, together, _ = go(path)
    assert (together["runs"] == 3).all()
    assert (together["n_candidates"] == 12).all()
    monkeypatch.setitem(stacks.RUNS_AT_ONCE, "cpu", 1)
    monkeypatch.setitem(stacks.TARGETS_AT_ONCE, "cpu", 1)
    _, apart, _ = go(path, no_cache=True)
    assert not differing(together, apart)


SWEPT = "{name: counting, sweep: {runs: RUNS, ranges: {scale: {low: 0.01, high: 0.3, scale: log}}}}"
COUNTING = """
import os
calls = os.environ["COUNT_CALLS"]
open(calls, "a").write("x")
if open(calls).read() == "x" * 6 and os.environ.get("STOP_AT_SIX"):
    raise KeyboardInterrupt
return (release.mean_image + self.scale * torch.randn(4, *release.mean_image.shape, generator=generator)).clamp(0, 1)
"""


@pytest.mark.usefixtures("no_transplants")
def test_a_sweep_resumes_run_by_run_and_grows_run_by_run(tmp_path, monkeypatch):
    calls = tmp_path / "calls"
    monkeypatch.setenv("COUNT_CALLS", str(calls))
    monkeypatch.setitem(stacks.RUNS_AT_ONCE, "cpu", 1)
    registry.load_plugin(write_plugin(tmp_path, "counting", COUNTING.strip()))
    path = write_grid(tmp_path, SWEPT.replace("RUNS", "2"))  # 4 cells
    monkeypatch.setenv("STOP_AT_SIX", "1")
    summary, _, _ = go(path)
    assert summary.interrupted
    monkeypatch.delenv("STOP_AT_SIX")
    summary, two, _ = go(path)
    assert (summary.failed, summary.left) == (0, 0)
    assert calls.read_text() == "x" * (8 + 1), "five runs were kept, the sixth was interrupted"
    longer = write_grid(tmp_path, SWEPT.replace("RUNS", "3"))
    _, three, _ = go(longer)
    assert calls.read_text() == "x" * (9 + 4), "the third run of each cell, and none of the others again"
    _, fresh, _ = go(longer, no_cache=True)
    assert calls.read_text() == "x" * (13 + 12)
    assert not differing(three, fresh), "kept runs score as runs that were never kept"
    runs = json.loads(three["sweep_runs"].iloc[0])
    first = json.loads(two["sweep_runs"].iloc[0])
    assert [run["run"] for run in runs] == [0, 1, 2]
    assert {run["submitted"] for run in runs} == {4}
    assert first == runs[:2]
    assert len({run["params"]["scale"] for run in runs}) == 3
    assert (three["seconds_attack"] > 0).all()


RANKING = """
noise = (release.mean_image + self.scale * torch.randn(4, *release.mean_image.shape, generator=generator)).clamp(0, 1)
if self.scale > 0.2:
    return Candidates(noise, torch.full((4,), -1e30))
return Candidates(noise, torch.tensor([3.0, 2.0, 1.0, 0.0]) + self.scale)
"""


@pytest.mark.parametrize(
    ("declared", "said", "sign"),
    [
        ("", {"name": "confidence", "better": "higher"}, 1),
        ('goes_by: ClassVar = Objective("distance to a prior", "lower")', {"name": "distance to a prior", "better": "lower"}, -1),
    ],
)
def test_a_sweep_says_what_its_attack_goes_by_and_nothing_of_weights(tmp_path, declared, said, sign):
    """An attack with confidences of its own, and without a loss; its last run comes to no end."""
    before = "from bench.api import Objective\n"
    registry.load_plugin(write_plugin(tmp_path, "ranking", RANKING.strip(), before=before, after=f"\n    {declared}\n"))
    sweep = "{runs: 6, ranges: {scale: {low: 0.1, high: 0.3}}}"
    _, frame, _ = go(write_grid(tmp_path, f"{{name: ranking, sweep: {sweep}}}"))
    runs = json.loads(frame["sweep_runs"].iloc[0])
    assert {run["params"]["scale"] > 0.2 for run in runs} == {False, True}, "the draw has both kinds of runs"
    for run in runs:
        scale = run["params"]["scale"]
        value = run["objective"].pop("value")
        assert run["objective"] == said
        assert value is None if scale > 0.2 else value == pytest.approx(sign * (3 + scale), rel=1e-5)
        assert "unexplained" not in run


def test_a_sweep_without_confidences_goes_by_its_own_loss(tmp_path):
    body = "return Candidates(release.mean_image.expand(4, *release.mean_image.shape).clone(), None, 7 * self.scale)"
    registry.load_plugin(write_plugin(tmp_path, "losing", body))
    _, frame, _ = go(write_grid(tmp_path, "{name: losing, sweep: {runs: 2, ranges: {scale: {low: 0.1, high: 0.3}}}}"))
    for run in json.loads(frame["sweep_runs"].iloc[0]):
        assert run["objective"] == {"name": "own loss", "better": "lower", "value": run["loss"]}
        assert run["loss"] == pytest.approx(7 * run["params"]["scale"], rel=1e-5)


def test_an_attack_that_goes_by_no_objective_is_refused(tmp_path):
    with pytest.raises(BenchError, match="goes_by is no bench"):
        registry.load_plugin(write_plugin(tmp_path, "vague", after='\n    goes_by: ClassVar = "likelihood"\n'))
    before = "from bench.api import Objective\n"
    with pytest.raises(BenchError, match="the higher or the lower is better, not 'bigger'"):
        registry.load_plugin(write_plugin(tmp_path, "big", before=before, after='\n    goes_by: ClassVar = Objective("x", "bigger")\n'))


def test_a_sweep_without_ranges_draws_from_those_that_the_attack_declares(tmp_path):
    after = '\n    ranges: ClassVar = {"scale": (0.01, 0.02, "log")}\n'
    registry.load_plugin(write_plugin(tmp_path, after=after))
    _, frame, _ = go(write_grid(tmp_path, "{name: noise, sweep: {runs: 3}}"))
    drawn = [run["params"]["scale"] for text in frame["sweep_runs"] for run in json.loads(text)]
    assert all(0.01 <= value <= 0.02 for value in drawn)
    assert json.loads(frame["sweep"].iloc[0])["ranges"]["scale"] == {"low": 0.01, "high": 0.02, "scale": "log"}
    with pytest.raises(BenchError, match="declares no ranges"):
        go(write_grid(tmp_path, "{name: mean_image, sweep: {runs: 3}}"))
    grid = with_runs(load(write_grid(tmp_path, "noise, mean_image")).grid, 5)
    assert [spec.sweep and spec.sweep.runs for spec in grid.attacks] == [5, None]
    with pytest.raises(BenchError, match="no attack of grid"):
        with_runs(load(write_grid(tmp_path, "mean_image")).grid, 5)
    with pytest.raises(BenchError, match="--runs 0"):
        with_runs(grid, 0)


def test_image_rows_say_how_near_the_margin_each_image_is(tmp_path):
    _, frame, images = go(write_grid(tmp_path))
    assert images["margin"].notna().all()
    members = images[images["split"] == "member"]
    assert members["multiplier"].notna().all()
    assert images.loc[images["split"] == "control", "multiplier"].isna().all()
    accuracy = (members["margin"] > 0).groupby(members["cell_id"]).mean()
    assert accuracy.to_dict() == frame.set_index("cell_id")["train_accuracy"].to_dict()
    fresh, missing = rescore.rescore(stored.store(), None)
    assert len(fresh) == len(frame)
    assert not missing
    again = stored.store().images(list(frame["cell_id"]))
    assert again["margin"].notna().all(), "scoring again keeps what follows from the network"


def test_out_of_memory_halves_the_stack_and_changes_no_score(tmp_path, monkeypatch):
    registry.load_plugin(write_plugin(tmp_path, "greedy", after=GREEDY))
    path = write_grid(tmp_path, "{name: greedy, sweep: {runs: 3, ranges: {scale: {low: 0.01, high: 0.3}}}}")  # 4 cells, 12 runs
    summary, halved, _ = go(path)
    assert summary.failed == 0
    assert set(halved["stack"]) == {2}
    assert set(halved["stack_halvings"]) == {3}  # 12 runs, 6, 3, 2
    monkeypatch.setitem(stacks.RUNS_AT_ONCE, "cpu", 1)
    _, single, _ = go(path, no_cache=True)
    assert set(single["stack"]) == {1}
    assert set(single["stack_halvings"]) == {0}
    assert not differing(halved, single)


def test_training_that_runs_out_of_memory_is_halved_and_its_rows_say_so(tmp_path, monkeypatch):
    def obtain(settings, *more, real=reconstruction.obtain):
        if len(settings) > 1:
            torch.empty(2**60)
        return real(settings, *more)

    monkeypatch.setattr(reconstruction, "obtain", obtain)
    registry.load_plugin(write_plugin(tmp_path))
    summary, frame, _ = go(write_grid(tmp_path))
    assert summary.failed == 0
    assert set(frame["stack_halvings"]) == {2}  # 4 targets, 2, 1


@given(st.integers(1, 200), st.integers(0, 200))
def test_a_call_gets_as_many_as_fit(count, room):
    tried = []

    def call(n):
        tried.append(n)
        if n > room:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return n

    halved = []
    if not room:
        with pytest.raises(RuntimeError, match="can't allocate"):
            fitting(call, count, halved.append)
    else:
        went = fitting(call, count, halved.append)
        assert went == tried[-1] <= min(room, count)
        assert went == count or 2 * went >= min(room, count), "no fewer than needed"
    assert tried == [count, *halved]


def test_other_faults_are_not_tried_again_with_fewer():
    tried = []

    def call(n):
        tried.append(n)
        raise RuntimeError("singular matrix")

    with pytest.raises(RuntimeError, match="singular"):
        fitting(call, 8)
    assert tried == [8]


def test_the_stack_follows_from_memory(tmp_path):
    registry.load_plugin(write_plugin(tmp_path, after="\n    def memory(self, release):\n        return 2**25\n"))
    path = write_grid(tmp_path, "noise")
    _, frame, _ = go(path, memory_gib=96 / 1024)  # room for three runs of 32 MiB
    assert frame["stack"].max() == 3


def test_out_of_memory_of_one_run_fails_its_cell_alone(tmp_path):
    registry.load_plugin(write_plugin(tmp_path, "hungry", "raise MemoryError('no room')"))
    summary, frame, _ = go(write_grid(tmp_path, "hungry, mean_image"))
    assert (summary.ok, summary.failed) == (4, 4)
    assert frame.loc[frame["attack"] == "hungry", "reason"].str.contains("MemoryError: no room").all()


def test_a_training_that_fails_is_a_row(tmp_path, monkeypatch):
    def obtain(settings, *more, real=reconstruction.obtain):
        if any(setting.weight_decay for setting in settings):
            raise RuntimeError("singular")
        return real(settings, *more)

    monkeypatch.setattr(reconstruction, "obtain", obtain)
    summary, frame, _ = go(write_grid(tmp_path))
    assert (summary.ok, summary.failed) == (2, 2)
    assert frame.loc[frame["status"] == "failed", "reason"].str.startswith("training: RuntimeError: singular").all()
    assert set(frame.loc[frame["status"] == "ok", "stack_halvings"]) == {0}, "no word of memory"


def test_a_setting_beyond_the_data_is_a_failed_row(tmp_path):
    path = write_grid(tmp_path)
    path.write_text(path.read_text().replace("weight_decay: [0, 0.01]", "n_per_class: [2, 5000]"))
    summary, frame, _ = go(path)
    assert (summary.ok, summary.failed) == (2, 2)
    assert frame.loc[frame["status"] == "failed", "reason"].str.contains("too small for n_per_class=5000").all()
    assert (go(path)[0].failed, len(stored.store().rows())) == (2, 4)


def test_ctrl_c_keeps_what_is_finished(tmp_path):
    registry.load_plugin(write_plugin(tmp_path, "stopper", "raise KeyboardInterrupt"))
    path = write_grid(tmp_path, "mean_image, stopper")
    summary, frame, _ = go(path)
    assert summary.interrupted
    assert (summary.ok, summary.left) == (4, 4)
    assert frame["attack"].tolist() == ["mean_image"] * 4
    registry._plugins.clear()
    registry.load_plugin(write_plugin(tmp_path, "stopper"))  # mended
    summary, _, _ = go(path)
    assert (summary.ok, summary.cached) == (4, 4)


@pytest.mark.usefixtures("no_transplants")
def test_what_fails_in_scoring_is_a_row_and_the_others_go_on(tmp_path, monkeypatch):
    real, calls = score.ssim_matrix, []

    def ssim_matrix(*args):
        calls.append(args)
        if len(calls) == 2:
            raise RuntimeError("image too small")
        return real(*args)

    monkeypatch.setattr(score, "ssim_matrix", ssim_matrix)
    summary, frame, _ = go(write_grid(tmp_path, "mean_image"))
    assert (summary.ok, summary.failed) == (3, 1)
    [row] = frame[frame["status"] == "failed"].to_dict("records")
    assert row["reason"].startswith("scoring: RuntimeError: image too small")


def test_a_picture_that_is_cut_off_fails_its_cells_and_does_not_stop_the_run(tmp_path, monkeypatch):
    from bench.data.lfw_faces import LfwFaces

    def load(self):
        raise OSError("image file is truncated")

    path = write_grid(tmp_path, "mean_image")
    path.write_text(path.read_text().replace("  weight_decay: [0, 0.01]", "  dataset: [lfw_faces, photo_tiles]"))
    monkeypatch.setattr(LfwFaces, "load", load)
    summary, frame, _ = go(path)
    assert (summary.ok, summary.failed) == (2, 2)
    assert frame.loc[frame["status"] == "failed", "reason"].str.contains("image file is truncated").all()
    assert faults.is_full(OSError(errno.ENOSPC, "No space left on device"))


def test_an_attack_that_changes_pytorch_changes_its_own_cells_alone(tmp_path):
    body = "torch.set_default_dtype(torch.float64); torch.set_grad_enabled(False); torch.set_float32_matmul_precision('medium')\n"
    body += "torch.backends.cudnn.benchmark = True\n"
    registry.load_plugin(write_plugin(tmp_path, "meddler", body + "return torch.zeros(4, 1, 25, 25)"))
    _, frame, _ = go(write_grid(tmp_path, "meddler, mean_image"))
    told = frame.groupby("attack")[["rounding_train", "rounding_attack"]].agg(set)
    assert told.loc["meddler"].tolist() == [{"ieee"}, {"bf16"}]  # which some CPUs have units for
    assert told.loc["mean_image"].tolist() == [{"ieee"}, {"ieee"}]
    assert not torch.backends.cudnn.benchmark
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()
    assert torch.get_float32_matmul_precision() == "highest"


def test_targets_are_planned_with_their_images(tmp_path):
    path = write_grid(tmp_path, "mean_image")
    cells = [cell for cell in plan(load(path), {}).cells if cell.state == "to run"]
    public = 50 * 4  # images of 625 float32 pixels; the tiny networks have 5 000 weights
    together = 4 * 4 * 625 * (8 + public + 2000)
    assert len(list(stacks.chunks(cells, "cpu", 8 * together))) == 1
    assert len(list(stacks.chunks(cells, "cpu", together // 2))) == 4


def test_a_full_disk_stops_the_run_and_loses_nothing(tmp_path, bench_home, monkeypatch):
    path = write_grid(tmp_path, "mean_image, heldout_images")
    real, room = os.fsync, [16]

    def fsync(handle):
        room[0] -= 1
        if room[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(BenchError, match=r"disk is full|cannot be used"):
            go(path)
    kept = stored.store().rows()
    assert 0 < len(kept) < 8
    assert (kept["status"] == "ok").all()
    summary, frame, _ = go(path)
    assert summary.cached == len(kept)
    assert (summary.ok + summary.cached, summary.failed) == (8, 0)
    assert not list((bench_home / "rows").glob(".*.tmp"))
    assert len(frame) == 8


def test_a_corrupt_target_is_trained_again(tmp_path, bench_home):
    path = write_grid(tmp_path)
    _, before, _ = go(path)
    for file in (bench_home / "targets").glob("*.safetensors"):
        file.write_bytes(file.read_bytes()[:100])
    with pytest.warns(UserWarning, match="corrupt"):
        summary, after, _ = go(write_grid(tmp_path, "mean_image, heldout_images"))
    assert (summary.ok, summary.cached, summary.failed) == (4, 4, 0)
    key = ["cell_id", "train_loss"]
    both = before[key].merge(after[key], on="cell_id")
    assert (both["train_loss_x"] == both["train_loss_y"]).all()


def test_a_spent_budget_starts_nothing_new(tmp_path):
    path = write_grid(tmp_path, "mean_image", "budget: {minutes: 1e-9}")
    summary, _, _ = go(path)
    assert summary.out_of_budget
    assert (summary.ok, summary.left) == (0, 4)
    assert len(stored.store().rows()) == 0


def test_cells_are_shared_between_grids(tmp_path):
    path = write_grid(tmp_path)
    go(path)
    path.write_text(path.read_text().replace("name: tiny", "name: other").replace("[0, 0.01]", "[{label: none, set: {weight_decay: 0}}]"))
    summary, frame, _ = go(path)
    assert (summary.ok, summary.cached) == (0, 2)
    assert set(frame["grid"]) == {"other"}
    assert set(frame["axis"]) == {'{"weight_decay": "none"}'}


def test_what_belongs_to_a_grid_is_written_over_cached_cells(tmp_path):
    path = write_grid(tmp_path)
    go(path)
    plain = path.read_text()
    figure = "{what: hits, column: recall_members, value: 0.3, at: 500 images, source: A paper}"
    path.write_text(plain.replace("name: tiny", "name: other") + f"gallery: 3\npublished: [{figure}]\n")
    summary, frame, _ = go(path)
    assert summary.cached == len(frame)
    assert set(frame["gallery"]) == {3}
    assert [json.loads(text)[0]["value"] for text in frame["grid_published"]] == [0.3] * len(frame)
    stored.store().append(frame.to_dict("records"))
    path.write_text(plain)
    _, frame, _ = go(path)
    assert frame[["gallery", "grid_published"]].isna().all(axis=None)


def test_tracks_that_share_a_target_are_scored_again_by_a_secret_of_their_own(tmp_path, monkeypatch):
    _, before, _ = go(write_grid(tmp_path, "mean_image, random_scores"))
    assert before.groupby("target_id")["track"].nunique().eq(2).all(), "the two tracks share their targets"
    drawn = []
    secret = rescore._secret
    monkeypatch.setattr(rescore, "_secret", lambda row: drawn.append((row["track"], row["target_id"])) or secret(row))
    fresh, missing = rescore.rescore(stored.store(), "tiny")
    assert (len(fresh), missing) == (8, {})
    assert set(drawn) == set(zip(before["track"], before["target_id"], strict=True))


def test_a_worker_that_holds_a_target_of_another_track_takes_it_anew(monkeypatch):
    from types import SimpleNamespace

    from bench.engine.executors.child import _Worker as Worker

    worker = object.__new__(Worker)
    worker.held, worker.held_for, taken = {"t": None}, "reconstruction", []
    monkeypatch.setattr(Worker, "_obtain", lambda self, cells, afresh=False: taken.append(cells[0].attack.track) or {"t": "enough"})
    monkeypatch.setattr("bench.engine.rows.failed", lambda *_: "row")
    worker.grid = worker.device = worker.memory = None
    for track in ("membership", "reconstruction"):
        cell = SimpleNamespace(target_id="t", attack=SimpleNamespace(track=track))
        worker.setup = SimpleNamespace(no_cache=False)
        with monkeypatch.context() as patch:
            patch.setattr("bench.engine.batch.run_batch", lambda *_, **__: iter(()))
            patch.setattr(Worker, "_check_context", lambda self: None)
            list(worker._attack([cell]))
    assert taken == ["membership"]


def test_scoring_again_gives_the_same_numbers(tmp_path, bench_home):
    registry.load_plugin(write_plugin(tmp_path, "unruly", "return 3 * torch.randn(8, 1, 25, 25, generator=generator)"))
    _, before, images = go(write_grid(tmp_path, "unruly, mean_image"))
    fresh, missing = rescore.rescore(stored.store(), "tiny")
    assert (len(fresh), missing) == (8, {})
    after = stored.store().rows()
    assert not differing(before, after, leave=("finished_at", "seconds_score"))
    assert not differing(images, stored.store().images())
    lost = next((bench_home / "reconstructions").glob("*.safetensors"))
    lost.write_bytes(b"short")
    fresh, missing = rescore.rescore(stored.store(), None)
    assert len(fresh) == 7
    [(reason, cells)] = missing.items()
    assert "no reconstruction" in reason
    assert len(cells) == 1
    assert lost.stem in cells[0]


def test_a_row_gives_back_its_setting(tmp_path):
    path = write_grid(tmp_path)
    go(path)
    settings = [c.setting for c in plan(load(path), {}).cells]
    rows = stored.store().rows().to_dict("records")
    found = [rescore.setting_of({k: None if rescore._null(v) else v for k, v in row.items()}) for row in rows]
    assert sorted(map(str, found)) == sorted(map(str, settings))


@pytest.mark.usefixtures("no_transplants")
def test_nothing_that_an_attack_receives_holds_a_training_image(tmp_path):
    before = "\nSEEN = []\n"
    body = "SEEN.append((self, release, generator))\nreturn torch.rand(4, 1, 25, 25, generator=generator)"
    path = write_plugin(tmp_path, "spy", body, before=before)
    text = path.read_text().replace(
        'frozenset({"final_weights", "mean_image"})', 'frozenset({"final_weights", "mean_image", "initial_weights", "public_images"})'
    )
    path.write_text(text)
    registry.load_plugin(path)
    grid = write_grid(tmp_path, "spy")
    cells = plan(load(grid), {}).cells
    go(grid)
    seen = sys.modules[cells[0].attack.cls.__module__].SEEN
    assert len(seen) == 4
    secrets = [reconstruction.secret_of(c.setting) for c in cells]
    found = 0
    for received, secret in zip(seen, secrets, strict=True):
        for tensor in reachable_tensors(received):
            found += 1
            assert not holds_any(tensor, secret.members)
            assert not holds_any(tensor, secret.controls)
    assert found > 4 * 4
    # the search itself finds what is hidden, in a closure, in a view's base, or centred
    secret = secrets[0]
    hidden = lambda x: x + secret.members[1]  # noqa: E731
    assert any(holds_any(t, secret.members) for t in reachable_tensors({"f": hidden}))
    assert any(holds_any(t, secret.members) for t in reachable_tensors([secret.members[:, :, :2]]))
    assert holds_any(torch.cat([torch.zeros(7), (secret.members - secret.members.mean(0)).flatten()]), secret.members)
