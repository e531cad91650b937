"""The picture of the README: a network of plain PyTorch, audited, and what came back above its training images.

``python -m bench.audit.example FILE`` trains it on twenty images with SGD from PyTorch's own initialisation, audits it beside the weights
before training, and writes the picture. A minute on a core. It is an example of a leak, and was chosen as one: what networks give away
otherwise is in ``results/``.
"""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import torch

from bench import registry
from bench.artefacts import pictures
from bench.audit.python import Audit, audit
from bench.say import say
from bench.seeds import generator
from bench.store import atomic_write

IMAGES, WIDTH, EPOCHS, LR = 20, 1000, 3000, 0.05


def example(images: int = IMAGES, epochs: int = EPOCHS) -> Audit:
    """The audit of the network."""
    source = registry.resolve_data("photo_tiles").load()
    order = torch.randperm(len(source.images), generator=generator("audit example"))[: 2 * images]
    tiles = torch.from_numpy(source.images)[order]
    labels = torch.isin(torch.from_numpy(source.labels)[order], torch.tensor(sorted(source.positive))).long()
    mean = float(tiles[:images].mean())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = torch.nn.Sequential(
            torch.nn.Flatten(), torch.nn.Linear(tiles[0].numel(), WIDTH), torch.nn.ReLU(), torch.nn.Linear(WIDTH, 2)
        )
    before = copy.deepcopy(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=0.9)
    for _ in range(epochs):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(tiles[:images] - mean), labels[:images]).backward()
        optimizer.step()
    return audit(
        model, tiles[:images], tiles[images:], labels=labels[:images], control_labels=labels[images:], mean=mean, std=1.0, initial=before,
        attacks=["span_ica_change"], positive_control=False,
    )  # fmt: skip


def picture(found: Audit) -> bytes:
    """PNG: what came back above the training images that these are, the likest first."""
    [judged] = [one for one in found.report.judged if one.role == "attack"]
    truth = found.report.subject.truth
    assert truth is not None
    assert judged.candidates is not None
    rows = sorted((row for row in judged.images if row["split"] == "member"), key=lambda row: -(row["ssim"] or 0))[:10]
    return pictures.pairs(rows, truth.secret.members, judged.candidates.images)[0]


def main(path: str) -> None:
    """Writes the picture."""
    found = example()
    say(found.verdict)
    atomic_write(Path(path), picture(found))


if __name__ == "__main__":
    main(sys.argv[1])
