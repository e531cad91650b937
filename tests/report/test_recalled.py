"""What was seen of grids before is taken up where nothing has changed, and is never more than a shorter way to the same pages."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import fake
import pytest

from bench import report, store
from bench.report import grid, recalled, same_code
from bench.report.aggregate import aggregate
from bench.report.kit.lead import leads

GRIDS = ("quick", "real_data", "width")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three rendered grids on the same networks, the first two with claims."""
    monkeypatch.setenv("RECONBENCH_HOME", str(tmp_path / "home"))
    rows, images = [], []
    for name in GRIDS:
        more, pictures = fake.grid(name, "dataset", ["lfw_faces"], {"haim_kkt": [0.5], "mean_image": [0.1]}, seeds=2, thumbnails=False)
        rows += more
        images += pictures
    store.publish(rows, images, tmp_path / "results")
    report.render(tmp_path / "results")
    return tmp_path / "results"


@pytest.fixture
def read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The grids whose image rows are read from now on."""
    names: list[str] = []
    load = grid.load_images
    monkeypatch.setattr(grid, "load_images", lambda paths: names.extend(path.stem for path in paths) or load(paths))
    return names


def kept(folder: Path) -> dict[str, Path]:
    """By grid the files of what was seen of it."""
    return {path.stem: path for path in folder.parent.glob("home/pages/*.grids/*.json")}


def change(folder: Path, name: str = "width", **fields: object) -> None:
    """Publishes a row of a grid with another content."""
    store.publish(store.load_scores(folder).query(f"grid == '{name}'").head(1).assign(**fields), [], folder)


def pages(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.suffix in (".md", ".png")}


def afresh(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """What is made of the same rows where nothing has been seen."""
    other = folder.parent / "other"
    for name in (store.IMAGES_FOLDER, store.SCORES_FOLDER):
        shutil.copytree(folder / name, other / name)
    with monkeypatch.context() as patch:
        patch.setenv("RECONBENCH_HOME", str(folder.parent / "elsewhere"))
        report.render(other)
    return pages(other)


def test_a_changed_grid_alone_is_read_and_the_pages_are_those_of_a_fresh_rendering(
    folder: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    change(folder, excess_recall=0.9, recall_members=1.0)
    report.render(folder)
    assert read == ["width"]
    assert pages(folder) == afresh(folder, monkeypatch)


def test_image_rows_count_as_rows_do(folder: Path, read: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    scores, images = store.load_results(folder)
    own = scores[scores["grid"] == "real_data"]
    store.publish(own, images[images["cell_id"].isin(own["cell_id"])].assign(ssim=0.5), folder)
    report.render(folder)
    assert read == ["real_data"]
    assert pages(folder) == afresh(folder, monkeypatch)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace("haim_kkt", "haim_kkf"),
        lambda text: "\xff" + text,
        lambda text: "",
        lambda text: text.partition("\n")[0] + "\n" + json.dumps({}),
    ],
)
def test_a_damaged_file_is_passed_over_in_silence_and_written_again(folder: Path, read: list[str], capsys, damage) -> None:
    before, whole = pages(folder), kept(folder)["quick"].read_text()
    kept(folder)["quick"].write_text(damage(whole), encoding="latin-1")
    change(folder, seconds_attack=9.0)
    report.render(folder)
    assert sorted(read) == ["quick", "width"]
    assert pages(folder)["claims.md"] == before["claims.md"]
    assert kept(folder)["quick"].read_text() == whole
    assert not any(capsys.readouterr())


def test_a_missing_home_is_no_fault(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder.parent / "file").write_text("")
    monkeypatch.setenv("RECONBENCH_HOME", str(folder.parent / "file"))
    change(folder, excess_recall=0.9, recall_members=1.0)
    report.render(folder, only_if_changed=True)
    assert pages(folder) == afresh(folder, monkeypatch)


def test_other_code_sees_everything_afresh(folder: Path, read: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(same_code, "LIBRARIES", (*same_code.LIBRARIES, "pytest"))
    change(folder, seconds_attack=9.0)
    report.render(folder, only_if_changed=True)
    assert sorted(read) == sorted(GRIDS)
    read.clear()
    change(folder, seconds_attack=10.0)
    report.render(folder, only_if_changed=True)
    assert read == ["width"]


def test_a_lead_comes_back_as_it_was_its_look_up_and_its_counts_too(folder: Path) -> None:
    """What the leaderboard makes of a line that was seen before is what it made of it then."""
    rows, _ = fake.grid("informed", "dataset", ["lfw_faces"], {"haim_kkt": [0.5], "mean_image": [0.1]}, seeds=3, thumbnails=False)
    for row in rows:
        row |= {
            "track": "informed",
            "protocol": "v1",
            "pool_recall": 0.4,
            "recall_members": 0.5,
            "recall_controls": 0.0,
            "excess_recall": 0.5,
        }
    scores = store.to_table(rows, "scores").to_pandas()
    one = grid.Grid("informed", "informed", scores, [], [])
    seen = grid.Seen("mark", aggregate(scores), {})
    recalled.keep(folder, one, "key", seen)
    back = recalled.recall(folder, one, "key")
    before, after = ([(found.least, found.interval, found.tested) for found in leads(groups)] for groups in (seen.groups, back.groups))
    assert before == after
    assert seen.groups[0].null == back.groups[0].null != {}
    assert seen.groups[0].counted == back.groups[0].counted
