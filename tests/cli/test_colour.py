"""Colour for whoever looks at a terminal that has some, and the same text without for everybody else."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_grid import clean_registry, write_grid, write_plugin  # noqa: F401

ROOT = Path(__file__).resolve().parents[2]
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
SHOWN = "from bench import streams; streams.prepare(); from bench.colour import show; "
SHOWN += r"show([('good', 'good'), (' and \x1b[31mplain\x07', '')])"


def seen(words: list[str], **env: str) -> str:
    """What a command prints in a terminal."""
    own, theirs = pty.openpty()
    whole = {**{k: v for k, v in os.environ.items() if k != "NO_COLOR"}, "PYTHONPATH": str(ROOT), "COLUMNS": "120", **env}
    with subprocess.Popen([sys.executable, *words], stdout=theirs, stderr=subprocess.DEVNULL, stdin=theirs, env=whole) as process:
        os.close(theirs)
        found = b""
        try:
            while part := os.read(own, 65536):
                found += part
        except OSError:  # it has closed the terminal
            pass
        assert process.wait(280) == 0
    os.close(own)
    return found.decode()


@pytest.mark.parametrize(("env", "coloured"), [({"TERM": "xterm-256color"}, True), ({"TERM": "dumb"}, False), ({"TERM": ""}, False)])
def test_a_terminal_gets_colour_unless_it_is_dumb(env, coloured):
    text = seen(["-c", SHOWN], **env)
    assert bool(COLOUR.search(text)) is coloured
    assert COLOUR.sub("", text).strip() == "good and plain"
    assert "\x1b[31m" not in text, "the colour of a stranger's text is not ours"


def test_no_color_is_respected_and_pipes_get_none():
    assert seen(["-c", SHOWN], TERM="xterm-256color", NO_COLOR="1").strip() == "good and plain"
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}
    assert subprocess.run([sys.executable, "-c", SHOWN], capture_output=True, text=True, env=env).stdout.strip() == "good and plain"


def test_a_run_ends_with_the_plot_and_the_page_and_json_with_json_alone(tmp_path):
    grid = write_grid(tmp_path, "mean_image")
    plugin = write_plugin(tmp_path)
    words = ["-m", "bench", "run", "--grid", str(grid), "--plugin", str(plugin), "--sandbox", "off", "--out", str(tmp_path / "out")]
    text = seen(words, TERM="xterm-256color")
    plain = COLOUR.sub("", text).splitlines()
    assert COLOUR.search(text)
    assert any("noise" in line and "●" in line for line in plain)
    assert any("mean_image (control)" in line and "○" in line for line in plain)
    assert plain[-1] == f"read {tmp_path / 'out' / 'tiny.md'}"
    assert json.loads(seen([*words, "--json"], TERM="xterm-256color"))["grid"] == "tiny"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    piped = subprocess.run([sys.executable, *words], capture_output=True, text=True, env=env, timeout=280).stdout
    assert "●" not in piped
    assert "noise" in piped
