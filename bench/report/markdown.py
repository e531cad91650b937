"""The page of a grid. Text in, text out; no file is touched here."""

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
from bench.report.kit.sections import STANDARD
from bench.report.kit.settings import convolved, values
from bench.report.kit.text import GENERATED, NONE, attack_name, escape, folded, seconds, table
from bench.report.opening import opening, short
from bench.schema import SETTING_COLUMNS

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


def _footnotes(groups: Sequence[Group]) -> list[str]:
    reasons = sorted({reason for group in groups for reason in group.lpips_reasons})
    return [f"[^lpips]: LPIPS is missing: {'; '.join(escape(reason) for reason in reasons)}", ""] if reasons else []


def grid_page(page: Page) -> str:
    """The whole of GRID.md."""
    lines = [GENERATED, "", f"# {escape(page.title)}", "", *opening(page)]
    for headline in dict.fromkeys(group.headline for group in page.groups):
        if headline.picture in page.figures:
            lines += [f"![{headline.caption or _capital(headline.words)}, {escape(page.title)}]({page.figures[headline.picture]})", ""]
    lines += short(page)
    placed: set[str] = set()  # sections whose pictures stand on the page already
    for section in once(page.groups, "top"):
        lines += _lines(section, page, placed)
    for title, groups in page.parts.items():
        lines += [f"## {escape(title) or 'Results'}", ""]
        for section in (one for one in sections_of(groups[0].track) if one.place == "part"):
            lines += _lines(section, page.of(groups), placed)
    for section in once(page.groups, "end"):
        lines += _lines(section, page, placed)
    lines += _failures(page)
    lines += ["## How to read a line", "", *folded("What the columns mean", meanings(page.groups, lines)), ""]
    lines += ["## Settings", "", *folded("Every field of the settings", _settings(page.groups)), ""]
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
    text = "In what ranks an attack's line, these count as cells in which nothing was learnt, where others of the line have scores; its"
    text += " coverage is in bold then. All other numbers, and all of controls, are those of cells with scores."
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
    if sources := _sources(rows):
        lines.insert(1, f"- attacks, by version and source: {sources}")
    beside = rows[rows["isolation"].isin(["none", "imported"])] if "isolation" in rows else rows[:0]
    if len(beside):
        named = "; ".join(
            f"{escape(held)}: {', '.join(map(escape, sorted(set(mine['attack']))))}" for held, mine in beside.groupby("isolation")
        )
        lines.append(f"- attacks that were not held apart from the secret: {named}")
    if len(finished):
        lines.append(f"- finished: {finished.min():%Y-%m-%d} to {finished.max():%Y-%m-%d} (UTC)")
    return [*lines, ""]


def _sources(rows: pd.DataFrame) -> str:
    """Each attack with its version and the head of the hash of its source. One version of several sources is told apart by their seeds."""
    known = rows.dropna(subset=["attack_source"])
    said = []
    for (attack, version), mine in known.groupby(["attack", "attack_version"], sort=True):
        by_source = {str(source): own["seed"] for source, own in mine.groupby("attack_source", sort=False)}
        heads = [
            f"`{escape(source[:8])}`" + (f" (seeds {', '.join(map(str, sorted(set(seeds))))})" if len(by_source) > 1 else "")
            for source, seeds in by_source.items()
        ]
        said.append(f"{escape(str(attack))} {escape(str(version))} " + " / ".join(heads))
    return ", ".join(said)


def meanings(groups: Sequence[Group], said: Sequence[str] | None = None) -> list[str]:
    """What the columns of the tracks' tables mean: of all sections, or of those whose headings are among these lines, or that have none."""
    chance = " / ".join(f"{value:g}" for value in dict.fromkeys(group.headline.chance for group in groups))
    shown = [one for track in _tracks(groups) for one in sections_of(track) if said is None or not one.title or one.title in said]
    own = {name: text for section in shown for name, text in section.meanings().items()}
    meanings = {
        "#": "rank among the lines of one setting; lines in bold are surely ahead of every control of their setting, paired by seed",
        "minus strongest control": "what is left beside the control beside which least is left, paired by seed; each control is tested by "
        "itself, and the interval holds for all of them",
        "attack": "its name; *(control)* marks what an attack has to beat: a null model, or a trivial look at the weights",
        "access": "what the attack was given: the released weights, the mean of the training images, …",
        **own,
        "seeds, runs, candidates": "networks attacked; attack runs pooled for each; candidates out of them",
        "time": "of the attack, a network",
        "coverage": "cells with scores out of all cells; failed and skipped cells are listed with their reasons. In bold: the line is "
        f"incomplete. In what ranks an attack, and in its hits, a cell without scores counts as one that tells nothing ({chance or 0}); in "
        "all other numbers, and in a control's, it does not count",
    }
    return [
        *table(["column", "meaning"], [[escape(k), escape(v, 400)] for k, v in meanings.items()]),
        "",
        "Means over seeds weigh each seed equally. Intervals are Student's t over the seeds; those of hits are nowhere narrower than the",
        "draw of images alone makes them (Newcombe's score interval, which keeps a width at 0 : 0). Leads, and differences along an axis,",
        "are tested by Student's t over paired seeds. `python -m bench info schema` describes every column of `scores/*.parquet` and",
        "`images/*.parquet`, from which all of this is made.",
    ]
