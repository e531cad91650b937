"""The command line: exit codes, one clear message for each fault, and nothing finished ever lost."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tiny_grid import clean_registry, write_grid, write_plugin  # noqa: F401

from bench.cli import main

pytestmark = pytest.mark.usefixtures("clean_registry")
ROOT = Path(__file__).resolve().parent.parent.parent


def python(*words: object, **more) -> subprocess.CompletedProcess:
    """Runs python in a fresh process with the project on its path."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]), **more.pop("env", {})}
    return subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True, env=env, timeout=280, **more)


# ---------------------------------------------------------------------------------------------------------------- running


def test_run_publishes_renders_compares_and_resumes(bench, tmp_path):
    grid, out = write_grid(tmp_path, "mean_image, heldout_images"), tmp_path / "results"
    code, text, err = bench("run", "--grid", grid, "--out", out)
    assert code == 0, err
    assert "no published numbers for these cells" in text
    assert f"read {out / 'tiny.md'}" in text
    assert "mean_image" in text
    assert "8 run, 0 failed of 8 cells" in err
    assert {p.name for p in out.iterdir()} >= {"scores", "images", "leaderboard.md", "tiny.md"}
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    code, text, err = bench("run", "--grid", grid, "--out", out)
    assert (code, "8 cached" in err, "8 of 8 cells agree" in text) == (0, True, True)
    assert before == {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    assert bench("report", "--out", out)[0] == 0
    assert before == {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}


def test_json_is_one_object_on_stdout_whatever_a_plugin_prints(bench, tmp_path):
    plugin = write_plugin(tmp_path, "loud", "print('hello')\nraise ValueError('no')")
    code, text, err = bench("run", "--grid", write_grid(tmp_path), "--plugin", plugin, "--json")
    summary = json.loads(text)
    assert code == summary["exit_code"] == 2
    assert summary["cells"] == {"total": 8, "ok": 4, "cached": 0, "failed": 4, "skipped": 0, "left": 0}
    assert "ValueError: no" in summary["failures"][0]["reason"]
    assert "hello" in err


def test_failed_cells_exit_2_with_which_why_and_what_to_type(bench, tmp_path):
    plugin, grid = write_plugin(tmp_path, "bad", "raise ValueError('my own fault')"), write_grid(tmp_path)
    code, _, err = bench("run", "--grid", grid, "--plugin", plugin, "--seeds", "1")
    assert code == 2
    assert "failed: ValueError: my own fault (at bad.py:" in err
    assert "bad on weight_decay=0, seed 1" in err
    command = re.search(r"python -m bench (run .*--retry failed)", err)[1]
    assert command == f"run --grid {grid} --plugin {plugin} --seeds 1 --retry failed"
    code, _, err = bench(*command.split())
    assert (code, "2 cells to run, 2 cached" in err) == (2, True)
    code, _, err = bench(*command.split()[:-2])  # without --retry they are not tried again, and still reported
    assert (code, "0 cells to run" in err, "my own fault" in err) == (2, True, True)


def test_dry_run_says_what_would_become_of_each_cell(bench, tmp_path):
    grid = write_grid(tmp_path, "mean_image, multiclass_kkt")
    bench("run", "--grid", grid, "--limit", "1")
    code, text, _ = bench("run", "--grid", grid, "--dry-run")
    assert code == 0
    assert "1 cached, 3 to run, 4 unsupported" in text
    assert len(text.splitlines()) == 9
    code, text, _ = bench("run", "--grid", grid, "--dry-run", "--json")
    assert json.loads(text)["counts"]["cached"] == 1


def test_changed_grids_stay_out_of_the_published_results(bench, tmp_path, bench_home):
    grid = write_grid(tmp_path, "mean_image, first_layer_weights")
    for option in (
        ("--set", "n_per_class=3"),
        ("--seeds", "0"),
        ("--limit", "1"),
        ("--attack", "heldout_images"),
        ("--attack", "mean_image"),
    ):
        code, text, err = bench("run", "--grid", grid, *option)
        assert (code, str(bench_home / "results") in text, option[0] in err) == (0, True, True)
    published = tmp_path / "clone" / "results"
    assert not published.exists()
    code, text, _ = bench("run", "--grid", grid, "--attack", "mean_image", "--attack", "first_layer_weights")  # all that it has
    assert (code, str(published) in text) == (0, True)
    code, text, _ = bench("run", "--grid", grid, "--attack", "mean_image", "--out", tmp_path / "mine")
    assert (code, str(tmp_path / "mine") in text) == (0, True)
    imposter = tmp_path / "mine.yaml"
    imposter.write_text(grid.read_text().replace("name: tiny", "name: quick"))
    assert "built-in grid's name" in bench("run", "--grid", imposter)[2]


def test_a_part_of_a_grid_is_compared_with_what_is_published(bench, tmp_path, bench_home):
    grid, published = write_grid(tmp_path), tmp_path / "clone" / "results"
    code, text, _ = bench("run", "--grid", grid, "--seeds", "0")
    assert (code, "no published numbers for these cells" in text) == (0, True)
    code, text, _ = bench("run", "--grid", grid, "--seeds", "0")  # what lies in .reconbench/results is not published
    assert (code, "no published numbers for these cells" in text) == (0, True)
    bench("run", "--grid", grid)
    code, text, _ = bench("run", "--grid", grid, "--seeds", "1")
    assert (code, f"beside {published}: 2 of 2 cells agree within their intervals" in text) == (0, True)
    scores = pd.read_parquet(published / "scores")
    for column in ("recall_members", "excess_recall", "excess_recall_lo", "excess_recall_hi"):
        scores[column] += 2
    scores.to_parquet(published / "scores" / "tiny.parquet")
    _, text, _ = bench("run", "--grid", grid, "--seeds", "1")
    assert f"beside {published}: 0 of 2 cells agree within their intervals" in text


def test_a_clone_that_reproduces_the_table_leaves_every_file_as_it_was(bench, tmp_path, monkeypatch):
    """From an empty store, on a machine that draws other pictures, with another version of the code that renders."""
    grid, published = write_grid(tmp_path, "mean_image, first_layer_weights"), tmp_path / "clone" / "results"
    other = tmp_path / "other.yaml"
    other.write_text(
        write_grid(tmp_path, "mean_image").read_text().replace("name: tiny", "name: other").replace("n_per_class: 2", "n_per_class: 3")
    )
    write_grid(tmp_path, "mean_image, first_layer_weights")
    assert (bench("run", "--grid", other)[0], bench("run", "--grid", grid)[0]) == (0, 0)

    def state():
        return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in published.rglob("*") if path.is_file()}

    before = state()
    monkeypatch.setattr("bench.engine.rows.provenance", lambda: {"platform": "another machine", "code_version": "9"})
    monkeypatch.setattr("bench.report.markdown.grid_page", lambda page: f"another page of {page.grid}")
    monkeypatch.setattr("bench.tracks.reconstruction.page.strips.strips", lambda *_: b"another picture")
    for _ in range(2):  # trained anew, then from the store
        monkeypatch.setenv("RECONBENCH_HOME", str(tmp_path / "another home"))
        code, text, err = bench("run", "--grid", grid)
        assert (code, "8 of 8 cells agree within their intervals\nthe published table stays as it is" in text) == (0, True), text + err
        assert state() == before
        assert "to render" not in err
    code, text, err = bench("run", "--grid", grid, "--republish")
    assert (code, "stays" in text) == (0, False), err
    assert "3 pages to render" in err, (text, err)
    changed = {path.name for path, what in state().items() if what != before.get(path)}
    assert {"tiny.parquet", "tiny.md"} <= changed
    assert not {"other.md", "other.parquet", "other_strips.png"} & changed
    assert set(pd.read_parquet(published / "scores").query("grid == 'tiny'")["platform"]) == {"another machine"}


