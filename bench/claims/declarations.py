"""The claims that attacks declare: found in the registry, and judged as declarations before any row is looked at."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args, get_type_hints

from bench import registry
from bench.api import Claim
from bench.errors import BenchError, did_you_mean
from bench.report.kit.groups import SETTING
from bench.schema import columns

COMPARISON = re.compile(r"([<>]) *(-?[0-9.]+(?:e-?\d+)?)")  # what a condition may ask of a number
_TESTS = get_args(get_type_hints(Claim)["test"])
SIDED = ("difference", "beats", "interaction")  # tests of one side against another
_SIDES = get_args(get_type_hints(Claim)["expected"])


@dataclass(frozen=True)
class Declared:
    """A claim and the attack that it is declared on."""

    owner: str
    claim: Claim


def declared() -> tuple[list[Declared], list[str]]:
    """The claims of every attack in the registry, and what could not be read: a broken plug-in breaks its own claims only."""
    found: list[Declared] = []
    broken: list[str] = []
    try:
        entries = registry.entries("attack")
    except BenchError as error:
        return [], [str(error).partition("\n")[0]]
    for name, entry in entries.items():
        if not entry.claims and entry.entry_point is None:
            continue  # nothing is imported for it
        try:
            mine = _claims(name, entry)
        except BenchError:
            broken.append(f"the claims of {name} cannot be read: python -m bench check {name} says why")
            continue
        if not isinstance(mine, tuple) or not all(isinstance(claim, Claim) for claim in mine):
            broken.append(f"the claims of {name} are no tuple of bench.api.Claim")
            continue
        found += [Declared(name, claim) for claim in mine]
    return found, broken


def _claims(name: str, entry: registry.Entry) -> object:
    """What an attack declares. Where that is a name in a file of `attacks/claims`, only this file is imported: the attack itself would
    bring PyTorch along, which takes longer than the page."""
    there = re.fullmatch(r"(\w+)\.(\w+)", entry.claims)
    if there is not None and entry.module.startswith("attacks."):
        with contextlib.suppress(ImportError, AttributeError):
            return getattr(importlib.import_module(f"attacks.claims.{there[1]}"), there[2])
    return registry.get("attack", name).__dict__.get("claims", ())


def fingerprint() -> str:
    """Hash of all declarations, read as text, so that an unchanged page is known without importing an attack."""
    digest = hashlib.sha256()
    try:
        entries = registry.entries("attack")
    except BenchError:
        entries = {}
    for name, entry in entries.items():
        digest.update(f"{name}\x1f{entry.claims}\x1f{entry.entry_point}\x1e".encode())
    for path in sorted((registry.FOLDERS["attack"] / "claims").glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def faults(claim: Claim) -> list[str]:
    """What is wrong with a declaration, as far as it can be told without grids and attacks; nothing if all is well."""
    try:
        return list(_faults(claim))
    except (TypeError, ValueError, AttributeError) as error:
        return [f"cannot be read: {type(error).__name__}: {error}"]


def _faults(claim: Claim) -> Iterable[str]:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", claim.name):
        yield f"name is {claim.name!r}, not snake_case"
    if not (claim.text.strip() and claim.source.strip()):
        yield "text or source is empty"
    if not isinstance(claim.grids, tuple) or not claim.grids or not all(isinstance(grid, str) for grid in claim.grids):
        yield f"grids is {claim.grids!r}, not a tuple of names"
    if claim.test not in _TESTS:
        yield f"test is {claim.test!r}, not one of {', '.join(_TESTS)}"
    if claim.expected not in _SIDES:
        yield f"expected is {claim.expected!r}, not one of {', '.join(_SIDES)}"
    if not isinstance(claim.family, str):
        yield f"family is {claim.family!r}, not a text"
    if not math.isfinite(claim.level):
        yield f"level is {claim.level!r}"
    if claim.margin is not None and not 0 < claim.margin < math.inf:
        yield f"margin is {claim.margin!r}, not a number above 0"
    if len(claim.words) != 2:
        yield f"words is {claim.words!r}, not two"
    scores, images = ({column.name for column in columns(table)} for table in ("scores", "images"))
    if claim.test != "concordance":
        known = images if claim.test == "margin" else scores
        for column in filter(None, (claim.column, claim.minus, claim.null)):
            if column not in known:
                yield f"column {column!r} does not exist.{did_you_mean(column, known)}"
    for key, wanted in (pair for part in (claim.where, claim.a, claim.b, *claim.across) for pair in part.items()):
        if not key.startswith(("param:", "axis:")) and key not in scores:
            yield f"column {key!r} does not exist.{did_you_mean(key, scores)}"
        if isinstance(wanted, str) and wanted[:1] in "<>" and wanted and not COMPARISON.fullmatch(wanted):
            yield f"{wanted!r} is no comparison with a number"
    if claim.minus and claim.test in ("concordance", "margin"):
        yield f"minus has no meaning for the test {claim.test}"
    if bool(claim.a) != (claim.test in SIDED) or (bool(claim.b) != bool(claim.a) and claim.test != "works"):
        yield f"a and b are for the tests {', '.join(SIDED)}, which need both"
    if len(claim.across) != (2 if claim.test == "interaction" else 0):
        yield "across is for the test interaction, which needs two"
    if claim.null and (claim.test != "works" or claim.minus):
        yield "null is for the test works, without minus"
    if claim.test in ("works", "beats") and claim.expected == "either":
        yield f"the test {claim.test} needs a side: above or below"
    if claim.test == "trend" and claim.along not in SETTING:
        yield f"along is {claim.along!r}, not a setting column.{did_you_mean(claim.along, SETTING)}"
    if claim.test == "margin" and claim.along not in ("margin", "multiplier"):
        yield f"along is {claim.along!r}, not margin or multiplier"
    for name in claim.tied:
        if name not in (*SETTING, "attack"):
            yield f"tied column {name!r} is no setting column, nor attack.{did_you_mean(name, SETTING)}"
    for name in claim.match:
        if not name.startswith("param:"):
            yield f"match holds {name!r}, not param:NAME"
