"""What the terminal cannot show, and who has stopped listening, ends no command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
from tiny_grid import clean_registry, write_grid, write_plugin  # noqa: F401

from bench import streams
from bench.cli import app, main
from bench.say import plain

pytestmark = pytest.mark.usefixtures("clean_registry")
ROOT = Path(__file__).resolve().parents[2]
COMMANDS = typer.main.get_command(app).commands
C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
TERMINALS = [{"PYTHONIOENCODING": name} for name in ("cp1252", "latin-1", "ascii")] + [C_LOCALE]


def shell(line: str, folder: Path, **env: str) -> subprocess.CompletedProcess:
    """A line of sh in which ``bench`` is this program."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), **env}
    script = f'bench() {{ "{sys.executable}" -m bench "$@"; }}\n{line}'
    return subprocess.run(["sh", "-c", script], cwd=folder, env=env, capture_output=True, timeout=300)


@pytest.fixture(scope="module")
def every(tmp_path_factory):
    """A command line of each command that ends well, and the folder in which it does."""
    folder = tmp_path_factory.mktemp("every")
    grid = folder / "größe ×2.yaml"  # a name that no narrow terminal can show
    write_grid(folder).rename(grid)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECONBENCH_HOME", str(folder / "home"))
        assert main(["run", "--grid", str(grid), "--out", str(folder / "out ×")]) == 0
    run = f"run --grid '{grid}' --out '{folder}/out ×'"
    lines = {
        "run": run,
        "ls": "ls",
        "info": "info schema",
        "report": f"report --out '{folder}/out ×'",
        "site": f"site --results '{folder}/out ×' --out '{folder}/site ×'",
        "claims": f"claims --out '{folder}/out ×'",
        "score": f"score --out '{folder}/out ×'",
        "check": "check mean_image",
        "merge": f"merge '{folder}/out ×' --into '{folder}/merged ×'",
        "doctor": "doctor",
        # what would take long is refused, which is said in as many words
        "audit": "audit 'größe ×.pth'",
        "anatomy": "anatomy --dataset 'größe ×'",
        "ridge": "ridge --dataset 'größe ×'",
        "fetch": "fetch 'größe ×'",
        "verify": "verify --grid 'größe ×'",
        "submit": "submit 'größe ×.py' --by × --contact × --licence MIT",
    }
    assert set(lines) == set(COMMANDS)
    return folder, lines


REFUSED = ("audit", "anatomy", "ridge", "fetch", "submit", "verify")


@pytest.fixture
def home(every, monkeypatch):
    """One store for all lines: the cells that ``every`` has run."""
    store = every[0] / "home"
    monkeypatch.setenv("RECONBENCH_HOME", str(store))
    return store


# (terminal, redirection, exit code): every command on the strictest terminal, and what the light ones do everywhere, which is the same for
# all. On a full disk the others run one after the other in one process, which loads PyTorch once.
FULL = ({"PYTHONIOENCODING": "ascii"}, ">/dev/full", 1)
CLOSED = [(">/dev/full 2>&1", 1), (">&-", 0), (">&- 2>&-", 0), ("2>/dev/full", 0), ("<&- >&- 2>&-", 0), ("| true", 0), (">/dev/null", 0)]
LIGHT = ("ls", "info", "fetch")
WAYS = [(name, C_LOCALE, "", 0) for name in COMMANDS] + [(name, *FULL) for name in LIGHT]
WAYS += [(name, terminal, "", 0) for name in LIGHT for terminal in TERMINALS[:-1]]
WAYS += [(name, {}, *way) for name in ("ls", "fetch") for way in CLOSED] + [("run", {}, "<&- >&- 2>&-", 0)]


@pytest.mark.parametrize(("name", "terminal", "output", "code"), WAYS)
def test_every_command_on_every_terminal_and_without(every, home, name, terminal, output, code):
    folder, lines = every
    done = shell(f"{{ bench {lines[name]}; echo $? >&3; }} 3>code {output}", folder, **terminal)
    assert int((folder / "code").read_text()) == (1 if name in REFUSED else code), done.stderr
    for fault in (b"Traceback", b"unexpected", b"Exception ignored", b"UnicodeEncodeError"):
        assert fault not in done.stderr
    if code == 1 and "2>&1" not in output and name not in REFUSED:
        assert b"what was printed could not be written" in done.stderr
        assert b"No space left" in done.stderr
    assert done.stdout or name in REFUSED or output not in ("", "2>/dev/full")


