"""ONNX files, read as a graph of data. The package ``onnx`` parses the file; the operators are applied here, by PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.artefacts.graph import MOST_NODES, Graph, Node, Value
from bench.errors import BenchError

LARGEST = 1024  # pixels of padding
STATISTICS = (3, 4)  # inputs of a BatchNormalization that are no parameters


def read_onnx(path: Path) -> Graph:
    """The network of an ONNX file.

    Raises:
        BenchError: the package is missing, the file is none, weights that lie outside of it, or an operator that is not known here.
    """
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError as error:
        raise BenchError(
            f"{path} is an ONNX file, and the package onnx is not installed",
            expected="the package onnx",
            got="none",
            hint="pip install 'reconbench[onnx]'",
        ) from error
    try:
        model = onnx.load(str(path), load_external_data=False)
        graph = model.graph
        if any(t.data_location == onnx.TensorProto.EXTERNAL for t in graph.initializer):
            raise BenchError(f"{path} has weights in another file", expected="one file", got="external data", hint="onnx.save(model, FILE)")
        held = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in graph.initializer}
        images = [value.name for value in graph.input if value.name not in held]
        if len(images) != 1 or len(graph.node) > MOST_NODES:
            raise BenchError(f"{path} is no network of one input", expected="images in, outputs out", got=", ".join(images[:4]) or "none")
        statistics, nodes = set[str](), []
        for node in graph.node:
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            if node.op_type == "Constant":
                held[node.output[0]] = (
                    torch.from_numpy(numpy_helper.to_array(attributes["value"]).copy())
                    if "value" in attributes
                    else (torch.tensor(next(iter(attributes.values()))))
                )
                continue
            if node.op_type not in OPERATORS:
                raise BenchError(
                    f"{path} has an operator that is not known here",
                    expected=", ".join(sorted(OPERATORS)),
                    got=node.op_type,
                    hint="torch.save(model.state_dict(), FILE), and your own class by --model package.module:factory",
                )
            if node.op_type == "BatchNormalization":
                statistics |= {node.input[i] for i in STATISTICS}
            fixed = {name: held[name] for name in node.input if name in held and not held[name].is_floating_point()}
            args = tuple(fixed[n].tolist() if n in fixed else Value(n) if n else None for n in node.input)
            nodes.append(Node(_Operator(node.op_type, attributes), tuple(node.output), args))
        floats = {name: value.float() for name, value in held.items() if value.is_floating_point()}
        parameters = {name: value for name, value in floats.items() if name not in statistics and value.ndim > 0}
        buffers = {name: value for name, value in floats.items() if name not in parameters}
        return Graph(nodes, images[0], graph.output[0].name, parameters, buffers)
    except BenchError:
        raise
    except Exception as error:  # foreign bytes may raise anything
        text = " ".join(str(error).split())[:160]
        raise BenchError(f"{path} cannot be read as ONNX", expected="a whole file", got=f"{type(error).__name__}: {text}") from error


class _Operator:
    """One operator with its attributes."""

    def __init__(self, name: str, attributes: Mapping[str, Any]) -> None:
        self.name, self.attributes = name, dict(attributes)

    def __call__(self, *inputs: Any) -> Any:
        return OPERATORS[self.name](self.attributes, *inputs)


def _padded(a: Mapping[str, Any], x: Tensor, value: float = 0.0) -> Tensor:
    """The image with the padding of an operator that slides a window."""
    pads = list(a.get("pads", (0, 0, 0, 0)))
    if a.get("auto_pad", b"NOTSET") in (b"SAME_UPPER", b"SAME_LOWER"):
        pads = [0, 0, 0, 0]
        for axis, (side, k, s) in enumerate(zip(x.shape[2:], a["kernel_shape"], a.get("strides", (1, 1)), strict=True)):
            total = max(0, (-(-side // s) - 1) * s + k - side)
            more, less = total - total // 2, total // 2
            pads[axis], pads[axis + 2] = (less, more) if a["auto_pad"] == b"SAME_UPPER" else (more, less)
    top, left, bottom, right = pads
    if max(map(abs, pads)) > LARGEST:
        raise ValueError(f"a padding of more than {LARGEST} pixels")
    return F.pad(x, (left, right, top, bottom), value=value) if any(pads) else x


def _conv(a: Mapping[str, Any], x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    a = {"kernel_shape": tuple(w.shape[2:]), **a}
    return F.conv2d(_padded(a, x), w, b, tuple(a.get("strides", (1, 1))), 0, tuple(a.get("dilations", (1, 1))), a.get("group", 1))


def _gemm(a: Mapping[str, Any], x: Tensor, w: Tensor, b: Any = None) -> Tensor:
    x, w = x.mT if a.get("transA") else x, w.mT if a.get("transB") else w
    out = a.get("alpha", 1.0) * (x @ w)
    return out if b is None else out + a.get("beta", 1.0) * b


def _max_pool(a: Mapping[str, Any], x: Tensor) -> Tensor:
    x = _padded(a, x, -torch.inf)
    strides = tuple(a.get("strides", (1, 1)))
    return F.max_pool2d(x, tuple(a["kernel_shape"]), strides, ceil_mode=bool(a.get("ceil_mode", 0)))


def _avg_pool(a: Mapping[str, Any], x: Tensor) -> Tensor:
    if any(a.get("pads", ())) and not a.get("count_include_pad", 0):
        raise ValueError("average pooling that leaves its padding out")
    return F.avg_pool2d(_padded(a, x), tuple(a["kernel_shape"]), tuple(a.get("strides", (1, 1))), ceil_mode=bool(a.get("ceil_mode", 0)))


def _norm(a: Mapping[str, Any], x: Tensor, w: Tensor, b: Tensor, mean: Tensor, var: Tensor) -> Tensor:
    return F.batch_norm(x, mean, var, w, b, False, 0.0, a.get("epsilon", 1e-5))


def _reshape(a: Mapping[str, Any], x: Tensor, shape: Any) -> Tensor:
    sides = [int(side) for side in shape]
    sides = [x.shape[i] if side == 0 else side for i, side in enumerate(sides)]
    if -1 not in sides and sides and sides[0] == 1:  # exported for one image
        sides[0] = -1
    return x.reshape(sides)


def _clip(a: Mapping[str, Any], x: Tensor, low: Any = None, high: Any = None) -> Tensor:
    return x.clamp(a.get("min", low), a.get("max", high))


def _mean(a: Mapping[str, Any], x: Tensor, axes: Any = None) -> Tensor:
    return x.mean(tuple(a.get("axes", axes or range(x.ndim))), keepdim=bool(a.get("keepdims", 1)))


OPERATORS: dict[str, Callable[..., Any]] = {
    "Conv": _conv,
    "Gemm": _gemm,
    "MatMul": lambda a, x, y: x @ y,
    "Add": lambda a, x, y: x + torch.as_tensor(y).to(x),
    "Sub": lambda a, x, y: x - torch.as_tensor(y).to(x),
    "Mul": lambda a, x, y: x * torch.as_tensor(y).to(x),
    "Div": lambda a, x, y: x / torch.as_tensor(y).to(x),
    "Relu": lambda a, x: torch.relu(x),
    "LeakyRelu": lambda a, x: F.leaky_relu(x, a.get("alpha", 0.01)),
    "Elu": lambda a, x: F.elu(x, a.get("alpha", 1.0)),
    "Gelu": lambda a, x: F.gelu(x, approximate=a.get("approximate", b"none").decode()),
    "Sigmoid": lambda a, x: torch.sigmoid(x),
    "Tanh": lambda a, x: torch.tanh(x),
    "Softplus": lambda a, x: F.softplus(x),
    "Erf": lambda a, x: torch.erf(x),
    "Clip": _clip,
    "MaxPool": _max_pool,
    "AveragePool": _avg_pool,
    "GlobalAveragePool": lambda a, x: x.mean((2, 3), keepdim=True),
    "BatchNormalization": _norm,
    "Flatten": lambda a, x: x.flatten(a.get("axis", 1)),
    "Reshape": _reshape,
    "Transpose": lambda a, x: x.permute(*a["perm"]),
    "Squeeze": lambda a, x, axes=None: x.squeeze(tuple(a.get("axes", axes))),
    "Concat": lambda a, *xs: torch.cat(xs, a["axis"]),
    "ReduceMean": _mean,
    "Dropout": lambda a, x, *_: x,
    "Identity": lambda a, x: x,
    "Softmax": lambda a, x: torch.softmax(x, a.get("axis", -1)),
    "LogSoftmax": lambda a, x: torch.log_softmax(x, a.get("axis", -1)),
}
