"""The contract of a track."""

from __future__ import annotations

import re
from typing import get_args

from bench.apart.room import handed
from bench.api import Section, Tier, Track, TrackWork
from bench.check.networks import ARCHITECTURES
from bench.check.outcomes import Outcome, Tests, need
from bench.schema import columns


def check_track(cls: type[Track]) -> list[Outcome]:
    """The contract of a track: what the engine, the tables and the pages ask of it. What it does with answers, its attacks show."""
    tests = Tests()
    tests.run("name is in snake_case", lambda: need(bool(re.fullmatch(r"[a-z][a-z0-9_]*", cls.name)), f"name is {cls.name!r}"))
    said = f"protocol is {cls.protocol!r}"
    tests.run("its score protocol is v1, v2, …", lambda: need(bool(re.fullmatch(r"v[1-9][0-9]{0,8}", str(cls.protocol))), said))
    unknown = sorted(cls.tiers - set(get_args(Tier)))
    tests.run(
        "grants access tiers that exist", lambda: need(bool(cls.tiers) and not unknown, f"unknown: {', '.join(unknown) or 'none granted'}")
    )
    track = tests.run("can be made without arguments", cls)
    if track is None or tests.run("brings columns that the tables can hold", lambda: (columns("images"), columns("scores"))) is None:
        return tests.outcomes

    def headline() -> None:
        head, known = cls.headline, {column.name for column in columns("scores")}
        shares = [share for share in (head.share, head.less) if share is not None]
        wanted = [head.column, *(name for share in shares for name in (share.column, *share.of))]
        need(not (missing := [name for name in wanted if name not in known]), f"no score columns: {', '.join(missing)}")
        need(head.low <= head.chance < head.high, f"chance {head.chance:g} lies outside its range [{head.low:g}, {head.high:g}]")

    def release() -> None:
        whole, _ = track.work.example(ARCHITECTURES[0], 1)
        mine = track.work.narrow(whole, cls.tiers)
        need(track.work.fingerprint(mine) == track.work.fingerprint(mine), "the same release has two fingerprints")

    def apart() -> None:
        whole, _ = track.work.example(ARCHITECTURES[0], 1)
        handed(track.work.narrow(whole, cls.tiers), cls.name)

    def sections() -> None:
        own = list(track.sections())
        need(all(isinstance(section, Section) for section in own), "not all of them are a bench.api.Section")
        need(len({section.name for section in own}) == len(own), "two sections have one name")

    known = {column.name for column in columns("images")}
    hidden = sorted((cls.unpublished | cls.unpublished_of_controls) - known)
    tests.run("what it leaves unpublished are columns of image rows", lambda: need(not hidden, f"no such column: {', '.join(hidden)}"))
    tests.run("its headline is made of score columns", headline)
    tests.run("has what the engine calls (bench.api.TrackWork)", lambda: need(isinstance(track.work, TrackWork), "a function is missing"))
    tests.run("its example can be narrowed to what it grants", release)
    tests.run("its release can be handed to a process of attacks (bench.api.Part)", apart)
    tests.run("its sections of a page have names of their own", sections)
    return tests.outcomes
