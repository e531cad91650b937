"""What is released of a network, and the access tiers that bring more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from bench.api.architecture import Architecture

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Tier = Literal[
    "final_weights",  # the released weights
    "mean_image",  # the mean of the training images, which the papers subtract from the input
    "initial_weights",  # the weights before training
    "public_images",  # images of the same distribution, neither members nor controls (track `stealing`: and of another data set)
    "known_data",  # all training images but one
    "shadow_data",  # data to train shadow models on
    "query_labels",  # the model as an oracle that tells the class alone
    "queries",  # the model as an oracle that tells its outputs
    "input_gradients",  # gradients of the outputs by the input, at queries
]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Release:
    """What every attack may see of a network. Each track has a release of its own with more fields: ``bench.tracks.NAME.Release``.

    A field that an access tier brings is declared by `bench.granted.granted`. Where the tier was not granted it cannot be read: that raises
    BenchError, and ``hasattr`` asks. Whoever walks over the fields (``dataclasses.fields``, ``replace``) meets those that are there. A
    subclass is decorated as this class is.
    """

    architecture: Architecture
    n_train: int  # how many training images; the papers set their number of candidates by it
    input_range: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        # dataclasses look the fields up on the instance
        vars(self)["__dataclass_fields__"] = {f.name: f for f in fields(type(self)) if f.name in vars(self)}

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), **self.held()), ()

    def held(self) -> dict[str, Any]:
        """What is there, by field."""
        return {f.name: vars(self)[f.name] for f in fields(self)}

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """All its tensors and where they are: ``mean_image/``, ``weights/layers.0.weight``."""
        import torch

        for field_name, value in self.held().items():
            named: Mapping[str, Any] = value if isinstance(value, Mapping) else {"": value}
            yield from ((f"{field_name}/{name}", named[name]) for name in sorted(named) if isinstance(named[name], torch.Tensor))

    @property
    def nbytes(self) -> int:
        """Of its tensors: what a copy takes."""
        return sum(tensor.numel() * tensor.element_size() for _, tensor in self.tensors())

    @property
    def device(self) -> torch.device:
        """Where its tensors are, and where the answer is expected."""
        import torch

        return next((tensor.device for _, tensor in self.tensors()), torch.device("cpu"))
