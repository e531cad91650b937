"""The published table keeps its promises: it follows from its Parquet files, fits its limits, and shows recovery that controls do not."""

from __future__ import annotations

import shutil
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bench.anatomy import figures
from bench.claims.declarations import declared
from bench.claims.findings import findings
from bench.engine.plan import answer_id, plan
from bench.grids.read import load
from bench.metrics.intervals import t_interval
from bench.report import render
from bench.report.aggregate import aggregate
from bench.store import images_files, load_results, load_scores, scores_files
from bench.tracks.informed.page import paired
from tests.report import legible_page
from tests.report.legible import watched

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "results"
LINES = [line.partition(";") for line in (ROOT / "constraints.txt").read_text().splitlines()]
NEWEST = dict(line.strip().split("==") for line, _, where in LINES if "==" in line and "<" not in where)  # of which the pages were made


@pytest.fixture(scope="module")
def groups():
    """The lines of the leaderboard by (grid, axis label, attack)."""
    scores, _ = load_results(RESULTS)
    return {(g.grid, g.label, g.attack): g for g in aggregate(scores)}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """The published rows rendered again: the folder, the files, and what cannot be read in the pictures."""
    folder = tmp_path_factory.mktemp("rendered")
    for path in (*scores_files(RESULTS), RESULTS / "verified.csv", *images_files(RESULTS)):
        (folder / path.relative_to(RESULTS)).parent.mkdir(exist_ok=True)
        shutil.copy(path, folder / path.relative_to(RESULTS))
    with watched() as faults:
        made = [path.relative_to(folder) for path in render(folder)]
    return folder, made, faults


def test_the_pictures_can_be_read(rendered):
    _, made, faults = rendered
    assert sum(path.suffix == ".png" for path in made) > 50
    assert not faults


def test_the_pictures_of_the_anatomy_can_be_read():
    table = pd.read_parquet(RESULTS / "anatomy.parquet")
    with watched() as faults:
        for name, mine in table.groupby("dataset"):
            drawn = [figures.dynamics(mine, f"Inside training: {name}"), figures.portrait(mine, 0, f"What its parameters remember: {name}")]
            assert None not in drawn
    assert not faults


def test_the_pages_follow_from_the_parquet_files_alone(rendered):
    folder, made, _ = rendered
    assert Path("leaderboard.md") in made
    for path in made:
        if path.suffix == ".png" and matplotlib.__version__ != NEWEST["matplotlib"]:
            continue  # another version draws other pictures
        same = same_picture if path.suffix == ".png" else same_page
        assert same(RESULTS / path, folder / path), f"{path} differs; python -m bench report makes it anew"


def same_page(one: Path, two: Path) -> bool:
    return one.read_bytes() == two.read_bytes()


def same_picture(one: Path, two: Path) -> bool:
    """The same but for a few levels: a compressor's bytes and the edges of letters hang on the processor."""
    first, second = (np.asarray(Image.open(path).convert("RGBA"), float) for path in (one, two))
    return first.shape == second.shape and float(np.abs(first - second).max()) <= 32  # of 255; what is new is black on white


