"""Libraries that the interpreter finds by PYTHONPATH alone, as on clusters, are found by processes of attacks, too."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from bench.apart import sandbox

ROOT = Path(__file__).resolve().parent.parent.parent
WORDS = ["--grid", "quick", "--seeds", "0", "--set", "dataset=photo_tiles", "--set", "epochs=40", "--attack", "mean_image"]


@pytest.mark.parametrize("walls", ["none", "bwrap"])
def test_libraries_that_only_pythonpath_names(walls: str, tmp_path: Path) -> None:
    if walls == "bwrap" and (why := sandbox.works()):
        pytest.skip(why)
    venv.create(tmp_path / "bare", symlinks=True)
    libraries = [entry for entry in sys.path if entry.endswith("-packages")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *libraries]), "RECONBENCH_HOME": str(tmp_path / "home")}
    words = ["run", *WORDS, "--sandbox", walls, "--out", str(tmp_path / "out"), "--json"]
    python = str(tmp_path / "bare" / "bin" / "python")
    assert subprocess.run([python, "-c", "import pydantic"], capture_output=True, check=False).returncode, "the environment is not bare"
    done = subprocess.run([python, "-m", "bench", *words], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["cells"]["ok"] == 1, done.stderr
    shutil.rmtree(tmp_path / "bare")
