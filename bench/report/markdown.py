"""The pages: the leaderboard over all grids, and one page a grid. Text in, text out; no file is touched here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from bench.metrics.intervals import Interval
from bench.report import gallery, informed, margin, owners, planted, probes, published, stealing, sweeps
from bench.report.kit.groups import CONVOLUTIONS, Difference, Group, axis_names, differences
from bench.report.kit.text import NONE, attack_name, escape, general, hits, interval, number, plain, seconds, share, signed, spread, table
from bench.schema import SETTING_COLUMNS, empty, metrics

GENERATED = "<!-- Generated from scores.parquet and images/*.parquet by `python -m bench report`. Do not edit. -->"
_DESCRIPTIONS = {column.name: column for column in SETTING_COLUMNS}
_TIERS = {"final_weights": "weights"}


@dataclass(frozen=True)
class Page:
    """What the pages of one grid are made of."""

    grid: str
    slug: str  # file name without ending
    title: str
    question: str
    rows: pd.DataFrame  # score rows of the grid
    groups: list[Group]  # in order
    figures: dict[str, str]  # kind → path relative to the results folder
    members: dict[str, pd.DataFrame] = field(default_factory=dict)  # cell of the informed track → its members' numbers
    images: pd.DataFrame = field(default_factory=lambda: empty("images"))  # image rows of the grid

    @property
    def sections(self) -> dict[str, list[Group]]:
        """The groups by section, in order."""
        result: dict[str, list[Group]] = {}
        for group in self.groups:
            result.setdefault(group.section, []).append(group)
        return result


# --- the leaderboard --------------------------------------------------------------------------------------------------------------------


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
    tracks = list(dict.fromkeys(group.track for page in pages for group in page.groups))
    for track in tracks:
        lines += [f"## Track: {escape(track)}", ""]
        for page in pages:
            mine = [group for group in page.groups if group.track == track]
            if mine:
                lines += _summary(page, mine)
    every = [group for page in pages for group in page.groups]
    return "\n".join([*lines, *_how_to_read(), "", *_footnotes(every)]).rstrip() + "\n"


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
                _coverage({str(k): int(v) for k, v in counts.items()}, line=False),
            ]
        )
    return [*table(["grid", "question", "strongest attack", "strongest control", "cells"], rows), ""]


def _champion(groups: Sequence[Group], role: str) -> str:
    """The line with the highest excess of a grid, and where that was."""
    scored = [(found.estimate, found, group) for group in groups if group.role == role and (found := _excess(group))]
    if not scored:
        return NONE
    _, excess, group = max(scored, key=lambda triple: triple[0])
    where = ", ".join(part for part in (group.label, group.section) if part)
    short = "" if group.ok == group.cells else f" ({_coverage(group.counts)})"
    what = " of transfer" if group.excess is None else ""
    return f"{escape(group.name)} {interval(excess)}{what}" + (f" at {escape(where)}" if where else "") + short


def _excess(group: Group) -> Interval | None:
    """What ranks a line in its track: excess recall, or the excess of transfer."""
    return group.excess or (group.theft.excess if group.theft is not None else None)


def _summary(page: Page, groups: Sequence[Group]) -> list[str]:
    lines = [f"### {escape(page.title)}", ""]
    if page.question:
        lines += [f"{escape(page.question)} ([full page]({page.slug}.md))", ""]
    for section, mine in _by_section(groups).items():
        lines += [f"#### {escape(section)}", ""] if section else []
        lines += [f"*Compared:* {_compared(mine)}. {_targets_in_short(mine)}", ""]
        lines += stealing.ranking(mine) if stealing.mine(mine) else ranking(mine)
        lines += _notes(mine)
    return lines


def _by_section(groups: Iterable[Group]) -> dict[str, list[Group]]:
    result: dict[str, list[Group]] = {}
    for group in groups:
        result.setdefault(group.section, []).append(group)
    return result


# --- tables -----------------------------------------------------------------------------------------------------------------------------


def ranking(groups: Sequence[Group]) -> list[str]:
    """Attacks and controls, ranked within each axis value by excess recall."""
    names = axis_names(groups) if any(group.axis for group in groups) else []
    head = [
        *(escape(name) for name in names), "#", "attack", "access", "excess recall [95 % CI]", "members > 0.4", "controls > 0.4", "AUC",
        "TPR @ 1 % FPR", "median SSIM", "median LPIPS", "precision members : controls", "oracle excess [95 % CI]", "haim2022 members",
        "haim2022 controls", "seeds", "runs", "candidates", "time", "coverage",
    ]  # fmt: skip
    rows, place, before = [], 0, None
    for group in groups:
        value = (group.axis_index, group.label)
        place = 1 if value != before else place + 1
        start = value != before
        before = value
        means = group.means
        bold = "**" if group.role == "attack" and group.excess and group.excess.low > 0 and len(group.per_seed) > 1 else ""
        rows.append(
            [
                *(escape(group.axis.get(name, "")) if start else "" for name in names),
                str(place) if group.excess else NONE,
                attack_name(group),
                access(group.access),
                f"{bold}{interval(group.excess)}{bold}",
                hits(group.hits.get("members")),
                hits(group.hits.get("controls")),
                number(means.get("auc")),
                number(means.get("tpr_at_1fpr")),
                number(means.get("ssim_median")),
                _lpips(group),
                _both(means, "precision"),
                interval(group.oracle),
                hits(group.hits.get("haim_members")),
                hits(group.hits.get("haim_controls")),
                str(group.ok),
                general(means.get("runs")),
                general(means.get("n_candidates")),
                seconds(means.get("seconds_attack")),
                _coverage(group.counts),
            ]
        )
    first = len(names)
    return [*table(head, rows, right=[first, *range(first + 3, len(head) - 1)]), ""]


def access(text: str) -> str:
    """``final_weights+mean_image`` in words."""
    return escape(" + ".join(_TIERS.get(tier, tier).replace("_", " ") for tier in text.split("+"))) if text else NONE


def _lpips(group: Group) -> str:
    value = number(group.means.get("lpips_median"))
    return f"{NONE}[^lpips]" if value == NONE and group.lpips_reasons else value


def _both(means: Mapping[str, float | None], name: str) -> str:
    """A mean over members beside the same over controls; a dash where there is neither."""
    sides = number(means.get(name)), number(means.get(f"{name}_controls"))
    return NONE if sides == (NONE, NONE) else " : ".join(sides)


def _coverage(counts: Any, line: bool = True) -> str:
    """Cells with scores of all cells; in bold where some failed, or where a line's numbers come from part of its cells."""
    total, ok = sum(counts.values()), counts.get("ok", 0)
    rest = ", ".join(f"{counts[status]} {status}" for status in ("failed", "timeout", "skipped") if counts.get(status))
    if ok == total:
        return f"{ok}/{total} ok"
    alarming = counts.get("failed") or counts.get("timeout") or (line and ok)
    return f"**{ok}/{total} ok**, {rest}" if alarming else f"{ok}/{total} ok, {rest}"


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


