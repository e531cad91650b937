"""Whether a device computes what the CPU computes: attacks, trainings and scores of toy size, captured and as a loop, one after the other.

Each check ends in a line of the file at once, so that what was cut off still says how far it came.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import functools
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from bench import capture, precision, registry
from bench.apart import sandbox
from bench.api import Candidates, Setting, Target
from bench.api.setting import Activation
from bench.engine.provenance import device_name
from bench.memory import is_out_of_memory
from bench.metrics import lpips, ncc, ssim
from bench.registry import ROOT
from bench.targets.cache import TargetCache
from bench.tracks.reconstruction.targets import obtain

CPU = torch.device("cpu")
ACTIVATIONS = get_args(Activation)
STEPS = 12  # of an attack: enough for a capture and its replays, few enough that rounding has not grown
TOLERANCE = 2e-3  # of the largest difference of candidates, in pixel values; and of weights, relative to the largest
SCORES = 1e-4  # of scores, as the pages state it
FOUND = 0.05  # of the mean SSIM of what is found, by attacks in a basis of singular vectors: their signs are another library's
SEED = 100


@dataclass(frozen=True)
class Check:
    """One comparison."""

    name: str
    difference: Callable[[], float]  # the largest, between the device and the CPU
    most: float  # that still counts as the same


def toy(**over: Any) -> Setting:
    """A target that trains in a second."""
    base = {"dataset": "photo_tiles", "n_per_class": 3, "hidden": (24,), "epochs": 60, "lr": 0.05, "init_scale": None, "seed": SEED}
    return Setting(**{**base, **over})


def main(arguments: Sequence[str] | None = None) -> int:
    """0 if all that could be compared is the same."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu.selftest", description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.json")
    given = parser.parse_args(arguments)
    device = torch.device(given.device)
    if device.type == "cuda" and device.index is None:  # the allocator's limit asks for a number
        device = torch.device("cuda", torch.cuda.current_device())
    record: dict[str, Any] = {"device": device_name(device), "torch": torch.__version__, "checks": []}
    with precision.pinned():
        record["precision"] = precision.measured(device)
        for check in checks(device):
            record["checks"].append(outcome(check))
            said = record["checks"][-1]
            print(f"{'well' if said['ok'] else 'FAIL'}  {said['name']}: {said['said']}", flush=True)
            given.out.write_text(json.dumps(record, indent=1), encoding="utf-8")
    return int(not all(said["ok"] for said in record["checks"]))


def outcome(check: Check) -> dict[str, Any]:
    """The check as it went; what is raised is its reason, and the next check still runs."""
    began = time.perf_counter()
    try:
        found = check.difference()
        ok, said = found <= check.most, f"{found:.1e}, at most {check.most:.0e}"
    except Exception as error:
        ok, said = False, f"{type(error).__name__}: {error}".splitlines()[0]
    return {"name": check.name, "ok": ok, "said": said, "seconds": round(time.perf_counter() - began, 2)}


def checks(device: torch.device) -> Iterator[Check]:
    """Training first, for the attacks need targets; then attacks; then scores; what uses up memory last."""
    for activation in ACTIVATIONS:
        yield Check(f"training, {activation}", partial(training, toy(activation=activation), device), TOLERANCE)
    deep = {"adam": toy(optimizer="adam", lr=1e-3), "four classes": toy(classes=4, loss="ce"), "two layers": toy(hidden=(24, 16))}
    for name, setting in {**deep, "cnn": CNN}.items():
        yield Check(f"training, {name}", partial(training, setting, device), TOLERANCE)
    yield Check("training, as a loop", lambda: with_loop(partial(training, toy(), device)), TOLERANCE)
    for name in attacks():
        for on, setting in (("mlp", toy()), ("cnn", CNN), ("four classes", toy(classes=4, loss="ce"))):
            if not unsupported(name, setting):
                same, most = (attacked, TOLERANCE) if in_pixels(name) else (finds, FOUND)
                yield Check(f"{name}, {on}", partial(same, name, setting, device), most)
                if in_pixels(name):
                    yield Check(f"{name}, {on}, as a loop", partial(with_loop, partial(attacked, name, setting, device)), TOLERANCE)
    for activation in ACTIVATIONS:
        yield Check(f"ntk_kkt, {activation}", partial(attacked, "ntk_kkt", toy(activation=activation), device), TOLERANCE)
    yield Check("a stack of runs, against single ones", partial(stacked, device), TOLERANCE)
    for metric in ("ssim", "ncc", "lpips"):
        yield Check(f"scores, {metric}", partial(scored, metric, device), SCORES)
    for walls in ("none", "bwrap"):
        if walls == "none" or not sandbox.works():
            yield Check(f"cells of a grid, attacks in processes of their own, --sandbox {walls}", partial(cells, walls, device), 0.0)
    if device.type == "cuda":
        yield Check("memory runs out, and is said to", partial(full, device), 0.0)


CNN = toy(model="cnn", channels=(4,), kernel=3, hidden=(16,))


@contextlib.contextmanager
def loop() -> Iterator[None]:
    """Steps as a loop, as where a capture is not to be had."""
    before = capture.captured
    capture.captured = lambda device: False  # type: ignore[assignment]
    try:
        yield
    finally:
        capture.captured = before


def with_loop(difference: Callable[[], float]) -> float:
    """A comparison whose device does not capture."""
    with loop():
        return difference()


def attacks() -> list[str]:
    """Those on a network's weights that run for a number of steps."""
    named = []
    for name in registry.entries("attack"):
        cls = registry.get("attack", name)
        if (
            cls.track == "reconstruction"
            and any(field.name == "steps" for field in fields(cls))
            and not cls.needs & {"queries", "input_gradients"}
        ):
            named.append(name)
    return named


