"""What is flagged, verified and open follows from the intervals of both sides; and the table of it reads as it was written."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import BenchError
from bench.metrics.intervals import Interval, difference_of
from bench.store.verified import COLUMNS, FILE, VERDICTS, Verified, add_verified, load_verified
from bench.verify.again import disagreement
from bench.verify.verdict import MARGIN, MOST, judged, worst


def rows(hits: list[int], control_hits: int = 1, n: int = 20, **more) -> list[dict]:
    """Score rows, one a seed, with so many members and controls found of n."""
    return [
        {
            "track": "reconstruction", "status": "ok", "reason": "", "n_members": n, "n_controls": n, "seed": seed,
            "recall_members": h / n, "recall_controls": control_hits / n, "excess_recall": (h - control_hits) / n, **more,
        }
        for seed, h in enumerate(hits)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("public", "blind", "verdict"),
    [
        ([18, 19, 18], [18, 18, 19], "verified"),
        ([18, 19, 18], [20, 20, 20], "verified"),  # better there is no fault
        ([20, 20, 20], [1, 0, 2], "flagged"),
        ([20, 20], [1, 1], "flagged"),
        ([10, 9, 11], [1, 2, 1], "flagged"),
        ([10, 9, 11], [6, 5, 6], "open"),
        ([8, 2, 12], [3, 9, 1], "open"),  # too uneven to rule an inflation out
        ([18], [18], "open"),  # a single seed
        ([], [18, 18, 18], "open"),
        ([0, 0, 0], [0, 0, 0], "verified"),
    ],
)
def test_the_verdict(public, blind, verdict):
    one = judged(rows(public), rows(blind))
    assert one.verdict == verdict, one
    assert bool(one.reason) == (verdict != "verified")
    if one.difference:
        assert (one.verdict == "flagged") == (one.difference.low > MARGIN)
        assert one.verdict != "verified" or one.difference.high <= MOST
        assert one.difference.estimate == pytest.approx((np.mean(public) - np.mean(blind)) / 20)


def test_many_settings_need_more_to_be_flagged():
    public, blind = rows([12, 11, 12]), rows([6, 6, 6])
    alone, among = judged(public, blind), judged(public, blind, settings=50)
    assert alone.difference.estimate == among.difference.estimate
    assert among.difference.low < alone.difference.low


def test_cells_that_failed_there_fail_the_attack_and_skipped_ones_do_not():
    lost = [*rows([18, 18]), {**rows([0])[0], "status": "failed", "reason": "ValueError: no", "excess_recall": None}]
    assert judged(rows([18, 18, 18]), lost).verdict == "failed"
    assert "1 of 3 blind cells have no scores: ValueError: no" in judged(rows([18] * 3), lost).reason
    skipped = [{**row, "status": "skipped", "reason": "a cnn", "excess_recall": None} for row in rows([0, 0])]
    assert (judged([], skipped).verdict, judged([], skipped).reason) == ("open", "it does not run there: a cnn")


def test_a_fault_counts_whatever_the_numbers_say():
    assert judged(rows([18] * 3), rows([18] * 3), fault=("flagged", "other numbers")).verdict == "flagged"


def test_a_headline_without_shares_is_compared_by_its_seeds():
    def of(values: list[float]) -> list[dict]:
        return [{"track": "membership", "status": "ok", "reason": "", "membership_auc": v, "seed": i} for i, v in enumerate(values)]

    assert judged(of([0.8, 0.81, 0.8]), of([0.5, 0.51, 0.5])).verdict == "flagged"
    assert judged(of([0.8, 0.81, 0.8]), of([0.8, 0.79, 0.8])).verdict == "verified"


def test_the_worst_counts_for_all():
    assert worst(["verified", "open"]) == "open"
    assert worst(["flagged", "open", "verified"]) == "flagged"
    assert worst(["flagged", "failed"]) == "failed"


def test_a_difference_of_two_intervals():
    found = difference_of(Interval(0.5, 0.2, 0.6), Interval(0.1, 0.0, 0.5))
    assert found == pytest.approx((0.4, 0.4 - 0.5, 0.4 + 0.1 * 2**0.5))
    rng = np.random.default_rng(0)  # of normal means it is the interval of Student and Welch for many values
    a, b = rng.normal(1.0, 2.0, 400), rng.normal(0.2, 1.0, 900)
    sides = [Interval(x.mean(), *(x.mean() + d * 1.96 * x.std(ddof=1) / len(x) ** 0.5 for d in (-1, 1))) for x in (a, b)]
    half = 1.96 * (a.var(ddof=1) / 400 + b.var(ddof=1) / 900) ** 0.5
    assert difference_of(*sides) == pytest.approx((a.mean() - b.mean(), a.mean() - b.mean() - half, a.mean() - b.mean() + half))


def test_other_numbers_of_a_kept_answer_are_found():
    before = rows([18])[0]
    names = ["excess_recall", "recall_members", "recall_controls"]
    assert disagreement(before, dict(before), names) == ""
    changed = {**before, "recall_members": 0.85, "excess_recall": 0.8}
    assert "excess_recall was 0.85, and is 0.8" in disagreement(before, changed, names)
    assert disagreement({**before, "device": "cuda: NVIDIA"}, changed, names) == "", "one image of twenty"
    assert disagreement({**before, "device": "cuda: NVIDIA"}, {**before, "recall_members": 0.0}, names)
    assert "excess_recall was 0.85, and is None" in disagreement(before, {**before, "excess_recall": None}, names)


texts = st.text(st.characters(blacklist_categories=["C", "Z"]), max_size=20)


@given(st.lists(st.tuples(*[texts] * len(COLUMNS)), max_size=4), st.sampled_from(VERDICTS))
def test_the_table_reads_as_it_was_written(tmp_path_factory, found, verdict):
    folder = tmp_path_factory.mktemp("table")
    written = [dataclasses.replace(Verified(*values), verdict=verdict, attack="a" + values[0]) for values in found]
    add_verified(folder, written)
    last = {row.key: row for row in written}
    assert {row.key: row for row in load_verified(folder)} == last
    before = (folder / FILE).read_bytes()
    add_verified(folder, written[::-1] if len(last) == len(written) else [])
    assert (folder / FILE).read_bytes() == before


def test_a_table_that_is_none_is_one_message(tmp_path):
    assert load_verified(tmp_path) == []
    head = ",".join(COLUMNS)
    for content in (
        b"\xff\xfe",
        b"attack,verdict\nx,brilliant\n",
        b"attack\nx\n",
        f'{head}\n"open'.encode(),
        f"{head}\n,verified\n".encode(),
    ):
        (tmp_path / FILE).write_bytes(content)
        with pytest.raises(BenchError, match="no table of verified rows"):
            load_verified(tmp_path)
    (tmp_path / FILE).write_text("attack,verdict,later\nx,verified,1\n")
    assert [(row.attack, row.verdict, row.grid) for row in load_verified(tmp_path)] == [("x", "verified", "")]


def test_what_a_plug_in_says_is_one_line_and_moves_no_terminal(tmp_path):
    add_verified(tmp_path, [dataclasses.replace(Verified(*["x"] * len(COLUMNS)), verdict="failed", reason='a\r\nb\x1b[31m, "c"')])
    assert len((tmp_path / FILE).read_text().splitlines()) == 2
    assert [row.reason for row in load_verified(tmp_path)] == ['a  b [31m, "c"']
