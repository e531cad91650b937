"""Rows survive kills, corrupt files, old and newer versions, full disks; what is published is small, stable and readable anywhere."""

from __future__ import annotations

import errno
import json
import math
import multiprocessing
import os
import threading
import warnings
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench import store as S
from bench.api import Setting
from bench.errors import BenchError
from bench.store import published as store_published
from bench.store import split
from bench.store.tables import serialise

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


def score(cell: str = "a" * 16, grid: str = "quick", **more: object) -> dict:
    row = {"grid": grid, "cell_id": cell, "attack": "haim_kkt", "role": "attack", "status": "ok", "reason": "", "excess_recall": 0.5}
    return {**row, **S.setting_row(Setting()), "axis": {"dataset": "lfw_faces"}, "axis_index": 0, "finished_at": NOW, **more}


def images(cell: str = "a" * 16, n: int = 3, **more: object) -> list[dict]:
    return [
        {"cell_id": cell, "split": split, "index": i, "label": i % 2, "ssim": 0.1 * i, "candidate": i, **more}
        for split in ("member", "control")
        for i in range(n)
    ]


def test_what_is_appended_comes_back(tmp_path: Path) -> None:
    store = S.Store(tmp_path / "rows")
    assert store.rows().empty
    assert list(store.rows().columns) == [c.name for c in S.columns("scores")]
    store.append([score(sweep=None, attack_params={"lr": 0.5}, lpips_median=float("nan"))], images())
    rows, pictures = store.rows(), store.images()
    assert rows.loc[0, "attack_params"] == '{"lr": 0.5}'
    assert rows.loc[0, "hidden"] == "500"
    assert pd.isna(rows.loc[0, "lpips_median"])
    assert pd.isna(rows.loc[0, "sweep"])
    assert rows.loc[0, "finished_at"] == NOW
    assert len(pictures) == 6
    assert store.status() == {("quick", "a" * 16): ("ok", "")}


def test_last_finished_wins_and_a_cell_never_mixes_two_runs(tmp_path: Path) -> None:
    store = S.Store(tmp_path)
    store.append([score(excess_recall=0.9, finished_at=NOW + timedelta(hours=1))], images(n=5))
    store.append([score(excess_recall=0.1)], [])  # finished before, arrives later
    store.append([score(grid="width")], [])  # the same cell in another grid
    assert store.rows().set_index("grid")["excess_recall"].to_dict() == {"quick": 0.9, "width": 0.5}
    store.append([score(finished_at=NOW + timedelta(hours=2))], images(n=2))
    assert len(store.images()) == 4
    assert store.images(cells=["nobody"]).empty


def test_compaction_keeps_everything_and_few_files(tmp_path: Path) -> None:
    store = S.Store(tmp_path)
    for i in range(70):
        store.append(
            [score(f"{i % 68:016d}", excess_recall=i / 100, finished_at=NOW + timedelta(seconds=i))], images(f"{i % 68:016d}", n=1)
        )
    assert len(list(tmp_path.glob("*.parquet"))) < 20
    rows = store.rows().set_index("cell_id")["excess_recall"]
    assert len(rows) == 68
    assert rows[f"{0:016d}"] == 0.68
    assert len(store.images()) == 136
    store.compact()
    store.append([score(f"{0:016d}", excess_recall=0.99, finished_at=NOW + timedelta(days=1))], images(f"{0:016d}", n=1, ssim=0.77))
    store.compact()
    store.compact()
    assert store.rows().set_index("cell_id")["excess_recall"][f"{0:016d}"] == 0.99
    assert store.images([f"{0:016d}"])["ssim"].tolist() == pytest.approx([0.77, 0.77])


def test_status_of_thousands_of_parts_is_fast(tmp_path: Path) -> None:
    table = S.to_table([score(f"{i:016d}") for i in range(5000)], "scores")
    (tmp_path / "scores-0.parquet").write_bytes(serialise(table))
    status = S.Store(tmp_path).status()
    assert len(status) == 5000


def _write_many(root: str, who: int) -> None:
    store = S.Store(root)
    for i in range(20):
        store.append([score(f"{who:08d}{i:08d}")], images(f"{who:08d}{i:08d}", n=1))
        if i % 7 == 3:
            store.compact()


