"""What two attacks are compared by, image by image: the SSIM of every member of one network of each setting, and pictures, if any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.errors import BenchError
from bench.report import HEADLINE_GRID
from bench.report.grid import Grid
from bench.report.kit.groups import Group, axis_names, in_words
from bench.report.kit.text import clean
from bench.site.pictures import Gallery, Sheets, Strip, as_pixels, secret_of

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
MISS = "--"
LARGEST = 1000  # members of a setting that are compared
ANSWERED = 40  # members of a setting of which kept answers are shown


@dataclass(frozen=True)
class Pictures:
    """Where pictures of one network are: the member, then what came back from each attack."""

    strips: Mapping[int, Strip]  # by member
    columns: Mapping[str, int]  # line → image of the strip


def settings(grid: Grid, groups: Sequence[Group], galleries: Sequence[Gallery], sheets: Sheets) -> tuple[list[dict[str, Any]], str]:
    """The settings of a grid with two lines or more to compare, as JSON; and why there are no pictures of all of them.

    Of each setting the first seed that most lines have.
    """
    places: dict[tuple[str, int, str], list[Group]] = {}
    for group in groups:
        if group.cell_ids:
            places.setdefault((group.section, group.axis_index, group.label), []).append(group)
    wanted: list[tuple[str, int, dict[str, str]]] = []
    for mine in places.values():
        held = [seed for group in mine for seed in group.cell_ids]
        seed = min(sorted(set(held)), key=lambda one: (-held.count(one), one))
        cells = {_called(group): group.cell_ids[seed] for group in mine if seed in group.cell_ids}
        if len(cells) > 1:
            names = [name for name in axis_names(groups) if name in mine[0].axis]
            where = ", ".join(part for part in (in_words(mine[0].axis, names), mine[0].section) if part)
            wanted.append((clean(where, 120) or "all", seed, cells))
    if not wanted:
        return [], ""
    images = grid.images
    members = images[(images["split"] == "member") & images["ssim"].notna() | (images["split"] == "member") & (images["candidate"] < 0)]
    members = members[members["cell_id"].isin({cell for _, _, cells in wanted for cell in cells.values()})]
    by_cell = {str(cell): mine for cell, mine in members[["cell_id", "index", "ssim", "candidate"]].groupby("cell_id", sort=False)}
    shown = {str(one.row["cell_id"]): {each.index: each.strip for each in one.members} for one in galleries}
    found, why = [], ""
    for where, seed, cells in wanted:
        known = {name: by_cell[cell] for name, cell in cells.items() if cell in by_cell}
        indices = sorted({int(i) for rows in known.values() for i in rows["index"]})
        if len(known) < 2 or not indices or len(indices) > LARGEST:
            continue
        lines = {name: _coded(rows, indices) for name, rows in known.items()}
        one: dict[str, Any] = {"where": where, "seed": seed, "members": _runs(indices), "lines": lines}
        pictures: Pictures | None = None
        if grid.name == HEADLINE_GRID:
            try:
                pictures = _answers(grid, {name: cells[name] for name in known}, known, sheets)
            except BenchError as error:
                why = str(error).partition("\n")[0]
        if pictures is not None:
            one["strips"] = {str(i): [s.sheet, s.x, s.y] for i, s in pictures.strips.items()}
            one["columns"] = dict(pictures.columns)
        else:  # thumbnails of strips and galleries: the member, and what came back from the one attack that is shown there
            for name, cell in cells.items():
                if cell in shown and name in known:
                    one["strips"] = {str(i): [s.sheet, s.x, s.y] for i, s in shown[cell].items()}
                    one["columns"] = {name: 1}
        found.append(one)
    return found, why


def _called(group: Group) -> str:
    return clean(group.name, 80) + (" (control)" if group.role == "control" else "")


def _runs(indices: Sequence[int]) -> int | list[int]:
    """How many members, if they are 0, 1, 2, …; else which."""
    return len(indices) if list(indices) == list(range(len(indices))) else list(indices)


def _coded(rows: pd.DataFrame, indices: Sequence[int]) -> str:
    """SSIM in hundredths, two characters a member: 100 more, in base 36."""
    known = {int(i): value for i, value in zip(rows["index"], rows["ssim"], strict=True)}

    def code(value: float | None) -> str:
        if value is None or pd.isna(value):
            return MISS
        number = max(0, min(200, round(100 * value) + 100))
        return DIGITS[number // 36] + DIGITS[number % 36]

    return "".join(code(known.get(i)) for i in indices)


def _answers(grid: Grid, cells: Mapping[str, str], known: Mapping[str, pd.DataFrame], sheets: Sheets) -> Pictures | None:
    """Pictures of kept answers.

    Raises:
        BenchError: the store has none of them.
    """
    from bench import tracks
    from bench.engine.answers import file_name
    from bench.engine.stored import reconstructions
    from bench.sealed import unseal

    files = reconstructions()
    rows = grid.rows.set_index("cell_id")
    row = grid.rows[grid.rows["cell_id"] == next(iter(cells.values()))].iloc[0].to_dict()
    secret = secret_of({str(k): v for k, v in row.items()})
    back: dict[str, Any] = {}
    for name, cell in cells.items():
        try:
            tensors, _ = unseal(files.read(file_name(cell)))
        except (OSError, ValueError, KeyError):  # FileNotFoundError as a rule
            continue
        if "images" in tensors and tracks.of_row(rows.loc[cell, "track"]):
            back[name] = tensors["images"].float()
    if not back:
        raise BenchError(
            "answers of attacks are not kept here",
            expected=f"reconstructions of grid {grid.name} in {files}",
            hint=f"python -m bench run --grid {grid.name} makes them",
        )
    strips = {}
    matched = {name: dict(zip(known[name]["index"].astype(int), known[name]["candidate"], strict=True)) for name in back}
    for i in range(min(len(secret.members), ANSWERED)):
        images = [as_pixels(secret.members[i])]
        for name, answer in back.items():
            which = matched[name].get(i)
            there = which is not None and not pd.isna(which) and 0 <= int(which) < len(answer)
            images.append(as_pixels(answer[int(which)]) if there else None)  # type: ignore[arg-type]
        strip = sheets.add(f"answers-{grid.slug}", images)
        if strip is not None:
            strips[i] = strip
    return Pictures(strips, {name: 1 + k for k, name in enumerate(back)})
