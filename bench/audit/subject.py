"""A checkpoint becomes what attacks get: a release, and what is known of the network at its members.

What the owner's training knew and the file does not say (preprocessing, number of training images, the form of its layers) comes from the
members, from options, or is assumed; the notes say which.
"""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from bench.api import Architecture, Row, Secret
from bench.artefacts.checkpoints import readings
from bench.artefacts.images import Pictures
from bench.artefacts.reading import OTHER, FirstDense, Reading, first_dense
from bench.artefacts.truth import Truth
from bench.audit import premises
from bench.audit.premises import Premise
from bench.audit.preprocessing import asked, fitted
from bench.audit.tried import RIGHT, Trial, chosen, outputs, remedies
from bench.errors import BenchError
from bench.precision import check
from bench.regular import path_of
from bench.report.kit.text import number
from bench.targets.losses import accuracy, predicted
from bench.targets.models import bound_forward
from bench.targets.residual import kkt_residual
from bench.tracks.reconstruction import Release

if TYPE_CHECKING:
    from attacks.span.below import Below

ASSUMED_N = 100  # training images, where nobody says how many there were
# attacks and controls that read the first layer alone, so that they work on any network whose first layer is dense over pixels
ON_FIRST_LAYER = frozenset({"span_ica", "span_ica_change", "first_layer_weights", "row_kmeans"})
ON_FEATURES = frozenset({"span_features", "span_features_change"})  # attacks that read the first dense layer behind the pixels' own


@dataclass(frozen=True)
class Subject:
    """A network ready to be attacked, with what is known of its training images."""

    release: Release
    truth: Truth | None  # None: nothing to score against
    facts: Row = field(default_factory=dict)  # train_accuracy, kkt_residual, where members are known
    notes: tuple[str, ...] = ()
    first: Release | None = None  # the first layer alone, where it is dense over pixels, in the units of pixels
    below: Below | None = None  # the first dense layer, where it reads features and not pixels, with the layers below it
    premises: Mapping[str, Premise] = field(default_factory=dict)  # kkt, signed, span, change, features, features_change
    trial: Trial | None = None  # how it was read
    guessed: bool = False  # whether that was one of several ways that fit

    def for_attack(self, name: str) -> Release:
        """The release that an attack gets."""
        return self.first if self.first is not None and name in ON_FIRST_LAYER else self.release

    def without(self, name: str) -> str:
        """What an attack lacks in this network, where that takes a look at its layers; empty: nothing."""
        dense = self.first is not None or self.release.architecture.model == "mlp"
        if name in ON_FIRST_LAYER and not dense:
            return "needs a first layer that is dense over the pixels; this network reads them in another way"
        if name in ON_FEATURES and dense:
            return "its first layer is dense over the pixels, where span_ica needs no inversion"
        if name in ON_FEATURES and self.below is None:
            return "needs a dense layer that everything goes through"
        return ""


