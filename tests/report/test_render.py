"""Pages and pictures: from the tables alone, the same every time, whatever the rows hold."""

from __future__ import annotations

import errno
import io
import os
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import fake
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bench import report, store
from bench.api import Setting
from bench.errors import BenchError
from bench.report.unchanged import mark


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def copy(contents: dict[str, bytes], names: set[str], folder: Path) -> None:
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(contents[name])


def render(rows: list[dict], images: list[dict], folder: Path) -> str:
    """The leaderboard of these rows."""
    store.publish(rows, images, folder)
    return report.render(folder)[0].read_text()


def test_rendering_again_leaves_no_diff_and_needs_the_two_tables_alone(rendered: Path, tmp_path: Path) -> None:
    first = files(rendered)
    tables = {name for name in first if name.endswith(".parquet")}
    assert tables == {f"{table}/{grid}.parquet" for table in ("scores", "images") for grid in ("quick", "weight_decay", "activations")}
    copy(first, tables, tmp_path)
    paths = report.render(tmp_path)
    assert files(tmp_path) == first
    assert {str(path.relative_to(tmp_path)) for path in paths} == set(first) - tables
    expected = {"leaderboard.md", "quick.md", "figures/leaderboard.png", "figures/weight_decay_excess.png", "figures/quick_strips.png"}
    assert expected <= set(first)
    assert all(len(content) < 2**20 for content in first.values())
    for name, content in first.items():
        if name.endswith(".png"):
            assert not Image.open(io.BytesIO(content)).info.get("Software")


