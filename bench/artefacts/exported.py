"""Files of ``torch.export.save`` (.pt2), read as a graph of data: JSON and raw numbers.

``torch.export.load`` is not used: it evaluates texts of the file as expressions, and unpickles sample inputs and constants.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.artefacts.graph import MOST_NODES, Graph, Node, Value
from bench.artefacts.tensors import MAX_BYTES
from bench.errors import BenchError

DTYPES = {5: torch.int64, 6: torch.float16, 7: torch.float32, 8: torch.float64, 13: torch.bfloat16, 4: torch.int32, 12: torch.bool}
OPERATORS = frozenset(
    {
        "conv2d.default", "linear.default", "relu.default", "relu_.default", "leaky_relu.default", "leaky_relu_.default", "elu.default",
        "elu_.default", "gelu.default", "silu.default", "silu_.default", "sigmoid.default", "tanh.default", "softplus.default",
        "hardtanh.default", "hardtanh_.default", "hardsigmoid.default", "hardswish.default", "hardswish_.default", "clamp.default",
        "batch_norm.default", "layer_norm.default", "group_norm.default", "max_pool2d.default", "avg_pool2d.default",
        "adaptive_avg_pool2d.default", "adaptive_max_pool2d.default", "flatten.using_ints", "view.default", "reshape.default",
        "_unsafe_view.default", "squeeze.dim", "squeeze.dims", "unsqueeze.default", "permute.default", "transpose.int", "t.default",
        "contiguous.default", "clone.default", "add.Tensor", "add_.Tensor", "sub.Tensor", "mul.Tensor", "mul_.Tensor", "div.Tensor",
        "neg.default", "add.Scalar", "mul.Scalar", "sub.Scalar", "div.Scalar", "cat.default", "mean.dim", "mean.default",
        "sum.dim_IntList", "softmax.int", "log_softmax.int", "_softmax.default", "_log_softmax.default", "addmm.default", "mm.default",
        "matmul.default", "bmm.default", "dropout.default", "dropout_.default", "feature_dropout.default", "alias.default",
        "slice.Tensor", "select.int", "sym_size.int", "pad.default", "constant_pad_nd.default", "pow.Tensor_Scalar", "sqrt.default",
        "rsqrt.default", "detach_.default", "detach.default", "lift_fresh_copy.default",
    }
)  # fmt: skip
SIZED, LARGEST = ("pad", "constant_pad_nd", "adaptive_avg_pool2d", "adaptive_max_pool2d"), 1024  # what makes maps of any side
SHAPED = ("view", "reshape", "_unsafe_view")  # whose first size is the number of images


def is_exported(path: Path) -> bool:
    """Whether an archive is one of ``torch.export.save``."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception:  # damaged: whoever reads it next says so
        return False
    return any(name.endswith(("/archive_format", "serialized_exported_program.json")) or "/models/" in name for name in names)


def read_exported(path: Path) -> Graph:
    """The network of an archive of ``torch.export.save``, in evaluation mode.

    Raises:
        BenchError: another form of archive, an operator that is not in the list, or numbers that are not there.
    """
    try:
        return _graph(path)
    except BenchError:
        raise
    except Exception as error:  # foreign bytes may raise anything
        text = " ".join(str(error).split())[:160]
        raise BenchError(
            f"{path} cannot be read as an exported network",
            expected="an archive of torch.export.save, of one network with one input",
            got=f"{type(error).__name__}: {text}",
            hint="save it again with the PyTorch that is installed here; or torch.save(model.state_dict(), FILE) and --model",
        ) from error


def _graph(path: Path) -> Graph:
    with zipfile.ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > MAX_BYTES:
            raise BenchError(f"{path} is too large", expected=f"at most {MAX_BYTES // 2**30} GiB unpacked", got="more")
        names = archive.namelist()
        models = [name for name in names if "/models/" in name and name.endswith(".json")]
        raw = any("/data/weights/" in name and name.endswith("_config.json") for name in names)
        if "serialized_exported_program.json" in {name.rpartition("/")[2] for name in names} or (models and not raw):
            raise BenchError(
                f"{path} is an export of PyTorch 2.8 or earlier, which keeps its weights as a pickle",
                expected="an archive as PyTorch 2.9 and later write it: models/NAME.json, and raw numbers in data/weights",
                got=", ".join(names[:4]),
                hint="export it again with a later PyTorch; or torch.save(model.state_dict(), FILE), and where it is no chain of layers "
                "--model package.module:factory",
            )
        if len(models) != 1:
            raise BenchError(
                f"{path} is no archive of one exported network",
                expected="models/NAME.json in it, as PyTorch 2.9 and later write it",
                got=", ".join(names[:4]),
                hint="torch.export.save(torch.export.export(model.eval(), (images,)), FILE); a compiled package is code, and is not opened",
            )
        module = json.loads(archive.read(models[0]))["graph_module"]
        held = {**_tensors(archive, path, "weights"), **_tensors(archive, path, "constants")}
    graph, signature = module["graph"], module["signature"]
    parameters: dict[str, Tensor] = {}
    buffers: dict[str, Tensor] = {}
    image = ""
    for spec in signature["input_specs"]:
        [(kind, what)] = spec.items()
        if kind == "parameter":
            parameters[what["arg"]["name"]] = held[what["parameter_name"]]
        elif kind == "buffer":
            buffers[what["arg"]["name"]] = held[what["buffer_name"]]
        elif kind == "tensor_constant":
            buffers[what["arg"]["name"]] = held[what["tensor_constant_name"]]
        elif kind == "user_input" and not image:
            image = what["arg"]["as_tensor"]["name"]
        else:
            raise BenchError(f"{path} takes more than images", expected="a network of one input", got=f"a {kind}")
    outputs = [spec["user_output"]["arg"]["as_tensor"]["name"] for spec in signature["output_specs"] if "user_output" in spec]
    sizes = graph["tensor_values"][image]["sizes"]
    batch = sizes[0].get("as_int") if sizes else None
    if len(graph["nodes"]) > MOST_NODES:
        raise BenchError(f"{path} has too many nodes", expected=f"at most {MOST_NODES}", got=str(len(graph["nodes"])))
    nodes = [_node(node, batch, image, path) for node in graph["nodes"]]
    return Graph([node for node in nodes if node is not None], image, outputs[0], parameters, buffers)


