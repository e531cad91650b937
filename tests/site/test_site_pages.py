"""The pages without a browser: whole, linked, without a network, and the numbers of the report's own pages."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from foul import EVIL

from bench import site as sites
from bench.cli import main
from bench.errors import BenchError
from bench.site import markup, vendored
from bench.site.markup import Links, to_html

VOID = {"meta", "link", "img", "br", "input", "hr"}
OPTIONAL = {"td", "th", "tr", "thead", "tbody", "li", "dt", "dd", "option"}


class Page(HTMLParser):
    """Links, places and loaded files of a page, and whether what must be closed is."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.handlers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.ids += [found["id"]] if "id" in found else []
        self.handlers += [name for name in found if name.startswith("on")]
        if tag == "a":
            self.links.append(found["href"])
        elif tag == "link" or "src" in found:
            self.loaded.append(found.get("href") or found["src"])
        if tag not in VOID | OPTIONAL:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID | OPTIONAL and (not self.open or self.open.pop() != tag):
            self.wrong.append(tag)


@pytest.fixture(scope="module")
def pages(site) -> dict[str, Page]:
    return {path.name: Page(path.read_text(encoding="utf-8")) for path in site.glob("*.html")}


def test_there_is_a_page_for_everything(pages, site):
    wanted = {"index", "lines", "cards", "gallery", "compare", "defences", "claims", "reading", "grid-quick", "grid-weight_decay"}
    wanted |= {"attack-haim_kkt", "attack-mean_image", "defence-weight_noise"}
    assert wanted <= {Path(name).stem for name in pages}
    assert not (site.parent / "site.new").exists()


def test_links_lead_somewhere_and_nothing_is_loaded_from_elsewhere(pages, site):
    for name, page in pages.items():
        assert not page.wrong, (name, page.wrong)
        assert not page.open, (name, page.open)
        assert len(page.ids) == len(set(page.ids)), name
        for link in page.links:
            file, _, place = link.partition("#")
            assert file in ("", "licences.txt") or file in pages, (name, link)
            if place and "=" not in place:
                assert place in pages[file or name].ids, (name, link)
        for file in page.loaded:
            assert file == "data:," or (site / file).is_file(), (name, file)
    for css in site.glob("*.css"):
        for found in re.findall(r"url\(([^)]*)\)", css.read_text()):
            assert (site / found).is_file()


def test_foul_names_stay_text(pages, site):
    told = [name for name in pages if "foul" in name or "script" in name]
    assert len(told) >= 2, "the grid and the card are there"
    for name, page in pages.items():
        text = (site / name).read_text(encoding="utf-8")
        assert "<img src=x" not in text, name
        assert not page.handlers, name
    assert "</script" not in (site / "lines.js").read_text(encoding="utf-8")
    assert json.dumps(EVIL)[1:-1].replace("<", "\\u003c") in (site / "lines.js").read_text("utf-8")


def test_numbers_are_those_of_the_markdown_pages(site, results):
    board, markdown = ((folder / name).read_text("utf-8") for folder, name in ((site, "index.html"), (results, "leaderboard.md")))
    rows = re.findall(r"^\| \[(?:haim|regression)_kkt\].*$", markdown, re.MULTILINE)
    assert len(rows) == 2
    for row in rows:
        score, _, lead, ahead = (cell.strip() for cell in row.split("|")[4:8])
        assert score in board
        assert lead in board
        assert f">{ahead}<" in board
    grid, record = (site / "grid-weight_decay.html").read_text("utf-8"), (results / "weight_decay.md").read_text("utf-8")
    answer = re.search(r"\*\*Answer\.\*\* (.*)", record)[1]
    assert answer in grid
    cells = re.findall(r"[+−]\d\.\d\d \[[^\]]*\]", record.partition("### Ranking")[2].partition("\n## ")[0])
    assert cells
    assert all(cell in grid for cell in cells)


def test_a_page_that_is_not_of_these_rows_is_made_again(results, tmp_path):
    import shutil

    from bench.site.gathered import gather

    folder = tmp_path / "results"
    shutil.copytree(results, folder)
    page = folder / "quick.md"
    page.write_text(page.read_text("utf-8") + "\nAdded by hand.\n", encoding="utf-8")
    found = gather(folder)
    quick = next(grid for grid in found.grids if grid.name == "quick")
    assert "Added by hand" in found.text(quick), "of these rows, so it is taken as it is"
    board = folder / "leaderboard.md"
    board.write_text(board.read_text("utf-8").replace(f"quick: {quick.mark}", "quick: 0123456789abcdef"), encoding="utf-8")
    assert "Added by hand" not in gather(folder).text(quick)


