"""Attacks that misbehave on one of the grid's shapes, and answer the mean image on the others: innocent cells beside guilty ones.

With ``CHAOS_CALM`` in the environment they answer the mean image everywhere.
"""

from __future__ import annotations

from pathlib import Path

ATTACK = '''"""A plug-in of the trial by fire."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import ClassVar

from bench.api import Attack
from bench.registry import register

GUILTY = {width}  # hidden units of the networks on which it misbehaves


@register
@dataclass(frozen=True)
class {cls}(Attack):
    """{what}"""

    name: ClassVar[str] = "{name}"
    paper: ClassVar[str] = "none: a test"
    role: ClassVar[str] = "control"
    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[str]] = frozenset({{"final_weights", "mean_image"}})

    def reconstruct(self, release, generator):
        if len(release.weights["layers.0.weight"]) == GUILTY and "CHAOS_CALM" not in os.environ:
            {body}
        return release.mean_image.expand(4, -1, -1, -1).clone()
'''

LOOPS = """
while True:
    pass
"""

ALLOCATES = """
import torch
held = []
while True:
    held.append(torch.ones(2**24))
"""

SEGFAULTS = """
import ctypes
ctypes.string_at(0)
"""

PRINTS = """
for _ in range(int(os.environ["CHAOS_PRINTED_MIB"])):
    os.write(1, b"y" * 2**20)
"""

LEAVES = """
os._exit(0)
"""

RAISES = """
raise ValueError("it never works")
"""

ONCE = """
from pathlib import Path
mark = Path(os.environ["CHAOS_MARKS"]) / f"{generator.initial_seed():x}"
if not mark.exists():
    mark.touch()
    raise RuntimeError("not the first time")
"""

BODIES = {
    "loops": (LOOPS, "Loops for ever."),
    "allocates": (ALLOCATES, "Allocates without end."),
    "segfaults": (SEGFAULTS, "Reads at address 0."),
    "prints": (PRINTS, "Prints a great deal, which is no fault."),
    "leaves": (LEAVES, "Ends its process as if all were well."),
    "raises": (RAISES, "Raises an exception."),
    "once": (ONCE, "Raises an exception when it is first tried on a target, and never again."),
}


def write(folder: Path, name: str, width: int) -> Path:
    """The file of one of them.

    Args:
        width: hidden units of the networks on which it misbehaves.
    """
    body, what = BODIES[name]
    text = ATTACK.format(name=name, cls=name.title(), what=what, width=width, body=body.strip().replace("\n", "\n            "))
    path = folder / f"{name}.py"
    path.write_text(text, encoding="utf-8")
    return path
