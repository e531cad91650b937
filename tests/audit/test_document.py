"""The page of an audit stands alone: nothing is fetched, every picture says what it shows, every number what it means, verdict first."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from html.parser import HTMLParser

import pytest
import zoo
from PIL import Image

from bench.api import Secret
from bench.artefacts.truth import Truth
from bench.audit import page
from bench.audit.audit import Report, attack, plan, write
from bench.audit.document import document
from bench.audit.legends import COLUMNS, MEANING
from bench.audit.subject import subject_of
from bench.audit.verdict import INCONCLUSIVE, LEAKS, NO_LEAK

VOID = {"meta", "img", "br", "wbr"}


class Page(HTMLParser):
    """What is in a page; refuses tags that are not closed."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words = ""
        self.feed(source)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words += data + "\n"

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def report() -> Report:
    animal = zoo.animal("overfitted")
    truth = Truth(Secret(animal.members, animal.labels, animal.controls, animal.control_labels), True, None, ())
    subject = subject_of(animal.module, truth=truth, shape=zoo.SHAPE, mean=str(zoo.MEAN), std=str(zoo.STD))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.audit.audit.CONTROLS", ("mean_image",))
        return attack(subject, plan(["span_ica", "haim_kkt"], 1, []), positive=False)


def test_the_page_stands_alone(report):
    source = document(report, "net.pth")
    found = Page(source)
    assert "http" not in source.replace("http-equiv", ""), "nothing is fetched"
    assert not found.all("script")
    assert not found.all("link")
    assert any("default-src 'none'" in (meta.get("content") or "") for meta in found.all("meta"))
    assert any(meta.get("name") == "viewport" for meta in found.all("meta"))
    pictures = found.all("img")
    assert len(pictures) >= 2 * 12
    for picture in pictures:
        assert picture["alt"]
        head, _, data = (picture["src"] or "").partition(",")
        assert head == "data:image/png;base64"
        assert Image.open(io.BytesIO(base64.b64decode(data))).size == (16, 16)
    assert found.all("html")[0]["lang"] == "en"
    assert len(found.all("h1")) == 1


def test_the_verdict_comes_first_and_every_column_has_a_legend(report):
    found = Page(document(report, "net.pth"))
    assert found.words.index(MEANING[report.verdict.outcome]) < found.words.index("What came back")
    assert found.words.index("What came back") < found.words.index("What each attack found")
    assert list(COLUMNS) == list(page.HEAD_MANY)
    for name, (what, how) in COLUMNS.items():
        assert what in found.words, name
        assert how in found.words, name
    assert set(MEANING) == {LEAKS, NO_LEAK, INCONCLUSIVE}
    assert "haim_kkt: not run: needs one output" in found.words, "what was not tested says why"


def test_the_images_at_most_risk_come_first(report):
    found = Page(document(report, "net.pth"))
    best = sorted((row["ssim"] for row in report.judged[0].images if row["split"] == "member" and row["ssim"] is not None), reverse=True)
    risks = found.words.split("The training images at most risk")[1].split("What the columns mean")[0]
    shown = [float(words) for words in risks.split() if words.startswith("0.")]
    assert shown[:3] == [pytest.approx(value, abs=0.006) for value in best[:3]]


def test_tables_scroll_by_keyboard_and_say_what_they_are(report):
    found = Page(document(report, "net.pth"))
    scrolled = [one for one in found.all("div") if one.get("class") == "scroll"]
    assert len(scrolled) == len(found.all("table")) >= 2
    assert all(one["tabindex"] == "0" and one["role"] == "region" and one["aria-label"] for one in scrolled)
    assert all(head.get("scope") in ("col", "row") for head in found.all("th"))


def test_the_markdown_page_has_the_legends_too_and_the_html_lies_beside_it(report, tmp_path):
    assert write(report, tmp_path, "net.pth") == tmp_path / "audit.html"
    words = (tmp_path / "audit.md").read_text()
    assert all(f"**{name}**: {what}" in words for name, (what, _) in COLUMNS.items())
    assert (tmp_path / "audit.html").read_text() == document(report, "net.pth")


def test_foreign_text_is_text(report):
    hostile = '<script src="x">"\'&'
    judged = (replace(report.judged[1], reason=f"not run: {hostile}"), *report.judged[2:])
    found = Page(document(replace(report, judged=judged), hostile))
    assert not found.all("script")
    assert found.words.count(hostile) >= 3  # title, heading, reason


def test_without_controls_there_is_a_page_without_numbers():
    animal = zoo.animal("overfitted")
    subject = subject_of(animal.module, shape=zoo.SHAPE)
    found = Page(document(attack(subject, plan(["span_ica"], 1, []), positive=False), "net.pth"))
    assert MEANING[INCONCLUSIVE] in found.words
    assert not found.all("img")
