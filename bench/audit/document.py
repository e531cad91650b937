"""An audit as one HTML file for people: nothing is fetched when it is read, pictures lie inside, and it does without a script.

Verdict first, then the images that came back, then numbers, each with its legend. It reads at the width of a telephone, in the dark, by
keyboard and aloud: a colour says nothing that a word does not say too.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor

from bench.artefacts import pictures
from bench.audit import page
from bench.audit.advice import advice
from bench.audit.helped import helped
from bench.audit.legends import COLUMNS, MEANING, RISK
from bench.audit.report import Report
from bench.audit.scoring import Judgement, chance
from bench.audit.subject import described
from bench.audit.verdict import INCONCLUSIVE, LEAKS, NO_LEAK
from bench.report.kit.text import clean, number, signed
from bench.tracks.reconstruction.score import THRESHOLD

SHOWN, CONTROLS_SHOWN = 12, 6  # pairs of the best attack, of its controls
FIRST, RISKS = 10, 100  # lines of the table of risk that are seen at once, and at all
SIGN = {LEAKS: "✖", NO_LEAK: "✔", INCONCLUSIVE: "?"}
STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1b1f24; --soft: #57606a; --line: #d0d7de; --shade: #f6f8fa;
  --bad: #b3261e; --good: #1a6b34; --unsure: #7a5200; --link: #0550ae }
@media (prefers-color-scheme: dark) { :root { --paper: #14171a; --ink: #e6e8ea; --soft: #a3adb8; --line: #3a424b; --shade: #1e2328;
  --bad: #ff8a80; --good: #7bd694; --unsure: #f0c060; --link: #79b8ff } }
* { box-sizing: border-box }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1rem/1.55 system-ui, sans-serif }
main { max-width: 68rem; margin: 0 auto; padding: 1rem }
h1 { font-size: 1.5rem; line-height: 1.25; margin: .5rem 0 1rem; overflow-wrap: anywhere }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem }
h3 { font-size: 1rem; margin: 1.5rem 0 .5rem }
p, li, dd { max-width: 46rem; overflow-wrap: break-word }
a { color: var(--link) }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px }
.skip { position: absolute; left: -99rem } .skip:focus { left: 1rem; background: var(--paper) }
.verdict { border: 1px solid var(--line); border-left: .5rem solid var(--tone); background: var(--shade); padding: .25rem 1rem .5rem;
  border-radius: .25rem }
.verdict h2 { color: var(--tone); margin: .5rem 0; font-size: 1.6rem }
.leaks { --tone: var(--bad) } .no-leak-found { --tone: var(--good) } .inconclusive { --tone: var(--unsure) }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(10rem, 1fr)); gap: .75rem; margin: 1rem 0; padding: 0 }
.cards div { border: 1px solid var(--line); border-radius: .25rem; padding: .5rem .75rem }
.cards dt { color: var(--soft); font-size: .9rem } .cards dd { margin: 0; font-size: 1.35rem; font-variant-numeric: tabular-nums }
.cards dd + dd { font-size: .85rem; line-height: 1.4; color: var(--soft) }
.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: .75rem; padding: 0; margin: 0;
  list-style: none }
figure { margin: 0; border: 1px solid var(--line); border-radius: .25rem; padding: .4rem }
figure.hit { border: 2px solid var(--bad) }
figure span { display: flex; gap: .4rem }
figure img { flex: 1; width: 50%; aspect-ratio: 1; object-fit: contain; image-rendering: pixelated; background: var(--shade) }
figure i { flex: 1; aspect-ratio: 1; display: grid; place-items: center; background: var(--shade); color: var(--soft); font-size: .8rem }
figcaption { font-size: .85rem; line-height: 1.4; margin-top: .25rem }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: .25rem }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums }
.caption { color: var(--soft); font-size: .9rem; margin: .5rem 0 }
th, td { text-align: left; padding: .35rem .6rem; border-top: 1px solid var(--line); white-space: nowrap }
tbody img { width: 2.5rem; height: 2.5rem; object-fit: contain; image-rendering: pixelated; vertical-align: middle }
.scroll th:first-child { position: sticky; left: 0; background: var(--paper); border-right: 1px solid var(--line) }
dl.legend { display: grid; grid-template-columns: minmax(6rem, max-content) 1fr; gap: .35rem 1rem; font-size: .9rem }
dl.legend dt { font-weight: 600 } dl.legend dd { margin: 0 }
details { margin: .5rem 0 }
summary { cursor: pointer; padding: .35rem 0 }
footer { margin-top: 3rem; border-top: 1px solid var(--line); color: var(--soft); font-size: .9rem }
@media (max-width: 30rem) { dl.legend { grid-template-columns: 1fr } dl.legend dd { margin-bottom: .5rem }
  .pairs { grid-template-columns: 1fr 1fr }
  .scroll th:first-child { position: static; white-space: normal; min-width: 7rem } }
@media print { details > * { display: block } .scroll { overflow: visible } }
"""