def test_writers_and_compactors_share_a_store(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write_many, args=(str(tmp_path), who)) for who in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert all(writer.exitcode == 0 for writer in writers)
    assert len(S.Store(tmp_path).rows()) == 60
    assert len(S.Store(tmp_path).images()) == 120


@pytest.mark.parametrize("damage", ["cut", "garbage", "empty"])
def test_a_corrupt_part_is_set_aside_and_named(tmp_path: Path, damage: str) -> None:
    store = S.Store(tmp_path)
    store.append([score("b" * 16)], [])
    victim = next(tmp_path.glob("scores-*.parquet"))
    store.append([score("a" * 16)], images())
    whole = victim.read_bytes()
    victim.write_bytes({"cut": whole[: len(whole) // 2], "garbage": os.urandom(300), "empty": b""}[damage])
    with pytest.warns(S.CorruptFileWarning, match="set aside"):
        rows = store.rows()
    assert rows["cell_id"].tolist() == ["a" * 16]
    assert store.corrupt == [victim.name + ".corrupt"]
    assert (tmp_path / store.corrupt[0]).exists()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(store.status()) == 1


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"exces_recall": 1.0}, "Did you mean 'excess_recall'"),
        ({"excess_recall": "high"}, "'excess_recall'"),
        ({"n_members": 1.5}, "'n_members'"),
        ({"n_members": True}, "'n_members'"),
        ({"status": "fine"}, "ok | skipped | failed | timeout"),
        ({"grid": None}, "no grid"),
    ],
)
def test_a_row_that_does_not_fit_is_refused_whole(tmp_path: Path, row: dict, words: str) -> None:
    store = S.Store(tmp_path)
    with pytest.raises(BenchError) as caught:
        store.append([score(), score("c" * 16, **row)], images())
    assert words in str(caught.value)
    assert not list(tmp_path.glob("*"))


def test_plain_floats_and_texts_are_written_as_they_are_beside_others() -> None:
    """They take a short way; beside a numpy number, or a whole one, the same values take the long way."""
    given = [0.12345678, math.nan, None, 1.0]
    rows = [score(f"{i:016x}", auc=value, reason=str(value)) for i, value in enumerate(given)]
    short = S.to_table(rows, "scores")
    long = S.to_table([*rows, score("f" * 16, auc=np.float64(0.5), reason=np.str_("numpy"))], "scores")
    assert short["auc"].to_pylist() == [0.123457, None, None, 1.0] == long["auc"].to_pylist()[:-1]
    assert short["reason"].to_pylist() == ["0.12345678", "nan", "None", "1.0"] == long["reason"].to_pylist()[:-1]
    with pytest.raises(BenchError, match="wrong type"):
        S.to_table([score(auc="high")], "scores")


def test_numpy_values_nan_and_inf(tmp_path: Path) -> None:
    store = S.Store(tmp_path)
    store.append(
        [score(excess_recall=np.float32(0.25), n_members=np.int64(20), psnr_median=math.inf)], images(psnr=math.inf, ssim=math.nan)
    )
    assert store.rows().loc[0, ["excess_recall", "n_members", "psnr_median"]].tolist() == [0.25, 20, math.inf]
    assert store.images()["ssim"].isna().all()


@pytest.mark.parametrize("where", ["replace", "fsync", "open"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES])
def test_full_disk_and_forbidden_folder_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, code: int) -> None:
    store, results = S.Store(tmp_path / "rows"), tmp_path / "results"
    store.append([score()], images())
    S.publish([score()], images(), results)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.parquet")}

    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(*{"replace": (os, "replace"), "fsync": (os, "fsync"), "open": ("builtins.open",)}[where], fail)
        for action in (lambda: store.append([score("d" * 16)]), lambda: S.publish([score("d" * 16)], [], results)):
            with pytest.raises(BenchError, match="disk is full" if code == errno.ENOSPC else "cannot write") as caught:
                action()
            assert "try:" in str(caught.value)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_results_path_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("in the way")
    with pytest.raises(BenchError, match="cannot write"):
        S.publish([score()], images(), tmp_path / "results")


