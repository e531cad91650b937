"""The leaderboard is read in a minute, and every page opens with its answer; the answers are those of the rows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import fake
import legible_page
import numpy as np
import pytest

from bench.metrics.intervals import newcombe, t_interval
from bench.metrics.significance import could_show
from bench.report import board
from bench.report.aggregate import aggregate
from bench.report.kit import lead
from bench.report.kit.page import Page
from bench.report.kit.ranking import Ranking
from bench.report.kit.text import folded, seconds, table
from bench.report.opening import answer, command, opening, power, short
from bench.store import to_table


def excess(rows: list[dict], values: dict) -> list[dict]:
    """Rows with such an excess recall: (attack, axis_index) → a value a seed, in steps of a twentieth."""
    for row in rows:
        value = values[row["attack"], row["axis_index"]][row["seed"]]
        row |= {"recall_members": max(value, 0.0), "recall_controls": max(-value, 0.0), "excess_recall": value}
    return rows


def page_of(rows: list[dict], slug: str = "one") -> Page:
    scores = to_table(rows, "scores").to_pandas()
    return Page(rows[0]["grid"], slug, rows[0]["grid_title"], rows[0]["grid_question"], scores, aggregate(scores))


FAR, NEAR = [0.5, 0.6, 0.55, 0.45, 0.5], [0.1, 0.15, 0.1, 0.05, 0.1]


@pytest.fixture
def page():
    attacks = {"haim_kkt": [0.5, 0.5], "mean_image": [0.1, 0.1], "heldout_images": [0.1, 0.1]}
    rows, _ = fake.grid("decay", "weight_decay", [0.0, 0.01], attacks, seeds=5, thumbnails=False)
    values = {("haim_kkt", 0): NEAR, ("haim_kkt", 1): FAR, ("mean_image", 0): NEAR[::-1], ("mean_image", 1): NEAR}
    return page_of(excess(rows, values | {("heldout_images", i): [0.0] * 5 for i in (0, 1)}))


def test_a_lead_is_paired_by_seed_over_the_strongest_control(page):
    first, second = lead.leads(page.groups)
    assert (first.control.attack, second.control.attack) == ("mean_image", "mean_image")
    assert second.deltas["mean_image"] == pytest.approx(np.subtract(FAR, NEAR))
    assert second.deltas["heldout_images"] == pytest.approx(FAR)
    assert second.interval[:2] == pytest.approx(t_interval(np.subtract(FAR, NEAR))[:2])
    wider = t_interval(np.subtract(FAR, NEAR), level=0.975).high  # whichever of the two it stands beside
    assert second.interval.high == pytest.approx(min(wider, t_interval(FAR, level=0.975).high))
    assert (first.surely, second.surely) == (0, 1)
    assert lead.beyond([first, second]) == "1 of 2"
    assert (lead.beyond([second]), lead.beyond([first]), lead.beyond([])) == ("yes", "open", "open")
    behind = lead.lead(second.control, [second.attack])  # no control there
    assert (behind.least, behind.control, behind.interval, behind.surely) == ("", None, None, 0)


def test_a_line_is_bold_where_it_is_surely_ahead_of_every_control():
    """The strongest on average is not enough: an attack far ahead of one control may be level with another."""
    values = {("strong", 0): FAR, ("level", 0): [0.31, 0.3, 0.29, 0.3, 0.3], ("mean_image", 0): NEAR}
    rows, _ = fake.grid("one", "weight_decay", [0.0], {name: [0.1] for name, _ in values}, seeds=5, thumbnails=False)
    erratic, _ = fake.grid("one", "weight_decay", [0.0], {"heldout_images": [0.1]}, seeds=5, thumbnails=False)
    both = page_of(excess([*rows, *erratic], values | {("heldout_images", 0): [0.3, -0.1, 0.35, -0.1, 0.1]}))
    surely = {group.attack: group.surely for group in both.groups}
    assert surely == {"strong": 1, "level": 0, "mean_image": 0, "heldout_images": 0}
    alone = page_of(excess(rows, values))
    assert {group.attack: group.surely for group in alone.groups} == {"strong": 1, "level": 1, "mean_image": 0}
    shown = "\n".join(Ranking().lines(both))
    assert "**+0.52 [" in shown
    assert "**+0.30 [" not in shown
    assert "| minus strongest control [95 %] |" in shown


def test_what_a_look_up_gets_is_one_more_control():
    rows, _ = fake.grid("one", "weight_decay", [0.0], {"informed_adversary": [0.9], "nearest_shadow": [0.1]}, seeds=5, thumbnails=False)
    for row in rows:
        row |= {"track": "informed", "pool_recall": 0.997, "recall_members": 0.87 + 0.01 * (row["seed"] % 2)}
    (one,) = lead.leads(page_of(rows).groups)
    assert one.least == "nearest public image"
    assert (one.control, one.beside, one.surely) == (None, "1.00", -1)
    assert one.interval.estimate == pytest.approx(0.874 - 0.997)


def test_an_axis_matters_where_most_is_apart_from_least(page):
    (found,) = lead.along(page.groups)
    assert (found.axis, found.most[0], found.least[0], found.sure) == ("weight_decay", "0.01", "0.0", True)
    assert found.difference == pytest.approx(t_interval(np.subtract(FAR, NEAR)))
    assert lead.along([group for group in page.groups if group.label == "0.01"]) == []


def test_with_many_values_a_difference_has_to_be_larger():
    values = [0.0, 0.001, 0.003, 0.01, 0.03]
    rows, _ = fake.grid("decay", "weight_decay", values, {"haim_kkt": [0.5] * 5}, seeds=5, thumbnails=False)
    mine = {("haim_kkt", i): [0.3, 0.35, 0.3, 0.25, 0.3] for i in range(1, 4)}
    mine |= {("haim_kkt", 0): [0.1, 0.3, 0.2, 0.2, 0.25], ("haim_kkt", 4): [0.3, 0.35, 0.3, 0.3, 0.4]}
    (found,) = lead.along(page_of(excess(rows, mine)).groups)
    assert found.difference.low > 0, "alone it would pass"
    assert 0.05 < found.p <= 1
    assert not found.sure


def test_the_answer_has_the_figures_that_matter(page):
    axis, first, best = answer(page.groups)
    assert first == "The strongest attack is surely ahead of the strongest control at 1 of 2 settings."
    assert best.startswith("haim_kkt at weight decay 0.01: excess recall +0.52 [")
    assert "against +0.10 of the strongest control (mean_image), a lead of +0.42 [" in best
    assert axis.startswith("Along weight decay most comes back at 0.01 (+0.52), least at 0.0 (+0.10): a difference of +0.42 [")
    assert "`python -m bench run --grid decay`" in "\n".join(opening(page))
    assert legible_page.opening_faults("\n".join(["", "# Decay", "", *opening(page), *short(page)])) == []
    assert [row.count("|") for row in short(page) if row.startswith("|")] == [8] * 4


@pytest.mark.parametrize(
    ("grid", "expected"),
    [
        ("quick", "python -m bench run --grid quick"),
        ("boost_mnist", "python -m bench run --grid boost --scale mnist"),
        ("haim2022_paper500", "python -m bench run --grid haim2022 --scale paper500"),
        ("mnemonist_cifar10", "python -m bench run --grid mnemonist_cifar10"),
    ],
)
def test_the_command_of_a_grid(grid, expected):
    assert command(grid) == expected


def test_local_copies_of_data_sets_are_asked_for():
    rows, _ = fake.grid("quick", "weight_decay", [0.0], {"haim_kkt": [0.5]}, thumbnails=False)
    for row in rows:
        row |= {"dataset": "cifar10", "dataset_display": "cifar10 (JPEG copy)"}
    text = "\n".join(opening(page_of(rows)))
    assert "`BENCH_DATA=DIR python -m bench run --grid quick` (DIR holds local copies of cifar10)" in text


def test_controls_of_the_same_networks_count_whichever_grid_ran_them(page):
    other, _ = fake.grid("other", "weight_decay", [0.01], {"first_layer_weights": [0.3]}, seeds=5, thumbnails=False)
    stronger = page_of(excess(other, {("first_layer_weights", 0): [0.3, 0.3, 0.35, 0.3, 0.25]}), "other")
    alone, both = board.page([page], None), board.page([page, stronger], None)
    assert "mean_image +0.10 | +0.42" in alone
    assert "first_layer_weights +0.30 | +0.22" in both
    assert "| [haim_kkt](one.md) |" in both
    assert "1/2 | no |" in both


def test_failing_at_weak_seeds_does_not_pay(page):
    """Of two attacks with the same scores the one that fails where it is weak comes second, and its failures count as 0 in its lead."""
    rows, _ = fake.grid("one", "weight_decay", [0.01], {"honest": [0.5], "choosy": [0.5], "mean_image": [0.1]}, seeds=5, thumbnails=False)
    scores = [0.5, 0.6, 0.1, 0.45, 0.2]
    rows = excess(rows, {("honest", 0): scores, ("choosy", 0): scores, ("mean_image", 0): NEAR})
    for row in rows:
        if row["attack"] == "choosy" and scores[row["seed"]] < 0.3:
            row |= {"status": "failed", "reason": "AttackFault: too hard", "excess_recall": None, "recall_members": None}
    one = page_of(rows)
    assert [group.attack for group in one.groups] == ["honest", "choosy", "mean_image"]
    (found,) = [lead.lead(group, one.groups) for group in one.groups if group.attack == "choosy"]
    assert found.deltas["mean_image"] == pytest.approx(np.subtract([0.5, 0.6, 0.0, 0.45, 0.0], NEAR))
    text = board.page([one], None)
    assert text.index("| [honest]") < text.index("| [choosy]")


def test_settings_at_which_an_attack_abstains_count_among_those_that_it_was_put_to():
    rates = {"haim_kkt": [0.5, None, None], "mean_image": [0.1] * 3}
    rows, _ = fake.grid("decay", "weight_decay", [0.0, 0.01, 0.1], rates, seeds=5, thumbnails=False)
    values = {("haim_kkt", 0): FAR} | {("mean_image", i): NEAR for i in range(3)}
    ok = excess([row for row in rows if row["status"] == "ok"], values)
    assert "1/3 | no |" in board.page([page_of([*ok, *(row for row in rows if row["status"] != "ok")])], None)


def test_scores_of_two_protocols_are_not_set_against_each_other(page):
    """The same networks, attacked by the later protocol in another grid, whose controls are weaker; and a page says which one it is by."""
    later, _ = fake.grid("later", "weight_decay", [0.01], {"haim_kkt": [0.4], "mean_image": [0.1]}, seeds=5, thumbnails=False)
    later = excess(later, {("haim_kkt", 0): [0.4] * 5, ("mean_image", 0): [0.0, 0.05, 0.0, 0.0, 0.0]})
    earlier, _ = fake.grid("earlier", "weight_decay", [0.01], {"haim_kkt": [0.5], "mean_image": [0.1]}, seeds=5, thumbnails=False)
    earlier = [row | {"protocol": "v1"} for row in excess(earlier, {("haim_kkt", 0): FAR, ("mean_image", 0): NEAR})]
    text = board.page([page_of(earlier, "earlier"), page_of(later, "later")], None)
    assert "| [haim_kkt](later.md) |" in text
    assert "mean_image +0.01 | +0.39" in text
    assert "1/1 | no |" in text
    alone = board.page([page_of(earlier, "earlier")], None)
    assert "v1 | mean_image +0.10 | +0.42" in alone
    assert "by protocol v1; v2 is in force now" in "\n".join(opening(page_of(earlier)))
    assert "in force now" not in "\n".join(opening(page_of(later)))


def test_a_value_that_is_no_difference_has_no_sign():
    rows, _ = fake.grid("told", "weight_decay", [0.0], {"loss_test": [0.5], "random_scores": [0.1]}, seeds=3, thumbnails=False)
    for row in rows:
        level = 0.8 if row["attack"] == "loss_test" else 0.5
        row |= {"track": "membership", "membership_auc": level + 0.01 * row["seed"], "role": "attack" if level > 0.5 else "control"}
    text = board.page([page_of(rows)], None)
    assert "| 0.81 [0.79, 0.83] | random_scores 0.51 | +0.30 [" in text
    assert "Membership AUC (how often a member scores above a control; 0.5: chance)" in text


def test_the_leaderboard_fits_a_screen_or_two_whatever_the_names():
    rows, _ = fake.everything()
    long = [{**row, "attack": "a" * 90, "grid": "g" * 60, "grid_title": "t" * 99, "grid_question": "Why? [x](y) | " * 40} for row in rows]
    for row in long:
        row |= {
            "axis": {"axis " * 9: "value, " * 30 + json.dumps(row["axis"])},
            "access": "final_weights+" + "initial_weights+" * 3 + "queries",
        }
    pages = [page_of([row for row in rows if row["grid"] == grid], grid) for grid in ("quick", "weight_decay", "activations")]
    text = board.page([*pages, page_of(long[:20], "long")], "figures/leaderboard.png")
    assert legible_page.opening_faults(text) == []
    assert len(text.splitlines()) <= legible_page.MOST_LINES
    for found in legible_page.open_tables(text):
        assert {legible_page.columns(row) for row in found} <= set(range(legible_page.MOST_COLUMNS + 1))
        assert max(len(legible_page.shown(row)) for row in found) <= legible_page.WIDEST, found


def test_wide_and_tall_tables_are_folded_and_others_are_not():
    wide, tall = table(["x"] * 9, [["1"] * 9]), table(["x"], [["1"]] * 41)
    for lines in (wide, tall, folded("more", ["text", ""])):
        assert (lines[0], lines[2], lines[-2:]) == ("<details>", "", ["", "</details>"])
        assert legible_page.faults("\n".join(lines)) == []
    assert table(["x"] * 8, [["1"] * 8] * 40)[0].startswith("|")
    assert legible_page.faults("\n".join(line for line in wide if line.startswith("|"))), "the check can fail"


def test_every_page_opens_with_its_answer_and_command_and_folds_what_is_wide(rendered: Path):
    pages = [path for path in rendered.glob("*.md") if path.name != "leaderboard.md"]
    assert len(pages) == 4
    for path in pages:
        assert (legible_page.opening_faults(path.read_text()), legible_page.faults(path.read_text())) == ([], []), path.name


def test_a_lead_of_nothing_over_nothing_has_the_width_of_its_counts():
    """0 : 0 hits of the attack and of the control at every seed: no spread, and 100 images a side and line."""
    rows, _ = fake.grid("one", "weight_decay", [0.0], {"haim_kkt": [0.0], "mean_image": [0.0]}, seeds=5, thumbnails=False)
    [found] = lead.leads(page_of(excess(rows, {(name, 0): [0.0] * 5 for name in ("haim_kkt", "mean_image")})).groups)
    zero = [(0, 5 * rows[0]["n_members"])] * 2
    assert found.interval == pytest.approx(newcombe(zero, zero))
    assert found.interval.low < 0 < found.interval.high
    assert found.surely == 0
    rows, _ = fake.grid("one", "weight_decay", [0.0], {"informed_adversary": [0.9]}, seeds=5, thumbnails=False)
    for row in rows:  # a look-up that gets as much at every seed
        row |= {"track": "informed", "protocol": "v1", "recall_members": 0.5, "pool_recall": 0.5, "excess_recall": 0.5}
    [found] = lead.leads(page_of(rows).groups)
    half = [(5 * rows[0]["n_members"] // 2, 5 * rows[0]["n_members"])]
    assert found.interval == pytest.approx(newcombe(half, half))


def test_the_strongest_of_several_attacks_has_to_be_surer_than_one_that_stands_alone():
    """The same line, once by itself, once as the best of three: p counts three times. A line's own mark does not change."""
    values = {("strong", 0): [0.2, 0.1, 0.25, 0.05, 0.15], ("mean_image", 0): [0.0, 0.05, 0.0, 0.0, -0.05]}
    others = {(name, 0): [0.0] * 5 for name in ("weak", "weaker")}
    both = []
    for mine in (values, values | others):
        rows, _ = fake.grid("one", "weight_decay", [0.0], {name: [0.1] for name, _ in mine}, seeds=5, thumbnails=False)
        both.append(page_of(excess(rows, mine)))
    [alone], [picked] = (lead.leads(one.groups) for one in both)
    assert picked.tested[0] == pytest.approx(3 * alone.tested[0])
    assert 0.05 / 3 < alone.tested[0] < 0.05
    assert [lead.beyond([one]) for one in (alone, picked)] == ["yes", "open"]
    assert {group.surely for one in both for group in one.groups if group.attack == "strong"} == {1}