def test_only_the_row_that_disagrees_is_replaced(bench, tmp_path):
    grid, published = write_grid(tmp_path), tmp_path / "clone" / "results"
    bench("run", "--grid", grid)
    scores = pd.read_parquet(published / "scores").assign(platform="theirs")
    for column in ("recall_members", "excess_recall", "excess_recall_lo", "excess_recall_hi"):
        scores.loc[1, column] += 2
    scores.to_parquet(published / "scores" / "tiny.parquet")
    _, text, _ = bench("run", "--grid", grid)
    assert "3 of 4 cells agree" in text
    assert "3 published rows stay as they are, 1 is replaced or new" in text
    assert (pd.read_parquet(published / "scores")["platform"] == "theirs").tolist() == [True, False, True, True]


def test_a_page_of_a_changed_grid_shows_its_latest_run(bench, tmp_path, bench_home):
    plugin, grid = write_plugin(tmp_path, "mine"), write_grid(tmp_path)
    command = ["run", "--grid", grid, "--plugin", plugin, "--attack", "mine", "--attack", "mean_image", "--seeds", "0", "--set"]
    page = bench_home / "results" / "tiny.md"
    bench(*command, "n_per_class=3")
    first = page.read_text()
    _, text, err = bench(*command, "n_per_class=2")
    assert f"read {page}" in text
    assert "4 rows of earlier runs of tiny left" in err
    assert "n_per_class = " not in page.read_text()
    assert "2 training images a class" in page.read_text()
    assert "3 training images a class" in first
    assert "0 cells to run" in bench(*command, "n_per_class=3")[2]  # nothing was lost
    assert page.read_text() == first
    for n in (2, 3):
        assert "earlier runs" not in bench(*command, f"n_per_class={n}", "--out", tmp_path / "collected")[2]
    assert set(pd.read_parquet(tmp_path / "collected" / "scores")["n_per_class"]) == {2, 3}


