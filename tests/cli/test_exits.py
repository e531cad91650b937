"""The exit code of a run follows from how it ended."""

from __future__ import annotations

import pytest

from bench.cli.exits import of_run
from bench.engine.run import Summary


@pytest.mark.parametrize(
    ("ended", "code"),
    [
        ({"ok": 4}, 0),
        ({"ok": 2, "cached": 1, "skipped": 1}, 0),
        ({"ok": 3, "failed": 1}, 2),
        ({"ok": 3, "left": 1, "out_of_budget": True}, 2),
        ({"ok": 3, "left": 1, "interrupted": True}, 130),
        ({"ok": 2, "failed": 1, "left": 1, "interrupted": True}, 130),
    ],
)
def test_a_run_exits_with_what_became_of_its_cells(ended, code):
    assert of_run(Summary("tiny", 4, **ended)) == code
