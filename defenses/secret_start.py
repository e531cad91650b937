"""A secret start: the weights before training are told to nobody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bench.api import Defense
from bench.registry import register


@register
@dataclass(frozen=True)
class SecretStart(Defense):
    """Withholds the initial weights. The network and its release are otherwise those without a defence.

    So no attack that needs them applies, and those that are left look through the noise of the start. Whoever fine-tunes a public
    checkpoint, or tells the random seed, cannot have it.
    """

    name: ClassVar[str] = "secret_start"
    paper: ClassVar[str] = "own; attacks that need the start are those of Loo et al. (ICLR 2024)"
    version: ClassVar[int | None] = 1
    against: ClassVar[tuple[str, ...]] = ("span_ica", "span_public")
    withholds: ClassVar[frozenset[str]] = frozenset({"initial_weights"})
