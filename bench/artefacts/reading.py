"""A network as it was read: a pure function of weights and images, whatever it is made of, and how it was read in words.

What `Architecture` can say is run by the project's own forward pass, which attacks know in closed form. Anything else is a PyTorch module
in evaluation mode, called with the weights that it is given; inside it activations can be replaced, as attacks do that smooth their slope.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.overrides import TorchFunctionMode

from bench.api import Architecture
from bench.errors import BenchError
from bench.targets.models import bound_forward

OTHER = "other"  # the model of an Architecture that is neither our mlp nor our cnn
RELU = frozenset({torch.relu, torch.relu_, F.relu, F.relu_, Tensor.relu, Tensor.relu_, torch.ops.aten.relu.default})
LEAKY = frozenset({F.leaky_relu, F.leaky_relu_, torch._C._nn.leaky_relu, torch._C._nn.leaky_relu_})
ALIKE = 1e-3  # relative difference of a gradient from the outer product that it is


@dataclass(frozen=True, eq=False)
class Reading:
    """A network that was read."""

    architecture: Architecture
    weights: dict[str, Tensor]  # float32 or float64, on the CPU
    forward: Callable[..., Tensor]  # (weights, x) → outputs, x as the network gets it: after normalisation
    notes: tuple[str, ...] = ()  # how it was read, what was assumed
    choice: str = ""  # in what this reading differs from the others that fit
    module: torch.nn.Module | None = None  # of a network that is not ours

    @classmethod
    def ours(cls, architecture: Architecture, weights: Mapping[str, Tensor], notes: tuple[str, ...] = (), choice: str = "") -> Reading:
        """Of a network that `Architecture` can say."""
        return cls(architecture, dict(weights), bound_forward(architecture), notes, choice)

    @classmethod
    def of_module(
        cls,
        module: torch.nn.Module,
        shape: tuple[int, int, int],
        loss: str = "",
        notes: tuple[str, ...] = (),
        choice: str = "",
        *,
        outputs: int | None = None,
    ) -> Reading:
        """Of any PyTorch module that maps images to outputs; it is copied, and put into evaluation mode.

        Args:
            outputs: of a module that was made here, is nobody else's and in evaluation mode: it is neither copied nor tried.

        Raises:
            BenchError: it does not take such images, or does not answer n × k.
        """
        copied = outputs is None
        module = copy.deepcopy(module).cpu().float().eval().requires_grad_(False) if copied else module
        k = _outputs(module, shape) if outputs is None else outputs
        weights = {name: value.detach().clone() if copied else value.detach() for name, value in module.named_parameters()}
        if not weights:
            raise BenchError("the network has no parameters", expected="a trained network", got=type(module).__name__)
        loss = loss or ("bce" if k == 1 else "ce")
        if loss == "bce" and k != 1:
            raise BenchError(f"loss bce needs one output, the network has {k}", expected="ce, mse or huber", got="bce", hint="--loss ce")
        architecture = Architecture(OTHER, shape, (), k, _activation(module), "all", loss)
        return cls(architecture, weights, Functional(module), notes, choice, module)


def _outputs(module: torch.nn.Module, shape: tuple[int, int, int]) -> int:
    """How many outputs it has.

    Raises:
        BenchError: see `Reading.of_module`.
    """
    probe = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
    wanted = f"a module that maps n × {'×'.join(map(str, shape))} to n × k outputs"
    try:
        with torch.no_grad():
            out = module(probe)
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        raise BenchError(
            "the network does not take the members", expected=wanted, got=f"{type(error).__name__}: {text}", hint="--shape CxHxW"
        ) from error
    out = out[0] if isinstance(out, (tuple, list)) and out and isinstance(out[0], Tensor) else out
    if not isinstance(out, Tensor) or out.ndim not in (1, 2) or len(out) != 2 or not bool(torch.isfinite(out).all()):
        got = f"shape {tuple(out.shape)}" if isinstance(out, Tensor) else type(out).__name__
        raise BenchError("the network does not answer as a classifier does", expected=wanted, got=got)
    return 1 if out.ndim == 1 else int(out.shape[1])


class Functional:
    """A module as a pure function of its weights. It holds no images: a template of the module, and what of it is no parameter."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.template = torch.nn.Sequential(module)  # the running statistics in it are part of what is released

    def __call__(
        self, weights: Mapping[str, Tensor], x: Float[Tensor, "n c h w"], activation: Callable[[Tensor], Tensor] | None = None
    ) -> Float[Tensor, "n k"]:
        named = {f"0.{name}": value for name, value in weights.items()}
        like = next(iter(named.values()))
        self.template.to(like.device)
        if activation is None:
            out = torch.func.functional_call(self.template, named, (x.to(like),))
        else:
            with _Replaced(activation):
                out = torch.func.functional_call(self.template, named, (x.to(like),))
        out = out[0] if isinstance(out, (tuple, list)) else out
        return out.unsqueeze(1) if out.ndim == 1 else out


