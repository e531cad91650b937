"""The reconstruction track: an attack gets a narrowed release and answers with images; these are scored against members and controls.

Score protocol ``v1``. Candidates come best first by the attacker's own ranking. The first ``n_submit`` are *submitted*; they alone make
the headline. Scores that choose among all candidates by looking at the truth are named ``oracle``, and the papers' own scoring ``haim``.
Members and controls go through the same lines of code, each against all submitted candidates, and neither knows of the other. A share of
members above the threshold means something only beside the same share of controls: hence *excess recall*.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
import math
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from bench import registry, seeds, tracks
from bench.api import Architecture, Candidates, Release, Row, Secret, Setting, Target
from bench.data.split import split
from bench.errors import AttackFault, BenchError
from bench.metrics import intervals, lpips, match
from bench.metrics.measure import measure, statistics
from bench.metrics.ncc import haim2022
from bench.metrics.ssim import ssim_matrix
from bench.targets.cache import target_id
from bench.tracks.reconstruction.example import example
from bench.tracks.reconstruction.secret import secret_from
from bench.tracks.reconstruction.targets import obtain

__all__ = [
    "alike", "check_answer", "example", "fingerprint", "narrow", "obtain", "pack", "pool", "rounded", "score", "secret_of", "unpack",
]  # fmt: skip

THRESHOLD = 0.4  # SSIM above which a reconstruction counts as a hit (Haim et al. 2022; Buzaglo et al. 2023)
FALSE_POSITIVES = 0.01  # rate at which the true-positive rate is read
MAX_CANDIDATES = 10  # images that an attack may answer with, in multiples of n_train, a run
SHOWN = 2  # members with thumbnails: so many of the best, of the median, and of the worst

LIBRARIES = frozenset({"torch", "numpy", "jaxtyping", "beartype", "builtins", "collections", "functools", "typing"})


# --- what the attack gets ---------------------------------------------------------------------------------------------------------------


def secret_of(setting: Setting) -> Secret:
    """The secret of a setting, drawn again from its data: what scoring without the target needs."""
    source = registry.resolve_data(setting.dataset)
    defense = registry.get("defense", setting.defense)(**setting.defense_params)
    return secret_from(split(source.load(), setting), defense, target_id(setting, source.digest()))


def narrow(release: Release, needs: frozenset[str]) -> Release:
    """A release with the granted tiers only, made of fresh copies, so that nothing an attack does to it is seen elsewhere.

    Weights, architecture, n_train and the input range are always there. No field is passed on that is not copied here by name, and a
    ``forward`` that holds on to data is refused.

    Args:
        release: with every tier filled.
        needs: tiers that the attack declares.

    Raises:
        BenchError: a tier that is unknown, that the track cannot grant, or that this release lacks; or ``forward`` holds data.
    """
    tracks.admit("reconstruction", needs)
    return weights_for(release, needs)


def weights_for(release: Release, needs: frozenset[str]) -> Release:
    """As `narrow`, for every track that releases weights, of tiers that are fields of a release."""
    for tier in sorted(needs - {"final_weights"}):
        if getattr(release, tier) is None:
            raise BenchError(f"the release has no {tier}", expected=f"a target trained with its {tier} kept", got="none")
    held = next(_data_within(release.forward), None)
    if held is not None:
        raise BenchError("the release's forward function holds data", expected="a pure function of weights and inputs", got=held)
    fields = {f.name: getattr(release.architecture, f.name) for f in dataclasses.fields(Architecture)}
    return Release(
        architecture=Architecture(**fields),
        weights=copies(release.weights),
        forward=release.forward,
        n_train=release.n_train,
        input_range=tuple(release.input_range),  # type: ignore[arg-type]
        mean_image=copy(release.mean_image) if "mean_image" in needs and release.mean_image is not None else None,
        initial_weights=copies(release.initial_weights) if "initial_weights" in needs and release.initial_weights is not None else None,
        public_images=copy(release.public_images) if "public_images" in needs and release.public_images is not None else None,
    )


def fingerprint(release: Release) -> str:
    """Hash of every tensor in a release, 16 hex digits. The same before and after an attack, or else the attack changed its release."""
    digest = hashlib.sha256()
    for field in dataclasses.fields(Release):
        value = getattr(release, field.name)
        named: Mapping[str, Any] = value if isinstance(value, Mapping) else {"": value}
        for name in sorted(named):
            if isinstance(named[name], Tensor):
                tensor = named[name].detach().cpu().contiguous()
                digest.update(f"{field.name}/{name}/{tensor.dtype}/{tuple(tensor.shape)}\n".encode())
                digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def copy(tensor: Tensor) -> Tensor:
    """Fresh storage of its own: no view into a larger tensor, no graph, no attributes that hang on the old one."""
    return tensor.detach().clone(memory_format=torch.contiguous_format)


def copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`copy` of each."""
    return {name: copy(tensor) for name, tensor in tensors.items()}


