"""Which side a candidate counts on: protocol ``v2``'s rule, and pairs within a side.

A candidate is evidence of one image, the one that it is nearest to by SSIM, among members and controls alike. It counts on that image's
side and on no other; on neither where both sides are equally near. Within a side images and candidates are paired one to one.

What follows:

- *Knowing nothing is worth nothing.* Members and controls are exchangeable (``bench.data.split``), and the rule does not tell which is
  which: exchanging them exchanges the two counts, so the expected excess of candidates that do not depend on the draw is exactly 0.
- *Being right is worth most.* A member is nearer to itself than to any other image, so the members themselves all count on their own side
  and meet themselves there: every member is a hit, no control can be one. Under ``v1`` every candidate was offered to both sides, so a
  control that looks like a member passed with the member's own image: exact answers fell short of 1, and noise on them, which loses
  more look-alikes than members, paid.
- *Saying a thing twice costs nothing.* One assignment over members and controls together would have the first two as well; but it hands the
  second copy of a member to the control that looks most like it. Here it stays on its side, without a partner.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bench.metrics import match

SAME = 1e-5  # SSIM that differs by less is equal: to that a CPU and a GPU agree, or one order of the images and another


def allot(members: Float[Tensor, "n k"], controls: Float[Tensor, "m k"]) -> tuple[Bool[Tensor, " k"], Bool[Tensor, " k"]]:
    """Which candidates count for members and which for controls, from their SSIM with each; it counts for one of the two at most."""
    ahead = members.amax(0) - controls.amax(0)
    return ahead > SAME, ahead < -SAME


def pair(similarity: Float[Tensor, "n k"], mine: Bool[Tensor, " k"]) -> Int[Tensor, " n"]:
    """For each image of a side its candidate among those that count there, one to one by the least total of 1 − SSIM; −1: it has none."""
    columns = mine.nonzero().flatten()
    found = match.one_to_one(1 - similarity[:, columns])
    return torch.where(found >= 0, columns[found], -1) if len(columns) else found
