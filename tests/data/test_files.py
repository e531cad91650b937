"""Sets read from files: Parquet copies, torchvision's files, folders; and what is said when they are missing or malformed."""

from __future__ import annotations

import io
import json
import os
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from bench.api import Setting
from bench.data import decoded as cache
from bench.data import torchvision_import
from bench.data.split import split
from bench.errors import BenchError
from bench.registry import resolve_data


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECONBENCH_HOME", str(tmp_path / "store"))
    monkeypatch.delenv("BENCH_DATA", raising=False)


def random_images(n: int, shape: tuple[int, ...] = (8, 8, 3), seed: int = 0) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8))


def encode(image: np.ndarray, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind)
    return buffer.getvalue()


def write_parquet(
    path: Path, images: Sequence[np.ndarray], labels: Sequence[object], *, kind: str = "PNG", column: str = "image", label: str = "label",
    names: Sequence[str] | None = None,
) -> None:  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table({column: [{"bytes": encode(image, kind), "path": None} for image in images], label: list(labels)})
    if names is not None:
        features = {"info": {"features": {label: {"names": list(names), "_type": "ClassLabel"}}}}
        table = table.replace_schema_metadata({b"huggingface": json.dumps(features).encode()})
    pq.write_table(table, path)


# --- local copies of the known sets


@pytest.mark.parametrize(("kind", "display"), [("PNG", "cifar10 (local copy)"), ("JPEG", "cifar10 (JPEG copy)")])
def test_a_parquet_copy_is_found_and_named_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, display: str) -> None:
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    train, test = random_images(60, (32, 32, 3)), random_images(60, (32, 32, 3), 1)
    write_parquet(tmp_path / "cifar10" / "train-00000.parquet", train[:40], [i % 10 for i in range(40)], kind=kind, column="img")
    write_parquet(tmp_path / "cifar10" / "train-00001.parquet", train[40:], [i % 10 for i in range(20)], kind=kind, column="img")
    write_parquet(tmp_path / "cifar10" / "test.parquet", test, [i % 10 for i in range(60)], kind=kind, column="img")
    source = resolve_data("cifar10")
    assert source.missing() == ""
    images = source.load()
    assert images.display == display
    assert images.name == "cifar10"
    assert images.images.shape == (60, 3, 32, 32)
    assert images.labels.tolist() == [i % 10 for i in range(40)] + [i % 10 for i in range(20)]
    assert images.binary == ("vehicle", "animal")
    assert {images.class_names[c] for c in images.positive} == {"bird", "cat", "deer", "dog", "frog", "horse"}
    if kind == "PNG":
        assert (images.images[7] == train[7].transpose(2, 0, 1)).all()
        result = split(images, Setting(dataset="cifar10", n_per_class=3))
        assert any(np.allclose(result.train[0], image.transpose(2, 0, 1) / 255) for image in train)


def test_the_digest_follows_the_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    images = random_images(20, (28, 28))
    path = tmp_path / "mnist" / "train.parquet"
    write_parquet(path, images, [i % 10 for i in range(20)])
    before = resolve_data("mnist").digest()
    write_parquet(path, images, [i % 10 for i in range(20)])
    assert resolve_data("mnist").digest() == before
    write_parquet(path, images, [(i + 1) % 10 for i in range(20)])
    assert resolve_data("mnist").digest() != before


def test_duplicates_are_dropped_within_and_across_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    images = random_images(30, (28, 28))
    write_parquet(tmp_path / "mnist" / "train.parquet", [*images[:20], images[3]], [i % 10 for i in range(21)])
    write_parquet(tmp_path / "mnist" / "test.parquet", [*images[20:], images[5], images[22]], [i % 10 for i in range(12)])
    loaded = resolve_data("mnist").load()
    assert len(loaded.images) == len(loaded.labels) == 20
    assert loaded.test_images is not None
    assert len(loaded.test_images) == 10


