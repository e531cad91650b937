"""Pictures come out the same wherever the program is started: from a notebook, without a screen, under settings of a person."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import fake
import pytest

from bench.store import publish

ROOT = Path(__file__).resolve().parents[2]
INLINE = "module://matplotlib_inline.backend_inline"  # what Jupyter and Colab set, for every process that a cell starts


def python(*words: object, cwd: Path, **env: str) -> subprocess.CompletedProcess:
    """A fresh Python, in which matplotlib is yet to be imported."""
    env = {**{k: v for k, v in os.environ.items() if k != "MPLBACKEND"}, "PYTHONPATH": str(ROOT), **env}
    return subprocess.run([sys.executable, *map(str, words)], cwd=cwd, env=env, capture_output=True, encoding="utf-8", timeout=300)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A results folder, with the pictures that an ordinary process draws."""
    rows, images = fake.grid("quick", "dataset", ["lfw_faces", "photo_tiles"], {"haim_kkt": [0.6, 0.5], "mean_image": [0.05, 0.05]})
    folder = tmp_path_factory.mktemp("canvas")
    publish(rows, images, folder / "results")
    done = python("-m", "bench", "report", "--out", folder / "results", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "results"


def pictures(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "figures").glob("*.png")}


@pytest.mark.parametrize("backend", [INLINE, "nonsense", "TkAgg", ""])
@pytest.mark.parametrize("settings", ["backend: nonsense\ntext.usetex: True\nfont.size: 30\nsavefig.dpi: 10\n", ""])
def test_a_report_is_the_same_whatever_the_surroundings(results, tmp_path, backend, settings):
    (tmp_path / "matplotlibrc").write_text(settings, encoding="utf-8")
    (tmp_path / "file").touch()
    wanted = pictures(results)
    assert len(wanted) >= 3
    for path in (results / "figures").glob("*.png"):
        path.unlink()
    done = python("-m", "bench", "report", "--out", results, cwd=tmp_path, MPLBACKEND=backend, MPLCONFIGDIR=str(tmp_path / "file"))
    assert done.returncode == 0, done.stderr
    assert pictures(results) == wanted


def test_a_matplotlibrc_that_is_no_text_is_named(results, tmp_path):
    (tmp_path / "matplotlibrc").write_bytes(b"\xff\xfe\x00")
    done = python("-m", "bench", "report", "--out", results, cwd=tmp_path)
    assert (done.returncode, "matplotlib does not start" in done.stderr, "move away the matplotlibrc" in done.stderr) == (1, True, True)


DRAWN = {
    "anatomy": "import numpy as np\nfrom bench.anatomy.portrait import _diverging\nassert _diverging(np.eye(2)).shape == (2, 2, 3)",
    "growth": "from tests.perf.clock import Samples\nfrom tests.perf.growth import Axis, picture\n"
    "one = Samples((1.0,), 'step')\nassert picture([Axis('width', (1, 2), (one, one), (one, one))]).startswith(b'\\x89PNG')",
    "optimisers": "from tests.perf.optimisers import picture\nassert picture([], 0.5).startswith(b'\\x89PNG')",
}


@pytest.mark.parametrize("name", DRAWN)
def test_every_other_picture_too(tmp_path, name):
    done = python("-c", DRAWN[name], cwd=tmp_path, MPLBACKEND=INLINE)
    assert done.returncode == 0, done.stderr


def test_the_asked_for_backend_is_kept_for_whoever_draws_on_a_screen(tmp_path):
    code = (
        "import os, sys\nfrom bench.report.kit.canvas import matplotlib\n"
        "assert 'matplotlib' not in sys.modules\nassert matplotlib() is sys.modules['matplotlib']\n"
        "print(matplotlib().rcParams._get('backend'), os.environ['MPLBACKEND'])"
    )
    for backend, kept in (("svg", "svg svg"), ("nonsense", " nonsense")):
        done = python("-c", code, cwd=tmp_path, MPLBACKEND=backend)
        assert (done.returncode, kept in done.stdout) == (0, True), done.stderr
