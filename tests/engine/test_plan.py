"""Plans: keys that say what a cell is and nothing else, states, sweeps, and what is wrong usage."""

from __future__ import annotations

import dataclasses

import pytest
from tiny_grid import clean_registry, write_grid, write_plugin  # noqa: F401

from bench import registry
from bench.engine.plan import answer_id, cell_id, plan, protocol_of, runs_id
from bench.engine.prepare import prepare
from bench.engine.runs import with_runs
from bench.engine.sweeps import draws
from bench.errors import BenchError
from bench.grids.model import AttackSpec, Range, Sweep
from bench.grids.read import load

pytestmark = pytest.mark.usefixtures("clean_registry")


def ids(planned):
    return [cell.id for cell in planned.cells]


def test_keys_name_what_matters_and_not_the_grid(tmp_path):
    path = write_grid(tmp_path, "mean_image, heldout_images")
    first = plan(load(path), {})
    assert len(set(ids(first))) == len(first.cells) == 8
    path.write_text(path.read_text().replace("name: tiny", "name: other").replace("question: Does", "question: Will"))
    assert ids(plan(load(path), {})) == ids(first)
    path.write_text(path.read_text().replace("epochs: 5", "epochs: 6"))
    assert not set(ids(plan(load(path), {}))) & set(ids(first))


def test_params_sweep_and_version_are_in_the_key(tmp_path):
    registry.load_plugin(write_plugin(tmp_path))
    specs = [
        "noise",
        "{name: noise, params: {scale: 0.2}}",
        "{name: noise, sweep: {runs: 2, ranges: {scale: {low: 0.1, high: 1}}}}",
        "{name: noise, sweep: {runs: 3, ranges: {scale: {low: 0.1, high: 1}}}}",
    ]
    planned = plan(load(write_grid(tmp_path, ", ".join(specs))), {})
    assert len(set(ids(planned))) == 16
    registry._plugins.clear()
    registry.load_plugin(write_plugin(tmp_path, after="# another source\n"))
    again = plan(load(write_grid(tmp_path, ", ".join(specs))), {})
    assert not set(ids(again)) & set(ids(planned))


def test_states(tmp_path):
    loaded = load(write_grid(tmp_path, "mean_image, multiclass_kkt"))
    cells = plan(loaded, {}).cells
    assert [c.state for c in cells[:2]] == ["to run", "unsupported"]
    assert cells[1].reason
    known = {
        cells[0].id: ("ok", ""),
        cells[2].id: ("failed", "it fell"),
        cells[4].id: ("timeout", "too long"),
        cells[6].id: ("skipped", ""),
    }
    assert [c.state for c in plan(loaded, known).cells[::2]] == ["cached", "failed before", "failed before", "to run"]
    assert plan(loaded, known).cells[2].reason == "it fell"
    assert [c.state for c in plan(loaded, known, retry=True).cells[::2]] == ["cached", "to run", "to run", "to run"]
    assert [c.state for c in plan(loaded, known, no_cache=True).cells[::2]] == ["to run"] * 4
    assert [c.id for c in plan(loaded, known, limit=3).cells] == [c.id for c in cells[:3]]


def test_seeds_share_an_axis_index(tmp_path):
    cells = plan(load(write_grid(tmp_path)), {}).cells
    assert [(c.axis["weight_decay"], c.setting.seed, c.axis_index) for c in cells] == [
        ("0", 0, 0),
        ("0", 1, 0),
        ("0.01", 0, 1),
        ("0.01", 1, 1),
    ]


@pytest.mark.parametrize(
    ("attacks", "message"),
    [
        ("{name: haim_kkt, params: {stepz: 3}}", "no hyperparameter 'stepz'. Did you mean 'steps'"),
        ("{name: haim_kkt, sweep: {runs: 2, ranges: {stepz: {low: 1, high: 2}}}}", "no hyperparameter 'stepz'"),
        ("{name: mean_image, params: {steps: 3}}", "no hyperparameter 'steps'"),
    ],
)
def test_unknown_hyperparameters(tmp_path, attacks, message):
    with pytest.raises(BenchError, match=message):
        plan(load(write_grid(tmp_path, attacks)), {})


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("dataset=lfw_facez", "unknown data set 'lfw_facez'. Did you mean 'lfw_faces'"),
        ("defense=roundin", "unknown defence 'roundin'. Did you mean 'rounding'"),
        ("dataset=cifar10", "is not here"),
    ],
)
def test_unknown_or_missing_data_and_defences(tmp_path, monkeypatch, override, message):
    monkeypatch.delenv("BENCH_DATA", raising=False)
    with pytest.raises(BenchError, match=message):
        plan(load(write_grid(tmp_path), [override]), {})
    with pytest.raises(BenchError, match=r"no hyperparameter 'bitz'\. Did you mean 'bits'"):
        plan(load(write_grid(tmp_path), ["defense=rounding", "defense_params={bitz: 3}"]), {})