def _tensors(archive: zipfile.ZipFile, path: Path, what: str) -> dict[str, Tensor]:
    """Weights or constants, from their raw bytes."""
    config = next((name for name in archive.namelist() if f"/data/{what}/" in name and name.endswith("_config.json")), None)
    found: dict[str, Tensor] = {}
    for name, own in (json.loads(archive.read(config))["config"] if config else {}).items():
        meta = own["tensor_meta"]
        if own.get("use_pickle") or meta["dtype"] not in DTYPES:
            raise BenchError(
                f"{path}: entry '{name}' is pickled, and is not opened", expected="raw numbers", got=f"dtype {meta['dtype']} of the format"
            )
        raw = torch.frombuffer(bytearray(archive.read(f"{config.rpartition('/')[0]}/{own['path_name']}")), dtype=DTYPES[meta["dtype"]])  # type: ignore[union-attr]
        shape, strides = ([side["as_int"] for side in meta[key]] for key in ("sizes", "strides"))
        offset = meta["storage_offset"]["as_int"]
        last = offset + sum((side - 1) * stride for side, stride in zip(shape, strides, strict=True)) if math.prod(shape) else 0
        if min([offset, *shape, *strides], default=0) < 0 or last >= len(raw) or math.prod(shape) > len(raw):
            raise BenchError(f"{path}: entry '{name}' claims more numbers than are there", expected=f"{len(raw)} numbers", got=str(shape))
        tensor = torch.as_strided(raw, shape, strides, offset).clone()
        found[name] = tensor.float() if tensor.is_floating_point() else tensor
    return found


def _node(node: Mapping[str, Any], batch: int | None, image: str, path: Path) -> Node | None:
    target = node["target"]
    name = target.removeprefix("torch.ops.aten.")
    if name == target or name not in OPERATORS:
        if "_assert" in target or "_guards" in target:
            return None
        raise BenchError(
            f"{path} has an operator that is not known here",
            expected="layers, normalisations, activations and poolings of classifiers of images",
            got=target,
            hint="torch.save(model.state_dict(), FILE), and your own class by --model package.module:factory",
        )
    packet, overload = name.split(".")
    kwargs = {given["name"]: _argument(given["arg"]) for given in node["inputs"]}
    kwargs |= {key: False for key in ("train", "training") if key in kwargs}  # in evaluation mode
    for key in ("size", "shape"):
        sides = kwargs.get(key)
        if packet in SHAPED and isinstance(sides, list) and sides and sides[0] == batch and -1 not in sides:
            kwargs[key] = [-1, *sides[1:]]
    outputs: list[str] = []
    for out in node["outputs"]:
        [(kind, what)] = out.items()
        outputs += [each["name"] for each in what] if kind == "as_tensors" else [what.get("name") or what.get("as_name")]
    if packet in SIZED and _largest(list(kwargs.values())) > LARGEST:
        raise BenchError(f"{path}: {target} makes maps that are too large", expected=f"sides up to {LARGEST}", got=str(kwargs)[:100])
    operator = getattr(getattr(torch.ops.aten, packet), overload)
    return Node(torch.Tensor.size if packet == "sym_size" else operator, tuple(outputs), *_called(packet, kwargs))


def _largest(values: Any) -> int:
    """The largest number in arguments."""
    if isinstance(values, list):
        return max(map(_largest, values), default=0)
    return abs(values) if isinstance(values, int) else 0


def _called(packet: str, kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return ((kwargs["self"], kwargs["dim"]), {}) if packet == "sym_size" else ((), kwargs)


def _argument(arg: Mapping[str, Any]) -> Any:
    [(kind, what)] = arg.items()
    if kind == "as_tensor":
        return Value(what["name"])
    if kind == "as_tensors":
        return [Value(each["name"]) for each in what]
    if kind == "as_none":
        return None
    if kind == "as_sym_int":
        return Value(what["as_name"]) if "as_name" in what else what["as_int"]
    if kind == "as_sym_ints":
        return [Value(each["as_name"]) if "as_name" in each else each["as_int"] for each in what]
    if kind in ("as_int", "as_ints", "as_float", "as_floats", "as_bool", "as_bools", "as_string"):
        return what
    if kind in ("as_scalar_type", "as_memory_format", "as_layout", "as_device"):
        return None
    raise BenchError("an argument of the exported network is of an unknown kind", expected="tensors and numbers", got=kind)
