"""Owners of watermarked networks beside each other, on rows whose differences are known."""

from __future__ import annotations

import re

import fake
import pandas as pd

from bench.api import Setting
from bench.report.aggregate import aggregate
from bench.report.compare import summary_table
from bench.store import to_table
from bench.tracks.stealing.page import owners

# label → transfer beyond clean networks, test accuracy
SHARES = {"plain": (0.3, 0.60), "boosted": (0.5, 0.59), "other": (0.2, 0.70), "elsewhere": (0.2, 0.9)}
WIDTHS = {"other": (50,)}
DATA = {"elsewhere": "photo_tiles"}


def rows(labels: list[str], access: str = "public_images+queries", **params) -> pd.DataFrame:
    """A thief by logits on three seeds of each owner; boosted owners are the better the higher the seed."""
    made = []
    for index, label in enumerate(labels):
        for seed in range(3):
            excess, accuracy = SHARES[label]
            excess += 0.1 * (seed - 1) if label == "boosted" else 0.0
            setting = Setting(
                dataset=DATA.get(label, "photo_patches"), hidden=WIDTHS.get(label, (100,)), classes=8, loss="ce", seed=seed,
                defense="memorized_examples", defense_params={"kind": label},
            )  # fmt: skip
            more = {
                "track": "stealing", "access": access, "attack_params": params,
                "attack_defaults": {k: v for k, v in {"source": "held_out", "model": "same"}.items() if k not in params},
                "planted_transfer": excess + 0.05, "planted_transfer_clean": 0.05, "planted_transfer_controls": 0.05,
                "transfer_excess": excess, "transfer_excess_controls": excess, "watermark_p": 1 / 21, "watermark_tpr": 1.0, "n_clean": 20,
                "planted_owner": 1.0, "agreement": 0.8, "thief_accuracy": 0.6, "clean_accuracy": 0.6, "queries_used": 10,
                "test_accuracy": accuracy, "excess_recall": None, "n_members": 20, "n_controls": 20,
            }  # fmt: skip
            row, _ = fake.cell("owning", "steal_logits", setting, {"owner": label}, index, (0, 0), **more)
            row["cell_id"] = f"{label}-{seed}"
            made.append(row)
    return to_table(made, "scores").to_pandas()


def section(frame: pd.DataFrame) -> list[str]:
    return owners.section(aggregate(frame), frame)


def test_an_owner_is_compared_with_the_first_of_its_architecture_seed_by_seed():
    [line] = [line for line in section(rows(["plain", "boosted", "other"])) if "boosted" in line]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[:3] == ["boosted", "owner plain", "—"]  # no thief by labels
    assert re.match(r"\+0\.20 \[−0\.05, \+0\.45\]", cells[3])  # 0.1, 0.2, 0.3: ±4.303 · 0.1 / √3
    assert cells[4] == "—"
    assert cells[5].startswith("−1.00 ")  # points
    assert cells[6] == "3"


def test_owners_of_other_architectures_or_data_are_not_compared_and_one_owner_alone_gets_no_section():
    lines = section(rows(["plain", "boosted", "other", "elsewhere"]))
    assert [line.split()[1] for line in lines if line.startswith(("| boosted", "| other", "| elsewhere"))] == ["boosted"]
    assert section(rows(["plain", "other"])) == []
    assert section(rows(["plain"])) == []


def test_thieves_that_ask_about_other_images_are_left_out():
    assert section(rows(["plain", "boosted"], source="noise")) == []


def test_the_short_table_of_a_theft_has_no_empty_columns_for_rebuilt_images():
    [line] = summary_table(rows(["plain"]))
    assert line["planted labels"] == "35 %"
    assert not [name for name in line if "0.4" in name or "recall" in name]


def test_an_owner_without_thieves_is_not_what_others_are_compared_with():
    frame = rows(["plain", "boosted", "other"])
    other = rows(["plain"])
    other[["axis", "axis_index", "attack"]] = ['{"owner": "bare"}', -1, "clean_model"]
    other["role"], other["cell_id"] = "control", "bare-" + other["cell_id"]
    lines = section(pd.concat([other, frame], ignore_index=True))
    assert [line for line in lines if "boosted" in line and "owner plain" in line]


def test_what_a_row_lacks_is_left_out():
    frame = rows(["plain", "boosted"])
    frame.loc[frame["cell_id"] == "boosted-1", ["n_clean", "test_accuracy"]] = None
    assert sorted(len(group.cell_ids) for group in aggregate(frame)) == [2, 3]
    [line] = [line for line in section(frame) if "boosted" in line]
    assert "nan" not in line


def test_intervals_pair_each_planted_input_with_the_clean_networks():
    frame = rows(["plain"])
    frame["planted_transfer"], frame["planted_transfer_clean"] = 0.5, 0.5
    easy = [1.0] * 10 + [0.0] * 10  # half of the inputs are easy for every network
    images = pd.DataFrame(
        [
            {"cell_id": cell, "split": "member", "index": i, "transferred": value, "clean_rate": value}
            for cell in frame["cell_id"] for i, value in enumerate(easy)
        ]
    )  # fmt: skip
    [alone], [alike] = aggregate(frame), aggregate(frame, images)
    assert alone.excess.low < -0.1
    assert alike.excess == alone.excess, "where no input differs from another, the counts have a width"
    images.loc[(images["index"] == 19) & images["cell_id"].isin(frame["cell_id"][::2]), "transferred"] = 1.0
    [paired] = aggregate(frame, images)
    assert paired.excess.high - paired.excess.low < 0.7 * (alone.excess.high - alone.excess.low)
    assert paired.members == alone.members
    low, high = paired.excess.low, paired.excess.high
    assert summary_table(frame, images)[0]["transfer − clean [95 % CI]"] == f"+0.00 [{low:+.2f}, {high:+.2f}]"


def test_an_owners_claim_stands_by_its_p_value():
    frame = rows(["plain"])
    frame.loc[frame["cell_id"] == "plain-1", "watermark_p"] = 2 / 21  # above all clean networks but one
    [group] = aggregate(frame)
    assert group.hits["upheld"] == (2, 3)


def test_all_of_few_is_not_certainly_all():
    frame = rows(["plain"])
    frame["planted_transfer"] = 1.0
    [group] = aggregate(frame)
    assert group.members.estimate == group.members.high == 1
    assert 0.9 < group.members.low < 0.96  # Wilson's, of 60 of 60
