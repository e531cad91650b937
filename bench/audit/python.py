"""``reconbench.audit`` and what it returns: an audit of an ``nn.Module`` and tensors, as the command line makes one of files."""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from bench.artefacts import pictures
from bench.artefacts.images import Pictures, as_images, in_range, read_images, read_labels
from bench.artefacts.truth import paired
from bench.audit import audit as auditor
from bench.audit import page
from bench.audit.preprocessing import numbers_of
from bench.audit.subject import described, name_of, subject_of
from bench.errors import BenchError

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 8  # pairs of images in a notebook
ROUNDING = 1e-4  # of pixels that were normalised and back


@dataclass(frozen=True, repr=False)
class Audit:
    """What an audit found. A notebook shows the verdict, the table, and what came back beside the originals."""

    report: auditor.Report
    name: str

    @property
    def outcome(self) -> str:
        """leaks, no leak found or inconclusive."""
        return self.report.verdict.outcome

    @property
    def verdict(self) -> str:
        """The outcome in a sentence with its numbers."""
        return self.report.verdict.sentence()

    @property
    def notes(self) -> list[str]:
        """How the network was read, what was measured at the members, what was assumed."""
        return described(self.report.subject)

    @property
    def table(self) -> pd.DataFrame:
        """An attack a line, with its scores, or the reason why it was not run."""
        import pandas as pd

        return pd.DataFrame(auditor.as_json(self.report, self.name)["attacks"])

    @property
    def images(self) -> pd.DataFrame:
        """An image a line: how near each attack came to it (``ssim``), members and controls; the images at most risk first."""
        import pandas as pd

        rows = [{"attack": one.name, **image} for one in self.report.judged for image in one.images]
        table = pd.DataFrame(rows)
        return table.sort_values("ssim", ascending=False, ignore_index=True) if len(table) else table

    @property
    def positive_control(self) -> pd.DataFrame | None:
        """The scores of the same attacks on the positive control; None where there was none."""
        import pandas as pd

        judged = self.report.positive
        return None if judged is None else pd.DataFrame([{"attack": one.name, **page.facts(one)} for one in judged])

    def write(self, folder: Path | str) -> Path:
        """Page, pictures, numbers and candidates, as the command line writes them; returns the page.

        Raises:
            BenchError: the folder cannot be written.
        """
        return auditor.write(self.report, Path(folder), self.name)

    def __repr__(self) -> str:
        return f"{self.verdict}\n\n{page.in_text(page.HEAD_MANY, page.many(self.report.judged))}"

    def _repr_html_(self) -> str:
        lines = page.many(self.report.judged)
        missed = "".join(f"<li>{html.escape(line)}</li>" for line in page.missed(self.report.judged))
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in page.HEAD_MANY)
        body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in line) + "</tr>" for line in lines)
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        return f"<p><b>{html.escape(self.verdict)}</b></p><table><tr>{head}</tr>{body}</table>{self._pictures()}<ul>{missed}{notes}</ul>"

    @property
    def figures(self) -> dict[str, bytes]:
        """Of each attack that was scored, the best first, a PNG: what came back above the training images that it is nearest to."""
        truth = self.report.subject.truth
        found: dict[str, bytes] = {}
        scored = [one for one in self.report.judged if one.row is not None and one.role == "attack"]
        for one in sorted(scored, key=lambda one: -float((one.row or {})["excess_recall"])):
            rows = sorted((row for row in one.images if row["split"] == "member"), key=lambda row: -(row["ssim"] or 0))[:SHOWN]
            if truth is not None and one.candidates is not None:
                found[one.name] = pictures.pairs(rows, truth.secret.members, one.candidates.images)[0]
        return found

    def _pictures(self) -> str:
        """The best attack's reconstructions above the images that they are, inside the page."""
        found = self.figures
        if not found:
            return ""
        best, png = next(iter(found.items()))
        words = f"{best}: reconstructions above the training images that they are nearest to"
        return f'<p>{html.escape(words)}</p><img alt="{html.escape(words)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def audit(
    model: torch.nn.Module | str | Path,
    members: Any,
    controls: Any = None,
    *,
    labels: Any = None,
    control_labels: Any = None,
    mean: str | float | Sequence[float] = "",
    std: str | float | Sequence[float] = "",
    shape: tuple[int, int, int] | None = None,
    initial: torch.nn.Module | str | Path = "",
    loss: str = "",
    attacks: Sequence[str] = (),
    runs: int = 1,
    params: Sequence[str] = (),
    n_train: int | None = None,
    positive_control: bool = True,
    seed: int = 0,
    device: str = "cpu",
    say: Callable[[str], None] = lambda text: None,
) -> Audit:
    """Attacks a network, and scores what comes back beside controls.

    Args:
        model: a trained classifier, or a file that the command line reads.
        members: training images in [0, 1], or normalised ones with ``mean`` and ``std`` as numbers: a tensor or array n × c × h × w, a
            Dataset or DataLoader of images, or of (image, label), or a path.
        controls: at least as many images of the same kind that it was never trained on. Without them nothing can be scored.
        labels, control_labels: class of each image, where ``members`` and ``controls`` do not bring them.
        mean, std: what the network subtracts from an image and divides by: numbers, or as of the command line. By default what people do is
            tried at the members.
        initial: the network before training, or the public checkpoint that it was fine-tuned from: with it attacks find far more.
        attacks, runs, params, n_train, seed: as the options of ``python -m bench audit``.

    Raises:
        BenchError: the network cannot be read, or does not fit the images.
    """
    mean, std = _typed(mean), _typed(std)
    inside = _pictures(members, labels, "members", mean, std)
    truth = None
    if controls is not None:
        beside = _pictures(controls, control_labels, "controls", mean, std)
        truth = paired(inside, beside, seed)
    subject = subject_of(
        model if isinstance(model, torch.nn.Module) else str(model),
        truth=truth,
        members=inside if truth is None else None,
        mean=mean,
        std=std,
        shape=shape,
        loss=loss,
        n_train=n_train,
        initial=initial if isinstance(initial, torch.nn.Module) else str(initial),
        device=torch.device(device),
    )
    planned = auditor.plan(attacks, runs, params)
    report = auditor.attack(subject, planned, seed=seed, positive=positive_control, say=say)
    return Audit(report, name_of(model if isinstance(model, torch.nn.Module) else str(model)))


