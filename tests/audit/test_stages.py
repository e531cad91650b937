"""How long an audit will take: a guess at first, then by the pace of what has been done; and no line on standard output."""

from __future__ import annotations

import pytest

from bench.audit import stages
from bench.audit.audit import plan
from bench.audit.stages import GUESSED, READING, SEARCH, TRAINING, Lines, Stages


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def planned(clock, names=("span_ica", "signed_kkt"), runs=1, cls=Stages, positive=False):
    found = cls(clock)
    found.plan(plan(list(names), runs, []), positive)
    return found


def test_at_first_the_guesses_count(clock):
    found = planned(clock)
    rest = found.seconds_left() - GUESSED[READING] - GUESSED["span_ica"] - SEARCH - GUESSED["model_inversion"]
    assert 0 < rest < 2  # the other controls
    assert planned(clock, positive=True).seconds_left() == pytest.approx(found.seconds_left() + GUESSED[TRAINING] + 3 + SEARCH)
    assert planned(clock, ["signed_kkt"], runs=5).seconds_left() > 5 * SEARCH


def test_it_falls_by_the_second_while_a_stage_runs(clock):
    found = planned(clock)
    found.begin(READING)
    before = found.seconds_left()
    clock.now = 2.0
    assert found.seconds_left() == pytest.approx(before - 2)
    clock.now = 500.0  # longer than was guessed: the others are still to do
    assert found.seconds_left() == pytest.approx(before - GUESSED[READING])


def test_a_slow_machine_is_noticed(clock):
    found = planned(clock)
    before = found.seconds_left()
    found.begin(READING)
    clock.now = 100 * GUESSED[READING]
    found.begin("span_ica")
    assert found.seconds_left() > 10 * before
    assert "min left" in found.words()


def test_what_is_not_needed_takes_no_time_and_at_the_end_none_is_left(clock):
    found = planned(clock, positive=True)
    before = found.seconds_left()
    found.drop("signed_kkt")
    assert found.seconds_left() == pytest.approx(before - 2 * SEARCH), "on the positive control neither"
    for name in list(found._left):
        found.begin(name)
    found.end()
    assert (found.seconds_left(), found.done) == (0, 1)


def test_a_line_says_what_is_left_where_something_long_begins(clock, capsys):
    found = planned(clock, cls=Lines)
    found.begin("signed_kkt")
    found.note("signed_kkt: running")
    found.note("signed_kkt: 100 candidates, 9.0 s")
    out, err = capsys.readouterr()
    assert out == ""
    first, second = err.splitlines()
    assert first.startswith("signed_kkt: running (about ")
    assert first.endswith(" s left)")
    assert second == "signed_kkt: 100 candidates, 9.0 s"


@pytest.mark.parametrize(("terminal", "term", "drawn"), [(True, "xterm", True), (True, "dumb", False), (False, "xterm", False)])
def test_a_line_is_rewritten_on_a_terminal_alone(terminal, term, drawn, monkeypatch):
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal, raising=False)
    found = stages.choose()
    found.close()
    assert isinstance(found, stages.Line) == drawn


def test_the_rewritten_line_goes_to_standard_error(monkeypatch, capsys):
    monkeypatch.setenv("TERM", "xterm")
    found = stages.Line()
    found.plan(plan(["span_ica"], 1, []), False)
    found.begin("span_ica")
    found.note("span_ica: running")
    found.close()
    out, err = capsys.readouterr()
    assert out == ""
    assert "span_ica: running" in err
