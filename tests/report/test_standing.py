"""What a run publishes over the published table: only rows that say something else."""

from __future__ import annotations

import fake
import pandas as pd
import pytest

from bench.report.standing import to_publish
from bench.store import load_results, publish


@pytest.fixture
def published(tmp_path):
    publish(*fake.grid("quick", "dataset", ["lfw_faces"], {"haim_kkt": [0.5], "mean_image": [0.0]}, seeds=2), tmp_path)
    return load_results(tmp_path)


def changed(frame: pd.DataFrame, **fields: object) -> pd.DataFrame:
    """With other values in the first row."""
    frame = frame.copy()
    for name, value in fields.items():
        frame[name] = [value, *frame[name].iloc[1:]]
    return frame


def test_rows_that_agree_stand_whatever_they_cost_and_wherever_they_ran(published):
    scores, images = published
    fresh = scores.assign(seconds_attack=99.0, platform="Darwin arm64", finished_at=pd.Timestamp("2030-01-01", tz="UTC"))
    fresh["excess_recall"] += 0.01  # inside the interval
    rows, pictures, standing = to_publish(fresh, images.assign(ssim=0.9), scores)
    assert (len(rows), len(pictures), standing) == (0, 0, 4)


@pytest.mark.parametrize(
    "fields",
    [
        {"cell_id": "f" * 16},
        {"excess_recall": 9.0},
        {"status": "failed", "reason": "boom", "excess_recall": None},
        {"protocol": "v3"},
        {"gallery": 20},
    ],
)
def test_a_row_that_is_new_disagrees_or_says_more_is_published_with_its_images_and_no_other(published, fields):
    scores, images = published
    fresh = changed(scores, **fields)
    rows, pictures, standing = to_publish(
        fresh, images.assign(cell_id=images["cell_id"].replace(scores["cell_id"][0], fresh["cell_id"][0])), scores
    )
    assert rows["cell_id"].tolist() == [fresh["cell_id"][0]]
    assert set(pictures["cell_id"]) == {fresh["cell_id"][0]}
    assert standing == 3


def test_a_score_that_other_published_rows_have_is_added_and_one_that_none_has_is_left_to_score(published):
    scores, images = published
    fresh = changed(scores, beats_pool=0.5)
    assert to_publish(fresh, images, scores)[2] == 4, "a metric that came later"
    elsewhere = scores.assign(grid="another", beats_pool=0.4)
    rows, pictures, standing = to_publish(fresh, images, pd.concat([scores, elsewhere]))
    assert rows["cell_id"].tolist() == [scores["cell_id"][0]]
    assert set(pictures["cell_id"]) == {scores["cell_id"][0]}
    assert standing == 3


def test_a_cell_that_failed_is_replaced_once_it_is_ok_and_stands_while_it_fails_alike(published):
    scores, images = published
    before = changed(scores, status="failed", reason="boom", excess_recall=None)
    assert len(to_publish(scores, images, before)[0]) == 1
    assert to_publish(before, images, before)[2] == 4
    assert len(to_publish(changed(before, reason="bang"), images, before)[0]) == 1


def test_numbers_that_stand_take_the_labels_that_the_grid_gives_them_now(published):
    scores, images = published
    fresh = scores.assign(grid_title="Renamed", axis_index=3, seconds_attack=99.0)
    rows, pictures, standing = to_publish(fresh, images, scores)
    assert (len(rows), len(pictures), standing) == (4, 0, 4)
    assert set(rows["grid_title"]) == {"Renamed"}
    assert set(rows["axis_index"]) == {3}
    assert rows["seconds_attack"].tolist() == scores["seconds_attack"].tolist()