def test_the_seconds_of_a_run_are_those_of_the_whole_command(bench, tmp_path, monkeypatch):
    from bench import report

    render = report.render

    def slow(*args, **more):
        time.sleep(1.2)
        return render(*args, **more)

    monkeypatch.setattr("bench.report.render", slow)
    _, text, _ = bench("run", "--grid", write_grid(tmp_path), "--json")
    summary = json.loads(text)
    assert summary["seconds_pages"] >= 1.2
    assert summary["seconds"] >= summary["seconds_cells"] + summary["seconds_pages"]
    _, _, err = bench("run", "--grid", write_grid(tmp_path))
    assert re.search(r"of 4 cells, \d+ s: \d+ s for the cells, [1-9]\d* s for tables and pages", err)


def test_the_command_that_mends_failed_cells_publishes_the_whole_grid(bench, tmp_path, monkeypatch):
    registered = write_plugin(tmp_path, "bad", "raise ValueError('my own fault')")
    from bench import registry

    registry.load_plugin(registered)
    grid, published = write_grid(tmp_path, "bad, mean_image"), tmp_path / "clone" / "results"
    code, _, err = bench("run", "--grid", grid)
    command = re.search(r"python -m bench (run .*--retry failed)", err)[1]
    assert (code, command) == (2, f"run --grid {grid} --retry failed")
    registry._plugins.clear()
    registry.load_plugin(write_plugin(tmp_path, "bad"))
    code, text, err = bench(*command.split())
    assert (code, f"read {published / 'tiny.md'}" in text, "4 cells to run, 4 cached" in err) == (0, True, True)
    assert set(pd.read_parquet(published / "scores")["status"]) == {"ok"}


def test_results_of_an_installed_package_go_to_the_current_folder(bench, tmp_path, monkeypatch):
    monkeypatch.setattr("bench.cli.folders.PROJECT", tmp_path / "site-packages")
    monkeypatch.chdir(tmp_path)
    code, text, _ = bench("run", "--grid", write_grid(tmp_path))
    assert (code, f"read {tmp_path / 'results' / 'tiny.md'}" in text) == (0, True)


def test_set_replaces_an_axis(bench, tmp_path):
    _, text, _ = bench("run", "--grid", write_grid(tmp_path), "--set", "weight_decay=0.5", "--dry-run", "--json")
    assert [cell["axis"] for cell in json.loads(text)["cells"]] == [{"weight_decay": "0.5"}] * 2


