"""Networks that share every training image but one, as sums of images: many short trainings for an attacker who tries out an answer.

Descent over all images moves the first layer by sums of inputs alone. So here its state is not its weights but how much of each input has
been added, A (h × n+1): W(t) = s(t)·W(0) + A(t)·X, where s is what weight decay leaves. Outputs then need the inputs' inner products only,
whatever coordinates they are given in, and a bias is the weight of one more coordinate that is always 1. An epoch takes one matrix product
with the known inputs where `one_missing` takes two; in float64, and nothing is kept.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bench.memory import in_pieces
from bench.precision import pinned
from bench.targets.losses import loss_gradient, loss_targets
from bench.targets.models import activation_function, activation_slope
from bench.targets.one_missing import CACHED, Known, named
from bench.targets.train import MOMENTUM


@pinned()
def train_trials(
    known: Known,
    first: Float[Tensor, "h q"],
    inputs: Float[Tensor, "n q"],
    own: Float[Tensor, "b q"],
    labels: Int[Tensor, " b"],
) -> dict[str, Tensor]:
    """Trains b networks, network i on the known inputs and ``own[i]``, all in the same q coordinates.

    Args:
        first: the first layer's initial weights in these coordinates, its bias among them if it has one.
        inputs: the known images; labels and recipe are those of ``known``.

    Returns:
        ``sums`` b × h × (n+1), how much of each input every unit has taken up, the own one last; other tensors by name.
    """
    width = known.architecture.hidden[0] * (len(inputs) + 1) * 8
    at_once = max(1, CACHED[own.device.type] // width)
    parts = in_pieces(lambda a, b: _train(known, first, inputs, own[a:b], labels[a:b]), len(own), at_once)
    return {name: torch.cat([p[name] for p in parts]) for name in parts[0]}


def _train(known: Known, first: Tensor, inputs: Tensor, own: Tensor, labels: Tensor) -> dict[str, Tensor]:
    net, s, B, n = known.architecture, known.setting, len(own), len(inputs)
    h, depth, name = len(first), len(net.hidden) + 1, net.activation
    gram, across, size = inputs @ inputs.mT, own @ inputs.mT, own.square().sum(1)
    start = torch.cat([(first @ inputs.mT).expand(B, h, n), (own @ first.mT)[:, :, None]], 2)

    def many(key: str) -> Tensor:
        value = known.start[key].to(own)
        return value.expand(B, *value.shape).clone()

    W = [start.new_zeros(B, h, n + 1), *(many(f"layers.{i}.weight") for i in range(1, depth))]  # the first is A
    b = [None, *(many(f"layers.{i}.bias") if f"layers.{i}.bias" in known.start else None for i in range(1, depth))]
    every = torch.cat([known.labels.to(own.device).expand(B, -1), labels[:, None]], 1)
    target = loss_targets(s.loss, every, net.outputs).to(own).mT.contiguous()  # b × k × n+1
    params = [*W, *(v for v in b if v is not None)]
    momentum, left, fall = MOMENTUM[s.optimizer], 1.0, 0.0
    change = [torch.zeros_like(p) for p in params]
    activate = activation_function(name)
    A, z = W[0], torch.empty_like(W[0])
    for _ in range(known.epochs):
        z[:, :, :n] = (A[:, :, :n].reshape(B * h, n) @ gram).view(B, h, n).baddbmm_(A[:, :, n:], across[:, None, :])
        z[:, :, n] = torch.bmm(A[:, :, :n], across[:, :, None])[:, :, 0] + A[:, :, n] * size[:, None]
        z.add_(start, alpha=left)
        out, before, acts = z, [], []
        for i in range(1, depth):
            before.append(out)
            acts.append(activate(out))
            bias = b[i]
            out = torch.bmm(W[i], acts[-1])
            if bias is not None:
                out += bias[:, :, None]
        delta = loss_gradient(s.loss, out.mT, target.mT).mT.contiguous()
        gW, gb = [delta] * depth, [delta] * depth
        for i in reversed(range(1, depth)):
            gb[i] = delta.sum(2)
            gW[i] = torch.bmm(delta, acts[i - 1].mT)
            delta = torch.bmm(W[i].mT, delta).mul_(activation_slope(name, before[i - 1]))
        gW[0] = delta
        for p, g, c in zip(params, [*gW, *(g for g, v in zip(gb, b, strict=True) if v is not None)], change, strict=True):
            if s.weight_decay:
                g.add_(p, alpha=s.weight_decay)
            p.add_(c.mul_(momentum).add_(g, alpha=-s.lr))
        fall = momentum * fall - s.lr * s.weight_decay * left
        left += fall
    return {"sums": A, **named(W, b)}
