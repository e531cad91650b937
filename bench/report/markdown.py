"""The pages: the leaderboard over all grids, and one page a grid. Text in, text out; no file is touched here."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence

import pandas as pd

from bench import registry, tracks
from bench.api import Section
from bench.report.kit import figures
from bench.report.kit.groups import CONVOLUTIONS, Group
from bench.report.kit.page import Page
from bench.report.kit.ranking import coverage
from bench.report.kit.sections import STANDARD
from bench.report.kit.settings import compared, convolved, targets_in_short, values
from bench.report.kit.text import NONE, attack_name, escape, interval, seconds, table
from bench.schema import SETTING_COLUMNS

GENERATED = "<!-- Generated from scores.parquet and images/*.parquet by `python -m bench report`. Do not edit. -->"
_DESCRIPTIONS = {column.name: column for column in SETTING_COLUMNS}


def sections_of(track: str) -> tuple[Section, ...]:
    """The sections of a track's part of a page, in order: its own, or those that any track has; then what is registered for it."""
    entries = registry.entries("section")
    about = {name: registry.literal(entry, "tracks") for name, entry in entries.items()}
    registered = [_made(registry.get("section", name)) for name in entries if not about[name] or track in about[name]]
    return *(tuple(tracks.of_row(track).sections()) or STANDARD), *registered


@functools.lru_cache(maxsize=64)
def _made(cls: type[Section]) -> Section:
    return cls()


def leaderboard(pages: Sequence[Page], picture: str | None) -> str:
    """The whole of leaderboard.md."""
    lines = [GENERATED, "", "# Leaderboard: training images rebuilt from released networks", ""]
    lines += [
        "Each line is one attack against networks trained on a handful of images. The attacker sees what the *access* column says, and",
        "never the training images; afterwards the images it submits are compared with them. A **control** line is a null model or a",
        "trivial look at the weights: what chance, the kind of image, or no reconstruction at all is worth. An attack has to beat them.",
        "",
        "**Excess recall** ranks the lines: the share of training images (*members*) matched at SSIM > 0.4, minus the share of *controls*,",
        "images of the same kind and classes that the network never saw, matched by the very same submissions. 0 means that nothing was",
        "learnt about the training set in particular; 1 that all of it was rebuilt. Brackets are 95 % bootstrap intervals over seeds and",
        "images. [How to read a line](#how-to-read-a-line) says what each column is. [What the papers claim](claims.md) is tested on a",
        "page of its own.",
        "",
    ]
    if not pages:
        return "\n".join([*lines, "There are no results yet. `python -m bench run --grid quick` makes some.", ""])
    if picture:
        lines += [f"![Excess recall of attacks and controls]({picture})", ""]
    lines += _contents(pages)
    used = list(dict.fromkeys(group.track for page in pages for group in page.groups))
    for track in used:
        lines += [f"## Track: {escape(track)}", ""]
        for page in pages:
            mine = [group for group in page.groups if group.track == track]
            if mine:
                lines += _summary(page, mine)
    every = [group for page in pages for group in page.groups]
    return "\n".join([*lines, *_how_to_read(used), "", *_footnotes(every)]).rstrip() + "\n"


def _contents(pages: Sequence[Page]) -> list[str]:
    rows = []
    for page in pages:
        counts = page.rows["status"].value_counts()
        rows.append(
            [
                f"[{escape(page.title)}]({page.slug}.md)",
                escape(page.question),
                _champion(page.groups, "attack"),
                _champion(page.groups, "control"),
                coverage({str(k): int(v) for k, v in counts.items()}, line=False),
            ]
        )
    return [*table(["grid", "question", "strongest attack", "strongest control", "cells"], rows), ""]


def _champion(groups: Sequence[Group], role: str) -> str:
    """The line with the highest headline of a grid, and where that was."""
    scored = [(group.excess.estimate, group) for group in groups if group.role == role and group.excess]
    if not scored:
        return NONE
    _, group = max(scored, key=lambda pair: pair[0])
    where = ", ".join(part for part in (group.label, group.section) if part)
    short = "" if group.ok == group.cells else f" ({coverage(group.counts)})"
    what = f" {group.headline.champion}" if group.headline.champion else ""
    return f"{escape(group.name)} {interval(group.excess)}{what}" + (f" at {escape(where)}" if where else "") + short


