"""The script for a machine with a GPU, on a CPU: stages that end, hang and go on; comparisons that see a difference; what is carried."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace

import pandas as pd
import pytest
import torch

from tests.fake_gpu import GPU, FakeGpu
from tests.gpu import __main__ as script
from tests.gpu import bundle, merge, selftest
from tests.gpu.stages import GRACE, Stage, stages

CPU = torch.device("cpu")


def said(out):
    return [(line["stage"], line["rc"]) for line in script.lines_of(out / "stages.jsonl")]


@pytest.fixture
def room(tmp_path, monkeypatch):
    """A folder whose modules are stages."""
    (tmp_path / "fine.py").write_text("print('fine')")
    (tmp_path / "broken.py").write_text("raise SystemExit(3)")
    (tmp_path / "slow.py").write_text(
        "import time\nfrom pathlib import Path\ntry:\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    Path('kept').touch()\n"
    )
    monkeypatch.setattr(script, "ROOT", tmp_path)
    return tmp_path


def test_a_stage_that_fails_or_hangs_costs_no_other_and_what_went_well_is_not_done_again(room):
    out = room / "out"
    out.mkdir()
    chosen = [
        Stage("fine", ("fine",), 0.5),
        Stage("broken", ("broken",), 0.5),
        Stage("slow", ("slow",), 0.01),
        Stage("last", ("fine",), 1.0),
    ]
    assert not script.go_through(chosen, out, time.monotonic() + 100 + GRACE, {})
    assert said(out) == [("fine", 0), ("broken", 3), ("slow", None), ("last", 0)]
    assert (room / "kept").exists()  # it was told to stop as by Ctrl-C, and had time
    (room / "broken.py").write_text("")
    assert script.go_through(chosen[:2], out, time.monotonic() + 100, {})
    assert said(out)[4:] == [("broken", 0)]
    with (out / "stages.jsonl").open("a") as file:
        file.write('{"stage": "cut o')
    assert len(said(out)) == 5


def test_no_stage_begins_when_only_the_grace_is_left(room):
    out = room / "out"
    out.mkdir()
    assert not script.go_through([Stage("fine", ("fine",), 1.0)], out, time.monotonic() + GRACE - 1, {})
    assert said(out) == []


def test_what_the_machine_lacks_is_told(monkeypatch, capsys, tmp_path):
    assert script.main(["--out", str(tmp_path / "out"), "--bundle", str(tmp_path)]) == (0 if torch.cuda.is_available() else 2)
    assert torch.cuda.is_available() or "sees no CUDA device" in capsys.readouterr().err
    monkeypatch.setattr(script, "NEEDED", ("torch", "no_such_library"))
    assert "no_such_library" in script.unfit(script.surroundings({}, tmp_path, tmp_path), "cpu")
    monkeypatch.setattr(script, "OLDEST", (99, 0))
    monkeypatch.setattr(script, "NEEDED", ("torch",))
    assert "older than 99.0" in script.unfit(script.surroundings({}, tmp_path, tmp_path), "cpu")


def test_surroundings_bring_data_and_weights_and_no_tf32(tmp_path):
    (tmp_path / "bundle" / "data").mkdir(parents=True)
    (tmp_path / "bundle" / "weights").mkdir()
    out = tmp_path / "out"
    found = script.surroundings({"TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1", "PYTHONPATH": "mine"}, tmp_path / "bundle", out)
    assert found["BENCH_DATA"] == str(tmp_path / "bundle" / "data")
    assert found["PYTHONPATH"].split(":")[1:] == [str(out / "site-packages"), "mine"]
    assert "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE" not in found
    assert (out / "home" / "weights").resolve() == tmp_path / "bundle" / "weights"


@pytest.mark.parametrize("stage", stages("OUT", "cpu"), ids=lambda stage: stage.name)
def test_each_stage_is_a_command_that_exists(stage):
    if stage.command[:2] == ("bench", "run"):
        code = subprocess.run([sys.executable, "-m", *stage.command, "--help"], cwd=script.ROOT, capture_output=True).returncode
        assert code == 0
        from bench.grids.read import load

        overrides = [stage.command[i + 1] for i, word in enumerate(stage.command) if word == "--set"]
        assert load(stage.command[3], overrides, stage.command[5]).grid.name == f"{stage.command[3]}_full"
    else:
        assert subprocess.run([sys.executable, "-m", *stage.command[:1], "--help"], cwd=script.ROOT, capture_output=True).returncode == 0


def test_every_attack_that_runs_for_steps_is_compared_and_every_activation():
    names = [check.name for check in selftest.checks(torch.device("cuda"))]
    assert len(set(names)) == len(names)
    assert {name.split(",")[0] for name in names} >= {*selftest.attacks(), "training", "scores"}
    assert {"haim_kkt", "multiclass_kkt", "regression_kkt", "ntk_kkt", "span_ica"} <= set(selftest.attacks())
    for activation in selftest.ACTIVATIONS:
        assert {f"training, {activation}", f"ntk_kkt, {activation}"} <= set(names)


def test_comparisons_hold_on_one_device_and_see_a_difference(monkeypatch):
    kkt = selftest.Check("kkt", lambda: selftest.attacked("haim_kkt", selftest.toy(), CPU), selftest.TOLERANCE)
    found = selftest.Check("ica", lambda: selftest.finds("span_ica", selftest.toy(), CPU), selftest.FOUND)
    stack = selftest.Check("stack", lambda: selftest.stacked(CPU), selftest.TOLERANCE)
    scores = [selftest.Check(metric, lambda metric=metric: selftest.scored(metric, CPU), selftest.SCORES) for metric in ("ssim", "ncc")]
    for check in (kkt, found, stack, *scores):
        assert selftest.outcome(check)["ok"], check.name
    right = selftest.held
    there = iter([False, True])  # the second of the two devices reads the weights wrong

    def wrong(setting, device):
        target = right(setting, device)
        if not next(there):
            return target
        weights = {name: 1.5 * w for name, w in target.release.weights.items()}
        return replace(target, release=replace(target.release, weights=weights))

    monkeypatch.setattr(selftest, "held", wrong)
    assert not selftest.outcome(kkt)["ok"]
    raising = selftest.outcome(selftest.Check("raises", lambda: 1 / 0, 0.0))
    assert not raising["ok"]
    assert "ZeroDivisionError" in raising["said"]


def test_what_is_compared_is_on_the_device_with_all_that_is_released():
    with FakeGpu():
        release = selftest.held(selftest.toy(), GPU).release
        assert release.device == release.oracle.device == GPU
        assert {tensor.device for _, tensor in release.tensors()} == {GPU}


def test_cells_that_fail_say_why(monkeypatch):
    assert selftest.outcome(selftest.Check("cells", lambda: selftest.cells("none", CPU), 0.0))["ok"]
    failed = selftest.outcome(selftest.Check("cells", lambda: selftest.cells("no such walls", CPU), 0.0))
    assert not failed["ok"]
    assert "sandbox" in failed["said"]


def test_a_number_that_is_none_is_a_difference():
    assert selftest.relative(torch.tensor([float("nan")]), torch.ones(1)) == float("inf")
    assert selftest.relative(torch.tensor([1.5]), torch.ones(1)) == pytest.approx(0.5)


def test_what_is_carried_is_what_the_project_stands_on_but_the_large_ones():
    names = bundle.needed()
    assert names >= {"pydantic", "pydantic-core", "typer", "click", "safetensors", "pyyaml", "pytest"} - {"click"}
    assert not names & {"torch", "numpy", "scipy", "pandas", "pyarrow", "matplotlib", "torchvision"}
    text = (
        'numpy==2.4.6 ; python_version >= "3.11"\npydantic_core==2.5\nPyYAML==6.0.3\nrich==15.0.0\nrich==14.0.0 ; python_version < "3.11"\n'
    )
    assert bundle.pins(text, {"pydantic-core", "pyyaml", "rich"}) == ["pydantic_core==2.5", "PyYAML==6.0.3", "rich==15.0.0"]


def test_what_comes_back_is_a_page_with_the_device(tmp_path, capsys):
    out, into = tmp_path / "out", tmp_path / "results"
    (out / "results").mkdir(parents=True)
    into.mkdir()
    with pytest.raises(SystemExit):
        merge.main([str(out), "--into", str(into)])
    assert "stages.jsonl" in capsys.readouterr().err
    (out / "stages.jsonl").write_text(json.dumps({"stage": "grid haim2022", "command": "bench run", "rc": None, "seconds": 91.2}) + "\n")
    (out / "results" / "perf_gpu.md").write_text("timings")
    checks = [{"name": "training, relu", "ok": True, "said": "1e-6, at most 2e-03"}, {"name": "scores, ssim", "ok": False, "said": "0.1"}]
    (out / "selftest.json").write_text(json.dumps({"device": "Card 9", "torch": "2.11", "precision": "ieee", "checks": checks}))
    assert merge.main([str(out), "--into", str(into)]) == 0
    page = (into / "gpu.md").read_text()
    assert "Card 9, torch 2.11: 1 of 2" in page
    assert "cut off when its time was up" in page
    assert "**differs**" in page
    assert (into / "perf_gpu.md").read_text() == "timings"


def test_rows_of_a_grid_that_was_cut_off_come_back(tmp_path):
    out, into = tmp_path / "out", tmp_path / "results"
    environment = script.surroundings({**os.environ}, tmp_path / "none", out)
    words = ["bench", "run", "--grid", "quick", "--attack", "mean_image", "--seeds", "0", "--set", "dataset=photo_tiles"]
    words += ["--set", "epochs=50", "--set", "hidden=[8]", "--device", "cpu", "--out", str(out / "results" / "quick")]
    assert script.run(words, tmp_path / "log", 200, environment) == 0, (tmp_path / "log").read_text()
    (out / "stages.jsonl").write_text(json.dumps({"stage": "grid quick", "command": "bench run", "rc": None, "seconds": 9.0}) + "\n")
    into.mkdir()
    assert merge.main([str(out), "--into", str(into)]) == 0
    assert "mean_image" in pd.read_parquet(into / "scores")["attack"].to_list()
