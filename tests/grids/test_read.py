"""Grids: what is right loads, what is wrong becomes one clear message, and nothing ever becomes a traceback."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml
from fuzzing import cases
from hypothesis import given
from hypothesis import strategies as st

from bench.api import Setting
from bench.errors import BenchError
from bench.grids.points import expand
from bench.grids.read import at_scale, builtin, load, options_of, titles, validate
from bench.grids.select import override, select_attacks, select_seeds
from bench.grids.syntax import parse
from bench.registry import Entry

GOOD = """
name: mine
base: {dataset: lfw_faces, n_per_class: 4}
axes:
  weight_decay: [0, 1e-3]
  task:
    - {label: two, set: {classes: binary, loss: bce}}
    - {label: four, set: {classes: 4, loss: ce}}
seeds: 2
attacks:
  - flat
  - {name: deep, params: {steps: 10}, sweep: {runs: 3, ranges: {lr: {low: 1e-3, high: 1, scale: log}}}}
"""

TENFOLD = (f"{c}: &{c} [{', '.join(['*' + p] * 10)}]\n" for p, c in zip("abcdef", "bcdefg", strict=True))
BOMB = "a: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(TENFOLD)


@pytest.fixture(autouse=True)
def _attacks(monkeypatch):
    """A registry of two attacks, so that this test stands without the real ones."""
    known = {name: Entry("attack", name, "", "here") for name in ("flat", "deep")}
    monkeypatch.setattr("bench.registry.entries", lambda kind: known if kind == "attack" else {})


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return path


def test_expansion_is_complete_and_in_order(tmp_path):
    grid = load(write(tmp_path, GOOD)).grid
    points = expand(grid)
    assert [(p.axis["weight_decay"], p.axis["task"], p.setting.seed) for p in points] == [
        (wd, task, seed) for wd in ("0", "0.001") for task in ("two", "four") for seed in (0, 1)
    ]
    assert points[2].setting.loss == "ce"
    assert points[2].setting.classes == 4
    assert points[-1].setting.weight_decay == 1e-3  # 1e-3 is a number here, unlike in plain YAML 1.1
    assert grid.attacks[1].sweep.ranges["lr"].low == 1e-3


@pytest.mark.parametrize(
    ("change", "message", "expected"),
    [
        (("flat", "flatt"), "unknown attack 'flatt'. Did you mean 'flat'?", "flat"),
        (("n_per_class", "n_per_clas"), "unknown setting field 'n_per_clas'. Did you mean 'n_per_class'?", "n_per_class"),
        (("weight_decay: [", "weight_deca: ["), "unknown setting field 'weight_deca'. Did you mean 'weight_decay'?", "set: {field"),
        (("n_per_class: 4", "n_per_class: 0"), "n_per_class: Input should be greater than or equal to 1", "≥ 1"),
        (("1e-3]", "7]"), "weight_decay: Input should be less than or equal to 1", "≤ 1"),
        (("1e-3]", "0]"), "two values labelled '0'", "one label"),
        (("1e-3]", "0.0]"), "are the same setting", "values that differ"),
        (("axes:", "axis:"), "unknown field 'axis'. Did you mean 'axes'?", "axes"),
        (("seeds: 2", "seeds: [1, 1]"), "a seed appears twice", ""),
        (("seeds: 2", "seeds: 0"), "between 1 and 10000", ""),
        (("low: 1e-3", "low: 0"), "a log range needs low > 0", ""),
        (("low: 1e-3", "low: 5"), "low 5 is above high 1", ""),
        (("runs: 3", "runs: 0"), "greater than or equal to 1", ""),
        (("runs: 3", "runs: true"), "attacks.1.sweep.runs: a number or a name is wanted, not true or false", ""),
        (("high: 1", "high: on"), "a number or a name is wanted, not true or false", ""),
        (("seeds: 2", "seeds: [0, yes]"), "seeds: a number or a name is wanted, not true or false", "a count, or a list"),
        (("seeds: 2", "seeds: yes"), "seeds: a number or a name is wanted, not true or false", "a count, or a list"),
        (("seeds: 2", "seeds: 2\nbudget: {minutes: true}"), "budget.minutes: a number or a name is wanted, not true or false", ""),
        (("steps: 10", "lr: 10"), "lr is both in params", ""),
        (("classes: 4, loss: ce", "classes: 4, loss: bce"), "loss 'bce' needs classes 'binary'", ""),
        (("loss: ce", "loss: cee"), "'bce', 'ce', 'mse' or 'huber'", ""),
        (("name: mine", "name: My Grid"), "name: String should match", "snake_case"),
        (("name: mine\n", "\n"), "'name' is missing", "snake_case"),
        (("seeds: 2", "seeds: 2\nseeds: 3"), "'seeds' stands twice", "each key once"),
        (("weight_decay: [0, 1e-3]", "weight_decay: []"), "has no values", "at least one"),
        (("n_per_class: 4}", "n_per_class: 4, seed: 3}"), "seeds are no setting of a grid", "seeds"),
        (("label: two, set: {", "label: two, set: {weight_decay: 0.5, "), "both set 'weight_decay'", "one axis a field"),
    ],
)
def test_each_fault_has_one_clear_message(tmp_path, change, message, expected):
    text = GOOD.replace(*change)
    assert text != GOOD
    path = write(tmp_path, text)
    with pytest.raises(BenchError) as caught:
        load(path)
    assert message in str(caught.value)
    assert expected in str(caught.value)
    assert str(path) in str(caught.value)


def test_faults_name_the_line(tmp_path):
    with pytest.raises(BenchError, match="line 11"):
        load(write(tmp_path, GOOD.replace("- flat", "- flatt")))
    with pytest.raises(BenchError, match=r"line 3, column"):
        load(write(tmp_path, GOOD.replace("n_per_class: 4}", "n_per_class: [4}")))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("# only a comment", "is empty"),
        ("- a list", "is not a mapping"),
        ("just words", "is not a mapping"),
        ("name: [unclosed", "broken YAML"),
        ("name: !!python/object/apply:os.system ['echo hi']", "is refused"),
        ("name: !!python/name:os.system", "is refused"),
        ("name: !mine x", "is refused"),
        ("a: &a [*a]", "refers to itself"),
        ("[" * 5000, "YAML"),
        ("a: !!timestamp 2024-99-99", "cannot be read"),
        ("? [a, b]\n: c", "YAML"),
        ("name: x\nattacks: []\nseeds: 1", "no attacks"),
        ("name: x\nattacks: [flat]\nseeds: [.nan]", "seeds"),
        ("a: \x00", "broken YAML"),
        (BOMB, "too large"),
    ],
)  # fmt: skip
def test_broken_files(tmp_path, text, message):
    with pytest.raises(BenchError, match=message):
        load(write(tmp_path, text))


def test_unreadable_and_unknown(tmp_path):
    binary = tmp_path / "x.yaml"
    binary.write_bytes(b"\xff\xfe\x00\xff")
    with pytest.raises(BenchError, match="cannot be read"):
        load(binary)
    with pytest.raises(BenchError, match="grid file not found"):
        load(tmp_path / "none.yaml")
    with pytest.raises(BenchError, match=r"unknown grid 'quik'\. Did you mean 'quick'"):
        load("quik")
    big = tmp_path / "big.yaml"
    big.write_text("#" * 1_000_001)
    with pytest.raises(BenchError, match="bytes long"):
        load(big)


@pytest.mark.parametrize(
    ("asked", "command"),
    [
        ("width_medium", "--grid width --scale medium"),
        ("results/width_medium.md", "--grid width --scale medium"),  # which is there, where the suite runs
        ("width_medium.md", "--grid width --scale medium"),
        ("Width-Medium", "--grid width --scale medium"),
        ("images/boost_mnist.parquet", "--grid boost --scale mnist"),
        ("QUICK", "--grid quick"),
        ("quick.yaml", "--grid quick"),
        ("elsewhere/quick.yml", "--grid quick"),
    ],
)
def test_another_name_of_a_grid_is_answered_with_the_command_that_is_meant(asked, command):
    with pytest.raises(BenchError) as caught:
        load(asked)
    assert caught.value.hint == f"python -m bench run {command}"
    assert "Did you mean" not in caught.value.what


def test_each_page_of_a_built_in_grid_is_known_by_name():
    scales = 0
    for name, path in builtin().items():
        assert options_of(name) == f"--grid {name}"
        raw = parse(path.read_text(encoding="utf-8"), str(path))[0]
        for scale in raw.get("scales", {}):
            assert options_of(at_scale(raw, scale)["name"]) == f"--grid {name} --scale {scale}"
            scales += 1
    assert scales > 5
    assert options_of("width_huge") == options_of("mine") == options_of("") == ""


def test_too_many_settings(tmp_path):
    text = "name: x\nattacks: [flat]\nseeds: 10000\naxes: {n_per_class: [" + ", ".join(map(str, range(1, 100))) + "]}"
    with pytest.raises(BenchError, match="spans 990000 settings"):
        load(write(tmp_path, text))


def test_override_base_axis_tied_and_label(tmp_path):
    path = write(tmp_path, GOOD)
    assert {p.setting.n_per_class for p in expand(load(path, ["n_per_class=7"]).grid)} == {7}
    replaced = load(path, ["weight_decay=0.5"]).grid
    assert [v.label for v in replaced.axes["weight_decay"]] == ["0.5"]
    assert len(expand(replaced)) == 4
    tied = load(path, ["loss=mse"]).grid
    assert {p.setting.loss for p in expand(tied)} == {"mse"}
    one = load(path, ["task=four"]).grid
    assert {p.setting.classes for p in expand(one)} == {4}
    assert expand(load(path, ["hidden=[3, 4]"]).grid)[0].setting.hidden == (3, 4)
    assert expand(load(path, ["init_scale=null"]).grid)[0].setting.init_scale is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n_per_clas=3", "Did you mean 'n_per_class'"),
        ("n_per_class", "not understood"),
        ("=3", "not understood"),
        ("n_per_class=0", "greater than or equal to 1"),
        ("n_per_class=many", "valid integer"),
        ("hidden=[", "no YAML"),
        ("seed=3", "--seeds"),
        ("task=five", "has no value 'five'"),
        ("weight_decay=!!python/name:os.system", "no YAML"),
    ],
)
def test_bad_overrides(tmp_path, text, message):
    with pytest.raises(BenchError, match=message):
        load(write(tmp_path, GOOD), [text])


def test_seeds_and_attacks_are_selected(tmp_path):
    grid = load(write(tmp_path, GOOD)).grid
    assert select_seeds(grid, "0,3, 5-7").seeds == [0, 3, 5, 6, 7]
    for bad in ("", "a", "3-1", "-1", "1-99999999", "1.5"):
        with pytest.raises(BenchError, match="--seeds"):
            select_seeds(grid, bad)
    assert [a.name for a in select_attacks(grid, ["deep"]).attacks] == ["deep"]
    with pytest.raises(BenchError, match="Did you mean 'deep'"):
        select_attacks(grid, ["deeep"])


def test_every_builtin_grid_parses_and_says_what_it_asks():
    assert {"quick", "activations", "weight_decay", "dataset_size", "losses", "width", "multiclass"} <= set(builtin())
    assert all(question and not question.startswith("broken") for question in titles().values())
    for name, path in builtin().items():
        raw, _ = parse(path.read_text(), str(path))
        assert raw["name"] == name
        points = expand(validate({**raw, "attacks": ["flat"]}, str(path)))
        assert points


def test_smallest_hint_is_valid():
    for path in builtin().values():
        raw, _ = parse(path.read_text(), str(path))
        for field, value in (raw.get("smallest") or {}).items():
            override(validate({**raw, "attacks": ["flat"]}, str(path)), [f"{field}={yaml.safe_dump(value, default_flow_style=True)}"])


finite = st.floats(min_value=0, max_value=1, allow_nan=False)
some_settings = st.builds(
    dict,
    n_per_class=st.integers(1, 50_000),
    hidden=st.lists(st.integers(1, 65_536), min_size=1, max_size=5),
    activation=st.sampled_from(["relu", "tanh", "softplus"]),
    weight_decay=finite,
    init_scale=st.none() | st.floats(1e-8, 10),
    lr=st.floats(1e-9, 100),
    epochs=st.integers(1, 10_000_000),
    dtype=st.sampled_from(["float32", "float64"]),
)


@cases(60)
@given(some_settings, st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=4, unique=True))
def test_random_settings_survive_the_trip_through_yaml(fields, seeds):
    text = yaml.safe_dump({"name": "x", "base": fields, "seeds": seeds, "attacks": ["flat"]})
    raw, node = parse(text, "x.yaml")
    points = expand(validate(raw, "x.yaml", node))
    assert [p.setting for p in points] == [Setting(**fields, seed=seed) for seed in seeds]
    again = Setting.model_validate_json(points[0].setting.model_dump_json())
    assert again == points[0].setting


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
keys = st.sampled_from(
    ["name", "base", "axes", "seeds", "attacks", "budget", "set", "label", "sweep", "runs", "ranges", "hidden", "lr", "low"]
)
garbage = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys | st.text(max_size=4), inner, max_size=5), max_leaves=20
)


def survives(text: str) -> None:
    try:
        raw, node = parse(text, "x.yaml")
        points = expand(validate(raw, "x.yaml", node))
    except BenchError as error:
        message = str(error)
    else:
        message = f"{len(points)} settings"
        assert all(math.isfinite(p.setting.lr) for p in points)
    assert 0 < len(message) < 5000


@cases(150)
@given(st.text(max_size=200))
def test_random_text_never_becomes_a_traceback(text):
    survives(text)


@cases(150)
@given(garbage)
def test_random_structures_never_become_a_traceback(data):
    survives(yaml.safe_dump(data))


WHOLE = yaml.safe_load(GOOD.replace("1e-3", "1.0e-3"))


@cases(250)
@given(garbage, keys)
def test_one_wrong_part_never_becomes_a_traceback(data, key):
    survives(yaml.safe_dump({**WHOLE, key: data}))


PUBLISHED = """
gallery: 20
published:
  - {what: members above 0.4, column: recall_members, value: 0.3, at: 500 images, source: A paper, axis: {weight_decay: 1e-3}}
