"""The command line, called in this process."""

from __future__ import annotations

import pytest

from bench.cli import main


@pytest.fixture
def bench(capsys, tmp_path, monkeypatch):
    """Runs a command in this process: (exit code, stdout, stderr). Results go to the test's folder."""
    monkeypatch.delenv("BENCH_DATA", raising=False)
    monkeypatch.delenv("RECONBENCH_DEBUG", raising=False)
    (tmp_path / "clone").mkdir()
    (tmp_path / "clone" / "pyproject.toml").touch()
    monkeypatch.setattr("bench.cli.folders.PROJECT", tmp_path / "clone")

    def call(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    return call