def document(report: Report, checkpoint: str) -> str:
    """The page.

    Args:
        checkpoint: what the network is called.
    """
    name = text(checkpoint, 120)
    verdict, judged = report.verdict, report.judged
    attacks = [one for one in judged if one.role == "attack"]
    scored = [one for one in attacks if one.row is not None]
    best = max(scored, key=lambda one: (one.surely(), _excess(one)), default=None)
    parts = [
        f'<section class="verdict {verdict.outcome.replace(" ", "-")}" aria-labelledby="verdict">',
        f'<h2 id="verdict"><span aria-hidden="true">{SIGN[verdict.outcome]}</span> {text(verdict.outcome.capitalize())}</h2>',
        f"<p><strong>{text(MEANING[verdict.outcome])}</strong></p>",
        f"<p>{text(verdict.why[:1].upper() + verdict.why[1:], 3000)}</p>",
        "</section>",
    ]
    if best is not None:
        parts += _cards(best, report)
        parts += _came_back(best, report)
        parts += [h2("Which training images are at risk"), *_risks(scored, report)]
    parts += [h2("What each attack found")]
    parts += table(
        page.HEAD_MANY, page.many(judged), "Attacks and controls, one a line. Where a cell holds two numbers they are members : controls."
    )
    parts += legend({key: value for key, value in COLUMNS.items() if scored})
    parts += _premises(report)
    parts += [h2("What was read, and what was assumed"), *items(described(report.subject))]
    missed = page.missed(judged)
    missed.append("Attacks that are not part of this project, and attackers who know more: of the data, of the training, of other copies.")
    parts += [h2("What was not tested"), *items(missed)]
    runs = max(
        (int(one.candidates.run.max()) + 1 for one in attacks if one.candidates is not None and one.candidates.run is not None), default=1
    )
    initial = hasattr(report.subject.release, "initial_weights")
    labelled = report.subject.truth is not None and report.subject.truth.labelled
    found = helped()
    told = advice(verdict.outcome, initial=initial, runs=runs, labelled=labelled, known=bool(found))
    parts += [h2("What to do about it"), *items(told), *([h2("What would have helped"), *items(found)] if found else [])]
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">",
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{text(verdict.outcome.capitalize())}: audit of {name}</title>",
            f"<style>{STYLE}</style>",
            "</head>",
            "<body>",
            '<a class="skip" href="#verdict">To the verdict</a>',
            "<main>",
            f"<h1>Audit of {name}</h1>",
            *parts,
            "<footer><p>Made by <code>python -m bench audit</code>. Beside this file lie all numbers (<code>audit.json</code>), one row an "
            "image (<code>images.parquet</code>) and what each attack gave back (<code>*.safetensors</code>).</p></footer>",
            "</main>",
            "</body>",
            "</html>",
            "",
        ]
    )


def text(words: object, limit: int = 1000) -> str:
    """Foreign text as text of a page."""
    return html.escape(clean(words, limit))


def breakable(words: object) -> str:
    """The same; a name may go on in another line behind an underscore."""
    return text(words).replace("_", "_<wbr>")


def h2(words: str) -> str:
    """A heading of a part."""
    return f"<h2>{text(words)}</h2>"


def items(lines: Iterable[str]) -> list[str]:
    """A list."""
    return ["<ul>", *(f"<li>{text(line, 2000)}</li>" for line in lines), "</ul>"]


def image(pixels: Tensor, alt: str) -> str:
    """A picture inside the page, with what is to be seen in words."""
    return f'<img alt="{text(alt)}" src="data:image/png;base64,{base64.b64encode(pictures.one(pixels)).decode()}">'


