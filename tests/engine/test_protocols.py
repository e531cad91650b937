"""A score protocol that changes: answers stay, rows of the earlier one stay readable, and nothing is attacked twice for it."""

from __future__ import annotations

import pytest
import torch
from same_rows import differing
from tiny_grid import clean_registry, write_grid, write_plugin  # noqa: F401

from bench import publishing, registry, store, tracks
from bench.engine import rescore, stored
from bench.engine import run as engine
from bench.engine.plan import plan
from bench.grids.read import load
from bench.report.aggregate import aggregate
from bench.tracks.reconstruction import Reconstruction
from bench.tracks.stealing import Stealing, targets
from bench.tracks.stealing.page.ranking import null_of

pytestmark = pytest.mark.usefixtures("clean_registry")
CPU = torch.device("cpu")


def laid_out(path):
    return plan(load(path), stored.known(stored.store()))


def earlier(path, monkeypatch):
    """Runs the grid as it was when another protocol was in force; returns its rows."""
    with monkeypatch.context() as patch:
        patch.setattr(Reconstruction, "protocol", "v1")
        planned = laid_out(path)
        engine.run(planned, stored.store(), CPU)
        return stored.collect(planned, stored.store())[0]


def test_answers_that_are_kept_are_scored_again_under_new_ids_and_the_rest_stays(tmp_path, bench_home, monkeypatch):
    path, folder = write_grid(tmp_path, "mean_image, heldout_images"), tmp_path / "results"
    before = earlier(path, monkeypatch)
    assert set(before["protocol"]) == {"v1"}
    store.publish(before, stored.store().images(), folder)
    lost = before["cell_id"].iloc[0]
    (bench_home / "reconstructions" / f"{lost}.safetensors").unlink()
    kept = set(before["cell_id"]) - {lost}
    now = {cell.id for cell in laid_out(path).cells}
    assert not now & set(before["cell_id"])
    assert set(stored.scorable(laid_out(path), stored.store())) == kept

    fresh, missing = rescore.rescore(stored.store(), "tiny")
    assert [len(cells) for cells in missing.values()] == [1]
    assert {row["protocol"] for row in fresh} == {"v2"}
    assert {row["cell_id"] for row in fresh} < now
    assert all((bench_home / "reconstructions" / f"{row['cell_id']}.safetensors").exists() for row in fresh)
    assert all(row["ceiling"] == 1 and row["excess_ssim"] is not None and row["exact_controls"] is None for row in fresh)
    oracle = [row["pattern_oracle_members"] for row in fresh]
    assert None not in oracle, "the networks are here, so what follows from them and the protocol is had again"
    every = stored.store().rows()
    assert set(every["protocol"]) == {"v1", "v2"}, "rows of the earlier one stay"
    assert (every["status"] == "ok").all()

    # published in place of the rows of the same answers, and of no others
    (owner, own), *others = publishing.owners(fresh, (folder, tmp_path / "nowhere")).items()
    assert (owner, len(own), others) == (folder, 7, [])
    store.publish(own, stored.store().images(), folder)
    scores, images = store.load_results(folder)
    assert dict(scores["protocol"].value_counts()) == {"v2": 7, "v1": 1}
    assert set(images["cell_id"]) == set(scores["cell_id"])
    assert {(group.section, group.protocol) for group in aggregate(scores)} == {(f"score protocol {v}", v) for v in ("v1", "v2")}

    again, missing = rescore.rescore(stored.store(), "tiny")
    assert len(again) == 7, "rows that the later protocol has superseded are not scored once more"
    summary = engine.run(laid_out(path), stored.store(), CPU)
    assert (summary.ok, summary.cached) == (1, 7), "only the answer that is lost is made again"
    assert stored.scorable(laid_out(path), stored.store()) == []


THIEVES = """
name: tiny_thieves
title: Tiny thieves
question: Are kept copies scored again?
base:
  {dataset: photo_patches, classes: 3, n_per_class: 8, hidden: [8], bias: all, loss: ce, optimizer: adam, epochs: 2, init_scale: null,
   defense: memorized_examples, defense_params: {kind: mislabelled, count: 5, repeat: 1}}
seeds: 2
attacks: [clean_model, {name: steal_logits, params: {epochs: 2, queries: 40}}]
"""