def test_a_missing_data_set_skips_only_its_own_cells(tmp_path, monkeypatch):
    monkeypatch.delenv("BENCH_DATA", raising=False)
    path = write_grid(tmp_path)
    path.write_text(path.read_text().replace("weight_decay: [0, 0.01]", "dataset: [lfw_faces, cifar10, mnist]"))
    cells = plan(load(path), {}).cells
    assert [c.state for c in cells] == ["to run"] * 2 + ["unsupported"] * 4
    assert "cifar10" in cells[2].reason
    assert len({c.id for c in cells}) == 6


def test_settings_beyond_the_data_are_known_before_anything_runs(tmp_path, monkeypatch):
    path = write_grid(tmp_path, "mean_image, heldout_images")
    path.write_text(path.read_text().replace("weight_decay: [0, 0.01]", "n_per_class: [2, 900]"))
    cells = plan(load(path), {}).cells
    assert [c.state for c in cells] == ["to run"] * 4 + ["broken"] * 4
    assert "too small for n_per_class=900" in cells[4].reason
    assert "--set n_per_class=45" in cells[4].reason
    assert len({c.reason for c in cells[4:]}) == 1
    path.write_text(
        path.read_text().replace("n_per_class: [2, 900]", "classes: [2, 3]").replace("n_per_class: 2,", "n_per_class: 2, loss: ce,")
    )
    cells = plan(load(path), {}).cells
    assert [c.state for c in cells] == ["to run"] * 4 + ["broken"] * 4
    assert "has 2 classes, the setting asks for 3" in cells[4].reason


def test_the_data_of_finished_cells_are_not_loaded(tmp_path, monkeypatch):
    loaded = load(write_grid(tmp_path))
    known = {c.id: ("ok", "") for c in plan(loaded, {}).cells}
    monkeypatch.setattr("bench.data.lfw_faces.LfwFaces.load", lambda self: pytest.fail("loaded"))
    assert {c.state for c in plan(loaded, known).cells} == {"cached"}


def test_data_that_cannot_be_loaded_are_left_to_fail_cell_by_cell(tmp_path, monkeypatch):
    def fall(self):
        raise RuntimeError("no such decoder")

    monkeypatch.setattr("bench.data.lfw_faces.LfwFaces.load", fall)
    assert {c.state for c in plan(load(write_grid(tmp_path)), {}).cells} == {"to run"}


GOLDEN = {  # keys of quick's attacks on target 0…0, at version 1; a change of these orphans every row that was ever published
    "haim_kkt": "64346a5313eea4d4",
    "mean_image": "dd64a8d614a11041",
    "heldout_images": "52ff211a575b97b0",
    "pool_mean": "bd8d72b01a9bbbdf",
    "first_layer_weights": "13fa28ded3fc9083",
    "model_inversion": "37bcf028665f0614",
    "span_ica": "0d9ccc897d074b29",
    "span_ica_change": "6e1a03f85ec7e7c7",
    "row_kmeans": "4da3207c11bb7a76",
    "class_mean_image": "74295760d1ebb11f",
}


def key(spec: AttackSpec) -> str:
    return cell_id("0" * 16, dataclasses.replace(prepare(spec), version="1"), "v1")


def test_keys_of_published_cells_stay():
    assert {spec.name: key(spec) for spec in load("quick").grid.attacks} == GOLDEN
    sweep = Sweep(runs=2, ranges={"lr": Range(low=1e-3, high=1, scale="log")})
    swept = AttackSpec(name="haim_kkt", params={"steps": 77}, sweep=sweep)
    assert key(swept) == "bd98e34ef49ae6fd"
    assert [run.lr for run in prepare(swept).instances] == pytest.approx([0.9391523704341012, 0.0050699210459838875], rel=1e-12)


def test_a_score_protocol_makes_other_cells_of_the_same_answers(tmp_path):
    """The next one orphans no answer: what an attack draws, and the folder of its kept runs, go by the first protocol's id."""
    one = dataclasses.replace(prepare(AttackSpec(name="haim_kkt")), version="1")
    ids = {protocol: cell_id("0" * 16, one, protocol) for protocol in ("v1", "v2")}
    assert ids == {"v1": GOLDEN["haim_kkt"], "v2": "c0facc542f0bfba6"}
    cell = next(c for c in plan(load(write_grid(tmp_path)), {}).cells)
    assert protocol_of(cell.attack.track) == "v2"
    assert cell.id == cell_id(cell.target_id, cell.attack, "v2")
    assert runs_id(cell) == answer_id(cell) == cell_id(cell.target_id, cell.attack, "v1")
    assert protocol_of("nowhere") == "v1"


def test_a_default_that_is_written_out_is_the_same_cell(tmp_path):
    after = "\n    sizes: tuple[int, ...] = (1, 2)\n    fast: bool = True\n"
    registry.load_plugin(write_plugin(tmp_path, after=after))
    plain = key(AttackSpec(name="noise"))
    for params in ({"scale": 0.1}, {"sizes": [1, 2]}, {"fast": True, "scale": 0.1}):
        assert key(AttackSpec(name="noise", params=params)) == plain, params
    for params in ({"scale": 0.2}, {"sizes": [1, 2, 3]}, {"fast": False}, {"fast": 1}):
        assert key(AttackSpec(name="noise", params=params)) != plain, params
    sweep = Sweep(runs=2, ranges={"scale": Range(low=0.1, high=1)})
    one, other = (prepare(AttackSpec(name="noise", params=params, sweep=sweep)) for params in ({}, {"fast": True}))
    assert one.instances == other.instances
    grid = load(write_grid(tmp_path, "noise, {name: noise, params: {scale: 0.1}}"))
    with pytest.raises(BenchError, match="'noise' stands twice with the same parameters"):
        plan(grid, {})