@pytest.mark.parametrize(
    ("name", "negative", "positive"),
    [
        ("mnist", {"0", "2", "4", "6", "8"}, {"1", "3", "5", "7", "9"}),
        ("fashion_mnist", {"t-shirt", "trouser", "pullover", "dress", "coat", "shirt"}, {"sandal", "sneaker", "bag", "ankle_boot"}),
    ],
)
def test_binary_tasks(name: str, negative: set[str], positive: set[str]) -> None:
    source = resolve_data(name)
    assert {source.class_names[c] for c in source.positive} == positive
    assert set(source.class_names) - positive == negative


def test_cifar100_classes_are_sorted_and_six_superclasses_are_made_by_people() -> None:
    source = resolve_data("cifar100")
    assert list(source.class_names) == sorted(source.class_names)
    assert len(source.class_names) == 100
    assert len(source.positive) == 30
    assert source.label_columns[0] == "fine_label"


def test_a_copy_that_holds_something_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    write_parquet(tmp_path / "mnist" / "train.parquet", random_images(4), [0, 1, 2, 3])
    with pytest.raises(BenchError, match="holds something else") as caught:
        resolve_data("mnist").load()
    assert caught.value.got.startswith("images 1×8×8")


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "mnist", "fashion_mnist"])
def test_a_missing_set_says_how_to_get_it_and_downloads_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.socket.connect", _no_network)
    source = resolve_data(name)
    assert f"python -m bench fetch {name}" in source.missing()
    for call in (source.digest, source.load):
        with pytest.raises(BenchError, match=f"'{name}' is not on this machine") as caught:
            call()
        assert f"python -m bench fetch {name}" in caught.value.hint
        assert "BENCH_DATA" in caught.value.hint
    assert len(source.image_shape()) == 3  # the planner asks before the data is there


def _no_network(*_: object) -> None:
    raise AssertionError("data sets must not open connections")


def test_torchvisions_files_are_read_where_there_is_no_parquet_copy(tmp_path: Path) -> None:
    raw = tmp_path / "store" / "datasets" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for prefix, n, seed in (("train", 30, 0), ("t10k", 20, 1)):
        pictures = np.stack(random_images(n, (28, 28), seed))
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 0x803, n, 28, 28) + pictures.tobytes())
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, n) + bytes(i % 10 for i in range(n)))
    source = resolve_data("mnist")
    assert source.missing() == ""
    images = source.load()
    assert images.display == "mnist"
    assert images.images.shape == (30, 1, 28, 28)
    assert (images.images[4, 0] == random_images(30, (28, 28))[4]).all()
    assert images.test_images is not None
    assert images.test_images.shape == (20, 1, 28, 28)
    (raw / "train-images-idx3-ubyte").write_bytes(b"broken")
    with pytest.raises(BenchError, match="torchvision cannot read its copy of mnist"):
        resolve_data("mnist").load()