def test_kept_copies_are_scored_again_against_more_clean_networks(tmp_path, bench_home, monkeypatch):
    """The owners are not trained again; rows of fewer networks stay, and no line of a page has both."""
    path = tmp_path / "thieves.yaml"
    path.write_text(THIEVES)
    with monkeypatch.context() as patch:
        patch.setattr(Stealing, "protocol", "v1")
        patch.setattr(targets, "CLEAN", 2)
        engine.run(laid_out(path), stored.store(), CPU)
        before = stored.collect(laid_out(path), stored.store())[0]
    monkeypatch.setattr(targets, "CLEAN", 5)
    monkeypatch.setattr(targets, "_train", None)
    lost = before[before["attack"] == "steal_logits"]["cell_id"].iloc[0]
    (bench_home / "reconstructions" / f"{lost}.safetensors").unlink()
    answered = stored.scorable(laid_out(path), stored.store())
    assert set(answered) == set(before["cell_id"]) - {lost}

    fresh, missing = rescore.rescore(stored.store(), None, only=answered)
    assert (len(fresh), missing) == (3, {})
    summary = engine.run(laid_out(path), stored.store(), CPU)
    assert (summary.ok, summary.cached, summary.failed) == (1, 3, 0), "an answer that is lost is made again"
    after = stored.collect(laid_out(path), stored.store())[0]
    assert set(zip(before["protocol"], before["n_clean"], strict=True)) == {("v1", 2)}
    assert set(zip(after["protocol"], after["n_clean"], strict=True)) == {("v2", 5)}
    assert set(after["target_id"]) == set(before["target_id"])
    same = ["attack", "target_id", "planted_transfer", "queries_used"]
    assert before.sort_values(same)[same].to_numpy().tolist() == after.sort_values(same)[same].to_numpy().tolist()

    groups = aggregate(stored.store().rows())
    assert {(group.section, group.means["n_clean"]) for group in groups} == {("score protocol v1", 2), ("score protocol v2", 5)}
    lines = {part: "\n".join(null_of(group.means["n_clean"] for group in groups if group.protocol == part)) for part in ("v1", "v2")}
    assert "**2 clean networks** an owner: none is below 0.333" in lines["v1"]
    assert "**5 clean networks** an owner: none is below 0.167" in lines["v2"]


@pytest.mark.parametrize(
    ("n_clean", "least", "others"),
    [(20, "0.048", "at most 0 of them"), (100, "0.010", "at most 4 of them"), (10, "0.091", "none is at most 0.05")],
)
def test_pages_say_how_many_clean_networks_a_p_value_stands_on(n_clean, least, others):
    """(1 + 4)/101 is below 0.05 and (1 + 5)/101 above; with 20 the copy must be above all."""
    [said] = null_of([float(n_clean), None, float(n_clean)])
    assert f"**{n_clean} clean networks**" in said
    assert f"below {least}" in said
    assert others in said


NEW = ("rank_median", "rank_median_controls", "rank_first", "rank_first_controls", "n_lookalikes", "margin_auc")


def test_columns_that_came_later_are_filled_in_under_the_same_id_and_all_others_stay(tmp_path, bench_home):
    """Rows as they were before there were ranks: scoring them again needs no protocol, and the network only for what follows from it."""
    planned = laid_out(write_grid(tmp_path, "mean_image, heldout_images"))
    engine.run(planned, stored.store(), CPU)
    frame, images = stored.collect(planned, stored.store())
    assert frame[list(NEW)].notna().all(axis=None)
    older = frame.astype("object").where(frame.notna(), None)
    older[list(NEW)] = None
    first, *others = sorted(set(frame["target_id"]))
    (bench_home / "targets" / f"{first}.safetensors").unlink()
    stored.store().append(older.to_dict("records"), images.drop(columns="rank").to_dict("records"))
    assert stored.store().rows()[list(NEW)].isna().all(axis=None)

    fresh, missing = rescore.rescore(stored.store(), "tiny")
    assert (len(fresh), missing) == (8, {})
    after = stored.store().rows()
    told = after["target_id"].isin(others)
    assert after.loc[~told, "margin_auc"].isna().all(), "its network is not here"
    assert not differing(frame[frame["target_id"].isin(others)], after[told], leave=("finished_at", "seconds_score"))
    assert not differing(frame, after, leave=("finished_at", "seconds_score", "margin_auc"))
    assert not differing(images, stored.store().images())


def test_an_answer_does_not_depend_on_how_it_is_scored(tmp_path, bench_home, monkeypatch):
    """What an attack draws goes by the first protocol's id: attacking again gives the answers that were kept."""
    registry.load_plugin(write_plugin(tmp_path))
    path = write_grid(tmp_path, "noise")
    before = earlier(path, monkeypatch)
    planned = laid_out(path)
    engine.run(planned, stored.store(), CPU)
    works = tracks.get("reconstruction").work
    assert works is not None
    from bench.engine.answers import kept

    places = {(row["target_id"]): row["cell_id"] for row in before.to_dict("records")}
    for cell in planned.cells:
        one, two = kept(stored.reconstructions(), cell.id), kept(stored.reconstructions(), places[cell.target_id])
        assert cell.id != places[cell.target_id]
        assert torch.equal(one.images, two.images)


def test_an_attack_that_raises_on_its_weak_cells_does_not_rise(tmp_path):
    """Two plug-ins with one and the same answer; one raises where the mean image is dark, and has nothing but fewer scores for it."""
    answer = "return release.mean_image[None].repeat(4, 1, 1, 1)"
    registry.load_plugin(write_plugin(tmp_path, "steady", answer))
    refuse = "if generator.initial_seed() % 2: raise RuntimeError('too dark')\n" + answer
    registry.load_plugin(write_plugin(tmp_path, "choosy", refuse))
    planned = laid_out(write_grid(tmp_path, "steady, choosy", "").with_suffix(".yaml"))
    summary = engine.run(planned, stored.store(), CPU)
    assert 0 < summary.failed < 4, "some of the four"
    frame, _ = stored.collect(planned, stored.store())
    for group in aggregate(frame):
        mine = frame[(frame["attack"] == group.attack) & (frame["axis_index"] == group.axis_index)]
        if group.excess is not None:
            assert group.excess.estimate == pytest.approx(mine["excess_recall"].fillna(0).mean())
            assert len(group.ranked) == 2
