"""An attack, and what it goes by when it chooses among its runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from bench.api.architecture import Architecture
from bench.api.claim import Claim

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Objective:
    """What an attack goes by when it chooses among its runs, in the words of the pages. A run's objective is that of its best candidate."""

    name: str = "confidence"  # a noun, without an article: "share of the weights left unexplained"
    better: Literal["higher", "lower"] = "higher"  # lower: the attack's confidences are minus its objective

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise ValueError(f"an objective is named by a few words, not {self.name!r}")
        if self.better not in ("higher", "lower"):
            raise ValueError(f"of an objective the higher or the lower is better, not {self.better!r}")


OWN_LOSS = Objective("own loss", "lower")  # what an attack without confidences goes by


class Attack(ABC):
    """Subclass as a frozen dataclass whose fields are the hyperparameters. See attacks/README.md."""

    name: ClassVar[str]
    paper: ClassVar[str] = ""
    track: ClassVar[str] = "reconstruction"
    role: ClassVar[str] = "attack"  # or "control": in every table, never ranked as an attack
    needs: ClassVar[frozenset[str]] = frozenset({"final_weights"})
    version: ClassVar[int | None] = None  # raise it when results change; None: the hash of the source file stands in
    kkt: ClassVar[bool] = False  # it looks for a KKT point, so where the network is none it finds nothing, whatever the network holds
    claims: ClassVar[tuple[Claim, ...]] = ()  # of its paper; `python -m bench claims` tests them on the rows
    # where a sweep draws hyperparameters from, if a grid names no ranges: name → (low, high, "log" or "linear")
    ranges: ClassVar[Mapping[str, tuple[float, float, str]]] = {}
    goes_by: ClassVar[Objective] = Objective()  # what its confidences mean
    # the hyperparameter, a whole number, of which more is a longer run of the same attack: by it a sweep is raced (`halving`); "": by none
    budget: ClassVar[str] = ""

    def unsupported(self, architecture: Architecture) -> str:
        """An empty string, or the reason why the attack does not apply; the cell becomes a skipped row."""
        return ""

    def memory(self, release: Any) -> int:
        """Bytes that one run takes at its peak, roughly; the engine stacks as many runs as fit. The default: four copies of the release."""
        return int(4 * release.nbytes)

    @abstractmethod
    def reconstruct(self, release: Any, generator: torch.Generator) -> Any:
        """The track's release → images Float[Tensor, "m c h w"] in [0, 1], a tensor or `Candidates`, best first by the attacker's own
        criterion, at most 10·n_train; or what else the attack's track asks for."""

    @classmethod
    def reconstruct_batch(cls, attacks: Sequence[Any], releases: Sequence[Any], generators: Sequence[torch.Generator]) -> Sequence[Any]:
        """Many runs of one shape at once: run i is attacks[i] on releases[i]. Override it to stack; the default loops."""
        return [a.reconstruct(r, g) for a, r, g in zip(attacks, releases, generators, strict=True)]