def test_old_files_load_and_newer_ones_are_refused(tmp_path: Path) -> None:
    old = pa.table({"grid": ["quick"], "cell_id": ["e" * 16], "status": ["ok"], "gone_since": [1]})
    pq.write_table(old, tmp_path / "scores-0.parquet")
    rows = S.Store(tmp_path).rows()
    assert rows.loc[0, "status"] == "ok"
    assert pd.isna(rows.loc[0, "excess_recall"])
    pq.write_table(old.replace_schema_metadata({"schema_version": "99"}), tmp_path / "scores-1.parquet")
    with pytest.raises(BenchError, match="newer version"):
        S.Store(tmp_path).rows()
    assert (tmp_path / "scores-1.parquet").exists()


def test_rows_of_an_older_version_join_those_of_this_one(tmp_path: Path) -> None:
    rows, results = tmp_path / "home" / "rows", tmp_path / "results"
    scores = pa.table({"grid": ["quick"], "cell_id": ["e" * 16], "status": ["ok"], "excess_recall": [0.25], "gone_since": [1]})
    pictures = pa.table({"cell_id": ["e" * 16] * 2, "split": ["member", "control"], "index": [0, 0], "ssim": [0.75, 0.5]})
    for folder, names in ((rows, ("scores-0.parquet", "images-0.parquet")), (results, ("scores.parquet", "images.parquet"))):
        folder.mkdir(parents=True)
        for table, name in zip((scores, pictures), names, strict=True):
            pq.write_table(table.replace_schema_metadata({"schema_version": "0"}), folder / name)
    store = S.Store(rows)
    store.append([score()], images())
    store.compact()
    assert len(list(rows.iterdir())) == 2
    S.publish([score()], images(), results)
    S.merge([tmp_path / "home", results], tmp_path / "merged", "refuse")
    for found, shown in ((store.rows(), store.images()), S.load_results(results), S.load_results(tmp_path / "merged")):
        assert found.set_index("cell_id")["excess_recall"].to_dict() == {"e" * 16: 0.25, "a" * 16: 0.5}
        assert found.set_index("cell_id")["psnr_median"].isna()["e" * 16]
        assert shown.loc[shown["cell_id"] == "e" * 16, "ssim"].sort_values().tolist() == pytest.approx([0.5, 0.75])


def test_publishing_is_deterministic_and_fresh_rows_win(tmp_path: Path) -> None:
    scores = [score(f"{i:016d}", seed=i) for i in range(4)]
    pictures = [row for i in range(4) for row in images(f"{i:016d}")]
    one, two = S.publish(scores, pictures, tmp_path / "one"), S.publish(scores[::-1], pictures[::-1], tmp_path / "two")
    assert [p.read_bytes() for p in one] == [p.read_bytes() for p in two]
    before = [(p.read_bytes(), p.stat().st_mtime_ns) for p in one]
    S.publish([], [], tmp_path / "one")
    assert [(p.read_bytes(), p.stat().st_mtime_ns) for p in one] == before
    S.publish(
        [score(f"{1:016d}", seed=1, excess_recall=0.75, finished_at=NOW - timedelta(days=9))], images(f"{1:016d}", n=2), tmp_path / "one"
    )
    table, pictures_now = S.load_results(tmp_path / "one")
    assert table.set_index("cell_id")["excess_recall"][f"{1:016d}"] == 0.75
    assert len(table) == 4
    assert len(pictures_now) == 3 * 6 + 4


def test_a_new_version_of_an_attack_supersedes_the_old_rows(tmp_path: Path) -> None:
    S.publish([score("1" * 16, attack_version="1"), score("2" * 16, seed=1)], images("1" * 16), tmp_path)
    S.publish([score("3" * 16, attack_version="2")], images("3" * 16), tmp_path)
    table, pictures = S.load_results(tmp_path)
    assert sorted(table["cell_id"]) == ["2" * 16, "3" * 16]
    assert set(pictures["cell_id"]) == {"3" * 16}


def test_a_cell_that_failed_since_leaves_no_images(tmp_path: Path) -> None:
    S.publish([score()], images(), tmp_path)
    S.publish([score(status="failed", reason="out of memory", excess_recall=None)], [], tmp_path)
    table, pictures = S.load_results(tmp_path)
    assert table["status"].tolist() == ["failed"]
    assert pictures.empty


