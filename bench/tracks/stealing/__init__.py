"""The track ``stealing``: a thief copies a network that it can only ask; does the owner's watermark come along?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from bench.api import Track, TrackWork
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
    answer: ClassVar[str] = "answers with a network of finite weights, whose inputs and outputs are the owner's"
    unpublished_of_controls: ClassVar[frozenset[str]] = frozenset({"clean_rate", "query_distance", "gradient_norm"})

    def columns(self, table: str) -> Sequence[Any]:
        """See Track."""
        from bench.tracks.stealing import columns

        return columns.SCORES if table == "scores" else columns.IMAGES

    @property
    def work(self) -> TrackWork:
        """See Track."""
        from bench.tracks.stealing import work

        return work