def subject_of(
    checkpoint: str | torch.nn.Module,
    *,
    truth: Truth | None = None,
    members: Pictures | None = None,
    mean: str = "",
    std: str = "",
    shape: tuple[int, int, int] | None = None,
    activation: str = "",
    loss: str = "",
    pooling: str = "",
    n_train: int | None = None,
    initial: str | torch.nn.Module = "",
    model: str = "",
    device: torch.device | None = None,
) -> Subject:
    """Reads a network and fills in its release.

    Args:
        checkpoint: a file, or a module.
        truth: members and controls.
        members: members alone, where there are no controls to score against.
        mean, std: see `bench.audit.preprocessing.asked`.
        shape: c, h, w that the network takes; images of another shape are brought to it.
        n_train: how many images the network was trained on; None: as many as there are members.
        initial: its weights before training, or before it was fine-tuned: a file of the same form, or a module.
        model: ``package.module:factory`` of the network's own class.

    Raises:
        BenchError: the network cannot be read, or does not fit the members.
    """
    truth, members, more = _as_taken(truth, members, shape)
    images = truth.secret.members if truth is not None else None if members is None else members.images
    own_shape = None if images is None else (int(images.shape[1]), int(images.shape[2]), int(images.shape[3]))
    if n_train is not None and not 1 <= n_train <= 1_000_000:
        raise BenchError(f"--n-train {n_train}: not understood", expected="a number of images, 1 or more", got=str(n_train))
    labels = members.labels if members is not None else truth.secret.member_labels if truth is not None and truth.labelled else None
    form = shape or own_shape
    options = {"activation": activation, "loss": loss, "pooling": pooling}
    classified = None if images is None or labels is None else _classifier(images, labels, mean, std)
    found = read(checkpoint, model, form, options, classified)
    taken_shape = found[0].architecture.input_shape
    if own_shape is not None and own_shape != taken_shape:
        raise BenchError(
            "the network does not take the members",
            expected="×".join(map(str, taken_shape)),
            got="×".join(map(str, own_shape)),
            hint=f"--shape {'x'.join(map(str, taken_shape))} resizes them, or makes them grey",
        )
    notes: list[str] = []
    before = asked(mean, std, images, taken_shape, notes)
    trial = Trial(found[0], before)
    if images is not None and labels is not None:
        trial, words = chosen(found, before, not mean and not std, images, labels)
        notes = words if trial.before is not before else [*notes, *words]
    elif len(found) > 1 and found[0].choice:
        notes.append(f"read with {found[0].choice}; {len(found) - 1} other readings fit as well (--members with labels choose)")
    reading = trial.reading
    notes = [*reading.notes, *(truth.notes if truth is not None else ()), *(members.notes if members is not None else ()), *more, *notes]
    if n_train is None:
        n_train = ASSUMED_N if images is None else len(images)
        notes += [] if images is not None else [f"number of training images assumed: {n_train} (--n-train to say)"]
    start = _started(initial, model, reading, options) if initial else None
    device = device or torch.device("cpu")
    check(device)
    dense = first_dense(reading)
    release, first = releases(trial, n_train, truth, device, dense, start)
    below = None if dense is not None else first_dense_over_features(release)
    facts, held = _at_members(trial, images, labels, found, notes) if images is not None else ({}, {})
    if truth is not None:
        facts, held = _beside_controls(trial, truth, dense, start, facts, held)
        if below is not None:
            held |= premises.of_features(below, release, truth.secret)
    return Subject(release, truth, facts, tuple(dict.fromkeys(notes)), first, below, held, trial, len(found) > 1)


def first_dense_over_features(release: Release) -> Below | None:
    """The first dense layer, of a network that reads the pixels by others."""
    from attacks.span.below import first_dense

    return first_dense(release.forward, release.weights, release.architecture.input_shape)


def read(
    checkpoint: str | torch.nn.Module,
    model: str,
    shape: tuple[int, int, int] | None,
    options: Mapping[str, str],
    classified: Callable[[Architecture, Mapping[str, Tensor]], Tensor] | None = None,
) -> list[Reading]:
    """Every way to read a network that fits, the usual ones first.

    Raises:
        BenchError: there is none, or options that do not go together.
    """
    loss = options.get("loss", "")
    if isinstance(checkpoint, torch.nn.Module):
        if shape is None:
            raise BenchError("the input shape of the network is not known", expected="channels, height, width", hint="--shape 3x32x32")
        return [Reading.of_module(checkpoint, shape, loss, (f"a {type(checkpoint).__name__}, with its own forward pass",))]
    if model:
        from bench.artefacts.factory import made, read_into

        return [read_into(made(model), checkpoint, shape, loss)]
    graph = _graph(path_of(checkpoint))
    if graph is not None:
        if shape is None:
            raise BenchError("the input shape of the network is not known", expected="channels, height, width", hint="--shape 3x32x32")
        return [Reading.of_module(graph, shape, loss, ("read as a graph of data, no code of the file run",))]
    return readings(checkpoint, shape=shape, classified=classified, **options)


def _graph(path: Path) -> torch.nn.Module | None:
    """The network of a file of ``torch.export`` or ONNX; None for any other file."""
    if path.suffix.lower() == ".onnx" and path.is_file():
        from bench.artefacts.onnx_file import read_onnx

        return read_onnx(path)
    if path.is_file() and zipfile.is_zipfile(path):
        from bench.artefacts.exported import is_exported, read_exported

        return read_exported(path) if is_exported(path) else None
    return None


