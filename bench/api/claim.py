"""A statement of a paper, to be tested on the rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Claim:
    """A statement of a paper, and which rows of the tables decide it. ``bench/claims/findings.py`` holds the tests.

    ``where``, ``a`` and ``b`` choose score rows: column → value. The column is one of table scores, or ``param:NAME``, a hyperparameter
    of the attack, or ``axis:NAME``, a label of the grid. The value is what is asked for, a tuple of such values, ``"> 0"`` or ``"< 0"`` for
    numbers, or None for null. Where no ``attack`` is chosen, the rows are those of the attack that the claim is declared on.

    The test ``works`` faces every control of the same setting without being told; ``b``, if it is there, says which of them alone.
    """

    name: str  # snake_case, unique among all claims
    text: str  # the statement, in our own words
    source: str  # paper, and where in it; or that the claim is our own
    grids: tuple[str, ...]  # each is tested by itself and gets a line of its own
    test: Literal["works", "level", "difference", "beats", "interaction", "trend", "concordance", "margin"]
    family: str = ""  # the paper: claims of one are corrected together; empty: those of the attack that it is declared on
    expected: Literal["above", "below", "either"] = "above"  # side of ``level`` on which the statement puts the effect
    level: float = 0.0  # what the effect is compared with, fixed before looking
    margin: float | None = None  # an effect nearer than this to ``level`` is not worth the name; fixed before looking; None: not asked
    column: str = "excess_recall"  # of table scores; test margin: of the image rows; test concordance has no use for it
    minus: str = ""  # a column of the same row that is taken off first
    where: Mapping[str, Any] = field(default_factory=dict)
    a: Mapping[str, Any] = field(default_factory=dict)  # difference, beats, interaction: the rows of the one side
    b: Mapping[str, Any] = field(default_factory=dict)  # and of the other
    null: str = ""  # works: a column of the attack's own rows that is one more control, such as pool_mse_mean
    across: tuple[Mapping[str, Any], ...] = ()  # interaction: the two circumstances in which ``a`` less ``b`` is compared
    along: str = ""  # trend: the numeric setting column; margin: margin or multiplier
    tied: tuple[str, ...] = ()  # columns that differ together with the two sides, or along the trend; pairs may differ in them
    match: tuple[str, ...] = ()  # param:NAME that the two sides of a pair must share
    words: tuple[str, str] = ("higher", "lower")  # verdicts where ``expected`` is either
