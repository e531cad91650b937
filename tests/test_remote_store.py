"""The store in an object store, beside the same in a folder: whole files only, many writers, clear errors, no credentials anywhere."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import random
import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pyarrow.fs as pafs
import pytest
import store_writers
from s3 import KEY, SECRET, make_bucket, running, uri
from test_store import NOW, images, score
from tiny_grid import clean_registry, write_grid, write_plugin  # noqa: F401

from bench import doctor, faults, line, registry
from bench import files as F
from bench import store as S
from bench.cli import main
from bench.engine import stored
from bench.errors import BenchError, StorageError
from bench.targets.cache import TargetCache

COUNT = itertools.count()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with running() as address:
        yield address


@pytest.fixture
def bucket(server: str) -> str:
    """The URI of a prefix in a bucket of the test's own."""
    name = f"bucket-{next(COUNT)}"
    make_bucket(server, name)
    return uri(server, name)


@pytest.fixture(params=["folder", "s3", "renamed"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder, an object store, and a file system of pyarrow where a file shows while it is written."""
    if request.param == "folder":
        return str(tmp_path / "store")
    return request.getfixturevalue("bucket") if request.param == "s3" else f"mock:///{tmp_path.name}-{next(COUNT)}"


# --- files ----------------------------------------------------------------------------------------------------------------------------


def test_files_are_put_listed_read_replaced_and_removed(place: str) -> None:
    files = F.files_at(place)
    assert not files.exists()
    assert files.listing() == []
    files.put("b", b"1")
    files.put("a", b"22")
    files.put("b", b"333")
    files.within("deep/er").put("c", b"")
    assert [(file.name, file.size) for file in files.listing()] == [("a", 2), ("b", 3)]
    assert [file.name for file in files.within("deep/er").listing()] == ["c"]
    assert files.exists()
    assert files.read("b") == b"333"
    assert list(files.each(lambda file: files.read(file.name), files.listing())) == [b"22", b"333"]
    files.set_aside("b", "b.corrupt")
    for _ in range(2):
        files.set_aside("b", "b.corrupt")  # another process was faster
        files.delete("a")
    assert [file.name for file in files.listing()] == ["b.corrupt"]
    with pytest.raises(FileNotFoundError):
        files.read("a")
    files.probe()
    assert [file.name for file in files.listing()] == ["b.corrupt"]


def test_a_large_file_goes_in_parts_and_comes_back(bucket: str) -> None:
    content = random.Random(0).randbytes(12_000_000)
    F.files_at(bucket).put("large", content)
    assert F.files_at(bucket).read("large") == content


# --- rows -----------------------------------------------------------------------------------------------------------------------------


def test_rows_come_back_and_the_last_finished_wins(place: str) -> None:
    store = S.Store(place)
    assert store.rows().empty
    store.append([score(excess_recall=0.9, finished_at=NOW + timedelta(hours=1))], images(n=5))
    store.append([score(excess_recall=0.1)], [])
    store.append([score(grid="width")], [])
    for _ in range(2):
        assert store.rows().set_index("grid")["excess_recall"].to_dict() == {"quick": 0.9, "width": 0.5}
        assert store.status() == {("quick", "a" * 16): ("ok", ""), ("width", "a" * 16): ("ok", "")}
        assert len(store.images()) == 10
        store.compact()
        assert len(store.files.listing()) == 2


def test_a_corrupt_part_is_set_aside_and_named(place: str) -> None:
    store = S.Store(place)
    store.append([score("b" * 16)])
    victim = store.files.listing()[0].name
    store.append([score("a" * 16)], images())
    store.files.put(victim, store.files.read(victim)[:200])
    with pytest.warns(S.CorruptFileWarning, match=f"{victim} is corrupt .* its cells count as not run") as heard:
        assert store.rows()["cell_id"].tolist() == ["a" * 16]
    assert SECRET not in str(heard[0].message)
    assert store.corrupt == [f"{victim}.corrupt"]
    assert f"{victim}.corrupt" in [file.name for file in store.files.listing()]
    assert len(store.status()) == 1


def test_a_target_is_kept_and_a_corrupt_one_set_aside(place: str) -> None:
    import torch

    cache = TargetCache(place)
    assert cache.get("0" * 16) is None
    cache.put("0" * 16, {"w": torch.arange(3.0)}, {"epochs_run": 5})
    found = cache.get("0" * 16)
    assert found is not None
    assert (found[0]["w"].tolist(), found[1]) == ([0.0, 1.0, 2.0], {"epochs_run": 5})
    cache.files.put(f"{'0' * 16}.safetensors", b"\x08\0\0\0\0\0\0\0not json")
    with pytest.warns(UserWarning, match="is corrupt"):
        assert cache.get("0" * 16) is None
    assert [file.name for file in cache.files.listing()] == [f"{'0' * 16}.corrupt"]


@pytest.mark.parametrize(("where", "seconds"), [("folder", 10.0), ("s3", 6.0)])
def test_writers_that_are_killed_at_any_point_lose_and_double_nothing(
    request: pytest.FixtureRequest, tmp_path: Path, where: str, seconds: float
) -> None:
    place = str(tmp_path / "rows") if where == "folder" else request.getfixturevalue("bucket")
    context, draw = store_writers.context(), random.Random(0)
    told = [tmp_path / f"{who}.txt" for who in range(3)]
    jobs = [*((store_writers.write, (place, who, str(told[who]))) for who in range(3)), (store_writers.compact, (place,))]

    def start(who: int) -> multiprocessing.process.BaseProcess:
        process = context.Process(target=jobs[who][0], args=jobs[who][1], daemon=True)
        process.start()
        return process

    def length(who: int) -> int:
        return told[who].stat().st_size if who < 3 and told[who].exists() else 0

    processes = [start(who) for who in range(len(jobs))]  # three writers and a compactor
    kills, since = [0] * len(jobs), [0] * len(jobs)
    ends = time.monotonic() + seconds
    try:
        while time.monotonic() < ends or min(kills) == 0:
            time.sleep(draw.uniform(0.0, 0.2))
            who = draw.randrange(len(jobs))
            if who < 3 and length(who) == since[who]:
                continue  # it has only just started
            assert processes[who].is_alive(), "none ends by itself"
            processes[who].kill()
            processes[who].join()
            kills[who] += 1
            since[who] = length(who)
            processes[who] = start(who)
    finally:
        for process in processes:
            process.kill()
            process.join()
    store = S.Store(place)
    rows, pictures = store.rows(), store.images()
    done = {cell for path in told for cell in path.read_text().split("\n")[:-1]}
    assert not rows.duplicated(["grid", "cell_id"]).any()
    assert done <= set(rows["cell_id"]), "a row that was reported done is lost"
    assert len(rows) - len(done) <= sum(kills[:3]) + 3, "more rows than can have been stored and not yet reported"
    assert store.corrupt == [], "a torn file"
    counts = pictures[pictures["cell_id"].isin(rows["cell_id"])].groupby("cell_id").size()
    sizes = {cell: 2 * (store_writers.MANY if store_writers.many_images(cell) else store_writers.FEW) for cell in rows["cell_id"]}
    assert counts.to_dict() == sizes, "image rows of a stored cell are whole, and there once"
    store.compact()
    assert set(store.rows()["cell_id"]) == set(rows["cell_id"])


def test_a_compaction_that_ends_after_any_of_its_steps_loses_and_doubles_nothing(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = S.Store(place)
    for cell in "abc":
        store.append([score(cell * 16)], images(cell * 16))
    kind, left = type(store.files), [0]

    def limited(method: Callable[..., None]) -> Callable[..., None]:
        def step(*args: object) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            method(*args)

        return step

    for steps in range(8):  # two tables: each a part put and three removed
        left[0] = steps
        with monkeypatch.context() as patch:
            for name in ("put", "delete"):
                patch.setattr(kind, name, limited(getattr(kind, name)))
            with contextlib.suppress(KeyboardInterrupt):
                store.compact()
        assert sorted(store.rows()["cell_id"]) == [cell * 16 for cell in "abc"], steps
        assert len(store.images()) == 18, steps


def test_what_killed_writers_left_is_not_read_and_is_swept_later(tmp_path: Path) -> None:
    store = S.Store(tmp_path)
    store.append([score()])
    part = next(tmp_path.glob("scores-*.parquet"))
    fresh, old = tmp_path / f".{part.name}.1.ab.tmp", tmp_path / f".{part.name}.2.cd.tmp"
    for leftover in (fresh, old):
        leftover.write_bytes(part.read_bytes()[:100])
    os.utime(old, (time.time() - 2 * F.LEFTOVER,) * 2)
    assert len(store.rows()) == 1
    assert [file.name for file in store.files.listing()] == [part.name]
    store.compact()
    assert fresh.exists(), "its writer may be at it"
    assert not old.exists()


def test_an_upload_that_is_killed_leaves_an_object_whole_or_none(bucket: str, tmp_path: Path) -> None:
    files, ready = F.files_at(bucket), tmp_path / "ready"
    for pause in (0.05, 0.2):
        ready.unlink(missing_ok=True)
        process = store_writers.context().Process(target=store_writers.put_large, args=(bucket, str(ready)), daemon=True)
        process.start()
        while not ready.exists():
            assert process.is_alive()
            time.sleep(0.02)
        time.sleep(pause)
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        assert [file.size for file in files.listing()] in ([], [store_writers.LARGE])


def test_small_parts_are_not_joined_across_a_large_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = S.Store(tmp_path)
    for i, (cell, ssim, n) in enumerate([("a", 0.1, 1), ("b", 0.1, 1), ("a", 0.2, 500), ("c", 0.1, 1), ("d", 0.1, 1)]):
        store.append([score(cell * 16, finished_at=NOW + timedelta(i))], images(cell * 16, n=n, ssim=ssim))
    sizes = sorted(path.stat().st_size for path in tmp_path.glob("images-*.parquet"))
    assert sizes[-1] > sizes[-2]
    monkeypatch.setattr("bench.store.parts.LARGE_PART", sizes[-1])
    store.compact()
    assert store.images(["a" * 16])["ssim"].tolist() == pytest.approx([0.2] * 1000), "the newest run, not one that a later part repeats"
    assert len(list(tmp_path.glob("images-*.parquet"))) == 4


# --- merging --------------------------------------------------------------------------------------------------------------------------


def test_stores_of_many_machines_are_merged(server: str, bucket: str, tmp_path: Path) -> None:
    one, other = f"{bucket.partition('?')[0]}/one?{bucket.partition('?')[2]}", f"{bucket.partition('?')[0]}/two?{bucket.partition('?')[2]}"
    S.Store(F.files_at(one).within("rows")).append([score("1" * 16, excess_recall=0.3)], images("1" * 16, ssim=0.3))
    later = [score("1" * 16, excess_recall=0.2, finished_at=NOW + timedelta(1)), score("2" * 16, seed=1)]
    S.Store(F.files_at(other).within("rows")).append(later, images("1" * 16, ssim=0.2))
    with pytest.raises(BenchError, match="1111111111111111") as caught:
        S.merge([one, other], tmp_path / "refused", "refuse")
    assert "/two" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert not (tmp_path / "refused").exists()
    for how, recall, ssim in (("last", 0.2, 0.2), ("best", 0.3, 0.3)):
        merged = S.merge([one, other], tmp_path / how, how)  # type: ignore[arg-type]
        assert merged.rows == 2
        table, pictures = S.load_results(tmp_path / how)
        assert table.set_index("cell_id")["excess_recall"]["1" * 16] == recall
        assert pictures["ssim"].tolist() == pytest.approx([ssim] * 6)
    with pytest.raises(BenchError, match="a store keeps the row finished last"):
        S.merge([one], other, "best")
    third = f"{bucket.partition('?')[0]}/three?{bucket.partition('?')[2]}"
    assert main(["merge", one, other, str(tmp_path / "best"), "--into", third]) == 0
    rows = S.Store(F.files_at(third).within("rows")).rows()
    assert rows.set_index("cell_id")["excess_recall"].to_dict() == {"1" * 16: 0.2, "2" * 16: 0.5}
    with pytest.raises(BenchError, match="nothing to merge") as caught:
        S.merge([uri(server, bucket.partition("@")[2].partition("/")[0], "nowhere")], tmp_path / "none")
    assert SECRET not in str(caught.value)


# --- runs -----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("clean_registry")
def test_a_run_keeps_everything_there_and_its_credentials_nowhere(
    bucket: str, tmp_path: Path, bench_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RECONBENCH_STORE", bucket)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "hunter2-of-the-session")
    registry.load_plugin(write_plugin(tmp_path, "falls", "raise ValueError('no')"))
    grid, out = write_grid(tmp_path, "mean_image, falls"), tmp_path / "results"
    assert main(["run", "--grid", str(grid), "--out", str(out), "-j", "2"]) == 2
    files = F.files_at(bucket)
    for folder, most in (("targets", 4), ("reconstructions", 4)):
        assert [file.name.rpartition(".")[2] for file in files.within(folder).listing()] == ["safetensors"] * most
    assert files.within("rows").listing()
    assert {path.name for path in bench_home.iterdir()} <= {"weights", "datasets", "pages"}
    assert stored.store().rows()["status"].value_counts().to_dict() == {"ok": 4, "failed": 4}
    capsys.readouterr()
    assert main(["run", "--grid", str(grid), "--out", str(out), "--attack", "mean_image", "--json"]) == 0
    assert '"cached": 4' in capsys.readouterr().out, "another process finds what was computed"
    assert main(["score", "--grid", "tiny", "--out", str(out)]) == 0
    assert main(["merge", bucket, "--into", str(tmp_path / "merged")]) == 0
    assert len(pd.read_parquet(tmp_path / "merged" / "scores")) == 8
    check = doctor._store()
    assert (check.status, check.detail.partition("bucket-")[0]) == ("ok", "s3://")
    said = capsys.readouterr()
    written = [path for folder in (out, tmp_path / "merged", bench_home) for path in folder.rglob("*") if path.is_file()]
    contents = [path.read_bytes() for path in written if not path.is_symlink()]
    contents += [
        files.within(folder).read(file.name) for folder in ("rows", "targets", "reconstructions") for file in files.within(folder).listing()
    ]
    assert len(contents) > 12
    tables = [stored.store().rows(), pd.read_parquet(out / "scores")]
    text = [said.out + said.err + repr(check), *(table.to_csv() for table in tables), *(content.decode("latin-1") for content in contents)]
    for secret in (KEY, SECRET, "hunter2"):
        assert not any(secret in one for one in text), secret


def test_the_store_may_be_another_folder(tmp_path: Path, bench_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = tmp_path / "shared"
    assert str(stored.store()) == f"{bench_home}/rows"
    for place in (str(shared), f"file://{shared}"):
        monkeypatch.setenv("RECONBENCH_STORE", place)
        assert str(stored.store()) == f"{shared}/rows"
        assert str(stored.reconstructions()) == f"{shared}/reconstructions"
        assert str(stored.cache_of(False).files) == f"{shared}/targets"
        assert doctor._store().detail == f"{shared} (not made yet) is writable"
    assert not shared.exists()


# --- what goes wrong ------------------------------------------------------------------------------------------------------------------


def _closed() -> str:
    """An address at which nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{one.getsockname()[1]}"


@pytest.mark.parametrize("wrong", ["endpoint", "bucket", "option", "scheme", "nothing"])
def test_a_store_that_cannot_be_had_is_said_at_once(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], wrong: str
) -> None:
    place, words = {
        "endpoint": (uri(_closed(), "bucket"), "cannot list s3://bucket/deep/prefix"),
        "bucket": (uri(server, "no-such-bucket"), "make the bucket first"),
        "option": (uri(server, "bucket").replace("&scheme", "&shceme"), "Did you mean 'scheme'?"),
        "scheme": (f"zz://{KEY}:{SECRET}@bucket/x", "RECONBENCH_STORE is not understood"),
        "nothing": (f"s3://{KEY}:hunter2@/x?region=eu-west-1", "names no bucket"),
    }[wrong]
    monkeypatch.setenv("RECONBENCH_STORE", place)
    began = time.monotonic()
    assert main(["run", "--grid", str(write_grid(tmp_path)), "--out", str(tmp_path / "out")]) == 1
    assert time.monotonic() - began < 20
    said = capsys.readouterr()
    assert words in said.err
    assert "Traceback" not in said.err
    with pytest.raises(BenchError) as caught:
        main(["--debug", "run", "--grid", str(write_grid(tmp_path)), "--out", str(tmp_path / "out")])
    check = doctor._store()
    assert check.status == "missing"
    assert check.todo
    said = capsys.readouterr()
    for secret in (KEY, SECRET, "hunter2"):
        assert secret not in said.out + said.err + repr(check) + "".join(traceback.format_exception(caught.value))


@pytest.fixture
def silent() -> Iterator[str]:
    """HOST:PORT of a server that takes every connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server, contextlib.ExitStack() as held:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    held.enter_context(server.accept()[0])

        threading.Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for a server is told so after 0.2 s and gives up after 1 s."""
    monkeypatch.setattr(line, "PATIENCE", 1.0)
    monkeypatch.setattr(line, "WORD", 0.2)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("place", ["s3", "s3 without a region", "gs", "gs that nobody serves"])
def test_a_store_that_never_answers_is_waited_for_and_then_given_up(
    place: str, silent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(pafs, "resolve_s3_region", lambda bucket: time.sleep(5))
    google = "gs://anonymous@bucket/x?scheme=http&endpoint_override="
    uris = {
        "s3": uri(silent, "bucket"),
        "s3 without a region": f"s3://{KEY}:hunter2hunter2@bucket/x",
        "gs": google + silent,
        "gs that nobody serves": google + _closed(),
    }
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RECONBENCH_STORE", uris[place])
    shown = F.shown(uris[place])
    began = time.monotonic()
    assert main(["run", "--grid", str(write_grid(tmp_path)), "--out", str(tmp_path / "out"), "--dry-run"]) == 1
    assert time.monotonic() - began < 4
    said = capfd.readouterr().err
    assert f"waiting for {shown}, 1 s at most\n" in said
    assert "got:      no answer in 1 s\n" in said
    assert "check the network" in said
    for secret in (KEY, SECRET, "hunter2"):
        assert secret not in said


def test_google_s_library_does_not_try_again_for_a_quarter_of_an_hour() -> None:
    assert F._patient("gs://bucket/x") == "gs://bucket/x?retry_limit_seconds=10"
    assert F._patient("gcs://bucket/x?scheme=http") == "gcs://bucket/x?scheme=http&retry_limit_seconds=10"
    for other in ("gs://bucket?retry_limit_seconds=3", "abfs://container@account/x"):
        assert F._patient(other) == other


class Deaf:
    """A file system of pyarrow that no longer answers, whatever it is asked, until it is told to."""

    type_name = "s3"

    def __init__(self) -> None:
        self.wakes = threading.Event()

    def __getattr__(self, name: str) -> Callable[..., None]:
        def wait(*_: object, **__: object) -> None:
            self.wakes.wait()
            raise FileNotFoundError(name)

        return wait


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("verb", ["list", "read", "write", "delete", "rename"])
def test_a_store_that_falls_silent_later_is_given_up_too(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    deaf = Deaf()
    files = F.Remote(deaf, "bucket", "s3://bucket", frozenset(), line.Line("s3://bucket"))  # type: ignore[arg-type]
    does: dict[str, Callable[[], object]] = {
        "list": files.listing,
        "read": lambda: files.read("a"),
        "write": lambda: files.put("a", b""),
        "delete": lambda: files.delete("a"),
        "rename": lambda: files.set_aside("a", "b"),
    }
    with pytest.raises(StorageError, match=rf"cannot {verb} s3://bucket.*\n.*\n +got: +no answer in 1 s\n"):
        does[verb]()
    assert capsys.readouterr().err == "waiting for s3://bucket, 1 s at most\n"
    began = time.monotonic()
    for other in does.values():
        with pytest.raises(StorageError, match="to what was asked before"):
            other()
    with pytest.raises(StorageError, match="to what was asked before"):
        files.within("folder").exists()
    assert time.monotonic() - began < 0.8, "nothing is waited for again"
    deaf.wakes.set()
    time.sleep(0.2)
    assert not files.exists()


@pytest.mark.parametrize("size", [0, 3, 4, 8, 9])
def test_a_file_is_read_in_blocks(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(F, "BLOCK", 4)
    files = F.files_at(f"mock:///blocks-{next(COUNT)}")
    files.put("a", b"123456789"[:size])
    assert files.read("a") == b"123456789"[:size]


def test_a_server_that_goes_away_stops_the_run_and_blames_no_cell() -> None:
    with running() as address:
        make_bucket(address, "bucket")
        store = S.Store(uri(address, "bucket"))
        store.append([score()])
    began = time.monotonic()
    for action in (lambda: store.append([score("b" * 16)]), store.rows, store.compact):
        with pytest.raises(StorageError, match=r"cannot (list|write|read) s3://bucket/deep/prefix") as caught:
            action()
        assert faults.is_full(caught.value)
        assert SECRET not in str(caught.value)
    assert time.monotonic() - began < 30


def test_the_region_is_asked_for_where_nothing_says_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(pafs, "resolve_s3_region", lambda bucket: asked.append(bucket) or "eu-north-1")
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    filesystem, base = F._s3("s3://key:secret@bucket/a%20b/")
    assert (asked, base, filesystem.region) == (["bucket"], "bucket/a b", "eu-north-1")
    assert F._s3("s3://key:secret@bucket?region=eu-west-1")[0].region == "eu-west-1"
    assert asked == ["bucket"]


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("s3://key:secret@bucket/p?endpoint_override=x:1", "s3://bucket/p"),
        ("s3://bucket/p/", "s3://bucket/p"),
        ("abfs://:secret@account/c", "abfs://account/c"),
        ("/a/b@c?d", "/a/b@c?d"),
        (Path("/a"), "/a"),
    ],
)
def test_a_place_is_shown_without_user_password_and_options(where: str | Path, said: str) -> None:
    assert F.shown(where) == said
