"""The public description of a network."""

from __future__ import annotations

from dataclasses import dataclass

from bench.api.setting import KINKED


@dataclass(frozen=True)
class Architecture:
    """The public description of a network: enough to rebuild it and to say whether an attack applies.

    Weights are named ``layers.L.weight`` and ``layers.L.bias``, as in the authors' checkpoints: out × in of a linear layer,
    out × in × k × k of a convolution. A cnn's convolutions come first.
    """

    model: str
    input_shape: tuple[int, int, int]  # c, h, w
    hidden: tuple[int, ...]
    outputs: int  # 1 for two-class tasks under bce, mse, huber; else the number of classes
    activation: str
    bias: str
    loss: str
    channels: tuple[int, ...] = ()  # of a cnn
    kernel: int = 0
    pooling: str = ""

    @property
    def homogeneous(self) -> bool:
        """Whether scaling all weights by c > 0 scales the output by a power of c (the first layer's bias may stay)."""
        return self.activation in KINKED and self.bias != "all"