def test_thumbnails_are_kept_for_shown_images_only(tmp_path: Path) -> None:
    png = os.urandom(500)
    rows = images("1" * 16, n=20, truth_png=png, recon_png=png)
    store = S.Store(tmp_path / "rows")
    store.append([score("1" * 16), score("2" * 16, seed=1)], rows + images("2" * 16, n=20, truth_png=png, recon_png=png))
    S.publish(store.rows(), store.images(), tmp_path / "results")
    _, pictures = S.load_results(tmp_path / "results")
    shown = pictures[pictures["truth_png"].notna()]
    assert set(shown["cell_id"]) == {"1" * 16}
    assert len(shown) == 6
    # a stronger attack takes the strip and goes again: the thumbnails come back from the store
    S.publish([score("4" * 16, attack="other", excess_recall=0.8)], images("4" * 16, truth_png=png, recon_png=png), tmp_path / "results")
    assert set(S.load_results(tmp_path / "results")[1].dropna(subset="truth_png")["cell_id"]) == {"4" * 16}
    S.publish([score("4" * 16, attack="other", excess_recall=0.1)], [], tmp_path / "results", store=store)
    assert set(S.load_results(tmp_path / "results")[1].dropna(subset="truth_png")["cell_id"]) == {"1" * 16}


def test_thirty_thousand_image_rows_stay_below_a_megabyte(tmp_path: Path) -> None:
    rng, n = np.random.default_rng(0), 30_000
    cells = [f"{i:016x}" for i in rng.integers(0, 2**60, n // 40)]
    frame = pd.DataFrame({"cell_id": np.repeat(cells, 40), "split": ["member"] * n, "index": np.tile(np.arange(40), n // 40)})
    for name, scale in {"ssim": 1, "ssim_w3": 1, "lpips": 1, "psnr": 20, "ncc": 1, "nn_ssim": 1, "oracle_ssim": 1, "haim_ssim": 1}.items():
        frame[name] = scale * np.clip(rng.normal(0.3, 0.12, n), 0, 1)
    frame["candidate"] = rng.integers(0, 40, n)
    scores = [score(cell, seed=i, excess_recall=float(rng.random()), seconds_attack=float(rng.random())) for i, cell in enumerate(cells)]
    for path in S.publish(scores, frame, tmp_path):
        assert path.stat().st_size < 2**20


def test_readable_as_is_and_described(tmp_path: Path) -> None:
    duckdb, polars = pytest.importorskip("duckdb"), pytest.importorskip("polars")
    paths = S.publish([score()], images(truth_png=b"x"), tmp_path)
    for path, rows in zip(paths, (1, 6), strict=True):
        assert len(pd.read_parquet(path)) == rows
        assert len(polars.read_parquet(path)) == rows
        assert duckdb.sql(f"select count(*) from '{path}'").fetchall() == [(rows,)]
    assert duckdb.sql(f"select excess_recall from '{paths[0]}'").fetchall() == [(0.5,)]
    written = pq.read_schema(paths[0])
    assert written.metadata[b"schema_version"] == b"1"
    assert json.loads(written.metadata[b"units"])["psnr_median"] == "dB"
    assert json.loads(written.metadata[b"ranges"])["excess_recall"] == "[-1, 1]"
    assert json.loads(written.metadata[b"directions"])["lpips_median"] == "lower"
    text = S.describe_schema()
    for column in (*S.columns("scores"), *S.columns("images")):
        assert f"| `{column.name}` |" in text
        assert column.description


def test_every_setting_field_has_a_column() -> None:
    assert set(Setting.model_fields) <= {column.name for column in S.SETTING_COLUMNS}


def test_merge(tmp_path: Path) -> None:
    a, b, store = tmp_path / "a", tmp_path / "b", S.Store(tmp_path / "home" / "rows")
    S.publish([score("1" * 16, excess_recall=0.3)], images("1" * 16, ssim=0.3), a)
    S.publish([score("1" * 16, excess_recall=0.2, finished_at=NOW + timedelta(1)), score("2" * 16, seed=1)], images("1" * 16, ssim=0.2), b)
    store.append([score("3" * 16, seed=2)], images("3" * 16))
    with pytest.raises(BenchError, match="1111111111111111"):
        S.merge([a, b], tmp_path / "refused", "refuse")
    assert not (tmp_path / "refused").exists()
    last = S.merge([a, b, tmp_path / "home"], tmp_path / "last")
    assert (last.rows, last.added, last.replaced) == (3, 3, [("quick", "1" * 16)])
    table, pictures = S.load_results(tmp_path / "last")
    assert table.set_index("cell_id")["excess_recall"]["1" * 16] == 0.2
    assert pictures.loc[pictures["cell_id"] == "1" * 16, "ssim"].tolist() == pytest.approx([0.2] * 6)
    S.merge([a, b], tmp_path / "best", "best")
    assert S.load_results(tmp_path / "best")[0].set_index("cell_id")["excess_recall"]["1" * 16] == 0.3
    S.merge([a], tmp_path / "home")  # into a store
    assert len(store.rows()) == 2
    with pytest.raises(BenchError, match="nothing to merge"):
        S.merge([tmp_path / "nowhere"], a)


def test_merging_two_versions_of_a_cell_leaves_one(tmp_path: Path) -> None:
    older, newer = score("1" * 16, excess_recall=0.3), score("2" * 16, excess_recall=0.2, finished_at=NOW + timedelta(1))
    a, b, store = tmp_path / "a", tmp_path / "b", S.Store(tmp_path / "home" / "rows")
    S.publish([older], images("1" * 16), a)
    S.publish([newer], images("2" * 16), b)
    store.append([older, newer], [*images("1" * 16), *images("2" * 16)])
    with pytest.raises(BenchError, match=r"2222222222222222 .* by another version 1111111111111111"):
        S.merge([a, b], tmp_path / "refused", "refuse")
    for paths in ([a, b], [b, a], [tmp_path / "home"]):
        into = tmp_path / f"into{len(list(tmp_path.iterdir()))}"
        S.merge(paths, into)
        scores, pictures = S.load_results(into)
        assert scores["cell_id"].tolist() == ["2" * 16]
        assert set(pictures["cell_id"]) == {"2" * 16}
    S.merge([b], a)
    assert S.load_results(a)[0]["cell_id"].tolist() == ["2" * 16]
    other = score("3" * 16, dataset_display="another copy")
    S.publish([other], images("3" * 16), tmp_path / "c")
    S.merge([tmp_path / "c"], a)
    assert set(S.load_results(a)[0]["cell_id"]) == {"2" * 16, "3" * 16}


def test_a_later_score_protocol_wins_whenever_it_was_finished(tmp_path: Path) -> None:
    """A machine that still scores by the earlier one finishes after, and with a higher score; v10 is later than v9."""
    later = score("1" * 16, protocol="v10", excess_recall=0.2)
    earlier = score("2" * 16, protocol="v9", excess_recall=0.9, finished_at=NOW + timedelta(1))
    store = S.Store(tmp_path / "home" / "rows")
    store.append([later, earlier], [*images("1" * 16), *images("2" * 16)])
    assert len(store.rows()) == 2, "a store keeps both"
    for name, row in (("a", later), ("b", earlier)):
        S.publish([row], images(row["cell_id"]), tmp_path / name)
    for conflict in ("last", "best"):
        for paths in (["a", "b"], ["b", "a"], ["home"]):
            into = tmp_path / f"{conflict}{'-'.join(paths)}"
            S.merge([tmp_path / path for path in paths], into, conflict)
            scores, pictures = S.load_results(into)
            assert (scores["cell_id"].tolist(), set(pictures["cell_id"])) == (["1" * 16], {"1" * 16})
    S.publish([later], images("1" * 16), tmp_path / "b")
    assert S.load_results(tmp_path / "b")[0]["protocol"].tolist() == ["v10"]


def test_what_is_published_during_a_merge_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.store import merging

    S.publish([score("1" * 16)], images("1" * 16), tmp_path / "a")
    threads, load = [], merging.load_tables

    def meanwhile(folder: Path) -> object:
        tables = load(folder)
        if folder == tmp_path / "into":
            cell = str(2 + len(threads)) * 16
            threads.append(threading.Thread(target=S.publish, args=([score(cell, seed=2 + len(threads))], images(cell), folder)))
            threads[-1].start()
            threads[-1].join(0.5)
        return tables

    monkeypatch.setattr(merging, "load_tables", meanwhile)
    S.merge([tmp_path / "a"], tmp_path / "into")
    for thread in threads:
        thread.join()
    assert len(threads) > 0
    assert len(S.load_results(tmp_path / "into")[0]) == 1 + len(threads)


def test_a_row_that_wins_a_merge_does_not_keep_the_pictures_of_the_other(tmp_path: Path) -> None:
    S.publish([score("1" * 16, excess_recall=0.3)], images("1" * 16, ssim=0.3), tmp_path / "a")
    S.publish([score("1" * 16, excess_recall=0.2, finished_at=NOW + timedelta(1))], [], tmp_path / "b")
    S.merge([tmp_path / "b"], tmp_path / "a")
    scores, pictures = S.load_results(tmp_path / "a")
    assert scores["excess_recall"].tolist() == [0.2]
    assert pictures.empty


def test_a_corrupt_published_file_is_an_error_and_stays(tmp_path: Path) -> None:
    S.publish([score()], images(), tmp_path)
    for name in ("scores/quick.parquet", "scores.parquet", "images/quick.parquet"):
        before = (tmp_path / name).read_bytes() if (tmp_path / name).exists() else None
        (tmp_path / name).write_bytes(b"PAR1 no")
        with pytest.raises(BenchError, match=rf"{name} is corrupt"):
            S.publish([score()], images(), tmp_path)
        assert (tmp_path / name).read_bytes() == b"PAR1 no"
        (tmp_path / name).unlink() if before is None else (tmp_path / name).write_bytes(before)


def test_each_grid_has_an_image_file_and_controls_of_other_tracks_show_their_ssim_alone(tmp_path: Path) -> None:
    plain, other = score("a" * 16), score("b" * 16, grid="mnemonist", track="informed")
    rows = [*images("a" * 16, psnr=20.0), *images("b" * 16, psnr=20.0, mse=0.01, pool_mse=0.02, ssim=0.25)]
    S.publish([plain, other], rows, tmp_path)
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.parquet")} == {
        f"{table}/{row['grid']}.parquet" for table in ("scores", "images") for row in (plain, other)
    }
    assert set(pq.read_table(tmp_path / "images" / f"{plain['grid']}.parquet")["cell_id"].to_pylist()) == {"a" * 16}
    scores, found = S.load_results(tmp_path)
    assert len(scores) == 2
    assert len(found) == len(rows)
    controls = found[(found["cell_id"] == "b" * 16) & (found["split"] == "control")]
    assert controls["mse"].isna().all()
    assert found.loc[found["cell_id"] == "b" * 16, "psnr"].isna().all()
    assert found.loc[found["cell_id"] == "a" * 16, "psnr"].notna().all()
    assert controls["ssim"].round(2).eq(0.25).all()
    assert found[(found["cell_id"] == "b" * 16) & (found["split"] == "member")]["pool_mse"].round(3).eq(0.02).all()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.parquet")}
    S.publish([], [], tmp_path)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*.parquet")}
    S.publish([{**other, "status": "failed", "reason": "boom", "finished_at": datetime.now(timezone.utc)}], [], tmp_path)
    assert not (tmp_path / "images" / "mnemonist.parquet").exists(), "a grid without image rows has no file"


def test_a_grid_with_a_strange_name_stays_in_its_folder(tmp_path: Path) -> None:
    S.publish([score("c" * 16, grid="../../evil")], images("c" * 16), tmp_path / "results")
    assert {str(path.relative_to(tmp_path / "results")) for path in tmp_path.rglob("*.parquet")} == {
        "scores/evil.parquet",
        "images/evil.parquet",
    }


def test_a_grid_whose_image_rows_are_too_many_for_one_file_has_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(split, "LARGEST", 16_000)
    cells = [f"{i:016d}" for i in range(60)]
    rng = np.random.default_rng(0)  # what does not compress
    rows = [{**row, "ssim": float(rng.random()), "psnr": float(rng.random())} for cell in cells for row in images(cell, n=60)]
    S.publish([score(cell, seed=i) for i, cell in enumerate(cells)], rows, tmp_path)
    files = sorted(path.name for path in (tmp_path / "images").glob("*.parquet"))
    assert len(files) > 2
    assert {name.split(".")[0] for name in files} == {score()["grid"]}
    assert all((tmp_path / "images" / name).stat().st_size <= 16_000 for name in files)
    found = S.load_results(tmp_path)[1]
    assert len(found) == len(rows)
    assert not found.duplicated(["cell_id", "split", "index"]).any()
    monkeypatch.setattr(split, "LARGEST", 10**6)
    S.publish([], [], tmp_path)
    assert len(list((tmp_path / "images").glob("*.parquet"))) == 1, "the pieces are gone when one file will do"


def test_a_cell_of_two_grids_is_published_once_and_the_older_layout_is_taken_over(tmp_path: Path) -> None:
    S.publish([score(grid="b"), score(grid="a")], images(), tmp_path)
    names = {"scores/a.parquet", "scores/b.parquet", "images/a.parquet"}
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.parquet")} == names
    (tmp_path / "images" / "a.parquet").rename(tmp_path / "images.parquet")
    assert len(S.load_results(tmp_path)[1]) == len(images())
    S.publish([], [], tmp_path)
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.parquet")} == names
    assert len(S.load_results(tmp_path)[1]) == len(images())


def joined(folder: Path, *others: Path) -> Path:
    """A results folder whose files are those of several, one after the other, as ``pandas.concat`` leaves them."""
    for name in {path.relative_to(other) for other in others for path in other.rglob("*.parquet")}:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.concat_tables([pq.read_table(other / name) for other in others]), folder / name)
    return folder


def test_tables_that_were_joined_by_hand_count_each_cell_once(tmp_path: Path) -> None:
    a, b, into = tmp_path / "a", tmp_path / "b", tmp_path / "joined"
    png = images("1" * 16, truth_png=b"x", recon_png=b"y")
    noise = {"kkt_residual": 0.1 + 1e-15, "excess_recall": 0.5000001}
    S.publish([score("1" * 16, seconds_attack=1.0, finished_at=NOW + timedelta(1), **noise)], png, a)
    S.publish([score("1" * 16, seconds_attack=2.0, kkt_residual=0.1), score("2" * 16, seed=1)], [*images("1" * 16), *images("2" * 16)], b)
    scores, pictures = S.load_results(joined(into, a, b))
    assert sorted(scores["cell_id"]) == ["1" * 16, "2" * 16]
    assert scores.set_index("cell_id")["seconds_attack"]["1" * 16] == 1.0  # the row finished last, wherever it stands
    assert len(pictures) == 12
    assert not pictures.duplicated(["cell_id", "split", "index"]).any()
    assert pictures["truth_png"].notna().any()  # of rows that say the same, one with its picture
    assert S.merge([into], tmp_path / "merged").rows == 2
    S.publish([score("3" * 16, seed=2)], images("3" * 16), into)
    assert pq.read_table(into / "scores").num_rows == 3
    assert pq.read_table(into / "images" / "quick.parquet").num_rows == 18


@pytest.mark.parametrize(
    ("scores", "pictures", "words"),
    [
        ({"excess_recall": 0.3}, {}, "two rows of cell 1{16} of grid 'quick' that differ"),
        ({}, {"ssim": 0.7}, "two rows of an image of cell 1{16}"),
    ],
)
def test_rows_of_one_cell_that_differ_are_refused_where_nothing_says_which_images_are_whose(
    tmp_path: Path, scores: dict, pictures: dict, words: str
) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    S.publish([score("1" * 16)], images("1" * 16), a)
    S.publish([score("1" * 16, finished_at=NOW + timedelta(1), **scores)], images("1" * 16, **pictures), b)
    with pytest.raises(BenchError, match=words) as caught:
        S.load_results(joined(tmp_path / "joined", a, b))
    assert "bench merge" in str(caught.value)
    assert S.merge([a, b], tmp_path / "into").rows == 1


def test_of_two_versions_of_a_cell_and_of_a_failure_the_last_finished_counts_however_they_came_together(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    failed = score("4" * 16, seed=1, status="failed", reason="out of memory", excess_recall=None)
    S.publish([score("1" * 16, finished_at=NOW + timedelta(1)), failed], images("1" * 16), a)
    S.publish([score("2" * 16), score("4" * 16, seed=1, finished_at=NOW + timedelta(1))], [*images("2" * 16), *images("4" * 16)], b)
    for order in ((a, b), (b, a)):
        scores, _ = S.load_results(joined(tmp_path / f"joined{order[0].name}", *order))
        assert scores.set_index("cell_id")["status"].to_dict() == {"1" * 16: "ok", "4" * 16: "ok"}


def test_image_rows_that_a_kill_left_in_two_files_count_once(tmp_path: Path) -> None:
    S.publish([score()], images(ssim=0.5), tmp_path)
    pq.write_table(S.to_table(images(ssim=0.1), "images"), tmp_path / "images.parquet")  # the older layout, not yet removed
    pictures = S.load_results(tmp_path)[1]
    assert pictures["ssim"].tolist() == [0.5] * 6


def test_the_same_rows_as_another_version_of_the_writer_puts_them_are_left_as_they_are(tmp_path: Path) -> None:
    S.publish([score("1" * 16, grid="a"), score("2" * 16, grid="b")], [*images("1" * 16), *images("2" * 16)], tmp_path)
    before = {}
    for path in tmp_path.rglob("*.parquet"):
        pq.write_table(pq.read_table(path), path, compression="snappy")
        before[path] = path.read_bytes()
    S.publish([score("2" * 16, grid="b", excess_recall=0.1)], images("2" * 16, ssim=0.9), tmp_path)
    changed = {str(path.relative_to(tmp_path)) for path in before if path.read_bytes() != before[path]}
    assert changed == {"scores/b.parquet", "images/b.parquet"}


@pytest.mark.parametrize(("table", "column"), [("scores", "n_clean"), ("images", "mse")])
def test_the_files_of_a_table_have_the_same_columns(tmp_path: Path, table: str, column: str) -> None:
    """A column that came later is null in files of before. Who reads the folder as a whole has the columns of its first file."""
    polars = pytest.importorskip("polars")
    S.publish([score("1" * 16, grid="a"), score("2" * 16, grid="b")], [*images("1" * 16), *images("2" * 16)], tmp_path)
    for path in tmp_path.rglob("a.parquet"):
        pq.write_table(pq.read_table(path).drop_columns([column] if path.parent.name == table else []), path)
    S.publish([score("2" * 16, grid="b", excess_recall=0.1)], [], tmp_path)
    schemas = [pq.read_schema(path) for path in (tmp_path / table).glob("*.parquet")]
    assert schemas[0].equals(schemas[1])
    assert list(pd.read_parquet(tmp_path / table)) == [c.name for c in S.columns(table)]  # type: ignore[arg-type]
    assert polars.read_parquet(tmp_path / table / "*.parquet").columns == [c.name for c in S.columns(table)]  # type: ignore[arg-type]


def test_a_grid_whose_fresh_rows_stand_alone_has_no_others(tmp_path: Path) -> None:
    S.publish([score("1" * 16), score("2" * 16, grid="b")], [*images("1" * 16), *images("2" * 16)], tmp_path)
    S.publish([score("3" * 16, seed=7)], images("3" * 16), tmp_path, alone=True)
    scores, pictures = S.load_results(tmp_path)
    assert sorted(scores["cell_id"]) == ["2" * 16, "3" * 16] == sorted(pictures["cell_id"].unique())


def test_who_waits_for_another_writer_is_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = []

    def second() -> None:
        with store_published.locked(tmp_path):
            done.append(1)

    with store_published.locked(tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.5)
        assert done == []
    thread.join(10)
    assert done == [1]
    assert capsys.readouterr().err == f"waiting for another process that writes {tmp_path}\n"
    with store_published.locked(tmp_path):
        pass
    assert capsys.readouterr().err == ""
