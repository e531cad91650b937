"""The track: what an attack gets, what of its answers is refused, and scores whose values are known."""

from __future__ import annotations

import dataclasses
import functools
import gc
import io
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import seeds, tracks
from bench.api import Architecture, Candidates
from bench.check.handed import holds_any, reachable_tensors
from bench.errors import AttackFault, BenchError
from bench.metrics.intervals import shares_over_seeds
from bench.schema import columns
from bench.store import to_table
from bench.tracks.reconstruction import Release, Secret
from bench.tracks.reconstruction.thumbnails import png
from bench.tracks.reconstruction.work import check_answer, example, fingerprint, narrow, pack, pool, score, unpack

SHAPE = (3, 12, 12)
ALL_TIERS = frozenset({"final_weights", "mean_image", "initial_weights", "public_images"})


def random(n: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(seed))


def linear(architecture: Architecture, weights: Any, x: torch.Tensor) -> torch.Tensor:
    return x.flatten(1) @ weights["layers.0.weight"].T


ARCHITECTURE = Architecture("mlp", SHAPE, (4,), 1, "relu", "first", "bce")


def release_of(members: torch.Tensor, **changes: Any) -> Release:
    release = Release(
        architecture=ARCHITECTURE,
        weights={"layers.0.weight": torch.ones(1, members[0].numel()), "scale": torch.tensor(2.0)},
        forward=functools.partial(linear, ARCHITECTURE),
        n_train=len(members),
        mean_image=members.mean(0),
        initial_weights={"layers.0.weight": torch.zeros(1, members[0].numel())},
        public_images=random(5, seed=99),
    )
    return dataclasses.replace(release, **changes)


def secret_of(n: int = 6) -> Secret:
    labels = torch.arange(n) % 2
    return Secret(random(n, 1), labels, random(n, 2), labels)


# --- narrow -----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tier", ["mean_image", "initial_weights", "public_images"])
def test_only_granted_tiers_pass(tier: str) -> None:
    whole = release_of(random(4))
    given_ = narrow(whole, frozenset({"final_weights", tier}))
    for other in ("mean_image", "initial_weights", "public_images"):
        assert hasattr(given_, other) == (other == tier)
    assert torch.equal(given_.weights["layers.0.weight"], whole.weights["layers.0.weight"])
    assert (given_.n_train, given_.input_range, given_.architecture) == (4, (0.0, 1.0), ARCHITECTURE)


def test_without_final_weights_nothing_of_the_network_can_be_read() -> None:
    given_ = narrow(release_of(random(4)), frozenset())
    assert not any(hasattr(given_, name) for name in ("weights", "forward", "mean_image", "initial_weights", "public_images", "oracle"))
    for name in ("weights", "forward"):
        with pytest.raises(BenchError, match=f'(?s){name} was not granted.*"final_weights"'):
            getattr(given_, name)
    assert (given_.n_train, given_.input_range, given_.architecture) == (4, (0.0, 1.0), ARCHITECTURE)


def test_an_oracle_counts_and_answers_what_the_tiers_name_alone() -> None:
    whole, members = example(Architecture("mlp", SHAPE, (4,), 1, "relu", "first", "bce"), 0)
    images = whole.public_images[:3]
    given_ = narrow(whole, frozenset({"input_gradients"}))
    found = given_.oracle.gradients(images, torch.ones(3, 2, 1))
    x = (images - members.mean(0)).requires_grad_()
    [want] = torch.autograd.grad(whole.forward(whole.weights, x).sum(), x)
    torch.testing.assert_close(found[:, 1], want)
    assert given_.oracle.used == 6
    assert given_.device == whole.device
    for ask in (given_.oracle.logits, given_.oracle.labels):
        with pytest.raises(BenchError, match="does not answer that"):
            ask(images)
    given_.oracle.limit = 7
    with pytest.raises(BenchError, match="the oracle refuses"):
        given_.oracle.gradients(images, torch.ones(3, 1, 1))
    assert given_.oracle.used == 6
    assert narrow(whole, frozenset({"queries"})).oracle.used == 0, "every run has a count of its own"
    assert not any(holds_any(tensor, members) for tensor in reachable_tensors(given_))


