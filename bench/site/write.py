"""All files of the site, by name."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import __version__, registry, report, tracks
from bench.report import board, claims_page
from bench.report.grid import Grid
from bench.report.kit.groups import axis_of, in_words
from bench.report.kit.text import clean
from bench.site import cards, charts, compare, defences, figures, lines, pictures, reading, vendored
from bench.site.gathered import Gathered, gather
from bench.site.lines import Top
from bench.site.markup import Links, inline, to_html
from bench.site.pictures import Gallery, Sheets

HERE = Path(__file__).parent
ABOUT_LINES = (
    "track",
    "attack",
    "name",
    "role",
    "dataset",
    "setting",
    "access",
    "network",
    "score",
    "estimate",
    "low",
    "high",
    "lead",
    "ahead",
    "sure",
    "seeds",
    "coverage",
    "verified",
    "date",
    "grid",
    "by",
)
MENU = (
    ("index.html", "Board"),
    ("lines.html", "All lines"),
    ("cards.html", "Attacks and defences"),
    ("gallery.html", "Gallery"),
    ("compare.html", "Compare"),
    ("defences.html", "Frontier"),
    ("claims.html", "Claims"),
    ("reading.html", "How to read it"),
)
HOW = re.compile(r"^## How to read a line\n.*?(?=^## |\Z)", re.DOTALL | re.MULTILINE)  # the same on every page: the site has one of it
DRAWN = ("excess", "strips", "gallery")  # kinds of pictures that plots and the gallery stand for


def contents(results: Path, tell: Callable[[str], None]) -> tuple[dict[str, bytes], list[str]]:
    """The files, and what is missing.

    Raises:
        BenchError: see `build`.
    """
    tell("libraries")
    libraries = vendored.libraries()
    tell("rows")
    site = _Site(gather(results), tell)
    files = site.pages()
    for library in libraries:
        files[library.file] = library.content
    files["plots.js"] = _script("PLOTS", charts.KINDS)
    for name in ("site.css", "site.js"):
        files[name] = (HERE / "static" / name).read_bytes()
    files["licences.txt"] = "\n\n".join(
        f"{one.file}: {one.what}, as bundled in {one.package} {one.version}\n\n{one.licence}" for one in libraries
    ).encode()
    return files, site.notes


def _script(name: str, value: Any) -> bytes:
    """Data as a script: what browsers load from the file system beside a page."""
    return f"window.{name}={_json(value)};".encode()


def _json(value: Any) -> str:
    """JSON that can stand inside a script element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


