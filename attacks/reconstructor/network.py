"""The reconstructor of Balle, Cherubin and Hayes (2022): a neural network from weights to images, trained on the shadows.

Their form, as far as it is public: two hidden layers of 1 000 ReLU units and a sigmoid at the end. Ours are the schedule (Adam on one
rising and falling learning rate), the loss (mean squared plus mean absolute error), and that the last bias starts at the mean image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

HIDDEN = 1000
LEARNING_RATE = 1e-3
BATCH = 64
HELD_OUT = 0.05  # share of the shadows that the network is not fitted on, for the attacker's own account of its error


def fit_network(
    shadows: Float[Tensor, "s p"],
    images: Float[Tensor, "s c h w"],
    attacked: Float[Tensor, "t p"],
    epochs: int,
    keep: Callable[[Callable[[], Mapping[str, Tensor]]], Mapping[str, Tensor]],
) -> tuple[Float[Tensor, "t c h w"], float]:
    """Answers for the networks under attack, and the error (MSE) on shadows held out from the fit.

    Args:
        keep: where the fitted parameters come from: ``keep(make)`` calls ``make`` once in a target's life.
    """
    fitted = len(shadows) - max(1, round(HELD_OUT * len(shadows)))
    parameters = keep(lambda: _fit(shadows[:fitted], images[:fitted], epochs))

    def apply(rows: Tensor) -> Tensor:
        a = rows
        for layer in range(3):
            a = torch.addmm(parameters[f"{2 * layer}.bias"], a, parameters[f"{2 * layer}.weight"].mT)
            a = torch.relu(a) if layer < 2 else torch.sigmoid(a)
        return a.view(-1, *images.shape[1:])

    error = float(((apply(shadows[fitted:]) - images[fitted:]) ** 2).mean())
    return apply(attacked), error


def _fit(shadows: Tensor, images: Tensor, epochs: int) -> dict[str, Tensor]:
    truth = images.flatten(1).float()
    generator = torch.Generator().manual_seed(0)
    widths = [shadows.shape[1], HIDDEN, HIDDEN, truth.shape[1]]
    layers: list[nn.Module] = []
    for i, (a, b) in enumerate(pairwise(widths)):
        linear = nn.utils.skip_init(nn.Linear, a, b)
        with torch.no_grad():
            for tensor in (linear.weight, linear.bias):
                tensor.copy_((torch.rand(tensor.shape, generator=generator) * 2 - 1) / a**0.5)
            if i == 2:
                linear.bias.copy_(torch.logit(truth.mean(0).cpu().clamp(1e-3, 1 - 1e-3)))
        layers += [linear, nn.ReLU()]
    net = nn.Sequential(*layers[:-1]).to(shadows.device)
    batches = -(-len(shadows) // BATCH)
    optimizer = torch.optim.Adam(net.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=epochs * batches)
    for _ in range(epochs):
        for chosen in torch.randperm(len(shadows), generator=generator).to(shadows.device).split(BATCH):
            off = torch.sigmoid(net(shadows[chosen])) - truth[chosen]
            optimizer.zero_grad(set_to_none=True)
            ((off**2).mean() + off.abs().mean()).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return {name: value.detach() for name, value in net.named_parameters()}