def releases(
    trial: Trial,
    n_train: int,
    truth: Truth | None,
    device: torch.device,
    dense: FirstDense | None,
    start: Mapping[str, Tensor] | None,
) -> tuple[Release, Release | None]:
    """The release of a network, and that of its first layer alone where it is dense over pixels."""
    reading, before = trial.reading, trial.before
    like = next(iter(reading.weights.values()))
    given: dict[str, Any] = {"n_train": n_train, "mean_image": before.mean.to(device, like.dtype)}
    if truth is not None and truth.public is not None:
        given["public_images"] = truth.public.to(device, like.dtype)
    architecture, forward = reading.architecture, reading.forward
    if before.scaled:  # a closed form would not know of it
        architecture, forward = dataclasses.replace(architecture, model=OTHER), Scaled(forward, before.std.to(like.dtype))
    started: dict[str, Any] = {} if start is None else {"initial_weights": {name: w.to(device) for name, w in start.items()}}
    weights = {name: weight.to(device) for name, weight in reading.weights.items()}
    release = Release(architecture=architecture, weights=weights, forward=forward, **given, **started)
    if dense is None or architecture.model == "mlp":
        return release, None
    spread = before.std.to(like.dtype).flatten()
    layers = {"layers.0.weight": (dense.weight * spread).to(device)} | (
        {} if dense.bias is None else {"layers.0.bias": dense.bias.to(device)}
    )
    if start is not None:
        started = {"initial_weights": {"layers.0.weight": (dense.of(start) * spread).to(device)}}
    first = Architecture("mlp", architecture.input_shape, (), len(dense.weight), architecture.activation, "first", architecture.loss)
    return release, Release(architecture=first, weights=layers, forward=bound_forward(first), **given, **started)


