"""The grid, in two sizes, and what must come of every cell.

Networks and attacks compute in float64: how many runs go together changes the last digits of a float32 score, and who is killed when
changes how many go together.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from . import plugins

GRID = """
name: chaos
title: A tormented grid
question: Does every cell end in one true row, whatever happens?
base: {{n_per_class: 4, weight_decay: 0.003, lr: 0.02, epochs: 1000, init_scale: 1e-4, dtype: float64}}
axes:
  network:
{networks}
seeds: {seeds}
attacks:
{attacks}
"""

GUILTY = 64  # hidden units of the networks on which plug-ins misbehave
MEMORY = re.compile(r"MemoryError|can't allocate memory|not enough memory")
OUTSIDE = re.compile(r"^(training: )?killed by signal 9 \(from outside, as the system does when memory runs out\)$")

# attack → status and reason on the guilty shape, after its first failure and after `--retry failed`; those not listed here succeed
REASONS = {
    "allocates": ("failed", MEMORY),
    "segfaults": ("failed", re.compile(r"^killed by signal 11 \(segmentation fault\)$")),
    "leaves": ("failed", re.compile(r"^ended its process with exit code 0$")),
    "raises": ("failed", re.compile(r"^ValueError: it never works \(at raises\.py:\d+\)$")),
}
FIRST = {"once": ("failed", re.compile(r"^RuntimeError: not the first time \(at once\.py:\d+\)$"))}


@dataclass(frozen=True)
class Trial:
    """A grid and how it is run."""

    networks: tuple[tuple[str, int], ...]  # data set and hidden units
    seeds: int
    real: tuple[str, ...]  # entries of the grid's list of attacks
    bad: tuple[str, ...]  # names of plug-ins
    deck: tuple[str, ...]  # the faults, in any order
    timeout: int  # seconds, for --timeout
    printed: int  # MiB, by the attack that prints
    memory: int = 3 * 2**30  # address space of each process, bytes
    disk: int = 64 * 2**20  # size of the small disk, bytes

    @property
    def reasons(self) -> dict[str, tuple[str, re.Pattern[str]]]:
        """Attack → the status and the reason that its guilty cells must end with."""
        return {**REASONS, "loops": ("timeout", re.compile(f"^exceeded {self.timeout} s$"))}

    def write(self, folder: Path) -> tuple[Path, list[Path]]:
        """The grid's file and those of the plug-ins."""
        files = [plugins.write(folder, name, GUILTY) for name in self.bad]
        attacks = "\n".join(f"  - {entry}" for entry in (*self.real, *self.bad))
        networks = "\n".join(f"    - {{label: {data} {h}, set: {{dataset: {data}, hidden: [{h}]}}}}" for data, h in self.networks)
        path = folder / "chaos.yaml"
        path.write_text(GRID.format(networks=networks, seeds=self.seeds, attacks=attacks), encoding="utf-8")
        return path, files


RANGES = "{lr: {low: 0.01, high: 0.1, scale: log}, sigma: {low: 0.001, high: 0.01, scale: log}}"
FULL = Trial(
    networks=(("lfw_faces", GUILTY), ("photo_tiles", 48)),
    seeds=2,
    real=(
        "{name: haim_kkt, params: {steps: 300, dtype: float64}}",
        f"{{name: haim_kkt, params: {{steps: 200, dtype: float64}}, sweep: {{runs: 3, ranges: {RANGES}}}}}",
        "{name: regression_kkt, params: {steps: 200, dtype: float64}}",
        "mean_image",
        "heldout_images",
        "first_layer_weights",
        "model_inversion",
    ),
    bad=("loops", "allocates", "segfaults", "prints", "leaves", "raises", "once"),
    deck=(
        *["kill a worker"] * 6,
        *["kill the main process"] * 4,
        *["fill the disk"] * 2,
        *["cut off a target"] * 2,
        *["cut off a reconstruction"] * 2,
        *["cut off a part of the rows"] * 2,
        *["move the clock"] * 6,
    ),
    timeout=20,
    printed=1024,
)
SHORT = Trial(
    networks=(("lfw_faces", 48), ("lfw_faces", GUILTY)),
    seeds=1,
    real=("{name: haim_kkt, params: {steps: 100, dtype: float64}}", "mean_image"),
    bad=("segfaults", "once"),
    deck=("kill the main process", "cut off a part of the rows"),
    timeout=120,
    printed=0,
)