# --- what is compared -------------------------------------------------------------------------------------------------------------------


def _values(groups: Sequence[Group], name: str) -> list[str]:
    return list(dict.fromkeys(plain(group.setting.get(name)) for group in groups))


def _compared(groups: Sequence[Group]) -> str:
    """Data, size, architecture and training in one sentence."""

    def words(name: str, singular: str = "") -> str:
        values = [value for value in _values(groups, name) if name not in CONVOLUTIONS or value != "default"]
        text = " / ".join(escape(value) for value in values) if len(values) <= 4 else f"{escape(values[0])} … {escape(values[-1])}"
        return f"{singular} {text}".strip()

    classes = "two-class task" if _values(groups, "classes") == ["binary"] else f"classes: {words('classes')}"
    loss = f"{words('loss')} loss, weight decay {words('weight_decay')}, {words('optimizer')} at lr {words('lr')}"
    model = f"{words('model')} {words('hidden')} {words('activation')}"
    if _convolved(groups):
        model += f" after convolutions {words('channels')} (kernel {words('kernel')}, pooling {words('pooling')})"
    parts = [
        f"{words('dataset_display')} ({words('input_shape')}), {classes}",
        f"{words('n_per_class')} training images a class",
        f"{model}, bias: {words('bias')}, first layer's init {words('init_scale')}",
        f"{loss}, {words('epochs')} epochs",
    ]
    if _values(groups, "defense") != ["none"]:
        parts.append(f"defence {words('defense')}")
    return "; ".join(parts)


