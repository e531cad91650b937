"""The track ``reconstruction``: one network is attacked for all its training images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from bench.api import Answering, Section, Track, TrackWork
from bench.registry import register
from bench.tracks.reconstruction.release import Release, Secret

__all__ = ["Reconstruction", "Release", "Secret"]


@register
class Reconstruction(Track):
    """One network, attacked for all its training images."""

    name: ClassVar[str] = "reconstruction"
    summary: ClassVar[str] = "one network, attacked for all its training images"
    required: ClassVar[tuple[str, ...]] = ("quick",)
    protocol: ClassVar[str] = "v2"  # of ``score``; v1: `sides` says what was wrong with it
    tiers: ClassVar[frozenset[str]] = frozenset(
        {"final_weights", "mean_image", "initial_weights", "public_images", "query_labels", "queries", "input_gradients"}
    )

    def columns(self, table: str) -> Sequence[Any]:
        """See Track."""
        from bench.tracks.reconstruction import columns

        return columns.SCORES if table == "scores" else columns.IMAGES

    def sections(self) -> Sequence[Section]:
        """See Track."""
        from bench.tracks.reconstruction.page import SECTIONS

        return SECTIONS

    def refine(self, images: Any) -> Callable[[Any, Sequence[Mapping[str, Any]]], None]:
        """See Track."""
        from bench.tracks.reconstruction.page.summary import refine

        return refine

    @property
    def answering(self) -> Answering:
        """See Track."""
        from bench.tracks.reconstruction import answering

        return answering

    @property
    def work(self) -> TrackWork:
        """See Track."""
        from bench.tracks.reconstruction import work

        return work
