"""What would have helped: from the rows of the published grid of defences, or nothing."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.api import Setting
from bench.audit.advice import UNMEASURED, advice
from bench.audit.helped import helped
from bench.audit.verdict import LEAKS
from bench.store import publish

sys.path.insert(0, str(Path(__file__).parent.parent / "report"))  # for `fake`

import fake

BOARD = (
    ("none", "none", {}, None, 0.9, 0.8),
    ("kept 4", "span_noise", {"keep": 4}, "span_public", 0.05, 0.8),
    ("8 bits", "rounding", {"bits": 8}, "span_completed", 0.1, 0.8),  # the attack that knows of it is not there
)


def published(folder: Path) -> Path:
    rows = []
    for index, (label, name, params, against, chance, accuracy) in enumerate(BOARD):
        for seed in range(8):
            setting = Setting(dataset="photo_tiles", n_per_class=10, seed=seed, defense=name, defense_params=params)
            rows.append(
                fake.cell(
                    "defenses", "span_public", setting, {"defence": label}, index, (chance, 0.02),
                    defense_against=against, test_accuracy=accuracy,
                )[0]
            )  # fmt: skip
    publish(rows, [], folder)
    return folder


def test_effective_defences_are_named_with_what_is_left_and_their_cost(tmp_path):
    first, last = helped(published(tmp_path))
    assert "span noise: use it (kept 4); the strongest attack finds" in first
    assert "accuracy lost 0.00" in first
    assert last.endswith("rounding."), "no attack that knows of it was run"


def test_without_rows_nothing_is_said(tmp_path):
    assert helped(tmp_path) == []


def test_what_rows_say_takes_the_place_of_the_sentence_that_there_are_none():
    facts = {"initial": True, "runs": 20, "labelled": True}
    assert UNMEASURED in advice(LEAKS, **facts)
    assert UNMEASURED not in advice(LEAKS, **facts, known=True)
