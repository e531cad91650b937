"""The answers of attacks as they are kept: one safetensors file a cell, or one a run of a sweep, in the form that the track gives it."""

from __future__ import annotations

import json
import warnings
from typing import Any

from bench import tracks
from bench.files import Files
from bench.sealed import seal, unseal

Answer = Any  # what an attack of a track answers with: images or a network; the track's own functions know its form


def keep(files: Files, cell_id: str, answer: Answer, track: str = "reconstruction", seconds: float = 0.0) -> None:
    """Writes a cell's pooled answer as safetensors, in the form that its track gives it.

    Args:
        seconds: what it took, where that is to be known again.

    Raises:
        StorageError: the disk is full, or the store cannot be written.
    """
    tensors, facts = tracks.get(track).work.pack(answer)
    said = {"cell_id": cell_id, "protocol": tracks.get(track).protocol, "seconds": repr(seconds)}
    metadata = {**said, **{k: json.dumps(v) for k, v in facts.items()}}
    files.put(file_name(cell_id), seal(tensors, metadata))


def kept(files: Files, cell_id: str, track: str = "reconstruction") -> Answer | None:
    """The kept answer of a cell, or None where there is none, or the file is corrupt."""
    found = read(files, cell_id, track)
    return None if found is None else found[0]


def read(files: Files, cell_id: str, track: str) -> tuple[Answer, float] | None:
    """A kept answer and the seconds that it took, or None. A corrupt file is set aside with a warning."""
    name = file_name(cell_id)
    try:
        tensors, said = unseal(files.read(name))
        facts = {name: json.loads(text) for name, text in said.items() if name not in ("cell_id", "protocol", "seconds")}
        return tracks.get(track).work.unpack(tensors, facts), float(said.get("seconds", 0))
    except FileNotFoundError:
        return None
    except (OSError, KeyError, ValueError) as error:
        aside = f"{cell_id}.corrupt"
        files.set_aside(name, aside)
        warnings.warn(f"{files.at(name)} is corrupt ({error}); set aside as {aside}", stacklevel=3)
        return None


def file_name(cell_id: str) -> str:
    """The name of the file with a cell's raw reconstructions."""
    return f"{cell_id}.safetensors"
