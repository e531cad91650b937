"""Many networks that share every training image but one: the shadows of an informed adversary, and the networks it attacks.

All start from the same weights and see the same n known images plus one of their own (Balle, Cherubin and Hayes, 2022). So what differs is
small, and training them is one tensor program:

* Full-batch descent moves the first layer inside the span of the images alone. The known images share a basis V (D × n); each network adds
  one direction u, what its own image has outside that span. The first layer's weights become n + 1 coordinates a row instead of D, and
  what no image reaches only decays, in closed form. Where n ≥ D there is nothing to gain, and V is the identity.
* The known images are the same numbers for all: their products with B stacked first layers are one matrix product, not B small ones.

The result is that of ordinary full-batch training of each network by itself, to rounding (a test holds it to 1e-9 in float64).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bench.api import Architecture, Setting
from bench.capture import Repeated
from bench.errors import BenchError
from bench.memory import in_pieces
from bench.precision import pinned
from bench.targets.losses import loss_gradient, loss_targets, loss_value
from bench.targets.models import activation_function, activation_slope, layer_widths
from bench.targets.train import MOMENTUM
from bench.targets.train_span import left

CACHED = {"cpu": 2**23, "cuda": 2**30}  # bytes of one layer's activations: what stays in a CPU's cache, or fills a GPU
Watch = Callable[[int, float, Callable[[], dict[str, Tensor]]], bool]


@dataclass(frozen=True)
class Known:
    """What all the networks of one recipe share."""

    architecture: Architecture
    setting: Setting  # loss, optimiser, lr, weight decay, dtype; its epochs are the most there may be
    images: Float[Tensor, "n c h w"]  # in [0, 1]
    labels: Int[Tensor, " n"]
    start: Mapping[str, Tensor]  # initial weights, float64
    epochs: int  # what every network is trained for

    @property
    def mean(self) -> Float[Tensor, "c h w"]:
        """The mean of the known images, which the recipe subtracts from every input."""
        return self.images.mean(0)


@dataclass(frozen=True)
class Compact:
    """B trained networks in the coordinates they were trained in: up to D / (n + 1) times smaller than their weights."""

    inside: Float[Tensor, "b h n"]  # the first layer in the basis of the known images
    outside: Float[Tensor, "b h"]  # … along the direction of each network's own image
    rest: dict[str, Tensor]  # every other tensor, b × …

    def tensors(self) -> dict[str, Tensor]:
        """As named tensors, for a file."""
        return {"inside": self.inside, "outside": self.outside, **self.rest}

    @staticmethod
    def of(tensors: Mapping[str, Tensor]) -> Compact:
        """From named tensors."""
        rest = {name: t for name, t in tensors.items() if name not in ("inside", "outside")}
        return Compact(tensors["inside"], tensors["outside"], rest)


def epochs_to_loss(known: Known, device: torch.device | str = "cpu") -> tuple[int, float]:
    """Epochs after which a network on the known images alone is at or below the setting's ``stop_loss``, and its loss there.

    The number that a recipe fixes once for all its networks, so that the shadows are what the released network is.
    """
    found: list[tuple[int, float]] = []

    def watch(epoch: int, loss: float, _: Callable[[], dict[str, Tensor]]) -> bool:
        found.append((epoch, loss))
        return known.setting.stop_loss > 0 and loss <= known.setting.stop_loss

    fewer = Known(known.architecture, known.setting, known.images[:-1], known.labels[:-1], known.start, known.setting.epochs)
    train(fewer, known.images[-1:], known.labels[-1:], device, mean=known.mean, watch=watch)
    return found[-1]


@pinned()
def train(
    known: Known,
    images: Float[Tensor, "b c h w"],
    labels: Int[Tensor, " b"],
    device: torch.device | str = "cpu",
    *,
    mean: Float[Tensor, "c h w"] | None = None,
    watch: Watch | None = None,
) -> Compact:
    """Trains B networks: network i on the known images and ``images[i]``; as many at once as is fast, fewer where memory runs out.

    Args:
        mean: subtracted from every input; that of the known images where it is None.
        watch: called before every epoch and after the last with the epoch, the first network's training loss, and a function that gives
            its weights; training ends where it returns True. It looks at every epoch, so it is not for the hot path.

    Returns:
        The networks on the CPU, in the setting's precision. `expand` makes weights of them.

    Raises:
        BenchError: convolutions, which this way of training does not have.
    """
    if known.architecture.model != "mlp":
        raise BenchError(
            "the informed track trains fully connected networks only",
            expected="model: mlp",
            got=known.architecture.model,
            hint="--set model=mlp",
        )
    width = known.architecture.hidden[0] * (len(known.images) + 1) * 4
    at_once = max(1, CACHED[torch.device(device).type] // width)
    basis = _Basis(known, mean, device)
    parts = in_pieces(lambda start, stop: basis.train(images[start:stop], labels[start:stop], watch), len(images), at_once)
    rest = {name: torch.cat([p.rest[name] for p in parts]) for name in parts[0].rest}
    return Compact(torch.cat([p.inside for p in parts]), torch.cat([p.outside for p in parts]), rest)


@pinned()
def expand(
    known: Known, compact: Compact, images: Float[Tensor, "b c h w"], device: torch.device | str = "cpu", size: int = 512
) -> dict[str, Tensor]:
    """The weights of trained networks, b × out × in, in the setting's precision, named as in the architecture."""
    basis = _Basis(known, None, device)
    first = [
        basis.expand(compact.inside[k : k + size], compact.outside[k : k + size], images[k : k + size]) for k in range(0, len(images), size)
    ]
    named = {"layers.0.weight": torch.cat(first), **{name: t.to(device) for name, t in compact.rest.items()}}
    return {name: named[name] for name in known.start}


