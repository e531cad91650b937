"""What ranks the lines of a track, in numbers and in words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """A share of counted things, as a column of the scores holds it."""

    column: str
    of: tuple[str, ...]  # columns whose product says how many there are
    label: str  # heading of tables; empty: not in the short table of a run


@dataclass(frozen=True)
class Headline:
    """What ranks the lines of a track: a score column that is higher the more a network gives away, and its words.

    Where it is the difference of two shares, its interval answers for other seeds and other images (``bench.metrics.intervals``); else it
    is Student's t over the seeds, and of a single seed that of its row: the columns NAME_lo and NAME_hi, where there are such.
    """

    column: str
    words: str  # in sentences and as a heading
    axis: str  # label of a picture's axis
    in_full: str  # the same where there is room
    low: float = -1.0  # the column's range
    high: float = 1.0
    chance: float = 0.0  # what a line is worth that tells nothing, and an attack's cell that failed
    share: Share | None = None  # of members, or whatever stands for them
    less: Share | None = None  # of controls
    counted: tuple[str, str, str] = ("members", "controls", "")  # words for the hits of both, and what a hit is
    per_cent: str = ""  # what the shares are of, where they are told in per cent; empty: they are told as hits
    picture: str = "headline"  # kind of its picture: the end of a file name
    caption: str = ""  # what the picture shows; empty: the words
    null: str = ""  # score column of what a look-up that needs no network gets of `share`: one more control of every line
    null_words: str = ""  # and what tables call it
    tie: str = ""  # score column by which lines of equal headline are ranked, higher first
    ranked: tuple[str, ...] = ()  # where it is an AUC of members against controls: the two columns that count them


EXCESS_RECALL = Headline(
    "excess_recall",
    "excess recall",
    "excess recall at SSIM > 0.4\n(members − controls)",
    "excess recall at SSIM > 0.4 (share of members − share of controls)",
    share=Share("recall_members", ("n_members",), "members > 0.4"),
    less=Share("recall_controls", ("n_controls",), "controls > 0.4"),
    counted=("members", "controls", "above SSIM 0.4"),
    picture="excess",
    tie="excess_ssim",
)