def _summary(page: Page, groups: list[Group]) -> list[str]:
    lines = [f"### {escape(page.title)}", ""]
    if page.question:
        lines += [f"{escape(page.question)} ([full page]({page.slug}.md))", ""]
    for section, mine in page.of(groups).parts.items():
        lines += [f"#### {escape(section)}", ""] if section else []
        lines += [f"*Compared:* {compared(mine)}. {targets_in_short(mine)}", ""]
        for table_of in (one for one in sections_of(mine[0].track) if one.ranks):
            lines += table_of.lines(page.of(mine, {}))
        lines += _notes(mine)
    return lines


def _notes(groups: Sequence[Group]) -> list[str]:
    """Why numbers are missing: reasons of cells without scores, each once."""
    lines = []
    reasons: dict[tuple[str, str], dict[str, int]] = {}
    for group in groups:
        for _, status, reason in group.reasons:
            places = reasons.setdefault((status, reason), {})
            places[group.name] = places.get(group.name, 0) + 1
    for (status, reason), places in sorted(reasons.items()):
        who = ", ".join(f"{escape(name)} ({n} {'cell' if n == 1 else 'cells'})" for name, n in places.items())
        lines.append(f"- {escape(status)}: {who}: {escape(reason) or 'no reason given'}")
    return ["Cells without scores:", "", *lines, ""] if lines else []


def _footnotes(groups: Sequence[Group]) -> list[str]:
    reasons = sorted({reason for group in groups for reason in group.lpips_reasons})
    return [f"[^lpips]: LPIPS is missing: {'; '.join(escape(reason) for reason in reasons)}", ""] if reasons else []


def grid_page(page: Page) -> str:
    """The whole of GRID.md."""
    lines = [GENERATED, "", f"# {escape(page.title)}", ""]
    if page.question:
        lines += [f"**Question.** {escape(page.question)}", ""]
    lines += ["[Back to the leaderboard](leaderboard.md), which says [how to read a line](leaderboard.md#how-to-read-a-line).", ""]
    counts = {str(k): int(v) for k, v in page.rows["status"].value_counts().items()}
    lines += [f"Coverage: {coverage(counts, line=False)} of the grid's cells (a cell is one setting and seed under one attack).", ""]
    for headline in dict.fromkeys(group.headline for group in page.groups):
        if headline.picture in page.figures:
            lines += [f"![{headline.caption or _capital(headline.words)}, {escape(page.title)}]({page.figures[headline.picture]})", ""]
    placed: set[str] = set()  # sections whose pictures stand on the page already
    for section in once(page.groups, "top"):
        lines += _lines(section, page, placed)
    for title, groups in page.parts.items():
        lines += [f"## {escape(title) or 'Results'}", ""]
        for section in (one for one in sections_of(groups[0].track) if one.place == "part"):
            lines += _lines(section, page.of(groups), placed)
    for section in once(page.groups, "end"):
        lines += _lines(section, page, placed)
    lines += ["## Settings", "", *_settings(page.groups)]
    lines += _failures(page)
    lines += ["## Provenance", "", *_provenance(page.rows), *_footnotes(page.groups)]
    return "\n".join(lines).rstrip() + "\n"


def _lines(section: Section, page: Page, placed: set[str]) -> list[str]:
    """A section under its title, with its pictures if they do not stand on the page yet."""
    if not section.applies(page):
        return []
    found = section.lines(page.of(page.groups, {} if section.name in placed else page.figures))
    placed |= {section.name} if found else set()
    return [section.title, "", *found] if section.title and found else found


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def once(groups: Sequence[Group], place: str) -> list[Section]:
    """Those sections of the groups' tracks that a page has once, at its top or at its end."""
    return list({one.name: one for track in _tracks(groups) for one in sections_of(track) if one.place == place}.values())


def figures_of(page: Page) -> dict[str, bytes | None]:
    """The pictures of a page by kind, each of the groups whose track has it; None where there is nothing to draw."""
    made: dict[str, bytes | None] = {}
    for headline in dict.fromkeys(group.headline for group in page.groups):
        made[headline.picture] = figures.excess([group for group in page.groups if group.headline == headline], page.title)
    names = {track: {one.name: one for one in sections_of(track)} for track in _tracks(page.groups)}
    for section in {name: one for own in names.values() for name, one in own.items()}.values():
        mine = page.of([group for group in page.groups if section.name in names[group.track]])
        if section.pictures and section.applies(mine):
            made |= section.figures(mine)
    return made


def pictures() -> list[str]:
    """The kinds of pictures that a page may have, by the tracks that are here."""
    every = [tracks.get(name) for name in tracks.names()]
    own = [kind for track in every for section in sections_of(track.name) for kind in section.pictures]
    return list(dict.fromkeys([*(track.headline.picture for track in every), *own]))


