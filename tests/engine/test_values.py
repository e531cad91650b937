"""A value is the same however it is written and wherever it stands: ``--set``, ``--param``, a grid's setting, an attack, a defence."""

from __future__ import annotations

import pytest

from bench.audit import audit
from bench.engine.plan import plan, prepare
from bench.errors import BenchError
from bench.grids.model import AttackSpec
from bench.grids.points import expand
from bench.grids.read import load

GRID = """
name: values
base: {{n_per_class: 2, epochs: {value}, defense: memorized_examples, defense_params: {{count: {value}}}}}
seeds: 1
attacks: [{{name: haim_kkt, params: {{steps: {value}}}}}]
"""


def cell(tmp_path, value):
    path = tmp_path / "values.yaml"
    path.write_text(GRID.format(value=value), encoding="utf-8")
    [only] = plan(load(path), {}).cells
    return only


@pytest.mark.parametrize("text", ["1000", "1e3", "1E3", "1.0e3", "1.0e+3", "+1e3", ".1e4", "1000.0", "1_000", "10000e-1"])
def test_a_number_is_one_however_it_is_written(text, tmp_path):
    assert expand(load("quick", [f"epochs={text}"]).grid)[0].setting.epochs == 1000
    [asked, *_] = audit.plan(["haim_kkt"], 1, [f"steps={text}"])
    mine, wanted = cell(tmp_path, text), cell(tmp_path, "1000")
    for steps in (asked.instances[0].steps, mine.attack.instances[0].steps, mine.setting.defense_params["count"]):
        assert (steps, type(steps)) == (1000, int)
    assert (mine.id, mine.target_id, asked.params_json) == (wanted.id, wanted.target_id, '{"steps":1000}')


@pytest.mark.parametrize(("text", "value"), [("010", 10), ("08", 8), ("0x10", 16)])
def test_a_leading_zero_is_no_octal(text, value):
    assert expand(load("quick", [f"n_per_class={text}"]).grid)[0].setting.n_per_class == value


@pytest.mark.parametrize(
    ("name", "params", "wanted"),
    [
        ("haim_kkt", {"steps": 10.5}, "a whole number"),
        ("haim_kkt", {"steps": True}, "a whole number"),
        ("haim_kkt", {"steps": "1:30"}, "a whole number"),
        ("haim_kkt", {"lr": True}, "a number"),
        ("haim_kkt", {"lr": float("nan")}, "a number"),
    ],
)
def test_what_is_of_another_kind_is_refused(name, params, wanted):
    with pytest.raises(BenchError, match="of the wrong kind") as error:
        prepare(AttackSpec.model_construct(name=name, params=params, sweep=None, setting={}))
    assert error.value.expected == wanted


def test_a_list_of_whole_numbers_is_read_as_one():
    from bench import registry

    fields = {name: cls.__dataclass_fields__ for name in registry.entries("attack") for cls in [registry.get("attack", name)]}
    name, field = next((name, field) for name, own in sorted(fields.items()) for field, f in own.items() if f.type == "tuple[int, ...]")
    assert getattr(prepare(AttackSpec(name=name, params={field: [16.0]}, sweep=None)).instances[0], field) == (16,)
    for bad in (16, [1.5], "16"):
        with pytest.raises(BenchError, match="of the wrong kind"):
            prepare(AttackSpec(name=name, params={field: bad}, sweep=None))


@pytest.mark.parametrize("text", ["steps=yes", "steps=1:30", "steps=10.5", "steps", "steps=", "lr=.nan", "lr=x", "steps=[1", "lr=="])
def test_params_that_are_no_values_are_refused(text):
    with pytest.raises(BenchError):
        audit.plan(["haim_kkt"], 1, [text])
