"""Units whose activation does not vary on the known images: a ReLU that never fires, a sigmoid that is stuck. Ours.

What never varies tells one image from another as little as a bias does, and a ReLU that never fires gets no gradient at all.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from attacks.redundancy.evidence import Evidence
from attacks.redundancy.units import hidden, of_parameters
from attacks.redundancy.verdict import Redundancy

AT_ONCE = 30_000_000  # activations held at a time


def inactive(evidence: Evidence, tolerance: float = 1e-6) -> Redundancy:
    """Judges hidden units by how their activations vary over the images that the networks were trained on.

    A unit is redundant if in every network its activations span at most ``tolerance`` of the widest span in its layer. Its
    informativeness is their standard deviation over the images, averaged over the networks. The output bias belongs to no unit: it is
    never redundant, and ranks with the most informative.

    Args:
        evidence: with ``known``; with ``missing`` too, a unit that fires for a network's own missing image is not redundant.

    Raises:
        ValueError: no known images.
    """
    known = evidence.known
    if known is None:
        raise ValueError("inactive: needs the known images")
    spans: list[list[Tensor]] = [[] for _ in evidence.architecture.hidden]
    spreads: list[list[Tensor]] = [[] for _ in evidence.architecture.hidden]
    for weights, x in _chunks(evidence, known):
        for layer, a in enumerate(hidden(evidence.architecture, weights, x)):
            spans[layer].append(a.amax(1) - a.amin(1))
            spreads[layer].append(a.std(1, correction=0))
    span = [torch.cat(s) for s in spans]  # b × u, a layer each
    dead = [s.amax(0) <= tolerance * s.amax() for s in span]
    # on the scale of its own layer, so that layers can be compared; exactly zero where nothing varies
    units = tuple(torch.cat(s).mean(0) / torch.cat(s).mean(0).max().clamp(min=1e-30) for s in spreads)
    units = tuple(u.masked_fill(d, 0.0) for u, d in zip(units, dead, strict=True))
    like = {name: w[0] for name, w in evidence.final.items()}
    alive = of_parameters([(~d).to(u) for u, d in zip(units, dead, strict=True)], like, 1.0)
    return Redundancy(of_parameters(units, like, 1.0), {name: a < 0.5 for name, a in alive.items()}, units)


def _chunks(evidence: Evidence, known: Float[Tensor, "n c h w"]) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
    """The networks a part at a time, with the images of each."""
    n = len(known) + (evidence.missing is not None)
    size = max(1, AT_ONCE // (n * max(max(evidence.architecture.hidden), known[0].numel() * (evidence.missing is not None))))
    for start in range(0, evidence.networks, size):
        weights = {name: w[start : start + size] for name, w in evidence.final.items()}
        like = next(iter(weights.values()))
        x = known.to(like).unsqueeze(0)
        if evidence.missing is not None:
            own = evidence.missing[start : start + size].to(like).unsqueeze(1)
            x = torch.cat([x.expand(len(own), *x.shape[1:]), own], 1)
        yield weights, x
