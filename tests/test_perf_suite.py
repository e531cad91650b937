"""The benchmarks at toy sizes: each runs, each alternative computes what ours computes, and the page renders."""

from __future__ import annotations

import importlib
import math
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from attacks.haim_kkt import HaimKKT
from attacks.kkt import engine
from bench import capture
from tests.perf import __main__ as suite
from tests.perf import child, compiled, floor, growth, long_training, optimisers, page, problem, steps
from tests.perf.authors import DoubleBackward
from tests.perf.clock import Samples, interleaved
from tests.perf.line import Check, Line, Part
from tests.perf.problem import release, step_work
from tests.perf.recovery import Recovered

NAMES = (*suite.BENCHMARKS, *suite.LONG)


def here(module, function, home="", **arguments):
    """A process's work in this process: seconds matter less here than the result."""
    answer = getattr(importlib.import_module(f"tests.perf.{module}"), function)(**arguments)
    return child.Done(answer, 0.1, child.peak_bytes())


@pytest.fixture(scope="module")
def parts():
    """Every benchmark at its toy size."""
    made = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(floor, "SQUARE", {"cpu": 256})
        floor.matmul_rate.cache_clear()
        for name in NAMES:
            module = importlib.import_module(f"tests.perf.{name}")
            if name in ("harness", "workers", "memory", "shadows"):
                patch.setattr(module, "call", here)
            made[name] = module.run(module.TOY)
        page.rates("cpu")
    yield made
    floor.matmul_rate.cache_clear()


@pytest.mark.parametrize("name", NAMES)
def test_both_sides_compute_the_same(parts, name):
    for line in parts[name].lines:
        for check in line.checks:
            assert check.ok, f"{line.key}: {check}"
    for line in (*parts[name].lines, *parts[name].raw):
        for samples in (line.ours, line.baseline):
            assert samples is None or all(math.isfinite(value) for value in samples.seconds)  # less set-up, toys may come out below 0


def test_every_target_of_the_suite_has_its_line(parts):
    found = {line.key: (line.at_least, line.at_most) for part in parts.values() for line in part.lines}
    asked = {
        "step-f32": (3.3, None), "step-f64": (1.3, None), "run": (25, None), "sweep": (150, None), "step-rows": (8, None),
        "optimiser": (2, None), "training": (25, None), "training-kkt": (10, None), "ssim": (100, 4), "plan": (None, 5),
        "report": (None, 5), "report-images": (None, 30), "report-memory": (None, 2 * 2**30), "gpu-step": (15, None),
        "gpu-sweep": (None, 600), "gpu-shadows": (None, 120), "shadows": (None, 30), "informed-cell": (None, 180),
        "workers": (None, 0.02), "workers-ray": (None, 0.05), "span-few": (None, 0.5), "span-many": (None, 5),
    }  # fmt: skip
    assert asked.items() <= found.items()
    for key in ("step-f32", "step-f64", "run", "sweep", "step-rows", "training", "ssim", "gpu-step"):
        line = next(line for part in parts.values() for line in part.lines if line.key == key)
        assert line.checks, f"{key} compares without a check"
        assert line.ratio is not None


def test_a_wrong_alternative_is_caught(monkeypatch):
    victim, attack = release((8,), 4, shape=(1, 4, 4)), steps.HaimKKT(subspace="none", dtype="float64")
    assert steps.gradient_check(victim, attack, torch.float64).ok
    assert steps.path_check(victim, attack, 3, 1e-5).ok
    right = DoubleBackward.prior
    monkeypatch.setattr(DoubleBackward, "prior", lambda self: 1.001 * right(self))
    assert not steps.gradient_check(victim, attack, torch.float64).ok
    monkeypatch.setattr(DoubleBackward, "prior", right)
    theirs = steps.opponent
    monkeypatch.setattr(steps, "opponent", lambda v, a, **more: theirs(v, replace(a, momentum=0.89), **more))
    assert not steps.path_check(victim, attack, 3, 1e-5).ok


def test_leaving_out_the_unread_gradients_changes_no_step():
    victim, attack = release((8, 7), 4, shape=(1, 4, 4)), steps.HaimKKT(subspace="none")
    whole, spare = steps.opponent(victim, attack), steps.opponent(victim, attack, spare=True)
    for _ in range(3):
        whole.step()
        spare.step()
    torch.testing.assert_close(whole.x, spare.x, rtol=1e-12, atol=0)
    torch.testing.assert_close(whole.lam, spare.lam, rtol=1e-12, atol=0)
    assert all(w.grad is not None for w in whole.weights.values())
    assert all(w.grad is None for w in spare.weights.values())


