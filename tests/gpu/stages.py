"""What is done on a device, in this order: facts, self-test, timings, then grids for as long as there is time.

Standard library only: it is read before anything is installed.
"""

from __future__ import annotations

from dataclasses import dataclass

# of a grid whose searches are stacks of minutes, what ends before them: a stack that is cut off leaves no row
FIRST = ("span_ica", "span_ica_change", "mean_image", "heldout_images", "pool_mean", "first_layer_weights", "row_kmeans")
GRACE = 15.0  # seconds that a run has to write what is finished once it is told to stop


@dataclass(frozen=True)
class Stage:
    """One command, ``python -m …``."""

    name: str
    command: tuple[str, ...]
    share: float  # of the time that is left when it begins
    once: bool = True  # done again only where it was not finished; a grid goes on where it stopped, and asks the store

    def seconds(self, left: float) -> float:
        """What it may take; the grace stays free at the end."""
        return max(0.0, min(left * self.share, left - GRACE))


def stages(out: str, device: str = "cuda") -> list[Stage]:
    """All of them; what they write lies under ``out``.

    Args:
        device: the tests take "cpu".
    """

    def grid(name: str, *more: str, share: float, part: str = "") -> Stage:
        command = ("bench", "run", "--grid", name, *more, "--device", device, "--out", f"{out}/results/{name}")
        return Stage(f"grid {name}{part}", command, share, once=False)

    frontier = ("--scale", "full", "--set", "n_per_class=250")
    first = [word for name in FIRST for word in ("--attack", name)]

    return [
        Stage("doctor", ("bench", "doctor"), 0.1),
        Stage("self-test", ("tests.gpu.selftest", "--device", device, "--out", f"{out}/selftest.json"), 0.4),
        Stage("timings", ("tests.perf", "--only", "gpu", "--page", "perf_gpu", "--out", f"{out}/results"), 0.4),
        grid("frontier", *frontier, *first, share=0.4, part=", spans first"),
        grid("frontier", *frontier, share=0.5),
        grid("haim2022", "--scale", "full", share=0.6),
        grid("mnemonist2023", "--scale", "full", share=1.0),
    ]