IN_TURN = """
import io, json, os, shlex, sys

full, codes = os.open("/dev/full", os.O_WRONLY), {}
from bench.cli import main

for name, line in json.loads(sys.argv[1]).items():
    os.dup2(full, 1)  # the command before has turned it away
    sys.stdout = sys.__stdout__ = io.TextIOWrapper(io.FileIO(1, "wb", closefd=False), encoding="ascii")  # as a process begins
    codes[name] = main(shlex.split(line))
    print(name, "ENDS", file=sys.stderr, flush=True)
os.write(3, json.dumps(codes).encode())
os._exit(0)
"""


@pytest.fixture(scope="module")
def on_a_full_disk(every):
    """Command → exit code and what it says, where standard output has no room."""
    folder, lines = every
    heavy = {name: line for name, line in lines.items() if name not in LIGHT}
    (folder / "in_turn.py").write_text(IN_TURN, encoding="utf-8")
    words = f"'{sys.executable}' in_turn.py \"$LINES_IN_JSON\" 3>codes"
    done = shell(words, folder, PYTHONIOENCODING="ascii", LINES_IN_JSON=json.dumps(heavy), RECONBENCH_HOME=str(folder / "home"))
    codes, rest, said = json.loads((folder / "codes").read_text(encoding="utf-8")), done.stderr.decode("ascii"), {}
    for name in heavy:
        said[name], _, rest = rest.partition(f"{name} ENDS\n")
    return {name: (codes[name], said[name]) for name in heavy}


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in LIGHT])
def test_every_command_says_that_the_disk_is_full(on_a_full_disk, name):
    code, said = on_a_full_disk[name]
    assert code == 1
    for fault in ("Traceback", "unexpected", "Exception ignored", "UnicodeEncodeError"):
        assert fault not in said
    if name not in REFUSED:
        assert "what was printed could not be written" in said
        assert "No space left" in said


@pytest.mark.parametrize("words", ["--help", "--version", "run --help"])
def test_help_too(tmp_path, words):
    done = shell(f"bench {words}", tmp_path, **C_LOCALE)
    assert (done.returncode, done.stderr) == (0, b"")
    assert shell(f"bench {words} >/dev/full", tmp_path).returncode == 1


def test_json_is_the_same_on_every_terminal(every, home):
    folder, lines = every
    done = shell(f"bench {lines['run']} --json", folder, **C_LOCALE)
    assert json.loads(done.stdout.decode("ascii"))["cells"]["cached"] == 4, done.stderr
    plan = shell(f"bench {lines['run']} --dry-run --json", folder, PYTHONIOENCODING="cp1252")
    assert json.loads(plan.stdout.decode("ascii"))["counts"]["cached"] == 4
    assert shell(f"bench {lines['run']} --json 2>&-", folder).stdout.startswith(b"{")  # what is for stderr does not go there instead


def test_characters_become_what_a_reader_makes_of_them(tmp_path):
    code = "from bench import streams\nstreams.prepare()\nprint('32\\u00d732 \\u2265 \\u03bb\\u1d62 \\u00e9 \\udcff')"
    for encoding, wanted in (("ascii", b"32x32 >= lambda_i \\xe9 \xff\n"), ("cp1252", b"32\xd732 >= lambda_i \xe9 \xff\n")):
        env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding}
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, timeout=60)
        assert done.stdout == wanted, done.stderr
    assert all(text.isascii() and not char.isascii() for char, text in streams.ASCII.items())


@pytest.mark.parametrize(("workers", "closed"), [("", ""), ("", "2>/dev/full"), ("", "2>&-"), ("-j 2", "2>&-")])
def test_what_an_attack_prints_is_no_fault_of_the_attack(tmp_path, bench_home, workers, closed):
    plugin = write_plugin(tmp_path, "loud", "import sys\nprint('≥ é \\udce9')\nprint('é' * 9999, file=sys.stderr)\n" + NOISE)
    words = f"run --grid '{write_grid(tmp_path, 'loud')}' --plugin '{plugin}' --out out --seeds 0 --json {workers}"
    done = shell(f"bench {words} {closed}", tmp_path, PYTHONIOENCODING="ascii")
    assert json.loads(done.stdout)["cells"]["ok"] == 2, done.stderr