def test_all_settings_need_no_correction_and_some_of_them_do():
    """Three leads of p 0.04: each of them is sure. Beside one that is not they are counted by Holm's method, and are none."""

    def of(p: float, side: int = 1) -> lead.Lead:
        one = lead.Lead(None, {}, {}, {})
        vars(one)["tested"] = p, side
        return one

    sure, hardly = [of(0.04)] * 3, of(0.5)
    assert (lead.ahead_at(sure), lead.beyond(sure)) == (3, "yes")
    assert (lead.ahead_at([*sure, hardly]), lead.beyond([*sure, hardly])) == (0, "open")
    assert lead.beyond([of(0.001), *sure, hardly]) == "1 of 5"
    assert lead.beyond([of(0.04, -1)] * 2) == "no"
    assert lead.beyond([of(0.04, -1), hardly]) == "open"
    assert (lead.ahead_at([]), lead.beyond([])) == (0, "open")


def test_a_page_says_what_lead_its_seeds_could_have_shown(page):
    first, second = lead.leads(page.groups)
    assert first.shown == pytest.approx(max(could_show(values, 0.05) for values in first.deltas.values() if np.ptp(values)))
    shown = sorted([first.shown, second.shown])
    said = "\n".join(short(page))
    assert f"could have shown a lead of {np.median(shown):.2f} ({shown[0]:.2f} to {shown[1]:.2f}, by setting) with a power of 80 %" in said
    alike = power([lead.lead(first.attack, [])])
    assert alike == "What these seeds could have shown cannot be told: there is no spread between seeds."