COPIES = Path(os.environ.get("BENCH_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")


@pytest.mark.skipif(not (COPIES / "mnist").is_dir(), reason=f"no Parquet copy of MNIST in {COPIES}")
def test_the_real_mnist_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_DATA", str(COPIES))
    images = resolve_data("mnist").load()
    assert len(images.images) >= 5_000
    assert set(images.labels) == set(range(10))
    result = split(images, Setting(dataset="mnist", n_per_class=50))
    assert result.train.shape == (100, 1, 28, 28)
    assert len(result.public) == 5_000
    assert 1_900 <= len(result.test) <= 2_000
    assert 0.1 < result.train.mean() < 0.17  # the mean grey of MNIST is 0.131


@pytest.mark.skipif(not (COPIES / "cifar10").is_dir(), reason=f"no Parquet copy of CIFAR-10 in {COPIES}")
def test_the_real_cifar_copy_is_named_by_its_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_DATA", str(COPIES))
    source = resolve_data("cifar10")
    assert source.missing() == ""
    assert source.display() in ("cifar10 (JPEG copy)", "cifar10 (local copy)")
    assert len(source.digest()) == 16


# --- the import of torchvision


def test_torchvision_imports_whatever_its_build() -> None:
    assert hasattr(torchvision_import.torchvision_module("datasets"), "CIFAR10")
    assert hasattr(torchvision_import.torchvision_module("models"), "alexnet")


def test_operators_that_do_not_match_are_worked_around(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for name in [m for m in sys.modules if m == "torchvision" or m.startswith("torchvision.")]:
        monkeypatch.delitem(sys.modules, name)
    calls = []

    def fails_once(name: str) -> object:
        calls.append(name)
        if len(calls) == 1:
            raise RuntimeError("operator torchvision::nms does not exist")
        assert "torchvision._meta_registrations" in sys.modules
        return "the module"

    monkeypatch.setattr(torchvision_import.importlib, "import_module", fails_once)
    assert torchvision_import.torchvision_module("datasets") == "the module"
    assert calls == ["torchvision.datasets"] * 2
    monkeypatch.delitem(sys.modules, "torchvision._meta_registrations")


@pytest.mark.parametrize("error", [ImportError("No module named 'torchvision'"), RuntimeError("something else")])
def test_a_broken_torchvision_is_one_clear_error(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fails(name: str) -> object:
        raise error

    monkeypatch.setattr(torchvision_import.importlib, "import_module", fails)
    with pytest.raises(BenchError, match="torchvision cannot be imported") as caught:
        torchvision_import.torchvision_module()
    assert "doctor" in caught.value.hint


# --- the user's own Parquet files


def test_a_parquet_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.parquet"
    pictures = random_images(40)
    write_parquet(path, pictures, ["zebra", "ant"] * 20)
    source = resolve_data(f"parquet:{path}")
    images = source.load()
    assert source.missing() == ""
    assert source.image_shape() == images.images.shape[1:] == (3, 8, 8)
    assert images.class_names == images.binary == ("ant", "zebra")
    assert images.labels.tolist() == [1, 0] * 20
    assert images.name == f"parquet:{path}"
    assert split(images, Setting(dataset=images.name, n_per_class=4)).train.shape == (8, 3, 8, 8)


def test_class_names_come_from_the_schema_and_the_test_split_follows(tmp_path: Path) -> None:
    names = ("oak", "elm", "fir")
    write_parquet(tmp_path / "train.parquet", random_images(12, (8, 8)), [0, 1, 2] * 4, names=names)
    write_parquet(tmp_path / "test.parquet", random_images(6, (8, 8), 1), [2, 0] * 3, names=names)
    images = resolve_data(f"parquet:{tmp_path}").load()
    assert images.class_names == names
    assert images.positive == {2}
    assert images.test_labels is not None
    assert images.test_labels.tolist() == [2, 0] * 3


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p: p.write_bytes(b"not parquet"), "cannot be read as Parquet"),
        (lambda p: pq.write_table(pa.table({"picture": [1], "label": [0]}), p), "has no column img or image"),
        (lambda p: write_parquet(p, random_images(1), [0], label="kind"), "has no column label"),
        (lambda p: pq.write_table(pa.table({"image": [b"x"], "label": [0]}), p), "row 0 cannot be decoded"),
        (lambda p: pq.write_table(pa.table({"image": [{"bytes": None, "path": "a.png"}], "label": [0]}), p), "row 0 cannot be decoded"),
        (lambda p: write_parquet(p, [*random_images(3), *random_images(1, (9, 8, 3))], [0, 1, 0, 1]), "row 3 has another size"),
        (lambda p: write_parquet(p, random_images(3), [0, None, 1]), "row 1 of .* has no label"),
        (lambda p: write_parquet(p, [i.astype(np.uint16) * 256 for i in random_images(2, (8, 8))], [0, 1]), "row 0 cannot be decoded"),
    ],
)
def test_malformed_parquet_is_named(tmp_path: Path, spoil: object, message: str) -> None:
    path = tmp_path / "bad.parquet"
    spoil(path)  # type: ignore[operator]
    with pytest.raises(BenchError, match=message) as caught:
        resolve_data(f"parquet:{path}").load()
    assert str(path) in str(caught.value) or str(tmp_path) in str(caught.value)
    assert caught.value.hint


def test_a_parquet_path_without_files_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere", tmp_path):
        source = resolve_data(f"parquet:{path}")
        assert "no training images" in source.missing()
        with pytest.raises(BenchError, match="holds no training images"):
            source.load()


