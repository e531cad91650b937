"""Every registered track: what the engine, the tables and the contract tests ask of it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bench import registry, tracks
from bench.api import Architecture, Setting, TrackWork
from bench.schema import columns
from bench.targets.cache import target_id


@pytest.mark.parametrize("name", tracks.names())
def test_it_has_what_the_engine_asks_for(name):
    track = tracks.get(name)
    assert isinstance(track.work, TrackWork)
    assert track.tiers
    assert track.summary
    entry = registry.entries("track")[name]
    for fact in ("tiers", "version", "stacks", "unpublished", "unpublished_of_controls"):
        assert registry.literal(entry, fact) == getattr(track, fact), f"{fact} is no literal, so tables cannot know it"
    known = {column.name for column in columns("images")}
    assert track.unpublished | track.unpublished_of_controls <= known


@pytest.mark.parametrize("name", tracks.names())
def test_its_columns_are_in_the_tables_and_they_and_its_page_need_no_torch(name):
    code = f"import sys; from bench import tracks; t = tracks.get({name!r}); t.columns('scores'), t.columns('images')"
    code += "; t.sections(), t.refine(None)"
    done = subprocess.run([sys.executable, "-c", f"{code}; sys.exit('torch' in sys.modules)"], check=False)
    assert done.returncode == 0
    for table in ("scores", "images"):
        mine = tracks.get(name).columns(table)
        assert set(mine) <= set(columns(table))


@pytest.mark.parametrize("name", tracks.names())
def test_its_example_is_narrowed_to_what_is_granted(name):
    track = tracks.get(name)
    release, members = track.work.example(Architecture("mlp", (1, 8, 8), (16,), 2, "relu", "first", "ce"), 1)
    assert len(members)
    mine = track.work.narrow(release, track.tiers)
    assert track.work.fingerprint(mine) == track.work.fingerprint(mine)
    assert tracks.ungrantable(name, track.tiers) == ""


def test_targets_keep_their_names():
    """Worked out before tracks were folders: a change here throws every kept target away."""
    setting = Setting()
    assert [target_id(setting, "0" * 16, name) for name in ("reconstruction", "informed", "stealing")] == IDS


IDS = ["87807715900d602e", "db9f652f187dd500", "5b271358b62d3b74"]
