"""LPIPS (Zhang et al., CVPR 2018), AlexNet, v0.1: how different two images look to a network trained on photographs.

Lower is better; 0 for equal images, seldom above 1; no unit. Protocol v1: grey images repeated to RGB, all resized bilinearly to 64 × 64.

The linear heads are those of the ``lpips`` package. AlexNet's convolutions come from ``.reconbench/weights`` (``bench fetch lpips``). The
network is built here from these two files and from nothing else, so that no score can come from random weights: without the files, or if
they do not give the known values on pairs of synthetic images, there is no LPIPS, and ``unavailable()`` says why.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from bench.api import Metric
from bench.home import home
from bench.memory import budget, in_pieces
from bench.precision import pinned
from bench.registry import register

SIDE = 64  # pixels
BATCH = 256  # pairs at once on a CPU; about 200 MB of activations in float32
PAIR, ON_A_GPU = 2**20, 8192  # bytes of a pair; pairs at once on a GPU, where its free memory holds them
REMEMBERED = 256 * 2**20  # bytes of features that are kept for the next call; those of an image of 64 × 64 are 127 kB

# AlexNet's feature stack as torchvision has it: index of the layer, stride, padding, whether a 3 × 3 max-pool of stride 2 comes before.
CONVOLUTIONS = ((0, 4, 2, False), (3, 1, 2, True), (6, 1, 1, True), (8, 1, 1, False), (10, 1, 1, False))
SHAPES = {
    0: (64, 3, 11, 11),
    3: (192, 64, 5, 5),
    6: (384, 192, 3, 3),
    8: (256, 384, 3, 3),
    10: (256, 256, 3, 3),
}
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of inputs in [-1, 1], as in the authors' ScalingLayer

KNOWN = (0.13918, 0.59074)  # LPIPS of the pairs of known_pairs() under the genuine weights
TOLERANCE = 1e-3


@register
class Lpips(Metric):
    """LPIPS (AlexNet)."""

    name: ClassVar[str] = "lpips"
    label: ClassVar[str] = "LPIPS"
    range: ClassVar[tuple[float, float | None]] = (0.0, None)
    better: ClassVar[str] = "lower"

    def pairs(self, a: Float[Tensor, "n c h w"], b: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"] | None:
        """See `lpips_pairs`; None without the genuine weights."""
        return lpips_pairs(a, b)


Memory = OrderedDict[tuple[object, ...], Tensor]  # an image, by its content → its features, the image used last at the end


class Network(NamedTuple):
    """Weights of the convolutions (and biases) and of the heads, one a layer; and what it has made of images that may come again."""

    kernels: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]
    heads: tuple[Tensor, ...]  # 1 × channels × 1 × 1, non-negative
    memory: Memory


@pinned()
def lpips_pairs(
    a: Float[Tensor, "n c h w"], b: Float[Tensor, "n c h w"], *, side: int | None = SIDE, batch: int | None = None
) -> Float[Tensor, " n"] | None:
    """LPIPS of a[i] and b[i], images in [0, 1], 1 or 3 channels; None without the genuine weights (see ``unavailable``).

    Args:
        a: the true images. On a CPU their features are remembered, for every attack on a target is compared with the same ones.
        side: both images are resized to this many pixels a side first; None: as they are, at least 32.
        batch: pairs in memory at once; None: ``BATCH`` on a CPU, as many as fit on a GPU. Where memory runs out, fewer.
    """
    if unavailable():
        return None
    if not len(a):
        return a.new_zeros(0, dtype=torch.float32)
    if batch is None:
        batch = max(1, min(ON_A_GPU, budget(a.device) // PAIR)) if a.device.type != "cpu" else BATCH
    # TF32, which the pin turns off, would cost the third digit; so a GPU's values are a CPU's to 1e-4
    network = _network(weights_path(), _stamp(weights_path()), a.device, torch.float32)
    assert isinstance(network, Network)
    return torch.cat(in_pieces(lambda i, j: _distance(network, a[i:j], b[i:j], side), len(a), batch)).float()


def unavailable() -> str:
    """An empty string if LPIPS can be computed, or else the reason, for the row and for the reader: without a path of this machine."""
    path = weights_path()
    if heads_path() is None:
        return "LPIPS is unavailable: the package lpips is not installed"
    if not path.is_file():
        return "LPIPS is unavailable: AlexNet's weights are not here; python -m bench fetch lpips"
    network = _network(path, _stamp(path), torch.device("cpu"), torch.float32)
    return network if isinstance(network, str) else ""


def weights_path() -> Path:
    """Where AlexNet's convolutions lie on this machine."""
    return home() / "weights" / "lpips_alexnet.safetensors"


def heads_path() -> Path | None:
    """The linear heads inside the ``lpips`` package, found without importing it."""
    spec = importlib.util.find_spec("lpips")
    folder = spec.submodule_search_locations[0] if spec is not None and spec.submodule_search_locations else None
    path = Path(folder) / "weights" / "v0.1" / "alex.pth" if folder else None
    return path if path is not None and path.is_file() else None


