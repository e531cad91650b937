"""The documents do what they say: every example is loaded, checked and run, every command is understood, every link leads somewhere.

A fenced example carries its file name in a comment above it, ``<!-- example: NAME -->``. Code without one is refused, so that nothing in
the documents goes untested.
"""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
import yaml
from tiny_grid import clean_registry  # noqa: F401

from bench import registry, seeds
from bench.api import Architecture, Setting
from bench.check import check_plugin
from bench.cli import app, main
from bench.fetch import DATASETS, EMBEDDED
from bench.grids.read import builtin, load
from bench.store import has_results, load_results
from bench.targets.models import bound_forward, initial_weights
from bench.tracks.reconstruction import Release

ROOT = Path(__file__).resolve().parents[2]
GUIDES = sorted(
    path.relative_to(ROOT).as_posix() for room in ("attacks", "bench", "defenses", "results") for path in (ROOT / room).rglob("README.md")
)
PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", *GUIDES]
READING, TRACKS, COMMANDS = "bench/store/README.md", "bench/tracks/README.md", "bench/cli/README.md"
ABOUT_40_LINES = 45
README_LINES = 180
FIRST_SCREEN = 15

FENCE = re.compile(r"(?:^<!-- example: (?P<name>\S+) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
pytestmark = pytest.mark.usefixtures("clean_registry")


class Block(NamedTuple):
    """A fenced block of a page."""

    page: str
    name: str  # "" where no file name stands above it
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.name or self.language}"


def blocks(page: str) -> list[Block]:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert text.count("\n```") % 2 == 0, f"{page}: a fence is left open"
    return [Block(page, m["name"] or "", m["language"], m["text"]) for m in FENCE.finditer(text)]


BLOCKS = [block for page in PAGES for block in blocks(page)]
EXAMPLES = {block.name: block for block in BLOCKS if block.name}
GRIDS = [block for block in BLOCKS if block.language == "yaml"]
PLUGINS = [block for block in BLOCKS if block.language == "python" and "@register" in block.text]
READERS = [block for block in BLOCKS if block.page == READING and block.language == "python"]


def write(name: str, folder: Path) -> Path:
    """An example as the file that its page tells the reader to save."""
    path = folder / name
    path.write_text(EXAMPLES[name].text, encoding="utf-8")
    return path


def outside_code(page: str) -> str:
    return FENCE.sub("", (ROOT / page).read_text(encoding="utf-8"))


# --- what there is ----------------------------------------------------------------------------------------------------------------------


def test_every_piece_of_code_is_an_example_that_a_test_runs():
    nameless = [str(b) for b in BLOCKS if b.language in ("python", "yaml") and not b.name]
    assert not nameless
    assert {b.language for b in BLOCKS} <= {"python", "yaml", "toml", "sh", "bibtex"}, "a new language needs a test of its own"
    named = [b.name for b in BLOCKS if b.name]
    assert len(set(named)) == len(named), "two examples have one file name"
    ran = {b.name for b in [*PLUGINS, *READERS, *GRIDS]}
    assert set(EXAMPLES) == ran


def test_an_attack_is_about_forty_lines():
    lines = EXAMPLES["row_ica.py"].text.splitlines()
    assert 30 <= len(lines) <= ABOUT_40_LINES
    assert max(map(len, lines)) <= 140


