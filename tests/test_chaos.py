"""The trial by fire, cut down: two faults, a crash and an attack that works only the second time, through the same code as `make chaos`."""

from __future__ import annotations

import time
from dataclasses import replace

import pandas as pd
import pytest

from tests.chaos.__main__ import torment
from tests.chaos.trial import FIRST, GUILTY, OUTSIDE, SHORT
from tests.chaos.verdict import unexplained


@pytest.mark.slow
@pytest.mark.timeout(900)  # seconds of work, of which a busy machine makes minutes
def test_a_tormented_run_comes_out_whole(tmp_path, capsys):
    code = torment(SHORT, tmp_path, seed=0, deadline=time.monotonic() + 840, mount=False)
    said = capsys.readouterr().out
    assert code == 0, said
    assert "faults injected: 2 (cut off a part of the rows 1×, kill the main process 1×)" in said
    for line in ("cells: 8", "rows lost: 0", "rows doubled: 0", "untrue reasons: 0", "scores that differ from the undisturbed run: 0"):
        assert line in said.splitlines(), said


def row(attack: str, status: str, reason: str = "", width: int = GUILTY) -> dict[str, object]:
    return {"attack": attack, "dataset": "d", "hidden": str(width), "seed": 0, "status": status, "reason": reason}


SEGFAULT = "killed by signal 11 (segmentation fault)"
KILLED = "killed by signal 9 (from outside, as the system does when memory runs out)"


@pytest.mark.parametrize(
    ("rows", "killed", "count"),
    [
        ([row("segfaults", "failed", SEGFAULT), row("mean_image", "ok")], 0, 0),
        ([row("segfaults", "ok")], 0, 1),
        ([row("segfaults", "failed", SEGFAULT, width=48)], 0, 1),
        ([row("segfaults", "failed", "exceeded 20 s")], 0, 1),
        ([row("mean_image", "failed", KILLED)], 0, 1),
        ([row("mean_image", "failed", KILLED), row("heldout_images", "failed", KILLED)], 1, 1),
        ([row("loops", "timeout", "exceeded 20 s"), row("loops", "failed", "exceeded 20 s")], 0, 1),
        ([row("once", "failed", "RuntimeError: not the first time (at once.py:29)")], 0, 1),
    ],
)
def test_a_reason_that_is_not_true_is_found(rows, killed, count):
    trial = replace(SHORT, timeout=20)
    assert len(unexplained(pd.DataFrame(rows), trial, {}, killed)) == count


def test_a_first_failure_is_allowed_for_before_the_second_try():
    rows = pd.DataFrame([row("once", "failed", "RuntimeError: not the first time (at once.py:29)"), row("once", "ok")])
    assert not unexplained(rows, SHORT, FIRST, 0)
    assert OUTSIDE.match(KILLED)
