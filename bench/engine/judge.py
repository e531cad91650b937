"""Scores a pooled answer by the protocol of its track."""

from __future__ import annotations

import torch
from torch import Tensor

from bench import seeds, tracks
from bench.api import Row, Secret
from bench.engine.answers import Answer
from bench.precision import pinned

CPU = torch.device("cpu")


@pinned()
def judge(
    cell_id: str,
    answer: Answer,
    secret: Secret,
    track: str = "reconstruction",
    gallery: int | None = None,
    device: torch.device = CPU,
) -> tuple[Row, list[Row]]:
    """Scores a pooled answer against the secret by the protocol of a track: score columns of the row, and image rows.

    Args:
        gallery: how many of the best members get thumbnails; None: as many as a strip shows.
        device: where images are compared with each other; scores of a GPU are a CPU's to rounding.
    """
    if device.type != "cpu" and isinstance(getattr(answer, "images", None), Tensor):
        answer = answer._replace(images=answer.images.to(device))
    bootstrap = seeds.seed("bootstrap", cell_id)
    scores, images = tracks.get(track).work.score(answer, secret, bootstrap_seed=bootstrap, gallery=gallery)
    return scores, [{**image, "cell_id": cell_id} for image in images]