def test_a_column_that_two_tracks_share_is_there_once() -> None:
    names = [column.name for column in columns("scores")]
    assert len(names) == len(set(names))
    assert "queries_used" in names


def test_the_answers_used_reach_the_row() -> None:
    whole, _ = example(Architecture("mlp", SHAPE, (4,), 1, "relu", "first", "bce"), 0)
    runs = [narrow(whole, frozenset({"queries", "public_images"})) for _ in range(2)]
    for run, count in zip(runs, (2, 5), strict=True):
        run.oracle.logits(run.public_images[:count])
    answers = [unpack(*pack(check_answer(run.public_images[:3], run))) for run in runs]
    assert [answer.used for answer in answers] == [2, 5]
    assert score(pool(answers), secret_of(), bootstrap_seed=0)[0]["queries_used"] == 7
    plain = check_answer(random(3), narrow(whole, frozenset({"final_weights"})))
    assert "queries_used" not in score(plain, secret_of(), bootstrap_seed=0)[0]


def test_nothing_is_shared_with_the_original() -> None:
    whole = release_of(random(4))
    before = fingerprint(narrow(whole, ALL_TIERS))
    given_ = narrow(whole, ALL_TIERS)
    for mapping in (given_.weights, given_.initial_weights):
        for tensor in mapping.values():
            tensor.fill_(7)
    given_.mean_image.fill_(7)
    given_.public_images.fill_(7)
    given_.weights["extra"] = torch.zeros(1)  # type: ignore[index]
    assert fingerprint(narrow(whole, ALL_TIERS)) == before != fingerprint(given_)


def test_a_view_into_the_members_does_not_carry_them() -> None:
    """A mean image that is a row of a larger tensor, with the members hung on it as an attribute and in its graph."""
    members = random(4).requires_grad_()
    mean = torch.cat([members.detach(), members.mean(0, keepdim=True)])[4]
    mean.members = members  # type: ignore[attr-defined]
    graph = members.mean(0)
    for image in (mean, graph):
        passed = narrow(release_of(members.detach(), mean_image=image), ALL_TIERS).mean_image
        assert passed is not None
        assert passed.untyped_storage().nbytes() == passed.numel() * 4
        assert passed.grad_fn is None
        assert not passed.requires_grad
        assert not hasattr(passed, "members")


def test_attributes_of_release_and_architecture_are_left_behind() -> None:
    members = random(4)
    architecture = dataclasses.replace(ARCHITECTURE)
    object.__setattr__(architecture, "members", members)
    whole = release_of(members, architecture=architecture)
    object.__setattr__(whole, "secret", secret_of())
    given_ = narrow(whole, ALL_TIERS)
    assert not hasattr(given_, "secret")
    assert not hasattr(given_.architecture, "members")


def test_no_reference_path_leads_from_a_narrowed_release_to_the_members() -> None:
    """Walks everything that the release refers to, whatever the way: no tensor in reach holds a member's pixels."""
    members = random(4)
    given_ = narrow(release_of(members), ALL_TIERS)
    seen: dict[int, Any] = {}
    front: list[Any] = [given_]
    while front:
        for item in gc.get_referents(*front[:1]):
            module = type(item).__name__
            if id(item) not in seen and module not in ("module", "type", "ABCMeta", "builtin_function_or_method"):
                if isinstance(item, dict) and "__builtins__" in item:
                    continue  # a module's globals: this test file's own, shared by every function in it
                seen[id(item)] = item
                front.append(item)
        front.pop(0)
    tensors = [v for v in seen.values() if isinstance(v, torch.Tensor)]
    assert len(tensors) == 5
    pixels = {float(v) for v in members.flatten()}
    for tensor in tensors:
        assert not pixels & {float(v) for v in tensor.flatten()} - {0.0, 1.0, 2.0}