class _Site:
    """The pages of a results folder while they are made."""

    def __init__(self, found: Gathered, tell: Callable[[str], None]) -> None:
        self.found, self.tell = found, tell
        self.sheets, self.notes = Sheets(), list[str]()
        self.figures: dict[str, bytes] = {}
        self.grids = {slug: f"grid-{slug}.html" for slug in found.pages}
        in_rows = [str(name) for name in dict.fromkeys(found.scores["attack"].dropna())]
        with_defence = [str(name) for name in dict.fromkeys(found.scores["defense"].dropna())]
        self.attacks = cards.slugs(sorted({*registry.entries("attack"), *in_rows}), "attack-")
        self.defences = cards.slugs(sorted({*registry.entries("defense"), *with_defence}), "defence-")
        self.lines = lines.every(found)
        newest = found.scores["finished_at"].max()
        self.every_page = {
            "menu": MENU,
            "version": __version__,
            "cells": len(found.scores),
            "newest": f"{newest:%Y-%m-%d}" if newest == newest else "no day",
            "attacks": self.attacks,
            "defences": self.defences,
            "grids": self.grids,
            "tiles": False,
            "scripts": ("datatables.js",),
        }
        self.made: dict[str, bytes] = {}
        jinja = vendored.needed("jinja2", "Jinja2")
        self.templates = jinja.Environment(
            autoescape=True,
            loader=jinja.FileSystemLoader(HERE / "templates"),
            undefined=jinja.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.templates.filters |= {"place": _place, "data": lambda value: _safe(_json(value)), "words": lambda text: _safe(inline(text))}

    def pages(self) -> dict[str, bytes]:
        """All that is not vendored."""
        compared: list[dict[str, Any]] = []
        why: list[str] = []
        shown: dict[str, list[Gallery]] = {}
        self.tell("pictures")
        controls = pictures.Controls()
        for grid in self.found.grids:
            groups = self.found.pages[grid.slug].groups
            mine = pictures.galleries(grid.slug, grid.rows, grid.images, self.sheets, controls)
            if mine:
                shown[grid.slug] = mine
            settings, missing = compare.settings(grid, groups, mine, self.sheets)
            if settings:
                compared.append({"name": grid.slug, "title": clean(grid.title, 90), "settings": settings})
            why += [missing] if missing else []
        self.notes += why
        without = list(dict.fromkeys(one.without for found in shown.values() for one in found if one.without))
        self.notes += [f"galleries without controls: {reason}" for reason in without]
        named = {one["name"] for one in compared}
        for grid in self.found.grids:
            self.tell(grid.title)
            self._grid(grid, grid.slug in shown, grid.slug in named)
        self.tell("board")
        self._board()
        self._lines()
        self._cards(shown, bool(compared))
        self._gallery(shown, without)
        self._page(
            "compare.html",
            "compare.html",
            "Two attacks side by side, image by image",
            why=f"Pictures: {why[0]}." if why else "",
            tiles=True,
            scripts=("datatables.js", "vega.js", "plots.js", "compare.js"),
        )
        text = claims_page.page(self.found.claims, self.found.broken)
        self._page("claims.html", "text.html", "Claims of the papers, tested", body=self._html(text, report.CLAIMS, long=10_000))
        self._page("reading.html", "text.html", "How to read it", body=self._html(reading.text(self.found.groups), "", long=10_000))
        files = {**self.made, "compare.js": _script("COMPARE", compared)}
        for sheet in self.sheets.every:
            files[sheet.file] = sheet.webp()
        files["tiles.css"] = "\n".join(sheet.style() for sheet in self.sheets.every).encode()
        return {**files, **self.figures}

    def _page(self, file: str, template: str, title: str, **more: Any) -> None:
        known = {**self.every_page, "title": title, "here": file, **more}
        self.made[file] = self.templates.get_template(template).render(known).encode()

    def _html(self, text: str, record: str, **more: Any) -> Any:
        return _safe(to_html(text, self._links(record, **more)))

    def _links(self, record: str, **more: Any) -> Links:
        pages = {f"{slug}.md": file for slug, file in self.grids.items()}
        pages |= {"leaderboard.md": "index.html", report.CLAIMS: "claims.html", "README.md": "reading.html"}
        return Links(pages, self._picture, record, **more)

    def _picture(self, source: str) -> str | None:
        """A picture of the results folder, for the site; those that plots and the gallery stand for are left out."""
        path = Path(source)
        if path.parent.as_posix() != report.FIGURES or path.suffix != ".png" or path.stem.endswith(tuple(f"_{kind}" for kind in DRAWN)):
            return None
        return self._figure(path.stem)

    def _figure(self, stem: str) -> str | None:
        name = f"{report.FIGURES}/{stem}.webp"
        if name not in self.figures:
            path = self.found.folder / report.FIGURES / f"{stem}.png"
            made = figures.small(path) if path.is_file() else None
            if made is None:
                return None
            self.figures[name] = made
        return name

    def _grid(self, grid: Grid, pictured: bool, compared: bool) -> None:
        page = self.found.pages[grid.slug]
        text = self.found.text(grid)
        opening, heading, rest = text.partition("\n## ")
        links = self._links(f"{grid.slug}.md")
        headline = next((group.headline.picture for group in page.groups), "")
        drawn = charts.intervals(page.groups, grid.title)
        rest = HOW.sub("## How to read a line\n\n[What the columns mean](README.md#what-the-columns-mean).\n\n", heading + rest)
        body = _safe(to_html(rest, links))
        self._page(
            self.grids[grid.slug],
            "grid.html",
            clean(grid.title, 120),
            opening=_safe(
                to_html(
                    opening,
                    self._links(
                        "",
                    ),
                )
            ),
            body=body,
            plots=drawn,
            picture=self._figure(f"{grid.slug}_{headline}"),
            slug=grid.slug,
            record=f"{grid.slug}.md",
            dropped=list(dict.fromkeys(links.dropped)),
            pictured=pictured,
            compared=compared,
            place=f"grid-{grid.slug}",
            scripts=("datatables.js", "vega.js", "plots.js"),
        )

    def _board(self) -> None:
        days = lines.dates(self.found.scores)
        tops: list[Top] = []
        plots: dict[str, charts.Spec] = {}
        headlines = {}
        for track, every in self.found.boards.items():
            mine = [lines.top(best, self.found, days) for best in every]
            tops += mine
            headline = tracks.of_row(track).headline
            headlines[track] = headline.in_full
            values = [_lead(top) for top in mine if top.line.estimate is not None]
            if values:
                plots[track] = charts.leads(values, f"Track {track}", f"{headline.words}, 95 % interval; grey: the strongest control")
        text = board.page([*self.found.pages.values()], None, self.found.checked)
        top_of, _, below = text.partition("\n## Attacks\n")
        questions = below.partition("\n## Questions\n")[2]
        chosen = below.partition("\n### ")[0]
        answer = top_of.partition("**Command.**")[0]
        self._page(
            "index.html",
            "board.html",
            "What trained networks give away of their training images",
            tops=tops,
            plots=plots,
            headlines=headlines,
            answer=self._html(answer, ""),
            chosen=self._html(chosen, ""),
            questions=self._html(questions, ""),
            picture=self._figure("leaderboard"),
            scripts=("datatables.js", "vega.js", "plots.js"),
        )

    def _lines(self) -> None:
        self.made["lines.js"] = _script(
            "LINES",
            {
                **lines.coded(self.lines, list(ABOUT_LINES)),
                "grids": self.grids,
                "attacks": {clean(name, 60): file for name, file in self.attacks.items()},
            },
        )
        self._page("lines.html", "lines.html", "Every line of every grid", count=len(self.lines), scripts=("datatables.js", "lines.js"))

    def _cards(self, shown: Mapping[str, Sequence[Gallery]], compared: bool) -> None:
        every = [one for found in shown.values() for one in found]
        attacks = cards.attacks(self.found, self.lines, self.attacks, every)
        owners = cards.defences(self.found, self.lines, self.defences)
        for card in [*attacks, *owners]:
            place = f"grid-{card.pictured.slug}" if card.pictured else ""
            self._page(card.file, "card.html", card.name, card=card, compared=compared, place=place, tiles=bool(card.pictures))
        kinds = {
            "Attacks": [card for card in attacks if card.kind == "attack"],
            "Controls: what an attack has to beat": [card for card in attacks if card.kind == "control"],
            "Defences": owners,
        }
        self._page("cards.html", "cards.html", "Attacks, controls and defences", kinds=kinds)
        points = defences.points(self.found)
        self._page(
            "defences.html",
            "defences.html",
            "The frontier of defences",
            points=points,
            plots=defences.plots(points),
            cards=owners,
            picture=self._figure(f"{defences.GRID}_excess"),
            scripts=("datatables.js", "vega.js", "plots.js"),
        )

    def _gallery(self, shown: Mapping[str, Sequence[Gallery]], without: Sequence[str]) -> None:
        told = {
            slug: [{"words": _words(one), "row": one.row, "members": one.members, "without": one.without} for one in found]
            for slug, found in shown.items()
        }
        self._page(
            "gallery.html",
            "gallery.html",
            "Members, what came back, and the nearest control",
            grids_shown=told,
            without=without,
            cells=sum(map(len, shown.values())),
            titles={grid.slug: clean(grid.title, 100) for grid in self.found.grids},
            places={slug: f"grid-{slug}" for slug in shown},
            tiles=True,
        )


def _words(one: Gallery) -> str:
    axis = axis_of(one.row)
    dataset = str(one.row["dataset_display"] or one.row["dataset"])
    return clean(", ".join(part for part in ("" if "dataset" in axis else dataset, in_words(axis, list(axis))) if part), 120)


def _lead(top: Top) -> dict[str, Any]:
    one = top.line
    where = ", ".join(part for part in (one.dataset, one.setting) if part)
    tip = "\n".join([one.name, where, f"score {one.score}", f"lead {top.lead}", f"ahead at {top.settings} settings"])
    return {
        "a": one.name,
        "e": one.estimate,
        "lo": one.low if one.low is not None else one.estimate,
        "hi": one.high if one.high is not None else one.estimate,
        "c": top.control_at,
        "t": tip,
        "tc": f"{top.control} {top.beside}",
    }


def _place(value: float) -> str:
    """Where between −0.5 and 1 a score lies, in per cent."""
    return f"{100 * (max(-0.5, min(1.0, value)) + 0.5) / 1.5:.0f}%"


def _safe(text: str) -> Any:
    """What is HTML already."""
    from markupsafe import Markup

    return Markup(text)