def in_pixels(name: str) -> bool:
    """Whether an attack can be told to search in pixels, where both devices follow the same path."""
    return any(field.name == "subspace" for field in fields(registry.get("attack", name)))


def unsupported(name: str, setting: Setting) -> str:
    """Why an attack is not for such a network."""
    return str(registry.get("attack", name)().unsupported(held(setting, CPU).release.architecture))


@functools.cache
def _trained() -> TargetCache:
    """What the CPU has trained, until this process ends."""
    folder = tempfile.TemporaryDirectory(prefix="reconbench-selftest-")
    atexit.register(folder.cleanup)
    return TargetCache(folder.name)


def held(setting: Setting, device: torch.device) -> Target:
    """One and the same network, trained on the CPU, as the track hands it out on a device: its oracle is there, too."""
    obtain([setting], _trained(), CPU)
    return obtain([setting], _trained(), device)[0]


def training(setting: Setting, device: torch.device) -> float:
    """The largest difference of weights, relative to the largest weight of their tensor."""
    here, there = (obtain([setting], None, where)[0].release.weights for where in (CPU, device))
    return max(relative(there[name].to(CPU), w) for name, w in here.items())


def relative(a: Tensor, b: Tensor) -> float:
    """Largest difference as a share of the largest entry of ``b``; inf where it is no number."""
    found = float((a - b).abs().max() / b.abs().max().clamp_min(1e-12))
    return found if math.isfinite(found) else math.inf


def images(answer: Any) -> Tensor:
    """Candidates with or without confidence, on the CPU."""
    return (answer.images if isinstance(answer, Candidates) else answer).to(CPU)


def attacked(name: str, setting: Setting, device: torch.device) -> float:
    """The largest difference of candidates on one and the same network, in pixel values."""
    attack = registry.get("attack", name)(steps=STEPS, subspace="none")
    here, there = (images(attack.reconstruct(held(setting, on).release, torch.Generator().manual_seed(SEED))) for on in (CPU, device))
    found = float((here - there).abs().max())
    return found if math.isfinite(found) else math.inf


def finds(name: str, setting: Setting, device: torch.device) -> float:
    """The difference in how near it comes to the members, in SSIM, on average."""
    members, found = held(setting, CPU).secret.members.float(), []
    for where in (CPU, device):
        answer = registry.get("attack", name)().reconstruct(held(setting, where).release, torch.Generator().manual_seed(SEED))
        found.append(float(ssim.ssim_matrix(members, images(answer).float().clamp(0, 1)).amax(1).mean()))
    return abs(found[0] - found[1])


def stacked(device: torch.device) -> float:
    """Candidates of three runs in a stack against those of the runs alone, both on the device."""
    cls = registry.get("attack", "haim_kkt")
    release = held(toy(init_scale=1e-2), device).release
    runs = [cls(steps=STEPS, lr=lr) for lr in (0.005, 0.01, 0.02)]
    generators = [torch.Generator().manual_seed(SEED + i) for i in range(3)]
    together = cls.reconstruct_batch(runs, [release] * 3, generators)
    alone = [run.reconstruct(release, torch.Generator().manual_seed(SEED + i)) for i, run in enumerate(runs)]
    return max(float((images(a) - images(b)).abs().max()) for a, b in zip(together, alone, strict=True))


def scored(metric: str, device: torch.device) -> float:
    """All pairs of a few images."""
    some = held(toy(), CPU).secret
    a, b = some.members.float(), some.controls.float()
    if metric == "lpips" and (why := lpips.unavailable()):
        raise RuntimeError(why)
    function = {"ssim": ssim.ssim_matrix, "ncc": ncc.ncc_matrix, "lpips": lpips.lpips_pairs}[metric]
    here, there = (function(a.to(where), b.to(where)) for where in (CPU, device))
    return float((torch.as_tensor(here).to(CPU) - torch.as_tensor(there).to(CPU)).abs().max())


def cells(walls: str, device: torch.device) -> float:
    """How many cells of a toy grid end otherwise than well on the device, by the command that users type.

    Raises:
        RuntimeError: some do; with the reason of the first.
    """
    words = ["--grid", "quick", "--seeds", "0,1", "--set", "dataset=photo_tiles", "--set", "epochs=60", "--set", "hidden=[24]"]
    asked = ["haim_kkt", "span_ica", "mean_image"]
    with tempfile.TemporaryDirectory() as home:
        words += [word for name in asked for word in ("--attack", name)]
        words += ["--device", device.type, "--sandbox", walls, "--out", f"{home}/results", "--json"]
        environment = {**os.environ, "RECONBENCH_HOME": home}
        done = subprocess.run([sys.executable, "-m", "bench", "run", *words], cwd=ROOT, env=environment, capture_output=True, text=True)
    said = json.loads(done.stdout or "{}")
    if done.returncode or said["failures"]:
        raise RuntimeError(str(said.get("failures") or " ".join(done.stderr.split())[-300:]))
    return float(2 * len(asked) - said["cells"]["ok"])


def full(device: torch.device) -> float:
    """1 unless a stack that does not fit raises what the engine halves stacks on, and a smaller one goes through afterwards."""
    cls = registry.get("attack", "haim_kkt")
    release = held(toy(init_scale=1e-2, hidden=(256,)), device).release
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(2e-3, device)  # 160 MiB of 80 GiB
    try:
        cls.reconstruct_batch([cls(steps=STEPS, subspace="none")] * 4096, [release] * 4096, [torch.Generator()] * 4096)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        torch.cuda.empty_cache()
        cls.reconstruct_batch([cls(steps=STEPS)], [release], [torch.Generator()])
        return 0.0
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
    return 1.0


if __name__ == "__main__":
    raise SystemExit(main())