def table(head: Sequence[str], lines: Sequence[Sequence[str]], caption: str, *, ready: bool = False) -> list[str]:
    """A table that scrolls by itself where it is too wide; the first cell of a line is its heading.

    Args:
        ready: the cells are HTML already.
    """
    cell = str if ready else breakable
    return [
        f'<p class="caption" aria-hidden="true">{text(caption)}</p>',
        f'<div class="scroll" role="region" tabindex="0" aria-label="{text(caption)}"><table>',
        "<thead><tr>" + "".join(f'<th scope="col">{text(one)}</th>' for one in head) + "</tr></thead>",
        "<tbody>",
        *(f'<tr><th scope="row">{cell(line[0])}</th>' + "".join(f"<td>{cell(one)}</td>" for one in line[1:]) + "</tr>" for line in lines),
        "</tbody>",
        "</table></div>",
    ]


def legend(entries: Mapping[str, tuple[str, str]]) -> list[str]:
    """What columns mean."""
    if not entries:
        return []
    lines = [f"<dt>{text(key)}</dt><dd>{text(' '.join(filter(None, words)))}</dd>" for key, words in entries.items()]
    return ["<details open><summary>What the columns mean</summary>", '<dl class="legend">', *lines, "</dl></details>"]


def _cards(best: Judgement, report: Report) -> list[str]:
    """The numbers to know, each with a word on how to take it."""
    row = best.row or {}
    members, controls = best.hits()
    correct = report.subject.facts.get("train_accuracy")
    cards = [
        ("Training images that came back", f"{members} of {row['n_members']}", f"by {best.name}, the best attack; none is good"),
        ("Unseen images that seem to", f"{controls} of {row['n_controls']}", "what likeness alone gives"),
        ("Excess recall", signed(row["excess_recall"]), "the difference of the shares: 0 is good, 1 the worst"),
        ("Chance alone (p)", chance(best.p_value), "how often chance alone gives as much; small is bad"),
    ]
    if correct is not None:
        cards.append(("Members classified correctly", f"{correct:.0%}", "few: the network may have been misread"))
    if "membership_auc_loss" in report.subject.facts:
        told = report.subject.facts["membership_auc_loss"]
        cards.append(("Membership by the loss", f"AUC {told:.2f}", "0.5 is good; 1: the loss gives away who was trained on"))
    cells = [f"<div><dt>{text(one)}</dt><dd>{text(value)}</dd><dd>{text(words)}</dd></div>" for one, value, words in cards]
    return ['<dl class="cards">', *cells, "</dl>"]


def _came_back(best: Judgement, report: Report) -> list[str]:
    """The best attack's reconstructions beside the images that they are, and the same of the controls."""
    assert report.subject.truth is not None
    secret, labelled = report.subject.truth.secret, report.subject.truth.labelled
    parts = [
        h2("What came back" if best.hits()[0] else "What came nearest"),
        f"<p>By {text(best.name)}, the likest first: left the reconstruction, right the real image. A pair with a ● has an SSIM above "
        f"{THRESHOLD:g} and counts as come back.</p>",
        "<h3>Training images</h3>",
        *_pairs(best, "member", secret.members, labelled, SHOWN),
        "<h3>Images that the network never saw, for comparison</h3>",
        "<p>The same search among the controls: what is found here is likeness, no memory.</p>",
        *_pairs(best, "control", secret.controls, labelled, CONTROLS_SHOWN),
    ]
    others = [one for one in report.judged if one is not best and one.role == "attack" and one.row is not None]
    for one in others:
        parts += [
            f"<details><summary>Training images by {text(one.name)}</summary>",
            *_pairs(one, "member", secret.members, labelled, CONTROLS_SHOWN),
        ]
        parts += ["</details>"]
    return parts