def test_an_unchanged_file_is_not_written_again(tmp_path: Path) -> None:
    rows, images = fake.grid("quick", "dataset", ["lfw_faces"], {"haim_kkt": [0.5]}, seeds=1)
    render(rows, images, tmp_path)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    report.render(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == stamps


def test_unchanged_tables_are_not_rendered_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, images = fake.grid("quick", "dataset", ["lfw_faces"], {"haim_kkt": [0.5]}, seeds=1)
    render(rows, images, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(report, "with_others", lambda *_: pytest.fail("the tables are read again"))
        assert set(report.render(tmp_path, only_if_changed=True)) == set(tmp_path.rglob("*.md")) | set(tmp_path.rglob("*.png"))
    (tmp_path / "quick.md").unlink()
    report.render(tmp_path, only_if_changed=True)
    assert (tmp_path / "quick.md").exists()
    store.publish([{**rows[0], "grid_title": "Another"}], [], tmp_path)
    report.render(tmp_path, only_if_changed=True)
    assert "# Another" in (tmp_path / "quick.md").read_text()


def test_new_rows_make_the_pages_of_their_own_grid_again_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, images = fake.grid("steal", "dataset", ["lfw_faces"], {"haim_kkt": [0.5]}, seeds=1)
    more, pictures = fake.grid("steal_medium", "dataset", ["lfw_faces"], {"haim_kkt": [0.5]}, seeds=2)
    render(rows + more, images + pictures, tmp_path)
    made: list[str] = []
    page = report.markdown.grid_page
    monkeypatch.setattr(report.markdown, "grid_page", lambda one: made.append(one.grid) or page(one))

    def changed(**fields: object) -> list[str]:
        made.clear()
        store.publish([{**rows[0], **fields}], [], tmp_path)
        report.render(tmp_path, only_if_changed=True)
        return sorted(made)

    assert changed(grid_title="Another") == ["steal"]
    assert changed() == ["steal"]
    assert changed() == []
    (tmp_path / "figures" / "steal_medium_strips.png").unlink()
    assert changed(seconds_attack=7.0) == ["steal", "steal_medium"]
    text = (tmp_path / "leaderboard.md").read_text()
    (tmp_path / "leaderboard.md").write_text(re.sub(r"\bsteal_medium: \w+", "steal_medium: 0", text))
    assert changed(seconds_attack=8.0) == ["steal", "steal_medium"]
    kept = files(tmp_path)
    report.render(tmp_path)
    assert files(tmp_path) == kept


def test_a_page_ranks_controls_beside_attacks_and_says_what_is_compared(rendered: Path) -> None:
    quick = (rendered / "quick.md").read_text()
    ranking = quick.partition("### Ranking\n")[2].partition("\n## ")[0].partition("\n### ")[0]
    lines = [line for line in ranking.splitlines() if re.match(r"\|[^|]*\| \d+ \|", line)]
    assert len(lines) == 10
    assert "haim_kkt" in lines[0]
    assert "*mean_image* (control)" in quick
    assert "weights + public images" in quick
    estimates = [float(re.search(r"([+−]?\d\.\d\d) \[", line)[1].replace("−", "-")) for line in lines]
    assert estimates[:5] == sorted(estimates[:5], reverse=True)
    for words in ("10 training images a class", "mlp 500 relu", "weight decay", "0.800", "0.031", "1x25x25"):
        assert words in quick
    scores, _ = store.load_results(rendered)
    mine = scores[(scores["grid"] == "quick") & (scores["dataset"] == "lfw_faces") & (scores["attack"] == "haim_kkt")]
    members, controls = (int((mine[f"recall_{side}"] * mine[f"n_{side}"]).round().sum()) for side in ("members", "controls"))
    assert f"| {members} / 100 | {controls} / 100 |" in lines[0]
    for column in ("AUC", "TPR @ 1 % FPR", "median SSIM", "median LPIPS", "precision", "oracle excess", "haim2022 controls", "coverage"):
        assert column in quick


def check_tables(folder: Path) -> None:
    """Every line of a table has as many cells as its head."""
    for path in folder.glob("*.md"):
        width = 0
        for line in path.read_text().splitlines():
            if not line.startswith("|"):
                width = 0
                continue
            cells = len(re.findall(r"(?<!\\)\|", line))
            assert width in (0, cells), f"{path.name}: {line}"
            width = cells


def test_every_line_of_a_table_has_the_columns_of_its_head(rendered: Path) -> None:
    check_tables(rendered)


def test_links_and_pictures_exist(rendered: Path) -> None:
    for path in rendered.glob("*.md"):
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text()):
            assert (rendered / target).is_file(), target


def test_failures_are_shown_and_flagged(rendered: Path) -> None:
    page = (rendered / "weight_decay.md").read_text()
    assert "**3/5 ok**, 1 failed, 1 timeout" in page
    assert "| 0.01 | haim_kkt | 2 | timeout | attack returned NaN \\| in run 3 &lt;b&gt; |" in page
    assert "<b>" not in page
    assert re.search(r"Cells: \*\*\d+/\d+ ok\*\*, 1 failed, 1 timeout", (rendered / "leaderboard.md").read_text())
    assert "haim_kkt needs activation other than elu" in (rendered / "activations.md").read_text()


def test_missing_lpips_is_a_dash_with_its_reason(rendered: Path) -> None:
    text = (rendered / "activations.md").read_text()
    assert "—[^lpips]" in text
    assert text.count("[^lpips]: LPIPS is missing: weights are not here") == 1
    assert "[^lpips]" not in (rendered / "weight_decay.md").read_text()


def test_weight_decay_is_judged_by_paired_seeds(rendered: Path) -> None:
    page = (rendered / "weight_decay.md").read_text()
    assert "haim_kkt, against weight_decay = 0.0: excess recall is **raised** at" in page
    line = next(line for line in page.splitlines() if "0.0 → 0.003" in line)
    scores, _ = store.load_results(rendered)
    mine = scores[(scores["grid"] == "weight_decay") & (scores["attack"] == "haim_kkt")].set_index(["weight_decay", "seed"])[
        "excess_recall"
    ]
    assert f"+{(mine[0.003] - mine[0.0]).mean():.2f} [" in line
    assert "**raises** excess recall" in line
    assert "| haim_kkt | 0.0 → 0.01 |" in page
    assert "| 3 |" in next(line for line in page.splitlines() if "0.0 → 0.01 |" in line), "two of five pairs are lost"
    assert "→" not in (rendered / "quick.md").read_text(), "data sets are not paired by seed"


NASTY = "a|b\n# <script>x</script> [l](http://evil) `c` *d* _e_ \\ & ![i](j) \x00 $x^2$ " + "very long " * 60


def test_foreign_text_cannot_break_a_page(tmp_path: Path) -> None:
    row, images = fake.cell("quick", "haim_kkt", Setting(), {NASTY: NASTY}, 0, (0.5, 0.1), thumbnails=True)
    bad = {**row, "attack": NASTY, "access": NASTY, "grid_title": NASTY, "grid_question": NASTY, "dataset_display": NASTY, "device": NASTY}
    lost = {**bad, "cell_id": "f" * 16, "seed": 1, "status": "failed", "reason": NASTY, "grid": "../../etc/passwd " + NASTY}
    lost |= {"excess_recall": None, "versions": {NASTY: NASTY}}
    render([bad, lost], images, tmp_path / "results")
    assert {path.name for path in tmp_path.iterdir()} == {"results"}
    pages = list((tmp_path / "results").glob("*.md"))
    assert len(pages) == 4
    for path in pages:
        text = path.read_text()
        assert "<script" not in text
        assert not re.search(r"(?<!\\)\]\(http", text)
        assert "http://" not in text
        assert "\n# <" not in text
        assert "\x00" not in text
    check_tables(tmp_path / "results")


def test_a_grid_named_leaderboard_does_not_overwrite_it(tmp_path: Path) -> None:
    rows, images = fake.grid("leaderboard", "weight_decay", [0.0], {"haim_kkt": [0.5]}, thumbnails=False)
    assert "# Leaderboard" in render(rows, images, tmp_path)
    assert (tmp_path / "leaderboard_grid.md").exists()


def test_no_rows_at_all(tmp_path: Path) -> None:
    paths = report.render(tmp_path)
    assert [path.name for path in paths] == ["leaderboard.md", "claims.md"]
    assert "no results yet" in paths[0].read_text()


def test_a_grid_in_which_everything_failed(tmp_path: Path) -> None:
    rows, _ = fake.grid("quick", "dataset", ["lfw_faces"], {"haim_kkt": [None], "mean_image": [None]})
    for row in rows:
        row |= {"status": "failed", "reason": "out of memory", "train_accuracy": None}
    assert "No attack has scores." in render(rows, [], tmp_path)
    text = (tmp_path / "quick.md").read_text()
    assert "Open: no attack has scores." in text
    assert "| 0/3 ok, 3 skipped" not in text
    assert "**0/3 ok**, 3 failed" in text
    assert "out of memory" in text
    assert not list(tmp_path.glob("figures/*.png"))


def test_a_single_seed(tmp_path: Path) -> None:
    rows, images = fake.grid("weight_decay", "weight_decay", [0.0, 0.01], {"haim_kkt": [0.1, 0.6]}, seeds=1)
    render(rows, images, tmp_path)
    assert "inconclusive (one seed)" in (tmp_path / "weight_decay.md").read_text()


def test_settings_beyond_the_axis_are_compared_apart(tmp_path: Path) -> None:
    rows, images = fake.grid("width", "hidden", [[100], [500]], {"haim_kkt": [0.2, 0.5]})
    more, pictures = fake.grid("width", "hidden", [[100], [500]], {"haim_kkt": [0.3, 0.3]}, dataset="photo_tiles")
    for row in more:
        row["cell_id"] = "c" + row["cell_id"][1:]
    for image in pictures:
        image["cell_id"] = "c" + image["cell_id"][1:]
    render(rows + more, images + pictures, tmp_path)
    page = (tmp_path / "width.md").read_text()
    assert "## dataset = lfw\\_faces" in page or "## dataset = lfw_faces" in page
    assert "## dataset = photo_tiles" in page
    assert "100 → 500" in page


def test_pages_of_grids_that_are_gone_are_removed_and_others_kept(tmp_path: Path) -> None:
    for name in ("width", "quick"):
        for path in tmp_path.glob("scores/*.parquet"):
            path.unlink()
        rows, images = fake.grid(name, "dataset", ["lfw_faces"], {"haim_kkt": [0.5]}, seeds=1)
        render(rows, images, tmp_path)
        for own in ("notes.md", "README.md"):
            (tmp_path / own).write_text("mine")
    assert {path.name for path in tmp_path.glob("*.md")} == {"leaderboard.md", "claims.md", "quick.md", "notes.md", "README.md"}
    assert {path.name for path in tmp_path.glob("figures/*")} == {"leaderboard.png", "quick_excess.png", "quick_strips.png"}


def test_a_grid_that_is_called_readme_leaves_the_readme_of_the_folder_alone(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    rows, images = fake.grid("Readme", "dataset", ["lfw_faces"], {"haim_kkt": [0.5]}, seeds=1, thumbnails=False)
    render(rows, images, tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"
    assert (tmp_path / "Readme_grid.md").is_file()


def test_broken_and_missing_thumbnails(tmp_path: Path) -> None:
    rows, images = fake.grid("quick", "dataset", ["lfw_faces"], {"haim_kkt": [0.5]}, seeds=1)
    members = [image for image in images if image["split"] == "member"]
    for image in members:
        image["recon_png"] = b"\x89PNG broken"
    members[0] |= {"ssim": None, "recon_png": None, "candidate": -1}
    render(rows, images, tmp_path / "a")
    assert (tmp_path / "a/figures/quick_strips.png").exists()
    for image in members:
        image |= {"recon_png": None, "truth_png": None}
    render(rows, images, tmp_path / "b")
    assert not (tmp_path / "b/figures/quick_strips.png").exists()


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, images = fake.grid("quick", "dataset", ["lfw_faces"], {"haim_kkt": [0.5]}, seeds=1)
    store.publish(rows, images, tmp_path)
    before = files(tmp_path)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(BenchError, match="disk is full"):
        report.render(tmp_path)
    assert files(tmp_path) == before


def test_the_mark_of_a_grid_is_that_of_its_rows_whichever_pandas_holds_them(rendered: Path) -> None:
    def of_pandas_2(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.astype({name: object for name, dtype in frame.dtypes.items() if dtype == "str"})

    scores, images = store.load_results(rendered)
    before = mark(scores, images)
    assert mark(of_pandas_2(scores), of_pandas_2(images)) == before
    assert mark(scores, images.assign(ssim=images["ssim"] + 0.01)) != before
    assert mark(scores.assign(attack="another"), images) != before


def test_reports_import_no_torch() -> None:
    code = (
        "import sys, bench.report, bench.report.compare, bench.report.markdown, bench.report.kit.figures; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(report.__file__).parents[2])


def test_many_rows_are_fast(tmp_path: Path) -> None:
    cells, n = 2_500, 40  # a fifth of a million images; the time allowed is a fifth of 30 s
    row, _ = fake.cell("big", "haim_kkt", Setting(), {"weight_decay": "0"}, 0, (0.5, 0.1))
    scores = (
        pd.DataFrame([row]).drop(columns=["versions", "attack_params", "axis"]).reindex(np.zeros(cells, dtype=int)).reset_index(drop=True)
    )
    step = np.arange(cells) // 5
    scores["cell_id"] = [f"{i:016d}" for i in range(cells)]
    scores["seed"], scores["axis_index"] = np.arange(cells) % 5, step
    scores["weight_decay"] = step / cells
    scores["axis"] = [f'{{"weight_decay": "{i}"}}' for i in step]
    images = pd.DataFrame({"cell_id": np.repeat(scores["cell_id"].to_numpy(), 2 * n)})
    images["split"] = np.tile(np.repeat(["member", "control"], n), cells)
    images["index"] = np.tile(np.arange(n), 2 * cells)
    images["ssim"] = np.random.default_rng(0).random(len(images))
    assert len(images) == 200_000
    store.publish(scores, images, tmp_path)
    from bench.report.aggregate import aggregate

    began = time.perf_counter()
    scores, images = store.load_results(tmp_path)
    groups = aggregate(scores)
    assert len(groups) == 500
    assert len(images) == 200_000
    assert time.perf_counter() - began < 6


def test_publishing_one_grid_again_leaves_the_pictures_of_the_others(rendered: Path, tmp_path: Path) -> None:
    """How many images a strip shows must not depend on what else is in the table, nor on what was published when."""
    before = files(rendered)
    copy(before, {name for name in before if name.endswith(".parquet")}, tmp_path)
    rows, images = fake.everything()
    first = [row for row in rows if row["grid"] == "quick"]
    cells = {row["cell_id"] for row in first}
    render(first, [row for row in images if row["cell_id"] in cells], tmp_path)
    after = files(tmp_path)
    strips = [name for name in before if name.endswith("_strips.png")]
    assert len(strips) > 1
    for name in strips:
        assert after[name] == before[name], name


def test_no_two_attacks_look_alike():
    from bench.report.kit import figures
    from bench.report.kit.groups import Group

    groups = [Group("g", "", {}, 0, "informed", f"attack {i:02d}", "", "attack", "", {}, [0], Counter(ok=1), []) for i in range(20)]
    looks = figures._colours(groups)
    assert len({(look["color"], look["marker"]) for look in looks.values()}) == 20


@pytest.mark.parametrize(
    "name", ["a name beside the axes, cut off without room", "a name that is longer than the room there is at first " * 3]
)
def test_a_picture_ends_where_its_contents_do(name: str) -> None:
    from bench.report.kit.figures import as_png, new_figure

    figure = new_figure(3, 2)
    axis = figure.subplots()
    axis.plot([0, 1], label=name)
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, borderpad=0)
    axis.set_title("a title", loc="left")
    tight = io.BytesIO()
    figure.savefig(tight, format="png", bbox_inches="tight", pad_inches=0.12)
    white = Image.new("L", (3, 3), 255)
    white_png = io.BytesIO()
    white.save(white_png, "PNG")
    drawn, pasted = as_png(figure), as_png(figure, [(b"no picture", -0.3, 0.5, 0.2), (white_png.getvalue(), 0.0, 0.0, 0.1)])
    with Image.open(tight) as wanted, Image.open(io.BytesIO(drawn)) as found, Image.open(io.BytesIO(pasted)) as more:
        assert (np.abs(np.subtract(found.size, wanted.size)) <= 12).all(), "but for the room that letters might take"
        assert found.info["dpi"] == pytest.approx((130, 130), abs=0.01)
        pixels, wider = np.asarray(found.convert("L")), np.asarray(more.convert("L"))
    ink = [np.flatnonzero((pixels < 255).any(axis=i)) for i in (0, 1)]
    assert [(there[0], size - 1 - there[-1]) for there, size in zip(ink, pixels.shape[::-1], strict=True)] == [(16, 16), (16, 16)]
    assert (wider[:, 16:42] == 238).sum() == 26 * 26, "a broken thumbnail is grey, and is part of the picture"


def test_a_single_seed_is_never_bold_and_none_of_many_has_a_width(tmp_path: Path) -> None:
    rows, images = fake.grid("quick", "dataset", ["lfw_faces"], {"haim_kkt": [0.9], "mean_image": [0.0]}, seeds=1)
    store.publish(rows, images, tmp_path)
    report.render(tmp_path)
    page = (tmp_path / "quick.md").read_text()
    assert "| 1 | haim_kkt | weights" in page
    assert "**+" not in page
    assert not re.search(r"\[0, 0\] %", page)


@pytest.mark.parametrize("name", ["leaderboard", "Claims", "anatomy", "ridge", "perf", "perf_long", "PERF_gpu"])
def test_no_grid_takes_the_page_of_something_else(name: str) -> None:
    assert report._slug(name, set()).lower() != name.lower()
    assert not report._slug(name, set()).lower().startswith("perf")
    assert report._slug("performance", set()) == "performance"


def test_after_a_run_other_code_and_another_machine_leave_pages_of_unchanged_rows_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, images = fake.grid("quick", "dataset", ["lfw_faces"], {"haim_kkt": [0.5]}, seeds=2)
    more, pictures = fake.grid("width", "dataset", ["lfw_faces"], {"haim_kkt": [0.5]}, seeds=2)
    render(rows + more, images + pictures, tmp_path)
    before = files(tmp_path)
    monkeypatch.setattr(report.markdown, "grid_page", lambda page: "another page")
    for name in ("tracks.reconstruction.page.strips.strips", "report.glance.picture"):
        monkeypatch.setattr(f"bench.{name}", lambda *_: b"another picture")
    report.render(tmp_path, only_if_changed=True)
    assert files(tmp_path) == before
    told: list[tuple[int, int, str]] = []
    store.publish([{**more[-1], "grid_title": "Wide"}], [], tmp_path)
    report.render(tmp_path, only_if_changed=True, tell=lambda *what: told.append(what))
    after = files(tmp_path)
    assert told == [(1, 3, "Wide"), (2, 3, "claims"), (3, 3, "leaderboard")]
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"scores/width.parquet", "leaderboard.md", "width.md", "figures/width_excess.png", "figures/width_strips.png"}
    monkeypatch.setattr("bench.report.same_code.holds", lambda *_: False)
    report.render(tmp_path)  # by hand, with other code: everything
    assert {files(tmp_path)[name] for name in ("quick.md", "width.md")} == {b"another page"}


def test_the_mark_of_rows_is_of_their_values_alone(rendered: Path) -> None:
    """That of frames which another version of pandas or of the schema would have made is the same."""
    from bench.report.unchanged import mark

    scores, images = store.load_results(rendered)
    scores, images = scores[scores["grid"] == "quick"], images.iloc[:50]
    other = scores.convert_dtypes().assign(finished_at=scores["finished_at"].astype("datetime64[ns, UTC]"))
    assert mark(other[other.columns[::-1]], images) == mark(scores, images)
    assert mark(scores.assign(gallery=20), images) != mark(scores, images)
    assert mark(scores.assign(seconds_attack=1.5), images) != mark(scores, images)
    assert mark(scores, images.assign(ssim=0.5)) != mark(scores, images)
