"""Groups, their intervals, and what is compared with what."""

from __future__ import annotations

import fake
import numpy as np
import pandas as pd
import pytest

from bench.metrics.intervals import newcombe, t_interval
from bench.report import aggregate as aggregate_module
from bench.report.aggregate import aggregate
from bench.report.compare import compare, summary_table
from bench.report.kit.groups import LATER, SETTING, axis_of, differences, setting_key
from bench.report.kit.selection import figure_cells, shown_images
from bench.report.kit.text import escape, interval, signed
from bench.store import to_table


def frame(rows: list[dict]) -> pd.DataFrame:
    return to_table(rows, "scores").to_pandas()


def test_groups_do_not_depend_on_the_order_of_rows_nor_on_other_groups() -> None:
    rows, _ = fake.everything()
    scores = frame(rows)
    whole = {(g.grid, g.label, g.attack): g for g in aggregate(scores)}
    shuffled = aggregate(scores.sample(frac=1, random_state=0))
    assert [(g.excess, g.hits) for g in shuffled] == [(g.excess, g.hits) for g in aggregate(scores)]
    for group in aggregate(scores[(scores["grid"] == "quick") & (scores["attack"] == "haim_kkt")]):
        assert group.excess == whole["quick", group.label, "haim_kkt"].excess


def test_a_cell_that_failed_counts_as_one_that_tells_nothing_in_what_ranks_an_attack_alone() -> None:
    rows, _ = fake.grid("weight_decay", "weight_decay", [0.0], {"haim_kkt": [0.5]}, seeds=4, thumbnails=False)
    rows[2] |= {"status": "failed", "reason": "boom", "excess_recall": None, "recall_members": None}
    (group,) = aggregate(frame(rows))
    assert (group.ok, group.cells, group.seeds) == (3, 4, [0, 1, 2, 3])
    assert group.reasons == [(2, "failed", "boom")]
    assert group.hits["members"] == (round(20 * sum(rows[i]["recall_members"] for i in (0, 1, 3))), 80)
    assert group.excess is not None
    others = [rows[i]["excess_recall"] for i in (0, 1, 3)]
    assert group.excess.estimate == pytest.approx(np.sum(others) / 4)
    assert group.excess.low <= 0.75 * np.mean(others) <= group.excess.high
    assert (group.missed, group.ranked[2], sorted(group.per_seed)) == ([2], 0.0, [0, 1, 3])
    assert group.means["auc"] == pytest.approx(np.mean([rows[i]["auc"] for i in (0, 1, 3)]))
    (control,) = aggregate(frame([{**row, "role": "control"} for row in rows]))
    assert control.excess is not None
    assert (control.excess.estimate, control.missed) == (pytest.approx(np.mean(others)), []), "or controls that fail put attacks ahead"
    rows[0]["auc"] = None
    (group,) = aggregate(frame(rows))
    assert group.means["auc"] is None, "a mean over some of the seeds would be a mean over survivors"


def test_where_chance_is_not_0_a_failed_cell_counts_as_chance() -> None:
    rows, _ = fake.grid("membership", "weight_decay", [0.0], {"shadows": [0.5]}, seeds=4, thumbnails=False)
    rows = [{**row, "track": "membership", "protocol": "v1", "membership_auc": 0.7 + 0.05 * row["seed"]} for row in rows]
    rows[3] |= {"status": "timeout", "reason": "slow", "membership_auc": None}
    (group,) = aggregate(frame(rows))
    assert group.excess is not None
    assert group.excess.estimate == pytest.approx((0.7 + 0.75 + 0.8 + 0.5) / 4)
    assert group.excess.low < 0.7 < group.excess.high
    (alone,) = aggregate(frame([rows[0], rows[3]]))
    assert alone.excess is not None
    assert alone.excess.estimate == pytest.approx(0.6)


def test_lines_of_equal_headline_are_ranked_by_what_has_no_threshold() -> None:
    rows, _ = fake.grid("quick", "dataset", ["lfw_faces"], {"a": [0.5], "b": [0.5]}, thumbnails=False)
    for row in rows:
        row |= {"recall_members": 0.5, "recall_controls": 0.0, "excess_recall": 0.5, "excess_ssim": 0.3 if row["attack"] == "b" else 0.2}
    assert [group.attack for group in aggregate(frame(rows))] == ["b", "a"]


def test_one_attack_with_several_hyperparameters_gives_several_lines() -> None:
    rows, _ = fake.grid("quick", "dataset", ["lfw_faces"], {"haim_kkt": [0.5]}, thumbnails=False)
    more = [{**row, "cell_id": "b" + row["cell_id"][1:], "attack_params": {"steps": 10}} for row in rows]
    assert sorted(g.name for g in aggregate(frame(rows + more))) == ["haim_kkt (defaults)", "haim_kkt (steps=10)"]


