"""What an attacker may ask: the owner's network behind its interface, which counts and can refuse."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from bench import seeds
from bench.api import Architecture, Ask, Defense, Part
from bench.data.duplicates import first_occurrences
from bench.errors import BenchError
from bench.targets.fresh import copies, copy
from bench.targets.losses import predicted
from bench.targets.models import forward

LIMIT = 1_000_000  # answers that an oracle gives at most
KEPT = 50_000  # different images that are kept of what it was asked
ORACLE = frozenset({"query_labels", "queries", "input_gradients"})


class Asked(Part):
    """The owner's network behind its interface: see `bench.api.Oracle`. A fresh copy for every run, with a count of its own.

    It takes down which images it was asked about. What it keeps the attacker had already; planted inputs meet it in the score alone.
    """

    def __init__(
        self,
        net: Architecture,
        weights: Mapping[str, Tensor],
        mean: Tensor,
        tiers: frozenset[str] = ORACLE,
        limit: int = LIMIT,
        *,
        defense: Defense | None = None,
        name: str = "",
    ) -> None:
        """
        Args:
            defense: what masks explanations, and says how many answers there are; None: nothing.
            name: of the target; names the random stream of the masks, which begins anew for every attacker.
        """
        self._net, self._weights, self._mean, self._tiers = net, weights, mean, tiers
        self._defense, self._name = defense, name
        allowed = None if defense is None else defense.answers()
        self.limit, self.used = limit if allowed is None else min(limit, allowed), 0
        self._masks = seeds.generator("defense", "explanations", name)
        self._seen: set[bytes] = set()
        self._images: list[Tensor] = []

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._mean.device

    def asked(self) -> UInt8[Tensor, "q c h w"] | None:
        """The images that it answered about, each once, in steps of 1/255; None: there are none, or more than `KEPT`."""
        return torch.cat(self._images) if 0 < len(self._seen) <= KEPT else None

    def granting(self, tiers: frozenset[str]) -> Asked:
        """A fresh one that gives these kinds of answers only."""
        return Asked(self._net, copies(self._weights), copy(self._mean), tiers & ORACLE, self.limit, defense=self._defense, name=self._name)

    def stand_in(self) -> Callable[[Ask], Afar]:
        """See Part."""
        return partial(Afar, str(self.device), self.limit)

    def answer(
        self, question: str, tensors: Mapping[str, Tensor], facts: Mapping[str, Any], owner: str
    ) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """See Part."""
        given = {"labels": ("images",), "logits": ("images",), "gradients": ("images", "directions")}.get(question)
        if given is None or set(tensors) != set(given):
            raise BenchError("the oracle does not understand", expected="labels, logits or gradients of images", got=repr(question)[:60])
        found = getattr(self, question)(*(tensors[name] for name in given))
        return {"found": found}, {"used": self.used}

    def labels(self, images: Tensor) -> Tensor:
        self._admit("query_labels", images, len(images))
        return predicted(self._outputs(images).detach())

    def logits(self, images: Tensor) -> Tensor:
        self._admit("queries", images, len(images))
        return self._outputs(images).detach()

    def gradients(self, images: Tensor, directions: Tensor) -> Tensor:
        if directions.ndim != 3 or len(directions) != len(images) or directions.shape[2] != self._net.outputs:
            wanted = f"{len(images)} × r × {self._net.outputs}"
            raise BenchError("directions do not fit the images", expected=wanted, got=" × ".join(map(str, directions.shape)))
        self._admit("input_gradients", images, len(images) * directions.shape[1])
        x = images.detach().to(self._mean).requires_grad_()
        with torch.enable_grad():
            out = self._outputs(x)
            sums = [(out * directions[:, r].to(out)).sum() for r in range(directions.shape[1])]
            found = [torch.autograd.grad(s, x, retain_graph=True)[0] for s in sums]
        told = torch.stack(found, 1).detach()
        return told if self._defense is None else self._explained(told)

    def _explained(self, gradients: Tensor) -> Tensor:
        """What the defence lets through, of the same shape, finite.

        Raises:
            BenchError: it is of another shape, or not finite.
        """
        assert self._defense is not None
        told = self._defense.explained(gradients, self._masks)
        if told.shape != gradients.shape or not bool(told.isfinite().all()):
            raise BenchError(
                f"defence '{self._defense.name}' masks gradients into something else",
                expected=f"finite, {' × '.join(map(str, gradients.shape))}",
                got=" × ".join(map(str, told.shape)) if told.shape != gradients.shape else "NaN or infinity",
                hint=f"python -m bench check {self._defense.name}",
            )
        return told.to(gradients)

    def _admit(self, tier: str, images: Tensor, answers: int) -> None:
        if tier not in self._tiers:
            raise BenchError(f"the oracle does not answer that: the attack's `needs` lack {tier}", got=", ".join(sorted(self._tiers)))
        if images.ndim != 4 or tuple(images.shape[1:]) != tuple(self._net.input_shape):
            raise BenchError("the oracle is asked about other images", expected=str(self._net.input_shape), got=str(tuple(images.shape)))
        if self.used + answers > self.limit:
            raise BenchError("the oracle refuses", expected=f"at most {self.limit} answers", got=f"{self.used} and {answers} more")
        self.used += answers
        self._take_down(images)

    def _take_down(self, images: Tensor) -> None:
        if len(self._seen) <= KEPT:
            pixels = (images.detach().clamp(0, 1) * 255).round().to("cpu", torch.uint8)
            self._images.append(pixels[torch.from_numpy(first_occurrences(pixels.numpy(), self._seen))])

    def _outputs(self, images: Tensor) -> Tensor:
        return forward(self._net, self._weights, images.to(self._mean) - self._mean)


class Afar:
    """What stands for the oracle in an attack's own process: it passes each question on. Only the oracle itself counts."""

    def __init__(self, device: str, limit: int, ask: Ask) -> None:
        self.device, self.limit, self.used = torch.device(device), limit, 0
        self._ask = ask

    def labels(self, images: Tensor) -> Tensor:
        return self._put("labels", images=images)

    def logits(self, images: Tensor) -> Tensor:
        return self._put("logits", images=images)

    def gradients(self, images: Tensor, directions: Tensor) -> Tensor:
        return self._put("gradients", images=images, directions=directions)

    def _put(self, question: str, **given: Tensor) -> Tensor:
        tensors, facts = self._ask(question, given, {})
        self.used = facts["used"]
        return tensors["found"].to(self.device)