class _Basis:
    """The known images in an orthonormal basis of their span."""

    def __init__(self, known: Known, mean: Tensor | None, device: torch.device | str) -> None:
        self.known, self.device = known, device
        self.dtype = torch.float32 if known.setting.dtype == "float32" else torch.float64
        self.mean = (known.mean if mean is None else mean).to(device, torch.float64)
        X = (known.images.to(device, torch.float64) - self.mean).flatten(1)
        D = X.shape[1]
        if len(X) < D:
            self.V, R = torch.linalg.qr(X.mT)
            self.C = R.mT.contiguous().to(self.dtype)
        else:
            self.V, self.C = torch.eye(D, dtype=torch.float64, device=device), X.to(self.dtype)
        first = known.start["layers.0.weight"].to(device, torch.float64)
        self.inside = first @ self.V
        self.beyond = first - self.inside @ self.V.mT  # reached by no known image

    def directions(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of each image its coordinates in V, and the unit vector and the length of what lies outside; a length of rounding is 0."""
        x = (images.to(self.device, torch.float64) - self.mean).flatten(1)
        inside = x @ self.V
        outside = x - inside @ self.V.mT
        length = outside.norm(dim=1)
        length = torch.where(length > 1e-9 * x.norm(dim=1), length, 0.0)
        unit = torch.where(length[:, None] > 0, outside / length.clamp_min(1e-300)[:, None], 0.0)
        return inside, unit, length

    def expand(self, inside: Tensor, outside: Tensor, images: Tensor) -> Tensor:
        """First layers, b × h × D."""
        s, known = self.known.setting, self.known
        _, unit, _ = self.directions(images)
        shrunk = left(1 - s.lr * s.weight_decay, MOMENTUM[s.optimizer], known.epochs)
        along = (outside.to(self.device, torch.float64) - shrunk * (unit @ self.beyond.mT)).to(self.dtype)
        # the one large product, in the networks' own precision: shadows and the networks under attack go through the same rounding
        weights = inside.to(self.device, self.dtype) @ self.V.to(self.dtype).mT
        return weights.baddbmm_(along[:, :, None], unit.to(self.dtype)[:, None, :]).add_((shrunk * self.beyond).to(self.dtype))

    def train(self, images: Tensor, labels: Tensor, watch: Watch | None) -> Compact:
        known, s, dtype = self.known, self.known.setting, self.dtype
        depth, n, B = len(known.architecture.hidden) + 1, len(self.C), len(images)
        h = known.architecture.hidden[0]
        own, unit, length = self.directions(images)
        own, reach = own.to(dtype), length.to(dtype)

        def many(value: Tensor) -> Tensor:
            return value.to(self.device, dtype).expand(B, *value.shape).clone()

        W = [many(self.inside), *(many(known.start[f"layers.{i}.weight"]) for i in range(1, depth))]
        b = [many(known.start[f"layers.{i}.bias"]) if f"layers.{i}.bias" in known.start else None for i in range(depth)]
        out = (unit @ self.beyond.mT).to(dtype)  # b × h: the first layer along each network's own direction
        every = torch.cat([known.labels.to(self.device).expand(B, -1), labels.to(self.device)[:, None]], 1)
        target = loss_targets(s.loss, every, known.architecture.outputs).to(dtype).mT.contiguous()  # b × k × n+1
        params = [*W, out, *(v for v in b if v is not None)]
        momentum = MOMENTUM[s.optimizer]
        change = [torch.zeros_like(p) for p in params] if momentum else params
        activate = activation_function(known.architecture.activation)

        def forward() -> tuple[Tensor, list[Tensor], list[Tensor]]:
            z = torch.empty(B, h, n + 1, dtype=dtype, device=self.device)
            z[:, :, :n] = (W[0].view(B * h, -1) @ self.C.mT).view(B, h, n)
            z[:, :, n] = torch.bmm(W[0], own[:, :, None])[:, :, 0] + out * reach[:, None]
            if b[0] is not None:
                z += b[0][:, :, None]
            before, acts = [], []
            for i in range(1, depth):
                before.append(z)
                acts.append(activate(z))
                z = torch.bmm(W[i], acts[-1])
                bias = b[i]
                if bias is not None:
                    z += bias[:, :, None]
            return z, before, acts

        def look(epoch: int) -> tuple[float, Callable[[], dict[str, Tensor]]]:
            def now() -> dict[str, Tensor]:
                compact = Compact(W[0][:1], out[:1], {k: v[:1] for k, v in named(W, b).items()})
                trained = Known(known.architecture, s, known.images, known.labels, known.start, epoch)
                basis = _Basis(trained, self.mean, self.device)
                first = basis.expand(compact.inside, compact.outside, images[:1])
                return {name: {"layers.0.weight": first, **compact.rest}[name][0].clone() for name in known.start}

            return float(loss_value(s.loss, forward()[0].mT, target.mT)[0]), now

        def step() -> None:
            z, before, acts = forward()
            delta = loss_gradient(s.loss, z.mT, target.mT).mT.contiguous()
            gW: list[Tensor] = [delta] * depth
            gb: list[Tensor | None] = [None] * depth
            for i in reversed(range(depth)):
                gb[i] = delta.sum(2) if b[i] is not None else None
                if i > 0:
                    gW[i] = torch.bmm(delta, acts[i - 1].mT)
                    delta = torch.bmm(W[i].mT, delta).mul_(activation_slope(known.architecture.activation, before[i - 1]))
            gW[0] = (delta[:, :, :n].reshape(B * h, n) @ self.C).view(B, h, -1).baddbmm_(delta[:, :, n:], own[:, None, :])
            gradients = [*gW, delta[:, :, n] * reach[:, None], *(g for g in gb if g is not None)]
            for p, g, c in zip(params, gradients, change, strict=True):
                if s.weight_decay:
                    g.add_(p, alpha=s.weight_decay)
                if momentum:
                    p.add_(c.mul_(momentum).add_(g, alpha=-s.lr))
                else:
                    p.add_(g, alpha=-s.lr)

        steps, done = Repeated(step, W[0].device, alone=B == 1), 0
        for epoch in range(known.epochs + 1) if watch is not None else (known.epochs,):
            steps(epoch - done)
            done = epoch
            if watch is not None and watch(epoch, *look(epoch)):
                break
        return Compact(W[0].cpu(), out.cpu(), {name: v.cpu() for name, v in named(W, b).items()})


def named(W: list[Tensor], b: list[Tensor | None]) -> dict[str, Tensor]:
    """Every tensor but the first layer's weights, by name."""
    result = {f"layers.{i}.weight": w for i, w in enumerate(W) if i > 0}
    return result | {f"layers.{i}.bias": v for i, v in enumerate(b) if v is not None}


def flops(architecture: Architecture, n: int, epochs: int) -> float:
    """Floating-point operations to train one network: 6 a weight and image forwards and backwards, the first layer in n + 1 coordinates."""
    widths = layer_widths(architecture)
    first = min(n + 1, widths[0])
    inner = sum(a * b for a, b in pairwise(widths[1:]))
    return epochs * (n + 1) * (4.0 * first * widths[1] + 6.0 * inner)
