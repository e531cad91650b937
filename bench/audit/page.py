"""How a judgement is shown: tables for the terminal, a Markdown page with pictures, JSON, image rows as Parquet."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.api import Secret
from bench.artefacts import pictures
from bench.audit.scoring import Judgement, chance, excess
from bench.report.kit.text import escape, number, signed, table
from bench.schema import metrics
from bench.store import atomic_write

RULES = (  # prefix of the columns, and what the rule is called
    ("", "one-to-one, submitted images"),
    ("nn_", "nearest submitted image, many-to-one"),
    ("oracle_", "oracle: one-to-one among all candidates"),
    ("haim_", "the papers' protocol (haim2022)"),
)
HEAD_ONE = ("", "members", "controls", "difference [95 %]")
HEAD_MANY = ("attack", "members", "controls", "excess recall", "p", "AUC", "TPR @ 1 % FPR", "SSIM", "LPIPS", "haim2022", "oracle")


def one(judged: Judgement) -> list[list[str]]:
    """Lines of ``HEAD_ONE``: members and controls side by side."""
    assert judged.row is not None
    row, lines = judged.row, []
    for prefix, words in RULES:
        members, controls = judged.hits(prefix)
        shares = [f"{members} of {row['n_members']}", f"{controls} of {row['n_controls']}"]
        lines.append([f"SSIM > 0.4, {words}", *shares, excess(row, prefix)])
    lines.append(["p of the first line's difference, members and controls exchanged", "", "", chance(judged.p_value)])
    for metric in metrics():
        for statistic in metric.statistics[:1]:
            words = f"{statistic} {metric.label}" + (f", {metric.unit}" if metric.unit != "1" else "")
            lines.append([words, *(number(row[f"{metric.headline}{side}"], metric.shown) for side in ("", "_controls")), ""])
    lines.append(["AUC, members against controls", "", "", f"{row['auc']:.2f} [{row['auc_lo']:.2f}, {row['auc_hi']:.2f}]"])
    lines.append(["TPR at 1 % FPR", "", "", f"{row['tpr_at_1fpr']:.2f}"])
    lines.append(["submitted images with SSIM > 0.4 to any", number(row["precision"]), number(row["precision_controls"]), ""])
    return lines


def many(judged: Sequence[Judgement]) -> list[list[str]]:
    """Lines of ``HEAD_MANY``: an attack a line, ``members : controls`` in the columns that hold both."""
    lines = []
    for one_ in judged:
        name = f"{one_.name} (control)" if one_.role == "control" else one_.name
        if one_.row is None:
            lines.append([name, one_.reason.partition(":")[0] or "not scored"] + [""] * (len(HEAD_MANY) - 2))
            continue
        row = one_.row
        members, controls = one_.hits()
        cells = [
            name,
            f"{members} of {row['n_members']}",
            f"{controls} of {row['n_controls']}",
            signed(row["excess_recall"]),
            chance(one_.p_value),
        ]
        cells += [number(row["auc"]), number(row["tpr_at_1fpr"])]
        cells += [f"{number(row[c])} : {number(row[f'{c}_controls'])}" for c in ("ssim_median", "lpips_median")]
        cells += ["{} : {}".format(*one_.hits(prefix)) for prefix in ("haim_", "oracle_")]
        lines.append(cells)
    return lines


def missed(judged: Sequence[Judgement]) -> list[str]:
    """What was not run, or failed, and why."""
    return [f"{one_.name}: {one_.reason}" for one_ in judged if one_.candidates is None]


def in_text(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table for the terminal."""
    from tabulate import tabulate

    return str(tabulate(lines, headers=head, disable_numparse=True))


def in_markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """The same as a pipe table."""
    return table(head, [[escape(cell) for cell in line] for line in lines])


def facts(judged: Judgement) -> dict[str, Any]:
    """The scores as JSON holds them; none where nothing was scored."""
    scores = {name: value for name, value in (judged.row or {}).items() if not name.endswith("_png")}
    return scores | ({"p_value": judged.p_value} if scores else {})


def strips(judged: Judgement, secret: Secret, folder: Path) -> list[str]:
    """Writes the strips of both sides and returns the lines that show them."""
    assert judged.candidates is not None
    lines = []
    stem = "".join(c if c.isalnum() or c in "-_" else "_" for c in judged.name)[:60]
    for side, truth in (("member", secret.members), ("control", secret.controls)):
        rows = [row for row in judged.images if row["split"] == side]
        png, shown = pictures.pairs(rows, truth, judged.candidates.images)
        file = f"{stem}-{side}s.png"
        atomic_write(folder / file, png)
        values = ", ".join(number(row["ssim"]) for row in shown)
        lines += ["", f"{side.capitalize()}s, best to worst: reconstruction above, real image below; SSIM {values}.", ""]
        lines += [f"![{escape(judged.name)}: {side}s]({file})"]
    return lines


def write_rows(judged: Sequence[Judgement], path: Path) -> None:
    """Image rows of all judgements, in the schema of image rows (``bench info schema``).

    Raises:
        BenchError: they cannot be written.
    """
    import io

    import pyarrow.parquet as pq

    from bench.store import to_table

    buffer = io.BytesIO()
    pq.write_table(to_table([image for one_ in judged for image in one_.images], "images"), buffer)
    atomic_write(path, buffer.getvalue())


def write_json(content: Mapping[str, Any], path: Path) -> None:
    """JSON, readable."""
    atomic_write(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def write_score(judged: Judgement, secret: Secret, notes: Sequence[str], folder: Path) -> Path:
    """``score.md`` with pictures, ``score.json`` and ``images.parquet``; returns the page.

    Raises:
        BenchError: the folder cannot be written.
    """
    lines = [f"# {escape(judged.name)}", "", f"{escape(judged.sentence())}.", "", *in_markdown(HEAD_ONE, one(judged)), ""]
    lines += [f"- {escape(note)}" for note in notes]
    lines += strips(judged, secret, folder)
    atomic_write(folder / "score.md", ("\n".join(lines) + "\n").encode())
    write_json({"name": judged.name, "notes": list(notes), **facts(judged)}, folder / "score.json")
    write_rows([judged], folder / "images.parquet")
    return folder / "score.md"