def _pairs(judged: Judgement, side: str, truth: Tensor, labelled: bool, most: int) -> list[str]:
    """Pairs of one side, the likest first."""
    assert judged.candidates is not None
    rows = sorted((row for row in judged.images if row["split"] == side), key=_likeness, reverse=True)[:most]
    lines = ['<ul class="pairs">']
    real = "training image" if side == "member" else "unseen image"
    for row in rows:
        hit = _likeness(row) > THRESHOLD
        words = f"SSIM {number(row['ssim'])}" + (" ●" if hit else "")
        framed = " class=hit" if hit and side == "member" else ""
        if row["candidate"] < 0:
            back = "<i>none</i>"
        else:
            alt = f"Reconstruction by {judged.name}, {number(row['ssim'])} like {real} {row['index']}"
            back = image(judged.candidates.images[row["candidate"]], alt)
        beside = image(truth[row["index"]], f"{real} {row['index']}" + (f" of class {row['label']}" if labelled else ""))
        caption = f"<figcaption>{real.capitalize()} {row['index']}<br>{words}</figcaption>"
        lines.append(f"<li><figure{framed}><span>{back}{beside}</span>{caption}</figure></li>")
    return [*lines, "</ul>"]


def _risks(scored: Sequence[Judgement], report: Report) -> list[str]:
    """The members, those at most risk first."""
    assert report.subject.truth is not None
    secret, labelled = report.subject.truth.secret, report.subject.truth.labelled
    best = {side: _nearest(scored, side) for side in ("member", "control")}
    ranked = sorted(best["member"].items(), key=lambda one: -one[1][0])
    lines = []
    for index, (ssim, attack) in ranked[:RISKS]:
        picture = image(secret.members[index], f"training image {index}")
        label = text(int(secret.member_labels[index])) if labelled else "—"
        found = number(ssim) if attack else "—"
        lines.append([f"{picture} {index}", label, f"{found}{' ●' if ssim > THRESHOLD else ''}", text(attack or "—")])
    over = sum(ssim > THRESHOLD for ssim, _ in best["member"].values())
    over_controls = sum(ssim > THRESHOLD for ssim, _ in best["control"].values())
    near = max((ssim for ssim, _ in best["control"].values()), default=0.0)
    words = (
        f"{over} of {len(ranked)} training images came back by one attack or another (●), and {over_controls} of {len(best['control'])} "
        f"controls; the control that came nearest has {number(near)}."
    )
    parts = [f"<p>{text(words)}</p>", *table(list(RISK), lines[:FIRST], "The training images at most risk, the worst first", ready=True)]
    if len(lines) > FIRST:
        caption = f"The others, number {FIRST + 1} to {len(lines)}" + (f" of {len(ranked)}" if len(ranked) > RISKS else "")
        parts += [f"<details><summary>{caption}</summary>", *table(list(RISK), lines[FIRST:], caption, ready=True), "</details>"]
    return [*parts, *legend(RISK)]


def _nearest(scored: Sequence[Judgement], side: str) -> dict[int, tuple[float, str]]:
    """Of each image of a side the highest likeness that an attack came to, and which."""
    found: dict[int, tuple[float, str]] = {}
    for one in scored:
        for row in one.images:
            if row["split"] == side:
                mine = (_likeness(row), one.name if row["ssim"] is not None else "")
                found[row["index"]] = max(found.get(row["index"], (-1.0, "")), mine)
    return found


def _premises(report: Report) -> list[str]:
    """What the attacks rest on, and what they find in a network that gives its images away."""
    state = {True: "holds", False: "does not hold", None: "could not be measured"}
    lines = [f"{state[one.holds].capitalize()}: {one.words}" for one in report.subject.premises.values()]
    parts = [h2("Could these attacks have found anything?")]
    if lines:
        parts += [
            "<p>What the attacks rest on, as it was measured here. Where it does not hold, finding nothing says nothing.</p>",
            *items(lines),
        ]
    if report.positive is None:
        why = "there was no need for one, as something was found" if report.verdict.outcome == LEAKS else "none was trained"
        return [*parts, f"<p>Positive control, a network of the same form that gives its images away: {text(why)}.</p>"]
    return [
        *parts,
        "<p>The positive control is a network of the same form that was trained so as to give its images away. What the same attacks find "
        "in it:</p>",
        *table(page.HEAD_MANY, page.many(report.positive), "The same attacks on the positive control; here many members are good news."),
    ]


def _likeness(row: Mapping[str, Any]) -> float:
    return -1.0 if row["ssim"] is None else float(row["ssim"])


def _excess(judged: Judgement) -> float:
    return float((judged.row or {})["excess_recall"])