def test_a_test_split_with_classes_of_its_own_is_refused(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", random_images(4), [0, 1, 0, 1])
    write_parquet(tmp_path / "test.parquet", random_images(2, seed=1), [0, 7])
    with pytest.raises(BenchError, match="classes that the training split lacks") as caught:
        resolve_data(f"parquet:{tmp_path}").load()
    assert caught.value.got == "7"


# --- folders


def make_folder(root: Path, n: int = 6, size: tuple[int, ...] = (8, 8, 3)) -> None:
    for seed, (name, suffix) in enumerate((("dog", "png"), ("ape", "bmp"))):
        (root / name).mkdir(parents=True)
        for i, image in enumerate(random_images(n, size, seed)):
            Image.fromarray(image).save(root / name / f"{i}.{suffix}")


@pytest.mark.parametrize(("size", "shape"), [((8, 8, 3), (3, 8, 8)), ((8, 6), (1, 8, 6))])
def test_a_folder_of_ones_own(tmp_path: Path, size: tuple[int, ...], shape: tuple[int, ...]) -> None:
    make_folder(tmp_path / "pets", size=size)
    (tmp_path / "pets" / "notes.txt").write_text("not a class")
    source = resolve_data(f"folder:{tmp_path / 'pets'}")
    images = source.load()
    assert source.missing() == ""
    assert source.image_shape() == images.images.shape[1:] == shape
    assert images.class_names == images.binary == ("ape", "dog")
    assert images.labels.tolist() == [0] * 6 + [1] * 6
    before = source.digest()
    Image.fromarray(random_images(1, size, 9)[0]).save(tmp_path / "pets" / "ape" / "0.bmp")
    assert source.digest() != before


def test_a_folder_image_of_another_size_or_broken_is_named(tmp_path: Path) -> None:
    make_folder(tmp_path)
    odd = tmp_path / "dog" / "3.png"
    Image.fromarray(random_images(1, (9, 8, 3))[0]).save(odd)
    with pytest.raises(BenchError, match=r"3\.png has another size") as caught:
        resolve_data(f"folder:{tmp_path}").load()
    assert (caught.value.expected, caught.value.got) == ("8×8", "8×9")
    odd.write_bytes(odd.read_bytes()[:60])
    with pytest.raises(BenchError, match=r"3\.png cannot be decoded"):
        resolve_data(f"folder:{tmp_path}").load()


def test_a_folder_without_classes_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere", tmp_path):
        source = resolve_data(f"folder:{path}")
        assert "no labelled images" in source.missing()
        with pytest.raises(BenchError, match="holds no labelled images"):
            source.digest()


# --- the cache of decoded pixels


def test_slow_decoding_is_kept_and_a_corrupt_cache_repairs_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "WORTH_KEEPING", -1.0)
    runs = []

    def decode() -> dict[str, np.ndarray]:
        runs.append(1)
        return {"images": np.arange(1000)}

    kept = tmp_path / "store" / "datasets" / "decoded" / "abc.npz"
    for spoil in (None, lambda: kept.write_bytes(b"junk"), lambda: kept.write_bytes(kept.read_bytes()[:-700]), lambda: _flip(kept)):
        if spoil is not None:
            spoil()
        before = len(runs)
        assert (cache.decoded("abc", decode)["images"] == np.arange(1000)).all()
        assert (cache.decoded("abc", decode)["images"] == np.arange(1000)).all()
        assert len(runs) == before + 1
    assert [p.name for p in kept.parent.iterdir()] == ["abc.npz"]


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)


def test_fast_decoding_is_not_kept(tmp_path: Path) -> None:
    cache.decoded("abc", lambda: {"images": np.arange(3)})
    assert not (tmp_path / "store").exists()


def test_a_full_disk_costs_time_and_not_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "WORTH_KEEPING", -1.0)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache.np, "savez", full)
    assert cache.decoded("abc", lambda: {"images": np.arange(3)})["images"].tolist() == [0, 1, 2]
    assert list((tmp_path / "store" / "datasets" / "decoded").iterdir()) == []
