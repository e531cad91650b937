"""A folder by a stranger is data: links, other names, large files and texts that would be markup are refused, and nothing of it runs."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from fuzzing import cases, damage, damaged
from hypothesis import given
from hypothesis import strategies as st
from submitted import resealed

from bench.cli import main
from bench.errors import BenchError
from bench.report import submitted
from bench.store import submissions as format_
from bench.store.submissions import MANIFEST, RefusedError, index, read_submission, submissions

RAN = 'open("{}", "w").close()\n'  # what tells that it was imported


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A submission that is read, with files that hold nothing of use."""
    folder = tmp_path / "results" / "submissions" / "mine"
    for name, text in {"code/mine.py": RAN.format(tmp_path / "ran"), "scores/quick.parquet": "x", "images/quick.parquet": "y"}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    said = {"name": "mine", "by": "Jane", "contact": "j@example.org", "licence": "MIT", "date": "2026-11-28", "track": "reconstruction"}
    (folder / MANIFEST).write_text(json.dumps({**said, "attacks": ["mine"], "grids": ["quick"], "answers": {}}))
    resealed(folder)
    return folder


def test_the_folder_itself_is_read(folder):
    found = read_submission(folder)
    assert (found.manifest.by, found.manifest.code, len(found.digest)) == ("Jane", "code/mine.py", 16)
    assert [(one.name, one.word) for one in submissions(folder.parent.parent)] == [("mine", "no")]


def saying(**more: object) -> Callable[[Path], None]:
    return lambda folder: resealed(folder, **more)


def link(folder: Path) -> None:
    (folder / "code" / "mine.py").unlink()
    (folder / "code" / "mine.py").symlink_to("/etc/hostname")
    resealed(folder)


def linked_folder(folder: Path) -> None:
    (folder / "code").rename(folder.parent.parent / "code")
    (folder / "code").symlink_to(folder.parent.parent / "code")


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "answers.safetensors")


def deep(folder: Path) -> None:
    (folder / "code" / "more").mkdir()
    (folder / "code" / "more" / "mine.py").touch()
    resealed(folder)


def pickled(folder: Path) -> None:
    (folder / "answers").mkdir()
    (folder / "answers" / "x.pkl").touch()
    resealed(folder)


def escaping(folder: Path) -> None:
    said = json.loads((folder / MANIFEST).read_text())
    said["files"]["code/../../../../etc/hostname"] = "0" * 64
    (folder / MANIFEST).write_text(json.dumps(said))


def two_codes(folder: Path) -> None:
    (folder / "code" / "other.py").touch()
    resealed(folder)


def unlisted(folder: Path) -> None:
    (folder / "scores" / "more.parquet").touch()


def changed(folder: Path) -> None:
    (folder / "code" / "mine.py").write_text("pass\n")


def no_answer(folder: Path) -> None:
    resealed(folder, answers={"0" * 16: "1" * 64})


def nested(folder: Path) -> None:
    (folder / MANIFEST).write_text("[" * 100_000)


def no_text(folder: Path) -> None:
    (folder / MANIFEST).write_bytes(b"\xff\xfe{")


HOSTILE: dict[str, Callable[[Path], object]] = {
    "link": link, "linked folder": linked_folder, "pipe": pipe, "deep": deep, "pickle": pickled, "escaping": escaping,
    "two codes": two_codes, "unlisted": unlisted, "changed": changed, "no answer": no_answer, "nested": nested, "no text": no_text,
    "another name": saying(name="other"), "a field too many": saying(verdict="verified"), "a later format": saying(format=2),
    "lines": saying(by="Jane\n\n# Verified"), "orders": saying(by="Jane\x1b[2J"), "turned": saying(by="Jane \u202eenaJ"),
    "long": saying(contact="x" * 101), "licence": saying(licence="<script>"), "number": saying(by=1), "attack": saying(attacks=["../x"]),
    "no attack": saying(attacks=[]), "grid": saying(grids=["../../quick"]), "date": saying(date="yesterday"),
    "cell": saying(answers={"../../x": "1" * 64}),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_does_not_belong_there_is_refused_and_nothing_runs(folder, kind, tmp_path, capsys):
    HOSTILE[kind](folder)
    with pytest.raises(RefusedError) as error:
        read_submission(folder)
    assert "submission" in error.value.what
    (one,) = submissions(folder.parent.parent)
    assert (one.word, one.submission) == ("refused", None)
    assert main(["verify", str(folder), "--sandbox", "none", "--out", str(tmp_path / "out")]) == 2
    out, err = capsys.readouterr()
    assert ": refused: " in out
    assert "Traceback" not in out + err
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "out").exists()


@cases(150)
@given(which=st.sampled_from([MANIFEST, "code/mine.py", "scores/quick.parquet"]), how=damage)
def test_a_damaged_file_is_refused_or_makes_another_submission(folder, which, how):
    before, content = read_submission(folder).digest, (folder / which).read_bytes()
    (folder / which).write_bytes(damaged(content, how))
    try:
        after = read_submission(folder)
        assert which == MANIFEST or damaged(content, how) == content
        assert (after.digest == before) is (damaged(content, how) == content)
    except RefusedError:
        assert damaged(content, how) != content
    finally:
        (folder / which).write_bytes(content)


def test_sizes_and_numbers_of_files_are_bounded(folder, monkeypatch):
    for name, limit in (("LARGEST_MANIFEST", 100), ("LARGEST_CODE", 5), ("LARGEST", 0), ("MOST_BYTES", 200), ("MOST_FILES", 3)):
        with monkeypatch.context() as patch:
            patch.setattr(format_, name, limit)
            with pytest.raises(RefusedError, match="too large"):
                read_submission(folder)
    read_submission(folder)


def test_a_folder_that_is_a_link_or_none_is_refused(folder, tmp_path):
    (tmp_path / "results" / "submissions" / "link").symlink_to(folder)
    with pytest.raises(RefusedError):
        read_submission(tmp_path / "results" / "submissions" / "link")
    assert main(["verify", str(tmp_path / "nowhere")]) == 1
    assert main(["verify", str(folder), "--grid", "quick"]) == 1
    assert main(["verify"]) == 1
    assert main(["verify", str(folder), "--sandbox", "off"]) == 1


def test_what_a_stranger_says_is_no_markup_on_the_leaderboard(folder):
    resealed(folder, by="<b>Jane</b> | [x](http://evil.example)", contact="`x`")
    shutil.copytree(folder, folder.parent / "*x* | <b>")
    text = "\n".join(submitted.section(index(submissions(folder.parent.parent))))
    assert "<b>" not in text
    assert "http://" not in text
    assert "\\[x\\](" in text
    assert "**refused**" in text
    assert "**not verified**" in text
    assert {line.replace("\\|", "").count("|") for line in text.splitlines() if line.startswith("|")} == {8}


def test_rows_of_an_unverified_or_broken_submission_are_never_opened(folder):
    from bench.store import load_everyones

    scores, images = load_everyones(folder.parent.parent)  # its tables are no Parquet
    assert len(scores) == len(images) == 0
    with pytest.raises(BenchError, match="corrupt"):
        format_.score_table(read_submission(folder))