def test_a_results_folder_that_cannot_be_written_is_found_before_computing(bench, tmp_path):
    grid = write_grid(tmp_path)
    (tmp_path / "file").touch()
    code, _, err = bench("run", "--grid", grid, "--out", tmp_path / "file" / "results")
    assert code == 1
    assert "cannot write" in err
    code, _, err = bench("run", "--grid", grid, "--out", tmp_path / "good")
    assert (code, "0 cached" in err) == (0, True)


def test_a_results_folder_that_cannot_be_written_any_more_loses_nothing(bench, tmp_path, monkeypatch):
    grid = write_grid(tmp_path)
    (tmp_path / "file").touch()
    monkeypatch.setattr("bench.cli.run.probe", lambda folder: None)  # it could be, when the run began
    code, _, err = bench("run", "--grid", grid, "--out", tmp_path / "file" / "results")
    assert code == 1
    assert "are finished and kept" in err
    assert "--out" in err
    code, _, err = bench("run", "--grid", grid, "--out", tmp_path / "good")
    assert (code, "4 cached" in err) == (0, True)
    assert (tmp_path / "good" / "tiny.md").exists()


def test_corrupt_published_results_lose_nothing(bench, tmp_path):
    out = tmp_path / "results"
    (out / "scores").mkdir(parents=True)
    (out / "scores" / "other.parquet").write_bytes(b"not parquet")
    code, _, err = bench("run", "--grid", write_grid(tmp_path), "--out", out)
    assert code == 1
    assert "are finished and kept" in err
    assert "corrupt" in err
    assert (out / "scores" / "other.parquet").read_bytes() == b"not parquet"


# -------------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "--grid", "quick", "--republish", "--seeds", "0"], "--republish is for the published table"),
        (["run", "--grid", "quick", "--republish", "--out", "x"], "--republish is for the published table"),
        (["run", "--grid", "quik"], "unknown grid 'quik'. Did you mean 'quick'?"),
        (["run", "--grid", "quick", "--attack", "haim_ktt"], "unknown attack 'haim_ktt'. Did you mean 'haim_kkt'?"),
        (["run", "--grid", "quick", "--set", "n_per_clas=3"], "unknown setting field 'n_per_clas'. Did you mean 'n_per_class'?"),
        (["run", "--grid", "quick", "--set", "lr=1000"], "less than or equal to 100"),
        (["run", "--grid", "quick", "--set", "dataset=cifar10"], "data set 'cifar10' is not here"),
        (["run", "--grid", "quick", "--set", "dataset=lfw"], "unknown data set 'lfw'. Did you mean 'lfw_faces'?"),
        (["run", "--grid", "quick", "--set", "dataset=folder:/nowhere"], "/nowhere"),
        (["run", "--grid", "quick", "--seeds", "x"], "--seeds x: not understood"),
        (["run", "--grid", "quick", "--device", "tpu"], "unknown device 'tpu'"),
        (["run", "--grid", "quick", "--retry", "all"], "--retry all"),
        (["run", "--grid", "quick", "--limit", "-1"], "--limit -1"),
        (["run", "--grid", "quick", "--limit", "0"], "--limit 0"),
        (["run", "--grid", "quick", "--set", "defense_params.std=0.3"], "try:      --set 'defense_params={std: 0.3}'"),
        (["run", "--grid", "quick", "--set", "dataset=mnist"], "try:      python -m bench fetch mnist"),
        (["run", "--grid", "quick", "--limit", "many"], "--limit"),
        (["run", "--grid", "quick", "--plugin", "/nowhere.py"], "plug-in file not found"),
        (["run"], "--grid"),
        (["run", "--grid", "quick", "--nope"], "--nope"),
        (["run", "--grid", "quick", "--attack", "haim_kkt,mean_image"], "try:      --attack once for each"),
        (["run", "--grid", "quick", "--set", "hidden=500"], "expected: widths of the hidden layers, a list of 1 to 16 values"),
        (["run", "--grid", "quick", "--set", "hidden=500"], "try:      --set 'hidden=[500]'"),
        (["run", "--grid", "quick", "--set", "epochs=yes"], "not true or false"),
        (["run", "--grid", "quick", "--set", "hidden=[true]"], "not true or false"),
        (["run", "--grid", "quick", "--set", "epochs=1:30"], "valid integer"),
        (["run", "--grid", "quick", "--set", "defense=rounding", "--set", "defense_params={bits: 2.5}"], "bits is of the wrong kind"),
        (["nope"], "No such command 'nope'"),
        (["reprot"], "No such command 'reprot'. Did you mean 'report'?"),
        (["--debgu", "ls"], "No such option: --debgu"),
        (["info", "haim"], "Did you mean 'haim_kkt'?"),
        (["check", "nothing_here"], "no plug-in is named"),
        (["fetch", "cifar11"], "Did you mean 'cifar10'?"),
        (["score", "--grid", "quick"], "no rows of grid 'quick' here"),
        (["report", "--out", "/nowhere/at/all"], "no results in"),
        (["merge", "/nowhere/at/all"], "nothing to merge"),
        (["merge", ".", "--on-conflict", "foo"], "try:      --on-conflict last"),
    ],
)
def test_wrong_usage_is_one_message_and_exit_1(bench, words, message):
    code, out, err = bench(*words)
    assert code == 1
    assert message in err
    assert out == ""
    assert len(err.splitlines()) <= 5


