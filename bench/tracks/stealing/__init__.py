"""The track ``stealing``: a thief copies a network that it can only ask; does the owner's watermark come along?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from bench.api import Answering, Headline, Section, Share, Track, TrackWork
from bench.registry import register
from bench.tracks.stealing.release import Network, Networks, Oracle, Release, Secret

__all__ = ["Network", "Networks", "Oracle", "Release", "Secret", "Stealing"]


@register
class Stealing(Track):
    """A thief copies a network that it can only ask, and the question is whether planted labels come along."""

    name: ClassVar[str] = "stealing"
    summary: ClassVar[str] = "a thief copies a network that it can only ask: do planted labels come along?"
    tiers: ClassVar[frozenset[str]] = frozenset({"public_images", "shadow_data", "query_labels", "queries", "input_gradients"})
    version: ClassVar[int] = 1
    protocol: ClassVar[str] = "v2"  # of ``score``: 100 clean networks beside each owner; v1: 20
    no_transplant: ClassVar[str] = "copies are set against the same clean networks in every cell, so there is no chance to test against"
    answer: ClassVar[str] = "answers with a network of finite weights, whose inputs and outputs are the owner's"
    unpublished_of_controls: ClassVar[frozenset[str]] = frozenset({"clean_rate", "query_distance", "gradient_norm"})
    headline: ClassVar[Headline] = Headline(
        "transfer_excess",
        "transfer − clean",
        "planted labels that came along\n(thief − clean networks)",
        "planted labels that came along (share of the thief's − share of clean networks')",
        share=Share("planted_transfer", ("n_members",), "planted labels"),
        less=Share("planted_transfer_clean", ("n_members", "n_clean"), ""),
        counted=("planted labels", "by clean networks", ""),
        per_cent="planted labels",
        picture="transfer",
        caption="Planted labels that came along",
    )

    def columns(self, table: str) -> Sequence[Any]:
        """See Track."""
        from bench.tracks.stealing import columns

        return columns.SCORES if table == "scores" else columns.IMAGES

    def sections(self) -> Sequence[Section]:
        """See Track."""
        from bench.tracks.stealing.page import SECTIONS

        return SECTIONS

    def refine(self, images: Any) -> Callable[[Any, Sequence[Mapping[str, Any]]], None]:
        """See Track."""
        from bench.tracks.stealing.page.summary import refine

        return refine(images)

    @property
    def answering(self) -> Answering:
        """See Track."""
        from bench.tracks.stealing import answering

        return answering

    @property
    def work(self) -> TrackWork:
        """See Track."""
        from bench.tracks.stealing import work

        return work
