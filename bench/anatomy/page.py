"""The page of the anatomy, and its figures, from the table alone."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from tabulate import tabulate

from bench.anatomy import figures
from bench.anatomy.portrait import KEEP, KEEP_COORDINATES, REBUILT
from bench.api import KINKED
from bench.report.kit.text import clean
from bench.store import atomic_write

NAMES = {
    "all": "all parameters",
    "units kept": f"informative {KEEP:.0%} of the units (`lime`)",
    "units random": f"random {KEEP:.0%} of the units",
    "units removed": f"the other {1 - KEEP:.0%} of the units",
    "parameters kept": f"most informative {KEEP_COORDINATES:.0%} of the parameters (`constant`)",
    "parameters random": f"random {KEEP_COORDINATES:.0%} of the parameters",
    "parameters removed": f"least informative {KEEP_COORDINATES:.0%} of the parameters",
}


def render(table: pd.DataFrame, folder: Path) -> Path:
    """Writes ``anatomy.md`` and its figures, and returns the page.

    Raises:
        BenchError: the folder cannot be written.
    """
    parts = [
        "# Anatomy",
        "**Question.** What goes on inside the networks under attack: which hidden units fall silent, how far do weights move, and what do "
        "the parts remember? "
        "The detectors are ours, after the idea of Mnemonist (Shahin Shamsabadi, Hayes, Balle, Weller, UAI 2023).",
    ]
    parts += [f"**Answer ({clean(name)}).** {_answer(mine)}" for name, mine in table.groupby("dataset_display", sort=False)]
    parts.append("**Command.** `python -m bench anatomy --dataset NAME`; page and pictures follow from `anatomy.parquet`.")
    for dataset in dict.fromkeys(table["dataset"]):
        mine = table[table["dataset"] == dataset]
        display = str(mine["dataset_display"].iloc[0])
        slug = "".join(c if c.isalnum() else "_" for c in str(dataset))[:40]
        parts.append(f"## {clean(display)}")
        parts += _dynamics(mine, folder, display, slug)
        parts += _portraits(mine, folder, display, slug)
    page = folder / "anatomy.md"
    atomic_write(page, ("\n\n".join(part for part in parts if part) + "\n").encode())
    return page


def _answer(mine: pd.DataFrame) -> str:
    """One data set in a sentence or two: units that are silent, and what comes of the informative half beside a random one."""
    rebuilt = mine[mine["part"] == "rebuilt"]

    def ssim(what: str) -> str:
        own = rebuilt.loc[rebuilt["measure"] == f"mean ssim: {what}", "value"]
        return f"{own.mean():.2f} ({own.min():.2f} to {own.max():.2f})"

    said = [_in_words(_ends(mine[mine["part"] == "dynamics"]))]
    if "mean ssim: all" in set(rebuilt["measure"]):
        which = [f"{ssim(name)} from {NAMES[name]}" for name in REBUILT if name in ("all", "units kept", "units random")]
        said.append(f"A ReLU network's secret images come back with SSIM {', '.join(which)} (mean and range over seeds).")
    return " ".join(text for text in said if text)


def _ends(curves: pd.DataFrame) -> pd.DataFrame:
    """What was measured last, at the end of training."""
    return curves.sort_values("epoch").groupby(["recipe", "activation", "seed", "measure", "index"], sort=False).last().reset_index()


def _figure(folder: Path, name: str, png: bytes | None, alt: str) -> list[str]:
    if png is None:
        return []
    atomic_write(folder / "figures" / name, png)
    return [f"![{alt}](figures/{name})"]


def _dynamics(mine: pd.DataFrame, folder: Path, display: str, slug: str) -> list[str]:
    curves = mine[mine["part"] == "dynamics"]
    if curves.empty:
        return []
    png = figures.dynamics(mine, f"Inside training: {display}")
    alt = f"Hidden units that hardly vary, and distance of the weights from their start against epochs, by activation, {display}"
    ends = _ends(curves)
    lines = []
    for (recipe, activation), own in ends.groupby(["recipe", "activation"], sort=False):

        def mean(measure: str, index: int = 0, own: pd.DataFrame = own) -> float:
            return float(own[(own["measure"] == measure) & (own["index"] == index)]["value"].mean())

        epochs = own[own["measure"] == "loss"]["epoch"]
        lines.append(
            {
                "recipe": recipe,
                "activation": activation,
                "epochs": f"{epochs.min()}" if epochs.min() == epochs.max() else f"{epochs.min()}–{epochs.max()}",
                "loss": f"{mean('loss'):.3f}",
                "never vary": f"{mean('dead'):.0%}",
                "vary < 10 %": f"{mean('quiet'):.0%}",
                "first layer moved": f"{mean('moved'):.3g}",
                "output layer moved": f"{mean('moved', 1):.3g}",
            }
        )
    recipes, names = list(figures.RECIPES), list(dict.fromkeys(curves["activation"]))
    lines.sort(key=lambda line: (recipes.index(line["recipe"]), names.index(line["activation"])))
    count = curves["seed"].nunique()
    return [
        "### Which units fall silent, and how far weights move",
        *_figure(folder, f"anatomy-{slug}-dynamics.png", png, alt),
        f"Means of {count} networks at the end of training. A unit never varies if its activation is the same on all training images "
        "(a ReLU that never fires, above all); the next column counts units whose activations span less than 10 % of the widest span. "
        "Distances are ‖W − W₀‖ over ‖W₀‖. `informed`: the networks of the informed track; `kkt`: those that the KKT attacks are run on.",
        str(tabulate(lines, headers="keys", tablefmt="github", disable_numparse=True)),
    ]


def _in_words(ends: pd.DataFrame) -> str:
    """Whether ReLU units died, and how many hardly vary beside those of smooth activations."""
    said = []
    for recipe in figures.RECIPES:
        own = ends[ends["recipe"] == recipe]

        def shares(measure: str, names: pd.Series, own: pd.DataFrame = own) -> pd.Series:
            return own[(own["measure"] == measure) & names].groupby("activation")["value"].mean()

        dead, quiet = (shares(measure, own["activation"] == "relu") for measure in ("dead", "quiet"))
        smooth = shares("quiet", ~own["activation"].isin(KINKED))
        if dead.empty or quiet.empty:
            continue
        died = "no ReLU unit is dead" if dead.iloc[0] == 0 else f"{dead.iloc[0]:.1%} of the ReLU units are dead"
        beside = f", against {_span(smooth)} with smooth activations" if len(smooth) else ""
        said.append(f"`{recipe}`: {died}, and {quiet.iloc[0]:.0%} hardly vary{beside}.")
    return "At the end of training, " + " ".join(said) if said else ""


def _span(shares: pd.Series) -> str:
    low, high = (f"{value:.0%}" for value in (shares.min(), shares.max()))
    return low if low == high else f"{low} to {high}"


def _portraits(mine: pd.DataFrame, folder: Path, display: str, slug: str) -> list[str]:
    rebuilt = mine[mine["part"] == "rebuilt"]
    if rebuilt.empty:
        return []
    seeds = sorted(rebuilt["seed"].unique())
    parts = ["### What is rebuilt from which parameters"]
    for seed in seeds:
        png = figures.portrait(mine, int(seed), f"A ReLU network and what its parameters remember: {display}")
        alt = f"First-layer weights, redundant ones greyed out, and reconstructions from all, informative and random ones, seed {seed}"
        parts += _figure(folder, f"anatomy-{slug}-relu-{seed}.png", png, alt)
    lines = []
    for measure in REBUILT:
        line = {"reconstructor reads": NAMES[measure]}
        for seed in seeds:
            own = rebuilt[rebuilt["seed"] == seed].set_index("measure")["value"]
            if f"mean ssim: {measure}" in own.index:
                line[f"seed {seed}"] = f"SSIM {float(own[f'mean ssim: {measure}']):.3f}, MSE {float(own[f'mean mse: {measure}']):.4f}"
        lines.append(line)
    return [
        *parts,
        "Means over all images of the target, one secret image a network. The reconstructor is fitted anew on the parameters it reads, "
        "and what is left out is chosen on shadows alone.",
        str(tabulate(lines, headers="keys", tablefmt="github", disable_numparse=True)),
    ]
