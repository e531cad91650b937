"""The tensors of a file that somebody else made. The file is data, never code: pickles are read by PyTorch's restricted unpickler alone.

The format is told by the first bytes, not by the name: PyTorch (zip, or the pickle of old versions), safetensors, ``.npy``, ``.npz``.
Parsers of foreign bytes may raise anything; whatever they raise becomes a BenchError that names the file.
"""

from __future__ import annotations

import mmap
import os
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench import regular
from bench.errors import BenchError
from bench.regular import path_of

MAX_BYTES = 4 * 2**30  # of a file, of any tensor in it, and of all of them; the papers' largest checkpoint has 16 MB
OTHER_ARRAYS = {"U": "text", "S": "text", "T": "text", "c": "complex numbers", "M": "dates", "m": "durations", "V": "records"}
FORMATS = "PyTorch (.pth, .pt), safetensors, .npy or .npz"


class Sorted(dict[str, Tensor]):
    """The tensors of a format that sorts them by name, so that their order says nothing."""


def load(path: Path | str) -> Any:
    """What the file holds: a tensor, or a mapping of names to what PyTorch's restricted unpickler allows (tensors, numbers, texts, …).

    Tensors are on the CPU. Use `dense` on each before computing with it.

    Raises:
        BenchError: no such file, a folder, an empty, truncated, damaged or oversized file, an unknown format, a pickle with code in it, or
            tensors that claim more numbers than the file holds.
    """
    path = path_of(path)
    readers: dict[str, Callable[[Path], Any]] = {"torch": _torch, "pickle": _pickle, "safetensors": _safetensors, "npy": _npy, "npz": _npz}
    try:
        reader = readers[_format(path)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded = reader(path)
    except BenchError:
        raise
    except Exception as error:  # hostile or damaged bytes make parsers raise anything
        raise _refused(path, error) from error
    _check_claims(loaded, path, reader in (_torch, _pickle))
    return loaded


def dense(value: object, where: str) -> Tensor:
    """A tensor as plain numbers: strided, detached, with storage of its own, float32 or float64 (half precision becomes float32); integers
    stay integers.

    Raises:
        BenchError: no tensor, one of another layout or of complex or quantised numbers, without elements, or larger than ``MAX_BYTES``.
    """
    wanted = "a dense tensor of real numbers"
    if not isinstance(value, Tensor):
        raise BenchError(f"{where} is no tensor", expected=wanted, got=f"{type(value).__name__} {str(value)[:60]}".strip())
    if value.layout != torch.strided or value.is_quantized or value.is_complex() or value.device.type != "cpu":
        raise BenchError(f"{where} is a tensor of another kind", expected=wanted, got=f"{value.dtype}, {value.layout}, {value.device}")
    if value.numel() == 0 or value.numel() * 8 > MAX_BYTES:
        raise BenchError(f"{where} has an unusable size", expected=f"1 to {MAX_BYTES // 8} numbers", got=f"shape {tuple(value.shape)}")
    dtype = value.dtype if value.dtype in (torch.float32, torch.float64) or not value.is_floating_point() else torch.float32
    return value.detach().to(dtype, copy=True).contiguous()


def _check_claims(loaded: object, path: Path, pickled: bool) -> None:
    """Raises BenchError for a tensor of more numbers than its storage holds, and for tensors of more bytes than a file may have: each may
    show the same few numbers, and whoever computes with them has a copy of each."""
    todo, seen, claimed = [("", loaded)], set[int](), 0
    held: dict[int, int] = {}  # storage → bytes
    while todo:
        name, value = todo.pop()
        if isinstance(value, Tensor):
            if value.layout != torch.strided or value.device.type != "cpu":
                continue  # `dense` refuses it
            storage = value.untyped_storage()
            held[storage.data_ptr()] = storage.nbytes()
            own = value.numel() * value.element_size()
            if own > storage.nbytes():
                raise BenchError(
                    f"{path}{f': entry {name!r}' if name else ''} claims more numbers than are there",
                    expected="tensors with storage of their own",
                    got=f"shape {tuple(value.shape)} over {storage.nbytes() // value.element_size()} numbers",
                    hint="tensor.contiguous() before saving",
                )
            claimed += own
        elif isinstance(value, (Mapping, list, tuple)) and id(value) not in seen:  # one may hold itself
            seen.add(id(value))
            todo += [(str(key), inner) for key, inner in (value.items() if isinstance(value, Mapping) else enumerate(value))]
    if claimed > MAX_BYTES:
        raise BenchError(
            f"the tensors of {path} are too large together",
            expected=f"at most {MAX_BYTES / 2**30:.3g} GiB",
            got=f"{claimed / 2**30:.3g} GiB",
            hint="save each tensor once: those that share their numbers count each",
        )
    if pickled and sum(held.values()) > path.stat().st_size:  # made by the pickle and not read from the file: whatever the memory held
        raise BenchError(
            f"the tensors of {path} claim more numbers than the file holds",
            expected=f"at most its {path.stat().st_size} bytes",
            got=f"{sum(held.values())} bytes",
            hint="where you made the file: torch.save(model.state_dict(), FILE), or safetensors",
        )


def _format(path: Path) -> str:
    """Which reader the first bytes ask for."""
    if path.is_dir():
        raise BenchError(f"{path} is a folder", expected=f"a file: {FORMATS}")
    if not path.is_file():
        raise BenchError(f"no such file: {path}", expected=f"a file: {FORMATS}", hint="check the path; it is taken from the current folder")
    size = path.stat().st_size
    if size == 0:
        raise BenchError(f"{path} is empty", expected=FORMATS, got="0 bytes", hint="copy it again")
    if size > MAX_BYTES:
        raise BenchError(f"{path} is too large", expected=f"at most {MAX_BYTES // 2**30} GiB", got=f"{size / 2**30:.1f} GiB")
    with regular.opened(path) as file:
        head = file.read(16)
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    if head.startswith(b"PK\x03\x04"):
        return _format_of_zip(path)
    if len(head) > 8 and head[8:9] == b"{":
        return "safetensors"
    if head.startswith(b"\x80"):
        return "pickle"
    raise BenchError(f"{path} is no file of tensors", expected=FORMATS, got=f"a file that begins with {head[:8]!r}")


def _format_of_zip(path: Path) -> str:
    """``torch`` or ``npz``, after the archive has been found whole and no larger than it may be once unpacked."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        unpacked = sum(entry.file_size for entry in entries)
        if unpacked > MAX_BYTES:
            raise BenchError(
                f"{path} is too large", expected=f"at most {MAX_BYTES // 2**30} GiB unpacked", got=f"{unpacked / 2**30:.1f} GiB unpacked"
            )
        broken = archive.testzip()
        if broken is not None:
            raise BenchError(f"{path} is damaged", expected="checksums that agree", got=f"another one in {broken}", hint="copy it again")
    if any(os.path.basename(entry.filename) == "data.pkl" for entry in entries):
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise BenchError(
                f"{path} is no checkpoint of PyTorch",
                expected="an archive that is not compressed, as torch.save writes it",
                got="a compressed one, perhaps of TorchScript",
                hint="torch.save(model.state_dict(), FILE), or safetensors",
            )
        return "torch"
    if entries and all(entry.filename.endswith(".npy") for entry in entries):
        return "npz"
    got = ", ".join(entry.filename for entry in entries[:3])
    raise BenchError(f"{path} is an archive without tensors", expected=FORMATS, got=got or "an empty archive")


def _torch(path: Path) -> Any:
    _refuse_calls_for_memory(path)
    # Mapped, a storage is a slice of the file: a record that claims to be longer than it is cannot reach beyond it.
    return torch.load(str(path), map_location="cpu", weights_only=True, mmap=True)


def _pickle(path: Path) -> Any:
    _refuse_calls_for_memory(path)
    return torch.load(str(path), map_location="cpu", weights_only=True)


def _refuse_calls_for_memory(path: Path) -> None:
    """PyTorch's restricted unpickler lets a pickle call ``bytearray`` with any number, and fills so many bytes; no weights need that."""
    with regular.opened(path) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content.find(b"\nbytearray\n") >= 0:
            raise BenchError(
                f"{path} holds more than tensors, and is not opened",
                expected="weights alone",
                got="a pickle that calls bytearray, for memory of any size",
                hint="where you made the file: torch.save(model.state_dict(), FILE), or safetensors",
            )


def _safetensors(path: Path) -> Sorted:
    from safetensors.torch import load_file

    return Sorted(load_file(path))


def _npy(path: Path) -> Tensor:
    return _from_numpy(
        np.load(path, mmap_mode="r", allow_pickle=False), f"{path}"
    )  # mapped: a header that lies about the size is found out


def _npz(path: Path) -> Mapping[str, Tensor]:
    with np.load(path, allow_pickle=False) as archive:
        return {name: _from_numpy(archive[name], f"{path}: entry '{name}'") for name in archive.files}


def _from_numpy(array: np.ndarray, where: str) -> Tensor:
    if array.dtype.kind not in "fiub":
        raise BenchError(
            f"{where} is an array of {OTHER_ARRAYS.get(array.dtype.kind, 'objects')}",
            expected="arrays of real numbers alone",
            got=f"dtype {array.dtype}",
            hint="leave it out: numpy.savez(FILE, images=images)" if "entry" in where else "save the numbers alone",
        )
    kind = {"f2": "f4", "f16": "f8", "f12": "f8", "u2": "i4", "u4": "i8"}.get(f"{array.dtype.kind}{array.dtype.itemsize}")
    return torch.from_numpy(np.array(array, dtype=kind or array.dtype.newbyteorder("=")))


def _refused(path: Path, error: Exception) -> BenchError:
    text = str(error)
    code = "weights only load failed" in text.lower() or "Unsupported" in text or "unsupported GLOBAL" in text
    if code:
        name = text.rpartition("GLOBAL ")[2].split(" ")[0] if "GLOBAL " in text else ""
        return BenchError(
            f"{path} holds more than tensors, and is not opened",
            expected="weights alone: loading anything else would run code that the file brings",
            got=f"a pickle that calls {name}" if name else "a pickle of objects",
            hint="where you made the file: torch.save(model.state_dict(), FILE), or safetensors",
        )
    if "allow_pickle=False" in text or "Python objects in dtype" in text:  # numpy's words for them
        return BenchError(
            f"{path} cannot be read: it holds an array of Python objects",
            expected="arrays of real numbers alone",
            got="dtype object, which is a pickle",
            hint="make it an array of numbers before saving it, or leave it out",
        )
    detail = " ".join(text.split())[:160]
    return BenchError(
        f"{path} cannot be read",
        expected=f"a whole file: {FORMATS}",
        got=f"{type(error).__name__}: {detail}" if detail else type(error).__name__,
        hint="copy it again: it may be cut off or damaged",
    )
