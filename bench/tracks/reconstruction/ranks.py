"""Ranks among look-alikes: how near an answer comes to a true image, counted in other images of the same kind, without a threshold.

Whether an image is a member, a control or a look-alike (``bench.data.split``), its distance to an answer is that to the submitted candidate
nearest to it: each is offered every candidate. The *rank* of a true image is 1 plus the number of look-alikes whose distance is no larger.

What follows:

- *Knowing nothing is worth nothing.* No attack can have met look-alikes or controls, so of an answer that does not depend on the members
  all of them, and the members, are exchangeable: every rank from 1 to look-alikes + 1 is equally likely, however many candidates there are,
  and however few look-alikes. Of any answer at all that holds for the controls.
- *Being right is worth most.* A member among the candidates is at distance 0, at rank 1 unless a look-alike equals it.
- Ties count against the attack: one candidate without contrast is as far from everything, and all ranks are last.

To take the candidate nearest to the true image, and to ask which look-alikes are nearer to that one, would not do: the true image alone
then chooses among many, and on faces public images put 22 % of the members at rank 1, and 18 % of the controls, where 1 % is chance.

Distance is 1 − NCC, which neither brightness nor contrast of a channel changes: answers of attacks have scales of their own. By MSE, NCC,
NCC at half resolution and SSIM (seeds 100 to 105 of grid ``quick``) NCC put most members of the best attacks at rank 1 (0.59 on faces, 0.95
on tiles, against 0.02 and 0.63 by MSE, 0.02 and 0.78 by SSIM), and it costs a 25th of SSIM. The mean image of the members is not taken off
first: they hold it, each with a minus sign, so that public images would come out farther from members than from controls.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bench.metrics.ncc import ncc_matrix
from bench.tracks.reconstruction.sides import SAME


def ranks(
    images: Float[Tensor, "n c h w"], lookalikes: Float[Tensor, "l c h w"], candidates: Float[Tensor, "m c h w"]
) -> Int[Tensor, " n"]:
    """The rank of each image among the look-alikes, from 1 to l + 1; on the CPU. The order of candidates and of look-alikes is nothing.

    Args:
        candidates: at least one.
    """
    near = ncc_matrix(torch.cat([images, lookalikes]), candidates).amax(1).cpu()
    mine, theirs = near[: len(images)], near[len(images) :].sort().values
    return len(theirs) - torch.searchsorted(theirs, mine - SAME) + 1