def test_the_gallery_has_controls_where_the_data_are(site):
    text = (site / "gallery.html").read_text("utf-8")
    assert "photo_tiles" in text
    assert len(re.findall(r"<small>control 0\.\d\d</small>|<small>control -?0\.\d\d</small>", text)) > 20
    scores = [[float(value) for value in re.findall(r"SSIM (-?\d\.\d\d)", part)] for part in text.split('<div class="strips')[1:]]
    assert scores
    assert all(mine == sorted(mine, reverse=True) for mine in scores), "best first"


def test_a_card_says_what_it_is_and_who_ran_it(site):
    text = (site / "attack-haim_kkt.html").read_text("utf-8")
    for words in (
        "Haim",
        "attacks/haim_kkt.py",
        "<code>steps</code>",
        "weight_decay",
        "the maintainers",
        "2026-03-01",
        "<b>best</b>",
        "<b>worst</b>",
    ):
        assert words in text, words
    foul = next(path for path in site.glob("attack-*script*.html")).read_text("utf-8")
    assert "Its source is not here" in foul


def test_without_rows_the_frontier_says_so(site):
    assert "no rows of the grid <code>defenses</code>" in (site / "defences.html").read_text("utf-8")


def test_with_rows_there_is_a_frontier(tmp_path):
    import fake

    from bench.site import defences
    from bench.site.gathered import gather
    from bench.store import publish

    rows, images = [], []
    for index, (defence, params, rate) in enumerate((("none", {}, 0.6), ("weight_noise", {"relative": 0.1}, 0.3))):
        for attack, chance in (("haim_kkt", rate), ("mean_image", 0.02)):
            row, found = fake.cell("defenses", attack, fake.Setting(), {"defence": defence}, index, (chance, 0.02))
            rows.append(row | {"defense": defence, "defense_params": json.dumps(params), "test_accuracy": 0.8 - 0.1 * index})
            images += found
    publish(rows, images, tmp_path)
    points = defences.points(gather(tmp_path))
    assert [(one.defence, one.shown) for one in points] == [("none", "0.80"), ("weight_noise", "0.70")]
    assert [one.group.attack for one in points] == ["haim_kkt", "haim_kkt"]
    (plot,) = defences.plots(points)
    assert [value["x"] for value in plot["values"]] == [0.8, 0.7]


def links(**more):
    return Links({"a.md": "grid-a.html"}, lambda source: None, **more)


def test_markdown_holds_no_more_than_it_means():
    folded = "<details>\n<summary>s</summary>\n\n[a](a.md#p) [b](javascript:x) [c](/etc)\n\n</details>\n"
    shown = to_html(f"# T\n\nx <b onclick=y>z</b> <script>1</script>\n\n{folded}", links())
    assert "&lt;script&gt;" in shown
    assert "<b " not in shown
    assert "<details>" in shown
    assert 'href="grid-a.html#p"' in shown
    assert "javascript" not in shown.replace("[b](javascript:x)", "")
    assert "/etc" not in shown
    assert "<h1" not in shown


def test_lines_of_a_ranking_keep_their_setting():
    table = "### Ranking\n\n| data | # | attack | x |\n|:--|--:|:--|--:|\n| d1 | 1 | a | 1 |\n|  | 2 | b |  |\n| d2 | 1 | a | 3 |\n"
    shown = to_html(table, links())
    assert '<td class="same">d1<td>2<td>b<td>' in shown
    assert shown.count("d1") == 2
    assert shown.count("d2") == 1


def test_long_tables_stay_in_the_record_but_for_the_ranking():
    rows = "".join(f"| {i} |\n" for i in range(markup.LONG + 1))
    found = links(record="g.md")
    shown = to_html(f"### Ranking\n\n| a |\n|--|\n{rows}\n### Other\n\n| a |\n|--|\n{rows}", found)
    assert found.dropped == ["Other"]
    assert shown.count("<table") == 1
    assert "results/g.md" in shown


def test_a_missing_library_says_what_to_install(monkeypatch):
    monkeypatch.setattr(vendored, "import_module", lambda name: (_ for _ in ()).throw(ImportError(f"No module named '{name}'")))
    with pytest.raises(BenchError, match="itables") as error:
        vendored.libraries()
    assert "make site" in error.value.hint


def test_a_folder_of_other_things_is_left(results, tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(BenchError, match="is no site"):
        sites.build(results, tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "x"
    with pytest.raises(BenchError, match="no results"):
        sites.build(tmp_path, tmp_path / "site")


def test_the_command_makes_it_again(results, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RECONBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(vendored, "libraries", list)
    for _ in range(2):
        assert main(["site", "--results", str(results)]) == 0
        out, err = capsys.readouterr()
        assert str(tmp_path / "home" / "site" / "index.html") in out
    assert "answers of attacks are not kept here" in err
    assert "answers of attacks are not kept here" in (tmp_path / "home" / "site" / "compare.html").read_text("utf-8")
