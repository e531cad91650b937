"""Images of one's own on the command line: what is ambiguous ends in one message and exit code 1, and copies are found."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image


def pictures(n: int, seed: int = 0) -> np.ndarray:
    """Black and white squares, n × 16 × 16."""
    squares = np.random.default_rng(seed).integers(0, 2, (n, 4, 4))
    return np.kron(squares, np.ones((4, 4), dtype=np.int64))


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64])
def test_perfect_copies_of_black_and_white_members_are_found(bench, tmp_path, dtype):
    members = pictures(10)
    np.savez(tmp_path / "members.npz", images=members.astype(dtype))
    np.savez(tmp_path / "controls.npz", images=pictures(10, 1).astype(dtype))
    np.save(tmp_path / "x.npy", members[:, None].astype(np.float32))
    code, out, err = bench(
        "score", "--reconstructions", tmp_path / "x.npy", "--members", tmp_path / "members.npz", "--controls", tmp_path / "controls.npz"
    )
    assert code == 0, err
    assert "x.npy: 10 of 10 members" in out


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ([{"id": i % 2} for i in range(12)], "struct<id: int64>"),
        ([[1.0] * (1 + i % 2) for i in range(12)], "list<element: double>"),
        ([float("nan"), *([0.0, 1.0] * 6)][:12], "row 0 of column 'label'"),
    ],
)
def test_labels_that_are_no_classes_are_one_message(bench, tmp_path, labels, says):
    encoded = []
    for image in pictures(12):
        file = io.BytesIO()
        Image.fromarray((image * 255).astype(np.uint8)).save(file, "PNG")
        encoded.append(file.getvalue())
    pq.write_table(pa.table({"image": encoded, "label": labels}), tmp_path / "mine.parquet")
    np.save(tmp_path / "x.npy", pictures(4))
    code, out, err = bench(
        "score", "--reconstructions", tmp_path / "x.npy", "--dataset", f"parquet:{tmp_path / 'mine.parquet'}", "--set", "n_per_class=2"
    )
    assert code == 1, out + err
    assert says in out + err
    assert "Traceback" not in out + err
