"""What a detector says of a network's parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Redundancy:
    """How informative each parameter is, and which are redundant. Tensors have the shape of the weights, without a leading axis.

    Informativeness is ≥ 0 for all detectors but ``lime``, larger for more, and comparable within one detector only.
    """

    informativeness: Mapping[str, Tensor]
    redundant: Mapping[str, Tensor]
    units: tuple[Float[Tensor, " _"], ...] = ()  # by hidden layer, from detectors that judge units

    def ranking(self) -> Int[Tensor, " p"]:
        """Flat coordinates, the most informative first; the parameters follow each other as in the mapping, equals keep that order."""
        return torch.cat([v.flatten() for v in self.informativeness.values()]).argsort(descending=True, stable=True)

    def kept(self, share: float) -> dict[str, Tensor]:
        """The most informative share of the coordinates, rounded, at least one.

        Raises:
            ValueError: a share outside (0, 1].
        """
        order = self.ranking()
        chosen = torch.zeros(len(order), dtype=torch.bool, device=order.device)
        chosen[order[: count(share, len(order))]] = True
        return in_shape(chosen, self.informativeness)

    def share(self) -> float:
        """The share of parameters that are redundant."""
        return sum(int(v.sum()) for v in self.redundant.values()) / sum(v.numel() for v in self.redundant.values())


def in_shape(flat: Tensor, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """One value a coordinate, p of them, in the shapes of the parameters that they follow each other in."""
    parts = flat.split([w.numel() for w in like.values()])
    return {name: part.reshape(w.shape) for (name, w), part in zip(like.items(), parts, strict=True)}


def count(share: float, of: int) -> int:
    """A share as a number of things, rounded, at least one.

    Raises:
        ValueError: a share outside (0, 1].
    """
    if not 0 < share <= 1:
        raise ValueError(f"a share to keep lies in (0, 1], not {share}")
    return max(1, round(share * of))


def in_units_of_its_tensor(values: Tensor) -> Tensor:
    """Values over their root mean square, so that a layer's scale does not decide the ranking; zeros stay."""
    size = values.square().mean().sqrt()
    return values / size if float(size) > 0 else torch.zeros_like(values)
