"""The workflow of the repository: it parses, every command in it exists, and what a pull request brings can write nothing."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.cli import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
PATH = ROOT / ".github" / "workflows" / "ci.yml"
SCRIPT = ROOT / ".ci" / "submissions"
ELSEWHERE = ("sudo apt-get ", "sudo sysctl ", "git config ", "echo ")  # of the machine, not of this project


@pytest.fixture(scope="module")
def workflow() -> dict[Any, Any]:
    return yaml.safe_load(PATH.read_text(encoding="utf-8"))


def commands(workflow: dict[Any, Any]) -> list[str]:
    """Every command line of every job."""
    runs = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    return [part.strip() for text in runs for line in text.splitlines() for part in re.split(r"\|\||&&|>>", line) if part.strip()]


def test_every_command_in_it_exists(workflow):
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    seen = set()
    for line in commands(workflow):
        if line.startswith((*ELSEWHERE, '"$')):
            continue
        program, *words = line.split()
        if program == "make":
            if words == ["site"] and "site" not in COMMANDS:
                pytest.skip("there is no command `site` yet")
            assert words[0] in targets, line
        elif program.startswith(".ci/"):
            assert (ROOT / program).stat().st_mode & stat.S_IXUSR, line
        else:
            assert (program, *words[:2]) == (".venv/bin/python", "-m", "bench"), line
            assert words[2] in COMMANDS, line
        seen.add(program)
    assert seen == {"make", ".ci/run", ".ci/submissions", ".venv/bin/python"}


def test_what_a_pull_request_brings_has_no_rights_and_no_secret(workflow):
    text = PATH.read_text(encoding="utf-8")
    assert set(workflow[True]) == {"push", "pull_request"}  # YAML 1.1 reads `on` as true
    assert workflow["permissions"] == {"contents": "read"}
    assert "secrets." not in text
    for name, job in workflow["jobs"].items():
        rights = job.get("permissions", workflow["permissions"])
        if set(rights.values()) != {"read"}:
            others = [workflow["jobs"][other] for other in [name, job["needs"]]]
            assert any(one.get("if") == "github.event_name == 'push'" for one in others), f"{name} may write in a pull request"
        for step in job["steps"]:
            assert "${{" not in step.get("run", ""), f"{name}: what a stranger names must not become a command"
            if step.get("uses", "").startswith("actions/checkout"):
                assert step["with"]["persist-credentials"] is False, name


def test_the_judge_of_a_submission_is_that_of_the_base(workflow):
    own, theirs = [step["with"] for step in workflow["jobs"]["submission"]["steps"] if "checkout" in step.get("uses", "")]
    assert own["ref"] == "${{ github.event.pull_request.base.sha }}"
    assert "path" not in own
    assert theirs["path"] == "theirs"


@pytest.fixture
def trees(tmp_path: Path) -> Path:
    """Two checkouts: ours with the script and one submission, theirs with the same. `ours/python` notes what it is to verify."""
    ours = tmp_path / "ours"
    (ours / ".ci").mkdir(parents=True)
    shutil.copy(SCRIPT, ours / ".ci")
    stub = ours / "python"
    stub.write_text('#!/bin/sh\necho "$@" >> "$NOTED"\ntest ! -e "$4/bad"\n')
    stub.chmod(0o755)
    old = ours / "results" / "submissions" / "old"
    old.mkdir(parents=True)
    (old / "submission.json").write_text("{}")
    shutil.copytree(ours / "results", tmp_path / "theirs" / "results")
    return tmp_path


def script(trees: Path, what: str) -> tuple[int, str, list[str]]:
    """The exit code, what it prints, and the folders that are verified."""
    noted = trees / "noted"
    env = {**os.environ, "PYTHON": "./python", "NOTED": str(noted)}
    words = [str(trees / "ours" / ".ci" / "submissions"), what, str(trees / "theirs")]
    done = subprocess.run(words, capture_output=True, text=True, env=env, timeout=60)
    lines = noted.read_text().splitlines() if noted.exists() else []
    assert all(line.endswith(" --sandbox bwrap --out .reconbench/verdicts") for line in lines)
    return done.returncode, done.stdout.strip(), [line.split()[3] for line in lines]


def test_a_pull_request_without_submissions_verifies_nothing(trees):
    assert script(trees, "list") == (0, "any=no", [])
    shutil.rmtree(trees / "theirs" / "results")
    assert script(trees, "list") == (0, "any=no", [])
    assert script(trees, "verify") == (0, "", [])


def test_added_and_changed_submissions_are_verified_and_one_that_fails_fails_all(trees):
    new = trees / "theirs" / "results" / "submissions" / "new"
    new.mkdir()
    (new / "submission.json").write_text("{}")
    assert script(trees, "list") == (0, "any=yes", [])
    assert script(trees, "verify") == (0, "", ["./results/submissions/new"])
    (trees / "theirs" / "results" / "submissions" / "old" / "bad").touch()
    (trees / "noted").unlink()
    (new / "more").touch()
    assert script(trees, "verify") == (1, "", ["./results/submissions/new", "./results/submissions/old"])


def test_links_stay_links_and_a_folder_that_is_one_is_not_followed(trees):
    secret = trees / "secret"
    secret.mkdir()
    (secret / "file").write_text("secret")
    folder = trees / "theirs" / "results" / "submissions"
    (folder / "link").symlink_to(secret)
    assert script(trees, "verify")[2] == ["./results/submissions/link"]
    assert (trees / "ours" / "results" / "submissions" / "link").is_symlink()
    shutil.rmtree(trees / "theirs" / "results" / "submissions")
    folder.symlink_to(secret)
    assert script(trees, "list") == (0, "any=no", ["./results/submissions/link"])
