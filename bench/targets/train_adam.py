"""What steps networks of one shape in training by Adam on minibatches: each network in an order of its own, drawn by its seed.

Adam (Kingma and Ba, 2015) works elementwise, so a stack of networks under one optimiser is as many optimisers. Full-batch descent, by which
the other targets are trained, takes many thousand steps to memorise a label that the image contradicts; this takes some hundred.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from bench import seeds
from bench.api import Architecture, Rehearsal, Setting
from bench.capture import captured
from bench.targets.backpropagation import passed
from bench.targets.losses import loss_gradient, loss_targets
from bench.targets.models import forward
from bench.targets.parameters import Parameters


class _Rehearsed(NamedTuple):
    """Rehearsals of B networks, in stacks of s simulated thieves: see `bench.api.Rehearsal`."""

    questions: Tensor  # s × B × q × c × h × w, centred
    answers: Tensor  # s × B × p × q
    target: Tensor  # B × p × k
    weight: float


class ByAdam(Parameters):
    """Networks of one shape and what steps them, in place. Any architecture that `forward` knows.

    Args:
        settings: one a network; they share loss, lr, weight_decay and batch_size. Weight decay is added to the gradient as wd·θ.
        start, x, target: as of `Parameters`.
        rehearsals: one a network, of one shape and weight, their questions centred as x is; or none.
    """

    def __init__(
        self,
        architecture: Architecture,
        settings: Sequence[Setting],
        start: Mapping[str, Tensor],
        x: Tensor,
        target: Tensor,
        rehearsals: Sequence[Rehearsal] = (),
    ) -> None:
        first = settings[0]
        super().__init__(architecture, first.loss, start, x, target)
        self.batch_size = first.batch_size
        self.optimizer = torch.optim.Adam(
            list(self.parameters.values()), lr=first.lr, weight_decay=first.weight_decay, fused=True, capturable=captured(self.x.device)
        )
        self.draws = [seeds.generator("batches", setting.seed) for setting in settings]
        self.order = torch.zeros(len(settings), self.x.shape[1], dtype=torch.int64, device=self.x.device)
        self.first = torch.arange(len(settings), device=self.x.device)[:, None] * self.x.shape[1]  # row of each network's first image
        self.replayable = not rehearsals  # whose turns are counted here
        self.turn = 0
        self.rehearsed: _Rehearsed | None = None
        if rehearsals:
            goal = loss_targets(first.loss, torch.stack([r.labels for r in rehearsals]), architecture.outputs)
            self.rehearsed = _Rehearsed(
                torch.stack([r.questions for r in rehearsals], 1).to(self.x),
                torch.stack([r.answers for r in rehearsals], 1).to(self.x),
                goal.to(self.x),
                rehearsals[0].weight,
            )

    def draw(self) -> None:
        """The order of the next pass, on the CPU, where each network has a stream of its own."""
        self.order.copy_(torch.stack([torch.randperm(self.x.shape[1], generator=draw) for draw in self.draws]))

    def step(self) -> None:
        """One pass over the data; the last minibatch is what is left."""
        for part in self.order.split(self.batch_size, 1):
            rows = (part + self.first).flatten()  # of whole images, which are copied in one piece
            x, target = (of.flatten(0, 1).index_select(0, rows).unflatten(0, part.shape) for of in (self.x, self.target))
            asked = self.rehearsed
            if asked is not None:
                x = torch.cat([x, asked.questions[self.turn]], 1)
            out, back = self._passed(x)
            delta = loss_gradient(self.loss, out[:, : part.shape[1]], target)
            if asked is not None:
                answers = asked.answers[self.turn]
                theirs = loss_gradient(self.loss, answers @ out[:, part.shape[1] :], asked.target)
                delta = torch.cat([delta, asked.weight * (answers.mT @ theirs)], 1)
                self.turn = (self.turn + 1) % len(asked.questions)
            for w, gradient in zip(self.parameters.values(), back(delta), strict=True):
                w.grad = gradient.contiguous()  # the fused step takes weight and gradient for laid out alike
            self.optimizer.step()

    def _passed(self, x: Tensor) -> tuple[Tensor, Callable[[Tensor], Sequence[Tensor]]]:
        """Outputs, and what makes gradients by the parameters of one by the outputs."""
        if self.architecture.model == "mlp":
            return passed(self.architecture, self.parameters, x)
        out = forward(self.architecture, self.parameters, x)
        return out.detach(), lambda delta: torch.autograd.grad(out, list(self.parameters.values()), delta)
