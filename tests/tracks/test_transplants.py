"""Transplants of the tracks: what is of which release, that they are narrowed like any other, and that tracks without them say why."""

from __future__ import annotations

import pytest
import torch

from bench import registry, tracks
from bench.api import Candidates, Setting
from bench.data.split import split
from bench.errors import BenchError
from bench.metrics.ssim import ssim_matrix
from bench.tracks.membership import work as membership
from bench.tracks.reconstruction import Secret
from bench.tracks.reconstruction import work as reconstruction

SMALL = Setting(n_per_class=4, hidden=(8,), epochs=5)


@pytest.fixture(scope="module")
def pair():
    return reconstruction.obtain([SMALL, SMALL.model_copy(update={"seed": 1})])


def same(a, b) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a) if isinstance(a, dict) else torch.equal(a, b)


def test_the_network_is_the_others_and_the_rest_stays(pair):
    own, other = (target.release for target in pair)
    made = reconstruction.transplant(own, other)
    for name in ("weights", "initial_weights"):
        assert same(getattr(made, name), getattr(other, name))
        assert not same(getattr(made, name), getattr(own, name))
    for name in ("mean_image", "public_images"):
        assert same(getattr(made, name), getattr(own, name))
        assert not same(getattr(made, name), getattr(other, name))
    assert (made.n_train, made.architecture) == (own.n_train, own.architecture)
    assert set(made.held()) == set(own.held()), "a field of which nobody has said whose it is"
    images = own.public_images[:5]
    assert torch.equal(made.oracle.logits(images), other.oracle.logits(images))
    assert not torch.equal(made.oracle.logits(images), own.oracle.logits(images))


def test_it_is_narrowed_like_any_release_in_fresh_copies(pair):
    own, other = (target.release for target in pair)
    made = reconstruction.transplant(own, other)
    narrow = reconstruction.narrow(made, frozenset({"final_weights", "mean_image"}))
    assert set(narrow.held()) == {"architecture", "n_train", "input_range", "weights", "forward", "mean_image"}
    for name in ("initial_weights", "public_images", "oracle"):
        with pytest.raises(BenchError, match=f"{name} was not granted"):
            getattr(narrow, name)
    before = reconstruction.fingerprint(other), reconstruction.fingerprint(own)
    narrow.mean_image.zero_()
    for weight in narrow.weights.values():
        weight.zero_()
    assert (reconstruction.fingerprint(other), reconstruction.fingerprint(own)) == before
    asked = reconstruction.narrow(made, frozenset({"query_labels"}))
    assert torch.equal(asked.oracle.labels(own.public_images), other.oracle.labels(own.public_images))
    assert (other.oracle.used, made.oracle.used) == (0, 0) or made.oracle is other.oracle
    with pytest.raises(BenchError, match="does not answer that"):
        asked.oracle.logits(own.public_images)


def test_candidates_stay_where_membership_is_asked(pair):
    own, other = (target.release for target in membership.obtain([SMALL, SMALL.model_copy(update={"seed": 1})]))
    made = membership.transplant(own, other)
    assert same(made.weights, other.weights)
    assert not same(made.weights, own.weights)
    for name in ("images", "labels", "mean_image"):
        assert same(getattr(made, name), getattr(own, name))
    assert set(membership.narrow(made, frozenset({"final_weights"})).held()) == set(own.held()) - {"mean_image"}


def test_tracks_have_a_transplant_or_say_why_not():
    with_hook = {name for name in tracks.names() if hasattr(tracks.get(name).work, "transplant")}
    assert with_hook == {"reconstruction", "membership"}
    for name in set(tracks.names()) - with_hook:
        assert len(tracks.get(name).no_transplant) > 40


def test_levelled_controls_have_the_members_mean_and_nothing_else_changes(pair):
    secret = pair[0].secret
    made = reconstruction.levelled(secret)
    assert torch.allclose(made.controls.mean(0), secret.members.mean(0), atol=1e-6)
    assert torch.allclose(made.controls - made.controls.mean(0), secret.controls - secret.controls.mean(0), atol=1e-6)
    assert made.members is secret.members
    assert (made.member_labels is secret.member_labels, made.control_labels is secret.control_labels) == (True, True)


def test_planted_controls_are_levelled_apart_from_those_of_the_setting():
    """The network subtracts the mean of the ordinary images; noise that is planted beside them would carry the controls off."""
    noisy = SMALL.model_copy(update={"defense": "memorized_examples", "defense_params": {"kind": "noise", "count": 3}})
    secret = reconstruction.obtain([noisy])[0].secret
    made = reconstruction.levelled(secret)
    mine, theirs = secret.planted["member"], secret.planted["control"]
    assert mine.sum() == theirs.sum() == 3
    for group, alike in ((~theirs, ~mine), (theirs, mine)):
        assert torch.allclose(made.controls[group].mean(0), secret.members[alike].mean(0), atol=1e-6)
    assert torch.allclose(made.controls[~theirs].mean(0), secret.mean_image, atol=1e-6)
    assert made.members is secret.members


def test_whatever_the_mean_image_is_added_to_matches_levelled_controls_as_often_or_more():
    """Images of others, moved to the members' mean: as an attack has them that subtracts one mean and adds another."""
    source = registry.resolve_data("photo_tiles").load()
    hits = {"members": 0, "controls": 0, "levelled": 0}
    for seed in range(60):
        one = Setting(dataset="photo_tiles", n_per_class=2, seed=seed)
        parts, others = (split(source, setting) for setting in (one, one.model_copy(update={"seed": 1000 + seed})))
        members, controls, theirs = (torch.from_numpy(images) for images in (parts.train, parts.control, others.train))
        secret = Secret(members, torch.zeros(4), controls, torch.zeros(4))
        answer = (0.5 * (theirs - theirs.mean(0)) + members.mean(0)).clamp(0, 1)
        sides = {"members": members, "controls": controls, "levelled": reconstruction.levelled(secret).controls}
        for name, images in sides.items():
            hits[name] += int((ssim_matrix(images, answer).amax(1) > 0.4).sum())
    assert hits["members"] > 2 * hits["controls"], "the mean image gives members away"
    assert hits["members"] < hits["levelled"] + 3 * (2 * hits["members"]) ** 0.5, "and of moved controls it is no less true"


def test_the_score_takes_members_and_controls_alike(pair):
    """Else hits of either on a transplant would not be drawn alike, and the test of them would err."""
    secret = pair[0].secret
    turned = Secret(secret.controls, secret.control_labels, secret.members, secret.member_labels)
    images = torch.cat([secret.members[:3], secret.controls[:1]]).clamp(0, 1)
    one, two = (reconstruction.score(Candidates(images), s, bootstrap_seed=0, thumbnails=False)[0] for s in (secret, turned))
    assert (one["recall_members"], one["recall_controls"]) == (two["recall_controls"], two["recall_members"])
    assert one["recall_members"] != one["recall_controls"]