def leak_by_closure(data: torch.Tensor) -> Any:
    def forward(weights: Any, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1) @ weights["layers.0.weight"].T + 0 * data.sum()

    return forward


class Holder:
    """A callable that keeps the data as an attribute."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def __call__(self, weights: Any, x: torch.Tensor) -> torch.Tensor:
        return x

    def method(self, weights: Any, x: torch.Tensor) -> torch.Tensor:
        return x


def leak_by_default(data: torch.Tensor) -> Any:
    def forward(weights: Any, x: torch.Tensor, kept: Any = data) -> torch.Tensor:
        return x

    return forward


def leak_by_attribute(data: torch.Tensor) -> Any:
    def forward(weights: Any, x: torch.Tensor) -> torch.Tensor:
        return x

    forward.cache = {"all": [data]}  # type: ignore[attr-defined]
    return forward


CACHE: dict[str, Any] = {}


def leak_by_global(data: torch.Tensor) -> Any:
    CACHE["data"] = data

    def forward(weights: Any, x: torch.Tensor) -> torch.Tensor:
        return x + len(CACHE)

    return forward


LEAKS = [
    leak_by_closure,
    leak_by_default,
    leak_by_attribute,
    leak_by_global,
    lambda data: Holder(data),
    lambda data: Holder({"inner": (data,)}).method,
    lambda data: Holder(data.numpy()),
    lambda data: functools.partial(linear, ARCHITECTURE, kept=data),
    lambda data: functools.partial(leak_by_closure(data)),
    lambda data: Holder(Secret(data, data, data, data)),
]


@pytest.mark.parametrize("leak", LEAKS)
def test_a_forward_that_holds_data_is_refused(leak: Any) -> None:
    with pytest.raises(BenchError, match="forward function holds data"):
        narrow(release_of(random(4), forward=leak(random(4))), frozenset({"final_weights"}))


def test_tiers_that_cannot_be_granted() -> None:
    assert tracks.ungrantable("reconstruction", ALL_TIERS) == ""
    refused = tracks.ungrantable("reconstruction", frozenset({"queries", "known_data", "mean_image", "shadow_data"}))
    assert refused == "needs known_data, shadow_data, which the reconstruction track does not grant"
    with pytest.raises(BenchError, match=r"unknown access tier 'mean_images'\. Did you mean 'mean_image'\?"):
        tracks.ungrantable("reconstruction", frozenset({"mean_images"}))
    with pytest.raises(BenchError, match="does not grant"):
        narrow(release_of(random(4)), frozenset({"known_data"}))
    with pytest.raises(BenchError, match="the release has no oracle"):
        narrow(release_of(random(4)), frozenset({"queries"}))
    with pytest.raises(BenchError, match="the release has no initial_weights"):
        narrow(release_of(random(4), initial_weights=None), frozenset({"initial_weights"}))


def test_fingerprint_sees_every_tensor() -> None:
    whole = release_of(random(4))
    first = fingerprint(whole)
    assert fingerprint(release_of(random(4))) == first
    for mapping in (whole.weights, whole.initial_weights):
        for tensor in mapping.values():
            tensor.view(-1)[0] += 1e-6
            assert fingerprint(whole) != first
            first = fingerprint(whole)
    for field in ("mean_image", "public_images"):
        getattr(whole, field).view(-1)[0] += 1e-6
        assert fingerprint(whole) != first
        first = fingerprint(whole)


# --- check_answer -----------------------------------------------------------------------------------------------------------------------


NAN = random(2)
NAN[1, 0, 3, 3] = float("nan")
BAD_ANSWERS = {
    "no tensor": None,
    "no tensor ": np.zeros((1, *SHAPE)),
    "no tensor  ": [random(1)],
    "wrong kind": (random(2) * 255).to(torch.uint8),
    "wrong shape": random(2).flatten(1),
    "wrong shape ": random(2)[:, :1],
    "no images": random(0),
    "too many images": random(41),
    "NaN or infinity": NAN,
    "NaN or infinity ": random(2) / 0,
    "confidence does not fit": Candidates(random(2), torch.zeros(3)),
    "confidence does not fit ": Candidates(random(2), [1.0, 2.0]),  # type: ignore[arg-type]
    "confidence is NaN": Candidates(random(2), torch.tensor([0.0, float("nan")])),
    "loss is not a number": Candidates(random(2), None, "low"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("what", list(BAD_ANSWERS))
def test_bad_answers_are_faults(what: str) -> None:
    with pytest.raises(AttackFault, match=what.strip()) as fault:
        check_answer(BAD_ANSWERS[what], release_of(random(4)))
    assert "expected" in str(fault.value)


def test_good_answers_become_plain_float32() -> None:
    release = release_of(random(4))
    own = random(40).double().requires_grad_()
    got = check_answer(own, release)
    assert got.images.dtype == torch.float32
    assert not got.images.requires_grad
    assert got.confidence is got.loss is None
    mine = random(2)
    got = check_answer(Candidates(mine, torch.tensor([1, 2]), torch.tensor(0.5)), release)  # type: ignore[arg-type]
    assert got.loss == 0.5
    mine.zero_()
    assert float(got.images.abs().sum()) > 0  # a copy: the attack may go on using its own


# --- pool -------------------------------------------------------------------------------------------------------------------------------


def numbered(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, *SHAPE).contiguous()


def order(candidates: Candidates) -> list[int]:
    return [int(v) for v in candidates.images[:, 0, 0, 0]]


def test_pool_takes_turns_by_rank() -> None:
    pooled = pool([Candidates(numbered(1, 2, 3), None, 0.5), Candidates(numbered(11), None, 0.2), Candidates(numbered(21, 22))])
    assert order(pooled) == [1, 11, 21, 2, 22, 3]
    assert pooled.confidence is None
    assert pooled.loss == 0.2


def test_pool_goes_by_the_loss_of_their_run_where_every_run_has_one() -> None:
    told = [Candidates(numbered(1, 2), None, 0.5), Candidates(numbered(11), None, math.nan), Candidates(numbered(21, 22), None, 0.2)]
    pooled = pool(told)
    assert order(pooled) == [21, 22, 1, 2, 11]
    assert pooled.run is not None
    assert pooled.run.tolist() == [2, 2, 0, 0, 1]
    assert pooled.confidence is None


def test_pool_sorts_by_confidence_if_every_run_has_it() -> None:
    a = Candidates(numbered(1, 2, 3), torch.tensor([0.5, 0.1, 0.9]))
    b = Candidates(numbered(11, 12), torch.tensor([0.5, 0.7]))
    pooled = pool([a, b])
    assert order(pooled) == [3, 12, 1, 11, 2]
    assert pooled.confidence is not None
    torch.testing.assert_close(pooled.confidence, torch.tensor([0.9, 0.7, 0.5, 0.5, 0.1]))
    assert order(pool([a, Candidates(numbered(11))])) == [1, 11, 2, 3]
    with pytest.raises(BenchError, match="no runs"):
        pool([])


# --- score ------------------------------------------------------------------------------------------------------------------------------


def judge(images: torch.Tensor, secret: Secret, n_submit: int | None = None, **kw: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    return score(Candidates(images), secret, n_submit=n_submit or 2 * len(secret.members), bootstrap_seed=0, **kw)


def test_the_members_themselves_are_a_perfect_score() -> None:
    secret = secret_of()
    row, rows = judge(secret.members.flip(0), secret)
    assert (row["recall_members"], row["recall_controls"], row["excess_recall"], row["auc"], row["tpr_at_1fpr"]) == (1, 0, 1, 1, 1)
    assert row["ssim_median"] == pytest.approx(1, abs=1e-5)
    assert row["psnr_median"] == 100
    assert row["ncc_median"] == pytest.approx(1, abs=1e-5)
    assert (row["precision"], row["precision_controls"]) == (1, 0)
    assert [r["candidate"] for r in rows if r["split"] == "member"] == [5, 4, 3, 2, 1, 0]
    assert row["recall_members_lo"] < 1 == row["recall_members_hi"]


def test_the_controls_themselves_are_the_mirror_image() -> None:
    secret = secret_of()
    row, _ = judge(secret.controls, secret)
    assert (row["recall_members"], row["recall_controls"], row["excess_recall"], row["auc"]) == (0, 1, -1, 0)


def test_members_and_controls_go_through_the_same_mill() -> None:
    """Changing the roles changes the names of the columns and nothing else (haim2022 aside, which centres by the members' mean)."""
    secret = secret_of()
    swapped = Secret(secret.controls, secret.control_labels, secret.members, secret.member_labels)
    images = torch.cat([secret.members[:3] * 0.9, secret.controls[:2] * 0.8, random(4, 5)])
    (one, rows), (two, mirrored) = judge(images, secret), judge(images, swapped)
    for name in ("recall", "oracle_recall", "nn_recall"):
        assert one[f"{name}_members"] == two[f"{name}_controls"]
        assert one[f"{name}_controls"] == two[f"{name}_members"]
    for name in ("ssim_median", "ssim_mean", "psnr_median", "ncc_median", "lpips_median", "precision"):
        assert one[name] == pytest.approx(two[f"{name}_controls"], abs=1e-6)
    assert one["auc"] == pytest.approx(1 - two["auc"])
    assert one["excess_recall"] == -two["excess_recall"]
    keys = ("ssim", "ssim_w3", "lpips", "psnr", "ncc", "nn_ssim", "oracle_ssim", "candidate", "label")
    other = {(r["split"], r["index"]): r for r in mirrored}
    for r in rows:
        twin = other["control" if r["split"] == "member" else "member", r["index"]]
        assert [r[k] for k in keys] == pytest.approx([twin[k] for k in keys], abs=1e-5)


def test_one_image_that_resembles_all_counts_once() -> None:
    base = random(1, 3)
    members = (base + 0.05 * random(6, 4)).clamp(0, 1)
    secret = dataclasses.replace(secret_of(), members=members)
    row, rows = judge(base, secret)
    assert row["nn_recall_members"] == 1
    assert row["recall_members"] == pytest.approx(1 / 6)
    missed = [r for r in rows if r["split"] == "member" and r["candidate"] == -1]
    assert len(missed) == 5
    assert all(r["ssim"] is r["lpips"] is r["psnr"] is r["ncc"] is r["ssim_w3"] is None for r in missed)
    assert row["ssim_median"] == 0
    assert row["psnr_median"] is None
    assert row["n_submitted"] == 1


def test_only_submitted_candidates_make_the_headline() -> None:
    secret = secret_of()
    images = torch.cat([random(12, 8), secret.members])
    row, rows = judge(images, secret)
    assert row["recall_members"] == row["nn_recall_members"] == 0
    assert row["oracle_recall_members"] == 1
    assert (row["n_candidates"], row["n_submitted"]) == (18, 12)
    assert row["precision"] == 0
    assert max(r["candidate"] for r in rows) < 12


def test_values_outside_the_range_are_clipped() -> None:
    secret = secret_of()
    members = secret.members.round()
    secret = dataclasses.replace(secret, members=members)
    row, _ = judge(members * 3 - 1, secret)
    assert row["ssim_mean"] == pytest.approx(1, abs=1e-5)


def test_haim_is_blind_to_contrast_and_ssim_is_not() -> None:
    """A faint copy around the mean image: the papers' min–max scaling makes a hit of it."""
    members = torch.nn.functional.interpolate(torch.rand(6, 3, 3, 3, generator=torch.Generator().manual_seed(0)), size=SHAPE[1:])
    secret = dataclasses.replace(secret_of(), members=members)
    mean = members.mean(0)
    row, rows = judge(mean + 0.5 * (members - mean), secret)
    haim = [r["haim_ssim"] for r in rows if r["split"] == "member"]
    assert row["haim_recall_members"] == 1
    assert all(h > r["ssim_w3"] for h, r in zip(haim, rows, strict=False))


def test_the_same_cell_scores_the_same() -> None:
    secret = secret_of()
    images = torch.cat([secret.members[:4] * 0.7 + 0.1, random(5, 6)])
    one, two = judge(images, secret), judge(images, secret)
    assert one == two
    other, _ = score(Candidates(images), secret, n_submit=12, bootstrap_seed=1)
    assert {k for k in other if other[k] != one[0][k]} <= {k for k in other if k.endswith(("_lo", "_hi"))}


@settings(max_examples=15)
@given(st.integers(0, 2**31), st.integers(1, 8))
def test_more_candidates_never_hurt_the_oracle(seed: int, more: int) -> None:
    """The total of one-to-one SSIM and the nearest neighbour's recall can only rise; both hold for controls as well."""
    secret = secret_of(4)
    images = torch.cat([(secret.members + 0.3 * random(4, seed)).clamp(0, 1), random(more, seed + 1)])
    (few, few_rows), (many, many_rows) = (judge(x, secret, n_submit=20, thumbnails=False) for x in (images[:4], images))
    for split in ("member", "control"):
        total = [sum(r["oracle_ssim"] or 0 for r in rows if r["split"] == split) for rows in (few_rows, many_rows)]
        assert total[1] >= total[0] - 1e-5
        assert many[f"nn_recall_{split}s"] >= few[f"nn_recall_{split}s"]


@settings(max_examples=15)
@given(st.integers(0, 2**31))
def test_the_order_of_submitted_images_does_not_matter(seed: int) -> None:
    secret = secret_of(4)
    images = (torch.cat([secret.members, secret.controls]) + 0.3 * random(8, seed)).clamp(0, 1)
    shuffled = images[torch.randperm(8, generator=torch.Generator().manual_seed(seed))]
    one, two = (judge(x, secret, thumbnails=False)[0] for x in (images, shuffled))
    assert one == pytest.approx(two, abs=1e-5)


def test_an_attack_that_knows_nothing_has_no_excess() -> None:
    """Candidates drawn like members and controls: the mean excess over many cells is 0 to within its error, and over lines of five cells
    the interval holds 0 nearly always. (That of a single cell knows nothing of which side a candidate fell on, and holds it less often.)"""
    found, n = [], 8
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        bank = torch.rand(3, *SHAPE, generator=generator)

        def draw(k: int, bank: torch.Tensor = bank, generator: torch.Generator = generator) -> torch.Tensor:
            kind = torch.randint(3, (k,), generator=generator)
            return (bank[kind] + 0.35 * torch.rand(k, *SHAPE, generator=generator)).clamp(0, 1)

        labels = torch.zeros(n, dtype=torch.int64)
        row, _ = judge(draw(2 * n), Secret(draw(n), labels, draw(n), labels), thumbnails=False)
        found.append((row["recall_members"], row["recall_controls"]))
    shares = np.array(found)
    excess = shares[:, 0] - shares[:, 1]
    assert abs(excess.mean()) < 3 * excess.std(ddof=1) / len(excess) ** 0.5
    hits = np.rint(n * shares).reshape(8, 5, 2)
    lines = [shares_over_seeds(line[:, 0], [n] * 5, line[:, 1], [n] * 5)[0] for line in hits]
    assert sum(line.low <= 0 <= line.high for line in lines) >= 7


def test_rows_fit_the_tables_and_the_docs_of_the_columns() -> None:
    secret = secret_of()
    row, rows = judge(random(3, 7), secret)
    to_table([{**row, "grid": "g", "cell_id": "0" * 16, "status": "ok"}], "scores")
    to_table([{**r, "cell_id": "0" * 16} for r in rows], "images")
    assert len(rows) == 12
    assert row["lpips_reason"] == "" or row["lpips_median"] is None


def test_without_weights_lpips_is_null_and_says_why(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECONBENCH_HOME", str(tmp_path / "nothing"))
    row, rows = judge(random(3, 7), secret_of())
    assert row["lpips_median"] is row["lpips_median_controls"] is None
    assert row["lpips_reason"]
    assert all(r["lpips"] is None for r in rows)


def test_thumbnails_are_of_the_best_median_and_worst_members() -> None:
    from PIL import Image

    secret = secret_of(12)
    blend = torch.linspace(0, 1, 12).view(-1, 1, 1, 1)
    images = secret.members * (1 - blend) + random(12, 9) * blend
    _, rows = judge(images, secret)
    shown = [r["index"] for r in rows if r["truth_png"] is not None]
    ranked = sorted((r for r in rows if r["split"] == "member"), key=lambda r: -(r["ssim"] or 0))
    assert shown == sorted(ranked[i]["index"] for i in (0, 1, 5, 6, 10, 11))
    assert all(r["split"] == "member" for r in rows if r["recon_png"] is not None)
    pixels = np.asarray(Image.open(io.BytesIO(rows[0]["truth_png"])))
    np.testing.assert_allclose(pixels / 255, secret.members[0].permute(1, 2, 0).numpy(), atol=0.5 / 255 + 1e-6)
    _, bare = judge(images, secret, thumbnails=False)
    assert all(r["truth_png"] is r["recon_png"] is None for r in bare)


def test_png_of_grey_images() -> None:
    from PIL import Image

    image = Image.open(io.BytesIO(png(torch.tensor([[[0.0, 1.0], [0.5, 2.0]]]))))
    assert image.mode == "L"
    assert np.asarray(image).tolist() == [[0, 255], [128, 255]]


def test_more_controls_than_members_are_refused() -> None:
    """One to one with the same submissions, those left over would count as misses."""
    secret = secret_of()
    more = replace(secret, controls=torch.cat([secret.controls] * 2), control_labels=torch.cat([secret.control_labels] * 2))
    with pytest.raises(BenchError, match="more controls than members"):
        judge(random(12), more)


def test_nothing_to_score_is_an_error() -> None:
    secret = secret_of()
    with pytest.raises(BenchError, match="nothing to score"):
        judge(random(0), secret)
    with pytest.raises(BenchError, match="nothing to score"):
        score(Candidates(random(1)), secret, n_submit=0, bootstrap_seed=0)


def test_thumbnails_are_there_for_what_the_report_shows_even_in_near_ties():
    """The report ranks by four decimals; an order by more would leave holes in its strips."""
    from bench.report.kit.selection import shown_images

    g = seeds.generator("near ties")
    members = torch.rand(12, 1, 16, 16, generator=g)
    noise = torch.linspace(2e-3, 1e-4, 12).view(-1, 1, 1, 1)  # every SSIM is 1.0000, the later images a little nearer
    images = (members + noise * torch.randn(members.shape, generator=g)).clamp(0, 1)
    secret = Secret(members, torch.arange(12) % 2, torch.rand(12, 1, 16, 16, generator=g), torch.arange(12) % 2)
    rows = score(Candidates(images), secret, n_submit=24, bootstrap_seed=0)[1]
    frame = pd.DataFrame(rows)
    frame["ssim"] = frame["ssim"].astype("float32").round(4)
    assert frame.loc[shown_images(frame).index, "truth_png"].notna().all()


def test_a_gallery_gets_thumbnails_of_the_best_members_besides_those_of_the_strip():
    secret = secret_of(20)
    blend = torch.linspace(0, 1, 20).view(-1, 1, 1, 1)
    images = secret.members * (1 - blend) + random(20, 9) * blend
    _, rows = judge(images, secret, gallery=7)
    ranked = sorted((r for r in rows if r["split"] == "member"), key=lambda r: (-round(r["ssim"] or 0, 4), r["index"]))
    shown = {r["index"] for r in rows if r["truth_png"] is not None}
    assert shown == {ranked[i]["index"] for i in (*range(7), 9, 10, 18, 19)}
    every = judge(images, secret, gallery=100)[1]
    assert all((r["truth_png"] is not None) == (r["split"] == "member") for r in every)