def test_an_attack_that_raises_at_import_is_broken_and_others_run(tmp_path, monkeypatch):
    monkeypatch.setitem(registry.FOLDERS, "attack", tmp_path / "attacks")
    (tmp_path / "attacks").mkdir()
    write_plugin(tmp_path / "attacks", "broken", before="raise RuntimeError('no licence')\n")
    monkeypatch.setattr(registry, "ROOT", tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    entry = registry.entries("attack")["broken"]
    monkeypatch.setattr(
        registry,
        "entries",
        lambda kind, real=registry.entries: {"broken": dataclasses.replace(entry, module="nowhere_at_all")} | real(kind),
    )
    planned = prepare(AttackSpec(name="broken"))
    assert planned.cls is None
    assert "cannot be imported" in planned.error
    assert planned.version.startswith("src-")


def test_sweeps_draw_by_name_within_their_ranges():
    @dataclasses.dataclass(frozen=True)
    class Fake:
        lr: float = 0.1
        steps: int = 10

    spec = AttackSpec(name="x", sweep=Sweep(runs=50, ranges={"lr": Range(low=1e-5, high=1, scale="log"), "steps": Range(low=5, high=20)}))
    drawn = draws(spec, Fake)
    assert drawn == draws(spec, Fake)
    assert all(1e-5 <= d["lr"] <= 1 and 5 <= d["steps"] <= 20 and isinstance(d["steps"], int) for d in drawn)
    assert len({d["lr"] for d in drawn}) == 50
    assert 15 <= sum(d["lr"] < 10**-2.5 for d in drawn) <= 35  # uniform in the logarithm
    shorter = AttackSpec(name="x", sweep=Sweep(runs=5, ranges=spec.sweep.ranges))
    assert draws(shorter, Fake) == drawn[:5]  # more runs leave the earlier ones as they are
    assert draws(AttackSpec(name="x"), Fake) == [{}]


def test_a_paper_s_figure_stands_beside_a_column_of_numbers(tmp_path):
    path = write_grid(tmp_path)
    figure = "published: [{{what: hits, column: {}, value: 0.3, at: 500 images, source: A paper}}]\n"
    text = path.read_text()
    path.write_text(text + figure.format("recall_members"))
    assert plan(load(path), {}).cells
    for column in ("recall_member", "attack"):
        path.write_text(text + figure.format(column))
        with pytest.raises(BenchError, match=f"no score column '{column}' holds numbers"):
            plan(load(path), {})


RANGES = '\n    ranges: ClassVar = {"scale": (0.01, 0.02, "log")}\n'
SWEPT = "{name: noise, sweep: {runs: 2}}"


@pytest.mark.parametrize(
    ("lines", "swept"),
    [
        (["noise"], [5]),
        (["noise", SWEPT], [None, 5]),  # chosen by hand beside drawn, as the grid's author set them
        (["{name: noise, params: {scale: 0.5}}", SWEPT], [None, 5]),
        ([SWEPT, "{name: noise, sweep: {runs: 4}}"], [5]),
        ([SWEPT, "{name: noise, sweep: {runs: 2, ranges: {scale: {low: 0.01, high: 0.02, scale: log}}}}"], [5]),  # the same, spelt out
        ([SWEPT, "{name: noise, sweep: {runs: 2, ranges: {scale: {low: 0.01, high: 0.03, scale: log}}}}"], [5, 5]),
        ([SWEPT, "{name: noise, setting: {n_per_class: 3}}"], [5, 5]),  # other targets
        ([SWEPT, "mean_image"], [5, None]),
    ],
)
def test_runs_of_a_grid_that_lists_an_attack_more_than_once(tmp_path, lines, swept):
    registry.load_plugin(write_plugin(tmp_path, after=RANGES))
    loaded = load(write_grid(tmp_path, ", ".join(lines)))
    grid = with_runs(loaded.grid, 5)
    assert [spec.sweep and spec.sweep.runs for spec in grid.attacks] == swept
    planned = plan(dataclasses.replace(loaded, grid=grid), {})
    assert len(set(ids(planned))) == len(planned.cells) == 4 * len(swept)


def test_runs_hide_no_line_that_stands_twice(tmp_path):
    registry.load_plugin(write_plugin(tmp_path, after=RANGES))
    loaded = load(write_grid(tmp_path, f"noise, mean_image, {{name: noise, params: {{scale: 0.1}}}}, {SWEPT}"))
    with pytest.raises(BenchError, match="stands twice"):
        plan(dataclasses.replace(loaded, grid=with_runs(loaded.grid, 5)), {})