def test_such_a_lead_is_surely_found_four_times_in_five(page):
    """Simulated: seeds that spread as those of the page, around the lead that they could have shown."""
    [_, found] = lead.leads(page.groups)
    one = lead.Lead(found.attack, found.controls, {"mean_image": found.deltas["mean_image"]}, {"mean_image": ([], [])}, among=3)
    spread = np.std(one.deltas["mean_image"], ddof=1)
    draws = np.random.default_rng(2).normal(one.shown, spread, (600, 5))
    sure = np.mean([lead.Lead(one.attack, {}, {"x": draw.tolist()}, {"x": ([], [])}, among=3).surely > 0 for draw in draws])
    assert sure == pytest.approx(0.8, abs=4 * np.sqrt(0.16 / 600))


def test_an_attack_is_ahead_somewhere_where_it_is_by_all_its_settings_together():
    """At each of two settings: one attack surely, and one at the first of them alone, with a p that two settings are too many for."""
    sure, doubtful = [0.5, 0.6, 0.55, 0.45, 0.5], [0.05, 0.2, 0.2, 0.0, 0.15]
    values = {("haim_kkt", 0): sure, ("haim_kkt", 1): sure, ("span_ica", 0): doubtful, ("span_ica", 1): [0.0] * 5}
    values |= {("mean_image", i): [0.0, 0.05, 0.0, 0.0, 0.05] for i in (0, 1)}
    attacks = {name: [0.1, 0.1] for name, _ in values}
    rows, _ = fake.grid("two", "weight_decay", [0.0, 0.01], attacks, seeds=5, thumbnails=False)
    text = board.page([page_of(excess(rows, values))], None)
    assert "- reconstruction: 1 of 2 attacks are ahead of every control somewhere, the furthest **haim_kkt**" in text
    assert [line.split(" | ")[-2] for line in text.splitlines() if line.startswith("| [span_ica")] == ["1/2"]


def test_a_page_says_which_of_the_seeds_fixed_in_advance_have_not_run_and_what_they_would_take(page):
    rows = page.rows.assign(seconds_attack=2.0, seconds_score=0.5, seconds_transplant=None, seconds_train=3.0)
    of_a_seed = (2.5 * len(rows) + 3.0 * rows["target_id"].nunique()) / 5
    said = "\n".join(opening(replace(page, rows=rows, promised=tuple(range(8)))))
    assert "**Seeds.** 5 of the 8 that the grid fixes in advance have run." in said
    assert f"The other 3 would take one process about {seconds(3 * of_a_seed)}, by the times of these." in said
    assert "The other one would take" in "\n".join(opening(replace(page, rows=rows, promised=tuple(range(6)))))
    for promised in (tuple(range(5)), (), (100, 101)):  # all have run; a grid that is not ours; none of them has
        assert "**Seeds.**" not in "\n".join(opening(replace(page, rows=rows, promised=promised)))
