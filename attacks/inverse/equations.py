"""Training as equations between numbers that a kink breaks one by one.

W₁(T) = s·W₁(0) + A·X + a·xᵀ, where A (h × n) and a (h) are how much of each image every unit has taken up. The attacker does not know A, as
the missing image x = Σ ηᵢxᵢ + (a part outside) hides in it: what the weights give is A + a·ηᵀ, one number for each unit and known image.
Trial trainings are brought into the same form, and compared there and not as weights. For where a trial image puts a known image on the
other side of one unit's kink, it changes mainly one entry of A, but a whole row of W₁. So broken equations stay few, and can be told from
the others.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from attacks.inverse.subspace import Subspace
from bench.tracks.informed import Release

ROUNDING = 1e-4  # share of the first layer's change that float32 may leave outside the span of all images
FLOOR = 1e-8  # of a residual: below it there is rounding only


class Equations:
    """Those of one released network: the rows of its weights, and of trainings with trial images.

    A row holds the first layer as sums of known images (h × n), along the direction outside (h), and every other tensor.
    """

    def __init__(self, release: Release, space: Subspace, network: int) -> None:
        self.space = space
        recipe: Any = release.train  # it can do more than be called: `trials`, `remains`
        self.train = recipe
        weights = {name: w[network].double() for name, w in release.weights.items()}
        start = {name: w.double() for name, w in release.initial_weights.items()}
        first, bias = "layers.0.weight", "layers.0.bias"
        change = weights[first] - self.train.remains * start[first]
        self.unit = space.direction(change)
        self.ones = [space.known.new_ones(len(space.known), 1)] if bias in start else []  # the bias: a coordinate that is always 1
        self.first = torch.cat(
            [start[first] @ space.basis, (start[first] @ self.unit)[:, None], *(start[k][:, None] for k in self._bias)], 1
        )
        self.inputs = torch.cat([space.known, torch.zeros_like(space.known[:, :1]), *self.ones], 1)
        self.sums = torch.linalg.pinv(torch.cat([space.known, *self.ones], 1))  # coordinates → sums of known images
        moved = torch.cat([change @ space.basis, *((weights[k] - self.train.remains * start[k])[:, None] for k in self._bias)], 1)
        self.rest = [name for name in start if name not in (first, bias)]
        self.outside = change @ self.unit
        self.leaves_span = float(self.outside.norm()) > ROUNDING * float(change.norm())
        self.wanted = torch.cat([(moved @ self.sums).flatten(), self.outside, *(weights[k].flatten() for k in self.rest)])

        mean = torch.zeros_like(self.first[:1, : space.known.shape[1] + 1])
        mean[:, -1] = space.known.square().sum(1).mean().sqrt()
        nothing = self.rows(mean, release.known_labels[:1])
        self.scale = self.size(nothing)

    @property
    def _bias(self) -> list[str]:
        return ["layers.0.bias"] if self.ones else []

    def rows(self, own: Float[Tensor, "b k"], labels: Int[Tensor, " b"]) -> Float[Tensor, "b p"]:
        """What training with each of these images in the missing place gives."""
        ones = [own.new_ones(len(own), 1) for _ in self.ones]
        got = self.train.trials(self.first, self.inputs, torch.cat([own, *ones], 1), labels)
        known, mine = got["sums"][:, :, :-1], got["sums"][:, :, -1]
        shares = torch.cat([own[:, :-1], *ones], 1) @ self.sums
        # `mine`, were the trial right: so a kink of the missing image breaks no whole row
        taken = self.outside / own[:, -1:] if self.leaves_span else mine
        first = torch.baddbmm(known, taken[:, :, None], shares[:, None, :])
        return torch.cat([first.flatten(1), mine * own[:, -1:], *(got[k].flatten(1) for k in self.rest)], 1)

    def asked(self, rows: Float[Tensor, "b p"]) -> Float[Tensor, " b"]:
        """The factor by which each trial image's part outside the span should change, for what units take up along it to fit best."""
        begin = self.outside.numel() * len(self.inputs)
        taken = rows[:, begin : begin + self.outside.numel()]
        return (taken @ self.outside / taken.square().sum(1).clamp_min(FLOOR**2)) if self.leaves_span else torch.ones_like(rows[:, 0])

    @property
    def cost(self) -> float:
        """GFLOP of the derivatives at one image: the products with the known images' inner products."""
        return 2e-9 * self.train.epochs * self.first.shape[1] * len(self.first) * (len(self.inputs) + 1) ** 2

    def size(self, rows: Float[Tensor, "b p"]) -> Float[Tensor, " b"]:
        """Geometric mean of the residuals of each row."""
        return ((rows - self.wanted).abs() + FLOOR).log().mean(1).exp()

    def tangent(self, own: Float[Tensor, " k"], label: Int[Tensor, ""]) -> tuple[Float[Tensor, " p"], Float[Tensor, "p k"]]:
        """The row at an image and its derivatives there: those of the piece between kinks that the image is on."""
        k, ones = len(own), [own.new_ones(1) for _ in self.ones]
        eye = torch.eye(k).to(own)
        directions = torch.cat([eye, *(own.new_zeros(k, 1) for _ in self.ones)], 1)
        got, moved = self.train.tangents(self.first, self.inputs, torch.cat([own, *ones]), label, directions)
        moved = {name: value.double() for name, value in moved.items()}
        mine, more = got["sums"][:, -1], moved["sums"][:, :, -1]
        shares = torch.cat([own[:-1], *ones]) @ self.sums
        share = torch.cat([self.sums[: k - 1], torch.zeros_like(self.sums[:1])])
        along, taken, take = eye[-1], mine, more
        if self.leaves_span:
            taken = self.outside / own[-1]
            take = -along[:, None] * (taken / own[-1])
        row = torch.cat(
            [torch.addr(got["sums"][:, :-1], taken, shares).flatten(), mine * own[-1], *(got[name].flatten() for name in self.rest)]
        )
        first = moved["sums"][:, :, :-1] + take[:, :, None] * shares + taken[:, None] * share[:, None, :]
        rest = [moved[name].flatten(1) for name in self.rest]
        return row, torch.cat([first.flatten(1), more * own[-1] + along[:, None] * mine, *rest], 1).mT.contiguous()
