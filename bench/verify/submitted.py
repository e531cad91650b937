"""A submission, verified: do its code, its rows and its answers agree, and is its attack as good where nobody knows the members?

What its manifest says of its files is told when it is read (``bench.store.submissions``). Here follow, each only if those before hold:

1. The rows are those of the required grids, cell by cell, as this very code would make them: a cell's id is a hash of the code, too.
2. They were made apart from the secret, and find less where the network is another seed's.
3. The answers, scored again by a process that never loads the attack, come to these rows, and these pictures.
4. The code runs here, in the sandbox, on blind targets; what it gets there is compared with what it got by step 3.

Whoever has changed a number, a digest or an answer fails by 1 to 3. Whoever has answers that are not from the weights, by whatever program,
has them on public targets alone, and is flagged by 4.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from bench import registry, tracks
from bench.data import blind
from bench.engine.answers import file_name
from bench.engine.plan import Plan, plan
from bench.engine.progress import Progress
from bench.engine.provenance import provenance
from bench.engine.required import of_attacks, required
from bench.engine.rows import describe
from bench.errors import BenchError
from bench.files import Folder
from bench.grids.read import Loaded
from bench.report.kit.figures import decode
from bench.report.kit.flagged import flagged
from bench.report.kit.rows import records
from bench.report.kit.transplants import FLAG
from bench.schema import COST_COLUMNS, IMAGE_KEY, PROVENANCE_COLUMNS, SUBMITTED_COLUMNS, TRANSPLANT_COLUMNS, columns, to_table
from bench.store import Store, load_scores, publish
from bench.store.submissions import APART, RefusedError, Submission, image_table, score_table
from bench.store.verified import FAILED, FLAGGED, Verified
from bench.verify import verdict
from bench.verify.again import disagreement, scored_again
from bench.verify.run import How, Row, Verification, unrun, verify
from bench.verify.verdict import Judged

ASIDE = {*COST_COLUMNS, *PROVENANCE_COLUMNS, *SUBMITTED_COLUMNS, *TRANSPLANT_COLUMNS, "stack", "stack_halvings"}  # not told by an answer
NEAR = 1e-3  # of numbers other than the headline and its shares, relative above 1: the last digits differ with the processor
MOST_ROWS = 1_000_000  # image rows


@dataclass
class Looked:
    """What came of it."""

    submission: Submission
    rows: list[Verified] = field(default_factory=list)
    runs: list[Verification] = field(default_factory=list)  # one a grid that came so far

    @property
    def verdict(self) -> str:
        """The worst of all rows."""
        return verdict.worst([row.verdict for row in self.rows])

    @property
    def reasons(self) -> list[str]:
        """Why it is no better."""
        return list(dict.fromkeys(row.reason for row in self.rows if row.verdict == self.verdict and row.reason))

    @property
    def interrupted(self) -> bool:
        """Whether it says nothing."""
        return any(one.interrupted for one in self.runs)


def verify_submission(submission: Submission, salt: str, how: How, results: Path, progress: Progress, keep: bool = False) -> Looked:
    """Verifies a submission whose attacks are known to the registry, as stand-ins.

    Args:
        salt: which the environment should not have meanwhile (`blind.taken`).
        how: with a room, for its code is a stranger's.
        results: the folder whose own attacks keep their names.
        keep: leave the store of the blind targets.

    Raises:
        RefusedError: it is of other grids than its track requires, or an attack has the name of another.
        BenchError: a salt that can be guessed, a store that cannot be written.
    """
    said, found = submission.manifest, Looked(submission)
    loadeds = required(said.track)
    names = tuple(loaded.grid.name for loaded in loadeds)
    if said.grids != names:
        raise RefusedError(f"submission '{said.name}' is of other grids than its track requires", expected=f"{names}", got=f"{said.grids}")
    taken = {str(name) for name in load_scores(results)["attack"].unique()} & set(said.attacks)
    if taken:
        raise RefusedError(f"submission '{said.name}': an attack has that name already", got=", ".join(sorted(taken)), hint="rename it")
    if how.room is None:
        raise BenchError("a submission is a stranger's code, and this is no place for it", expected="--sandbox bwrap", got="off")
    for loaded in loadeds:
        planned = plan(of_attacks(loaded, said.attacks), {})
        with tempfile.TemporaryDirectory() as scratch:
            public, fault = _public(submission, planned, Path(scratch), salt)
            if fault is None:
                whole = of_attacks(loaded, said.attacks, _controls(loaded))
                run = verify(whole, salt, how, public, progress, said.attacks, keep)
                found.runs.append(run)
                rows = run.rows
            else:
                known = [describe(cell, planned.loaded.grid) for cell in planned.cells]
                with blind.holding(salt):
                    rows = unrun(known, Judged(*fault, None, None, None), blind.salt_digest())
        found.rows += [dataclasses.replace(row, submission=submission.digest) for row in rows]
    return found


def _controls(loaded: Loaded) -> list[str]:
    known = registry.entries("attack")
    return [spec.name for spec in loaded.grid.attacks if registry.literal(known[spec.name], "role") == "control"]


def _public(submission: Submission, planned: Plan, scratch: Path, salt: str) -> tuple[Path, tuple[str, str] | None]:
    """A results folder with its rows of a grid as scored again here; or the verdict, and why, where they are not to be believed."""
    public = scratch / "public"
    try:
        scores, pictures = score_table(submission), image_table(submission)
        if scores.num_rows > len(submission.manifest.answers) or pictures.num_rows > MOST_ROWS:
            return public, (FAILED, "it has more rows than answers")
        rows, images = records(scores.to_pandas()), pictures.to_pandas()
        rows = [row for row in rows if row["grid"] == planned.grid]
        fault = _contradiction(planned, rows, submission) or _next_to_secret(rows) or _suspect(scores.to_pandas())
        if fault is not None:
            return public, fault
        store = Store(scratch / "rows")
        store.append(rows, images[images["cell_id"].isin([cell.id for cell in planned.cells])].to_dict("records"))
        answers = Folder(scratch / "reconstructions")
        for cell in planned.cells:
            answers.put(file_name(cell.id), submission.answer(cell.id))
        again, missing = scored_again(scratch, planned.grid, salt)
    except BenchError as error:
        return public, (FAILED, error.line)
    if missing:
        return public, (FAILED, f"an answer cannot be scored again: {next(iter(missing.values()))}")
    fresh = store.images(list(again))
    fault = _other_numbers(rows, again) or _other_pictures(images, fresh)
    if fault is None:
        publish([{name: value for name, value in row.items() if name != "finished_at"} for row in again.values()], fresh, public)
    return public, fault


def _contradiction(planned: Plan, rows: Sequence[Row], submission: Submission) -> tuple[str, str] | None:
    """Whether the rows are those of the plan's cells: as is known of a cell before anything runs, and with scores and an answer."""
    cells = {cell.id: cell for cell in planned.cells}
    versions = {cell.attack.spec.name: cell.attack.version for cell in planned.cells}
    for row in rows:
        if row["attack_version"] != (code := versions.get(row["attack"])):
            return FAILED, f"other code has made the rows: they say version {row['attack_version']}, the code is {code}"
    ids = [row["cell_id"] for row in rows]
    if sorted(ids) != sorted(cells):
        lacking, more = len(set(cells) - set(ids)), len(ids) - len(set(cells) & set(ids))
        return FAILED, f"the rows are not those of the grid's {len(cells)} cells: {lacking} have none, {more} rows are of none, or twice"
    if lost := [row for row in rows if row["status"] != "ok"]:
        return FAILED, f"{len(lost)} cells have no scores"
    if not cells.keys() <= submission.manifest.answers.keys():
        return FAILED, "a cell has no answer"
    expected = records(to_table([{**describe(cell, planned.loaded.grid), "status": "ok"} for cell in planned.cells], "scores").to_pandas())
    by_cell = {row["cell_id"]: row for row in rows}
    known = describe(planned.cells[0], planned.loaded.grid).keys() - provenance().keys()
    for wanted in expected:
        row = by_cell[wanted["cell_id"]]
        for name in sorted(known):
            if not _alike(row[name], wanted[name], 1e-9):
                return FAILED, f"a row says {name} {row[name]!r}, and this code on this grid has {wanted[name]!r}"[:300]
    return None


