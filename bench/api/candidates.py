"""An answer in images that says how sure it is of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

DIVERGED = -1e30  # the confidence of a run that came to no end, below that of any other


class Candidates(NamedTuple):
    """An attack's answer when it can rank across runs: images best first, and its own confidence in each."""

    images: Float[Tensor, "m c h w"]  # in [0, 1]; values outside are clipped by the score
    confidence: Float[Tensor, " m"] | None = None  # higher is better, comparable between runs of one attack on one release
    loss: float | None = None  # the attack's own final loss, lower is better, for the row
    run: Int[Tensor, " m"] | None = None  # the run of a sweep that made each image; written by the track when it pools runs
    starts: Float[Tensor, "m c h w"] | None = None  # the image that each began as, where a control asks how many come back
    used: int | None = None  # answers of the oracle that it took; written by the track; None: it had none
