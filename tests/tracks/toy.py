"""A plug-in that brings a track of its own, with an attack, a control, a metric and a section of the page: ``write`` makes the file.

The track is a small membership test. An attack answers with images; an image counts as a member that is nearer to the first of them than
half of all images are.
"""

from __future__ import annotations

from pathlib import Path

PLUGIN = '''"""Membership, as small as it can be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bench.api import Attack, Candidates, Headline, Metric, Section, Share, Track
from bench.registry import register
from bench.report.kit.sections import STANDARD
from bench.report.kit.text import number
from bench.schema import FLOAT, TINY, Column, share


class Work:
    """Targets, releases and answers are those of the track reconstruction; scores are not."""

    def __getattr__(self, name):
        from bench.tracks.reconstruction import work

        return getattr(work, name)

    def score(self, answer, secret, *, bootstrap_seed, thumbnails=True, gallery=None):
        import numpy as np

        from bench import seeds
        from bench.metrics.intervals import bootstrap_difference
        from bench.metrics.measure import measure, statistics

        sides = {}
        for split, images in (("member", secret.members), ("control", secret.controls)):
            sides[split] = measure(answer.images[:1].clamp(0, 1).expand_as(images).float(), images.float(), but=["lpips"])
        half = np.median(np.concatenate([side["mse"] for side in sides.values()]))
        called = {split: side["mse"] < half for split, side in sides.items()}
        rng = seeds.numpy_generator("score", bootstrap_seed, "toy")
        advantage = bootstrap_difference(called["member"], called["control"], rng)
        row = {
            "toy_tpr": called["member"].mean(), "toy_fpr": called["control"].mean(), "toy_advantage": advantage.estimate,
            "toy_advantage_lo": advantage.low, "toy_advantage_hi": advantage.high, "n_members": len(called["member"]),
            "n_controls": len(called["control"]), "n_candidates": len(answer.images),
            **statistics(sides["member"]), **statistics(sides["control"], "_controls"),
        }
        rows = [
            {"split": split, "index": i, "label": int(labels[i]), "toy_called": int(called[split][i]), "toy_far": float(side["toy_far"][i])}
            for (split, side), labels in zip(sides.items(), (secret.member_labels, secret.control_labels))
            for i in range(len(called[split]))
        ]
        return row, rows


class Called(Section):
    """How near the images are."""

    name: ClassVar[str] = "called"
    title: ClassVar[str] = "### How far are members?"

    def lines(self, page):
        both = [(group.attack, *(number(group.means[f"toy_far_median{side}"]) for side in ("", "_controls"))) for group in page.groups]
        return [*(f"- {name}: {members} : {controls}" for name, members, controls in both), ""]


@register
class Toy(Track):
    """Which images were trained on?"""

    name: ClassVar[str] = "toy"
    summary: ClassVar[str] = "which images were trained on?"
    tiers: ClassVar[frozenset[str]] = frozenset({"final_weights", "mean_image", "public_images"})
    version: ClassVar[int] = 1
    headline: ClassVar[Headline] = Headline(
        "toy_advantage", "advantage", "membership advantage", "membership advantage (true − false positive rate)",
        share=Share("toy_tpr", ("n_members",), "members called"), less=Share("toy_fpr", ("n_controls",), "controls called"),
        counted=("members", "controls", "called members"), picture="advantage",
    )

    def columns(self, table):
        if table == "images":
            return [Column("toy_called", TINY, "1: called a member", "", "0, 1")]
        return [
            share("toy_tpr", "members that are called members", "higher"), share("toy_fpr", "controls that are", "lower"),
            Column("toy_advantage", FLOAT, "toy_tpr minus toy_fpr", "share", "[-1, 1]", "higher", 6),
            Column("toy_advantage_lo", FLOAT, "lower end of its interval", "share", "[-1, 1]", decimals=6),
            Column("toy_advantage_hi", FLOAT, "upper end of its interval", "share", "[-1, 1]", decimals=6),
        ]

    def sections(self):
        return (*STANDARD, Called())

    @property
    def work(self):
        return Work()


@register
class ToyNote(Section):
    """A section of no track of its own."""

    name: ClassVar[str] = "toy_note"
    title: ClassVar[str] = "## Note"
    tracks: ClassVar[frozenset[str]] = frozenset({"toy"})
    place: ClassVar[str] = "end"
    pictures: ClassVar[tuple[str, ...]] = ("toy_note",)

    def lines(self, page):
        return [f"There are {len(page.groups)} lines.", "", f"![note]({page.figures['toy_note']})", ""]

    def figures(self, page):
        from bench.report.kit.figures import as_png, new_figure, styled

        def draw():
            figure = new_figure(2, 1)
            figure.text(0.1, 0.5, "a note")
            return as_png(figure)

        return {"toy_note": styled(draw)()}


@register
class ToyFar(Metric):
    """Largest difference of a pixel."""

    name: ClassVar[str] = "toy_far"
    label: ClassVar[str] = "farthest pixel"
    range: ClassVar[tuple[float, float | None]] = (0.0, 1.0)
    better: ClassVar[str] = "lower"
    worst: ClassVar[float | None] = 1.0
    statistics: ClassVar[tuple[str, ...]] = ("median",)

    def pairs(self, a, b):
        return (a - b).abs().flatten(1).amax(1)


@register
@dataclass(frozen=True)
class ToyMean(Attack):
    """Images near the mean of the training images."""

    name: ClassVar[str] = "toy_mean"
    track: ClassVar[str] = "toy"
    paper: ClassVar[str] = "none: a test"
    needs: ClassVar[frozenset[str]] = frozenset({"final_weights", "mean_image"})

    def reconstruct(self, release, generator):
        return Candidates(release.mean_image[None].clone())


@register
@dataclass(frozen=True)
class ToyGrey(Attack):
    """Images near grey: a control."""

    name: ClassVar[str] = "toy_grey"
    track: ClassVar[str] = "toy"
    role: ClassVar[str] = "control"
    paper: ClassVar[str] = "none: a test"
    needs: ClassVar[frozenset[str]] = frozenset({"final_weights", "mean_image"})

    def reconstruct(self, release, generator):
        return Candidates((release.mean_image * 0 + 0.5)[None])
'''

GRID = """
name: toys
title: Toys
question: Is a fourth track one folder and no other edit?
base: {dataset: lfw_faces, n_per_class: 4, hidden: [8], epochs: 5}
axes:
  weight_decay: [0, 0.01]
seeds: 2
attacks: [toy_mean, toy_grey, mean_image]
"""


def write(folder: Path) -> tuple[Path, Path]:
    """The plug-in and its grid."""
    plugin, grid = folder / "toy.py", folder / "toys.yaml"
    plugin.write_text(PLUGIN)
    grid.write_text(GRID)
    return plugin, grid