class _Replaced(TorchFunctionMode):
    """Inside, another function stands in for the kinked activations, wherever in a module they are called."""

    def __init__(self, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.activation = activation

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in RELU or func in LEAKY:
            z = args[0] if args else kwargs["input" if "input" in kwargs else "self"]
            return self.activation(z.flatten(1)).reshape(z.shape)
        return func(*args, **(kwargs or {}))


def _activation(module: torch.nn.Module) -> str:
    """The activation whose modules it has; relu where they are functions."""
    kinds = {type(part) for part in module.modules()}
    known = {
        torch.nn.ReLU: "relu",
        torch.nn.LeakyReLU: "leaky_relu",
        torch.nn.GELU: "gelu",
        torch.nn.Tanh: "tanh",
        torch.nn.SiLU: "silu",
        torch.nn.ELU: "elu",
        torch.nn.Sigmoid: "sigmoid",
        torch.nn.Softplus: "softplus",
    }
    return next((name for kind, name in known.items() if kind in kinds), "relu")


@dataclass(frozen=True, eq=False)
class FirstDense:
    """The matrix that reads the pixels: u × d, its bias where it has one, and their names."""

    weight: Float[Tensor, "u d"]
    bias: Float[Tensor, " u"] | None
    name: str
    transposed: bool = False  # whether the network holds it as d × u

    def of(self, weights: Mapping[str, Tensor]) -> Float[Tensor, "u d"]:
        """The same matrix of other weights of the network."""
        return weights[self.name].mT if self.transposed else weights[self.name]


def first_dense(reading: Reading) -> FirstDense | None:
    """The first layer, where it is dense over the pixels; None where pixels are read by anything else.

    Asked of any network by its gradient: at an image x, that of such a layer is δ xᵀ, and that of its bias δ.
    """
    shape = reading.architecture.input_shape
    d = shape[0] * shape[1] * shape[2]
    wide = {name: w for name, w in reading.weights.items() if w.ndim == 2 and d in w.shape}
    if not wide:
        return None
    x = torch.rand(1, *shape, generator=torch.Generator().manual_seed(1)).to(next(iter(reading.weights.values())))
    leaves = {name: w.detach().requires_grad_() for name, w in reading.weights.items()}
    out = reading.forward(leaves, x)
    seed = torch.linspace(1, 2, out.shape[1]).to(out)
    grads = dict(zip(leaves, torch.autograd.grad((out * seed).sum(), list(leaves.values()), allow_unused=True), strict=True))
    flat = x.flatten()
    for name in wide:
        grad = grads[name]
        if grad is None or not float(grad.norm()):
            continue
        for transposed in (False, True):
            rows = grad.mT if transposed else grad
            if rows.shape[1] != d:
                continue
            delta = rows @ flat / flat.square().sum()
            if float((rows - delta[:, None] * flat).norm()) <= ALIKE * float(rows.norm()):
                bias = next(
                    (
                        reading.weights[key]
                        for key, g in grads.items()
                        if g is not None and g.shape == delta.shape and float((g - delta).norm()) <= ALIKE * float(delta.norm())
                    ),
                    None,
                )
                weight = reading.weights[name]
                return FirstDense(weight.mT if transposed else weight, bias, name, transposed)
    return None
