"""`verify` on a grid that takes seconds: honest attacks stay, cheats are flagged, and the salt is nowhere."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cheats
import pytest
from tiny_grid import clean_registry, write_plugin  # noqa: F401

from bench.cli import main
from bench.data.blind import SALT
from bench.store import Store, has_results
from bench.store.verified import load_verified

pytestmark = pytest.mark.usefixtures("clean_registry")
ROOT = Path(__file__).resolve().parent.parent.parent
TOGETHER = ["--sandbox", "off"]  # attacks and judge in one process
SECRET = "nobody-guesses-7319-this"

GRID = """
name: small
title: Small
question: Does verification work?
base: {{hidden: [8], epochs: 5, n_per_class: 5}}
axes: {{dataset: [{datasets}]}}
seeds: {seeds}
attacks: [mean_image, {attacks}]
"""


@pytest.fixture
def bench(capsys, tmp_path, monkeypatch):
    """Runs a command in this process: (exit code, stdout, stderr). There is nothing published."""
    (tmp_path / "clone").mkdir()
    (tmp_path / "clone" / "pyproject.toml").touch()
    monkeypatch.setattr("bench.cli.folders.PROJECT", tmp_path / "clone")
    monkeypatch.delenv(SALT, raising=False)

    def call(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    return call


def grid(folder: Path, attacks: str = "heldout_images", datasets: str = "lfw_faces", seeds: int = 2) -> Path:
    path = folder / "small.yaml"
    path.write_text(GRID.format(attacks=attacks, datasets=datasets, seeds=seeds))
    return path


def honest(folder: Path) -> Path:
    """An attack that finds nothing, wherever."""
    return write_plugin(folder, "honest", "return torch.rand(4, *release.mean_image.shape, generator=generator)")


def alone(*words: object, home: Path) -> subprocess.CompletedProcess:
    """A command in a process of its own, for plug-ins that change the process."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "RECONBENCH_HOME": str(home)}
    return subprocess.run([sys.executable, "-m", "bench", *map(str, words)], capture_output=True, text=True, env=env, timeout=280)


def test_an_honest_attack_is_verified_beside_controls_by_a_fresh_salt_each_time(bench, tmp_path, bench_home):
    words = ["verify", "--grid", grid(tmp_path), "--plugin", honest(tmp_path), "--out", tmp_path / "out"]
    code, text, err = bench(*words)
    assert code == 0, text + err
    assert "honest: verified" in text
    assert "mean_image (control)" in text
    (row,) = load_verified(tmp_path / "out")
    assert (row.attack, row.verdict, row.grid, row.seeds, row.headline) == ("honest", "verified", "small", "0 1", "excess_recall")
    assert json.loads(row.setting) == {"dataset": "lfw_faces", "epochs": 5, "hidden": [8], "n_per_class": 5}
    assert re.fullmatch("[0-9a-f]{16}", row.salt_digest)
    assert row.salt_digest in text
    assert float(row.difference) == pytest.approx(float(row.public) - float(row.blind))
    assert not (bench_home / "verify").exists(), "blind targets are gone"
    public = Store(bench_home / "rows").rows()  # those to compare with, which were lacking
    assert set(public["dataset"]) == {"lfw_faces"}
    assert set(public["attack"]) == {"honest"}
    assert not has_results(tmp_path / "out")

    code, text, err = bench(*words, "--json")
    assert code == 0, text + err
    said = json.loads(text)
    assert said["verdicts"] == {"honest": "verified"}
    assert "6 cells to run, 0 cached" in err, "no target is used twice"
    digests = [row.salt_digest for row in load_verified(tmp_path / "out")]
    assert len(set(digests)) == len(digests) == 2
    assert {row.salt_digest, said["salt_digest"]} == set(digests)


def test_cheats_that_know_the_public_images_are_flagged_and_harm_no_other(bench, tmp_path, monkeypatch):
    monkeypatch.setenv(SALT, SECRET)
    words = ["verify", "--grid", grid(tmp_path, datasets="lfw_faces, photo_tiles", seeds=4), "--out", tmp_path / "out"]
    for name in ("redraw", "pool"):
        words += ["--plugin", cheats.write(tmp_path, name)]
    code, text, _ = bench(*words, "--plugin", honest(tmp_path))
    assert code == 2
    found = {(row.attack, json.loads(row.setting)["dataset"]): row for row in load_verified(tmp_path / "out")}
    assert len(found) == 6
    for (name, dataset), row in found.items():
        assert row.verdict == ("verified" if name == "honest" else "flagged"), (name, dataset, row)
        if name != "honest":
            assert float(row.public) > 0.4
            assert float(row.blind) < 0.3
            assert "clearly worse on blind targets" in row.reason
    assert "redraw: flagged" in text
    assert "pool: flagged" in text