def test_without_a_command_the_help_is_shown(bench):
    code, out, err = bench()
    assert (code, out) == (1, "")
    assert err.startswith("Usage:")
    assert "try:" not in err
    assert "..." not in err.partition("Commands:")[2]  # each line is whole
    assert bench("--help")[0] == bench("run", "--help")[0] == 0


def test_ctrl_c_does_not_promise_what_it_does_not_keep(bench, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("bench.artefacts.truth.drawn", interrupted)
    code, out, err = bench("audit", "weights.pth", "--dataset", "lfw_faces")
    assert (code, out, err) == (130, "", "interrupted, nothing was kept of it\n")


@pytest.mark.parametrize("words", [("--memory", "nan"), ("--memory", "inf"), ("--memory", "-1"), ("--seeds", ""), ("--out", "")])
def test_values_that_are_none_are_refused(bench, words):
    code, out, err = bench("run", "--grid", "quick", "--dry-run", *words)
    assert (code, out) == (1, "")
    assert "expected" in err
    assert "try" in err


def test_a_column_of_the_tables_is_described(bench):
    code, out, _ = bench("info", "excess_recall")
    assert code == 0
    assert out.startswith("column excess_recall of scores/*.parquet: ")
    assert bench("info", "transferred")[1].startswith("column transferred of images/*.parquet: ")


@pytest.mark.parametrize(("params", "says"), [("{steps: abc}", "steps is of the wrong kind"), ("{steps: 2.5}", "a whole number")])
def test_hyperparameters_of_the_wrong_kind_are_known_before_anything_runs(bench, tmp_path, params, says):
    path = tmp_path / "wrong.yaml"
    path.write_text(
        "name: wrong\ntitle: Wrong\nquestion: Is it seen?\nbase: {dataset: lfw_faces, n_per_class: 2}\nseeds: 1\n"
        f"attacks: [{{name: haim_kkt, params: {params}}}]\n"
    )
    code, _, err = bench("run", "--grid", path, "--dry-run")
    assert (code, says in err) == (1, True), err


def test_two_plug_ins_of_one_name_are_an_error(bench, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    plugins = [write_plugin(tmp_path / folder, "same") for folder in "ab"]
    code, _, err = bench("run", "--grid", "quick", "--dry-run", "--plugin", plugins[0], "--plugin", plugins[1])
    assert (code, "two plug-ins are named 'same'" in err) == (1, True)


def test_merging_into_a_file_says_so(bench, tmp_path):
    (tmp_path / "file").touch()
    code, _, err = bench("merge", tmp_path / "file", "--into", tmp_path / "file")
    assert code == 1
    assert "corrupt" not in err


def test_ctrl_c_outside_of_a_run_is_one_line(bench, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("bench.grids.read.load", interrupted)
    code, out, err = bench("run", "--grid", "quick")
    assert (code, out, err) == (130, "", "interrupted; finished cells are kept, the same command resumes\n")


def test_a_broken_grid_file(bench, tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("name: [x")
    code, _, err = bench("run", "--grid", path)
    assert (code, "broken YAML" in err, str(path) in err) == (1, True, True)


def test_no_network(bench, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")

    def refuse(*args, **kwargs):
        raise OSError("Network is unreachable")

    monkeypatch.setattr("socket.create_connection", refuse)
    monkeypatch.setattr("socket.socket.connect", refuse)
    code, _, err = bench("fetch", "mnist")
    assert code == 1
    assert err.startswith("mnist: downloading\nmnist could not be downloaded")
    assert "try: " in err


def test_a_plugin_that_raises_at_import(bench, tmp_path):
    plugin = write_plugin(tmp_path, "broken", before="raise RuntimeError('no licence')\n")
    code, _, err = bench("run", "--grid", write_grid(tmp_path), "--plugin", plugin)
    assert code == 1
    assert "cannot be imported" in err
    assert "RuntimeError: no licence" in err
    assert f"{plugin}:" in err


def test_a_dropped_in_attack_that_raises_at_import_fails_alone(bench, tmp_path, monkeypatch):
    from bench import registry

    (tmp_path / "dropped").mkdir()
    write_plugin(tmp_path / "dropped", "dropped_broken", before="raise RuntimeError('no licence')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    real = registry._static

    def static(kind):
        yield from real(kind)
        if kind == "attack":
            path = tmp_path / "dropped" / "dropped_broken.py"
            yield registry.Entry(kind, "dropped_broken", "", str(path), module="dropped.dropped_broken", class_name="X", facts={})

    monkeypatch.setattr(registry, "_static", static)
    code, text, err = bench("run", "--grid", write_grid(tmp_path, "dropped_broken, mean_image"), "--out", tmp_path / "out")
    assert code == 2
    assert "no licence" in err
    assert "4 run, 4 failed of 8 cells" in err
    assert "4 failed" in text or "failed" in (tmp_path / "out" / "tiny.md").read_text()


def test_an_unexpected_fault_is_one_line_unless_debugging(bench, tmp_path, monkeypatch):
    def fall(*args, **kwargs):
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("bench.grids.read.load", fall)
    code, _, err = bench("run", "--grid", "quick")
    assert (code, err.splitlines()[0]) == (3, "unexpected ZeroDivisionError: oh")
    assert "--debug" in err
    with pytest.raises(ZeroDivisionError):
        main(["run", "--grid", "quick", "--debug"])
    monkeypatch.setenv("RECONBENCH_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        main(["run", "--grid", "quick"])


def _hear_interrupts() -> None:
    """A suite that runs in the background of a shell passes on that interrupts are ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_in_a_real_process_keeps_finished_cells(tmp_path, bench_home):
    body = "import time\nopen(RELEASED, 'w').close()\ntime.sleep(60)\nreturn torch.zeros(4, 1, 25, 25)"
    plugin = write_plugin(tmp_path, "slow", body, before=f"\nRELEASED = {str(tmp_path / 'started')!r}\n")
    grid = write_grid(tmp_path, "mean_image")
    words = ["-m", "bench", "run", "--grid", str(grid), "--plugin", str(plugin), "--json"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, preexec_fn=_hear_interrupts
    )
    deadline = time.monotonic() + 150
    while not (tmp_path / "started").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "4 cells finished in this run are kept, 4 are left" in err
    assert "Traceback" not in err
    assert json.loads(out)["cells"]["ok"] == 4
    from bench.engine import stored

    assert len(stored.store().rows()) == 4


# --------------------------------------------------------------------------------------------------------------- the rest


@pytest.mark.parametrize(("term", "terminal", "kind"), [("xterm", True, "Bar"), ("dumb", True, "Lines"), ("xterm", False, "Lines")])
def test_a_bar_only_where_one_can_be_drawn(monkeypatch, term, terminal, kind):
    from bench.engine import progress

    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    assert type(progress.choose()).__name__ == kind


def test_listing_and_help_import_no_torch():
    for words in (["ls"], ["--help"], ["run", "--help"]):
        heavy = ("torch", "numpy", "pandas", "pyarrow", "matplotlib")
        code = f"import sys; from bench.cli import main; main({words!r}); print([m for m in {heavy} if m in sys.modules])"
        done = python("-c", code)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == "[]", words


@pytest.mark.parametrize("words", [["ls"], ["info", "schema"], ["doctor"], ["nope"]])
@pytest.mark.parametrize("merged", [False, True])
def test_a_reader_that_leaves_is_no_fault(words, merged):
    """As in ``bench ls | head -1``: the pipe is closed before anything is written, so that every write fails."""
    reading, writing = os.pipe()
    os.close(reading)
    streams = {"stdout": writing, "stderr": writing if merged else subprocess.PIPE}
    done = subprocess.run([sys.executable, "-m", "bench", *words], env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=280, **streams)
    os.close(writing)
    assert done.returncode == (1 if words == ["nope"] else 0)
    assert merged or b"Traceback" not in done.stderr
    assert merged or b"Exception" not in done.stderr


def test_a_run_whose_reader_leaves_keeps_what_is_finished(tmp_path, bench_home):
    reading, writing = os.pipe()
    os.close(reading)
    words = ["-m", "bench", "run", "--grid", str(write_grid(tmp_path)), "--out", str(tmp_path / "out")]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, *words], stdout=writing, stderr=subprocess.PIPE, text=True, env=env, timeout=280)
    os.close(writing)
    assert (done.returncode, "4/4 done" in done.stderr) == (0, True)
    assert "Traceback" not in done.stderr
    assert (tmp_path / "out" / "tiny.md").exists()


def test_ls_names_everything(bench):
    code, text, _ = bench("ls")
    assert code == 0
    for name in ("quick", "haim_kkt", "mean_image", "rounding", "lfw_faces", "final_weights+mean_image"):
        assert name in text
    assert (
        text.index("attacks:") < text.index("haim_kkt") < text.index("controls:") < text.index("heldout_images ") < text.index("defences:")
    )


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("haim_kkt", ["Haim", "hyperparameter steps: int", "access: final_weights+mean_image"]),
        ("quick", ["axis dataset: lfw_faces; photo_tiles", "cells: 16 settings"]),
        ("haim2022", ["with --scale full, where it differs:\n  base: ", "  attack haim_kkt {'steps': 50000}, sweep of 100 runs"]),
        ("rounding", ["hyperparameter bits: int = 8"]),
        ("lfw_faces", ["digest", "1x25x25"]),
        ("cifar10", ["missing:"]),
        ("setting", ["n_per_class = 10", "≥ 1, ≤ 50000"]),
        ("hidden", ["1 to 16 values", "each ≥ 1, ≤ 65536"]),
        ("classes", ["binary", "or ≥ 2, ≤ 1000"]),
        ("activation", ["one of relu, leaky_relu,"]),
        ("weight_decay", ["setting field", "grid weight_decay"]),
        ("schema", ["excess_recall", "scores/*.parquet"]),
    ],
)
def test_info(bench, name, parts):
    code, text, _ = bench("info", name)
    assert code == 0
    for part in parts:
        assert part in text


def test_score_and_merge(bench, tmp_path, bench_home):
    grid = write_grid(tmp_path)
    bench("run", "--grid", grid, "--out", tmp_path / "a")
    code, text, _ = bench("score", "--grid", "tiny", "--out", tmp_path / "a")
    assert (code, "4 cells scored again" in text) == (0, True)
    next((bench_home / "reconstructions").iterdir()).unlink()
    code, text, err = bench("score")
    assert (code, "3 cells scored again, 1 not" in text, "missing: no reconstruction" in err, "tiny: mean_image" in err) == (
        2,
        True,
        True,
        True,
    )
    code, text, _ = bench("merge", tmp_path / "a", bench_home, "--into", tmp_path / "b")
    assert (code, "4 rows" in text, f"read {tmp_path / 'b' / 'leaderboard.md'}" in text) == (0, True, True)
    assert (tmp_path / "b" / "tiny.md").exists()


def write_pictures(folder: Path, seed: int = 0) -> Path:
    draw = np.random.default_rng(seed)
    for label in ("cats", "dogs"):
        (folder / label).mkdir(parents=True)
        for k in range(20):
            Image.fromarray(draw.integers(0, 256, (6, 6), dtype=np.uint8)).save(folder / label / f"{k}.png")
    return folder


def test_score_leaves_out_what_cannot_be_scored_and_says_why(bench, tmp_path, monkeypatch):
    """Rows whose data set, plug-in or reconstructions are gone are named; the others are scored and published all the same."""
    brought = tmp_path / "brought.py"
    brought.write_text(
        "from bench.data.folder import FolderSet\nfrom bench.registry import register\n\n\n@register\nclass Brought(FolderSet):\n"
        '    """The same pictures under another name."""\n\n    name = "brought"\n    summary = "pictures"\n'
    )
    pictures, grid, out = write_pictures(tmp_path / "pictures"), write_grid(tmp_path), tmp_path / "results"
    words = ["run", "--grid", grid, "--out", out, "--seeds", "0", "--set"]
    bench(*words, "weight_decay=0")
    bench(*words, f"dataset=folder:{pictures}")
    bench(*words, f"dataset=brought:{write_pictures(tmp_path / 'more', 1)}", "--plugin", brought)
    monkeypatch.setattr("bench.registry._plugins", {})
    Image.new("L", (6, 6)).save(pictures / "cats" / "0.png")  # other content under the same path
    code, text, err = bench("score", "--out", out)
    assert (code, "1 cell scored again, 4 not" in text, f"published to {out}" in text) == (2, True, True)
    assert "missing: unknown data set 'brought'" in err
    assert "missing: data set 'folder:" in err
    assert "holds other images now than those attacked" in err
    assert err.count("tiny: mean_image on") == 4
    assert "5 cells to score" in err
    assert "cached" not in err
    assert "to run" not in err


def test_score_with_nothing_to_score_says_what_to_run_first(bench, tmp_path):
    code, out, err = bench("score")
    assert (code, out) == (1, "")
    assert "nothing to score" in err
    assert "python -m bench run --grid quick" in err


def test_help_shows_no_default_that_means_nothing(bench):
    _, text, err = bench("run", "--help")
    assert "first N cells" in text + err
    assert "default: 0" not in text + err


def test_doctor(bench):
    code, text, _ = bench("doctor")
    assert code == 0
    for name in ("torch", "torchvision", "lfw_faces", "lpips", "cifar10"):
        assert name in text


def test_an_attack_from_another_installed_package(tmp_path, bench_home):
    """A real distribution, built and installed by pip, offline, whose entry point is the attack."""
    package = tmp_path / "package"
    (package / "src").mkdir(parents=True)
    write_plugin(package / "src", "elsewhere")
    (package / "pyproject.toml").write_text('[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n')
    (package / "backend.py").write_text(
        "import zipfile\n"
        "def build_wheel(folder, config_settings=None, metadata_directory=None):\n"
        "    name = 'rb_elsewhere-1.0-py3-none-any.whl'\n"
        "    info = 'rb_elsewhere-1.0.dist-info/'\n"
        "    with zipfile.ZipFile(folder + '/' + name, 'w') as wheel:\n"
        "        wheel.write('src/elsewhere.py', 'elsewhere.py')\n"
        "        wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: rb-elsewhere\\nVersion: 1.0\\n')\n"
        "        wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n"
        "        wheel.writestr(info + 'entry_points.txt', '[reconbench.attacks]\\nelsewhere = elsewhere:Elsewhere\\n')\n"
        "        wheel.writestr(info + 'RECORD', '')\n"
        "    return name\n"
    )
    site = tmp_path / "site"
    pip = python("-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--target", site, package)
    assert pip.returncode == 0, pip.stderr
    env = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(site)])}
    listed = python("-m", "bench", "ls", env=env)
    assert "elsewhere" in listed.stdout
    assert "from package rb-elsewhere" in listed.stdout
    done = python("-m", "bench", "run", "--grid", write_grid(tmp_path, "elsewhere"), "--out", tmp_path / "out", "--json", env=env)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["cells"]["ok"] == 4