def test_differences_pair_seeds_and_start_at_the_first_value_with_scores() -> None:
    rows, _ = fake.grid("losses", "loss", ["bce", "mse", "huber"], {"regression_kkt": [None, 0.2, 0.9], "mean_image": [0.1] * 3}, seeds=5)
    (found,) = differences(aggregate(frame(rows)))
    assert (found.baseline, found.value, found.seeds) == ("mse", "huber", 5)
    assert found.interval is not None
    assert found.interval.low > 0
    assert "raises" in found.verdict


def test_a_difference_that_is_the_same_at_every_seed_has_the_width_of_its_counts() -> None:
    rows, _ = fake.grid("losses", "loss", ["bce", "mse"], {"regression_kkt": [0.2, 0.9]}, seeds=5)
    for row in rows:
        row |= {"recall_members": 0.0, "recall_controls": 0.0, "excess_recall": 0.0}
    groups = aggregate(frame(rows))
    (found,) = differences(groups)
    of = groups[0].hits["members"][1]
    assert found.interval == pytest.approx(newcombe([(0, of), (0, of)], [(0, of), (0, of)]))
    assert found.interval.low < 0 < found.interval.high
    rows[0] |= {"recall_members": 0.5, "excess_recall": 0.5}
    (found,) = differences(aggregate(frame(rows)))
    assert found.interval == pytest.approx(t_interval([-0.5, 0, 0, 0, 0])), "where seeds differ it is Student's"


def test_figures_show_the_strongest_attack_of_each_setting() -> None:
    rows, _ = fake.grid(
        "quick", "dataset", ["lfw_faces", "photo_tiles"], {"haim_kkt": [0.9, 0.1], "other": [0.1, 0.9], "mean_image": [1, 1]}
    )
    shown = figure_cells(frame(rows))
    names = {(row["dataset"], row["attack"], row["seed"]) for row in rows if row["cell_id"] in shown}
    assert names == {("lfw_faces", "haim_kkt", 0), ("photo_tiles", "other", 0)}


