"""The command that a run prints to go on: what was typed, whatever the option, less what is meant for once."""

from __future__ import annotations

import re
import shlex
import sys
import typing

import pytest
import typer.main
from hypothesis import given
from hypothesis import strategies as st
from tiny_grid import clean_registry, write_grid, write_plugin  # noqa: F401

from bench.cli import again as resume
from bench.cli import app, run, score

pytestmark = pytest.mark.usefixtures("clean_registry")
COMMANDS = typer.main.get_command(app).commands
WORDS = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), min_size=1, max_size=12) | st.sampled_from(
    ["channels=[8, 16]", "--json", "--retry", "a b", "it's", "$HOME", "-1", "="]
)
NUMBERS = {int: st.integers(-9, 99).map(str), int | None: st.integers(-9, 99).map(str), float | None: st.floats(0, 9).map(str)}
TYPES = {"run": typing.get_type_hints(run.run), "score": typing.get_type_hints(score.score)}


def options(name):
    """Every option of a command, as its parser knows it."""
    return [param for param in COMMANDS[name].params if param.name != "help"]


@st.composite
def typed(draw, name):
    """A command line of any of the command's options, in any order, as one word or two."""
    words = ["--grid", draw(WORDS)]
    for param in draw(st.lists(st.sampled_from(options(name)))):
        option = draw(st.sampled_from(param.opts))
        if param.is_flag:
            words.append(option)
            continue
        value = draw(NUMBERS.get(TYPES[name][param.name], WORDS))
        joined = draw(st.booleans())
        sign = "=" if option.startswith("--") else ""
        words += [f"{option}{sign}{value}"] if joined else [option, value]
    return words


def parsed(name, words):
    context = COMMANDS[name].make_context(name, list(words), obj=[name, *words])
    return context, context.params


@pytest.mark.parametrize("name", ["run", "score"])
@given(data=st.data())
def test_no_option_is_ever_forgotten(name, data):
    """The printed line, read by a shell and by the same parser, means the same."""
    context, meant = parsed(name, data.draw(typed(name)))
    again = shlex.split(resume.typed_again(context))
    assert again[:4] == ["python", "-m", "bench", name]
    _, repeated = parsed(name, again[4:])
    _, plain = parsed(name, ["--grid", "quick"])
    once = {param.name: plain[param.name] for param in options(name) if set(param.opts) & set(resume.ONCE)}
    assert repeated == {**meant, **once}


def test_options_meant_for_once_are_options():
    assert set(resume.ONCE) <= {option for param in options("run") for option in param.opts}


def test_the_name_of_the_program_is_the_one_that_was_typed(monkeypatch):
    context, _ = parsed("run", ["--grid", "quick"])
    for program, wanted in (("/usr/bin/reconbench", "reconbench run"), ("C:/reconbench.exe", "reconbench run")):
        monkeypatch.setattr(sys, "argv", [program, "else"])
        assert resume.typed_again(context).startswith(f"{wanted} --grid quick")
    monkeypatch.setattr(sys, "argv", ["/somewhere/bench/__main__.py"])
    assert resume.typed_again(context) == "python -m bench run --grid quick"


def test_a_run_that_fails_says_all_that_was_typed(bench, tmp_path):
    plugin, grid = write_plugin(tmp_path, "bad", "raise ValueError('my own fault')"), write_grid(tmp_path)
    typed = ["--grid", grid, f"--plugin={plugin}", "--memory", "1.5", "--set", "hidden=[8, 8]", "--seeds", "0", "-j1", "--device=cpu"]
    code, _, err = bench("--debug", "run", *typed[:2], "--json", "--no-cache", *typed[2:], "--retry=failed")
    assert code == 2, err
    command = re.search(r"python -m bench (run .*)", err)[1]
    assert shlex.split(command) == ["run", *map(str, typed), "--retry", "failed"]
    assert bench(*shlex.split(command))[0] == 2


def test_an_interrupted_score_says_how_to_go_on(bench, tmp_path, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    bench("run", "--grid", write_grid(tmp_path), "--out", tmp_path / "a")
    monkeypatch.setattr("bench.engine.rescore.rescore", interrupted)
    code, _, err = bench("score", "--grid", "tiny", "--out", tmp_path / "a")
    assert (code, err.splitlines()[-1].strip()) == (130, f"python -m bench score --grid tiny --out {tmp_path / 'a'}")
