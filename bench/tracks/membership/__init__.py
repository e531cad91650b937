"""The track ``membership``: members and controls lie on the table, and the question is which images the network was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from bench.api import Answering, Headline, Section, Track, TrackWork
from bench.registry import register
from bench.tracks.membership.release import Release, Secret

__all__ = ["Membership", "Release", "Secret"]


@register
class Membership(Track):
    """The attacker gets images, half of which were trained on, and answers with a score for each: the higher, the more likely a member."""

    name: ClassVar[str] = "membership"
    summary: ClassVar[str] = "which of these images was the network trained on?"
    tiers: ClassVar[frozenset[str]] = frozenset({"final_weights", "mean_image"})
    answer: ClassVar[str] = "answers with a finite score for each candidate"
    headline: ClassVar[Headline] = Headline(
        "membership_auc",
        "membership AUC",
        "membership AUC\n(0.5: chance)",
        "membership AUC (how often a member scores above a control; 0.5: chance)",
        low=0.0,
        chance=0.5,
        picture="membership",
        caption="Members told from controls",
        ranked=("n_members", "n_controls"),
    )

    def columns(self, table: str) -> Sequence[Any]:
        """See Track."""
        from bench.tracks.membership import columns

        return columns.SCORES if table == "scores" else columns.IMAGES

    def sections(self) -> Sequence[Section]:
        """See Track."""
        from bench.tracks.membership.page import SECTIONS

        return SECTIONS

    @property
    def answering(self) -> Answering:
        """See Track."""
        from bench.tracks.membership import answering

        return answering

    @property
    def work(self) -> TrackWork:
        """See Track."""
        from bench.tracks.membership import work

        return work
