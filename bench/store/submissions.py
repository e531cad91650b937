"""``submissions/NAME/`` of a results folder: an attack by somebody else, its rows and answers, and who they are from.

=====================  ==================================================================================================
``submission.json``    the manifest: who, contact, licence, when, which attacks and grids, and the digest of every file below
``code/STEM.py``       the attack, as it made the rows
``scores/ images/``    its rows, in files as a results folder has them
``answers/``           what it answered, a file a cell, named by its SHA-256 (``bench.engine.answers`` has the form)
=====================  ==================================================================================================

All of it is by a stranger, and is data: nothing is imported or unpickled here, no link is followed, names and sizes are bounded, and a file
that the manifest does not list, or lists with another digest, makes the whole folder refused. Its rows are taken into the tables
(``load_everyones``) once ``verified.csv`` has them as verified, or as open, with the digest of this very manifest. Who and when are columns
of these rows, and the manifest says them, whatever the rows say.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from bench import regular
from bench.errors import BenchError
from bench.schema import SUBMITTED_COLUMNS, TEXT
from bench.store.published import IMAGES_FOLDER, SCORES_FOLDER, images_files, in_order, load_image_table, load_score_table
from bench.store.verified import FAILED, FLAGGED, OPEN, VERIFIED, Verified, load_verified

FOLDER, MANIFEST, CODE, ANSWERS = "submissions", "submission.json", "code", "answers"
NAME = r"[a-z][a-z0-9_-]{0,59}"
PLACES = re.compile(
    rf"{CODE}/[A-Za-z][A-Za-z0-9_]{{0,59}}\.py|(?:{SCORES_FOLDER}|{IMAGES_FOLDER})/[a-z0-9][a-z0-9_]{{0,59}}(?:\.[0-9]{{1,2}})?\.parquet"
    rf"|{ANSWERS}/[0-9a-f]{{64}}\.safetensors"
)
LARGEST, LARGEST_MANIFEST, LARGEST_CODE = 16_000_000, 1_000_000, 200_000  # bytes of a file
MOST_BYTES, MOST_FILES = 64_000_000, 3_000  # of a submission
REFUSED, UNKNOWN = "refused", "no"  # words beside those of ``verified.csv``
ADMITTED = ("yes", OPEN)
APART = ("process", "bwrap")  # of the column ``isolation``: what all rows of a submission must have
HINT = "make the folder again: python -m bench submit"


def _printable(text: str) -> str:
    if not text.isprintable() or text != text.strip():
        raise ValueError("one line of printable characters, without blanks around it")
    return text


Line = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_printable)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class RefusedError(BenchError):
    """A submission that is not what it says, or cannot be one. Nothing of it was run."""


class Manifest(BaseModel):
    """What ``submission.json`` says. Everything is text, and nothing else is accepted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    format: Annotated[int, Field(ge=1, le=1)] = 1
    name: Annotated[str, Field(pattern=rf"^{NAME}$")]
    by: Line
    contact: Line
    licence: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+ ()-]{0,79}$")]  # an SPDX expression
    date: Annotated[str, Field(pattern=r"^[0-9]{4}-[01][0-9]-[0-3][0-9]$")]  # UTC
    track: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,59}$")]
    attacks: Annotated[tuple[Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,59}$")], ...], Field(min_length=1, max_length=8)]
    grids: Annotated[tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,59}$")], ...], Field(min_length=1, max_length=8)]
    environment: Annotated[dict[Line, Annotated[str, Field(max_length=1000), AfterValidator(_printable)]], Field(max_length=20)] = {}
    answers: Annotated[dict[Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")], Digest], Field(max_length=MOST_FILES)]  # by cell
    files: Annotated[dict[Annotated[str, Field(max_length=200)], Digest], Field(max_length=MOST_FILES)]  # path → SHA-256

    @property
    def code(self) -> str:
        """The path of its code."""
        return next(name for name in self.files if name.startswith(f"{CODE}/"))


@dataclass(frozen=True)
class Submission:
    """A folder that holds what its manifest says."""

    folder: Path
    manifest: Manifest
    digest: str  # 16 hex digits, of the manifest and so of every file

    def answer(self, cell: str) -> bytes:
        """The kept answer of a cell."""
        return regular.read(self.folder / ANSWERS / f"{self.manifest.answers[cell]}.safetensors")


@dataclass(frozen=True)
class Listed:
    """A folder of ``submissions/``, and how it stands."""

    name: str
    word: str  # yes, open, flagged, failed; no: nobody has verified it; refused: it does not hold what it says
    reason: str = ""
    submission: Submission | None = None  # None: refused


def read_submission(folder: Path) -> Submission:
    """A submission, if its files are what its manifest says.

    Raises:
        RefusedError: there is none, it has links or files that do not belong there, it is too large, or a file is another one.
    """
    said = _bytes(folder, MANIFEST, LARGEST_MANIFEST)
    try:
        manifest = Manifest.model_validate_json(said)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part)[:40] for part in first["loc"])
        raise _refused(folder, f"{MANIFEST} is no manifest of a submission", f"{place}: {first['msg']}"[:300]) from None
    if manifest.name != folder.resolve().name:
        raise _refused(folder, "its manifest is of another name", manifest.name)
    sizes = dict(_files(folder))
    strange = [name for name in manifest.files if not PLACES.fullmatch(name)]
    if strange or sum(name.startswith(f"{CODE}/") for name in manifest.files) != 1:
        raise _refused(folder, f"files of {MANIFEST} do not belong there, or there is not one file of code", repr(strange[:1])[:100])
    if sizes.keys() != {MANIFEST, *manifest.files}:
        odd = sorted(sizes.keys() ^ {MANIFEST, *manifest.files})
        raise _refused(folder, f"files are not those that {MANIFEST} lists", ", ".join(odd)[:200])
    for name, digest in manifest.files.items():
        limit = LARGEST_CODE if name.startswith(f"{CODE}/") else LARGEST
        if hashlib.sha256(_bytes(folder, name, limit)).hexdigest() != digest:
            raise _refused(folder, f"{name} has another digest than {MANIFEST} says", "a file that was changed later")
    kept = {Path(name).stem for name in manifest.files if name.startswith(f"{ANSWERS}/")}
    if kept != set(manifest.answers.values()) or any(manifest.files[f"{ANSWERS}/{one}.safetensors"] != one for one in kept):
        raise _refused(folder, "answers are not those that the cells name", "a file of another digest, of no cell, or none of a cell")
    return Submission(folder, manifest, hashlib.sha256(said).hexdigest()[:16])


def submissions(results: Path) -> list[Listed]:
    """The submissions of a results folder by name, and how each stands by its ``verified.csv``."""
    top = results / FOLDER
    rows = load_verified(results) if top.is_dir() else []
    return [_listed(path, rows) for path in sorted(top.iterdir()) if not path.name.startswith(".")] if top.is_dir() else []


def _listed(path: Path, rows: Sequence[Verified]) -> Listed:
    try:
        found = read_submission(path)
    except RefusedError as error:
        return Listed(path.name, REFUSED, error.line)
    word, reason = _standing(found, rows)
    return Listed(path.name, word, reason, found)


def _standing(submission: Submission, rows: Sequence[Verified]) -> tuple[str, str]:
    """By its latest row of each attack and setting: the worst of them, if every attack has one on every grid."""
    latest = {}
    for row in sorted((row for row in rows if row.submission == submission.digest), key=lambda row: row.date):
        latest[row.grid, row.attack, row.attack_params, row.sweep, row.setting] = row
    for verdict in (FAILED, FLAGGED):
        reasons = [row.reason for row in latest.values() if row.verdict == verdict]
        if reasons:
            return verdict, reasons[0]
    wanted = {(grid, attack) for grid in submission.manifest.grids for attack in submission.manifest.attacks}
    if not wanted <= {(row.grid, row.attack) for row in latest.values()}:
        return UNKNOWN, ""
    return ("yes", "") if all(row.verdict == VERIFIED for row in latest.values()) else (OPEN, "")


def score_table(submission: Submission) -> pa.Table:
    """The score rows of a submission, with who and when. Raises as ``load_results``, or for rows of other attacks or grids."""
    table = load_score_table(submission.folder)
    said = submission.manifest
    for column, known in (("attack", said.attacks), ("grid", said.grids)):
        others = set(table[column].unique().to_pylist()) - set(known)
        if others:
            raise _refused(submission.folder, f"it has rows of another {column} than it says", str(sorted(map(str, others)))[:100])
    for name, value in zip(SUBMITTED_COLUMNS, (said.name, said.by, said.date), strict=True):
        place = table.schema.get_field_index(name)
        table = table.set_column(place, table.schema.field(name), pa.array([value] * table.num_rows, TEXT))
    return table


def image_table(submission: Submission) -> pa.Table:
    """The image rows of a submission, those of its own cells. Raises as ``load_results``."""
    table = load_image_table(submission.folder)
    return table.filter(pc.is_in(table["cell_id"], pa.array(list(submission.manifest.answers), TEXT)))


def with_others(results: Path, known: Sequence[Listed] | None = None) -> tuple[pd.DataFrame, list[Path]]:
    """The score rows of a results folder and of its admitted submissions, and the files of the image rows of all.

    Raises:
        BenchError: as ``load_results``; or two attacks have one name, whose rows would be taken for those of one.
    """
    scores, files = load_score_table(results), images_files(results)
    for one in _admitted(submissions(results) if known is None else known):
        fresh = score_table(one)
        taken = set(scores["attack"].unique().to_pylist()) & set(one.manifest.attacks)
        if taken:
            raise _refused(one.folder, "an attack has that name already", ", ".join(sorted(taken)))
        scores = pa.concat_tables([scores, fresh])
        files += images_files(one.folder)
    return in_order(scores).to_pandas(), files


def load_everyones(results: Path | str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(scores, images) of a results folder and of its admitted submissions: ``load_results`` with rows of others, which say so.

    Raises:
        BenchError: as ``load_results``.
    """
    folder = Path(results)
    known = submissions(folder)
    images = [load_image_table(folder), *(image_table(one) for one in _admitted(known))]
    return with_others(folder, known)[0], pa.concat_tables(images).to_pandas()


def fingerprint(known: Sequence[Listed]) -> bytes:
    """What pages depend on: nothing where there are no submissions."""
    return "".join(f"{one.name}\0{one.word}\0{one.reason}\0{one.submission and one.submission.digest}\n" for one in known).encode()


def index(known: Sequence[Listed]) -> list[dict[str, Any]]:
    """A line a submission, for tables: who, when, what, under which licence, and how it stands."""
    return [
        {"submission": one.name, "verified": one.word, "reason": one.reason, "digest": one.submission.digest if one.submission else "",
         **(one.submission.manifest.model_dump(include={"by", "contact", "licence", "date", "track", "attacks", "grids"})
            if one.submission else {})}
        for one in known
    ]  # fmt: skip


def _admitted(known: Sequence[Listed]) -> list[Submission]:
    return [one.submission for one in known if one.word in ADMITTED and one.submission is not None]


def _files(folder: Path) -> Iterator[tuple[str, int]]:
    """The files of a folder by their paths in it, with their sizes. Raises as `read_submission`."""
    total = count = 0
    left: list[tuple[str, int]] = [("", 0)]
    while left:
        inner, depth = left.pop()
        with os.scandir(folder / inner) as entries:
            for entry in entries:
                name, state = f"{inner}{entry.name}", entry.stat(follow_symlinks=False)
                count, total = count + 1, total + state.st_size
                if count > MOST_FILES or total > MOST_BYTES:
                    raise _refused(folder, "it is too large", f"more than {MOST_FILES} files, or {MOST_BYTES} bytes")
                if stat.S_ISDIR(state.st_mode) and not depth:
                    left.append((f"{name}/", 1))
                elif stat.S_ISREG(state.st_mode):
                    yield name, state.st_size
                else:
                    raise _refused(folder, "it holds what is no regular file", name[:100])


def _bytes(folder: Path, name: str, limit: int) -> bytes:
    """The content of one of its files, which no link leads to."""
    path = folder / name
    try:
        if path.is_symlink() or path.parent.is_symlink() or folder.is_symlink():
            raise _refused(folder, "it holds what is no regular file", name)
        with regular.opened(path) as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise _refused(folder, f"{name} cannot be read", error.strerror or type(error).__name__) from error
    if len(content) > limit:
        raise _refused(folder, f"{name} is too large", f"more than {limit} bytes")
    return content


def _refused(folder: Path, what: str, got: str) -> RefusedError:
    return RefusedError(f"submission {regular.short(folder)}: {what}", got=got, hint=HINT)
