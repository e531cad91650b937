"""The leaderboard ranks verified attacks first and flagged ones last; without a table of them it is as it was."""

from __future__ import annotations

import dataclasses
import re

import fake
import legible_page
import pytest
from test_board import FAR, NEAR, excess, page_of

from bench import report
from bench.report import board, verified
from bench.store import publish
from bench.store.verified import COLUMNS, Verified, add_verified

ROW = Verified(*[""] * len(COLUMNS))


def row(attack: str, verdict: str, **more: str) -> Verified:
    facts = {"track": "reconstruction", "attack_version": "1", "attack_params": "{}", "grid": "one", "setting": "{}", "date": "2026-01-01"}
    return dataclasses.replace(ROW, attack=attack, verdict=verdict, **{**facts, "salt_digest": "0" * 16, **more})


@pytest.fixture
def page():
    attacks = {"strong": [0.5], "middle": [0.4], "weak": [0.3], "mean_image": [0.1]}
    rows, _ = fake.grid("one", "weight_decay", [0.0], attacks, seeds=5, thumbnails=False)
    values = {("strong", 0): FAR, ("middle", 0): [0.4, 0.4, 0.45, 0.35, 0.4], ("weak", 0): [0.3, 0.3, 0.35, 0.25, 0.3]}
    return page_of(excess(rows, values | {("mean_image", 0): NEAR}))


def shown(text: str) -> list[tuple[str, str]]:
    """Attacks of the board in order, and the word in their last column."""
    lines = [line for line in text.splitlines() if line.startswith("| [")]
    return [(re.match(r"\| \[(\w+)\]", line)[1], line.rsplit("|", 2)[1].strip()) for line in lines if "weight" in line or "0.0" in line]


def test_without_rows_nothing_changes(page):
    text = board.page([page], None)
    assert text == board.page([page], None, [])
    assert "training images are withheld; none is yet" in text
    assert [name for name, _ in shown(text)][:3] == ["strong", "middle", "weak"]
    assert "the furthest **strong**" in text


def test_verified_first_flagged_last_with_the_reason(page):
    rows = [row("weak", "verified"), row("strong", "flagged", reason="clearly worse on blind targets, by more than 0.1")]
    text = board.page([page], None, rows)
    assert shown(text)[:3] == [("weak", "yes"), ("middle", "no"), ("strong", "flagged")]
    assert "*Flagged*: strong: clearly worse on blind targets, by more than 0.1." in text
    assert "of those verified the furthest **weak**" in text
    assert "2 of 2 attacks are ahead" in text
    assert "Flagged: 1." in text
    assert legible_page.opening_faults(text) == []


def test_a_row_counts_for_the_version_that_is_shown_and_the_latest_does(page):
    def words(*rows: Verified) -> dict[str, str]:
        return dict(shown(board.page([page], None, rows))[:3])

    assert words(row("strong", "verified", attack_version="2"))["strong"] == "no"
    assert words(row("strong", "verified", track="informed"))["strong"] == "no"
    assert words(row("strong", "flagged"), row("strong", "verified", date="2026-02-01", salt_digest="1" * 16))["strong"] == "yes"
    assert words(row("strong", "verified", date="2026-02-01"), row("strong", "flagged", salt_digest="1" * 16))["strong"] == "yes"
    assert words(row("strong", "verified"), row("strong", "open", setting='{"dataset": "x"}'))["strong"] == "open"
    assert words(row("strong", "verified"), row("strong", "flagged", setting='{"dataset": "x"}'))["strong"] == "flagged"
    assert words(row("strong", "failed"))["strong"] == "open"


def test_what_others_wrote_is_escaped(page):
    rows = [row("strong", "flagged", reason="[x](http://y) | **z**\n\x1b[31m")]
    _, text = verified.notes(verified.standings([page], rows))
    assert "\n" not in text
    assert "\x1b" not in text
    assert "[x](http://y)" not in text


def test_a_folder_with_such_rows_is_rendered_again(tmp_path):
    rows, images = fake.grid("quick", "weight_decay", [0.0], {"haim_kkt": [0.5], "mean_image": [0.1]}, seeds=3)
    publish(rows, images, tmp_path)
    report.render(tmp_path)
    before = (tmp_path / "leaderboard.md").read_text()
    assert "none is yet" in before
    add_verified(tmp_path, [row("haim_kkt", "verified", grid="quick")])
    report.render(tmp_path, only_if_changed=True)
    after = (tmp_path / "leaderboard.md").read_text()
    assert "none is yet" not in after
    assert "| yes |" in after
    report.render(tmp_path, only_if_changed=True)
    assert (tmp_path / "leaderboard.md").read_text() == after


def test_a_row_of_another_source_does_not_count(page):
    verified_row = row("weak", "verified", attack_source="aaaabbbbccccdddd")
    assert dict(shown(board.page([page], None, [verified_row])))["weak"] == "yes"  # rows that do not tell their source
    for source, word in (("aaaabbbbccccdddd", "yes"), ("1111222233334444", "no")):
        page.rows["attack_source"] = source
        assert dict(shown(board.page([page], None, [verified_row])))["weak"] == word
