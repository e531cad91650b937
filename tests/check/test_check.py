"""``bench check``: passes what is in the registry, and names what is wrong with a plug-in."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from tiny_grid import clean_registry, write_plugin  # noqa: F401

from bench import registry
from bench.check import check_plugin
from bench.cli import main

pytestmark = pytest.mark.usefixtures("clean_registry")
EVERYTHING = [name for kind in ("attack", "defense", "data") for name in registry.entries(kind)]


@pytest.mark.parametrize("name", EVERYTHING)
def test_everything_in_the_registry_keeps_its_contract(name):
    for title, outcomes in check_plugin(name):
        assert outcomes, title
        assert not [o for o in outcomes if not o.ok], title


@pytest.mark.parametrize(
    ("body", "fails", "because"),
    [
        ("return torch.rand(4, *release.mean_image.shape)", "leaves the global generators alone", "global generator moved"),
        ("return torch.rand(4, *release.mean_image.shape)", "the same generator gives the same answer", "another answer"),
        (
            "torch.set_default_dtype(torch.float64)\nreturn torch.zeros(4, *release.mean_image.shape)",
            "leaves the global generators alone",
            "a setting of PyTorch",
        ),
        ("return torch.zeros(4, 2, 2, 2)", "answers with finite images", "wrong shape"),
        ("return release.mean_image.expand(99, -1, -1, -1)", "answers with finite images", "too many"),
        ("return release.mean_image[None] / 0 * 0", "answers with finite images", "NaN"),
        ("release.mean_image.zero_()\nreturn release.mean_image[None].clone()", "leaves the release as it was", "clone before writing"),
        ("raise RuntimeError('fell over')", "answers with finite images", "RuntimeError: fell over"),
    ],
)
def test_bad_attacks_are_told_what_is_wrong(tmp_path, capsys, body, fails, because):
    assert main(["check", str(write_plugin(tmp_path, "bad", body))]) == 2
    lines = [line for line in capsys.readouterr().out.splitlines() if line.strip().startswith("FAIL")]
    assert any(fails in line and because in line for line in lines), lines


def test_a_batch_that_depends_on_its_order_fails(tmp_path):
    after = """
    @classmethod
    def reconstruct_batch(cls, attacks, releases, generators):
        shared = generators[0]
        return [a.reconstruct(r, shared) for a, r in zip(attacks, releases)]
