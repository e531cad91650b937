"""The ranking of attacks that answer with images: recalls under every selection, ROC and distances, beside those of the controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.api import Headline
from bench.report.kit.groups import Group
from bench.report.kit.ranking import SEEDS, TIME, Column, Ranking, headline_columns, hit_columns
from bench.report.kit.text import NONE, general, hits, interval, number


class OfImages(Ranking):
    """See the module."""

    def columns(self, headline: Headline) -> Sequence[Column]:
        """See Ranking."""
        return [
            *headline_columns(headline),
            *hit_columns(headline),
            _mean("AUC", "auc"),
            _mean("TPR @ 1 % FPR", "tpr_at_1fpr"),
            _mean("median SSIM", "ssim_median"),
            Column("median LPIPS", lpips),
            Column("precision members : controls", lambda group: _both(group.means, "precision")),
            Column("oracle excess [95 % CI]", lambda group: interval(group.intervals.get("oracle"))),
            Column("haim2022 members", lambda group: hits(group.hits.get("haim_members"))),
            Column("haim2022 controls", lambda group: hits(group.hits.get("haim_controls"))),
            SEEDS,
            Column("runs", lambda group: general(group.means.get("runs"))),
            Column("candidates", lambda group: general(group.means.get("n_candidates"))),
            TIME,
        ]

    def meanings(self) -> dict[str, str]:
        """See Section."""
        return {
            "excess recall": "share of members above SSIM 0.4 minus share of controls, for the attacker's own first 2n submissions; each "
            "counts on the side of the image nearest to it, and is paired there one-to-one (by score protocol v1, on both sides); with its "
            "95 % interval over seeds and images (of one seed: over images only)",
            "members, controls > 0.4": "the two counts behind it, over all seeds; a number of members means nothing without its controls",
            "AUC, TPR @ 1 % FPR": "telling members from controls by that SSIM. AUC: 0.5 is chance. TPR: the share of members above all but "
            "1 % of a network's controls, which with fewer than 100 of them is all; chance is 1 / (controls + 1): 0.048 with 20, 0.02 "
            "with 50",
            "median SSIM, LPIPS": "of the members' pairs; SSIM higher is nearer, LPIPS (AlexNet) lower is nearer",
            "precision": "share of submissions that count for members and have one above SSIM 0.4 : the same for controls",
            "oracle excess": "excess recall when the best candidates are chosen by looking at the truth: an upper bound, not an attack",
            "haim2022": "counts under the evaluation of Haim et al. (2022): many-to-one, over all candidates, after min–max scaling, "
            "window 3",
        }


def _mean(head: str, column: str) -> Column:
    return Column(head, lambda group: number(group.means.get(column)))


def lpips(group: Group) -> str:
    """The median over members, or a footnote that says why there is none."""
    value = number(group.means.get("lpips_median"))
    return f"{NONE}[^lpips]" if value == NONE and group.lpips_reasons else value


def _both(means: Mapping[str, float | None], name: str) -> str:
    """A mean over members beside the same over controls; a dash where there is neither."""
    sides = number(means.get(name)), number(means.get(f"{name}_controls"))
    return NONE if sides == (NONE, NONE) else " : ".join(sides)