def _data_within(value: Any, path: str = "forward", seen: set[int] | None = None) -> Iterator[str]:
    """Where a function holds tensors, arrays, targets or secrets: closures, defaults, bound objects, attributes, globals that it names."""
    seen = set() if seen is None else seen
    if id(value) in seen:
        return
    seen.add(id(value))
    inner: list[tuple[str, Any]] = []
    if isinstance(value, (Tensor, np.ndarray, Secret, Target, Release)):
        yield f"{type(value).__name__} at {path}"
    elif isinstance(value, functools.partial):
        inner = [("func", value.func), ("args", value.args), ("keywords", value.keywords)]
    elif isinstance(value, types.MethodType):
        inner = [("__func__", value.__func__), ("__self__", value.__self__)]
    elif isinstance(value, types.FunctionType) and _ours(value):
        cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
        inner = [(f"<{name}>", cell.cell_contents) for name, cell in cells if _filled(cell)]
        inner += [("__defaults__", value.__defaults__), ("__kwdefaults__", value.__kwdefaults__), ("__dict__", value.__dict__)]
        inner += [(name, value.__globals__[name]) for name in value.__code__.co_names if name in value.__globals__]
    elif isinstance(value, Mapping):
        inner = [(f"[{key!r}]", item) for key, item in value.items()]
    elif isinstance(value, (list, tuple, set, frozenset)):
        inner = [(f"[{i}]", item) for i, item in enumerate(value)]
    elif not isinstance(value, (types.ModuleType, type)) and _ours(value):
        inner = list(getattr(value, "__dict__", {}).items())
    for name, item in inner:
        yield from _data_within(item, f"{path}.{name}", seen)


def _filled(cell: types.CellType) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:  # a variable that was never assigned
        return False
    return True


def _ours(value: Any) -> bool:
    """Whether to look into a function or an object: not if a library that cannot know the data defined it."""
    module = value.__module__ if isinstance(value, types.FunctionType) else type(value).__module__
    return (module or "").partition(".")[0] not in LIBRARIES


# --- what the attack answers ------------------------------------------------------------------------------------------------------------


def check_answer(answer: object, release: Release) -> Candidates:
    """The answer as float32 images without a graph, and its confidences, or else what is wrong with it.

    Raises:
        AttackFault: no tensor of floating point, the wrong shape, no images, more than ten times ``n_train``, NaN or infinity, or
            confidences that do not fit.
    """
    candidates = answer if isinstance(answer, Candidates) else Candidates(answer)  # type: ignore[arg-type]
    images, confidence, loss, _ = candidates
    shape = release.architecture.input_shape
    wanted = f"a float tensor of shape (m, {', '.join(map(str, shape))}), 1 <= m <= {MAX_CANDIDATES * release.n_train}"
    if not isinstance(images, Tensor):
        raise AttackFault("the attack returned no tensor", expected=wanted, got=type(images).__name__)
    if images.layout != torch.strided or not images.dtype.is_floating_point:
        raise AttackFault("the attack returned a tensor of the wrong kind", expected=wanted, got=f"{images.dtype}, {images.layout}")
    if images.ndim != 4 or tuple(images.shape[1:]) != tuple(shape):
        raise AttackFault("the attack returned images of the wrong shape", expected=wanted, got=f"shape {tuple(images.shape)}")
    if len(images) == 0:
        raise AttackFault("the attack returned no images", expected=wanted, got="m = 0", hint="return the best guess there is")
    if len(images) > MAX_CANDIDATES * release.n_train:
        raise AttackFault(
            "the attack returned too many images", expected=wanted, got=f"m = {len(images)}", hint="rank them and return the best"
        )
    bad = int((~torch.isfinite(images)).flatten(1).any(1).sum())
    if bad:
        raise AttackFault("the attack returned NaN or infinity", expected="finite numbers", got=f"{bad} of {len(images)} images with them")
    if confidence is not None:
        if not isinstance(confidence, Tensor) or tuple(confidence.shape) != (len(images),):
            got = f"shape {tuple(confidence.shape)}" if isinstance(confidence, Tensor) else type(confidence).__name__
            raise AttackFault("the attack's confidence does not fit its images", expected=f"a tensor of shape ({len(images)},)", got=got)
        if not bool(torch.isfinite(confidence).all()):
            raise AttackFault("the attack's confidence is NaN or infinite", expected="finite numbers, higher is better")
        confidence = confidence.detach().to(torch.float32, copy=True)
    try:
        loss = None if loss is None else float(loss)
    except (TypeError, ValueError, RuntimeError):
        raise AttackFault("the attack's loss is not a number", expected="a number or None", got=type(loss).__name__) from None
    return Candidates(images.detach().to(torch.float32, copy=True), confidence, loss)