def test_a_replaced_scorer_does_not_reach_the_process_that_scores_again(tmp_path, monkeypatch):
    monkeypatch.setenv(SALT, SECRET)
    words = ["verify", "--grid", grid(tmp_path), "--out", tmp_path / "out", "--plugin", cheats.write(tmp_path, "scorer"), *TOGETHER]
    done = alone(*words, "--plugin", honest(tmp_path), home=tmp_path / "home")
    assert done.returncode == 2, done.stdout + done.stderr
    found = {row.attack: row for row in load_verified(tmp_path / "out")}
    assert found["scorer"].verdict == "flagged"
    assert "excess_recall was" in found["scorer"].reason
    assert "scored again" in found["scorer"].reason
    assert float(found["scorer"].blind) < 0.3, "the number is that of the fresh process"


def test_a_secret_on_the_heap_is_out_of_reach(tmp_path, monkeypatch):
    """The process of an attack has no secret, no scorer and no salt: neither in its objects nor in its environment."""
    monkeypatch.setenv(SALT, SECRET)
    words = ["verify", "--grid", grid(tmp_path), "--out", tmp_path / "out", "--plugin", cheats.write(tmp_path, "heap")]
    words += ["--plugin", cheats.write(tmp_path, "scorer"), "--sandbox", "auto"]
    done = alone(*words, "--plugin", _tells_environment(tmp_path), home=tmp_path / "home")
    found = {row.attack: row for row in load_verified(tmp_path / "out")}
    assert found["heap"].isolation in ("process", "bwrap"), done.stderr
    assert max(float(found[name].blind) for name in ("heap", "scorer")) < 0.3
    assert max(float(found[name].public) for name in ("heap", "scorer")) < 0.3
    assert found["tells"].verdict in ("verified", "open"), found["tells"].reason


def _tells_environment(folder: Path) -> Path:
    """An attack that fails where it finds a salt, when it is loaded, on blind targets or on public ones."""
    look = f"import os\nassert '{SALT}' not in os.environ\n"
    return write_plugin(folder, "tells", f"{look}return release.mean_image[None]", before=look)


def test_an_attack_is_given_no_salt_by_the_environment(bench, tmp_path, monkeypatch):
    monkeypatch.setenv(SALT, SECRET)
    _, text, err = bench("verify", "--grid", grid(tmp_path), "--plugin", _tells_environment(tmp_path))
    assert "0 failed" in err
    assert "tells: failed" not in text
    assert "AssertionError" not in text + err
    assert os.environ[SALT] == SECRET


def test_the_salt_is_in_no_file_and_in_nothing_printed(bench, tmp_path, bench_home, monkeypatch):
    monkeypatch.setenv(SALT, SECRET)
    bad = write_plugin(tmp_path, "bad", "raise ValueError(self.__dict__)")
    words = ["verify", "--grid", grid(tmp_path), "--plugin", bad, "--plugin", honest(tmp_path), "--keep"]
    code, text, err = bench(*words, "--out", tmp_path / "out", "-j", 2)
    assert code == 2
    assert "bad: failed" in text
    assert "honest: verified" in text
    folder = next((bench_home / "verify").iterdir())
    assert str(folder) in err
    assert {"rows", "targets", "reconstructions"} <= {path.name for path in folder.iterdir()}
    files = [path for top in (bench_home, tmp_path) for path in top.rglob("*") if path.is_file() and not path.is_symlink()]
    assert len(files) > 10
    for path in files:
        assert SECRET.encode() not in path.read_bytes(), path
    rows = Store(folder / "rows").rows()
    assert set(rows["dataset"]) == {"blind:lfw_faces"}
    assert SECRET not in rows.to_csv() + text + err


def test_one_salt_one_row_and_targets_of_its_own(bench, tmp_path, bench_home, monkeypatch):
    words = ["verify", "--grid", grid(tmp_path), "--plugin", honest(tmp_path), "--out", tmp_path / "out", "--keep"]
    for salt in (SECRET, SECRET, SECRET[::-1]):
        monkeypatch.setenv(SALT, salt)
        assert bench(*words)[0] == 0
    rows = load_verified(tmp_path / "out")
    assert len({row.salt_digest for row in rows}) == len(rows) == 2
    ids = [set(Store(folder / "rows").rows()["target_id"]) for folder in sorted((bench_home / "verify").iterdir())]
    assert len(ids) == 2
    assert not ids[0] & ids[1]
    assert {folder.name for folder in (bench_home / "verify").iterdir()} == {row.salt_digest for row in rows}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--set", "dataset=blind:lfw_faces"], "blind already"),
        (["--attack", "mean_image"], "there is no attack to verify"),
        (["-j", "0"], "--jobs 0: not understood"),
        (["--set", "dataset=folder:nowhere"], "is not here"),
        (["--timeout", "soon"], "--timeout soon: not understood"),
    ],
)
def test_what_cannot_be_verified_is_one_message(bench, tmp_path, words, said):
    code, _, err = bench("verify", "--grid", grid(tmp_path, "haim_kkt"), *words)
    assert code == 1
    assert said in err


def test_a_guessable_salt_is_refused_before_anything_runs(bench, tmp_path, bench_home, monkeypatch):
    monkeypatch.setenv(SALT, "password")
    code, _, err = bench("verify", "--grid", grid(tmp_path, "haim_kkt"))
    assert code == 1
    assert "easily guessed" in err
    assert "password" not in err
    assert not (bench_home / "verify").exists()
