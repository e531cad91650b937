"""A network as a graph of data: operators from a short list, applied one after another. Nothing else in a file is ever run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

MOST_NODES = 5000


@dataclass(frozen=True)
class Value:
    """The name of what an earlier node gives, in place of a constant."""

    name: str


@dataclass(frozen=True)
class Node:
    """One operator. Arguments are constants, `Value`s, or lists of both."""

    operator: Callable[..., Any]
    outputs: tuple[str, ...]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)


class Graph(nn.Module):
    """The nodes as a module whose parameters are the graph's.

    Args:
        image: the name of the input.
        output: the name of the outputs' tensor.
        parameters: what was trained, by name.
        buffers: constants and running statistics.
    """

    def __init__(
        self, nodes: Sequence[Node], image: str, output: str, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor]
    ) -> None:
        super().__init__()
        self.nodes, self.image, self.output = tuple(nodes), image, output
        self.names: dict[str, str] = {}
        for name, value in parameters.items():
            self.names[name] = name.replace(".", "__")
            self.register_parameter(self.names[name], nn.Parameter(value, requires_grad=False))
        for name, value in buffers.items():
            self.names[name] = name.replace(".", "__")
            self.register_buffer(self.names[name], value)

    def forward(self, x: Tensor) -> Any:
        """The outputs for images."""
        values: dict[str, Any] = {self.image: x}

        def of(argument: Any) -> Any:
            if isinstance(argument, Value):
                return values[argument.name] if argument.name in values else getattr(self, self.names[argument.name])
            return [of(part) for part in argument] if isinstance(argument, (list, tuple)) else argument

        for node in self.nodes:
            found = node.operator(*(of(a) for a in node.args), **{key: of(value) for key, value in node.kwargs.items()})
            values |= dict(zip(node.outputs, found if isinstance(found, (list, tuple)) else (found,), strict=False))
        return values[self.output]