@pytest.mark.parametrize("name", [b.name for b in BLOCKS if b.language == "python"])
def test_examples_are_in_the_style_that_they_teach(name, tmp_path):
    pytest.importorskip("ruff")
    path = write(name, tmp_path)
    for command in (["check"], ["format", "--diff"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", "--config", str(ROOT / "pyproject.toml"), str(path)],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr


# --- plug-ins ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [b.name for b in PLUGINS])
def test_plugins_load_and_keep_their_contract(name, tmp_path, capsys):
    path = write(name, tmp_path)
    [entry] = registry.load_plugin(path)
    assert entry.name == path.stem, "the page saves it under another name than it registers"
    for title, outcomes in check_plugin(str(path)):
        assert outcomes, title
        assert not [o for o in outcomes if not o.ok], title
    assert main(["check", str(path)]) == 0
    assert "all passed" in capsys.readouterr().out


@pytest.mark.parametrize("name", [b.name for b in PLUGINS])
def test_plugins_could_be_dropped_into_their_folder(name):
    """What the folders ask of a file: literals for the listing, and no imports beyond those that tests/test_rooms.py allows."""
    from test_rooms import ALLOWED, PLUGIN_MAY, resolve, room_of

    tree = ast.parse(EXAMPLES[name].text)
    [node] = [n for n in tree.body if isinstance(n, ast.ClassDef)]
    facts = dict(registry._literals(node))
    assert facts["name"] == Path(name).stem
    assert "needs" not in EXAMPLES[name].text or facts["needs"], "needs is no literal"
    source = "DataSource" in {base.id for base in node.bases if isinstance(base, ast.Name)}
    known = {"bench.data"} | ALLOWED["bench.data"] if source else PLUGIN_MAY
    for statement in ast.walk(tree):
        if isinstance(statement, ast.ImportFrom) and (statement.module or "").split(".")[0] in ("bench", "attacks", "defenses"):
            module = resolve(statement.module or "")
            assert {module, room_of(module)} & known, module


@pytest.mark.parametrize(("grid", "plugin"), [("row_ica.yaml", "row_ica.py"), ("pixel_noise.yaml", "pixel_noise.py")])
def test_the_grid_of_a_page_runs_with_its_plugin(grid, plugin, tmp_path, capsys):
    """The documented grid, its cells made tiny by --set."""
    where, out = write(grid, tmp_path), tmp_path / "results"
    tiny = [word for value in ("n_per_class=2", "hidden=[8]", "epochs=20") for word in ("--set", value)]
    command = ["run", "--grid", str(where), "--plugin", str(write(plugin, tmp_path)), "--seeds", "0", "--out", str(out), *tiny]
    assert main([*command, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    points = [len(values) for values in load(where).grid.axes.values()]
    assert summary["cells"]["ok"] == summary["cells"]["total"] == points[0] * len(load(where).grid.attacks)
    assert (out / f"{Path(grid).stem}.md").is_file()
    assert main([*command, "--dry-run"]) == 0
    assert f"{summary['cells']['total']} cached" in capsys.readouterr().out


def test_the_data_set_of_the_page_is_attacked(tmp_path, capsys):
    plugin, out = write("gratings.py", tmp_path), tmp_path / "results"
    tiny = [word for value in ("dataset=gratings", "n_per_class=2", "hidden=[8]", "epochs=20") for word in ("--set", value)]
    words = ["run", "--grid", "quick", "--plugin", str(plugin), "--seeds", "0", "--attack", "mean_image", "--out", str(out), *tiny]
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["cells"] == {"total": 1, "ok": 1, "cached": 0, "failed": 0, "skipped": 0, "left": 0}


def test_row_ica_takes_sums_apart_where_the_answer_is_known(tmp_path):
    """Four independent, far from Gaussian images, mixed into sixteen rows: each comes back, at one of its two signs."""
    registry.load_plugin(write("row_ica.py", tmp_path))
    attack = registry.get("attack", "row_ica")()
    generator = seeds.generator("docs", "row_ica")
    shape, n = (1, 20, 20), 4
    images = torch.randn(n, 400, generator=generator).pow(3)
    images = (images - images.mean(1, keepdim=True)) / images.std(1, keepdim=True)
    architecture = Architecture("mlp", shape, (16,), 1, "relu", "first", "bce")
    weights = initial_weights(architecture, None, generator)
    weights["layers.0.weight"] = torch.randn(16, n, generator=generator) @ images
    mean = torch.full(shape, 0.5)
    forward = bound_forward(architecture)
    release = Release(architecture=architecture, weights=weights, forward=forward, n_train=n, mean_image=mean)
    answer = attack.reconstruct(release, seeds.generator("docs", "attack"))
    assert answer.images.shape == (2 * n, *shape)
    found = (answer.images - mean).flatten(1)
    agreement = torch.nn.functional.normalize(found, dim=1) @ torch.nn.functional.normalize(images, dim=1).T
    assert float(agreement.amax(0).min()) > 0.9, "an image did not come back"
    assert torch.allclose(found.std(1), torch.tensor(attack.contrast), atol=0.01)
    assert bool((answer.confidence.diff() <= 0).all()), "best first"


def test_the_thief_of_the_page_copies_an_owner_and_takes_its_place_in_a_grid(tmp_path, capsys):
    """Alone against an owner with random weights, whom it comes to agree with; then through the command, as a cell with scores."""
    from bench.targets.oracle import Asked
    from bench.tracks import stealing as track
    from bench.tracks.stealing import work as stealing
    from bench.tracks.stealing.networks import NETWORKS

    plugin = write("distill.py", tmp_path)
    registry.load_plugin(plugin)
    cls = registry.get("attack", "distill")
    net, g = Architecture("mlp", (1, 5, 5), (16,), 4, "relu", "all", "ce"), seeds.generator("docs", "owner")
    weights = {name: 3 * w.float() for name, w in initial_weights(net, None, g).items()}
    images, fresh = torch.rand(600, *net.input_shape, generator=g), torch.rand(500, *net.input_shape, generator=g)
    oracle = Asked(net, weights, torch.full(net.input_shape, 0.5))
    given = {"public_images": images, "other_images": fresh, "oracle": oracle, "networks": NETWORKS}
    whole = track.Release(architecture=net, n_train=50, **given)
    mine = stealing.narrow(whole, cls.needs)
    answer = stealing.check_answer(cls(lr=0.01, epochs=100).reconstruct(mine, seeds.generator("docs", "thief")), mine)
    assert answer.used == 600
    copy = Asked(answer.architecture, answer.weights, answer.mean_image)
    assert float((copy.labels(fresh) == oracle.labels(fresh)).double().mean()) > 0.85

    grid = {
        "name": "theft", "question": "Does a plug-in of this track run?", "seeds": 1,
        "base": {"dataset": "photo_patches", "classes": 3, "n_per_class": 20, "hidden": [8], "bias": "all", "loss": "ce",
                 "optimizer": "adam", "lr": 0.003, "epochs": 5, "init_scale": None, "defense": "memorized_examples",
                 "defense_params": {"count": 8}},
        "attacks": ["clean_model", {"name": "distill", "params": {"epochs": 2}}],
    }  # fmt: skip
    (tmp_path / "theft.yaml").write_text(yaml.safe_dump(grid), encoding="utf-8")
    command = ["run", "--grid", str(tmp_path / "theft.yaml"), "--plugin", str(plugin), "--out", str(tmp_path / "results"), "--json"]
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["cells"]["ok"] == 2
    assert "| distill |" in (tmp_path / "results" / "theft.md").read_text(encoding="utf-8")


def test_pixel_noise_adds_the_noise_that_it_says(tmp_path):
    registry.load_plugin(write("pixel_noise.py", tmp_path))
    defense = registry.get("defense", "pixel_noise")(std=0.3)
    images, labels = torch.full((20, 1, 16, 16), 0.5), torch.arange(20) % 2
    noisy, kept = defense.before_training(images, labels, seeds.generator("docs"))
    assert float((noisy - images).std()) == pytest.approx(0.3, rel=0.05)
    assert torch.equal(kept, labels)


def test_the_metric_example_is_right(tmp_path):
    registry.load_plugin(write("mae.py", tmp_path))
    mae = registry.get("metric", "mae")()
    a = torch.stack([torch.zeros(1, 4, 4), torch.zeros(1, 4, 4)])
    b = torch.stack([torch.full((1, 4, 4), 0.25), torch.eye(4)[None]])
    torch.testing.assert_close(mae.pairs(a, b), torch.tensor([0.25, 0.25]))


@pytest.mark.parametrize(
    ("grid", "attack", "sizes"),
    [("quick", "mean_image", ["n_per_class=2", "epochs=5"]), ("mnemonist", "nearest_shadow", ["n_per_class=4", "epochs=3"])],
)
def test_the_metric_of_the_page_is_computed_and_shown_on_every_track_that_answers_with_images(grid, attack, sizes, tmp_path, capsys):
    """Through the commands that the page gives: no cell fails, and the column is in rows, image rows and page; then for kept answers."""
    plugin, out = str(write("mae.py", tmp_path)), tmp_path / "results"
    tiny = [word for value in ("hidden=[8]", "dataset=lfw_faces", *sizes) for word in ("--set", value)]
    words = ["run", "--grid", grid, "--attack", attack, "--seeds", "0", "--limit", "1", "--out", str(out), *tiny]
    assert main([*words, "--json"]) == 0  # before the metric is known
    assert main([*words, "--plugin", plugin, "--json"]) == 0
    assert load_results(out)[0]["mae_median"].isna().all(), "a cached row knows nothing of it"
    assert main(["score", "--grid", grid, "--plugin", plugin, "--out", str(out)]) == 0
    scores, images = load_results(out)
    [row] = scores.to_dict("records")
    assert row["status"] == "ok"
    for split, suffix in (("member", ""), ("control", "_controls")):
        values = images.loc[images["split"] == split, "mae"]
        filled = values.fillna(1.0).astype(float)  # no partner: the worst there is
        assert row[f"mae_mean{suffix}"] == pytest.approx(filled.mean(), abs=1e-4)
        assert row[f"mae_median{suffix}"] == pytest.approx(filled.median(), abs=1e-4)
        assert 0 < row[f"mae_mean{suffix}"] <= 1
    page = (out / f"{grid}.md").read_text(encoding="utf-8")
    assert "median MAE members : controls" in page
    assert f"{row['mae_median']:.2f} : {row['mae_median_controls']:.2f}" in page


def test_entry_points_name_groups_that_the_registry_reads():
    found = [block for block in BLOCKS if block.language == "toml"]
    assert len(found) == 2
    for block in found:
        head, line = block.text.strip().splitlines()
        group = re.fullmatch(r'\[project\.entry-points\."(\S+)"\]', head)
        name, module, cls = re.fullmatch(r'(\w+) = "([\w.]+):(\w+)"', line).groups()
        kind = "attack" if "attacks" in block.page else "defense"
        assert group[1] == registry.GROUPS[kind]
        assert module.endswith(name)
        assert f"class {cls}(" in EXAMPLES[f"{name}.py"].text


# --- grids ------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [b.name for b in GRIDS])
def test_grids_are_valid(name, tmp_path, capsys):
    plugin = name.replace(".yaml", ".py")
    if plugin in EXAMPLES:
        registry.load_plugin(write(plugin, tmp_path))
    path = write(name, tmp_path)
    loaded = load(path)
    assert loaded.grid.name == Path(name).stem
    assert loaded.grid.question.endswith("?")
    roles = [registry.get("attack", spec.name).role for spec in loaded.grid.attacks]
    assert "control" in roles, "every grid has a control"
    assert len(loaded.grid.seeds) >= 3
    assert main(["info", str(path)]) == 0
    assert main(["run", "--grid", str(path), "--dry-run"]) == 0  # parameters and sweeps are checked when the plan is made
    assert "to run" in capsys.readouterr().out


# --- reading the results ----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A folder whose results/ holds plausible rows."""
    sys.path.insert(0, str(ROOT / "tests" / "report"))
    import fake

    from bench.store import publish

    folder = tmp_path_factory.mktemp("published")
    parts = [fake.grid("quick", "dataset", ["lfw_faces", "photo_tiles"], {"haim_kkt": [0.6, 0.5], "mean_image": [0.05, 0.05]})]
    parts.append(fake.grid("width", "hidden", [[100], [200]], {"haim_kkt": [0.5, None], "mean_image": [0.05, 0.05]}, thumbnails=False))
    publish([row for rows, _ in parts for row in rows], [image for _, images in parts for image in images], folder / "results")
    return folder


@pytest.mark.parametrize("name", [b.name for b in READERS])
def test_results_can_be_read_as_the_page_says(name, published, monkeypatch, capsys):
    pytest.importorskip(name.removeprefix("read_").removesuffix(".py"))
    monkeypatch.chdir(published)
    exec(compile(EXAMPLES[name].text, name, "exec"), {"__name__": "__main__"})
    shown = capsys.readouterr().out
    assert "haim_kkt" in shown
    assert "mean_image" in shown


def test_the_three_readers_agree(published, monkeypatch, capsys):
    """The excess recall of one group, out of pandas and out of DuckDB."""
    duckdb = pytest.importorskip("duckdb")
    monkeypatch.chdir(published)
    scope: dict = {}
    exec(compile(EXAMPLES["read_pandas.py"].text, "read_pandas.py", "exec"), scope)
    frame = scope["quick"]
    wanted = frame[(frame["dataset"] == "lfw_faces") & (frame["attack"] == "haim_kkt")]["excess_recall"].mean()
    query = re.search(r'query = """(.*?)"""', EXAMPLES["read_duckdb.py"].text, re.DOTALL)[1]
    rows = duckdb.sql(query).fetchall()
    [mine] = [row for row in rows if row[0] == "quick" and "lfw_faces" in row[1] and row[2] == "haim_kkt"]
    assert mine[3] == pytest.approx(wanted, abs=0.006)
    assert mine[4] == 3
    [skipped] = [row for row in rows if row[0] == "width" and "200" in row[1] and row[2] == "haim_kkt"]
    assert skipped[3:] == (None, 0, 0)
    scope = {}
    exec(compile(EXAMPLES["read_polars.py"].text, "read_polars.py", "exec"), scope)
    assert set(scope["images"]["split"].to_list()) == {"member", "control"}
    capsys.readouterr()


# --- commands ---------------------------------------------------------------------------------------------------------------------------


def shell_lines() -> list[tuple[str, str]]:
    """(page, command line) of every line in a shell example, and of every command in running text."""
    found = []
    for page in PAGES:
        for block in blocks(page):
            if block.language == "sh":
                found += [(page, line.partition("#")[0].strip()) for line in block.text.splitlines()]
        found += [(page, text) for text in re.findall(r"`(python -m bench [^`\n]+)`", outside_code(page))]
    return [(page, line) for page, line in found if line]


@pytest.fixture(scope="module")
def commands():
    """The commands of the CLI by name."""
    from typer.main import get_command

    return get_command(app).commands


LINES = list(dict.fromkeys(line for _, line in shell_lines() if line.startswith("python -m bench")))


def test_there_are_commands_to_test():
    assert len(LINES) > 20
    shown = {shlex.split(line)[3] for line in LINES}
    assert shown == {
        "run", "ls", "info", "submit", "verify", "report", "site", "claims", "score", "audit", "check", "merge", "fetch", "doctor",
        "anatomy", "ridge",
    }  # fmt: skip


@pytest.mark.parametrize("line", LINES)
def test_commands_are_understood(line, commands, tmp_path, monkeypatch):
    name, *words = shlex.split(line)[3:]
    given = commands[name].make_context(name, list(words)).params  # raises for an unknown option, a missing argument, a wrong type
    for name_of_plugin in {b.name for b in PLUGINS} & set(words):
        registry.load_plugin(write(name_of_plugin, tmp_path))
    if name == "run":
        grid = given["grid"]
        if grid not in builtin():
            assert grid in EXAMPLES or grid == "my_grid.yaml"
            grid = write(grid, tmp_path) if grid in EXAMPLES else "quick"
        expanded = load(grid, given["set_"])
        known = registry.entries("attack")
        assert set(given["attack"]) <= set(known)
        assert {p.name for p in map(Path, given["plugin"])} <= {b.name for b in PLUGINS} | {"my_attack.py"}
        assert expanded.grid.attacks
    elif name == "info" and given["name"] in EXAMPLES:
        assert main(["info", str(write(given["name"], tmp_path))]) == 0
    elif name == "info" and not given["name"].isupper():
        assert main(["info", given["name"]]) == 0
    elif name == "fetch":
        assert set(given["what"]) <= {"lpips", *DATASETS, *EMBEDDED}
    elif name == "check":
        what = given["what"]
        assert what in {b.name for b in PLUGINS} | {"NAME", "my_attack.py"} or what in registry.entries("attack")
    elif name == "merge":
        assert given["on_conflict"] in ("last", "best", "refuse")


def test_options_named_in_the_text_exist(commands):
    known = {"--help", "--debug", "--version"} | {opt for c in commands.values() for p in c.params for opt in p.opts}
    for page in PAGES:
        named = set(re.findall(r"(?<![\w-])(--[a-z][a-z-]+)", outside_code(page)))
        assert named <= known, f"{page}: {sorted(named - known)}"


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    used = {m for page in PAGES for m in re.findall(r"^make (\w+)|`make (\w+)`", (ROOT / page).read_text(), re.MULTILINE) for m in m if m}
    assert {"bench", "test", "lint"} <= used
    for target in used:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"make {target}"


def test_exit_codes_are_those_of_the_program():
    from bench.cli import exits

    table = re.search(r"\| exit code \|.*?\n(?!\|)", (ROOT / COMMANDS).read_text() + "\n", re.DOTALL)[0]
    codes = [int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)]
    assert codes == [exits.OK, exits.USAGE, exits.SOME_FAILED, exits.BUG, exits.INTERRUPTED]


# --- what the text says -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = outside_code(page)
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    for link in links:
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        if "results" in Path(path).parts and not has_results(ROOT / "results"):
            continue  # nothing has been published yet
        assert target.exists(), f"{page}: {link}"
        if anchor:
            heads = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
            assert anchor in slugs, f"{page}: {link}"


def test_every_access_tier_is_explained():
    from typing import get_args

    from bench import tracks
    from bench.api import Tier

    grantable = {name: tracks.get(name).tiers for name in tracks.names()}
    anywhere = frozenset().union(*grantable.values())

    for page in (TRACKS, "attacks/README.md"):
        rows = [line for line in (ROOT / page).read_text().splitlines() if line.startswith("| `")]
        for tier in get_args(Tier):
            [row] = [line for line in rows if f"`{tier}`" in line.split("|")[1]]
            refused = "skipped" in row
            assert refused == (tier not in anywhere), f"{page}: {tier}"
            only = [name for name, tiers in grantable.items() if tier in tiers]
            if only == ["informed"]:
                assert "`informed`" in row, f"{page}: {tier} is granted on one track"


def test_the_protocol_in_the_text_is_the_one_in_the_code():
    from bench import tracks
    from bench.tracks.reconstruction.answer import MAX_CANDIDATES
    from bench.tracks.reconstruction.score import THRESHOLD

    protocol, teaching = (ROOT / TRACKS).read_text(), (ROOT / "attacks" / "README.md").read_text()
    assert f"## Score protocol {tracks.get(tracks.DEFAULT).protocol}\n" in protocol
    assert f"SSIM > {THRESHOLD}" in protocol
    assert f"at most `{MAX_CANDIDATES} * n_train`" in teaching


@pytest.mark.parametrize("page", ["README.md", "results/README.md"])
def test_a_page_names_the_columns_of_the_rankings(page):
    from bench.api import EXCESS_RECALL
    from bench.tracks.reconstruction.page.ranking import OfImages

    there = ["attack", "access", *(column.head for column in OfImages().columns(EXCESS_RECALL)), "coverage"]
    table = re.search(r"\| column \| read it as \|.*?\n\n", (ROOT / page).read_text(), re.DOTALL)[0]
    heads = [line.split("|")[1].strip(" *") for line in table.splitlines()[2:] if line]
    assert len(heads) >= 7
    for head in heads:
        for name in head.removesuffix(", controls").split(", "):
            assert any(column.startswith(name) for column in there), f"no ranking has a column {name}"


def test_the_readme_is_short_and_its_first_screen_has_the_two_commands_and_the_picture():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= README_LINES
    first = lines[:FIRST_SCREEN]
    assert {"make bench", "make test"} <= set(first)
    assert any(line.startswith("![") for line in first)


def test_the_readme_leads_to_every_guide():
    text = outside_code("README.md")
    lost = [page for page in GUIDES if f"]({page})" not in text]
    assert not lost


def test_the_table_of_the_readme_is_that_of_the_quick_look():
    """Data set, attack, excess recall, lead and the two counts, line by line: nobody copies a number by hand."""
    board = (ROOT / "results" / "quick.md").read_text(encoding="utf-8").partition("\n### Ranking\n")[2].partition("\n### ")[0]
    columns, there = ["attack", "excess recall [95 % CI]", "minus strongest control [95 %]", "members > 0.4", "controls > 0.4"], []
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in board.splitlines() if line.startswith("|")]
    where = [rows[0].index(head) for head in columns]
    for row in rows[2:]:
        dataset = row[0] or there[-1][0]
        there.append([dataset, *(row[i] for i in where)])
    table = re.search(r"\| data set \| attack \|.*?\n\n", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)[0]
    shown = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line]
    assert shown[0] == ["data set", *columns]
    assert shown[2:] == there


def test_the_page_of_the_results_says_what_each_file_is():
    """Every file of the folder, by its name or as one of a kind."""
    text = (ROOT / "results" / "README.md").read_text(encoding="utf-8")
    kinds = re.compile(
        rf"(figures/.+|(scores|images)/({'|'.join(builtin())})\w*(\.\d+)?\.parquet|({'|'.join(builtin())})\w*\.md|README\.md)"
    )
    assert all(named in text for named in ("`figures/`", "`scores/GRID.parquet`", "`images/GRID.parquet`", "`GRID.md`"))
    for path in sorted((ROOT / "results").rglob("*")):
        name = path.relative_to(ROOT / "results").as_posix()
        assert path.is_dir() or kinds.fullmatch(name) or f"`{name}`" in text or f"]({name})" in text, name


def test_everything_registered_is_in_the_changelog():
    text = (ROOT / "CHANGELOG.md").read_text()
    for kind in ("attack", "defense", "data"):
        for name, entry in registry.entries(kind).items():
            if str(entry.origin).startswith(str(ROOT)):
                assert f"`{name}`" in text or f"`{name}:" in text, f"CHANGELOG.md does not name the {kind} {name}"
    for name in builtin():
        assert f"`{name}`" in text, f"CHANGELOG.md does not name the grid {name}"


def test_examples_use_no_removed_field():
    fields = set(Setting.model_fields)
    for block in GRIDS:
        assert set(yaml.safe_load(block.text).get("base", {})) <= fields


def test_citations_are_whole():
    import bench

    text = "".join(b.text for b in BLOCKS if b.language == "bibtex")
    assert text.count("{") == text.count("}")
    keys = re.findall(r"^@\w+\{(\w+),", text, re.MULTILINE)
    assert len(keys) == len(set(keys)) == 7
    for needed in ("Haim, Niv", "Buzaglo, Gon", "Shahin Shamsabadi, Ali", "Venigalla, Abhinav", "Balle, Borja and Cherubin"):
        assert needed in text
    cff = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(cff)
    assert cff["version"] == bench.__version__
    assert f"version = {{{bench.__version__}}}" in text
