"""The informed adversary: shadow networks as one tensor program against a network at a time, and one whole cell with its memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from attacks.informed_adversary import InformedAdversary
from bench import registry, seeds
from bench.api import Setting
from bench.targets import one_missing
from bench.targets.losses import loss_targets, loss_value
from bench.targets.models import forward
from bench.targets.one_missing import Known
from bench.tracks.informed import work as informed

from .child import call, peak_bytes
from .clock import Samples, interleaved, seconds
from .line import Check, Line, Part
from .training import apart

GIB = 2**30


@dataclass(frozen=True)
class Size:
    """Of the networks and the measurement."""

    dataset: str = ""  # empty: MNIST where it is here
    n_per_class: int = 20
    hidden: int = 10
    shadows: int = 3000
    alone: int = 8  # networks of the alternative, timed and scaled
    repeats: int = 3


FULL = Size()
QUICK = Size(shadows=300, alone=3, repeats=1)
TOY = Size(dataset="photo_tiles", n_per_class=4, hidden=4, shadows=30, alone=2, repeats=1)


def run(size: Size) -> Part:
    """Lines for training the shadows, for a cell, and for the cell's memory."""
    setting, display = asked(size.dataset, size.n_per_class, size.hidden)
    release, known = released(setting)
    order = torch.randperm(len(release.shadow_images), generator=torch.Generator().manual_seed(0))[: size.shadows]
    images, labels = release.shadow_images[order], release.shadow_labels[order]
    few = slice(0, size.alone)
    times = interleaved(
        size.repeats,
        warmup=0,
        ours=lambda: seconds(lambda: one_missing.train(known, images, labels)),
        theirs=lambda: seconds(lambda: [alone(known, x, y) for x, y in zip(images[few], labels[few], strict=True)]),
    )
    exact = replace(known, setting=setting.model_copy(update={"dtype": "float64"}))
    ours = one_missing.expand(exact, one_missing.train(exact, images[few], labels[few]), images[few])
    worst = max(
        apart({k: w[i] for k, w in ours.items()}, alone(known, images[i], labels[i], torch.float64)) for i in range(min(2, size.alone))
    )
    shape = "-".join(map(str, [release.known_images[0].numel(), size.hidden, known.architecture.outputs]))  # type: ignore[index]
    n, many = len(known.images), len(images)
    work = one_missing.flops(known.architecture, n, known.epochs) * many
    cells = [call("shadows", "cell", setting=setting.model_dump(mode="json"), shadows=size.shadows) for _ in range(size.repeats)]
    rows = [c.answer for c in cells]
    first = rows[0]
    return Part(
        (
            Line(
                "shadows",
                f"{many} shadow networks {shape} on {n} known images of {display} and one of their own, {known.epochs} epochs, float32, "
                "against one network at a time by autograd in pixel space",
                Samples(times["ours"].seconds, "set of shadows"),
                times["theirs"].times(many / size.alone, "set of shadows", f"{size.alone} networks timed and scaled to {many}"),
                at_most=30.0,
                checks=(Check("weights, float64, relative", worst, 1e-9),),
                note=f"{work / times['ours'].median / 1e9:.0f} GFLOP/s of arithmetic in the span of the images",
            ),
            Line(
                "informed-cell",
                f"one informed-adversary cell on those: {first['networks']} released networks, {many} shadows, reconstructor, scores",
                Samples(tuple(row["seconds"] for row in rows), "cell"),
                at_most=180.0,
                checks=(Check("answers' MSE over that of the nearest public image", first["mse"] / first["pool"], 1.0),)
                if size.shadows >= 1000
                else (),
                note=f"MSE {first['mse']:.4f}, nearest public image {first['pool']:.4f}",
            ),
            Line(
                "informed-memory",
                "peak memory of that cell, libraries included",
                Samples(tuple(float(row["peak"]) for row in rows), "cell"),
                unit="B",
            ),
        )
    )


def asked(dataset: str, n_per_class: int, hidden: int) -> tuple[Setting, str]:
    """The networks, and what the page calls their data set; an empty one is the best that is here."""
    name, display, fields = real_digits() if not dataset else (dataset, dataset, {"classes": 2, "loss": "ce", "lr": 0.05})
    setting = {
        "dataset": name, "n_per_class": n_per_class, "hidden": (hidden,), "bias": "all", "init_scale": None,
        "optimizer": "heavy_ball", "epochs": 500, "stop_loss": 0.05, **fields,
    }  # fmt: skip
    return Setting.model_validate(setting), display


def released(setting: Setting) -> tuple[Any, Known]:
    """What the adversary is given, and what all networks of its recipe share."""
    release: Any = informed.obtain([setting], None)[0].release
    return release, release.train.known


def real_digits() -> tuple[str, str, dict[str, Any]]:
    """The data set, what the page calls it, and the fields of its setting: MNIST where it is, else the embedded tiles."""
    found = not registry.resolve_data("mnist").missing()
    name, fields = ("mnist", {"classes": 10, "lr": 0.2}) if found else ("photo_tiles", {"classes": 2, "lr": 0.05})
    return name, str(registry.resolve_data(name).load().display), {"loss": "ce", **fields}


def alone(known: Known, image: Tensor, label: Tensor, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """One network, trained by autograd and torch.optim.SGD on all pixels: what a script would do."""
    s = known.setting
    weights = {name: w.to(dtype).clone().requires_grad_() for name, w in known.start.items()}
    optimizer = torch.optim.SGD(list(weights.values()), lr=s.lr, momentum=0.9, weight_decay=s.weight_decay)
    x = (torch.cat([known.images, image[None]]).to(torch.float64) - known.mean.double()).to(dtype)
    y = loss_targets(s.loss, torch.cat([known.labels, label[None]]), known.architecture.outputs).to(dtype)
    for _ in range(known.epochs):
        optimizer.zero_grad()
        loss_value(s.loss, forward(known.architecture, weights, x), y).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return {name: w.detach() for name, w in weights.items()}


def cell(setting: dict[str, Any], shadows: int) -> dict[str, float]:
    """A whole cell from nothing, in a process of its own: training, attack, scores."""
    row: dict[str, Any] = {}

    def everything() -> None:
        target = informed.obtain([Setting.model_validate(setting)], None)[0]
        attack = InformedAdversary(shadows=shadows)
        answer = attack.reconstruct(informed.narrow(target.release, attack.needs), seeds.generator("perf"))
        row.update(informed.score(informed.check_answer(answer, target.release), target.secret, bootstrap_seed=0)[0])

    took = seconds(everything)
    return {"seconds": took, "peak": peak_bytes(), "mse": row["mse_mean"], "pool": row["pool_mse_mean"], "networks": row["n_members"]}
