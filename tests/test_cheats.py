"""The cheats are real: short, sound by the contract of a plug-in, and without a defence above every honest attack."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cheats import CHEATS, write

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("name", CHEATS)
def test_a_cheat_is_short_and_keeps_the_contract_of_a_plug_in(name, tmp_path):
    path = write(tmp_path, name)
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 35
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")).body[-1])
    # in a process of its own: one of them replaces the scorer as soon as it is imported
    words = [sys.executable, "-m", "bench", "check", str(path)]
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all passed" in done.stdout


# recalls of members and controls where attack and scorer share a process: of the attacks in these files, and of an honest control
ALONE = """
import json, sys
from bench import registry, seeds
from bench.api import Setting
from bench.engine.batch import judge
from bench.tracks.reconstruction import work
from bench.tracks.reconstruction.targets import obtain

attacks = [*(registry.load_plugin(path)[0].cls for path in sys.argv[1:]), registry.get("attack", "mean_image")]
found = {}
for dataset in ("lfw_faces", "photo_tiles"):
    target = obtain([Setting(dataset=dataset, n_per_class=3, hidden=(8,), epochs=5, seed=1)], None)[0]
    for attack in attacks:
        release = work.narrow(target.release, attack.needs)
        answer = attack().reconstruct(release, seeds.generator("test"))
        row, _ = judge("0" * 16, work.rounded(work.check_answer(answer, release)), target.secret)
        found.setdefault(attack.name, []).append([row["recall_members"], row["recall_controls"]])
print(json.dumps(found))
"""


def recalls(*files: Path) -> dict[str, list[list[float]]]:
    """By attack, for faces and for tiles."""
    words = [sys.executable, "-c", ALONE, *map(str, files)]
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=280)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_without_a_defence_the_cheats_find_every_member(tmp_path):
    found = recalls(*(write(tmp_path, name) for name in CHEATS if name != "scorer"))
    honest = found.pop("mean_image")
    assert max(member for member, _ in honest) < 1
    assert {name: [member for member, _ in sets] for name, sets in found.items()} == {n: [1, 1] for n in CHEATS if n != "scorer"}


def test_without_a_defence_a_replaced_scorer_lets_no_other_attack_win(tmp_path):
    found = recalls(write(tmp_path, "scorer"))
    assert [member for member, _ in found["scorer"]] == [1, 1]
    assert found["mean_image"] == [[0, 0], [0, 0]]