def _tracks(groups: Sequence[Group]) -> list[str]:
    return list(dict.fromkeys(group.track for group in groups))


def _settings(groups: Sequence[Group]) -> list[str]:
    rows = []
    for column in SETTING_COLUMNS:
        if column.name in ("seed", "dataset_display") or (column.name in CONVOLUTIONS and not convolved(groups)):
            continue
        if column.name == "batch_size" and values(groups, "batch_size") == ["default"]:
            continue
        mine = values(groups, column.name)
        rows.append([f"`{column.name}`", ", ".join(escape(v) for v in mine), escape(_DESCRIPTIONS[column.name].description)])
    seeds = sorted({seed for group in groups for seed in group.seeds})
    rows.append(["`seed`", ", ".join(map(str, seeds)), escape(_DESCRIPTIONS["seed"].description)])
    return [*table(["field", "values", "meaning"], rows), ""]


def _failures(page: Page) -> list[str]:
    rows = [
        [escape(", ".join(p for p in (g.label, g.section) if p)), attack_name(g), str(seed), escape(status), escape(reason) or NONE]
        for g in page.groups
        for seed, status, reason in g.reasons
    ]
    if not rows:
        return []
    text = "None of these enters a score above; where some cells of a line have scores and others do not, its coverage is in bold."
    return ["## Cells without scores", "", text, "", *table(["setting", "attack", "seed", "status", "reason"], rows), ""]


def _provenance(rows: pd.DataFrame) -> list[str]:
    def distinct(name: str) -> str:
        return ", ".join(escape(value) for value in sorted(set(rows[name].dropna().astype(str)))) or NONE

    libraries: dict[str, set[str]] = {}
    for text in sorted(set(rows["versions"].dropna())):
        try:
            found = json.loads(text)
        except ValueError:
            continue
        for name, value in found.items() if isinstance(found, dict) else ():
            libraries.setdefault(str(name), set()).add(str(value))
    train = rows.drop_duplicates("target_id")["seconds_train"].sum()
    digests = rows[["dataset_display", "data_digest"]].dropna().drop_duplicates().sort_values(["dataset_display", "data_digest"])
    finished = rows["finished_at"].dropna()
    lines = [
        f"- code: {distinct('code_version')}; score protocol {distinct('protocol')}; Python {distinct('python')}; {distinct('platform')}",
        f"- device: {distinct('device')}",
        "- libraries: " + (", ".join(f"{escape(k)} {escape(' / '.join(sorted(v)))}" for k, v in sorted(libraries.items())) or NONE),
        "- data: " + ("; ".join(f"{escape(d)} `{escape(h)}`" for d, h in digests.itertuples(index=False)) or NONE),
        f"- time: {seconds(float(train))} training, {seconds(float(rows['seconds_attack'].sum()))} attacking, "
        f"{seconds(float(rows['seconds_score'].sum()))} scoring, over {rows['target_id'].nunique()} targets and {len(rows)} cells",
    ]
    if len(finished):
        lines.append(f"- finished: {finished.min():%Y-%m-%d} to {finished.max():%Y-%m-%d} (UTC)")
    return [*lines, ""]


def _how_to_read(used: Sequence[str]) -> list[str]:
    """What the columns of the tracks' rankings mean."""
    own = {name: text for track in used for section in sections_of(track) for name, text in section.meanings().items()}
    meanings = {
        "#": "rank by excess recall among the lines of one setting; lines in bold have an interval above 0, over two seeds or more",
        "access": "what the attack was given: the released weights, the mean of the training images, …",
        **own,
        "seeds, runs, candidates": "networks attacked; attack runs pooled for each; candidates out of them",
        "time": "of the attack, a network",
        "coverage": "cells with scores out of all cells; failed and skipped cells are listed with their reasons and enter no score. "
        "In bold: the line is incomplete, and its numbers are those of the cells that finished",
    }
    lines = ["## How to read a line", "", *table(["column", "meaning"], [[escape(k), escape(v, 400)] for k, v in meanings.items()]), ""]
    return [
        *lines,
        "Means over seeds weigh each seed equally. Bootstrap intervals of hits are worked out, not drawn: the same rows, the same ends.",
        "With few seeds a bootstrap over seeds is somewhat too narrow; differences along an axis are therefore tested by Student's t over",
        "paired seeds, on the grids' own pages. `python -m bench info schema` describes every column of `scores.parquet` and",
        "`images/*.parquet`, from which all of this is made.",
    ]
