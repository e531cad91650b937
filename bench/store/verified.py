"""``verified.csv`` of a results folder: what came of attacks on targets whose members nobody could know (``bench.verify``).

A table of its own, one row an attack, setting and salt: so no row of such a target enters a page, an average or a claim by accident. Text
and not Parquet, because it is small, and whoever takes up a change of it should read it line by line.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from bench import regular
from bench.errors import BenchError
from bench.files import atomic_write
from bench.store.published import locked

FILE = "verified.csv"
VERIFIED, FLAGGED, OPEN, FAILED = VERDICTS = ("verified", "flagged", "open", "failed")
LARGEST = 10_000_000  # bytes; it is read by people


@dataclass(frozen=True)
class Verified:
    """One row. Numbers are texts as they are written: six digits, or empty where there is none."""

    attack: str
    attack_version: str
    attack_source: str  # as score rows have it
    attack_params: str  # JSON, those that differ from its defaults
    sweep: str  # JSON
    grid: str
    setting: str  # JSON: the fields that differ from the defaults, under the name of the set that was made blind
    track: str
    protocol: str
    headline: str  # the column that is compared
    seeds: str  # of the blind targets, "0 1 2"
    public: str  # the headline on public targets, mean over seeds
    blind: str  # the same on blind ones, as scored again by a process without the attack
    difference: str  # public − blind
    low: str  # ends of its interval
    high: str
    verdict: str  # verified, flagged, open or failed
    reason: str
    isolation: str  # what held the attack apart from the secret; none: nothing did
    salt_digest: str  # names the salt and does not tell it
    code_version: str
    date: str  # UTC, 2026-01-31T12:00:00Z
    submission: str = ""  # digest of the submission whose rows were the public ones; empty: this project's

    @property
    def key(self) -> tuple[str, ...]:
        """What one row stands for."""
        return self.salt_digest, self.grid, self.attack, self.attack_version, self.attack_params, self.sweep, self.setting, self.submission


COLUMNS = tuple(field.name for field in fields(Verified))


def load_verified(folder: Path | str) -> list[Verified]:
    """The rows of a results folder, none where it has no such table.

    Raises:
        BenchError: the file cannot be read, or is no such table.
    """
    path = Path(folder) / FILE
    try:
        content = regular.read(path)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise BenchError(f"cannot read {path}", expected="a readable file", got=str(error), hint="check its permissions") from error
    try:
        if len(content) > LARGEST:
            raise ValueError(f"{len(content)} bytes, of at most {LARGEST}")
        rows = list(csv.DictReader(io.StringIO(content.decode("utf-8"), newline=""), strict=True))
        found = [Verified(**{name: _text(row, name) for name in COLUMNS}) for row in rows]
        for row in found:
            if row.verdict not in VERDICTS or not row.attack:
                raise ValueError(f"a verdict {row.verdict!r} of attack {row.attack!r}")
        return found
    except (ValueError, csv.Error, KeyError) as error:
        raise BenchError(
            f"{path} is no table of verified rows",
            expected=f"CSV with the columns {', '.join(COLUMNS)}",
            got=f"{type(error).__name__}: {error}",
            hint=f"restore it: git checkout -- {FILE}",
        ) from error


def _text(row: dict[str, str | None], name: str) -> str:
    """A value; columns that came later are empty in older files."""
    value = row.get(name, "" if name not in ("attack", "verdict") else None)
    if value is None:
        raise ValueError(f"a row without {name}")
    return value


def _printable(row: Verified) -> Verified:
    """A row whose texts, in part those of plug-ins, are one line each and move no terminal."""
    return Verified(*("".join(sign if sign.isprintable() else " " for sign in text) for text in astuple(row)))


def add_verified(folder: Path | str, fresh: Sequence[Verified]) -> Path:
    """Adds rows to the table of a results folder; one of the same key is replaced. The same rows give the same bytes.

    Raises:
        BenchError: as `load_verified`, or the folder cannot be written.
    """
    folder = Path(folder)
    with locked(folder):
        rows = {row.key: row for row in [*load_verified(folder), *map(_printable, fresh)]}
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(astuple(row) for _, row in sorted(rows.items(), key=lambda item: (item[1].date, item[0])))
        atomic_write(folder / FILE, text.getvalue().encode())
    return folder / FILE
