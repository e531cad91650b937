"""What a run and its worker processes say to each other: pickled, through a pipe or over the network, and small.

Nothing heavy is imported here: a worker reads its setup before torch is there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from bench.api import Row
    from bench.engine.plan import Cell
    from bench.errors import BenchError
    from bench.grids.read import Loaded

LOST_CONTEXT = 71  # exit code of a worker whose GPU no longer answers


@dataclass(frozen=True)
class Setup:
    """What a worker must know before its first task."""

    parent: int  # process id
    environment: Mapping[str, str]  # set before torch is imported
    loaded: Loaded
    versions: Mapping[int, str]  # of the attacks, by their place in the grid, as the cells were planned with
    plugins: Sequence[str]  # files to load
    device: str
    share: int  # workers that share the device's memory
    threads: int | None  # of PyTorch; None: as the environment says
    memory_gib: float | None
    no_cache: bool
    digests: Mapping[str, str] = field(default_factory=dict)  # of data sets when the cells were planned; another machine may hold others
    sandbox: str = "off"  # what attacks run in: a choice of ``bench.apart.room.Room``; off: in the worker itself
    returns: bool = False  # reconstructions travel with the rows, since the store here is not the one of the run


class Task(NamedTuple):
    """Targets to train, or cells of one attack to run."""

    kind: Literal["train", "attack"]
    cells: Sequence[Mapping[str, Any]]


def pack(cell: Cell, position: int) -> dict[str, Any]:
    """A cell without its attack, whose place in the grid is sent instead: hyperparameters of a plug-in need not be picklable."""
    return {f.name: getattr(cell, f.name) for f in fields(cell) if f.name != "attack"} | {"attack": position}


class Ready(NamedTuple):
    """The worker has imported everything."""

    memory: int  # bytes that a stack may plan to use


class Trained(NamedTuple):
    """The targets are in the cache."""

    faults: Mapping[str, str]  # target id → why there is none
    batches: Sequence[Sequence[str]]  # ids of cells of one attack that are to run together
    notes: Sequence[str]


class Attacked(NamedTuple):
    """What became of the cells: id, score row, image rows."""

    rows: Sequence[tuple[str, Row, list[Row]]]
    notes: Sequence[str]
    files: Sequence[tuple[str, bytes]] = ()  # id, kept reconstructions; where the setup asks for them


class Stopped(NamedTuple):
    """The machine is to blame (a full disk), or the worker could not be set up: the run ends with this message."""

    what: str
    expected: str
    got: str
    hint: str

    def error(self) -> BenchError:
        """The message, to be raised where the run is."""
        from bench.errors import BenchError

        return BenchError(self.what, expected=self.expected, got=self.got, hint=self.hint)


class Fault(NamedTuple):
    """An error that nobody expected, in one line."""

    reason: str


Reply = Ready | Trained | Attacked | Stopped | Fault


class Died(NamedTuple):
    """The process is dead, by itself or because it took too long."""

    reason: str
    overdue: bool = False
    outside: bool = False  # killed by somebody else: its task need not be to blame


class Outcome(NamedTuple):
    """What came of a task."""

    answer: Reply | Died
    stderr: str | None = None  # the end of what was printed meanwhile
