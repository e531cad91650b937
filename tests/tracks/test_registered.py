"""Every registered track: what the engine, the tables and the contract tests ask of it."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import subprocess
import sys
from typing import get_args

import pytest
import torch

from bench import api, registry, tracks
from bench.api import Architecture, Setting, Tier, TrackWork
from bench.errors import BenchError
from bench.granted import Granted
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


def whole_release(name):
    """A small release of the track, every tier filled."""
    return tracks.get(name).work.example(Architecture("mlp", (1, 8, 8), (16,), 2, "relu", "first", "ce"), 1)[0]


def tiered(name):
    """The fields of the track's release that a tier brings, and the sets of tiers that do."""
    fields = dataclasses.fields(importlib.import_module(f"bench.tracks.{name}").Release)
    return {f.name: f.default.ways for f in fields if isinstance(f.default, Granted)}


@pytest.mark.parametrize("name", tracks.names())
def test_its_release_has_no_field_that_no_attack_may_see_and_every_tier_brings_one(name):
    tiers, fields = tracks.get(name).tiers, tiered(name)
    assert fields
    for field, ways in fields.items():
        assert all(way <= tiers for way in ways), f"{field} is brought by {ways}, which {name} never grants"
    bring = frozenset().union(*(way for ways in fields.values() for way in ways))
    assert bring | {"final_weights"} == tiers | {"final_weights"}, "weights alone may be there without a tier"
    always = {f.name for f in dataclasses.fields(tracks.get(name).work.narrow(whole_release(name), frozenset()))}
    everything = {f.name for f in dataclasses.fields(tracks.get(name).work.narrow(whole_release(name), tiers))}
    assert everything == {f.name for f in dataclasses.fields(whole_release(name))}
    assert everything - always == set(fields)
    assert always >= {f.name for f in dataclasses.fields(api.Release)}


@pytest.mark.parametrize(("name", "field"), [(name, field) for name in tracks.names() for field in tiered(name)])
def test_what_was_not_granted_cannot_be_read_and_says_which_tier_to_add(name, field):
    track, whole = tracks.get(name), whole_release(name)
    for way in tiered(name)[field]:
        for short in [frozenset(), *(way - {tier} for tier in way)]:
            mine = track.work.narrow(whole, short)
            assert not hasattr(mine, field)
            with pytest.raises(BenchError, match=rf"release\.{field} was not granted") as refused:
                getattr(mine, field)
            assert refused.value.hint.startswith("add ")
            assert all(f'"{tier}"' in refused.value.hint for tier in way)
        mine = track.work.narrow(whole, way)
        assert hasattr(mine, field)
        assert getattr(mine, field) is not None


@pytest.mark.parametrize("name", tracks.names())
def test_a_release_that_lacks_what_a_tier_brings_is_refused(name):
    for field, ways in tiered(name).items():
        given = {key: value for key, value in whole_release(name).held().items() if key != field}
        without = type(whole_release(name))(**given)
        with pytest.raises(BenchError, match=f"the release has no {field}"):
            tracks.get(name).work.narrow(without, ways[0])


@pytest.mark.parametrize("name", tracks.names())
def test_a_narrowed_release_can_be_replaced_copied_and_printed_but_not_written_to(name):
    track = tracks.get(name)
    for needs in (frozenset(), track.tiers):
        mine = track.work.narrow(whole_release(name), needs)
        more = dataclasses.replace(mine, n_train=99)
        assert more.n_train == 99
        assert more.held().keys() == mine.held().keys()
        assert track.work.fingerprint(more) == track.work.fingerprint(copy.deepcopy(mine)) == track.work.fingerprint(mine)
        assert copy.deepcopy(mine).held().keys() == mine.held().keys()
        assert type(mine).__name__ in repr(mine)
        with pytest.raises(dataclasses.FrozenInstanceError):
            mine.n_train = 1
        for field in tiered(name):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(mine, field, torch.zeros(1))


def test_the_tracks_share_the_tiers_out_among_them():
    assert frozenset().union(*(tracks.get(name).tiers for name in tracks.names())) == frozenset(get_args(Tier))


ANNOTATED = """
from dataclasses import dataclass

from bench.api import Attack, Release
from bench.registry import register


@register
@dataclass(frozen=True)
class Brightest(Attack):
    name = "brightest"
    needs = frozenset({{"final_weights"{more}}})

    def reconstruct(self, release: Release, generator):
        return release.mean_image.expand(2, -1, -1, -1).clone()
"""


@pytest.mark.parametrize(("more", "passes"), [(', "mean_image"', True), ("", False)])
def test_a_plugin_that_names_the_release_of_all_tracks_runs_and_is_told_what_it_forgot(tmp_path, more, passes):
    (tmp_path / "brightest.py").write_text(ANNOTATED.format(more=more))
    [entry] = registry.load_plugin(tmp_path / "brightest.py")
    try:
        work, whole = tracks.get("reconstruction").work, whole_release("reconstruction")
        mine = work.narrow(whole, entry.cls.needs)
        if passes:
            assert torch.equal(entry.cls().reconstruct(mine, None)[0], whole.mean_image)
        else:
            with pytest.raises(BenchError, match="mean_image was not granted"):
                entry.cls().reconstruct(mine, None)
    finally:
        registry._plugins.clear()


def test_targets_keep_their_names():
    """Worked out before tracks were folders: a change here throws every kept target away."""
    setting = Setting()
    assert [target_id(setting, "0" * 16, name) for name in ("reconstruction", "informed", "stealing")] == IDS


IDS = ["87807715900d602e", "db9f652f187dd500", "5b271358b62d3b74"]