def _next_to_secret(rows: Sequence[Row]) -> tuple[str, str] | None:
    beside = sorted({str(row["isolation"]) for row in rows} - set(APART))
    return (FAILED, f"rows were made next to the secret: isolation {', '.join(beside)}") if beside else None


def _suspect(scores: pd.DataFrame) -> tuple[str, str] | None:
    wrong = flagged(scores, lambda name: tracks.of_row(name).headline)
    return (FLAGGED, f"{FLAG}: its own rows say so, of networks of other seeds") if wrong else None


def _other_numbers(rows: Sequence[Row], again: dict[str, Row]) -> tuple[str, str] | None:
    """Whether an answer comes to other scores than its row has."""
    numbers = [column.name for column in columns("scores") if not pa.types.is_string(column.type) and column.name not in ASIDE]
    for row in rows:
        fresh = again.get(row["cell_id"])
        if fresh is None:
            return FAILED, f"the answer of cell {row['cell_id']} was not scored again"
        other = disagreement(row, fresh, verdict.columns(tracks.of_row(row["track"]).headline))
        if other:
            return FLAGGED, other
        if str(row["device"] or "").startswith("cuda"):
            continue
        for name in numbers:
            if name.startswith("lpips") and (row["lpips_reason"] or fresh["lpips_reason"]):  # where there are no weights for it
                continue
            if not _alike(row[name], fresh.get(name), NEAR):
                return FLAGGED, f"{name} was {row[name]}, and is {fresh.get(name)} when the kept answer is scored again"
    return None


