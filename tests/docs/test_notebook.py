"""The notebook of the results runs from its first cell to its last, and what it shows is there; it is kept without outputs."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "results" / "explore.ipynb"


def test_it_is_kept_without_outputs():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")] == []
    assert len(cells) >= 6


@pytest.mark.slow
def test_it_runs(monkeypatch):
    nbformat = pytest.importorskip("nbformat", reason="no nbformat here: pip install -e '.[dev]'")
    nbclient = pytest.importorskip("nbclient", reason="no nbclient here: pip install -e '.[dev]'")
    pytest.importorskip("ipykernel", reason="no ipykernel here: pip install -e '.[dev]'")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    book = nbformat.read(NOTEBOOK, as_version=4)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    nbclient.NotebookClient(book, timeout=280, kernel_name="python3", resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert 1 < after.ru_utime - before.ru_utime < 60, "seconds of a processor: less than a minute"
    outputs = [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2, "the plot and the pictures"
    last = [output["data"]["text/plain"] for output in book.cells[-1].outputs if "data" in output][-1]
    here, published = (next(line.split() for line in last.splitlines() if line.startswith(name)) for name in ("here", "published"))
    assert here[2:5] == published[2:5] == ["haim_kkt", "lfw_faces", "0"]
    assert abs(float(here[-1]) - float(published[-1])) < 0.3
