"""The quick grid's smallest cell, for real: a network trained on embedded faces, attacked by its KKT conditions, its rows published."""

from __future__ import annotations

import json

import yaml

from bench.cli import main
from bench.grids.read import builtin
from bench.grids.syntax import parse
from bench.store import load_results


def test_the_quick_grids_smallest_cell(tmp_path, capsys):
    path = builtin()["quick"]
    smallest = parse(path.read_text(), str(path))[0]["smallest"]
    words = ["run", "--grid", "quick", "--seeds", "0", "--limit", "2", "--device", "cpu", "--json", "--out", str(tmp_path)]
    for field, value in smallest.items():
        words += ["--set", f"{field}={yaml.safe_dump(value, default_flow_style=True).splitlines()[0]}"]
    assert main(words) == 0, capsys.readouterr().err
    assert json.loads(capsys.readouterr().out)["cells"]["ok"] == 2
    scores, images = load_results(tmp_path)
    row = scores[scores["attack"] == "haim_kkt"].iloc[0]
    assert row["status"] == "ok"
    assert row["train_accuracy"] == 1.0  # it has been trained
    assert 0 <= row["kkt_residual"] < 0.9  # towards a KKT point
    assert row["n_members"] == row["n_controls"] == 2 * row["n_per_class"]
    mine = images[images["cell_id"] == row["cell_id"]].assign(ssim=images["ssim"].fillna(0)).groupby("split")["ssim"].mean()
    assert mine["member"] > mine["control"]  # and what comes back is nearer to the members
    assert (tmp_path / "quick.md").read_text().count("haim_kkt") > 0
