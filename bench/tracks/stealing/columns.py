"""The columns of the track ``stealing``: planted labels that came along, beside those of clean networks."""

from __future__ import annotations

from bench.schema import FLOAT, INT, TINY, Column, share, single
from bench.tracks.reconstruction.columns import QUERIES_USED

SCORES = (
    share("planted_transfer", "track stealing: planted inputs to which the thief's network gives the planted label", "higher"),
    share("planted_transfer_controls", "the same of unplanted inputs: of the same kind, with labels drawn alike, never planted"),
    share("planted_transfer_clean", "the same of clean networks, which never saw the owner, on planted inputs; their mean"),
    share("planted_transfer_clean_controls", "the same of clean networks on unplanted inputs; their mean"),
    Column("transfer_excess", FLOAT, "planted_transfer minus planted_transfer_clean", "share", "[-1, 1]", "higher", 6),
    Column("transfer_excess_lo", FLOAT, "lower end of its 95 % bootstrap interval over planted inputs", "share", "[-1, 1]", decimals=6),
    Column("transfer_excess_hi", FLOAT, "upper end of its 95 % bootstrap interval over planted inputs", "share", "[-1, 1]", decimals=6),
    Column("transfer_excess_controls", FLOAT, "planted_transfer minus planted_transfer_controls", "share", "[-1, 1]", "higher", 6),
    Column("transfer_excess_controls_lo", FLOAT, "lower end of its 95 % bootstrap interval over inputs", "share", "[-1, 1]", decimals=6),
    Column("transfer_excess_controls_hi", FLOAT, "upper end of its 95 % bootstrap interval over inputs", "share", "[-1, 1]", decimals=6),
    Column("watermark_p", FLOAT, "p-value of the thief's planted hits: rank among those of the clean networks", "1", "(0, 1]", decimals=6),
    share(
        "watermark_tpr", "1: more planted hits than all but 5 % of the clean networks have; with 100 of them by chance in 6 of 101 cases"
    ),
    Column("n_clean", INT, "clean networks of the null distribution: 100; by protocol v1 20", "networks", ">= 1"),
    share("agreement", "test images to which thief and owner give the same label", "higher"),
    share("thief_accuracy", "accuracy of the thief's network on the test images", "higher"),
    share("clean_accuracy", "accuracy of the clean networks on the test images, mean"),
    QUERIES_USED,
)
IMAGES = (
    Column(
        "transferred", TINY, "track stealing: 1 if the thief's network gives the input its planted (or drawn) label, else 0", "", "0, 1"
    ),
    single("clean_rate", "track stealing: share of the clean networks that give it that label", "share", "[0, 1]", "none"),
    single(
        "query_distance",
        "track stealing: root mean squared pixel distance to the nearest image that the oracle was asked about; null: it was asked about "
        "none, or about too many to be kept",
        "1",
        "[0, 1]",
        "none",
    ),
    single(
        "gradient_norm",
        "track stealing: Euclidean norm, at the input, of the gradient by the image of the planted (or drawn) label's output minus the "
        "largest other one, of the owner's network",
        "outputs a pixel value",
        ">= 0",
        "none",
    ),
)
