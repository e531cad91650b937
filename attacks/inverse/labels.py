"""The label of the missing image, read off the weights by the kernel of the informed adversary, asked for labels instead of images."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Int
from torch import Tensor

from attacks.reconstructor.kernel import fit_kernel
from attacks.reconstructor.study import Study


def read_labels(of: Study, labels: Int[Tensor, " s"]) -> Int[Tensor, "t k"]:
    """The labels that each network's missing image may have, the likeliest first.

    Args:
        labels: of the images of the shadows, in their order.
    """
    one_hot = F.one_hot(labels).float()[:, :, None, None]
    return fit_kernel(of.shadows[:, of.varies], one_hot)(of.attacked[:, of.varies])[:, :, 0, 0].argsort(1, descending=True)
