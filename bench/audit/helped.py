"""What would have helped: defences that the published grid found effective by the strongest attacker, with their cost, from its rows."""

from __future__ import annotations

from pathlib import Path

from bench.errors import BenchError
from bench.report.aggregate import aggregate
from bench.report.kit.defences import parts, sentences
from bench.schema import empty
from bench.store import load_scores

GRID = "defenses"
PROJECT = Path(__file__).resolve().parents[2]


def helped(results: Path | None = None) -> list[str]:
    """Sentences, the most effective defence first, then the names of those that are not; none where there are no rows.

    Args:
        results: a results folder; None: the published one of this clone.
    """
    folder = PROJECT / "results" if results is None else results
    if not (folder / "scores" / f"{GRID}.parquet").is_file():
        return []
    try:
        rows = load_scores(folder)
    except BenchError:  # a table that cannot be read is another command's to complain of
        return []
    rows = rows[(rows["grid"] == GRID) & (rows["track"] == "reconstruction")]
    chosen = [one for part in parts(aggregate(rows), rows, empty("images")).values() for one in sentences(part)]
    good = [f"{_words(point.defence)}: {words}" for point, words in chosen if point.verdict == "effective"]
    rest = ", ".join(_words(point.defence) for point, _ in chosen if point.verdict != "effective")
    if not chosen:
        return []
    where = "On small networks, by the strongest attack that was run on each defence (grid defenses): "
    return [
        *(f"{where if not i else ''}{one}" for i, one in enumerate(good)),
        *([f"Of these it is not sure that they help{'' if good else ' (grid defenses)'}: {rest}."] if rest else []),
    ]


def _words(name: str) -> str:
    return name.replace("_", " ")
