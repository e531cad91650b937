"""A metric: how near one image comes to another."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor


class Metric(ABC):
    """How near one image comes to another. Subclass it with literals, which the tables read without importing the file.

    Every metric in the registry is computed for the pairs of every track that answers with images, for members and for controls. It has a
    column ``name`` in the image rows, and ``name_STATISTIC`` and ``name_STATISTIC_controls`` in the score rows.
    """

    name: ClassVar[str]  # snake_case: a column of the image rows
    label: ClassVar[str]  # as tables name it
    unit: ClassVar[str] = "1"
    range: ClassVar[tuple[float, float | None]]  # of its values; None: no upper end
    better: ClassVar[str]  # "higher" or "lower": which means nearer
    worst: ClassVar[float | None] = None  # stands for an image without a partner; None: beyond any value, so that it is never a mean's
    statistics: ClassVar[tuple[str, ...]] = ("median",)  # over a cell's images: "median", "mean"; tables show the first
    decimals: ClassVar[int] = 4  # kept in the image rows
    shown: ClassVar[int] = 2  # decimals in tables

    @abstractmethod
    def pairs(self, a: Float[Tensor, "n c h w"], b: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"] | None:
        """The values of ``a[i]`` against ``b[i]``, finite, of images in [0, 1] with 1 or 3 channels; None where it cannot be had here."""
