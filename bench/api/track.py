"""A track: a kind of attack, and what the engine, the tables and the pages ask of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from bench.api.architecture import Architecture
from bench.api.headline import EXCESS_RECALL, Headline
from bench.api.section import Section
from bench.api.setting import Setting
from bench.api.target import Secret, Target

if TYPE_CHECKING:
    from torch import Tensor

Row = dict[str, Any]  # one line of results/scores/ or results/images/; the columns are in bench.schema


@runtime_checkable
class Answering(Protocol):
    """What of a track's work is needed where an attack runs."""

    def fingerprint(self, release: Any) -> str:
        """Hash of every tensor in a release: the same before and after an attack, or else the attack changed its release."""

    def check_answer(self, answer: object, release: Any) -> Any:
        """An attack's answer in the form that is scored; of an answer in that form, the same again. Raises AttackFault."""

    def rounded(self, answer: Any) -> Any:
        """An answer in the precision in which it is kept."""

    def pack(self, answer: Any) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """An answer as tensors and plain facts, for the file."""


@runtime_checkable
class TrackWork(Answering, Protocol):
    """The half of a track that needs PyTorch: a module, or anything with these functions. The engine calls them and nothing else.

    Two more are optional, and asked for by their names. ``transplant(release, other)`` is a release like ``release`` in which all that
    comes of the network (weights, initial weights, what answers questions) is that of ``other``, of the same setting and another seed, and
    the rest stays: ``bench.engine.canary`` runs attacks on it. A track without it says why in `Track.no_transplant`. ``levelled(secret)``
    is another secret that such an answer is scored against, where what stays in the release tells more of members than of controls: the
    lesser score counts.
    """

    def obtain(self, settings: Sequence[Setting], cache: Any, device: Any) -> list[Target]:
        """The targets of the settings, in their order, from the cache (``bench.targets.cache.TargetCache``, or None) where it can."""

    def secret_of(self, setting: Setting) -> Secret:
        """The secret of a setting, drawn again from its data: what scoring without the target needs."""

    def narrow(self, release: Any, needs: frozenset[str]) -> Any:
        """A target's release with the granted tiers only, in fresh copies."""

    def alike(self, a: Any, b: Any, tolerance: float) -> bool:
        """Whether two answers are the same, to within a tolerance; 0: bit by bit."""

    def unpack(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Any:
        """The inverse of `pack`."""

    def pool(self, answers: Sequence[Any], told: bool = True) -> Any:
        """The answers of a sweep's runs as one."""

    def score(
        self, answer: Any, secret: Any, *, bootstrap_seed: int, thumbnails: bool = True, gallery: int | None = None
    ) -> tuple[Row, list[Row]]:
        """Answer and secret → the score columns of a row, and the rows of the images."""

    def example(self, architecture: Architecture, number: int) -> tuple[Any, Tensor]:
        """A small target's whole release for the contract tests, and the images that no attack may be handed; ``number`` makes another."""


class Track(ABC):
    """A kind of attack: what it is granted, what it answers with, and how that becomes rows. Subclass it with literals.

    The class and what it imports at the top know no PyTorch, so that tables are read without it; ``work`` brings it.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    tiers: ClassVar[frozenset[str]]  # access that it can grant
    version: ClassVar[int] = 0  # part of its targets' ids: raise it when the same setting gives others; 0: the targets of `reconstruction`
    protocol: ClassVar[str] = "v1"  # of its scores, part of its cells' ids: v2, v3, … when the same answer comes to other scores
    stacks: ClassVar[bool] = True  # targets of one shape, and the cells on them, go together; if not, one target at a time
    models: ClassVar[tuple[str, ...]] = ("mlp", "cnn")  # that it runs
    answer: ClassVar[str] = "answers with finite images of the right shape, at most 10·n"  # as the contract tests word it
    unpublished: ClassVar[frozenset[str]] = frozenset()  # columns of image rows that stay in the local store
    unpublished_of_controls: ClassVar[frozenset[str]] = frozenset()  # and of the controls' image rows
    headline: ClassVar[Headline] = EXCESS_RECALL  # of images that are rebuilt
    required: ClassVar[tuple[str, ...]] = ()  # grids of which a submission has rows, by name or file; none: nothing can be submitted
    no_transplant: ClassVar[str] = "its track has no transplants"  # where `work` has no ``transplant``: why

    def columns(self, table: str) -> Sequence[Any]:
        """What it adds to the columns of ``scores`` or ``images`` (``bench.schema.Column``); one that another track has too is the same."""
        return ()

    def sections(self) -> Sequence[Section]:
        """The `Section` objects of its part of a grid's page, in order. None: those that any track has (``bench.report.kit.sections``)."""
        return ()

    def refine(self, images: Any) -> Callable[[Any, Sequence[Mapping[str, Any]]], None] | None:
        """What it adds to a line of tables, if anything: a function that is called with each ``bench.report.kit.groups.Group`` that has
        scores, after its headline is worked out, and the score rows behind it.

        Args:
            images: image rows, a data frame, or None where they are not at hand.
        """
        return None

    @property
    def answering(self) -> Answering:
        """What of `work` a process of attacks has a use for, by itself where the rest need not be imported for it."""
        return self.work

    @property
    @abstractmethod
    def work(self) -> TrackWork:
        """Imported when it is asked for."""
