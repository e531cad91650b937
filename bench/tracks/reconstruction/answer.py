"""What the attack answers with: images, ranked. How they are checked, kept and pooled."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from bench.api import Candidates, Release
from bench.errors import AttackFault, BenchError

MAX_CANDIDATES = 10  # images that an attack may answer with, in multiples of n_train, a run


def check_answer(answer: object, release: Release) -> Candidates:
    """The answer as float32 images without a graph, and its confidences, or else what is wrong with it.

    Raises:
        AttackFault: no tensor of floating point, the wrong shape, no images, more than ten times ``n_train``, NaN or infinity, or
            confidences that do not fit.
    """
    candidates = answer if isinstance(answer, Candidates) else Candidates(answer)  # type: ignore[arg-type]
    images, confidence, loss, _, starts, _ = candidates
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
    if starts is not None:
        if not isinstance(starts, Tensor) or starts.shape != images.shape or not bool(torch.isfinite(starts).all()):
            raise AttackFault("the attack's starts do not fit its images", expected=f"finite, of shape {tuple(images.shape)}")
        starts = starts.detach().to(torch.float32, copy=True)
    try:
        loss = None if loss is None else float(loss)
    except (TypeError, ValueError, RuntimeError):
        raise AttackFault("the attack's loss is not a number", expected="a number or None", got=type(loss).__name__) from None
    oracle = getattr(release, "oracle", None)
    used = None if oracle is None else int(oracle.used)
    return Candidates(images.detach().to(torch.float32, copy=True), confidence, loss, None, starts, used)


def alike(a: Candidates, b: Candidates, tolerance: float) -> bool:
    """Whether two answers are the same, to within a tolerance in pixel values; 0: bit by bit."""
    if a.images.shape != b.images.shape:
        return False
    return torch.equal(a.images, b.images) if tolerance == 0 else torch.allclose(a.images, b.images, atol=tolerance, rtol=tolerance)


def rounded(answer: Candidates) -> Candidates:
    """To float16 and back, so that what is scored is what is kept. Values beyond float16 are clipped to its ends."""

    def kept(images: Tensor) -> Tensor:
        return images.detach().float().clamp(-65504, 65504).half().float().cpu()

    starts = None if answer.starts is None else kept(answer.starts)
    confidence = None if answer.confidence is None else answer.confidence.detach().float().cpu()
    return Candidates(kept(answer.images), confidence, answer.loss, answer.run, starts, answer.used)


def pack(answer: Candidates) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An answer as tensors and plain facts, to be kept: images as float16."""
    tensors = {"images": answer.images.half().cpu().contiguous()}
    if answer.confidence is not None:
        tensors["confidence"] = answer.confidence.float().cpu().contiguous()
    if answer.run is not None:
        tensors["run"] = answer.run.to(torch.int32).cpu().contiguous()
    if answer.starts is not None:
        tensors["starts"] = answer.starts.half().cpu().contiguous()
    facts = {"loss": answer.loss, "used": answer.used}
    return tensors, {name: value for name, value in facts.items() if value is not None}


def unpack(tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Candidates:
    """The inverse of `pack`."""
    loss = float(facts["loss"]) if "loss" in facts else None
    starts = tensors["starts"].float() if "starts" in tensors else None
    return Candidates(tensors["images"].float(), tensors.get("confidence"), loss, tensors.get("run"), starts, facts.get("used"))


def pool(answers: Sequence[Candidates], told: bool = True) -> Candidates:
    """The candidates of all runs of a sweep as one list, best first; the loss is the least of theirs, and the oracle's answers add up.

    Args:
        told: whether the answer says which run made each image.

    By confidence where every run has it, by the loss of their run where every run has one; else in turn: every run's first, every run's
    second, and so on. Equals keep the attack's own order. The KKT attacks rank runs before candidates, so of 2n places the run of least
    loss takes all. Nothing that was tried beats that (bench/grids/README.md): turns among the best runs, candidates without duplicates,
    those first that several runs found, or means of what they found.

    Raises:
        BenchError: no runs.
    """
    if not answers:
        raise BenchError("no runs to pool", expected="at least one run of an attack")
    images = torch.cat([a.images for a in answers])
    sizes = torch.tensor([len(a.images) for a in answers])
    run = torch.repeat_interleave(torch.arange(len(answers)), sizes)
    losses = [a.loss for a in answers if a.loss is not None]
    counts = [a.used for a in answers if a.used is not None]
    confidence = starts = None
    if all(a.confidence is not None for a in answers):
        confidence = worth = torch.cat([a.confidence for a in answers])  # type: ignore[misc]
    elif len(losses) == len(answers):
        worth = -torch.tensor(losses, dtype=torch.float64).nan_to_num(nan=math.inf)[run]
    else:
        worth = -torch.cat([torch.arange(len(a.images)) for a in answers])
    order = torch.sort(worth, descending=True, stable=True).indices.to(images.device)
    if all(a.starts is not None for a in answers):
        starts = torch.cat([a.starts for a in answers])[order]  # type: ignore[misc]
    return Candidates(
        images[order],
        None if confidence is None else confidence[order],
        min(losses) if losses else None,
        run[order.cpu()] if told else None,
        starts,
        sum(counts) if counts else None,
    )