def _convolved(groups: Sequence[Group]) -> bool:
    return any(group.setting.get("channels") for group in groups)


def _facts(groups: Sequence[Group]) -> list[tuple[Group, list[dict[str, float | None]]]]:
    """For each setting of the groups: a group that stands for it, and the facts of its trained networks."""
    found: dict[tuple[int, str], tuple[Group, dict[str, dict[str, float | None]]]] = {}
    for group in groups:
        _, targets = found.setdefault((group.axis_index, group.label), (group, {}))
        targets.update(group.targets)
    return [(group, [targets[key] for key in sorted(targets)]) for group, targets in found.values()]


def _known(targets: Sequence[dict[str, float | None]], name: str) -> list[float]:
    return [value for target in targets if (value := target[name]) is not None]


def _targets_in_short(groups: Sequence[Group]) -> str:
    """Accuracies and KKT residuals of the targets: by axis value if there are few, else their range."""
    facts = [(group, targets) for group, targets in _facts(groups) if targets]
    if not facts:
        return "*Targets:* none trained."

    def words(targets: Sequence[dict[str, float | None]]) -> str:
        train, test = spread(_known(targets, "train_accuracy")), spread(_known(targets, "test_accuracy"))
        return f"train accuracy {train}, test accuracy {test}, KKT residual {spread(_known(targets, 'kkt_residual'), 3)}"

    if len(facts) > 2:
        return f"*Targets:* {words([target for _, targets in facts for target in targets])}."
    parts = [f"{escape(group.label)}: {words(mine)}" if group.label and len(facts) > 1 else words(mine) for group, mine in facts]
    return f"*Targets:* {'; '.join(parts)}."


# --- the page of a grid -----------------------------------------------------------------------------------------------------------------


def grid_page(page: Page) -> str:
    """The whole of GRID.md."""
    lines = [GENERATED, "", f"# {escape(page.title)}", ""]
    if page.question:
        lines += [f"**Question.** {escape(page.question)}", ""]
    lines += ["[Back to the leaderboard](leaderboard.md), which says [how to read a line](leaderboard.md#how-to-read-a-line).", ""]
    counts = {str(k): int(v) for k, v in page.rows["status"].value_counts().items()}
    lines += [f"Coverage: {_coverage(counts, line=False)} of the grid's cells (a cell is one setting and seed under one attack).", ""]
    if "excess" in page.figures:
        lines += [f"![Excess recall, {escape(page.title)}]({page.figures['excess']})", ""]
    if "transfer" in page.figures:
        lines += [f"![Planted labels that came along, {escape(page.title)}]({page.figures['transfer']})", ""]
    lines += published.section(page.rows, page.groups)
    runs, near, marked, probed = page.figures.get("runs"), page.figures.get("margin"), page.figures.get("planted"), page.figures
    for section, groups in page.sections.items():
        lines += [f"## {escape(section) or 'Results'}", ""]
        if stealing.mine(groups):
            lines += [f"*Compared:* {_compared(groups)}.", "", *stealing.section(groups)]
            lines += owners.section(groups, page.rows)
            mechanism = probes.section(groups, page.rows, page.images, probed)
            lines += mechanism
            probed = {} if mechanism else probed
            continue
        lines += _answers(groups)
        lines += ["### By setting", "", f"*Compared:* {_compared(groups)}.", "", *_matrix(groups)]
        lines += ["### Ranking", "", *ranking(groups)]
        lines += informed.section(groups, page.members)
        watermarked = planted.section(groups, page.images, marked)
        lines += watermarked
        marked = None if watermarked else marked
        swept, margins = sweeps.section(groups, page.rows, runs), margin.section(groups, page.images, near)
        lines += [*swept, *margins]
        runs, near = None if swept else runs, None if margins else near  # one picture for all sections
        lines += ["### Targets", "", *_targets(groups)]
        lines += ["### Other selections and metrics", "", *_details(groups)]
    lines += gallery.section(page.figures.get("gallery"))
    if "strips" in page.figures:
        lines += [
            "## Pictures",
            "",
            "Upper rows: what the attack submitted; lower rows: the training image it was paired with, and the SSIM of the two.",
            "Best, median and worst pairs of the first seed of the strongest attack on each setting.",
            "",
            f"![Reconstructions above true images]({page.figures['strips']})",
            "",
        ]
    lines += ["## Settings", "", *_settings(page.groups)]
    lines += _failures(page)
    lines += ["## Provenance", "", *_provenance(page.rows), *_footnotes(page.groups)]
    return "\n".join(lines).rstrip() + "\n"


