"""How a grid's page opens: its question, its answer in a sentence or two, the command that makes it, and one short table."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from bench import tracks
from bench.claims.findings import SCALES
from bench.metrics.significance import POWER
from bench.report.kit.groups import Group, axis_names, in_words
from bench.report.kit.lead import OPEN, Along, Lead, ahead_at, along, beyond, leads
from bench.report.kit.page import Page
from bench.report.kit.ranking import coverage
from bench.report.kit.text import NONE, escape, interval, number, of_headline, seconds, table, value_of
from bench.report.kit.transplants import FLAG
from bench.schema import protocol_number


def opening(page: Page) -> list[str]:
    """All above the pictures."""
    lines = [f"**Question.** {escape(page.question)}", ""] if page.question else []
    parts = page.parts
    for section, groups in parts.items():
        name = f" ({escape(section)})" if len(parts) > 1 else ""
        first, *more = answer(groups)
        lines += [f"**Answer{name}.** {first}", "", *(f"- {text}" for text in more), *([""] if more else [])]
    lines += _earlier(page)
    counts = {str(k): int(v) for k, v in page.rows["status"].value_counts().items()}
    cells = f"Cells (one setting and seed under one attack): {coverage(counts, line=False)}."
    back = "[Back to the leaderboard](leaderboard.md), or to the [claims](claims.md)."
    return [*lines, *_made_by(page), "", *_missing(page), f"{cells} {back}", ""]


def _earlier(page: Page) -> list[str]:
    """Which score protocol made the numbers, where another is in force by now."""
    found = {(group.track, group.protocol) for group in page.groups if group.cell_ids}
    old = [pair for pair in sorted(found) if protocol_number(pair[1]) < protocol_number(tracks.of_row(pair[0]).protocol)]
    return [
        line
        for track, protocol in old
        for line in (
            f"**Score protocol.** Numbers of the track {escape(track)} here are by protocol {escape(protocol) or 'none'}; "
            f"{tracks.of_row(track).protocol} is in force now. The two are not compared.",
            "",
        )
    ]


def _missing(page: Page) -> list[str]:
    """Which of the seeds that the grid fixes in advance have not run, and what they would take."""
    ran = set(page.rows["seed"])
    missing = [seed for seed in page.promised if seed not in ran]
    if not missing or not (done := [seed for seed in page.promised if seed in ran]):
        return []
    rows = page.rows[page.rows["seed"].isin(done)]
    times = rows[["seconds_attack", "seconds_score", "seconds_transplant"]].sum().sum()
    took = times + rows.drop_duplicates("target_id")["seconds_train"].sum()
    one = len(missing) == 1
    return [
        f"**Seeds.** {len(done)} of the {len(page.promised)} that the grid fixes in advance have run. The other"
        f"{' one' if one else f' {len(missing)}'} would take one process about {seconds(took / len(done) * len(missing))}, by the times of "
        f"{'this one' if len(done) == 1 else 'these'}.",
        "",
    ]


def answer(groups: Sequence[Group]) -> list[str]:
    """What the rows of one part say, in sentences: of its axes if it has some, and of controls."""
    found = leads(groups)
    aside = list(dict.fromkeys(escape(group.attack) for group in groups if group.flagged))
    why = f"{FLAG}: members are found where the network is another's, too (Transplants)"
    flagged = [f"Not counted: {', '.join(aside)}, {why}."] if aside else []
    if not found:
        return [f"Open: no attack has scores{' that hang on the weights' if aside else ''}.", *flagged]
    axes, word, ahead = [_axis(one, groups[0]) for one in along(groups)], beyond(found), ahead_at(found)
    settings = f"{ahead} of {len(found)} settings" if len(found) > 1 else "the one setting" if ahead else "no setting"
    start = "T" if axes or word[0].isdigit() else f"{word.capitalize()}: t"
    return [
        *axes,
        f"{start}he strongest attack is surely ahead of the strongest control at {settings}.",
        _best(found, axis_names(groups)),
        *flagged,
    ]


def _best(found: Sequence[Lead], names: Sequence[str]) -> str:
    one = max(found, key=lambda lead: lead.sureness)
    group = one.attack
    where = escape(in_words(group.axis, names))
    said = f"{escape(group.name)}{f' at {where}' if where else ''}: {group.headline.words} {of_headline(group)}"
    if not one.least:
        return f"{said}, where no control has scores."
    return f"{said}, against {one.beside} of the strongest control ({escape(one.least)}), a lead of {interval(one.interval)}."


def _axis(one: Along, group: Group) -> str:
    ends = [f"{escape(value)} ({value_of(group, mean)})" for value, mean in (one.most, one.least)]
    axis, difference = escape(one.axis.replace("_", " ")), f"a difference of {interval(one.difference)}"
    if one.sure:
        return f"Along {axis} most comes back at {ends[0]}, least at {ends[1]}: {difference}."
    shown = "" if one.shown is None else f"; these seeds could have shown {_size(one.shown)}"
    return f"Whether {axis} matters is {OPEN}: most at {ends[0]}, least at {ends[1]}, {difference} that may be chance{shown}."


def command(grid: str) -> str:
    """What runs a grid; rows of a larger scale have it behind the name of the grid."""
    for scale in SCALES:
        if grid.endswith(f"_{scale}"):
            return f"python -m bench run --grid {grid.removesuffix(f'_{scale}')} --scale {scale}"
    return f"python -m bench run --grid {grid}"


def _made_by(page: Page) -> list[str]:
    """The command, and where local copies of data sets are read from."""
    sets = page.rows[["dataset", "dataset_display"]].dropna().drop_duplicates().sort_values("dataset")
    copies = [name for name, shown in sets.itertuples(index=False) if str(shown).startswith(f"{name} (")]
    before, after = ("BENCH_DATA=DIR ", f" (DIR holds local copies of {', '.join(map(escape, copies))})") if copies else ("", "")
    return [f"**Command.** `{before}{escape(command(page.grid))}`{after}"]


def short(page: Page) -> list[str]:
    """Of each setting the strongest attack beside the strongest control."""
    lines: list[str] = []
    parts = page.parts
    every: list[Lead] = []
    for section, groups in parts.items():
        names, rows, found = axis_names(groups), [], leads(groups)
        every += found
        for one in found:
            group = one.attack
            beside = [escape(one.least) or NONE, one.beside if one.control is None else of_headline(one.control)]
            where = ", ".join(escape(group.axis.get(name, "")) for name in names) or "all"
            rows.append([where, escape(group.name), of_headline(group), *beside, interval(one.interval), str(one.seeds)])
        if rows:
            words = f"{groups[0].headline.words} [95 % CI]"
            head = [escape(", ".join(names)) or "setting", "strongest attack", words, "strongest control", words, "lead [95 % CI]", "seeds"]
            lines += [f"*{escape(section)}*", ""] if len(parts) > 1 else []
            lines += [*table(head, rows, right=[2, 4, 5, 6]), ""]
    note = (
        "Lead: what is left of the attack beside the strongest control on the same networks, paired by seed, each control a comparison of "
        "its own. Controls are those of this grid; the leaderboard takes those of all grids. The answer above allows for the attacks that "
        "the strongest is picked from, and for the settings, where it is not ahead at all of them."
    )
    return ["## At a glance", "", *lines, note, "", power(every), ""] if lines else []


def power(found: Sequence[Lead]) -> str:
    """What so few seeds can show: the median over the settings of the smallest lead that they could have, and its range."""
    known = sorted(one.shown for one in found if one.shown is not None)
    if not known:
        return "What these seeds could have shown cannot be told: there is no spread between seeds."
    among = f" ({_size(known[0])} to {_size(known[-1])}, by setting)" if len(known) > 1 else ""
    return (
        f"These seeds could have shown a lead of {_size(statistics.median(known))}{among} with a power of {100 * POWER:.0f} %, if leads "
        "spread from seed to seed as they do here."
    )


def _size(value: float) -> str:
    return number(value) if value >= 0.005 else "less than 0.01"