@pytest.mark.parametrize("n", [1, 2, 3, 5, 9, 10, 20, 101])
def test_shown_images(n: int) -> None:
    images = pd.DataFrame({"split": "member", "index": range(n), "ssim": np.linspace(1, 0, n)})
    images.loc[0, "ssim"] = np.nan  # a miss is the worst
    shown = shown_images(images)
    assert not shown["index"].duplicated().any()
    assert len(shown) == (n if n < 3 else 3 * min(2, n // 3))
    if n >= 3:
        assert shown[shown["band"] == "worst"]["index"].iloc[-1] == 0
        assert shown[shown["band"] == "best"]["index"].iloc[0] == 1
    assert set(shown_images(shown)["index"]) == set(shown["index"])  # what is published alone is shown alike


def test_comparison() -> None:
    rows, _ = fake.grid("quick", "dataset", ["lfw_faces"], {"haim_kkt": [0.5], "mean_image": [0.0]}, seeds=3, thumbnails=False)
    published = frame(rows)
    assert compare(published, published).text == "6 of 6 cells agree within their intervals"
    assert "no published numbers" in compare(published, published.iloc[:0]).text
    fresh = published.copy()
    fresh.loc[0, "excess_recall"] = published.loc[0, "excess_recall_hi"] - 0.01
    fresh.loc[1, "excess_recall"] = published.loc[1, "excess_recall_hi"] + 0.05
    fresh.loc[2, ["status", "reason"]] = "failed", "boom"
    fresh.loc[3, "cell_id"] = "0" * 16
    found = compare(fresh, published)
    assert (found.agreeing, found.compared, found.new) == (3, 5, 1)
    assert found.text.startswith("3 of 5 cells agree within their intervals; 1 cell had not been published before\n")
    assert "excess_recall" in found.text
    assert "boom" in found.text
    both = published.assign(status="failed")
    assert compare(both, both).compared == 0


def test_comparison_of_recalls() -> None:
    rows, _ = fake.grid("quick", "dataset", ["lfw_faces"], {"haim_kkt": [0.5]}, seeds=1, thumbnails=False)
    rows[0] |= {"recall_members": 0.5, "recall_members_lo": 0.4, "recall_members_hi": 0.6, "recall_controls": 0.1}
    published = frame(rows)
    assert compare(published.assign(recall_members=0.7), published).disagreements[0].column == "recall_members"
    assert compare(published.assign(recall_members=0.6), published).agreeing == 1
    degenerate = published.assign(excess_recall=0.0, excess_recall_lo=0.0, excess_recall_hi=0.0)
    assert compare(degenerate, degenerate).agreeing == 1


def test_summary_table() -> None:
    rows, _ = fake.everything()
    lines = summary_table(frame(rows))
    first = next(line for line in lines if line["grid"] == "quick")
    assert first["attack"] == "haim_kkt"
    assert first["members > 0.4"].endswith("/100")
    assert any(line["cells"] == "0/3 ok, 3 skipped" and line["excess recall [95 % CI]"] == "—" for line in lines)
    assert summary_table(frame([])) == []


def test_text() -> None:
    assert escape("a|b\n<i>_x_ snake_case") == "a\\|b &lt;i&gt;\\_x\\_ snake_case"
    assert signed(-0.001) == "0.00"
    assert signed(-0.25) == "−0.25"
    assert interval(None) == "—"
    assert len(escape("x" * 1000)) == 300


def test_a_data_set_on_the_axis_is_named_as_tables_name_it():
    row = {"axis": '{"dataset": "cifar10", "loss": "bce"}', "dataset": "cifar10", "dataset_display": "cifar10 (JPEG copy)"}
    assert axis_of(row) == {"dataset": "cifar10 (JPEG copy)", "loss": "bce"}
    assert axis_of({**row, "axis": '{"dataset": "small"}'}) == {"dataset": "small"}  # a label of the grid's own stays
    assert axis_of({"axis": "plain text"}) == {"axis": "plain text"}


def test_lines_of_one_attack_are_told_apart_by_what_differs_defaults_included():
    first = {"attack": "guided", "attack_params": '{"mirror":true}', "attack_defaults": '{"keep":0.5,"steps":9}', "sweep": None}
    second = {"attack": "guided", "attack_params": '{"keep":0.25,"mirror":true}', "attack_defaults": '{"steps":9}', "sweep": None}
    assert aggregate_module._variant(first, [first, second]) == "keep=0.5"
    assert aggregate_module._variant(second, [first, second]) == "keep=0.25"
    third = {**first, "attack_params": '{"ablate":"x","mirror":true}', "attack_defaults": '{"keep":0.5,"steps":9}'}
    names = {aggregate_module._variant(first, order) for order in ([first, second, third], [third, first, second], [second, third, first])}
    assert names == {"keep=0.5"}, "the same name wherever the line stands"
    many = {"attack": "thief", "attack_params": "{}", "attack_defaults": '{"a":1,"b":1,"c":1,"d":1}', "sweep": None}
    set_ = {**many, "attack_params": '{"a":2,"b":2}', "attack_defaults": '{"c":1,"d":1}'}
    others = [many, set_, {**many, "attack_params": '{"c":2,"d":2}', "attack_defaults": '{"a":1,"b":1}'}]
    assert [aggregate_module._variant(line, others) for line in others] == ["defaults", "a=2, b=2", "c=2, d=2"]
    old = {**second, "attack_defaults": None}
    assert aggregate_module._variant(first, [first, old]) == "mirror=True", "a row that does not know its defaults shows what it has"
    assert aggregate_module._variant({**first, "attack_params": "{}"}, [first, old]) == "defaults"
    swept = [{**first, "sweep": f'{{"runs":8,"ranges":{{"keep":{{}}}}{more}}}'} for more in ("", ',"halving":2')]
    assert [aggregate_module._variant(line, swept) for line in swept] == ["8 runs over keep", "8 runs over keep, halving 2"]


def test_fields_of_convolutions_are_no_part_of_the_key_of_other_networks() -> None:
    """The key names the random streams: a new field must not move the intervals of rows that are already published."""
    rows, _ = fake.grid("width", "hidden", [[100], [200]], {"haim_kkt": [0.5, 0.5]}, seeds=1, thumbnails=False)
    rows[1] |= {"model": "cnn", "channels": "16-32", "kernel": 3, "pooling": "stride"}
    scores = frame(rows)
    keys = dict(zip(scores["model"], setting_key(scores), strict=True))
    parts = keys["mlp"].split("\x1f")
    assert len(parts) == 1 + len(SETTING) - len(LATER)
    assert keys["cnn"].split("\x1f")[len(parts) :][:3] == ["16-32", "3", "stride"]
    assert setting_key(frame(rows[1:])).tolist() == [keys["cnn"]]  # whatever other rows are there


def test_rows_of_different_score_protocols_are_never_averaged():
    rows, _ = fake.grid("quick", "dataset", ["lfw_faces"], {"haim_kkt": [0.5]}, seeds=4)
    for row in rows[:2]:
        row["protocol"] = "v1"
    groups = aggregate(frame(rows))
    assert sorted((group.section, group.ok) for group in groups) == [("score protocol v1", 2), ("score protocol v2", 2)]