NOISE = "return torch.rand(4, *release.mean_image.shape, generator=generator)"


def test_a_reader_that_leaves_changes_no_exit_code(tmp_path, bench_home):
    plugin = write_plugin(tmp_path, "bad", "raise ValueError('my own fault')")
    words = f"run --grid '{write_grid(tmp_path)}' --plugin '{plugin}' --out out --seeds 0"
    done = shell(f"{{ bench {words}; echo $? >&3; }} 3>code | true", tmp_path)
    assert (tmp_path / "code").read_text().strip() == "2"
    assert b"run just these again" in done.stderr


ORDERS = "\x1b]0;title\x07\x1b[2J\x1b[31m\x1bc\x9b1m\x9d0;x\x07\r\x08\x00\u202e"


def test_no_terminal_takes_orders_from_what_is_printed(tmp_path):
    """A name, a warning and a message that hold some, and a print of a library's; what is meant to be read is all there."""
    (tmp_path / "a.py").write_text(
        "import sys, warnings\nfrom bench import streams\nfrom bench.say import say\nstreams.prepare()\n"
        f"orders = {ORDERS!r}\nprint('name\\t' + orders + '.png')\nsay('said ' + orders + 'to')\nwarnings.warn('warned ' + orders + 'of')\n"
        "sys.stdout.writelines(['lines ' + orders, 'end\\n'])\nraise ValueError('raised ' + orders + 'so')\n"
    )
    done = shell(f'"{sys.executable}" a.py', tmp_path, PYTHONIOENCODING="utf-8")
    out, err = done.stdout.decode(), done.stderr.decode()
    assert out == "name\t.png\nlines end\n"
    for words in ("said to", "warned of", "raised so"):
        assert words in err
    assert all(character.isprintable() or character in "\n\t" for character in out + err)
    assert "\u202e" not in out + err


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("plain, × and é\n\t", "plain, × and é\n\t"),
        ("a\x1b]0;never ended", "a]0;never ended"),
        ("\x9dnever ended", "never ended"),
        ("x\x1b]y\nz\x07", "x]y\nz"),
        ("a\x1b[1;31mb\x9b0mc\x1b(Bd\x1b]8;;http://x\x1b\\e\x1b[", "abcde["),
    ],
)
def test_what_is_taken_out(text, kept):
    """An order that does not end takes no words with it: a name could hide what a message says after it."""
    assert plain(text) == kept


@pytest.mark.parametrize("words", [("ls", "--plugin", "{name}"), ("check", "{name}"), ("report", "--out", "{name}"), ("audit", "{name}")])
def test_a_name_that_holds_orders_gives_none(capsys, words):
    assert main([word.format(name=f"x{ORDERS}.py".replace("\x00", "")) for word in words]) == 1
    said = capsys.readouterr()
    assert all(character.isprintable() or character in "\n\t" for character in said.out + said.err)


def test_a_bar_still_moves(tmp_path):
    """On a terminal; and what it says of cells gives no orders."""
    (tmp_path / "a.py").write_text(
        "from bench import streams\nstreams.prepare()\nfrom bench.engine.progress import Bar\nbar = Bar()\nbar.start(2)\n"
        f"bar.stage({ORDERS!r} + 'stage')\nbar.finished('cell', 'failed', {ORDERS!r} + 'reason')\nbar.close()\n"
    )
    controller, terminal = os.openpty()
    subprocess.run(
        [sys.executable, "a.py"],
        cwd=tmp_path,
        stderr=terminal,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"},
        check=True,
        timeout=120,
    )
    os.close(terminal)
    seen = b""
    try:
        while block := os.read(controller, 65536):
            seen += block
    except OSError:  # the end, as Linux tells it
        pass
    os.close(controller)
    assert b"reason" in seen
    assert b"\x1b[" in seen  # moved
    assert not any(order in seen for order in (b"title", b"\x1b[2J", b"\x1bc", b"\x08"))