"""
    [(_, outcomes)] = check_plugin(str(write_plugin(tmp_path, "mixed", after=after)))
    assert [o.name for o in outcomes if not o.ok and "any order" in o.name]


def test_class_faults(tmp_path):
    path = write_plugin(tmp_path, "odd")
    text = (
        path.read_text()
        .replace("@dataclass(frozen=True)", "@dataclass")
        .replace('"none: a test"', '""')
        .replace('"""A test attack."""', "")
    )
    path.write_text(text.replace('name: ClassVar[str] = "odd"', 'name: ClassVar[str] = "Odd-Name"').replace('"mean_image"}', '"the_data"}'))
    [(_, outcomes)] = check_plugin(str(path))
    failed = {o.name.partition(":")[0] for o in outcomes if not o.ok}
    assert failed >= {
        "has a docstring",
        "name is in snake_case",
        "is a frozen dataclass",
        "says where it is from",
        "needs is a frozenset of access tiers that the track grants",
    }


DATA = '''
import numpy as np

from bench.api import DataSource, ImageSet
from bench.registry import register


@register
class Blots(DataSource):
    """Forty random pictures of two classes."""

    name = "blots"
    summary = "random pictures"

    def digest(self):
        return "0123456789abcdef"

    def load(self):
        images = np.random.default_rng(0).{draw}
        return ImageSet("blots", "blots", images, np.arange(40) % 2, ("odd", "even"), ("odd", "even"), frozenset({{1}}))
'''


@pytest.mark.parametrize(
    ("ranges", "because"),
    [
        ('{"scael": (0.1, 0.2, "log")}', "Did you mean 'scale'"),
        ('{"scale": (0.1, 0.2)}', "is no (low, high"),
        ('{"scale": (0.1, 0.2, "cubic")}', "neither 'log' nor 'linear'"),
        ('{"scale": (0.0, 0.2, "log")}', "is no range"),
        ('{"scale": (0.3, 0.2, "linear")}', "is no range"),
    ],
)
def test_ranges_that_no_sweep_can_draw_are_told(tmp_path, capsys, ranges, because):
    path = write_plugin(tmp_path, "swept", after=f"\n    ranges: ClassVar = {ranges}\n")
    assert main(["check", str(path)]) == 2
    failed = [line for line in capsys.readouterr().out.splitlines() if "FAIL" in line]
    assert len(failed) == 1
    assert because in failed[0]


TELLING = "return Candidates(torch.zeros(4, *release.architecture.input_shape), None, self.scale)"
STEPS = 'steps: int = 8\n    budget: ClassVar = "steps"'


@pytest.mark.parametrize(
    ("body", "more", "because"),
    [
        (TELLING, STEPS, ""),
        (TELLING, 'steps: int = 8\n    budget: ClassVar = "stpes"', "Did you mean 'steps'"),
        (TELLING, 'budget: ClassVar = "scale"', "scale is 0.1, no whole number above 0"),
        (TELLING, "budget: ClassVar = 3", "budget is a int"),
        (TELLING, STEPS + '\n    ranges: ClassVar = {"steps": (4, 9, "linear")}', "among the ranges"),
        ("return torch.zeros(4, *release.architecture.input_shape)", STEPS, "neither confidences nor"),
        (TELLING.replace("self.scale", "0.5 if self.steps > 1 else None"), STEPS, "neither confidences nor"),
    ],
)
def test_a_budget_that_no_race_can_shorten_is_told(tmp_path, capsys, body, more, because):
    path = write_plugin(tmp_path, "raced", body, after=f"\n    {more}\n")
    assert main(["check", str(path)]) == (2 if because else 0)
    failed = [line for line in capsys.readouterr().out.splitlines() if "FAIL" in line]
    assert bool(failed) == bool(because)
    assert all(because in line for line in failed), failed


@pytest.mark.parametrize(
    ("draw", "ok"),
    [
        ("integers(0, 256, (40, 1, 6, 6), dtype=np.uint8)", True),
        ("random((40, 1, 6, 6), dtype=np.float32)", True),
        ("random((40, 1, 6, 6), dtype=np.float32) * 255", False),
        ("random((40, 1, 6, 6))", False),
        ("integers(0, 256, (40, 1, 6, 6)).astype(np.int32)", False),
    ],
)
def test_data_are_floats_in_the_unit_interval_or_bytes(tmp_path, draw, ok):
    (tmp_path / "blots.py").write_text(DATA.format(draw=draw))
    [(_, outcomes)] = check_plugin(str(tmp_path / "blots.py"))
    form = next(o for o in outcomes if "float32" in o.name)
    assert form.ok == ok, form
    assert all(o.ok for o in outcomes) or not ok, outcomes


def test_a_folder_of_pictures_keeps_the_contract(tmp_path, capsys):
    draw = np.random.default_rng(0)
    for label in ("cats", "dogs"):
        (tmp_path / label).mkdir()
        for k in range(20):
            Image.fromarray(draw.integers(0, 256, (6, 6), dtype=np.uint8)).save(tmp_path / label / f"{k}.png")
    assert main(["check", f"folder:{tmp_path}"]) == 0, capsys.readouterr().out


def test_a_good_file_passes(tmp_path, capsys):
    assert main(["check", str(write_plugin(tmp_path, "fine"))]) == 0
    assert "all passed" in capsys.readouterr().out


def test_a_bad_defence(tmp_path):
    path = tmp_path / "shrinker.py"
    path.write_text(
        "from dataclasses import dataclass\nfrom typing import ClassVar\nimport torch\n"
        "from bench.api import Defense\nfrom bench.registry import register\n\n\n"
        '@register\n@dataclass(frozen=True)\nclass Shrinker(Defense):\n    """Renames weights, draws globally."""\n\n'
        '    name: ClassVar[str] = "shrinker"\n\n'
        "    def after_training(self, weights, generator):\n        torch.rand(1)\n"
        "        return {k + 'x': w for k, w in weights.items()}\n"
    )
    [(_, outcomes)] = check_plugin(str(path))
    failed = {o.name for o in outcomes if not o.ok}
    assert failed == {"after_training keeps names, shapes and dtypes of the weights", "leaves the global generators alone"}


def test_an_attack_that_is_no_dataclass_is_told_so(tmp_path, capsys):
    path = write_plugin(tmp_path, "plain")
    path.write_text(path.read_text().replace("@dataclass(frozen=True)\n", ""))
    assert main(["check", str(path)]) == 2
    assert "decorate it with @dataclass(frozen=True)" in capsys.readouterr().out