def alike(a: Candidates, b: Candidates, tolerance: float) -> bool:
    """Whether two answers are the same, to within a tolerance in pixel values; 0: bit by bit."""
    if a.images.shape != b.images.shape:
        return False
    return torch.equal(a.images, b.images) if tolerance == 0 else torch.allclose(a.images, b.images, atol=tolerance, rtol=tolerance)


def rounded(answer: Candidates) -> Candidates:
    """To float16 and back, so that what is scored is what is kept. Values beyond float16 are clipped to its ends."""
    images = answer.images.detach().float().clamp(-65504, 65504).half().float().cpu()
    confidence = None if answer.confidence is None else answer.confidence.detach().float().cpu()
    return Candidates(images, confidence, answer.loss, answer.run)


def pack(answer: Candidates) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An answer as tensors and plain facts, to be kept: images as float16."""
    tensors = {"images": answer.images.half().cpu().contiguous()}
    if answer.confidence is not None:
        tensors["confidence"] = answer.confidence.float().cpu().contiguous()
    if answer.run is not None:
        tensors["run"] = answer.run.to(torch.int32).cpu().contiguous()
    return tensors, {} if answer.loss is None else {"loss": answer.loss}


def unpack(tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Candidates:
    """The inverse of `pack`."""
    loss = float(facts["loss"]) if "loss" in facts else None
    return Candidates(tensors["images"].float(), tensors.get("confidence"), loss, tensors.get("run"))


def pool(answers: Sequence[Candidates], told: bool = True) -> Candidates:
    """The candidates of all runs of a sweep as one list, best first; the loss is the least of theirs.

    Args:
        told: whether the answer says which run made each image.

    By confidence where every run has it (a stable sort, so equals keep the attack's own order); else in turn: every run's first, every
    run's second, and so on.

    Raises:
        BenchError: no runs.
    """
    if not answers:
        raise BenchError("no runs to pool", expected="at least one run of an attack")
    images = torch.cat([a.images for a in answers])
    run = torch.repeat_interleave(torch.arange(len(answers)), torch.tensor([len(a.images) for a in answers]))
    losses = [a.loss for a in answers if a.loss is not None]
    loss = min(losses) if losses else None
    if all(a.confidence is not None for a in answers):
        confidence = torch.cat([a.confidence for a in answers])  # type: ignore[misc]
        order = torch.sort(confidence, descending=True, stable=True).indices
        return Candidates(images[order], confidence[order], loss, run[order.cpu()] if told else None)
    rank = torch.cat([torch.arange(len(a.images)) for a in answers])
    order = torch.sort(rank, stable=True).indices
    return Candidates(images[order.to(images.device)], None, loss, run[order] if told else None)


# --- how the answer is scored -----------------------------------------------------------------------------------------------------------


def score(
    candidates: Candidates,
    secret: Secret,
    *,
    bootstrap_seed: int,
    n_submit: int | None = None,
    thumbnails: bool = True,
    gallery: int | None = None,
) -> tuple[Row, list[Row]]:
    """Score columns of the cell's row, and one row an image for ``images.parquet`` (without ``cell_id``).

    Images are clipped to [0, 1]; a pairing that leaves an image without a partner makes a miss: null in the image's row, SSIM 0 in medians
    and means, the worst in the other medians. Hits are SSIM > 0.4, strictly.

    Args:
        candidates: pooled, best first, finite.
        secret: members and controls, as many of each; beside planted inputs there may be fewer unplanted ones.
        n_submit: how many candidates the attacker submits (the first ones); twice as many as there are members, which is what the
            papers' m = 2n gives, where it is None.
        bootstrap_seed: names the random stream of the intervals.
        thumbnails: whether the rows of a few members (best, median, worst) carry PNGs of truth and reconstruction.
        gallery: so many of the best members carry them too.

    Raises:
        BenchError: no members, controls or candidates, or n_submit < 1.
    """
    n_submit = 2 * len(secret.members) if n_submit is None else n_submit
    if n_submit < 1 or not (len(candidates.images) and len(secret.members) and len(secret.controls)):
        raise BenchError(
            "nothing to score",
            expected="at least one candidate, member, control and submitted image",
            got=f"{len(candidates.images)}, {len(secret.members)}, {len(secret.controls)}, {n_submit}",
        )
    if len(secret.controls) > len(secret.members):  # they compete for the same submissions, and those left over would count as misses
        got = f"{len(secret.members)} members, {len(secret.controls)} controls"
        raise BenchError("more controls than members", expected="as many of each, or fewer controls", got=got, hint="draw as many")
    images = candidates.images.detach().to(torch.float32).clamp(0, 1)
    members, controls = secret.members.to(images), secret.controls.to(images)
    submitted = images[:n_submit]
    # The papers' networks see images less the mean of the training images (as they were before anything was planted); controls are centred
    # alike, for the attacker has no other mean.
    mean = members.mean(0) if secret.mean_image is None else secret.mean_image.to(images)
    similarity = ssim_matrix(torch.cat([members, controls]), images).cpu()
    sides = {
        "members": _compare(members, images, similarity[: len(members)], n_submit, mean),
        "controls": _compare(controls, images, similarity[len(members) :], n_submit, mean),
    }
    row = compare(sides["members"], sides["controls"], bootstrap_seed)
    for name, part in (("", similarity[: len(members)]), ("_controls", similarity[len(members) :])):
        row[f"precision{name}"] = float((part[:, :n_submit].amax(0) > THRESHOLD).double().mean())
    row |= {
        "n_members": len(members),
        "n_controls": len(controls),
        "n_candidates": len(images),
        "n_submitted": len(submitted),
        "lpips_reason": "" if sides["members"]["lpips"] is not None else lpips.unavailable() or "LPIPS could not be computed",
    }
    told = secret.stationarity.get("member_margin")
    if secret.planted and told is not None:
        row["planted_owner"] = float((told[secret.planted["member"]] > 0).double().mean())
    if candidates.run is not None:
        row["sweep_runs"] = _each_run(similarity, candidates.run.cpu(), len(members), n_submit)
    sides["members"] |= {"margin": told, "multiplier": secret.stationarity.get("multiplier"), "planted": secret.planted.get("member")}
    sides["controls"] |= {"margin": secret.stationarity.get("control_margin"), "planted": secret.planted.get("control")}
    rows = image_rows("member", sides["members"], secret.member_labels) + image_rows("control", sides["controls"], secret.control_labels)
    if thumbnails:
        add_thumbnails(rows, members.cpu(), submitted.cpu(), gallery)
    return row, rows


def _each_run(similarity: Float[Tensor, "n m"], run: Int[Tensor, " m"], n_members: int, n_submit: int) -> list[Row]:
    """How the runs of a sweep score alone: hits by the first ``n_submit`` candidates of each, members and controls, one-to-one."""
    rows = []
    for k in run.unique().tolist():
        own = similarity[:, (run == k).nonzero().flatten()[:n_submit]]
        sides = (own[:n_members], own[n_members:])
        members, controls = (int((_picked(side, match.one_to_one(1 - side)) > THRESHOLD).sum()) for side in sides)
        rows.append({"run": int(k), "members": members, "controls": controls, "submitted": own.shape[1]})
    return rows


def _compare(
    truth: Float[Tensor, "n c h w"],
    candidates: Float[Tensor, "m c h w"],
    similarity: Float[Tensor, "n m"],
    n_submit: int,
    mean: Float[Tensor, "c h w"],
) -> dict[str, Any]:
    """Every per-image number of one side, as float64 arrays with NaN where an image has no partner; LPIPS None where it cannot be had."""
    partner = match.one_to_one(1 - similarity[:, :n_submit])
    every = match.one_to_one(1 - similarity) if candidates.shape[0] > n_submit else partner
    matched = (partner >= 0).nonzero().flatten()
    a, b = truth[matched.to(truth.device)], candidates[partner[matched].to(truth.device)]

    def spread(values: np.ndarray | None) -> np.ndarray | None:
        if values is None:
            return None
        full = np.full(len(truth), np.nan)
        full[matched.numpy()] = values
        return full

    return {
        "ssim": _picked(similarity, partner),
        **{name: spread(values) for name, values in measure(a, b, but={"ssim"}).items()},
        "nn_ssim": similarity[:, :n_submit].amax(1).double().numpy(),
        "oracle_ssim": _picked(similarity, every),
        "haim_ssim": haim2022(truth, candidates - mean, mean).ssim.cpu().double().numpy(),
        "candidate": partner.numpy(),
    }


def _picked(similarity: Float[Tensor, "n m"], partner: Int[Tensor, " n"]) -> np.ndarray:
    """``similarity[i, partner[i]]``, NaN where there is no partner."""
    values = similarity.gather(1, partner.clamp_min(0)[:, None])[:, 0].double()
    return torch.where(partner >= 0, values, torch.nan).numpy()


SELECTIONS = {"": "ssim", "oracle_": "oracle_ssim", "nn_": "nn_ssim", "haim_": "haim_ssim"}  # prefix of the columns → per-image number


def compare(members: dict[str, Any], controls: dict[str, Any], bootstrap_seed: int, selections: Mapping[str, str] = SELECTIONS) -> Row:
    """The columns that compare the two sides."""
    row: Row = {}

    def rng(name: str) -> np.random.Generator:
        return seeds.numpy_generator("score", bootstrap_seed, name)

    for prefix, column in selections.items():
        hits, false_hits = members[column] > THRESHOLD, controls[column] > THRESHOLD  # NaN is no hit
        excess = intervals.bootstrap_difference(hits, false_hits, rng(f"{prefix}excess_recall"))
        row[f"{prefix}recall_members"], row[f"{prefix}recall_controls"] = float(hits.mean()), float(false_hits.mean())
        row[f"{prefix}excess_recall"] = excess.estimate
        row[f"{prefix}excess_recall_lo"], row[f"{prefix}excess_recall_hi"] = excess.low, excess.high
        if not prefix:
            for name, values in (("recall_members", hits), ("recall_controls", false_hits)):
                _, row[f"{name}_lo"], row[f"{name}_hi"] = intervals.wilson(int(values.sum()), len(values))
    positive, negative = (np.nan_to_num(side["ssim"], nan=-np.inf) for side in (members, controls))
    row["auc"], row["auc_lo"], row["auc_hi"] = intervals.bootstrap_auc(positive, negative, rng("auc"))
    row["tpr_at_1fpr"] = intervals.tpr_at_fpr(positive, negative, FALSE_POSITIVES)
    for suffix, side in (("", members), ("_controls", controls)):
        row |= statistics(side, suffix)
    return row


def image_rows(part: str, side: dict[str, Any], labels: Int[Tensor, " n"]) -> list[Row]:
    """One row an image; ``side`` holds an array a column, or None where a number cannot be had."""
    columns = [name for name in side if name != "candidate"]
    rows: list[Row] = []
    for i, label in enumerate(labels.tolist()):
        row: Row = {"split": part, "index": i, "label": int(label), "candidate": int(side["candidate"][i])}
        for name in columns:
            value = math.nan if side[name] is None else float(side[name][i])
            row[name] = None if math.isnan(value) else value
        rows.append(row | {"truth_png": None, "recon_png": None})
    return rows


def add_thumbnails(
    rows: list[Row], members: Float[Tensor, "n c h w"], submitted: Float[Tensor, "m c h w"], gallery: int | None = None
) -> None:
    """PNGs for the strips: the best, the median and the worst members, misses last; a miss has no reconstruction to show.

    Args:
        gallery: how many of the best are kept for a gallery of them; None: none beyond the strip's.
    """
    # The table keeps four decimals, and the report ranks by them: near-ties have to fall the same way here.
    members_rows = (r for r in rows if r["split"] == "member")
    ranked = sorted(members_rows, key=lambda r: (math.inf if r["ssim"] is None else -round(r["ssim"], 4), r["index"]))
    n = len(ranked)
    middle = n // 2 - SHOWN // 2
    shown = set(range(n)) if n <= 3 * SHOWN else {*range(SHOWN), *range(middle, middle + SHOWN), *range(n - SHOWN, n)}
    shown |= set(range(min(gallery or 0, n)))
    for row in (ranked[i] for i in sorted(shown)):
        row["truth_png"] = png(members[row["index"]])
        if row["candidate"] >= 0:
            row["recon_png"] = png(submitted[row["candidate"]])


def png(image: Float[Tensor, "c h w"]) -> bytes:
    """An image in [0, 1] as an 8-bit PNG: colour if it has three channels, else the grey mean of them."""
    from PIL import Image

    values = image.detach().cpu().float().clamp(0, 1)
    values = values if values.shape[0] == 3 else values.mean(0, keepdim=True)
    pixels = (values * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0]).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
