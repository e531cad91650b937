"""Markdown pages as HTML: the same words, with links to the pages of the site, tables to sort, and no markup that was not meant."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

ALLOWED = re.compile(
    r"\s*(?:(?:</?details>|<details open>|<br>|<summary>[^<>]*</summary>|<!--.*?-->)\s*)*", re.DOTALL
)  # HTML that pages hold
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
LONG = 12  # lines of a table that stays in the record
OPEN = "Ranking"  # the heading of the table that is whole and unfolded
FILLED = "″"  # what tables have where a cell is as the one above


@dataclass
class Links:
    """What the pages of the site are called, and the pictures."""

    pages: Mapping[str, str]  # Markdown file → page of the site
    pictures: Callable[[str], str | None]  # path in the results folder → that of a picture of the site
    record: str = ""  # Markdown file that is converted: long tables stay there
    long: int = LONG
    dropped: list[str] = field(default_factory=list)  # headings whose tables stay in the record
    text: Mapping[str, str] = field(default_factory=dict)  # words → page: names of attacks in the first cells of tables


def to_html(text: str, links: Links) -> str:
    """Markdown as HTML.

    Raw HTML other than what the pages fold tables with is shown as text. Links lead to pages of the site, to places on the page, or
    nowhere: then their words stay. A page has its own heading, so the first one of the text is left out.
    """
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    tokens = _without_title(parser.parse(text))
    tokens = _cut(tokens, links)
    _anchors(tokens)
    for token in tokens:
        if token.children:
            token.children = _inline(token.children, links)
    _columns(tokens)
    parser.add_render_rule("html_block", _raw)
    parser.add_render_rule("html_inline", _raw)
    parser.add_render_rule("table_open", lambda *_: '<div class="wide" tabindex="0"><table class="sortable">')
    parser.add_render_rule("table_close", lambda *_: "</table></div>\n")
    return _short(str(parser.renderer.render(tokens, parser.options, {})))


def inline(text: str) -> str:
    """A cell of a table as HTML: bold and italics, nothing else."""
    found = MarkdownIt("commonmark", {"html": False}).disable(["link", "image", "autolink"]).renderInline(text)
    return str(found)


def plain(text: str) -> str:
    """Markdown of one line as plain words."""
    return html.unescape(re.sub(r"<[^>]*>", "", inline(text.replace("<br>", " "))))


def _raw(self: Any, tokens: Sequence[Token], i: int, *_: Any) -> str:
    text = tokens[i].content
    return COMMENT.sub("", text) if ALLOWED.fullmatch(text) else html.escape(text)


def _without_title(tokens: list[Token]) -> list[Token]:
    for i, token in enumerate(tokens):
        if token.type == "heading_open" and token.tag == "h1":
            return tokens[:i] + tokens[i + 3 :]
    return tokens


def _cut(tokens: list[Token], links: Links) -> list[Token]:
    """Without tables that are longer than the site shows; a sentence says where they are."""
    result: list[Token] = []
    heading, i = "", 0
    while i < len(tokens):
        token = tokens[i]
        if token.type == "heading_open":
            heading = tokens[i + 1].content
        if heading == OPEN and token.type == "html_block":
            token.content = token.content.replace("<details>", "<details open>")
        if token.type == "table_open" and links.record:
            end = next(j for j in range(i, len(tokens)) if tokens[j].type == "table_close")
            rows = sum(one.type == "tr_open" for one in tokens[i:end]) - 1
            if rows > links.long and heading != OPEN:
                links.dropped.append(heading)
                result += _paragraph(f"A table of {rows} lines, in the record: `results/{links.record}`.")
                i = end + 1
                continue
        result.append(token)
        i += 1
    return result


def _paragraph(text: str) -> list[Token]:
    return MarkdownIt("commonmark", {"html": False}).parse(text)


def _anchors(tokens: Sequence[Token]) -> None:
    """Headings get the names that links to them have."""
    seen: dict[str, int] = {}
    for i, token in enumerate(tokens):
        if token.type == "heading_open":
            name = anchor(tokens[i + 1].content)
            seen[name] = seen.get(name, -1) + 1
            token.attrSet("id", f"{name}-{seen[name]}" if seen[name] else name)


def anchor(text: str) -> str:
    """The name of the place of a heading, as forges make it; no name of the site's own places."""
    words = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
    return words if words and words not in ("main", "menu") else f"section-{words}"


def _inline(tokens: Sequence[Token], links: Links) -> list[Token]:
    """Links and pictures that the site has; of others the words."""
    result: list[Token] = []
    open_ = True
    for token in tokens:
        if token.type == "link_open":
            target = _target(str(token.attrGet("href") or ""), links)
            open_ = target is not None
            if target is not None:
                token.attrSet("href", target)
                result.append(token)
        elif token.type == "link_close":
            if open_:
                result.append(token)
        elif token.type == "image":
            source = links.pictures(str(token.attrGet("src") or ""))
            if source is not None:
                token.attrSet("src", source)
                token.attrSet("loading", "lazy")
                result.append(token)
        else:
            result.append(token)
    return result


def _target(href: str, links: Links) -> str | None:
    if href.startswith("#"):
        return href
    file, _, place = href.partition("#")
    page = links.pages.get(file)
    return None if page is None else page + (f"#{place}" if place else "")


def _columns(tokens: Sequence[Token]) -> None:
    """Of tables: numbers to the right by a class of the head alone, and first cells that are blank because they are as those above filled,
    so that lines keep their setting when they are sorted."""
    starts = [i for i, token in enumerate(tokens) if token.type == "table_open"]
    for start in starts:
        rows: list[list[tuple[Token, Token]]] = []
        for i in range(start, len(tokens)):
            if tokens[i].type == "tr_open":
                rows.append([])
            elif tokens[i].type in ("th_open", "td_open"):
                rows[-1].append((tokens[i], tokens[i + 1]))
            elif tokens[i].type == "table_close":
                break
        head, body = rows[0], rows[1:]
        for cell, _ in head:
            right = "right" in str(cell.attrGet("style") or "")
            cell.attrs = {"scope": "col", **({"class": "n"} if right else {})}
        naming = next((k for k, (_, words) in enumerate(head) if words.content == "#"), 0)  # columns before the rank name the setting
        above: dict[int, list[Token]] = {}
        for row in body:
            for k, (cell, words) in enumerate(row):
                cell.attrs = {}
                if words.content == FILLED or (k < naming and not words.content):
                    words.children, cell.attrs = above.get(k, words.children), {"class": "same"}
                elif words.children is not None:
                    above[k] = words.children


def _short(text: str) -> str:
    """Without line ends between the parts of tables, and without the end tags that HTML lets one leave out: half of a page are tables."""
    text = re.sub(r"\s*(</?(?:t[rdh]|tbody|thead)(?:\s[^>]*)?>)\s*", r"\1", text)
    return re.sub(r"</(?:td|th|tr|thead|tbody)>", "", text)
