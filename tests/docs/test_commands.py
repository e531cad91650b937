"""Every command line of the documents is planned as it stands, and run at its smallest.

``SMALLEST`` says how, line by line: a line that it does not have fails, and so does one that no page has any more.
"""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from test_examples import EXAMPLES, GUIDES, ROOT, blocks, write
from tiny_grid import clean_registry, write_plugin  # noqa: F401

from bench.cli import folders, main

pytestmark = pytest.mark.usefixtures("clean_registry")
PAGES = ("README.md", "CONTRIBUTING.md", *GUIDES)

AS_IT_IS = ""
PLANNED = None  # nothing smaller is left to run here: it needs a network or a cluster, and other tests run what it does
TINY = "--set n_per_class=2 --set epochs=5 --limit 1"
CONTROL = f"{TINY} --attack mean_image"
INFORMED = "--set epochs=5 --limit 1 --attack nearest_shadow"  # 100 networks a cell, which only differ in one image
THEFT = "--set epochs=1 --limit 1 --attack clean_model"
AUDIT = "--attack haim_kkt --param steps=2 --device cpu"

# line → words that are added so that it takes seconds
SMALLEST: dict[str, str | None] = {
    "ls": AS_IT_IS,
    "info haim_kkt": AS_IT_IS,
    "info depth.yaml": AS_IT_IS,
    "doctor": AS_IT_IS,
    "site": AS_IT_IS,
    "run --grid quick --dry-run": AS_IT_IS,
    "run --grid depth.yaml --dry-run": AS_IT_IS,
    "run --grid activations": CONTROL,
    "run --grid quick --attack haim_kkt --attack heldout_images --seeds 0-2": "--set n_per_class=2 --set epochs=5 --limit 2",
    "run --grid quick --set n_per_class=20 --set activation=leaky_relu": f"{TINY} --attack mean_image",
    "run --grid quick --set model=cnn --set 'channels=[8,16]' --set pooling=max": CONTROL,
    "run --grid haim2022 --runs 100": "--runs 2 --attack haim_kkt --set n_per_class=2 --set 'hidden=[8]' --set epochs=5 --limit 2",
    "run --grid buzaglo2023 --scale full": CONTROL + " --set hidden=[8]",
    "run --grid activations -j 4 --timeout 10m": CONTROL + " -j 2",
    "run --grid weight_decay --retry failed": CONTROL,
    "run --grid mnemonist": INFORMED,
    "run --grid stealing": THEFT,
    "run --grid stealing --scale medium": THEFT,
    "run --grid boost": THEFT,
    "run --grid boost --scale mnist": THEFT + " --set n_per_class=10",
    "run --grid mechanism": THEFT,
    "run --grid watermark": CONTROL,
    "run --grid my_grid.yaml --json": CONTROL,
    "run --grid race.yaml --device cpu": CONTROL,
    "run --grid real_data": CONTROL,
    "run --grid quick --set dataset=cifar10": CONTROL,
    "run --grid quick --set dataset=folder:my_images": CONTROL,
    "run --grid quick --set dataset=parquet:my_images.parquet": CONTROL,
    "run --grid activations --executor ray": PLANNED,
    "run --grid activations --executor ray --address head:6379 --timeout 30m": PLANNED,
    "run --grid quick --executor ray --address auto --gpus-per-worker 0.25 -j 8": PLANNED,
    'run --grid haim2022 --scale full --executor ray --address "$head:6379" --timeout 2h': PLANNED,
    'run --grid activations --seeds "$SLURM_ARRAY_TASK_ID" --out "$RECONBENCH_STORE/results"': CONTROL,
    "run --grid quick --plugin my_attack.py": "--set n_per_class=2 --set epochs=5 --seeds 0 --attack my_attack --limit 1",
    "run --grid quick --plugin my_attack.py --sandbox auto": "--set n_per_class=2 --set epochs=5 --seeds 0 --attack my_attack --limit 1",
    "run --grid quick --plugin gratings.py --set dataset=gratings --seeds 0": CONTROL,
    "run --grid quick --plugin row_ica.py --attack row_ica --attack mean_image --seeds 0-2": "--set n_per_class=2 --set epochs=5 --limit 2",
    "run --grid stealing --plugin distill.py --attack distill --attack steal_logits --attack clean_model --seeds 0": f"{THEFT} --seeds 0",
    "run --grid pixel_noise.yaml --plugin pixel_noise.py": CONTROL,
    "run --grid quick --plugin mae.py --attack mean_image --seeds 0 --out trial": TINY,
    "verify --grid quick": "--set n_per_class=2 --set epochs=5 --set dataset=lfw_faces --seeds 0 --attack haim_kkt",
    "verify --grid quick --plugin my_attack.py --seeds 0-4": "--set n_per_class=2 --set epochs=5 --set dataset=lfw_faces --seeds 0",
    'submit my_attack.py --by "Jane Doe" --contact jane@example.org --licence MIT': PLANNED,  # tests/verify/test_submissions.py
    "verify results/submissions/my_attack": PLANNED,
    "score --grid quick": AS_IT_IS,
    "score --grid quick --plugin mae.py --out trial": AS_IT_IS,
    "score --reconstructions x.pth --dataset cifar10 --set n_per_class=250": "--set n_per_class=2",
    "score --reconstructions 50000_x.pth --dataset cifar10 --set n_per_class=250 --set classes=binary --seed 0": "--set n_per_class=2",
    "score --reconstructions 50000_x.pth --members my_images --controls other_images --out scored": AS_IT_IS,
    "audit weights.pth --members my_images --controls other_images": AUDIT,
    "audit weights.pth --members my_images --dataset cifar10 --runs 20": AUDIT + " --runs 2",
    "audit weights.pth --members my_images --controls other_images --fail-above 0.05": AUDIT + " --fail-above 1",
    "audit weights.pth --members my_images --controls other_images --mean imagenet --initial weights0.pth": PLANNED,
    "audit weights.pth --model my_code.networks:ResNet --members my_images --controls other_images": PLANNED,
    "report": AS_IT_IS,
    "claims": AS_IT_IS,
    "merge ../other/.reconbench --into results --on-conflict refuse": AS_IT_IS,
    "merge stores/0 stores/1 stores/2 --into results": AS_IT_IS,
    "merge s3://bucket/prefix --into results": PLANNED,
    "check haim_kkt": AS_IT_IS,
    "check my_attack.py": AS_IT_IS,
    "check gratings.py": AS_IT_IS,
    "check mae.py": AS_IT_IS,
    "check row_ica.py": AS_IT_IS,
    "check distill.py": AS_IT_IS,
    "check pixel_noise.py": AS_IT_IS,
    "ridge --dataset photo_tiles": AS_IT_IS,
    "anatomy --dataset photo_tiles": "--activation relu",
    "fetch lpips cifar10": PLANNED,
}
# what is no command of this program: make and pytest run elsewhere, the rest is a cluster's
OTHERS = ("git add ", "make ", "export ", "ray ", "source ", "srun ", "until ", "head=$(", ".venv/bin/python -m pytest ")
SHELL = {"$SLURM_ARRAY_TASK_ID": "0", "$head": "head", "$RECONBENCH_STORE": "stores/0"}


