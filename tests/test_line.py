"""Waiting for a server: said after a while, given up in the end, and never in the way of what answers."""

from __future__ import annotations

import threading
import time

import pytest

from bench import line


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "PATIENCE", 0.5)
    monkeypatch.setattr(line, "WORD", 0.1)


def test_answers_and_errors_come_through(capsys: pytest.CaptureFixture[str]) -> None:
    one = line.Line("somewhere")
    assert one.call(lambda: 7) == 7
    for error in (FileNotFoundError("none"), TimeoutError("the library's own"), KeyboardInterrupt()):

        def fails(error: BaseException = error) -> None:
            raise error

        with pytest.raises(type(error)) as caught:
            one.call(fails)
        assert caught.value is error
    assert one.call(lambda: 8) == 8
    assert capsys.readouterr().err == ""


def test_a_slow_answer_is_waited_for_and_the_reader_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    one, found = line.Line("somewhere"), []
    threads = [threading.Thread(target=lambda: found.append(one.call(lambda: time.sleep(0.3)))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [None] * 8
    assert capsys.readouterr().err == "waiting for somewhere, 0.5 s at most\n"


def test_silence_ends_a_call_and_those_after_it_until_the_answer_comes() -> None:
    one, wakes, asked = line.Line("somewhere"), threading.Event(), []
    began = time.monotonic()
    with pytest.raises(TimeoutError, match=r"no answer in 0\.5 s$"):
        one.call(wakes.wait)
    assert 0.4 < time.monotonic() - began < 5
    with pytest.raises(TimeoutError, match="to what was asked before"):
        one.call(lambda: asked.append(1))
    assert asked == []
    assert line.Line("elsewhere").call(lambda: 7) == 7
    wakes.set()
    time.sleep(0.2)
    assert one.call(lambda: 8) == 8


def test_what_takes_long_on_a_line_that_works_is_given_longer() -> None:
    one = line.Line("somewhere")
    assert one.call(lambda: time.sleep(0.8), times=20) is None
    with pytest.raises(TimeoutError, match="no answer in 1 s"):
        one.call(lambda: time.sleep(3), times=2)