"""


def test_figures_of_a_paper_and_the_size_of_a_gallery(tmp_path):
    grid = load(write(tmp_path, GOOD + PUBLISHED)).grid
    assert grid.gallery == 20
    (figure,) = grid.published
    assert figure.axis == {"weight_decay": "0.001"}  # the label that the axis has
    assert "0.001" in [value.label for value in grid.axes["weight_decay"]]
    assert (figure.value, figure.column) == (0.3, "recall_members")
    assert load(write(tmp_path, GOOD)).grid.gallery is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("axis: {weight_decay", "axis: {weight_deca"), "unknown axis 'weight_deca'. Did you mean 'weight_decay'?"),
        (("value: 0.3", "value: many"), "valid number"),
        (("value: 0.3", "value: .nan"), "finite"),
        (("at: 500 images, ", ""), "published.0.at"),
        (("source: A paper", "source: A paper, whta: x"), "unknown field 'published.0.whta'. Did you mean 'what'?"),
        (("gallery: 20", "gallery: 101"), "less than or equal to 100"),
        (("gallery: 20", "gallery: true"), "gallery: a number or a name is wanted, not true or false"),
        (("value: 0.3", "value: yes"), "published.0.value: a number or a name is wanted, not true or false"),
    ],
)
def test_faults_in_what_is_published(tmp_path, change, message):
    with pytest.raises(BenchError) as caught:
        load(write(tmp_path, GOOD + PUBLISHED.replace(*change)))
    assert message in str(caught.value)
