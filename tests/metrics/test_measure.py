"""Metrics from the registry: each keeps the contract, columns follow from the class, and what a broken one does."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from tiny_grid import clean_registry  # noqa: F401

from bench import registry
from bench.check.metric import check_metric
from bench.errors import BenchError
from bench.metrics.measure import measure, statistics
from bench.metrics.ssim import ssim_pairs
from bench.schema import BUILT_IN, columns, metrics

pytestmark = pytest.mark.usefixtures("clean_registry")

METRIC = '''
from typing import ClassVar
import torch
from bench.api import Metric
from bench.registry import register


@register
class Mine(Metric):
    """Largest difference of any pixel."""

    name: ClassVar[str] = {name!r}
    label: ClassVar[str] = "largest difference"
    range: ClassVar[tuple[float, float | None]] = {range}
    better: ClassVar[str] = {better!r}
    statistics: ClassVar[tuple[str, ...]] = {statistics}

    def pairs(self, a, b):
        {body}
'''
GOOD = {
    "name": "mine",
    "range": (0.0, 1.0),
    "better": "lower",
    "statistics": ("median",),
    "body": "return (a - b).abs().flatten(1).amax(1)",
}


def plugin(tmp_path, **changes):
    path = tmp_path / "mine.py"
    path.write_text(METRIC.format(**(GOOD | changes)), encoding="utf-8")
    registry.load_plugin(path)
    return registry.get("metric", (GOOD | changes)["name"])


@pytest.mark.parametrize("name", sorted(registry.entries("metric")))
def test_every_metric_keeps_its_contract(name):
    outcomes = check_metric(registry.get("metric", name))
    assert len(outcomes) >= 11
    assert not [o for o in outcomes if not o.ok]


def test_the_columns_follow_from_the_class(tmp_path):
    assert [m.name for m in metrics()] == list(BUILT_IN)
    before = [c.name for c in columns("scores")]
    plugin(tmp_path, statistics=("mean", "median"))
    [column] = [c for c in columns("images") if c.name == "mine"]
    assert (column.unit, column.range, column.direction) == ("1", "[0, 1]", "lower")
    assert column.description.startswith("Largest difference of any pixel")
    new = [c.name for c in columns("scores") if c.name not in before]
    assert new == ["mine_mean", "mine_mean_controls", "mine_median", "mine_median_controls"]


def test_columns_need_no_torch():
    code = "import sys; from bench.schema import columns; assert len(columns('images')) > 20; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_values_are_those_of_the_functions():
    a, b = torch.rand(5, 3, 12, 12), torch.rand(5, 3, 12, 12)
    found = measure(a, b)
    np.testing.assert_allclose(found["ssim"], ssim_pairs(a, b, "gaussian").double(), atol=1e-6)
    np.testing.assert_allclose(found["mse"], ((a - b) ** 2).flatten(1).mean(1), atol=1e-6)
    assert "ssim" not in measure(a, b, but={"ssim"})
    assert all(values is None or values.shape == (0,) for values in measure(a[:0], b[:0]).values())


def test_an_image_without_a_partner_counts_as_the_worst():
    nan = math.nan
    values = {
        "ssim": np.array([0.8, nan, 0.6]),
        "mse": np.array([0.1, nan, 0.2]),
        "psnr": np.array([nan, nan, 20.0]),
        "lpips": np.array([0.5, nan, 0.3]),
        "ncc": np.array([nan, 0.5, 0.1, nan]),
    }
    row = statistics(values, "_controls")
    assert row["ssim_median_controls"] == pytest.approx(0.6)
    assert row["ssim_mean_controls"] == pytest.approx(1.4 / 3)
    assert row["mse_mean_controls"] == pytest.approx(1.3 / 3)
    assert row["psnr_median_controls"] is None, "more than half are missing"
    assert row["lpips_median_controls"] == pytest.approx(0.5)
    assert row["ncc_median_controls"] is None, "one of the two in the middle is missing"
    assert statistics({"lpips": None})["lpips_median"] is None


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("raise ZeroDivisionError('no')", "ZeroDivisionError: no"),
        ("return (a - b).abs().mean()", "shape ()"),
        ("return (a - b).abs()", "shape (4, 1, 8, 8)"),
        ("return 0.5", "float"),
        ("return torch.full((len(a),), float('nan'))", "4 of 4 are NaN or infinite"),
    ],
)
def test_a_metric_that_gives_no_numbers_is_named(tmp_path, body, says):
    cls = plugin(tmp_path, body=body)
    with pytest.raises(BenchError, match="metric 'mine'") as caught:
        measure(torch.rand(4, 1, 8, 8), torch.rand(4, 1, 8, 8))
    assert says in str(caught.value)
    assert [o for o in check_metric(cls) if not o.ok]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"range": "(1.0, 0.0)"}, "range"),
        ({"range": "'[0, 1]'"}, "range"),
        ({"better": "bigger"}, "better"),
        ({"statistics": "('mode',)"}, "statistics"),
        ({"name": "label"}, "a column that is there already"),
        ({"name": "auc", "statistics": "()"}, None),  # a column of scores, which is not asked for
    ],
)
def test_literals_that_make_no_column_are_refused(tmp_path, changes, says):
    cls = plugin(tmp_path, **changes)
    if says is None:
        columns("images"), columns("scores")
        return
    with pytest.raises(BenchError, match=says):
        columns("images")
    [outcome] = [o for o in check_metric(cls) if not o.ok]
    assert says in outcome.detail


@pytest.mark.parametrize(
    ("changes", "test"),
    [
        ({"better": "higher"}, "equal images"),
        ({"range": (0.5, 1.0)}, "inside its range"),
        ({"body": "return (a - b).abs().flatten(1).amax(1) / len(a)"}, "alone"),
        ({"body": "d = (a - b).abs().flatten(1).amax(1); b.zero_(); return d"}, "as they were"),
        ({"body": "return (a - b).abs().flatten(1).amax(1) * (1 + 0 * torch.rand(1))"}, "as they were"),
    ],
)
def test_check_finds_a_metric_that_breaks_its_contract(tmp_path, changes, test):
    failed = [o.name for o in check_metric(plugin(tmp_path, **changes)) if not o.ok]
    assert any(test in name for name in failed), failed
