"""CIFAR-10, CIFAR-100, MNIST and Fashion-MNIST: a local Parquet copy, or else torchvision's files, which only ``bench fetch`` downloads.

Looked for in this order: ``$BENCH_DATA/<name>/{train,test}*.parquet``, then torchvision's files in ``.reconbench/datasets``. Nothing is
ever downloaded on the way to a result. Binary tasks: CIFAR-10 vehicles (0) against animals (1) and MNIST even (0) against odd (1), as in
Haim et al. 2022; Fashion-MNIST clothes (0) against shoes and bags (1) and CIFAR-100 nature (0) against things made by people (1) are ours.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import ClassVar

import numpy as np

from bench.api import DataSource, ImageSet
from bench.data import parquet_images
from bench.data.assemble import image_set, without_duplicates
from bench.data.content import digest_of
from bench.data.decoded import Arrays, decoded
from bench.data.parquet_images import Splits
from bench.data.picture import channels_first
from bench.data.torchvision_import import torchvision_module
from bench.errors import BenchError
from bench.home import home
from bench.registry import register
from bench.regular import path_of

RECIPE = "labelled images 1"


class TorchvisionSet(DataSource):
    """What the four sets share; a subclass is a table of facts."""

    torchvision_name: ClassVar[str]  # the class in torchvision.datasets
    files: ClassVar[tuple[str, ...]]  # torchvision's files below its root, which the digest covers
    mode: ClassVar[str]
    shape: ClassVar[tuple[int, int, int]]
    class_names: ClassVar[tuple[str, ...]]
    label_columns: ClassVar[tuple[str, ...]] = ("label",)
    binary: ClassVar[tuple[str, str]]
    positive: ClassVar[frozenset[int]]

    def parquet(self) -> Splits | None:
        """The local Parquet copy, if ``$BENCH_DATA`` holds one."""
        root = os.environ.get("BENCH_DATA")
        if not root:
            return None
        found = parquet_images.find(path_of(root) / self.name)
        return found if found.train else None

    def downloaded(self) -> list[Path] | None:
        """Torchvision's files, if all are here."""
        files = [datasets_root() / file for file in self.files]
        return files if all(file.is_file() for file in files) else None

    def missing(self) -> str:
        """See DataSource."""
        if self.parquet() or self.downloaded():
            return ""
        root = os.environ.get("BENCH_DATA")
        where = f"{Path(root).expanduser() / self.name}/train*.parquet" if root else "a folder named by BENCH_DATA (it is not set)"
        return f"{self.name} is neither in {where} nor in {datasets_root()}; python -m bench fetch {self.name}"

    def digest(self) -> str:
        """See DataSource."""
        if (parquet := self.parquet()) is not None:
            return digest_of(f"{RECIPE} {self.name} parquet {len(parquet.train)}", [*parquet.train, *parquet.test])
        if (files := self.downloaded()) is not None:
            return digest_of(f"{RECIPE} {self.name} torchvision", files)
        raise self._absent()

    def image_shape(self) -> tuple[int, int, int]:
        """See DataSource."""
        return self.shape

    def load(self) -> ImageSet:
        """See DataSource. Pixels are uint8, 0..255; the split scales them."""
        return _load(type(self), self.digest())

    def decode(self) -> Arrays:
        """Pixels and labels from whichever copy is here, each image once."""
        if (parquet := self.parquet()) is not None:
            test = self._decode_parquet(parquet.test) if parquet.test else (None, None)
            return without_duplicates(*self._decode_parquet(parquet.train), *test)
        if self.downloaded() is None:
            raise self._absent()
        return without_duplicates(*self._read_torchvision(train=True), *self._read_torchvision(train=False))

    def display(self) -> str:
        """The name in tables; a copy says that it is one."""
        parquet = self.parquet()
        if parquet is None:
            return self.name
        with parquet_images.first_picture(parquet.train) as image:
            return f"{self.name} ({'JPEG' if image.format == 'JPEG' else 'local'} copy)"

    def _decode_parquet(self, files: tuple[Path, ...]) -> tuple[np.ndarray, np.ndarray]:
        images, labels, *_ = parquet_images.decode(files, mode=self.mode, label_columns=self.label_columns)
        classes = len(self.class_names)
        if images.shape[1:] != self.shape or labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= classes:
            raise BenchError(
                f"the Parquet copy of {self.name} in {files[0].parent} holds something else",
                expected=f"images {'×'.join(map(str, self.shape))}, labels 0 to {classes - 1}",
                got=f"images {'×'.join(map(str, images.shape[1:]))}, labels {min(labels.tolist())} to {max(labels.tolist())}",
                hint="parquet:PATH reads any labelled images",
            )
        return images, labels.astype(np.int64)

    def _read_torchvision(self, train: bool) -> tuple[np.ndarray, np.ndarray]:
        try:
            data = getattr(torchvision_module("datasets"), self.torchvision_name)(str(datasets_root()), train=train, download=False)
        except BenchError:
            raise
        except Exception as error:  # its parsers assert, unpickle and compare checksums
            raise BenchError(
                f"torchvision cannot read its copy of {self.name}",
                expected=f"whole files in {datasets_root()}",
                got=f"{type(error).__name__}: {error}",
                hint=f"delete them, then python -m bench fetch {self.name}",
            ) from error
        pixels = np.asarray(data.data, dtype=np.uint8)
        return channels_first(pixels), np.asarray(data.targets, dtype=np.int64)

    def _absent(self) -> BenchError:
        return BenchError(
            f"data set '{self.name}' is not on this machine",
            expected=f"$BENCH_DATA/{self.name}/train*.parquet, or torchvision's files in {datasets_root()}",
            got=f"BENCH_DATA={os.environ.get('BENCH_DATA') or '(not set)'}",
            hint=f"python -m bench fetch {self.name}, or set BENCH_DATA; the embedded sets lfw_faces and photo_tiles need neither",
        )