def faults(convolutions: Mapping[str, Tensor]) -> str:
    """An empty string if the convolutions (``features.L.weight`` and ``.bias``) are AlexNet's, or what is wrong with them."""
    wanted = {f"features.{i}.weight": shape for i, shape in SHAPES.items()} | {
        f"features.{i}.bias": shape[:1] for i, shape in SHAPES.items()
    }
    for name, shape in wanted.items():
        if name not in convolutions or tuple(convolutions[name].shape) != shape:
            return f"{name} of shape {shape} is missing"
    network = _assemble(convolutions)
    got = [float(_distance(network, x, y, None)[0]) for x, y in known_pairs()]
    if any(not abs(value - known) <= TOLERANCE for value, known in zip(got, KNOWN, strict=True)):
        return f"known pairs have LPIPS {KNOWN[0]:.4f} and {KNOWN[1]:.4f}, these weights give {got[0]:.4f} and {got[1]:.4f}"
    return ""


def known_pairs() -> list[tuple[Float[Tensor, "1 3 64 64"], Float[Tensor, "1 3 64 64"]]]:
    """Two pairs of synthetic images in [0, 1], from formulas alone: rings against rings of another colour, and rings against stripes."""
    y, x = torch.meshgrid(torch.arange(SIDE, dtype=torch.float32), torch.arange(SIDE, dtype=torch.float32), indexing="ij")
    radius = ((x - 31.5) ** 2 + (y - 31.5) ** 2).sqrt()
    rings, stripes = 0.5 + 0.5 * torch.sin(radius / 2), 0.5 + 0.5 * torch.sin((x + 2 * y) / 5)
    red, green, striped = (
        torch.stack(channels)[None] for channels in ((rings, 1 - rings, y / 64), (1 - rings, rings, y / 64), (stripes,) * 3)
    )
    return [(red, green), (red, striped)]


@functools.lru_cache(maxsize=4)
def _network(path: Path, stamp: tuple[int, int], device: torch.device, dtype: torch.dtype) -> Network | str:
    """The network, or why there is none. ``stamp`` makes a new file be read anew."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        convolutions = load_file(path)
        wrong = faults(convolutions)
    except (SafetensorError, OSError, RuntimeError, KeyError) as error:
        wrong = f"{type(error).__name__}: {error}".replace(str(path), path.name)
    if wrong:
        return f"LPIPS is unavailable: {path.name} does not hold AlexNet's weights ({wrong}); delete it, then python -m bench fetch lpips"
    own = _assemble(convolutions)
    kernels, biases, heads = (tuple(t.to(device, dtype) for t in tensors) for tensors in (own.kernels, own.biases, own.heads))
    return Network(tuple(kernel.contiguous(memory_format=torch.channels_last) for kernel in kernels), biases, heads, own.memory)


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def _assemble(convolutions: Mapping[str, Tensor]) -> Network:
    path = heads_path()
    assert path is not None
    heads = torch.load(path, map_location="cpu", weights_only=True)
    return Network(
        tuple(convolutions[f"features.{i}.weight"] for i in SHAPES),
        tuple(convolutions[f"features.{i}.bias"] for i in SHAPES),
        tuple(heads[f"lin{k}.model.1.weight"] for k in range(len(SHAPES))),
        OrderedDict(),
    )


def _distance(network: Network, a: Float[Tensor, "n c h w"], b: Float[Tensor, "n c h w"], side: int | None) -> Float[Tensor, " n"]:
    u, v = _recalled(network, a, side, network.memory), _recalled(network, b, side, OrderedDict())
    return (u - v).square_().sum(1)


def _recalled(network: Network, images: Float[Tensor, "n c h w"], side: int | None, memory: Memory) -> Float[Tensor, "n f"]:
    """``_features`` of the images, of equal ones and of those that the memory has without computing them again."""
    if images.device.type != "cpu":  # computed there sooner than looked up here
        return _features(network, images, side)
    content = images.detach().contiguous().numpy()
    keys = [(side, images.dtype, images.shape[1:], hashlib.blake2b(image, digest_size=16).digest()) for image in content]
    fresh = {key: i for i, key in enumerate(keys) if key not in memory}
    if fresh:
        made = _features(network, images[list(fresh.values())], side)
        memory.update((key, row.clone()) for key, row in zip(fresh, made, strict=True))
    found = torch.stack([memory[key] for key in keys])
    for key in keys:
        memory.move_to_end(key)
    while memory and len(memory) * found[0].nbytes > REMEMBERED:
        memory.popitem(last=False)
    return found


@torch.no_grad()
def _features(network: Network, images: Float[Tensor, "n c h w"], side: int | None) -> Float[Tensor, "n f"]:
    """The five rectified layers in one row an image, scaled so that LPIPS is the squared distance of two rows: each position's channels to
    length 1, then by the roots of their heads and of one over the number of positions, which is the mean over these."""
    x = images.to(network.kernels[0])
    if side is not None:
        x = F.interpolate(x, (side, side), mode="bilinear", align_corners=False)
    shift, scale = (torch.tensor(v, dtype=x.dtype, device=x.device)[:, None, None] for v in (SHIFT, SCALE))
    x = (2 * x.expand(-1, 3, -1, -1) - 1 - shift) / scale
    x = x.contiguous(memory_format=torch.channels_last)  # poolings and lengths take half the time so
    layers = []
    for (_, stride, padding, pool), kernel, bias, head in zip(CONVOLUTIONS, network.kernels, network.biases, network.heads, strict=True):
        x = F.max_pool2d(x, 3, 2) if pool else x
        x = F.conv2d(x, kernel, bias, stride, padding).relu_()
        channels = x.permute(0, 2, 3, 1)
        length = torch.linalg.vector_norm(channels, dim=-1, keepdim=True).add_(1e-10)
        layers.append((channels / length).mul_((head.flatten() / x[0, 0].numel()).sqrt()).flatten(1))
    return torch.cat(layers, 1)
