"""Makes a submission of an attack: runs the grids that its track requires, and writes rows, answers and code into one folder.

What is in the folder, and how it is read, is in ``bench.store.submissions``; what a maintainer does with it in ``bench.verify.submitted``.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from pydantic import ValidationError

from bench import regular, store, tracks
from bench.apart.room import Room
from bench.engine import run as engine
from bench.engine import stored
from bench.engine.answers import file_name
from bench.engine.plan import plan
from bench.engine.progress import Progress
from bench.engine.provenance import provenance
from bench.engine.required import of_attacks, required
from bench.errors import BenchError
from bench.grids.read import Loaded
from bench.report.kit.flagged import flagged
from bench.store.submissions import ANSWERS, APART, CODE, LARGEST, LARGEST_CODE, MANIFEST, Manifest, Submission, read_submission


@dataclass(frozen=True)
class Who:
    """What only the author can say."""

    name: str
    by: str
    contact: str
    licence: str

    def manifest(self, **more: Any) -> Manifest:
        """The manifest with that.

        Raises:
            BenchError: a text that it does not take.
        """
        today = datetime.now(timezone.utc).strftime("%Y-%m-%d")
        try:
            return Manifest(name=self.name, by=self.by, contact=self.contact, licence=self.licence, **{"date": today, **more})
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise BenchError(
                f"--{place}: not understood" if hasattr(self, place) else f"a submission cannot have this {place}",
                expected=first["msg"],
                got=repr(first["input"])[:100],
                hint="--name snake_case, --by and --contact in one line, --licence as in SPDX: MIT, BSD-3-Clause, Apache-2.0",
            ) from None


@dataclass
class Made:
    """What came of it."""

    summaries: list[engine.Summary] = field(default_factory=list)
    scores: pd.DataFrame | None = None  # None: a run did not come to its end
    images: pd.DataFrame | None = None
    suspect: list[str] = field(default_factory=list)  # attacks whose score does not hang on the weights, by the transplants
    submission: Submission | None = None

    @property
    def whole(self) -> bool:
        """Whether every cell was run and has scores."""
        return not any(one.interrupted or one.left or one.failed for one in self.summaries)


def classes(file: Path, room: Room) -> tuple[list[str], str]:
    """The names of the attacks of a file, and their track; it is imported in its own process alone.

    Raises:
        BenchError: it registers anything but attacks of one track, or only controls.
    """
    said = room.describe(str(file))
    kinds = sorted({str(one.get("kind")) for one in said})
    if kinds != ["attack"]:
        raise BenchError(
            f"{file.name} registers more than attacks",
            expected="a file with attacks alone: data sets, metrics, defences and tracks are part of the judge",
            got=", ".join(kinds),
            hint="propose the rest as a change of this project",
        )
    names, facts = [str(one["name"]) for one in said], [one["facts"] for one in said]
    own = {str(one.get("track")) for one in facts}
    if len(own) != 1 or any(one.get("role") != "attack" for one in facts):
        raise BenchError(f"{file.name} cannot be submitted", expected="attacks of one track, no controls", got=", ".join(sorted(own)))
    return names, own.pop()


def check_file(file: Path) -> None:
    """Raises BenchError for a file that a submission cannot hold."""
    name, size = file.stem, len(regular.read(file))
    if not name.isidentifier() or not name.isascii() or not name[0].isalpha() or size > LARGEST_CODE:
        raise BenchError(
            f"{file.name} cannot be submitted",
            expected=f"one Python file of at most {LARGEST_CODE} bytes, whose name is letters, digits and '_'",
            got=f"{size} bytes",
        )


def make(
    who: Who, file: Path, attacks: Sequence[str], track: str, into: Path, device: torch.device, progress: Progress, **how: Any
) -> Made:
    """Runs what is missing of the required grids, and writes the submission.

    Args:
        how: as ``engine.run`` takes it; with ``room``.

    Raises:
        BenchError: rows that were made next to the secret, answers that are not kept here, or a folder that is there already.
    """
    made, rows, loadeds = Made(), stored.store(), [of_attacks(one, attacks) for one in required(track)]
    for loaded in loadeds:
        made.summaries.append(engine.run(plan(loaded, stored.known(rows)), rows, device, progress, **how))
        if made.summaries[-1].interrupted:
            return made
    made.scores, made.images = _rows(loadeds, rows)
    if not made.whole:
        return made
    beside = sorted(set(made.scores["isolation"].fillna("not recorded")) - set(APART))
    if beside:
        raise BenchError(
            "these rows were made next to the secret, and nobody would believe them",
            expected=f"isolation {' or '.join(APART)}",
            got=", ".join(beside),
            hint="RECONBENCH_HOME=fresh python -m bench submit …, which runs them again, apart",
        )
    made.suspect = sorted({attack for _, attack in flagged(made.scores, lambda name: tracks.of_row(name).headline)})
    made.submission = pack(who, file, attacks, track, into)
    return made


def pack(who: Who, file: Path, attacks: Sequence[str], track: str, into: Path) -> Submission:
    """Writes the folder, from rows and answers of the store. It is there whole or not at all.

    Raises:
        BenchError: there is a folder of that name, a cell has no scores, or its answer is not kept here.
    """
    if into.exists():
        raise BenchError(f"{into} is there already", expected="a new folder", hint="move it away, or --name another")
    rows, loadeds = stored.store(), [of_attacks(one, attacks) for one in required(track)]
    scores, images = _rows(loadeds, rows)
    wanted = sum(len(plan(one, {}).cells) for one in loadeds)
    if len(scores) != wanted or set(scores["status"]) != {"ok"}:
        raise BenchError("not every cell has scores", expected=f"{wanted} rows, all ok", got=f"{(scores['status'] == 'ok').sum()}")
    into.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into.parent, prefix=".making-") as scratch:
        folder = Path(scratch) / into.name
        for part in (CODE, ANSWERS):
            (folder / part).mkdir(parents=True)
        shutil.copyfile(file, folder / CODE / file.name)
        store.publish(scores, images, folder, store=rows)
        answers = {cell: _answer(cell, folder / ANSWERS) for cell in scores["cell_id"]}
        there = sorted(path for path in folder.rglob("*") if path.is_file())
        files = {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in there}
        environment = {name: str(value) for name, value in {**provenance(), "device": scores["device"].iloc[0]}.items()}
        said = who.manifest(
            track=track, attacks=tuple(attacks), grids=tuple(one.grid.name for one in loadeds), environment=environment, answers=answers,
            files=files,
        )  # fmt: skip
        (folder / MANIFEST).write_text(json.dumps(said.model_dump(mode="json"), indent=1) + "\n", encoding="utf-8")
        read_submission(folder)  # what nobody could read is not written
        folder.rename(into)
    return read_submission(into)


def _rows(loadeds: Sequence[Loaded], rows: store.Store) -> tuple[pd.DataFrame, pd.DataFrame]:
    found = [stored.collect(plan(one, stored.known(rows)), rows) for one in loadeds]
    scores, images = (pd.concat([pair[k] for pair in found], ignore_index=True) for k in (0, 1))
    return scores, images


def _answer(cell: str, folder: Path) -> str:
    """Copies the kept answer of a cell; returns its digest."""
    try:
        content = stored.reconstructions().read(file_name(cell))
    except FileNotFoundError:
        raise BenchError(
            f"the answer of cell {cell} is not kept here", expected=f"{file_name(cell)} in {stored.reconstructions()}",
            hint="run it again in a fresh home: RECONBENCH_HOME=fresh python -m bench submit …",
        ) from None  # fmt: skip
    if len(content) > LARGEST:
        raise BenchError(f"the answer of cell {cell} is too large to submit", expected=f"at most {LARGEST} bytes", got=str(len(content)))
    digest = hashlib.sha256(content).hexdigest()
    (folder / f"{digest}.safetensors").write_bytes(content)
    return digest