def datasets_root() -> Path:
    """Where torchvision's files lie."""
    return home() / "datasets"


@functools.lru_cache(maxsize=4)
def _load(cls: type[TorchvisionSet], digest: str) -> ImageSet:
    source = cls()
    return image_set(cls.name, source.display(), decoded(digest, source.decode), cls.class_names, cls.binary, cls.positive)


@register
class Cifar10(TorchvisionSet):
    """Krizhevsky 2009; 32×32 RGB, 10 classes. Binary task of Haim et al. 2022."""

    name: ClassVar[str] = "cifar10"
    summary: ClassVar[str] = "CIFAR-10, 32×32 RGB; binary: vehicles or animals (BENCH_DATA, or bench fetch cifar10)"
    torchvision_name: ClassVar[str] = "CIFAR10"
    files: ClassVar[tuple[str, ...]] = tuple(f"cifar-10-batches-py/{f}" for f in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"))
    mode: ClassVar[str] = "RGB"
    shape: ClassVar[tuple[int, int, int]] = (3, 32, 32)
    class_names: ClassVar[tuple[str, ...]] = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    binary: ClassVar[tuple[str, str]] = ("vehicle", "animal")
    positive: ClassVar[frozenset[int]] = frozenset({2, 3, 4, 5, 6, 7})


CIFAR100_CLASSES = (
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle", "bowl", "boy", "bridge", "bus",
    "butterfly", "camel", "can", "castle", "caterpillar", "cattle", "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch",
    "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo",
    "keyboard", "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain", "mouse",
    "mushroom", "oak_tree", "orange", "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree", "plain", "plate", "poppy",
    "porcupine", "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper",
    "snail", "snake", "spider", "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank", "telephone", "television",
    "tiger", "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman", "worm",
)  # fmt: skip
# The superclasses household containers, electrical devices, furniture, outdoor things, vehicles 1 and vehicles 2.
MADE_BY_PEOPLE = (
    "bottle", "bowl", "can", "cup", "plate", "clock", "keyboard", "lamp", "telephone", "television", "bed", "chair", "couch", "table",
    "wardrobe", "bridge", "castle", "house", "road", "skyscraper", "bicycle", "bus", "motorcycle", "pickup_truck", "train",
    "lawn_mower", "rocket", "streetcar", "tank", "tractor",
)  # fmt: skip


@register
class Cifar100(TorchvisionSet):
    """Krizhevsky 2009; 32×32 RGB, the 100 fine classes in alphabetical order. The binary task is ours."""

    name: ClassVar[str] = "cifar100"
    summary: ClassVar[str] = "CIFAR-100, 32×32 RGB; binary: nature or made by people (BENCH_DATA, or bench fetch cifar100)"
    torchvision_name: ClassVar[str] = "CIFAR100"
    files: ClassVar[tuple[str, ...]] = ("cifar-100-python/train", "cifar-100-python/test")
    mode: ClassVar[str] = "RGB"
    shape: ClassVar[tuple[int, int, int]] = (3, 32, 32)
    class_names: ClassVar[tuple[str, ...]] = CIFAR100_CLASSES
    label_columns: ClassVar[tuple[str, ...]] = ("fine_label", "label")
    binary: ClassVar[tuple[str, str]] = ("nature", "made_by_people")
    positive: ClassVar[frozenset[int]] = frozenset(CIFAR100_CLASSES.index(name) for name in MADE_BY_PEOPLE)


def _idx_files(folder: str) -> tuple[str, ...]:
    return tuple(
        f"{folder}/raw/{part}-ubyte" for part in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    )


@register
class Mnist(TorchvisionSet):
    """LeCun et al. 1998; 28×28 grey digits. Binary task of Haim et al. 2022."""

    name: ClassVar[str] = "mnist"
    summary: ClassVar[str] = "MNIST, 28×28 grey; binary: even or odd (BENCH_DATA, or bench fetch mnist)"
    torchvision_name: ClassVar[str] = "MNIST"
    files: ClassVar[tuple[str, ...]] = _idx_files("MNIST")
    mode: ClassVar[str] = "L"
    shape: ClassVar[tuple[int, int, int]] = (1, 28, 28)
    class_names: ClassVar[tuple[str, ...]] = tuple("0123456789")
    mirrored: ClassVar[bool] = False
    binary: ClassVar[tuple[str, str]] = ("even", "odd")
    positive: ClassVar[frozenset[int]] = frozenset({1, 3, 5, 7, 9})


@register
class FashionMnist(TorchvisionSet):
    """Xiao et al. 2017; 28×28 grey articles. The binary task is ours."""

    name: ClassVar[str] = "fashion_mnist"
    summary: ClassVar[str] = "Fashion-MNIST, 28×28 grey; binary: clothes or shoes and bags (BENCH_DATA, or bench fetch fashion_mnist)"
    torchvision_name: ClassVar[str] = "FashionMNIST"
    files: ClassVar[tuple[str, ...]] = _idx_files("FashionMNIST")
    mode: ClassVar[str] = "L"
    shape: ClassVar[tuple[int, int, int]] = (1, 28, 28)
    class_names: ClassVar[tuple[str, ...]] = (
        "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle_boot",
    )  # fmt: skip
    binary: ClassVar[tuple[str, str]] = ("clothes", "shoes_and_bags")
    positive: ClassVar[frozenset[int]] = frozenset({5, 7, 8, 9})
