"""Trained targets: one safetensors file a target, named by a key of all that matters and nothing else."""

from __future__ import annotations

import hashlib
import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import registry
from bench.api import Defense, Setting
from bench.files import Files, files_at, store_files
from bench.sealed import seal, unseal

if TYPE_CHECKING:
    from torch import Tensor

TRAIN_VERSION = 1  # raise it when the same setting trains to other weights
PLANTED_VERSION = 1  # likewise, where the defence plants inputs: raise it when other images count as members, too


def target_id(setting: Setting, data_digest: str, track: str = "reconstruction") -> str:
    """16 hex digits that name a target: the setting, the content of its data, and the versions of the code that trains and defends.

    The name of the data set is left out: the same images under another path train the same target. Threat model and attack are not in it.
    """
    without = {"dataset"} if setting.model == "cnn" else {"dataset", "channels", "kernel", "pooling"}  # what an MLP does not have
    without |= set() if setting.optimizer == "adam" else {"batch_size"}
    facts: dict[str, Any] = setting.model_dump(mode="json", exclude=without)
    facts["data"] = data_digest
    facts["train_version"] = TRAIN_VERSION
    version = registry.literal(registry.entries("track")[track], "version")
    if version:  # its targets are not one network on one set of images
        facts["track"] = [track, version]
    if setting.defense != "none":
        defense = registry.get("defense", setting.defense)
        facts["defense_version"] = registry.source_version(defense)
        if not version and defense.planted is not Defense.planted:
            facts["planted_version"] = PLANTED_VERSION
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


class TargetCache:
    """The folder ``targets/`` of a store.

    Args:
        root: the store; None: where ``bench.files.store_files`` has it.
    """

    def __init__(self, root: Files | Path | str | None = None) -> None:
        self.root = store_files() if root is None else files_at(root)
        self.files = self.root.within("targets")

    def get(self, target: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Weights and facts, or None if the target is not here. A corrupt file is set aside with a warning, and trained again.

        Raises:
            StorageError: the store cannot be read.
        """
        name = file_name(target)
        try:
            weights, metadata = unseal(self.files.read(name))
            facts = json.loads(metadata["facts"])
        except FileNotFoundError:
            return None
        except (OSError, KeyError, ValueError) as error:
            aside = f"{target}.corrupt"
            self.files.set_aside(name, aside)
            warnings.warn(f"cached target {name} is corrupt ({error}); set aside as {aside}, training it again", stacklevel=2)
            return None
        return weights, facts

    def put(self, target: str, weights: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Writes a target whole or not at all.

        Raises:
            StorageError: the disk is full, or the store cannot be written.
        """
        self.files.put(file_name(target), seal(weights, {"facts": json.dumps(facts, sort_keys=True)}))


def file_name(target: str) -> str:
    """The name of a target's file."""
    return f"{target}.safetensors"