def lines() -> list[str]:
    """What stands behind ``python -m bench`` in the shell examples, each once."""
    found = [
        line.partition("#")[0].strip()
        for page in PAGES
        for block in blocks(page)
        if block.language == "sh"
        for line in block.text.splitlines()
    ]
    strange = [line for line in found if line and not line.startswith(("python -m bench ", *OTHERS))]
    assert not strange, "a new kind of command needs a test of its own"
    return list(dict.fromkeys(line.removeprefix("python -m bench ") for line in found if line.startswith("python -m bench ")))


def words(line: str) -> list[str]:
    for name, value in SHELL.items():
        line = line.replace(name, value)
    return shlex.split(line)


def png(image: np.ndarray) -> bytes:
    import io

    file = io.BytesIO()
    Image.fromarray(image).save(file, format="PNG")
    return file.getvalue()


def parquet(path: Path, count: int, side: int, channels: int, column: str = "img") -> None:
    draw = np.random.default_rng(len(str(path)))
    shape = (side, side, 3) if channels == 3 else (side, side)
    images = [{"bytes": png(draw.integers(0, 256, shape, dtype=np.uint8)), "path": None} for _ in range(count)]
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame({column: images, "label": [i % 10 for i in range(count)]}).to_parquet(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where the reader of the documents stands: the files that the commands name, and rows of a run."""
    here = tmp_path_factory.mktemp("reader") / "clone"
    here.mkdir()
    (here / "pyproject.toml").touch()
    for name in EXAMPLES:
        write(name, here)
    write_plugin(here, "my_attack", "return release.mean_image.expand(2, *release.mean_image.shape).clone()")
    (here / "my_grid.yaml").write_text(
        (ROOT / "bench/grids/quick.yaml").read_text(encoding="utf-8").replace("name: quick", "name: my_grid")
    )
    for name, channels, side in (("cifar10", 3, 32), ("mnist", 1, 28)):
        parquet(here / "data" / name / "train.parquet", 1000, side, channels)
        parquet(here / "data" / name / "test.parquet", 200, side, channels)
    parquet(here / "my_images.parquet", 60, 8, 1)
    draw = np.random.default_rng(0)
    for images in ("my_images", "other_images"):
        for label in ("cats", "dogs"):
            (here / images / label).mkdir(parents=True)
            for k in range(16):
                (here / images / label / f"{k}.png").write_bytes(png(draw.integers(0, 256, (32, 32, 3), dtype=np.uint8)))
    torch.manual_seed(0)
    torch.save(
        {"layers.0.weight": torch.randn(8, 3072), "layers.0.bias": torch.randn(8), "layers.1.weight": torch.randn(1, 8)},
        here / "weights.pth",
    )
    for name in ("x.pth", "50000_x.pth"):
        torch.save(torch.rand(8, 3, 32, 32), here / name)
    quick = ["run", "--grid", "quick", *words(CONTROL), "--attack", "heldout_images", "--limit", "2", "--set", "dataset=lfw_faces"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        patch.setattr(folders, "PROJECT", here)
        for store, seed in (("home", "0"), ("../other/.reconbench", "1"), ("stores/0", "0"), ("stores/1", "1"), ("stores/2", "2")):
            patch.setenv("RECONBENCH_HOME", str((here / store).resolve()))
            assert main([*quick, "--seeds", seed, "--out", "results" if store == "home" else str(here / store / "results")]) == 0
    return here


@pytest.fixture
def reader(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(folders, "PROJECT", folder)
    shutil.copytree(folder / "home", tmp_path / "home", symlinks=True)
    monkeypatch.setenv("RECONBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("BENCH_DATA", str(folder / "data"))
    return folder


@pytest.fixture
def hurried(monkeypatch):
    """What no option shortens: the steps of a grid's attacks, and the studies of ``anatomy``."""
    from bench import anatomy
    from bench.anatomy import dynamics, portrait
    from bench.engine import prepare

    def few(spec, cls):
        steps = {"steps": 5} if "steps" in prepare.hyperparameters(cls) - set(spec.params) else {}
        return [{**draw, **steps} for draw in drawn(spec, cls)]

    drawn = prepare.draws
    monkeypatch.setattr(prepare, "draws", few)
    monkeypatch.setattr(anatomy, "SEEDS", 1)
    monkeypatch.setattr(dynamics, "MARKS", 5)
    monkeypatch.setattr(dynamics, "KKT", {**dynamics.KKT, "hidden": (30,), "n_per_class": 3, "epochs": 40, "lr": 0.1})
    monkeypatch.setattr(dynamics, "FEW", {**dynamics.FEW, "hidden": (6,), "n_per_class": 4})
    monkeypatch.setattr(dynamics, "INFORMED", {**dynamics.INFORMED, "epochs": 12, "stop_loss": 0.0})
    monkeypatch.setattr(portrait, "SHADOWS", 40)


def test_the_table_has_every_command_and_no_other():
    assert set(lines()) == set(SMALLEST)


@pytest.mark.parametrize("line", [line for line in SMALLEST if line.startswith("run ")])
def test_every_run_is_planned_as_it_stands(line, reader, capsys):
    if "ray" in line:
        pytest.importorskip("ray")
    code = main([*words(line), "--dry-run"])
    out, err = capsys.readouterr()
    assert code == 0, err
    assert "cells" in out


@pytest.mark.parametrize("line", [line for line, more in SMALLEST.items() if more is not None])
def test_every_command_runs_at_its_smallest(line, reader, hurried, capsys):
    more = words(SMALLEST[line] or "")
    fresh = line.startswith("run ") and "--dry-run" not in line
    asked = [*words(line), *more, *(["--json"] if fresh and "--json" not in line else [])]
    code = main(asked)
    out, err = capsys.readouterr()
    assert code == (2 if line.startswith(("audit ", "verify ")) else 0), (
        err
    )  # weights of chance are no KKT point, one seed is too few: open
    assert out
    if fresh:
        cells = json.loads(out)["cells"]
        assert cells["ok"] + cells["cached"] == cells["total"] >= 1, err
