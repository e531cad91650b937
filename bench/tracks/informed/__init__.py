"""The track ``informed``: the attacker knows all training images but one, and is after that one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from bench.api import EXCESS_RECALL, Answering, Headline, Section, Track, TrackWork
from bench.registry import register
from bench.tracks.informed.release import Release, Secret

__all__ = ["Informed", "Release", "Secret"]


@register
class Informed(Track):
    """The attacker knows every training image but one, the recipe and the initial weights, and answers with that image."""

    name: ClassVar[str] = "informed"
    summary: ClassVar[str] = "all training images but one are known; the attack is after that one, in 100 networks"
    tiers: ClassVar[frozenset[str]] = frozenset({"final_weights", "mean_image", "initial_weights", "known_data", "shadow_data"})
    version: ClassVar[int] = 1
    stacks: ClassVar[bool] = False  # the shadows of one target fill the machine; another target brings others
    models: ClassVar[tuple[str, ...]] = ("mlp",)
    no_transplant: ClassVar[str] = "attacks of this track keep what they worked out of the networks, and would read it again"
    # the papers' window is not asked for here, and PSNR is the squared error again
    unpublished: ClassVar[frozenset[str]] = frozenset({"ssim_w3", "psnr"})
    unpublished_of_controls: ClassVar[frozenset[str]] = frozenset({"lpips", "ncc", "mse"})

    headline: ClassVar[Headline] = replace(EXCESS_RECALL, null="pool_recall", null_words="nearest public image")

    def columns(self, table: str) -> Sequence[Any]:
        """See Track."""
        from bench.tracks.informed import columns

        return columns.SCORES if table == "scores" else columns.IMAGES

    def sections(self) -> Sequence[Section]:
        """See Track."""
        from bench.tracks.informed.page import SECTIONS

        return SECTIONS

    def refine(self, images: Any) -> Callable[[Any, Sequence[Mapping[str, Any]]], None]:
        """See Track."""
        from bench.tracks.reconstruction.page.summary import refine

        return refine

    @property
    def answering(self) -> Answering:
        """See Track."""
        from bench.tracks.informed import answering

        return answering

    @property
    def work(self) -> TrackWork:
        """See Track."""
        from bench.tracks.informed import work

        return work
