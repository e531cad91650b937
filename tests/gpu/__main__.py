"""`make gpu`: everything that this project wants to know of a CUDA device, in so many minutes, with no network.

Cut off at any second, what was finished lies in the folder; told to go on there, it does only the rest. Standard library only, for a bare
machine has nothing else before the wheels are in.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .stages import GRACE, Stage, stages

ROOT = Path(__file__).resolve().parent.parent.parent
NEEDED = ("torch", "numpy", "scipy", "pandas", "pyarrow", "matplotlib", "PIL", "skimage")  # too large for a bundle
OLDEST = (2, 11)  # PyTorch whose CUDA graphs and precision settings this was written for


def main(arguments: Sequence[str] | None = None) -> int:
    """0: every stage ended well; 1: one failed or was cut off, and the log says which; 2: this machine cannot run it."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu", description=__doc__)
    parser.add_argument("--minutes", type=float, default=8.0, help="all together (default: 8)")
    parser.add_argument("--bundle", type=Path, default=ROOT / "gpu-bundle", metavar="FOLDER", help="what `make gpu-bundle` filled")
    parser.add_argument("--out", type=Path, default=ROOT / "gpu-out", metavar="FOLDER", help="everything that is made (default: gpu-out)")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu tries the script itself, where there is no device")
    parser.add_argument("--only", nargs="+", metavar="STAGE", help="some of the stages, by the first word or the whole name")
    given = parser.parse_args(arguments)
    end = time.monotonic() + 60 * given.minutes
    out = given.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    environment = surroundings(os.environ, given.bundle.absolute(), out)
    fault = install(given.bundle.absolute() / "wheels", out / "site-packages") or unfit(environment, given.device)
    if fault:
        print(fault, file=sys.stderr)
        return 2
    chosen = [stage for stage in stages(str(out), given.device) if not given.only or {stage.name, stage.name.split()[0]} & set(given.only)]
    return 0 if go_through(chosen, out, end, environment) else 1


def surroundings(before: Mapping[str, str], bundle: Path, out: Path) -> dict[str, str]:
    """The environment of every stage: wheels and data of the bundle, a store of its own, no TF32 by the back door."""
    after = dict(before)
    after["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), str(out / "site-packages"), before.get("PYTHONPATH", ""))))
    after["RECONBENCH_HOME"] = str(out / "home")
    after["PYTHONUNBUFFERED"] = "1"
    after.pop("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", None)
    if (bundle / "data").is_dir():
        after.setdefault("BENCH_DATA", str(bundle / "data"))
    weights = out / "home" / "weights"
    if (bundle / "weights").is_dir() and not weights.exists():
        weights.parent.mkdir(parents=True, exist_ok=True)
        weights.symlink_to(bundle / "weights", target_is_directory=True)
    return after


def install(wheels: Path, site: Path) -> str:
    """Puts the wheels beside, where there are any and they are not there yet; what went wrong, or nothing."""
    mark = site / ".installed"
    if not wheels.is_dir() or mark.exists():
        return ""
    files = sorted(map(str, wheels.glob("*.whl")))
    words = ["install", "--quiet", "--no-index", "--no-deps", "--no-compile", "--disable-pip-version-check", "--target", str(site)]
    done = subprocess.run([sys.executable, "-m", "pip", *words, *files], capture_output=True, encoding="utf-8", errors="replace")
    if done.returncode:
        return f"the wheels in {wheels} do not go in:\n{done.stderr.strip()}\nThey are for one Python: make gpu-bundle GPU_PYTHON=3.12"
    mark.touch()
    return ""


def unfit(environment: Mapping[str, str], device: str) -> str:
    """Why this machine cannot go through the stages; nothing where it can."""
    code = (
        "import importlib.util, json; "
        f"missing = [name for name in {NEEDED!r} if importlib.util.find_spec(name) is None]; "
        "torch = None if 'torch' in missing else __import__('torch'); "
        "print(json.dumps([missing, torch and torch.__version__, bool(torch and torch.cuda.is_available())]))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=dict(environment), capture_output=True, encoding="utf-8", errors="replace")
    if done.returncode:
        return f"{sys.executable} does not start:\n{done.stderr.strip()}"
    missing, version, cuda = json.loads(done.stdout.splitlines()[-1])
    if missing:
        return f"{sys.executable} has no {', '.join(missing)}: these are too large for a bundle, and the machine must bring them"
    if device == "cuda" and not cuda:
        return (
            f"PyTorch {version} sees no CUDA device. Install a CUDA build (https://pytorch.org/get-started), or try the script: DEVICE=cpu"
        )
    if tuple(int(part) for part in version.split("+")[0].split(".")[:2]) < OLDEST:
        return f"PyTorch {version} is older than {'.'.join(map(str, OLDEST))}"
    return ""


def go_through(chosen: Sequence[Stage], out: Path, end: float, environment: Mapping[str, str]) -> bool:
    """Each stage as a process of its own, its output in ``out/NAME.log``, a line in ``out/stages.jsonl`` when it ends.

    Returns:
        Whether all of them ended well.
    """
    record = out / "stages.jsonl"
    finished = {line["stage"] for line in lines_of(record) if line["rc"] == 0}
    well = True
    for stage in chosen:
        if stage.once and stage.name in finished:
            print(f"{stage.name}: done before", flush=True)
            continue
        limit = stage.seconds(end - time.monotonic())
        if limit <= 0:
            print(f"{stage.name}: no time is left", flush=True)
            well = False
            continue
        print(f"{stage.name}: at most {limit:.0f} s …", end=" ", flush=True)
        began = time.monotonic()
        code = run(stage.command, out / f"{stage.name.replace(',', '').replace(' ', '-')}.log", limit, environment)
        shown = " ".join(stage.command).replace(str(out), "gpu-out")
        line = {"stage": stage.name, "command": shown, "rc": code, "seconds": round(time.monotonic() - began, 1)}
        with record.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        print(f"{line['seconds']} s, {'well' if code == 0 else 'cut off' if code is None else f'exit code {code}'}", flush=True)
        well = well and code == 0
    return well


def run(command: Sequence[str], log: Path, limit: float, environment: Mapping[str, str]) -> int | None:
    """Its exit status; None: it was told to stop at the limit (as by Ctrl-C: finished rows are kept), and killed after the grace."""
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=ROOT, env=dict(environment), stdout=file, stderr=file, stdin=subprocess.DEVNULL,
            start_new_session=True, preexec_fn=_heed_interrupts,
        )  # fmt: skip
        for wait, tell in ((limit, signal.SIGINT), (GRACE, signal.SIGKILL)):
            try:
                code = process.wait(wait)
                return code if tell is signal.SIGINT else None
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, tell)
        process.wait()
    return None


def _heed_interrupts() -> None:
    """What a shell starts in the background ignores interrupts, and so would what it starts itself."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def lines_of(record: Path) -> list[dict[str, Any]]:
    """What the record says; a last line that was cut off says nothing."""
    found = []
    for line in record.read_text(encoding="utf-8").splitlines() if record.exists() else []:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


if __name__ == "__main__":
    sys.exit(main())