def test_the_leaderboard_fits_a_screen_or_two():
    text = (RESULTS / "leaderboard.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= legible_page.MOST_LINES
    for rows in legible_page.open_tables(text):
        assert legible_page.columns(rows[0]) <= legible_page.MOST_COLUMNS
        assert max(len(legible_page.shown(row)) for row in rows) <= legible_page.WIDEST, rows


@pytest.mark.parametrize("page", sorted(path.name for path in RESULTS.glob("*.md") if path.name != "README.md"))
def test_a_page_opens_with_its_answer_and_the_command_that_makes_it_and_folds_what_is_wide(page):
    text = (RESULTS / page).read_text(encoding="utf-8")
    assert (legible_page.opening_faults(text), legible_page.faults(text)) == ([], [])


def test_files_stay_small():
    for path in RESULTS.rglob("*"):
        assert path.is_dir() or path.stat().st_size < 1_000_000, path


@pytest.mark.parametrize("dataset", ["lfw_faces", "photo_tiles"])
def test_quick_recovers_training_images_and_its_null_models_do_not(groups, dataset):
    attack = groups["quick", dataset, "haim_kkt"]
    assert len(attack.seeds) >= 3
    assert attack.counts == {"ok": len(attack.seeds)}
    assert attack.excess.estimate >= 0.25
    assert attack.excess.low > 0
    for control in ("mean_image", "heldout_images"):
        assert groups["quick", dataset, control].excess.low <= 0.02  # of a null, too, one interval in forty lies above 0


def test_cifar10_at_twenty_images(groups):
    attack = groups["real_data", "cifar10 (JPEG copy)", "haim_kkt"]
    assert len(attack.seeds) >= 3
    (members, n), (controls, of) = attack.hits["members"], attack.hits["controls"]
    assert members / n >= 0.4
    assert controls / of <= 0.05


def test_every_published_row_says_where_it_is_from():
    scores, images = load_results(RESULTS)
    for column in ("code_version", "data_digest", "versions", "protocol", "finished_at", "python", "platform"):
        assert scores[column].notna().all(), column
    done = scores[scores["status"] == "ok"]
    assert done["device"].notna().all()
    pictures = done[done["track"].isin(["reconstruction", "informed"])]  # the others answer with networks or scores
    assert (pictures["lpips_reason"] == "").all()
    # where half of the members have no partner, the median is that of none; under v1 that took too few submissions
    paired = images[(images["split"] == "member") & images["lpips"].notna()].groupby("cell_id").size()
    paired = pictures["cell_id"].map(paired).fillna(0) > pictures["n_members"] / 2
    assert (pictures["lpips_median"].notna() == paired)[pictures["protocol"] != "v1"].all()
    whole = (pictures["protocol"] == "v1") & (pictures["n_submitted"] >= 2 * pictures["n_members"])
    assert pictures.loc[whole, "lpips_median"].notna().all()
    assert set(done["cell_id"]) == set(images["cell_id"])
    assert (scores.loc[scores["status"] != "ok", "reason"].str.len() > 10).all()


@pytest.fixture(scope="module")
def informed_lines():
    """The informed adversary's lines on all parameters, with the numbers of their secret images: (grid, activation) → (group, values)."""
    scores, images = load_results(RESULTS)
    rows = scores[scores["track"] == "informed"]
    values = paired.members(images[images["cell_id"].isin(rows["cell_id"])])
    return {(g.grid, g.label): (g, values) for g in aggregate(rows) if g.attack == "informed_adversary" and "network" not in g.variant}


def gap(group, values, column):
    """Answers' mean squared error less that of the null model: t interval over seeds."""
    cells = [values[cell] for _, cell in sorted(group.cell_ids.items())]
    return t_interval(paired.paired([c["mse"].to_numpy(float) for c in cells], [c[column].to_numpy(float) for c in cells]))


def test_on_mnist_the_informed_adversary_beats_the_nearest_public_image_for_every_activation(informed_lines):
    mine = {label: line for (grid, label), line in informed_lines.items() if grid == "mnemonist2023"}
    assert set(mine) == {"relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "tanh", "sigmoid"}
    for group, values in mine.values():
        assert len(group.cell_ids) >= 3
        assert sum(len(values[cell]) for cell in group.cell_ids.values()) >= 300
        assert gap(group, values, "pool_mse").high < 0, group.label


@pytest.mark.parametrize("activation", ["relu", "elu", "softplus"])
def test_on_photo_tiles_it_comes_nearer_than_the_nearest_public_image_and_than_looking_up(informed_lines, groups, activation):
    group, values = informed_lines["activations", activation]
    assert gap(group, values, "pool_mse").high < 0
    assert group.excess.low > groups["activations", activation, "nearest_shadow"].excess.high


@pytest.fixture(scope="module")
def verdicts():
    """(claim, grid) → what the page of claims says of it."""
    scores, images = load_results(RESULTS)
    return {(found.claim.name, found.grid): found for found in findings(scores, images, declared()[0])}


@pytest.mark.parametrize(
    ("claim", "grid"),
    [
        ("binary_works", "haim2022"),
        ("margin_is_recovered", "haim2022"),
        ("weight_decay_quantity", "weight_decay"),
        ("falls_with_samples", "dataset_size"),
    ],
)
def test_what_the_papers_are_known_for_is_reproduced(verdicts, claim, grid):
    found = verdicts[claim, grid]
    assert found.verdict == "reproduced", (found.effect, found.corrected)
    assert len(found.values) >= 3


@pytest.mark.parametrize(("claim", "grid"), [("more_classes_give_more", "multiclass"), ("squared_loss_works", "losses")])
def test_what_eight_seeds_beside_every_control_leave_open_is_said_to_be_open(verdicts, claim, grid):
    """Five seeds had decided for both. The effects point the papers' way; what the seeds could have shown stands beside."""
    found = verdicts[claim, grid]
    assert (found.verdict, len(found.values)) == ("open", 8), (found.effect, found.corrected)
    assert found.effect.estimate > 0


def test_the_papers_grids_have_at_least_three_seeds_members_controls_and_margins():
    scores, images = load_results(RESULTS)
    for grid in ("haim2022", "buzaglo2023"):
        rows = scores[(scores["grid"] == grid) & (scores["status"] == "ok")]
        assert rows["seed"].nunique() >= 3
        assert rows[["recall_members", "recall_controls"]].notna().all(axis=None)
        assert images.loc[images["cell_id"].isin(rows["cell_id"]), "margin"].notna().all()
        assert rows["sweep_runs"].notna().any() or grid != "haim2022"


@pytest.mark.parametrize("owner", ["mlp, mislabelled", "mlp, noise", "cnn, mislabelled"])
def test_input_gradients_carry_planted_labels_to_the_thief_and_clean_training_does_not(groups, owner):
    scores, _ = load_results(RESULTS)
    lines = [g for g in aggregate(scores[scores["grid"] == "stealing"]) if g.label == owner]
    assert {g.ok for g in lines} == {5}
    best = {}
    for line in lines:
        excess = line.excess
        if line.attack not in best or excess.estimate > best[line.attack].estimate:
            best[line.attack] = excess
    assert best["steal_gradients"].low > best["steal_logits"].high
    assert best["steal_gradients"].low > best["steal_labels"].high
    assert best["clean_model"].low <= 0 <= best["clean_model"].high


@pytest.mark.parametrize("grid", ["quick", "losses", "stealing"])
def test_published_cells_are_those_that_the_grid_plans_today(grid):
    """Otherwise a clone would compute them all again under other ids, and the table would hold both."""
    published = load_scores(RESULTS)
    planned = {name for cell in plan(load(grid), {}).cells for name in (cell.id, answer_id(cell))}  # by an earlier score protocol, too
    assert set(published.loc[published["grid"] == grid, "cell_id"]) <= planned