def _other_pictures(said: pd.DataFrame, fresh: pd.DataFrame) -> tuple[str, str] | None:
    """Whether image rows or thumbnails are others than the answers make."""
    mine, theirs = (frame.set_index(list(IMAGE_KEY)).sort_index() for frame in (said, fresh))
    mine = mine[mine.index.get_level_values("cell_id").isin(theirs.index.get_level_values("cell_id"))]
    if not mine.index.equals(theirs.index):
        return FLAGGED, "its image rows are not those of the answers"
    for name in ("label", "candidate", "ssim"):
        pairs = zip(mine[name], theirs[name], strict=True)
        if name in mine and not all(_alike(was, now, NEAR) for was, now in pairs):
            return FLAGGED, f"{name} of an image is another when the kept answer is scored again"
    for name in ("truth_png", "recon_png"):
        for was, now in zip(mine[name], theirs[name], strict=True):
            if isinstance(was, bytes) and was != now and not _same_picture(was, now):
                return FLAGGED, "a picture in its rows is not that of the answer"
    return None


def _same_picture(was: bytes, now: Any) -> bool:
    pixels = decode(was), decode(now)
    if pixels[0] is None or pixels[1] is None or pixels[0].shape != pixels[1].shape:
        return False
    return int(np.abs(pixels[0].astype(int) - pixels[1].astype(int)).max()) <= 1


def _alike(was: Any, now: Any, slack: float) -> bool:
    """Whether two values say the same, nulls and numbers to within a slack, relative above 1."""
    null = [value is None or value is pd.NaT or (isinstance(value, float) and np.isnan(value)) for value in (was, now)]
    if any(null):
        return all(null)
    if isinstance(was, int | float) and isinstance(now, int | float):
        return abs(was - now) <= slack * max(1.0, abs(was), abs(now))
    return bool(was == now)