class Scaled:
    """A forward pass of images less the mean that the network divides by a standard deviation first."""

    def __init__(self, forward: Callable[..., Tensor], std: Tensor) -> None:
        self.forward = forward
        self.std = torch.nn.Sequential(_Over(std))  # a part of what is released, and no image

    def __call__(self, weights: Mapping[str, Tensor], x: Tensor, activation: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        self.std.to(x.device)
        return self.forward(weights, self.std(x), activation)


class _Over(torch.nn.Module):
    def __init__(self, std: Tensor) -> None:
        super().__init__()
        self.register_buffer("std", std.clone())
        self.std: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return x / self.std


def described(subject: Subject) -> list[str]:
    """The network and its training images in a few lines, assumptions included."""
    a = subject.release.architecture
    parameters = sum(w.numel() for w in subject.release.weights.values())
    if a.hidden or a.channels:
        widths = "-".join(map(str, [*(f"{c}c{a.kernel}" for c in a.channels), *a.hidden, a.outputs]))
        what = f"{'cnn' if a.channels else 'mlp'} {'x'.join(map(str, a.input_shape))}-{widths}, {a.activation}, bias {a.bias}"
    else:
        what = f"network {'x'.join(map(str, a.input_shape))} to {a.outputs} outputs, {parameters} parameters"
    lines = [f"{what}, loss {a.loss}, {subject.release.n_train} training images"]
    if subject.facts:
        residual, correct = subject.facts.get("kkt_residual"), subject.facts["train_accuracy"]
        lines.append(
            f"at the members: accuracy {'not known' if correct is None else f'{correct:.1%}'}, KKT residual {number(residual, 3)} "
            "(0: a KKT point; 1: no nearer than zero multipliers, where no KKT attack can be expected to work)"
        )
    if "membership_auc_loss" in subject.facts:
        lines.append(
            f"membership: the loss tells members from controls with AUC {subject.facts['membership_auc_loss']:.2f}, the margin with "
            f"{subject.facts['membership_auc_margin']:.2f} (0.5: not at all)"
        )
    lines += [f"premise: {one.words}" for key, one in subject.premises.items() if key not in ("kkt", "signed")]
    return lines + list(subject.notes)


def _as_taken(
    truth: Truth | None, members: Pictures | None, shape: tuple[int, int, int] | None
) -> tuple[Truth | None, Pictures | None, list[str]]:
    """Members and controls in the shape that the network takes, where it is said and another one."""
    images = truth.secret.members if truth is not None else None if members is None else members.images
    if shape is None or images is None or tuple(images.shape[1:]) == shape:
        return truth, members, []
    notes = [f"images of {'×'.join(map(str, images.shape[1:]))} brought to {'×'.join(map(str, shape))}, as --shape says"]
    if members is not None:
        members = dataclasses.replace(members, images=fitted(members.images, shape))
    if truth is not None:
        one = truth.secret
        secret = Secret(fitted(one.members, shape), one.member_labels, fitted(one.controls, shape), one.control_labels)
        truth = dataclasses.replace(truth, secret=secret, public=None if truth.public is None else fitted(truth.public, shape))
    return truth, members, notes


def _started(initial: str | torch.nn.Module, model: str, reading: Reading, options: Mapping[str, str]) -> dict[str, Tensor]:
    """The weights before training, by the names of those after.

    Raises:
        BenchError: the file holds another network.
    """
    where = type(initial).__name__ if isinstance(initial, torch.nn.Module) else str(initial)
    found = read(initial, model, reading.architecture.input_shape, options)
    shapes = {name: tuple(w.shape) for name, w in reading.weights.items()}
    for other in found:
        theirs = {name: tuple(w.shape) for name, w in other.weights.items()}
        if theirs == shapes and other.choice == reading.choice:
            return other.weights
    theirs = {name: tuple(w.shape) for name, w in found[0].weights.items()}
    differ = [f"{name} {theirs.get(name, 'missing')}" for name, size in shapes.items() if theirs.get(name) != size]
    raise BenchError(
        f"the initial weights of {where} are not of this network",
        expected="the same names and shapes: " + ", ".join(f"{name} {size}" for name, size in list(shapes.items())[:3]),
        got=", ".join(differ[:3]) or "another form",
        hint="save them as the trained ones: torch.save(model.state_dict(), FILE) before training",
    )


def _classifier(images: Tensor, labels: Tensor, mean: str, std: str) -> Callable[[Architecture, Mapping[str, Tensor]], Tensor]:
    """Says which of the members a network classifies correctly."""

    def classified(architecture: Architecture, weights: Mapping[str, Tensor]) -> Tensor:
        x = asked(mean, std, images, architecture.input_shape, [])(images).to(weights["layers.0.weight"])
        return predicted(bound_forward(architecture)(weights, x)) == labels

    return classified


def _at_members(
    trial: Trial, images: Tensor, labels: Tensor | None, found: list[Reading], notes: list[str]
) -> tuple[Row, dict[str, Premise]]:
    """Accuracy and KKT residual at the members."""
    reading = trial.reading
    x = trial.before(images).to(next(iter(reading.weights.values())))
    out = outputs(reading, x)
    classes = max(2, reading.architecture.outputs)
    if labels is not None and int(labels.max()) >= classes:
        notes.append(f"labels up to {int(labels.max())} do not fit {classes} classes")
        labels = None
    correct = None if labels is None else float(accuracy(out, labels))
    if correct is not None and labels is not None and correct < RIGHT:
        better = remedies(trial, found, images, labels)
        hint = "; ".join(f"{words}: {share:.0%}" for words, share in better) or (
            "no other normalisation, order of classes, pooling or padding raises it"
        )
        notes.append(f"only {correct:.0%} of the members are classified correctly; {'better with ' if better else ''}{hint}")
    if labels is None:
        notes.append("labels of the members not known: the network's own answers stand in for the KKT residual")
        labels = predicted(out)
    if reading.architecture.model == OTHER:
        residual, signed = premises.residuals(reading, x, labels)
    else:
        residual, _ = kkt_residual(reading.architecture, reading.weights, x, labels)
        signed, _ = kkt_residual(dataclasses.replace(reading.architecture, loss="mse"), reading.weights, x, labels)
    held = {"kkt": premises.kkt(residual), "signed": premises.kkt(signed, "KKT residual with signed multipliers")}
    return {"train_accuracy": correct, "kkt_residual": residual, "signed_residual": signed}, held


def _beside_controls(
    trial: Trial, truth: Truth, dense: FirstDense | None, start: Mapping[str, Tensor] | None, facts: Row, held: dict[str, Premise]
) -> tuple[Row, dict[str, Premise]]:
    """What takes controls to measure: the span of the first layer, and membership."""
    facts, held = dict(facts), dict(held)
    secret = truth.secret
    sides = [trial.before(images) for images in (secret.members, secret.controls)]
    if truth.labelled:
        facts |= premises.membership(trial.reading, sides[0], secret.member_labels, sides[1], secret.control_labels)
    if dense is not None:
        flat = [side.flatten(1) for side in sides]
        held["span"], more = premises.span(dense.weight, flat[0], flat[1], "the first layer")
        if start is not None:
            from attacks.kkt.change import decay_left

            end, before = dense.weight.double(), dense.of(start).double()
            change = end - decay_left(end, before, len(secret.members) + 1) * before
            held["change"], more = premises.span(change, flat[0], flat[1], "the first layer's change")
        facts |= more
    return facts, held


def name_of(checkpoint: str | torch.nn.Module) -> str:
    """What a network is called in a page."""
    return type(checkpoint).__name__ if isinstance(checkpoint, torch.nn.Module) else Path(checkpoint).name