def _matrix(groups: Sequence[Group]) -> list[str]:
    """Axis values by attacks: excess recall with interval, and members against controls."""
    names = axis_names(groups)
    attacks = list(dict.fromkeys((group.name, group.role) for group in sorted(groups, key=lambda g: (g.role, g.name))))
    cells: dict[tuple[int, str], dict[str, Group]] = {}
    for group in groups:
        cells.setdefault((group.axis_index, group.label), {})[group.name] = group
    rows = []
    for mine in cells.values():
        one = next(iter(mine.values()))
        row = [escape(one.axis.get(name, "")) for name in names] or ["all"]
        rows.append([*row, *(_matrix_cell(mine.get(name)) for name, _ in attacks)])
    heads = [f"*{escape(name)}* (control)" if role == "control" else escape(name) for name, role in attacks]
    head = [*(escape(name) for name in names)] or ["setting"]
    note = "Excess recall [95 % CI]; below it members : controls above SSIM 0.4, over all seeds."
    return [note, "", *table([*head, *heads], rows), ""]


def _matrix_cell(group: Group | None) -> str:
    if group is None:
        return NONE
    if group.excess is None:
        return _coverage(group.counts)
    text = f"{interval(group.excess)}<br>{hits(group.hits.get('members'))} : {hits(group.hits.get('controls'))}"
    return text if group.ok == group.cells else f"{text}<br>{_coverage(group.counts)}"


def _answers(groups: Sequence[Group]) -> list[str]:
    """The axis against its first value, paired by seed, with a verdict in words."""
    names = axis_names(groups)
    if len(names) != 1 or names[0] == "dataset":  # across data sets seeds pair nothing
        return []
    found = differences(groups)
    if not found:
        return []
    axis = escape(names[0])
    rows = [[escape(d.attack), f"{escape(d.baseline)} → {escape(d.value)}", _difference(d), str(d.seeds), d.verdict] for d in found]
    lines = [f"### Does {axis} matter?", ""]
    for attack in dict.fromkeys(d.attack for d in found):
        lines += [f"- {_verdict(axis, [d for d in found if d.attack == attack])}"]
    lines += [
        "",
        "Differences of excess recall against the first value, paired by seed; intervals are Student's t over the seeds' differences",
        "(wide with few seeds, as they should be), not corrected for the number of comparisons.",
        "",
        *table(["attack", axis, "difference [95 % CI]", "paired seeds", "verdict"], rows, right=[3]),
        "",
    ]
    return lines


def _difference(d: Difference) -> str:
    if d.interval is not None:
        return interval(d.interval)
    return signed(d.estimate)


def _verdict(axis: str, found: Sequence[Difference]) -> str:
    def at(word: str) -> list[str]:
        return [escape(d.value) for d in found if word in d.verdict]

    raised, lowered = at("raises"), at("lowers")
    parts = [f"**raised** at {_list(raised)}"] if raised else []
    parts += [f"**lowered** at {_list(lowered)}"] if lowered else []
    unclear = [escape(d.value) for d in found if "raises" not in d.verdict and "lowers" not in d.verdict]
    parts += [f"inconclusive at {_list(unclear)}"] if unclear else []
    return f"{escape(found[0].attack)}, against {axis} = {escape(found[0].baseline)}: excess recall is {'; '.join(parts)}."


def _list(values: Sequence[str]) -> str:
    """Values that may hold commas themselves."""
    return (" / " if any("," in value for value in values) else ", ").join(values)


def _targets(groups: Sequence[Group]) -> list[str]:
    names = axis_names(groups)
    lines = []
    for group, targets in _facts(groups):
        label = [escape(group.axis.get(name, "")) for name in names] or ["all"]
        losses, times = _known(targets, "train_loss"), _known(targets, "seconds_train")
        low, high = (general(end(losses)) if losses else NONE for end in (min, max))
        facts = [
            spread(_known(targets, "train_accuracy"), 3),
            spread(_known(targets, "test_accuracy"), 3),
            low if low == high else f"{low} to {high}",
            spread(_known(targets, "epochs_run"), 0),
            spread(_known(targets, "kkt_residual"), 3),
            seconds(sum(times) / len(times)) if times else NONE,
        ]
        lines.append([*label, str(len(targets)), *facts])
    head = [*(escape(name) for name in names)] or ["setting"]
    columns = [*head, "targets", "train accuracy", "test accuracy", "train loss", "epochs run", "KKT residual", "training"]
    return [*table(columns, lines, right=range(len(head), len(columns))), ""]


