"""Twelve and more classifiers as people train them: plain PyTorch that knows nothing of this project, in a second or two each.

Images are patches of photographs, 3 × 16 × 16. Each network is trained once a session.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench import registry

SHAPE = (3, 16, 16)
MEAN, STD = 0.45, 0.25
HELD = 200  # images that a network which stops early is not trained on


class Named(nn.Module):
    """An MLP by named layers, its modules declared in another order than they are used in."""

    def __init__(self) -> None:
        super().__init__()
        self.output = nn.Linear(40, 2)
        self.hidden = nn.Linear(60, 40)
        self.input = nn.Linear(768, 60)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(torch.relu(self.hidden(torch.relu(self.input(x.flatten(1))))))


class LeNet(nn.Module):
    """Without padding, as PyTorch has it by default."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 5), nn.Conv2d(6, 16, 3)
        self.fc1, self.fc2, self.fc3 = nn.Linear(16 * 2 * 2, 40), nn.Linear(40, 24), nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(torch.relu(self.conv1(x)), 2)
        x = F.max_pool2d(torch.relu(self.conv2(x)), 2)
        return self.fc3(torch.relu(self.fc2(torch.relu(self.fc1(x.flatten(1))))))


class Example(nn.Module):
    """The network of pytorch/examples for MNIST: one pooling behind two convolutions, dropout, log-softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 3, 1), nn.Conv2d(8, 16, 3, 1)
        self.dropout1, self.dropout2 = nn.Dropout(0.25), nn.Dropout(0.5)
        self.fc1, self.fc2 = nn.Linear(16 * 6 * 6, 32), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv2(F.relu(self.conv1(x)))), 2)
        x = self.dropout2(F.relu(self.fc1(torch.flatten(self.dropout1(x), 1))))
        return F.log_softmax(self.fc2(x), dim=1)


class Block(nn.Module):
    """Two convolutions around which the image goes, too."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))


class ResNet(nn.Module):
    """A small one."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.blocks = nn.Sequential(Block(8), Block(8))
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.adaptive_avg_pool2d(self.blocks(self.stem(x)), 1).flatten(1))


def _sequential(outputs: int, width: int = 100) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(768, width), nn.ReLU(), nn.Linear(width, outputs))


def _two_convolutions() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(128, 32), nn.ReLU(), nn.Linear(32, 2),
    )  # fmt: skip


def _one_convolution() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(1024, 120), nn.ReLU(), nn.Linear(120, 2)
    )  # fmt: skip


def _vgg() -> nn.Module:
    parts: list[nn.Module] = []
    for a, b, pool in ((3, 8, False), (8, 8, True), (8, 16, False), (16, 16, True)):
        parts += [nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(), *([nn.MaxPool2d(2)] if pool else [])]
    return nn.Sequential(*parts, nn.Flatten(), nn.Linear(256, 32), nn.ReLU(), nn.Dropout(), nn.Linear(32, 2))


def _normed_mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(768, 80), nn.BatchNorm1d(80), nn.Tanh(), nn.Linear(80, 2))


@dataclass(frozen=True, eq=False)
class Animal:
    """A trained network, what it was trained on, and others like that."""

    module: nn.Module  # takes normalised images
    start: nn.Module  # before training
    members: Tensor
    labels: Tensor
    controls: Tensor
    control_labels: Tensor

    def accuracy(self) -> float:
        """At the members."""
        with torch.no_grad():
            out = self.module((self.members - MEAN) / STD)
        right = (out[:, 0] > 0).long() if out.shape[1] == 1 else out.argmax(1)
        return float((right == self.labels).double().mean())


@dataclass(frozen=True)
class Kind:
    """How one of the zoo is made."""

    make: Callable[[], nn.Module]
    classes: int = 2
    images: int = 30
    optimiser: str = "adam"
    epochs: int = 40  # at most, where it stops early
    early: bool = False  # it stops as soon as the loss of images held out rises


KINDS = {
    "sequential": Kind(lambda: _sequential(2)),
    "named": Kind(Named),
    "one_output": Kind(lambda: _sequential(1)),
    "ten_classes": Kind(lambda: _sequential(10), classes=10),
    "sgd": Kind(lambda: _sequential(2), optimiser="sgd", epochs=80),
    "normed_mlp": Kind(_normed_mlp),
    "lenet": Kind(LeNet, classes=10, epochs=120),
    "example": Kind(Example, classes=10, epochs=120),
    "two_convolutions": Kind(_two_convolutions, epochs=80),
    "one_convolution": Kind(_one_convolution, images=20, optimiser="sgd", epochs=100),
    "vgg": Kind(_vgg, epochs=60),
    "resnet": Kind(ResNet, epochs=120),
    "overfitted": Kind(lambda: _sequential(2, 400), images=50, epochs=150),
    "many": Kind(lambda: _sequential(2, 100), images=10_000, epochs=20, early=True),
}


@functools.cache
def _patches() -> tuple[Tensor, Tensor]:
    found = registry.resolve_data("photo_patches").load()
    order = torch.randperm(len(found.images), generator=torch.Generator().manual_seed(5))
    return torch.from_numpy(found.images)[order].float(), torch.from_numpy(found.labels)[order].long()


@functools.cache
def animal(name: str) -> Animal:
    """One of the zoo, trained."""
    kind = KINDS[name]
    images, own = _patches()
    n, m = kind.images, min(kind.images, 50)
    if n > 1000:  # with the mirror image of each, and the last ones held out
        inside, held, labels = images[:-HELD], images[-HELD:], own % kind.classes
        images = torch.cat([inside, inside.flip(-1)])[:n]
        images, labels = torch.cat([images, held]), torch.cat([labels[:-HELD], labels[:-HELD]])[:n]
        labels = torch.cat([labels, own[-HELD:] % kind.classes])
    else:
        labels = torch.arange(len(images)) % kind.classes
    x, y = images[:n], labels[:n]
    torch.manual_seed(0)
    module = kind.make()
    start = kind.make()
    start.load_state_dict(module.state_dict())
    if kind.optimiser == "adam":
        optimiser: torch.optim.Optimizer = torch.optim.Adam(module.parameters(), lr=1e-3)
    else:
        optimiser = torch.optim.SGD(module.parameters(), lr=0.02, momentum=0.9)
    module.train()
    least = float("inf")
    for _ in range(kind.epochs):
        for rows in torch.randperm(n).split(10 if n < 1000 else 250):
            out = module((x[rows] - MEAN) / STD)
            one = out.shape[1] == 1
            loss = F.binary_cross_entropy_with_logits(out[:, 0], y[rows].float()) if one else F.cross_entropy(out, y[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        if kind.early:
            with torch.no_grad():
                held_out = float(F.cross_entropy(module((images[-HELD:] - MEAN) / STD), labels[-HELD:]))
            if held_out > least:
                break
            least = held_out
    return Animal(module.eval(), start.eval(), x[:m], y[:m], images[n : n + m], labels[n : n + m])
