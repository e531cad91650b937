"""The page ``leaderboard.md``: on a screen or two every attack beside the strongest control, and every grid's question with its answer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench import tracks
from bench.api import Headline
from bench.report import submitted, verified
from bench.report.kit.groups import Group, in_words
from bench.report.kit.lead import ALPHA, OPEN, Along, Lead, ahead_at, along, beyond, lead, leads
from bench.report.kit.page import Page
from bench.report.kit.ranking import access, coverage
from bench.report.kit.text import GENERATED, NONE, clean, escape, interval, of_headline, table
from bench.report.kit.transplants import ALPHA as SUSPECT
from bench.report.kit.transplants import FLAG
from bench.report.verified import Standings
from bench.schema import protocol_number
from bench.store.verified import Verified

WIDEST = 160  # characters of a row as it is shown


def page(pages: Sequence[Page], picture: str | None, rows: Sequence[Verified] = (), others: Sequence[Mapping[str, Any]] = ()) -> str:
    """The whole of leaderboard.md.

    Args:
        rows: of the table of verified attacks.
        others: a line a submission, as ``bench.store.submissions.index`` has them.
    """
    lines = [GENERATED, "", "# Leaderboard: what trained networks give away of their training images", ""]
    if not pages:
        return "\n".join([*lines, "There are no results yet. `python -m bench run --grid quick` makes some.", ""])
    boards, found_out = ordered(pages, rows)
    lines += [*_answer(boards, found_out), ""]
    lines += [f"![Attacks and controls: {escape(pages[0].title)}]({picture})", ""] if picture else []
    lines += ["## Attacks", "", *_how_chosen(found_out), ""]
    for track, found in boards.items():
        lines += [f"### {escape(track)}: {escape(tracks.of_row(track).summary)}", "", *_attacks(found, found_out), ""]
    if any(best.flagged for found in boards.values() for best in found):
        lines += [*_flagged(), ""]
    lines += [*submitted.section(others), ""] if others else []
    lines += ["## Questions", "", *_questions(pages), ""]
    counts: dict[str, int] = {}
    for one in pages:
        for status, n in one.rows["status"].value_counts().items():
            counts[str(status)] = counts.get(str(status), 0) + int(n)
    lines += [f"Cells: {coverage(counts, line=False)}; each page lists its own that have no scores, with the reasons."]
    return "\n".join(lines).rstrip() + "\n"


def ordered(pages: Sequence[Page], rows: Sequence[Verified]) -> tuple[dict[str, list[Best]], Standings]:
    """Of each track its attacks in the order of the page, and what came of verifying them."""
    found_out = verified.standings(pages, rows)
    return {track: _verified_first(found, found_out) for track, found in _boards(pages).items()}, found_out


@dataclass(frozen=True)
class Best:
    """An attack where it is most surely ahead."""

    page: Page
    lead: Lead
    ahead: int  # settings at which it is surely ahead
    tried: int  # of so many that it was put to, those included that it failed at or does not apply to
    somewhere: bool  # whether it is ahead at any, where all are asked together (`lead.ahead_at`)
    flagged: bool = False  # its score does not hang on the weights, by some grid


def _boards(pages: Sequence[Page]) -> dict[str, list[Best]]:
    """Of each track, images that are rebuilt first, its attacks, the furthest ahead first, flagged ones last.

    Networks of one setting are the same in every grid, and so are their controls, whichever grid ran them. Lines of two score protocols
    are not set against each other; of an attack that has both on the same networks, the later counts.
    """
    lines = _latest([(one, group) for one in pages for group in one.groups if group.excess])
    same: dict[tuple[str, ...], list[Group]] = {}
    for _, group in lines:
        same.setdefault((*_networks(group), group.protocol), []).append(group)
    found: dict[str, dict[str, list[tuple[Page, Lead]]]] = {group.track: {} for one in pages for group in one.groups}
    for one, group in lines:
        if group.role == "attack":
            found[group.track].setdefault(group.attack, []).append((one, lead(group, same[(*_networks(group), group.protocol)])))
    wrong = {(group.track, group.attack) for _, group in lines if group.flagged}
    met: dict[tuple[str, str], set[tuple[str, ...]]] = {}  # settings that an attack was put to, whatever came of it
    for one in pages:
        for group in one.groups:
            met.setdefault((group.track, group.attack), set()).add(_networks(group))

    def bests(track: str) -> list[Best]:
        each = (_best(own, len(met[track, attack]), (track, attack) in wrong) for attack, own in found[track].items())
        return sorted(each, key=_order)

    order = sorted(found, key=lambda name: (name != tracks.DEFAULT, _headline(name) != _headline(tracks.DEFAULT), name))
    return {track: bests(track) for track in order}


def _latest(lines: Sequence[tuple[Page, Group]]) -> list[tuple[Page, Group]]:
    """Without lines of an earlier score protocol where the same networks have the same attack by a later one."""
    last: dict[tuple[str, ...], int] = {}
    for _, group in lines:
        key = (group.attack, *_networks(group))
        last[key] = max(last.get(key, 0), protocol_number(group.protocol))
    return [(one, group) for one, group in lines if protocol_number(group.protocol) == last[(group.attack, *_networks(group))]]


def _best(found: Sequence[tuple[Page, Lead]], met: int, flagged: bool) -> Best:
    where, best = max(found, key=lambda pair: pair[1].sureness)
    ahead = {_networks(one.attack) for _, one in found if one.surely > 0}
    return Best(where, best, len(ahead), met, ahead_at([one for _, one in found]) > 0, flagged)


def _order(best: Best) -> tuple[bool, float, str]:
    return (best.flagged, math.inf if best.lead.interval is None else -best.lead.interval.estimate, best.lead.attack.attack)


def _verified_first(found: Sequence[Best], found_out: Standings) -> list[Best]:
    """In the same order otherwise; those flagged come last."""
    return sorted(found, key=lambda best: (best.flagged, verified.ORDER.get(_verified(best, found_out), 1)))


def _verified(best: Best, found_out: Standings) -> str:
    return verified.word(found_out, best.lead.attack.track, best.lead.attack.attack)


def _networks(group: Group) -> tuple[str, ...]:
    """What tells the networks of a line from others, the seed aside."""
    return (group.track, *(str(value) for value in group.setting.values()))


def _headline(track: str) -> Headline:
    return tracks.of_row(track).headline


def _answer(boards: Mapping[str, Sequence[Best]], found_out: Standings) -> list[str]:
    """The page in a few sentences."""
    lines = [
        "**Answer.** Small networks are trained on a handful of images and attacked. What comes back of these (*members*) is set against",
        "**controls**: images never trained on, and what is had without attacking. An attack counts for its lead over the strongest.",
        "",
    ]
    for track, every in boards.items():
        found = [best for best in every if not best.flagged and _verified(best, found_out) != verified.FLAGGED]
        ahead = [best for best in found if best.somewhere]
        aside = f" Flagged: {len(every) - len(found)}." if len(found) < len(every) else ""
        which = "of those verified " if ahead and _verified(ahead[0], found_out) == "yes" else ""
        first = f", {which}the furthest **{escape(ahead[0].lead.attack.attack)}** ({interval(ahead[0].lead.interval)})" if ahead else ""
        lines += [f"- {escape(track)}: {len(ahead)} of {len(found)} attacks are ahead of every control somewhere{first}.{aside}"]
    made = "**Command.** `python -m bench report` makes this page from the rows of all grids."
    return [*lines, "", f"{made} The claims of the papers are tested on [a page of their own](claims.md)."]


def _how_chosen(found_out: Standings) -> list[str]:
    meaning, *why = verified.notes(found_out)
    return [
        "One line an attack, at the setting where it is most surely ahead: it says what can happen, not what usually does. A *lead* is",
        "what is left beside the strongest control on the very same networks, paired by seed; a seed at which the attack failed counts as",
        "one that tells nothing. *Ahead at*: the settings with a lead above 0 at 95 %, each by itself, of all that it was put to (*ahead",
        "somewhere*, above: by Holm's method over them). Brackets are 95 % intervals. An earlier score protocol stands behind its numbers.",
        meaning,
        *why,
    ]


def _flagged() -> list[str]:
    return [
        f"*{FLAG.capitalize()}*: where the network was another seed's, members were found more often than controls",
        f"(p < {SUSPECT:g}), so that the score does not hang on the weights. Such an attack is listed after the others and leads nothing;",
        "the pages of its grids have the figures, under *Transplants*.",
    ]


def _attacks(found: Sequence[Best], found_out: Standings) -> list[str]:
    """The table of a track."""
    if not found:
        return ["No attack has scores."]
    tiers = [best.lead.attack.access.split("+") for best in found]
    common = [tier for tier in tiers[0] if all(tier in mine for mine in tiers)]
    rows = [
        _row(best, [tier for tier in own if tier not in common], _verified(best, found_out)) for best, own in zip(found, tiers, strict=True)
    ]
    headline = found[0].lead.attack.headline
    head = ["attack", "also given", "data set, setting", headline.words, "strongest control", "lead", "ahead at", "verified"]
    given = f" All attacks are given: {access('+'.join(common))}." if common else ""
    return [f"{headline.in_full[0].upper()}{headline.in_full[1:]}.{given}", "", *table(head, rows, right=[3, 5, 6])]


def _row(best: Best, also: Sequence[str], word: str) -> list[str]:
    """A line, its setting cut off where there is no room."""
    group, link = best.lead.attack, f"]({best.page.slug}.md)"
    beside = f"{escape(best.lead.least.partition(' (')[0], 24)} {best.lead.beside}" if best.lead.least else NONE
    whose = f" by {escape(group.submitted, 30)}" if group.submitted else ""
    name = f"[{escape(group.attack, 24)}{link}{whose}" + (f" **{FLAG}**" if best.flagged else "")
    row = [
        name, access("+".join(also)).replace(" + ", ", "), "", of_headline(group) + _earlier(group), beside, interval(best.lead.interval),
        f"{best.ahead}/{best.tried}", word,
    ]  # fmt: skip
    row[2] = _where(group, max(6, WIDEST - sum(map(len, row)) + len(link) - 3 * len(row)))
    return row


def _earlier(group: Group) -> str:
    """The score protocol of a line, where it is not the one in force."""
    before = protocol_number(group.protocol) < protocol_number(tracks.of_row(group.track).protocol)
    return f" {escape(group.protocol)}" if before else ""


def _where(group: Group, room: int) -> str:
    """Data set and setting, with the names of the axes where there is room for them."""
    data = "" if "dataset" in group.axis else str(group.setting.get("dataset_display"))
    long, short = (", ".join(part for part in (data, words) if part) for words in (in_words(group.axis, group.axis), group.label))
    return escape(long if len(long) <= room else short, room)


def _questions(pages: Sequence[Page]) -> list[str]:
    """The table of questions: of each part of a grid whether attacks are ahead of controls, and where along its axis most comes back."""
    rows = []
    for one in pages:
        first = True
        for section, mine in one.parts.items():
            part = clean(section, 60) if len(one.parts) > 1 else ""
            name = clean(one.question or one.title, WIDEST - 34 - len(part)) if first else "″"
            shown = f"[{escape(name)}]({one.slug}.md)" if first else name
            room = WIDEST - 22 - len(name + part)
            rows.append([f"{shown} {escape(part)}".rstrip(), f"**{beyond(leads(mine))}**", _most(along(mine), room)])
            first = False
    note = [
        "*Beyond controls*: is the strongest attack of a setting surely ahead of every control there? yes, no, at some of the settings,",
        f"or {OPEN}; at most one of twenty questions without an effect is answered otherwise, from however many attacks the strongest is",
        "picked, and over however many settings. *Most at*: where along the axis the strongest attack gets most, if that is apart from",
        f"where it gets least (t test paired by seed, p times the pairs ≤ {ALPHA:g}), else {OPEN}; of several axes how many matter.",
    ]
    return [*note, "", *table(["question", "beyond controls", "most at"], rows)]


def _most(found: Sequence[Along], room: int) -> str:
    """Where along the axes most comes back, in a word or two."""
    if not found:
        return NONE
    if len(found) > 1:
        return f"{sum(one.sure for one in found)} of {len(found)} axes"
    return escape(found[0].most[0], room) if found[0].sure else OPEN
