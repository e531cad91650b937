"""`verify FOLDER`: an honest submission comes through, each cheat is refused or flagged, and so is whoever changes a number or a file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cheats
import pandas as pd
import pytest
from submitted import honest, packed, ran, resealed, with_rows
from tiny_grid import clean_registry  # noqa: F401

from bench import report
from bench.apart import sandbox
from bench.cli import main
from bench.data.blind import SALT
from bench.store import load_everyones, load_results, publish
from bench.store.submissions import ANSWERS, FOLDER, MANIFEST, submissions
from bench.store.verified import load_verified

pytestmark = [pytest.mark.usefixtures("clean_registry", "small_grid"), pytest.mark.timeout(900)]
WALLS = "none" if sandbox.works() else "bwrap"
WHO = ["--by", "Jane Doe", "--contact", "jane@example.org", "--licence", "MIT"]
SECRET = "nobody-guesses-7319-this"


@pytest.fixture
def bench(capsys, tmp_path, monkeypatch, bench_home):
    """Runs a command in this process, in an empty clone: (exit code, stdout, stderr)."""
    (tmp_path / "clone").mkdir()
    (tmp_path / "clone" / "pyproject.toml").touch()
    monkeypatch.setattr("bench.cli.folders.PROJECT", tmp_path / "clone")
    monkeypatch.setenv(SALT, SECRET)
    (bench_home / "weights").rename(bench_home / "no weights")  # LPIPS would be half of the time

    def call(*words: object) -> tuple[int, str, str]:
        from bench import registry

        registry._plugins.clear()  # each command is a process of its own, elsewhere
        capsys.readouterr()
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    return call


@pytest.fixture
def results(tmp_path) -> Path:
    return tmp_path / "clone" / "results"


def said(bench, folder: Path, walls: str = WALLS) -> tuple[int, dict]:
    """The exit code and the verdict of `verify FOLDER`."""
    code, text, err = bench("verify", folder, "--sandbox", walls, "--json")
    assert text, err
    return code, json.loads(text)


def test_a_submission_made_in_a_clone_is_verified_and_joins_the_tables_with_who_and_when(bench, results, tmp_path, small_grid):
    assert bench("run", "--grid", small_grid, "--attack", "mean_image", "--out", results)[0] == 0  # the clone's own rows
    code, text, err = bench("submit", honest(tmp_path), *WHO, "--sandbox", "none")
    assert code == 0, text + err
    folder = results / FOLDER / "honest"
    assert f"python -m bench verify {folder}" in text
    assert {path.name for path in folder.iterdir()} == {"code", "scores", "images", ANSWERS, MANIFEST}
    own, _ = load_results(folder)
    assert (len(own), set(own["isolation"]), set(own["status"])) == (8, {"process"}, {"ok"})
    assert own.loc[own["seed"] == 1, "transplant"].notna().all(), "the canary has met it"

    report.render(results)
    board = (results / "leaderboard.md").read_text()
    assert "| honest | honest | Jane Doe |" in board
    assert "**not verified**" in board
    assert "honest](small.md)" not in board, "no number of it is shown"
    assert len(load_everyones(results)[0]) == len(load_results(results)[0]) == 8

    code, found = said(bench, folder)
    assert (code, found["verdict"]) == (0, "verified"), found
    rows = load_verified(results)
    assert {(row.attack, row.verdict, row.submission) for row in rows} == {("honest", "verified", found["digest"])}
    assert {row.isolation for row in rows} == {"bwrap" if WALLS == "bwrap" else "process"}
    scores, images = load_everyones(results)
    mine = scores[scores["submission"] == "honest"]
    assert (len(scores), len(mine), set(mine["submitted_by"]), set(mine["attack"])) == (16, 8, {"Jane Doe"}, {"honest"})
    assert set(mine["cell_id"]) <= set(images["cell_id"])
    assert scores.loc[scores["attack"] == "mean_image", "submission"].isna().all()
    board, page = ((results / f"{name}.md").read_text() for name in ("leaderboard", "small"))
    date = json.loads((folder / MANIFEST).read_text())["date"]
    assert f"[honest](small.md) by Jane Doe, {date}" in board
    assert f"honest (by Jane Doe, {date})" in page
    assert "**not verified**" not in board

    with_rows(folder, lambda scores: scores.assign(excess_recall=1.0))  # afterwards nobody has looked at it
    assert [one.word for one in submissions(results)] == ["no"]
    assert len(load_everyones(results)[0]) == 8


def without_transplants(scores: pd.DataFrame) -> pd.DataFrame:
    """As if no network of another seed had been met, and all had been apart from the secret."""
    names = ("transplant", "transplant_members", "transplant_controls", "transplant_seed")
    return scores.assign(isolation="process", transplant_reason="one seed in 4 meets a transplant", **dict.fromkeys(names, float("nan")))


def test_who_draws_the_split_again_is_found_out_by_transplants_and_has_no_images_inside_the_walls(
    bench, results, tmp_path, small_grid, bench_home
):
    file = cheats.write(tmp_path, "redraw")
    ran(file, small_grid, bench_home, "none")
    own = packed(results, file, "redraw")
    assert load_results(own.folder)[0]["excess_recall"].mean() > 0.4
    code, found = said(bench, own.folder)
    assert (code, found["verdict"]) == (2, "flagged"), found
    assert "not from the weights: its own rows say so" in found["reasons"][0]

    with_rows(own.folder, without_transplants)
    code, found = said(bench, own.folder)
    assert (code, found["verdict"]) == (2, "failed" if WALLS == "bwrap" else "flagged"), found
    assert [one.word for one in submissions(results)] == [found["verdict"]]


def test_who_looks_for_the_mean_image_among_public_images_is_worse_on_blind_ones_where_there_are_no_walls(
    bench, results, tmp_path, small_grid, bench_home
):
    file = cheats.write(tmp_path, "pool")
    ran(file, small_grid, bench_home, "none")
    own = packed(results, file, "pool")
    with_rows(own.folder, without_transplants)
    code, found = said(bench, own.folder, "none")
    assert (code, found["verdict"]) == (2, "flagged"), found
    assert {row["verdict"] for row in found["rows"]} == {"flagged"}
    assert all(float(row["public"]) > 0.4 and float(row["blind"]) < 0.3 for row in found["rows"])
    assert [one.word for one in submissions(results)] == ["flagged"]


@pytest.mark.parametrize("cheat", ["heap", "scorer"])
def test_who_ran_next_to_the_secret_is_refused_and_flagged_if_that_is_denied(bench, results, tmp_path, small_grid, bench_home, cheat):
    file = cheats.write(tmp_path, cheat)
    ran(file, small_grid, bench_home, "off")
    own = packed(results, file, cheat)
    assert load_results(own.folder)[0]["excess_recall"].mean() > 0.4
    code, found = said(bench, own.folder)
    assert (code, found["verdict"]) == (2, "failed"), found
    assert "next to the secret: isolation none" in found["reasons"][0]

    with_rows(own.folder, without_transplants)
    code, found = said(bench, own.folder)
    assert (code, found["verdict"]) == (2, "flagged"), found
    if cheat == "scorer":
        assert "when the kept answer is scored again" in found["reasons"][0]


def forged(folder: Path, kind: str) -> None:
    """One way to forge a submission, with right digests where they would tell."""
    code = folder / "code" / "honest.py"
    if kind == "score":
        with_rows(folder, lambda scores: scores.assign(recall_members=0.9, excess_recall=0.9))
    elif kind == "auc":
        with_rows(folder, lambda scores: scores.assign(auc=0.99))
    elif kind == "label":
        with_rows(folder, lambda scores: scores.assign(grid_question="Buy this?"))
    elif kind == "fewer":
        with_rows(folder, lambda scores: scores[scores["seed"] > 0])
    elif kind == "setting":
        with_rows(folder, lambda scores: scores.assign(n_per_class=4))
    elif kind == "code":
        code.write_text(code.read_text() + "\n# another\n")
        resealed(folder)
    elif kind == "transplant":
        found = {"transplant": 1.0, "transplant_members": 1.0, "transplant_controls": 0.0, "transplant_seed": 0, "transplant_reason": ""}
        with_rows(folder, lambda scores: scores.assign(**found))
    elif kind == "pictures":
        scores, images = load_results(folder)
        shown = images["recon_png"].notna()
        images.loc[shown, "recon_png"] = images.loc[shown, "truth_png"]
        publish(scores, images, folder)
        resealed(folder)


FORGED = {
    "score": ("flagged", "when the kept answer is scored again"),
    "auc": ("flagged", "auc was 0.99"),
    "label": ("failed", "a row says grid_question 'Buy this?'"),
    "fewer": ("failed", "have none"),
    "setting": ("failed", "a row says n_per_class"),
    "code": ("failed", "other code has made the rows"),
    "transplant": ("flagged", "not from the weights"),
    "pictures": ("flagged", "a picture in its rows"),
}


def test_what_does_not_agree_is_found_before_the_code_runs(bench, results, tmp_path, small_grid, bench_home):
    file = honest(tmp_path)
    ran(file, small_grid, bench_home, "none")
    whole = packed(results, file, "honest").folder
    for kind, (word, why) in FORGED.items():
        folder = tmp_path / kind / FOLDER / "honest"
        shutil.copytree(whole, folder)
        forged(folder, kind)
        code, found = said(bench, folder)
        assert (code, found["verdict"]) == (2, word), (kind, found)
        assert why in found["reasons"][0], kind
        assert {row["blind"] for row in found["rows"]} == {""}, kind
