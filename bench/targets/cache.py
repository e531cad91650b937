"""Trained targets on disk: one safetensors file a target, named by a key of all that matters and nothing else."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import registry
from bench.api import Setting
from bench.sealed import seal, unseal

if TYPE_CHECKING:
    from torch import Tensor

TRAIN_VERSION = 1  # raise it when the same setting trains to other weights
TRACK_VERSIONS = {"informed": 1, "stealing": 1}  # likewise, for targets that are not one network on one set of images


def target_id(setting: Setting, data_digest: str, track: str = "reconstruction") -> str:
    """16 hex digits that name a target: the setting, the content of its data, and the versions of the code that trains and defends.

    The name of the data set is left out: the same images under another path train the same target. Threat model and attack are not in it.
    """
    without = {"dataset"} if setting.model == "cnn" else {"dataset", "channels", "kernel", "pooling"}  # what an MLP does not have
    without |= set() if setting.optimizer == "adam" else {"batch_size"}
    facts: dict[str, Any] = setting.model_dump(mode="json", exclude=without)
    facts["data"] = data_digest
    facts["train_version"] = TRAIN_VERSION
    if track in TRACK_VERSIONS:
        facts["track"] = [track, TRACK_VERSIONS[track]]
    if setting.defense != "none":
        facts["defense_version"] = registry.source_version(registry.get("defense", setting.defense))
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


class TargetCache:
    """The folder ``targets/`` of a store."""

    def __init__(self, root: Path) -> None:
        self.folder = Path(root) / "targets"

    def path(self, target: str) -> Path:
        """Where a target's file is, or would be."""
        return self.folder / f"{target}.safetensors"

    def __contains__(self, target: str) -> bool:
        return self.path(target).is_file()

    def get(self, target: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Weights and facts, or None if the target is not here. A corrupt file is set aside with a warning, and trained again."""
        path = self.path(target)
        try:
            weights, metadata = unseal(path)
            facts = json.loads(metadata["facts"])
        except FileNotFoundError:
            return None
        except (OSError, KeyError, ValueError) as error:
            aside = path.with_suffix(".corrupt")
            with contextlib.suppress(FileNotFoundError):  # another process was faster
                os.replace(path, aside)
            warnings.warn(f"cached target {path.name} is corrupt ({error}); set aside as {aside.name}, training it again", stacklevel=2)
            return None
        return weights, facts

    def put(self, target: str, weights: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Writes a target atomically: a kill or a full disk leaves the old file or none, never half of one."""
        self.folder.mkdir(parents=True, exist_ok=True)
        blob = seal(weights, {"facts": json.dumps(facts, sort_keys=True)})
        handle, temporary = tempfile.mkstemp(dir=self.folder, suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(blob)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path(target))
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
