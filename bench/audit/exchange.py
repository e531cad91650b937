"""Could chance alone have put so many of the images that came back among the members? Members and controls are exchanged to see.

Had the network learnt nothing about its members, it would not matter which of the pooled images are called members: every way to call as
many of them so is as likely as the one that is true. So each way is scored as the true one is, sides and pairs made anew, and the share of
ways that give as large an excess is the p-value of a permutation test (Fisher 1935). It is exact at any number of images, however alike
they are, for nothing is taken to be independent but the draw.

An interval over the images of one network is not: a candidate counts on the side of the one image that it is nearest to, and may there pass
for others that look alike. Where all images look alike, one draw decides for many of them, and a bootstrap of the images does not see it.

What it rests on: that members and controls were told apart by chance. Within a class where both sides have the same classes, as classes are
then matched; controls of another camera or another day are no such draw, and no test can tell.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bench.tracks.reconstruction.score import THRESHOLD
from bench.tracks.reconstruction.sides import allot, pair

FEW = 300  # ways to call the members: up to so many are all tried, as the 252 of five members and five controls
DRAWS = 999  # that are tried where there are more
ENOUGH = 20  # of them that give as large an excess, after which no more are tried (Besag and Clifford 1991)
ROUNDING = 1e-9


def p_value(similarity: Float[Tensor, "p k"], member: Bool[Tensor, " p"], classes: Int[Tensor, " p"], rng: np.random.Generator) -> float:
    """The chance of an excess recall as large as the true one, in (0, 1], if members and controls were exchanged at random. One-sided.

    Args:
        similarity: SSIM of each of the pooled images with each submitted candidate.
        member: which of the images are members.
        classes: of the images; 0 where they are not known.
    """
    groups = _groups(member, classes)
    true = _excess(similarity, member)
    ways = math.prod(math.comb(len(group), int(member[group].sum())) for group in groups)
    if ways <= FEW:
        as_large = [_excess(similarity, other) >= true - ROUNDING for other in _all(member, groups)]
        return sum(as_large) / ways
    count = 0
    for drawn in range(1, DRAWS + 1):
        other = member.clone()
        for group in groups:
            other[group] = member[group][torch.from_numpy(rng.permutation(len(group)))]
        count += _excess(similarity, other) >= true - ROUNDING
        if count == ENOUGH:
            return ENOUGH / drawn
    return (count + 1) / (DRAWS + 1)


def _groups(member: Tensor, classes: Tensor) -> list[Tensor]:
    """Places of the images that may be exchanged for each other: of a class, or all where the sides have different classes."""
    if set(classes[member].tolist()) != set(classes[~member].tolist()):
        return [torch.arange(len(classes))]
    return [(classes == label).nonzero().flatten() for label in classes.unique()]


def _all(member: Tensor, groups: list[Tensor]) -> Iterable[Tensor]:
    """Every way to call as many images of each group members, the true one among them."""
    for chosen in itertools.product(*(itertools.combinations(group.tolist(), int(member[group].sum())) for group in groups)):
        other = torch.zeros_like(member)
        other[list(itertools.chain(*chosen))] = True
        yield other


def _excess(similarity: Tensor, member: Tensor) -> float:
    """Excess recall by the score protocol, were these the members."""
    sides = similarity[member], similarity[~member]
    shares = []
    for own, mine in zip(sides, allot(*sides), strict=True):
        if not bool((own[:, mine] > THRESHOLD).any()):  # sooner said than paired
            shares.append(0.0)
            continue
        partner = pair(own, mine)
        values = own.gather(1, partner.clamp_min(0)[:, None])[:, 0]
        shares.append(float(((values > THRESHOLD) & (partner >= 0)).double().mean()))
    return shares[0] - shares[1]