def _typed(given: str | float | Sequence[float]) -> str:
    """As the command line has it."""
    if isinstance(given, str):
        return given
    return ",".join(str(float(value)) for value in (given if isinstance(given, Iterable) else [given]))


def _pictures(given: Any, labels: Any, what: str, mean: str, std: str) -> Pictures:
    """Images and their labels, in [0, 1].

    Raises:
        BenchError: no images.
    """
    if isinstance(given, (str, Path)):
        found = read_images(given)
        if labels is not None:
            from_file = isinstance(labels, (str, Path))
            told = read_labels(labels, len(found.images)) if from_file else _whole(labels, len(found.images), what)
            found = Pictures(found.images, told, (), None, found.notes)
        return in_range(found, what)
    values, brought = _collected(given, what)
    notes: list[str] = []
    images = as_images(values, Path(what), None, notes)
    own = brought if labels is None else _whole(labels, len(images), what)
    if float(images.min()) < -1e-6 or float(images.max()) > 1 + 1e-6:
        shape = (int(images.shape[1]), int(images.shape[2]), int(images.shape[3]))
        back = [numbers_of(text, which, shape) for which, text in enumerate((mean, std if std else mean))]
        if back[0] is not None and back[1] is not None:
            images = images * back[1] + back[0]
            images = torch.where((images - images.clamp(0, 1)).abs() < ROUNDING, images.clamp(0, 1), images)
            notes.append(f"{what}: normalised images, brought back to [0, 1] by mean and std")
    return in_range(Pictures(images, own, (), None, tuple(notes)), what)


def _collected(given: Any, what: str) -> tuple[Tensor, Tensor | None]:
    """The images of an array, a Dataset or a DataLoader, and the labels that come with them."""
    if isinstance(given, (Tensor, np.ndarray)):
        return torch.as_tensor(given).detach().cpu(), None
    if isinstance(given, (tuple, list)) and len(given) == 2 and all(isinstance(part, (Tensor, np.ndarray)) for part in given):
        return torch.as_tensor(given[0]).detach().cpu(), _whole(given[1], len(given[0]), what)
    images: list[Tensor] = []
    labels: list[Tensor] = []
    batched = isinstance(given, torch.utils.data.DataLoader)
    items = given if batched or not hasattr(given, "__getitem__") else (given[i] for i in range(len(given)))
    for item in items:
        image, label = item if isinstance(item, (tuple, list)) and len(item) == 2 else (item, None)
        one = torch.as_tensor(np.asarray(image)) if not isinstance(image, Tensor) else image
        if not isinstance(image, Tensor) and one.ndim == 3 and one.shape[-1] in (1, 3):
            one = one.movedim(-1, 0)  # a picture of PIL
        elif not isinstance(image, Tensor) and one.ndim == 2:
            one = one[None]
        images.append(one.detach().cpu() if batched else one.detach().cpu()[None])
        if label is not None:
            labels.append(torch.as_tensor(label).flatten())
    if not images:
        raise BenchError(f"no {what}", expected="a tensor, an array, a Dataset or a DataLoader of images", got=type(given).__name__)
    return torch.cat(images), _whole(torch.cat(labels), sum(map(len, images)), what) if labels else None


def _whole(labels: Any, n: int, what: str) -> Tensor:
    values = torch.as_tensor(labels).detach().cpu().flatten()
    if len(values) != n or values.is_floating_point() or int(values.min()) < 0 or int(values.max()) >= 1000:
        raise BenchError(
            f"the labels of the {what} do not fit", expected=f"{n} whole numbers from 0 to 999", got=f"{len(values)} {values.dtype}"
        )
    return values.long()
