"""What goes over the socket between a run and a process of attacks.

From the run: pickles, of which the process that reads them has nothing to fear. From the process of attacks: JSON and safetensors, since
whoever unpickles what a stranger has written runs the stranger's code. Both in frames that begin with their lengths.

A release is pickled tensor by tensor, the numbers alone: a view must not bring the storage that it looks into.
"""

from __future__ import annotations

import io
import json
import pickle
import socket
import struct
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bench.api import Part, Secret, Target
from bench.sealed import BrokenSealError, seal, unseal

LENGTHS = struct.Struct("!QQ")  # bytes of words, bytes of tensors
MOST_WORDS = 16 * 2**20  # bytes of JSON in a frame of a process of attacks
MOST_TENSORS = 4 * 2**30  # and of tensors
BLOCK = 1 << 20


class MalformedError(Exception):
    """What has come is no message."""


class Said(NamedTuple):
    """A message of a process of attacks."""

    words: dict[str, Any]
    tensors: dict[str, Tensor]


def send(line: socket.socket, message: Any) -> None:
    """A message to a process of attacks."""
    content = dumps(message)
    line.sendall(LENGTHS.pack(len(content), 0))
    line.sendall(content)


def receive(line: socket.socket) -> Any:
    """The next message from the run; to be called in a process of attacks only.

    Raises:
        EOFError: the run has gone.
    """
    length, _ = LENGTHS.unpack(_exactly(line, LENGTHS.size))
    return pickle.loads(_exactly(line, length))


def say(line: socket.socket, words: Mapping[str, Any], tensors: Mapping[str, Tensor] | None = None) -> None:
    """A message to the run. Tensors are brought to the CPU."""
    text = json.dumps(words).encode()
    content = seal({name: _own(tensor) for name, tensor in tensors.items()}, {}) if tensors else b""
    line.sendall(LENGTHS.pack(len(text), len(content)))
    line.sendall(text)
    line.sendall(content)


def hear(line: socket.socket) -> Said:
    """The next message of a process of attacks, whatever it is.

    Raises:
        MalformedError: it is none, or too long.
        EOFError: the process has closed its end.
    """
    long, heavy = LENGTHS.unpack(_exactly(line, LENGTHS.size))
    if long > MOST_WORDS or heavy > MOST_TENSORS:
        raise MalformedError(f"a message of {long + heavy} bytes")
    text, content = _exactly(line, long), _exactly(line, heavy)
    try:
        words = json.loads(text)
        tensors = unseal(bytes(content))[0] if content else {}
    except (ValueError, RecursionError, BrokenSealError) as error:
        raise MalformedError(" ".join(str(error).split())[:200]) from error
    if not isinstance(words, dict):
        raise MalformedError(f"JSON that is no mapping: {type(words).__name__}")
    return Said(words, tensors)


def _exactly(line: socket.socket, length: int) -> bytearray:
    """So many bytes. Room is made as they come, not as they are promised."""
    content = bytearray()
    while len(content) < length:
        block = line.recv(min(BLOCK, length - len(content)))
        if not block:
            raise EOFError("the other end is closed")
        content += block
    return content


def dumps(message: Any, parts: Mapping[int, str] | None = None) -> bytes:
    """A pickle.

    Args:
        parts: id of a `Part` → by which name `loads` asks for what stands for it.

    Raises:
        TypeError: it holds what belongs to the secret, or a part that is not named.
    """
    file = io.BytesIO()
    _Pickler(file, parts or {}).dump(message)
    return file.getvalue()


def loads(content: bytes, part: Callable[[str], Any]) -> Any:
    """What was pickled, afresh at each call. In a process of attacks only."""
    reader = _Unpickler(io.BytesIO(content))
    reader.part = part
    return reader.load()


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, parts: Mapping[int, str]) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self._parts = parts

    def persistent_id(self, value: Any) -> str | None:
        if not isinstance(value, Part):
            return None
        if id(value) not in self._parts:
            raise TypeError(f"{type(value).__name__} is a part of a release, and no field holds it")
        return self._parts[id(value)]

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            numbers = _own(value).flatten().view(torch.uint8).numpy().tobytes()
            return _tensor, (numbers, str(value.dtype).removeprefix("torch."), tuple(value.shape), str(value.device))
        if isinstance(value, (Secret, Target)):
            raise TypeError(f"{type(value).__name__} is not for attacks")
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    part: Callable[[str], Any]

    def persistent_load(self, name: str) -> Any:
        return self.part(name)


def _tensor(numbers: bytes, dtype: str, shape: tuple[int, ...], device: str) -> Tensor:
    kind = getattr(torch, dtype)
    flat = torch.frombuffer(bytearray(numbers), dtype=kind).clone() if numbers else torch.empty(0, dtype=kind)  # clone: aligned
    return flat.view(shape).to(device)


def _own(tensor: Tensor) -> Tensor:
    """On the CPU, in storage of its own."""
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