SHAPES = [(m, side, hidden) for m in (2, 10) for side, hidden in ((4, (7,)), (4, (9, 6)), (4, (8, 5, 4)))]
SHAPES += [(500, 32, (900,)), (256, 32, (700, 8))]  # with Gram matrices in the wide layers or without; of many candidates in blocks


@pytest.mark.parametrize(("m", "side", "hidden"), SHAPES)
def test_formula_of_the_operations(m, side, hidden):
    d, n = side * side, 5
    victim = release(hidden, n, shape=(1, side, side), dtype=torch.float32)
    weights = {k: (w[None, None] if k.endswith("bias") else w[None]) for k, w in victim.weights.items()}
    x, lam = torch.randn(1, m, d), torch.rand(1, m)
    labels = ((torch.arange(m) * 2) // m)[None]
    alpha = torch.full((1, 1, 1), 20.0)
    asked = floor.work(lambda: steps.kkt_gradient("binary", "relu", weights, x, lam, labels, alpha, want_loss=False))
    assert asked.flops == floor.step_flops(m, [d, *hidden, 1])
    assert asked.operators > 0
    assert asked.nbytes > 4 * m * d


def test_what_is_written_into_a_given_tensor_counts_once():
    a, out = torch.ones(6), torch.empty(6)
    assert floor.work(lambda: torch.add(a, a, out=out)).nbytes == floor.work(lambda: torch.add(a, a)).nbytes == 3 * 6 * 4


def test_counting_a_step_leaves_set_up_out():
    victim = release((9,), 5, shape=(1, 4, 4))
    one, more = (steps.alone(steps.HaimKKT(subspace="none"), victim, runs) for runs in (1, 3))
    assert step_work(more).flops == 3 * step_work(one).flops > 0
    assert step_work(one, 4) == step_work(one, 2)


def test_samples_are_taken_in_turn_and_summed_up():
    order = []
    taken = interleaved(2, warmup=1, a=lambda: order.append("a") or 1.0, b=lambda: order.append("b") or 2.0)
    assert order == ["a", "b"] * 3
    assert taken["a"].seconds == (1.0, 1.0)
    assert taken["b"].median == 2.0
    assert Samples((1.0, 2.0, 3.0, 4.0)).iqr == 1.5
    assert Samples((1.0, 3.0)).times(10, "run").median == 20.0


def test_verdicts():
    fast, slow = Samples((1.0,)), Samples((10.0,))
    assert Line("k", "w", fast, slow, at_least=10).verdict == "met"
    assert Line("k", "w", fast, slow, at_least=10.1).verdict == "not met"
    assert Line("k", "w", fast, slow, at_least=5, at_most=0.9).verdict == "not met"
    assert Line("k", "w", fast, at_most=1).verdict == "met"
    assert Line("k", "w", fast, slow, at_least=5, checks=(Check("c", math.nan, 1.0),)).verdict == "check failed"
    assert Line("k", "w", fast).verdict == "stated"
    assert Line("k", "w", None, at_least=5).verdict == "not measured"


def test_seconds_to_a_level_lie_between_two_points():
    curve = optimisers.Curve("sgd", (1, 2, 3), (1.0, 2.0, 4.0), (0.0, 0.2, 0.4), (0.0, 0.0, 0.0))
    assert curve.seconds_to(0.3, between=True) == pytest.approx(3.0)
    assert curve.seconds_to(0.1, between=True) == pytest.approx(1.5)
    assert curve.seconds_to(0.3) == 4.0
    assert curve.seconds_to(0.5) is None


def test_seconds_of_a_step_leave_the_set_up_out(monkeypatch):
    set_up = iter([0.1, 0.02])  # taken from each other, calls would say that a step takes less than nothing
    now = [0.0]  # a clock of the test's own: that of a busy machine is set right now and then

    def takes(seconds: float) -> None:
        now[0] += seconds

    def solve(steps: int) -> None:
        takes(next(set_up))
        engine.repeat(lambda: takes(1e-3), steps, torch.device("cpu"))

    monkeypatch.setattr("tests.perf.clock.time", SimpleNamespace(perf_counter=lambda: now[0]))
    for _ in range(2):
        assert problem.step_seconds(solve, 20) == pytest.approx(1e-3, rel=1e-9)
    assert engine.repeat is capture.repeat


def test_training_has_got_there_if_nothing_lies_far_behind():
    size = long_training.FULL

    def contender(name, residual, members, ssim=0.2):
        trained = [SimpleNamespace(residual=residual + 1e-4 * i, seconds=1.0) for i in range(4)]
        found = [[Recovered(members + i, 0, ssim), Recovered(members - i, 0, ssim)] for i in range(4)]
        return long_training.Contender(name, trained, found)

    def verdict(*mine):
        return long_training._line("k", contender("other", *mine), papers, Samples((100.0,)), size, "images").verdict

    papers = contender("gd", 0.3, 20)
    assert long_training.each(papers.found, "members") == [20.0] * 4
    assert verdict(0.3, 20) == verdict(0.2, 30) == verdict(0.305, 17, 0.195) == "met"
    assert verdict(0.31, 20) == verdict(0.3, 14) == verdict(0.3, 20, 0.18) == "check failed"


def test_what_cannot_be_compiled_is_said():
    at = problem.away_from_the_start(release((5,), 2, shape=(1, 3, 3)), HaimKKT(), torch.float32)
    line = compiled.compiled("step-compiled", "gradient", at, steps=1, repeats=1, compiler="no such compiler")
    assert line.verdict == "not measured"
    assert "no such compiler" in line.note


def test_exponents():
    values = [10, 20, 40, 80]
    assert growth.exponent(values, [3e-6 * v**1.5 for v in values]) == pytest.approx(1.5)


def test_table_page_and_raw_timings(parts, tmp_path):
    lines = [line for part in parts.values() for line in part.lines]
    shown = page.terminal(lines)
    assert all(word in shown for word in ("target", "alternative", "ratio", "≥ 3.3×", "≤ 2 GiB"))
    (tmp_path / "perf_gpu.md").write_text("another machine's")
    paths = page.write(list(parts.values()), tmp_path)
    assert all(path.is_file() for path in paths)
    text = paths[0].read_text(encoding="utf-8")
    for line in lines:
        assert f"**{line.what}**: {line.verdict}." in text
    for name in re.findall(r"\((figures/[^)]+|perf[^)]+\.md)\)", text):
        assert (tmp_path / name).is_file(), name
    assert "figures/perf_growth.png" in text
    assert "[perf_gpu.md](perf_gpu.md)" in text
    assert "CPU" not in text.splitlines()[0]
    widths = {row.count(" | ") for row in text.splitlines() if re.match(r"\| \d+ \| ", row)}
    assert len(widths) == 1
    raw = pq.read_table(paths[1])
    assert {"step-f32", "growth-runs"} <= set(raw["key"].to_pylist())
    assert np.isfinite(raw["value"].to_numpy()).all()
    assert b"processor" in raw.schema.metadata
    # the report leaves these pages alone
    from bench.report.markdown import GENERATED

    assert not text.startswith(GENERATED)


def test_a_benchmark_that_fails_is_a_line_and_the_others_run(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(suite, "BENCHMARKS", ("scoring", "training"))
    monkeypatch.setattr(suite, "__package__", "tests.perf")
    from tests.perf import scoring, training

    def broken(size):
        raise RuntimeError("no luck")

    monkeypatch.setattr(training, "run", broken)
    monkeypatch.setattr(scoring, "QUICK", scoring.TOY)
    assert suite.main(["--quick", "--out", str(tmp_path)]) == 1
    text = (tmp_path / "perf.md").read_text(encoding="utf-8")
    assert "failed: RuntimeError: no luck" in text
    assert "SSIM of all pairs" in text
    assert "not measured" in capsys.readouterr().out


def test_a_process_of_its_own_answers(tmp_path):
    made = child.call("synthetic", "write_results", tmp_path, folder=str(tmp_path / "r"), rows=40, images_a_row=4)
    assert made.answer == {"rows": 40, "images": 160, "settings": 1}
    assert list((tmp_path / "r" / "images").glob("*.parquet"))
    assert 10 * 2**20 < made.peak < 2 * 2**30
    with pytest.raises(RuntimeError, match="no_such_chore"):
        child.call("chores", "no_such_chore", tmp_path)


def test_parts_without_figures_render():
    text = page.markdown([Part((Line("k", "a | b", None, note="why"),))], {"processor": "x"})
    assert "a \\| b" in text
    assert "## What bounds a step" not in text


def test_the_command_for_a_card_is_one_that_make_knows():
    from tests.perf.gpu import COMMAND

    program, target = COMMAND.split()
    assert program == "make"
    recipe = re.search(rf"^{target}:.*##.*\n\t(.*)", (suite.ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert recipe is not None
    assert recipe[1].endswith("-m tests.perf --only gpu --page perf_gpu")