def _details(groups: Sequence[Group]) -> list[str]:
    names = axis_names(groups)
    head = [*(escape(name) for name in names)] or ["setting"]
    measured = [m for m in metrics() if m.headline and any(group.means.get(m.headline) is not None for group in groups)]
    columns = [
        *head, "attack", "members > 0.4 [95 % CI]", "controls > 0.4 [95 % CI]", "oracle members : controls", "nearest members : controls",
        "haim2022 members : controls", *(f"{m.statistics[0]} {escape(m.label)} members : controls" for m in measured),
        "precision members : controls", "submitted", "attack's loss", "peak memory",
    ]  # fmt: skip
    rows = []
    for group in groups:
        if not group.excess:
            continue
        m = group.means

        def both(name: str, decimals: int = 2) -> str:
            if name == "lpips_median" and m.get(name) is None:  # noqa: B023
                return _lpips(group)  # noqa: B023
            return f"{number(m.get(name), decimals)} : {number(m.get(name + '_controls'), decimals)}"  # noqa: B023

        def pair(prefix: str) -> str:
            return f"{hits(group.hits.get(prefix + 'members'))} : {hits(group.hits.get(prefix + 'controls'))}"  # noqa: B023

        memory = m.get("peak_memory_mb")
        rows.append(
            [
                *([escape(group.axis.get(name, "")) for name in names] or ["all"]),
                attack_name(group),
                share(group.hits.get("members"), group.members),
                share(group.hits.get("controls"), group.controls),
                pair("oracle_"),
                pair("nn_"),
                pair("haim_"),
                *(both(one.headline, one.shown) for one in measured),
                both("precision"),
                general(m.get("n_submitted")),
                general(m.get("attack_loss")),
                NONE if memory is None else f"{memory:.0f} MiB",
            ]
        )
    if not rows:
        return ["No cell has scores.", ""]
    return [*table(columns, rows, right=range(len(head) + 1, len(columns))), ""]


def _settings(groups: Sequence[Group]) -> list[str]:
    rows = []
    for column in SETTING_COLUMNS:
        if column.name in ("seed", "dataset_display") or (column.name in CONVOLUTIONS and not _convolved(groups)):
            continue
        if column.name == "batch_size" and _values(groups, "batch_size") == ["default"]:
            continue
        values = _values(groups, column.name)
        rows.append([f"`{column.name}`", ", ".join(escape(v) for v in values), escape(_DESCRIPTIONS[column.name].description)])
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


def _how_to_read() -> list[str]:
    meanings = {
        "#": "rank by excess recall among the lines of one setting; lines in bold have an interval above 0, over two seeds or more",
        "access": "what the attack was given: the released weights, the mean of the training images, …",
        "excess recall": "share of members above SSIM 0.4 minus share of controls, for the attacker's own first 2n submissions, paired "
        "one-to-one; with its 95 % interval over seeds and images (of one seed: over images only)",
        "members, controls > 0.4": "the two counts behind it, over all seeds; a number of members means nothing without its controls",
        "AUC, TPR @ 1 % FPR": "telling members from controls by that SSIM. AUC: 0.5 is chance. TPR: the share of members above all but 1 % "
        "of a network's controls, which with fewer than 100 of them is all; chance is 1 / (controls + 1): 0.048 with 20, 0.02 with 50",
        "median SSIM, LPIPS": "of the members' pairs; SSIM higher is nearer, LPIPS (AlexNet) lower is nearer",
        "precision": "share of submissions with some member above SSIM 0.4 : the same for controls",
        "oracle excess": "excess recall when the best candidates are chosen by looking at the truth: an upper bound, not an attack",
        "haim2022": "counts under the evaluation of Haim et al. (2022): many-to-one, over all candidates, after min–max scaling, window 3",
        "transfer − clean": "track stealing: share of planted inputs to which the copy gives the planted label, minus the share to which "
        "networks do that never saw the owner; the grid's page explains the other columns",
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
