"""A grid and plug-in attacks so small that a whole run takes a fraction of a second. Imported by the tests of the engine and of the CLI."""

from __future__ import annotations

from pathlib import Path

import pytest

HEAD = """
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from bench.api import Attack, Candidates
from bench.registry import register
"""

ATTACK = '''

@register
@dataclass(frozen=True)
class {cls}(Attack):
    """A test attack."""

    name: ClassVar[str] = "{name}"
    paper: ClassVar[str] = "none: a test"
    needs: ClassVar[frozenset[str]] = frozenset({{"final_weights", "mean_image"}})

    scale: float = 0.1

    def reconstruct(self, release, generator):
        {body}
'''

NOISE = "return (release.mean_image + self.scale * torch.randn(4, *release.mean_image.shape, generator=generator)).clamp(0, 1)"

# after an attack: more than two runs at once are more than memory holds
GREEDY = """
    @classmethod
    def reconstruct_batch(cls, attacks, releases, generators):
        if len(attacks) > 2:
            torch.empty(2**60)
        return [a.reconstruct(r, g) for a, r, g in zip(attacks, releases, generators)]
"""

GRID = """
name: tiny
title: Tiny
question: Does the engine work?
base: {{dataset: lfw_faces, n_per_class: 2, hidden: [8], epochs: 5}}
axes:
  weight_decay: [0, 0.01]
seeds: 2
attacks: [{attacks}]
{more}
"""


def write_plugin(folder: Path, name: str = "noise", body: str = NOISE, before: str = "", after: str = "") -> Path:
    """A plug-in file with one attack whose ``reconstruct`` has this body."""
    path = folder / f"{name}.py"
    cls = "".join(part.title() for part in name.split("_"))
    path.write_text(HEAD + before + ATTACK.format(name=name, cls=cls, body=body.replace("\n", "\n        ")) + after)
    return path


def write_grid(folder: Path, attacks: str = "mean_image", more: str = "") -> Path:
    """A grid file of two weight decays and two seeds with these attacks."""
    path = folder / "tiny.yaml"
    path.write_text(GRID.format(attacks=attacks, more=more))
    return path


@pytest.fixture
def clean_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plug-ins that a test loads are gone after it."""
    from bench import registry

    monkeypatch.setattr(registry, "_plugins", {})


@pytest.fixture
def no_transplants(monkeypatch: pytest.MonkeyPatch) -> None:
    """No seed meets a transplant in this process: for tests that count runs."""
    from bench.engine import canary

    monkeypatch.setattr(canary, "REMAINDER", canary.ONE_OF)
