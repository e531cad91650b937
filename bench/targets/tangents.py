"""How the weights that a training ends at move with one of its images: the derivative of `trials`, carried along with the training.

One network is trained, in float64, and beside it the derivatives of its state in c directions of its own image. The derivatives are linear
in the state, with the same matrices for all c: so they are large products of float32, where differences of c trainings are small ones of
float64. Measured on one core (201 directions, 201 images, 10 units): .24 s for 33 epochs against .63 s, 1.4 s for 183 epochs against 4.3 s.
Between kinks the derivative is exact; what a kink would change by a jump is left out, as in differences that cross none.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bench.api import KINKED
from bench.targets.losses import loss_curvature, loss_gradient, loss_targets
from bench.targets.models import activation_function, activation_slope
from bench.targets.one_missing import Known, named
from bench.targets.train import MOMENTUM

TOGETHER = 64  # directions: their state stays in a CPU's cache
STEP = 1e-4  # of the difference of slopes that stands for an activation's second derivative


def train_tangents(
    known: Known,
    first: Float[Tensor, "h q"],
    inputs: Float[Tensor, "n q"],
    own: Float[Tensor, " q"],
    label: Int[Tensor, ""],
    directions: Float[Tensor, "c q"],
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Trains one network on the known inputs and ``own``, and its derivatives by ``own`` in each direction; see `train_trials`.

    Returns:
        The tensors of `train_trials`, without its leading axis; and their derivatives, c × …, in float32.
    """
    net, s, n, h, depth = known.architecture, known.setting, len(inputs), len(first), len(known.architecture.hidden) + 1
    name, momentum, c = net.activation, MOMENTUM[s.optimizer], len(directions)
    every = torch.cat([inputs, own[None]])
    gram, start = every @ every.mT, first @ every.mT
    labels = torch.cat([known.labels.to(own.device), label.reshape(1)])
    target = loss_targets(s.loss, labels, net.outputs).to(own).mT.contiguous()
    across = (directions @ every.mT).float()  # derivatives of the gram matrix's last row, …
    across[:, n] *= 2  # … its corner …
    begin = (directions @ first.mT).float()  # … and of the first outputs for the own image

    W = [start.new_zeros(h, n + 1), *(known.start[f"layers.{i}.weight"].to(own).clone() for i in range(1, depth))]
    keys = [f"layers.{i}.bias" for i in range(depth)]
    b = [None, *(known.start[k].to(own).clone() if k in known.start else None for k in keys[1:])]
    dW = [torch.zeros(c, *w.shape, device=own.device) for w in W]
    db = [None if v is None else torch.zeros(c, *v.shape, device=own.device) for v in b]
    params, moved = [[*w, *(v for v in bias if v is not None)] for w, bias in ((W, b), (dW, db))]
    change, changes = [[torch.zeros_like(p) for p in some] for some in (params, moved)]
    pieces = [slice(k, k + TOGETHER) for k in range(0, c, TOGETHER)]
    activate, gram32, left, fall = activation_function(name), gram.float(), 1.0, 0.0

    def descend(params: list[Tensor], gradients: list[Tensor], changes: list[Tensor]) -> None:
        for p, g, v in zip(params, gradients, changes, strict=True):
            p.add_(v.mul_(momentum).add_(g.add(p, alpha=s.weight_decay) if s.weight_decay else g, alpha=-s.lr))

    for _ in range(known.epochs):
        z = [(W[0] @ gram).add_(start, alpha=left)]
        acts: list[Tensor] = []
        slopes: list[Tensor] = []
        bends: list[Tensor | None] = []
        for i in range(1, depth):
            acts.append(activate(z[-1]))
            slopes.append(activation_slope(name, z[-1]))
            bends.append(_bend(name, z[-1]))
            bias = b[i]
            z.append(W[i] @ acts[-1] if bias is None else torch.addmm(bias[:, None], W[i], acts[-1]))
        delta = [loss_gradient(s.loss, z[-1].mT, target.mT).mT.contiguous()]  # of the outputs of each layer, the first layer first
        for i in reversed(range(1, depth)):
            back = W[i].mT @ delta[0]
            bend = bends[i - 1]
            bends[i - 1] = None if bend is None else (bend * back).float()
            delta.insert(0, back * slopes[i - 1])
        w32, acts32, slopes32, delta32, out32 = ([v.float() for v in some] for some in (W, acts, slopes, delta, z[-1:]))

        for some in pieces:
            dz = torch.matmul(dW[0][some], gram32).addcmul_(w32[0][:, n, None], across[some, None, :])
            dz[:, :, n] += (across[some, :n] @ w32[0][:, :n].mT).add_(begin[some], alpha=left)
            before, acted = [], []
            for i in range(1, depth):
                before.append(dz)
                acted.append(dz * slopes32[i - 1])
                dz = torch.matmul(w32[i], acted[-1]).add_(torch.matmul(dW[i][some], acts32[i - 1]))
                dbias = db[i]
                if dbias is not None:
                    dz += dbias[some, :, None]
            d = loss_curvature(s.loss, out32[0].mT, target.mT.float(), dz.mT).mT.contiguous()
            dgW, dgb = [d] * depth, [d] * depth
            for i in reversed(range(1, depth)):
                dgb[i] = d.sum(2)
                dgW[i] = torch.matmul(d, acts32[i - 1].mT).add_(torch.matmul(delta32[i], acted[i - 1].mT))
                d = torch.matmul(w32[i].mT, d).add_(torch.matmul(dW[i][some].mT, delta32[i])).mul_(slopes32[i - 1])
                bend = bends[i - 1]
                if bend is not None:
                    d.addcmul_(bend, before[i - 1])
            dgW[0] = d
            gradients = [*dgW, *(g for g, v in zip(dgb, db, strict=True) if v is not None)]
            descend([p[some] for p in moved], gradients, [v[some] for v in changes])

        gW = [delta[0], *(delta[i] @ acts[i - 1].mT for i in range(1, depth))]
        descend(params, [*gW, *(g.sum(1) for g, v in zip(delta, b, strict=True) if v is not None)], change)
        fall = momentum * fall - s.lr * s.weight_decay * left
        left += fall
    return {"sums": W[0], **named(W, b)}, {"sums": dW[0], **named(dW, db)}


def _bend(name: str, z: Tensor) -> Tensor | None:
    """The activation's second derivative; None where it has none but at a kink."""
    return None if name in KINKED else (activation_slope(name, z + STEP) - activation_slope(name, z - STEP)) / (2 * STEP)
