"""Whether what an attack rests on holds in a network: is it a KKT point of its members, and do its first weights point at them?

An attack that finds nothing where its premise does not hold has tested nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import nnls
from scipy.stats import mannwhitneyu
from torch import Tensor

from bench.api import Secret
from bench.artefacts.reading import Reading
from bench.metrics import intervals
from bench.report.kit.text import number
from bench.tracks.reconstruction import Release

if TYPE_CHECKING:
    from attacks.span.below import Below

LEVEL = 0.05  # of the test whether the span holds more of the members
EXACT = 50  # images of a side up to which all ways are counted; beyond, the normal law is as good
NO_KKT_POINT = 0.98  # residual: of the published cells some are found out up to 0.977, and none above
MOST_NUMBERS = 2**28  # of the gradients at all members together


@dataclass(frozen=True)
class Premise:
    """What attacks of a kind rest on, as it was measured; None: it could not be."""

    words: str
    holds: bool | None


def kkt(residual: float | None, name: str = "KKT residual") -> Premise:
    """That the weights are near a KKT point of the members."""
    if residual is None:
        return Premise(f"{name} not measured", None)
    return Premise(f"{name} {number(residual, 3)} (below {NO_KKT_POINT:g} wanted)", residual < NO_KKT_POINT)


def span(
    rows: Float[Tensor, "u d"], members: Float[Tensor, "n d"], controls: Float[Tensor, "m d"], what: str, energy: str = ""
) -> tuple[Premise, dict[str, float]]:
    """That the leading directions of the first layer, or of its change, hold more of the members than of the controls.

    By the test of Mann and Whitney: had the layer learnt nothing about the members, they and the controls could be exchanged, one by one.

    Args:
        rows: the first layer over pixels, or what training has changed in it.
        what: of the two it is, in words.
        energy: of what of the images; empty: of themselves.
    """
    middle = torch.cat([members, controls]).mean(0)
    n = min(len(members), min(rows.shape))
    _, _, vh = torch.linalg.svd(rows.double(), full_matrices=False)
    held = [_share(side.double() - middle.double(), vh[:n]) for side in (members, controls)]
    told = float(intervals.auc(held[0], held[1]))
    method = "exact" if len(members) <= EXACT else "asymptotic"
    p = float(mannwhitneyu(held[0], held[1], alternative="greater", method=method).pvalue)
    words = (
        f"the {n} leading directions of {what} hold {held[0].mean():.0%} of the energy of the members{energy} and {held[1].mean():.0%} of "
        f"that of the controls{energy} (AUC {told:.2f}, p {number(p, 3)}; {LEVEL:g} or less wanted)"
    )
    facts = {"span_share": float(held[0].mean()), "span_share_controls": float(held[1].mean()), "span_auc": told}
    return Premise(words, p <= LEVEL), facts


def of_features(below: Below, release: Release, secret: Secret) -> dict[str, Premise]:
    """The same of the first dense layer over features: ``features``, and with the initial weights ``features_change``."""
    with torch.no_grad():
        like = next(iter(below.weights.values()))
        sides = [torch.cat([below(part.to(like) - release.mean_image.to(like)) for part in side.split(64)]).cpu().double()
                 for side in (secret.members, secret.controls)]  # fmt: skip
    rows = below.rows.cpu().double()
    what = f"the first dense layer ({rows.shape[0]} units over {rows.shape[1]} features)"
    held = {"features": span(rows, sides[0], sides[1], what, "' features")[0]}
    if hasattr(release, "initial_weights"):
        from attacks.kkt.change import decay_left
        from attacks.span.below import reader

        start = reader(release.forward, release.initial_weights, release.architecture.input_shape).rows.cpu().double()
        change = rows - decay_left(rows, start, release.n_train + 1) * start
        held["features_change"] = span(change, sides[0], sides[1], f"the change of {what}", "' features")[0]
    return held


def _share(images: Float[Tensor, "n d"], directions: Float[Tensor, "r d"]) -> np.ndarray:
    return ((images @ directions.mT).square().sum(1) / images.square().sum(1).clamp_min(1e-30)).numpy()


def residuals(reading: Reading, x: Float[Tensor, "n c h w"], labels: Int[Tensor, " n"]) -> tuple[float | None, float | None]:
    """The KKT residual of any network at its members: with the multipliers of its loss, and with signed ones for each output.

    As `bench.targets.residual`, by autograd. None where the gradients are too large to be held.

    Args:
        x: as the network gets them.
    """
    weights = {name: w.detach().float().requires_grad_() for name, w in reading.weights.items()}
    theta = torch.cat([w.detach().flatten() for w in weights.values()])
    k = reading.architecture.outputs
    if len(x) * k * len(theta) > MOST_NUMBERS:
        return None, None
    rows, margins = [], []
    for image, label in zip(x, labels.tolist(), strict=True):
        out = reading.forward(weights, image[None].float())[0]
        own = []
        for j in range(k):
            parts = torch.autograd.grad(out[j], list(weights.values()), retain_graph=j < k - 1, allow_unused=True)
            own.append(
                torch.cat([(torch.zeros_like(w) if g is None else g).flatten() for g, w in zip(parts, weights.values(), strict=True)])
            )
        rows += own
        if k == 1:
            margins.append(own[0] * (2 * label - 1))
        elif label < k:
            rivals = out.detach().clone()
            rivals[label] = -torch.inf
            margins.append(own[label] - own[int(rivals.argmax())])
    norm = float(theta.norm())
    if norm == 0 or not margins:
        return 1.0, 1.0
    signed = _least(torch.stack(rows), theta, signed=True)
    return (signed if reading.architecture.loss in ("mse", "huber") else _least(torch.stack(margins), theta, signed=False)), signed


def _least(rows: Float[Tensor, "n p"], theta: Float[Tensor, " p"], *, signed: bool) -> float:
    """min over λ of ‖θ − λᵀ rows‖ / ‖θ‖, through the Gram matrix."""
    gram, toward = (rows @ rows.mT).double().numpy(), (rows @ theta).double().numpy()
    values, vectors = np.linalg.eigh(gram)
    keep = values > values[-1] * 1e-7  # of float32
    root = np.sqrt(values[keep])
    factor, rhs = root[:, None] * vectors[:, keep].T, (vectors[:, keep].T @ toward) / root
    lam = np.linalg.lstsq(factor, rhs, rcond=None)[0] if signed else nnls(factor, rhs, maxiter=100 * len(rhs))[0]
    norm2 = float(theta.double().square().sum())
    return float(np.sqrt(max(norm2 - 2 * lam @ toward + lam @ gram @ lam, 0.0) / norm2))


def membership(reading: Reading, members: Tensor, labels: Tensor, controls: Tensor, control_labels: Tensor) -> Mapping[str, float]:
    """How well the loss, and the margin, tell members from controls: their AUC, 0.5 where they do not.

    Args:
        members, controls: as the network gets them.
    """
    from bench.audit.tried import outputs
    from bench.metrics import intervals

    found: dict[str, float] = {}
    sides = []
    for x, y in ((members, labels), (controls, control_labels)):
        out = outputs(reading, x).double()
        if out.shape[1] == 1:
            margin = out[:, 0] * (2 * y - 1)
            loss = torch.nn.functional.softplus(-margin)
        else:
            if int(y.max()) >= out.shape[1]:
                return found
            loss = torch.nn.functional.cross_entropy(out, y, reduction="none")
            own = y[:, None]
            margin = out.gather(1, own)[:, 0] - out.scatter(1, own, -torch.inf).amax(1)
        sides.append((loss.numpy(), margin.numpy()))
    (loss_in, margin_in), (loss_out, margin_out) = sides
    if all(np.isfinite(values).all() for side in sides for values in side):
        found = {
            "membership_auc_loss": float(intervals.auc(-loss_in, -loss_out)),
            "membership_auc_margin": float(intervals.auc(margin_in, margin_out)),
        }
    return found
