"""The positive control: a network of the same form that was trained so as to give its images away, on images that are the controls.

Where the same attacks find nothing in it either, that they find nothing in the network under audit says nothing. It is trained by the
papers' recipe: images less their mean, a small first layer, full batches, weight decay, on and on. For attacks on a dense layer over
features the layers below it stay those of the network under audit, through which the attacks look, and that layer begins small.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench import seeds
from bench.api import Secret, Setting
from bench.artefacts.reading import OTHER, Reading, first_dense
from bench.audit.preprocessing import Preprocessing
from bench.audit.subject import Subject, first_dense_over_features, releases
from bench.audit.tried import Trial
from bench.audit.work import flops
from bench.errors import BenchError
from bench.targets.models import initial_weights
from bench.targets.train import train_stack

INIT, LR, DECAY, EPOCHS = 1e-4, 0.02, 0.003, 6000  # of our own networks: grid quick's, half as long
WORK = 4e12  # operations that training may take, about a minute of a core for convolutions
ADAM, ADAM_DECAY, ADAM_EPOCHS, SMALL = 2e-3, 1e-3, 1500, 0.2  # of any other network; SMALL: share of its first layer that is left
LEAST_EPOCHS = 40
START, STEP, ABOVE_DECAY, ABOVE_EPOCHS = 1e-3, 10.0, 3e-4, 1000  # above kept layers: size of the dense one, rate times features' energy


def positive_control(
    subject: Subject, seed: int, say: Callable[[str], None] = lambda text: None, *, features: bool = False
) -> Subject | None:
    """The trained network as a subject of its own, members and controls changed round; None where it cannot be trained, which is said.

    Args:
        features: it is for attacks on the first dense layer over features.
    """
    if subject.truth is None or subject.trial is None:
        return None
    one, reading = subject.truth.secret, subject.trial.reading
    classes = max(2, reading.architecture.outputs)
    fit = subject.truth.labelled and int(one.control_labels.max()) < classes and len(one.control_labels.unique()) > 1
    labels = one.control_labels if fit else torch.arange(len(one.controls)) % classes
    shape = reading.architecture.input_shape
    before = Preprocessing(one.controls.mean(0), torch.ones(shape), "the mean image", "")
    generator = seeds.generator("positive control", seed, len(labels))
    try:
        if features and subject.below is not None:
            start, end = _above(reading, before(one.controls), labels, generator)
        elif reading.architecture.model == OTHER:
            start, end = _any(reading, before(one.controls), labels, generator)
        else:
            start, end = _ours(reading, before(one.controls), labels, seed, generator)
    except (RuntimeError, ValueError, BenchError) as error:  # a network of others may not be made for training on so few images
        say(f"positive control: not trained: {' '.join(str(error).split())[:160]}")
        return None
    trial = Trial(end, before)
    truth = dataclasses.replace(
        subject.truth, secret=Secret(one.controls, labels, one.members, one.member_labels), labelled=True, public=subject.truth.public
    )
    known = start.weights if hasattr(subject.release, "initial_weights") else None
    release, first = releases(trial, len(labels), truth, subject.release.device, first_dense(end), known)
    with torch.no_grad():
        out = end.forward(end.weights, before(one.controls))
    right = ((out[:, 0] > 0).long() if out.shape[1] == 1 else out.argmax(1)) == labels
    say(f"positive control: trained on the controls, {float(right.double().mean()):.0%} of them classified correctly")
    below = first_dense_over_features(release) if subject.below is not None else None
    return Subject(release, truth, {"train_accuracy": float(right.double().mean())}, (), first, below, {}, trial)


def _above(reading: Reading, x: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Reading, Reading]:
    """The layers from the first dense one on, begun anew and trained by gradient descent with momentum; those below as they are."""
    from attacks.span.below import reader

    below = reader(reading.forward, reading.weights, reading.architecture.input_shape)
    like = below.rows
    x = x.to(like)
    leaves = {name: w.detach().clone().requires_grad_() for name, w in reading.weights.items()}
    probe = dataclasses.replace(below, weights=leaves)
    with torch.no_grad():
        energy = float(below(x).square().sum(1).mean())
    used = torch.autograd.grad(probe(x[:2]).sum(), list(leaves.values()), allow_unused=True)
    moved = [name for name, grad in zip(leaves, used, strict=True) if grad is None]
    weights = {name: w.detach().clone() for name, w in reading.weights.items()}
    for name in moved:
        w = weights[name]
        if w.ndim > 1:
            fresh = torch.randn(w.shape, generator=generator).to(w) / w[0].numel() ** 0.5
            weights[name] = fresh * (START if name == below.name else 1)
        elif name.endswith("bias"):
            weights[name] = torch.zeros_like(w)
    start = dataclasses.replace(reading, weights=dict(weights), module=None)
    epochs = max(LEAST_EPOCHS, min(ABOVE_EPOCHS, int(WORK / flops(reading, len(x)))))
    velocity = {name: torch.zeros_like(weights[name]) for name in moved}
    for _ in range(epochs):
        now = {name: w.requires_grad_() if name in velocity else w for name, w in weights.items()}
        loss = _loss(reading.forward(now, x), labels)
        grads = torch.autograd.grad(loss, [now[name] for name in moved], allow_unused=True)
        with torch.no_grad():
            for name, grad in zip(moved, grads, strict=True):
                w = weights[name].detach()
                if grad is not None:
                    velocity[name].mul_(0.9).add_(grad + ABOVE_DECAY * w)
                weights[name] = w - STEP / max(energy, 1e-12) * velocity[name]
    end = {name: w.detach() for name, w in weights.items()}
    if not all(bool(torch.isfinite(w).all()) for w in end.values()):
        raise ValueError("the layers above its features diverged")
    return start, dataclasses.replace(reading, weights=end, module=None)


def _loss(out: Tensor, labels: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(out[:, 0], labels.to(out)) if out.shape[1] == 1 else F.cross_entropy(out, labels)


def _ours(reading: Reading, x: Tensor, labels: Tensor, seed: int, generator: torch.Generator) -> tuple[Reading, Reading]:
    architecture = reading.architecture
    start = initial_weights(architecture, INIT, generator)
    start = {name: w for name, w in start.items() if name in reading.weights}
    # an mlp is trained in the span of its images (`bench.targets.train`)
    share = min(1.0, len(x) / x[0].numel()) if architecture.model == "mlp" else 1.0
    epochs = max(LEAST_EPOCHS, min(EPOCHS, int(WORK / (3 * share * flops(reading, len(x))))))
    recipe: dict[str, Any] = {
        "dataset": "positive_control",
        "classes": "binary" if architecture.loss == "bce" else max(2, architecture.outputs),
        "loss": architecture.loss,
        "weight_decay": DECAY,
        "lr": LR,
        "epochs": epochs,
        "optimizer": "gd" if architecture.model == "mlp" else "heavy_ball",
        "seed": seed,
    }
    setting = Setting(**recipe)
    [trained] = train_stack(architecture, [setting], [x], [labels], [start])
    like = next(iter(reading.weights.values())).dtype
    weights = {name: w.to(like) for name, w in trained.weights.items()}
    return Reading.ours(architecture, {name: w.to(like) for name, w in start.items()}), Reading.ours(architecture, weights)


def _any(reading: Reading, x: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Reading, Reading]:
    """Any module, begun anew: fresh weights of the size of those it had, the first layer small."""
    assert reading.module is not None
    module = copy.deepcopy(reading.module).requires_grad_(True)
    with torch.no_grad():
        for i, (name, value) in enumerate(module.named_parameters()):
            if value.ndim > 1:
                value.copy_(torch.randn(value.shape, generator=generator) * (2 / max(1, value[0].numel())) ** 0.5)
                value.mul_(SMALL if i == 0 else 1)
            elif not name.endswith("weight"):
                value.zero_()
            else:
                value.fill_(1)
        for part in module.modules():
            if isinstance(part, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)):
                part.reset_running_stats()
    loss_name, shape = reading.architecture.loss, reading.architecture.input_shape
    start = Reading.of_module(module, shape, loss_name)
    moments = {name: (torch.zeros_like(p), torch.zeros_like(p)) for name, p in module.named_parameters()}
    epochs = max(LEAST_EPOCHS, min(ADAM_EPOCHS, int(WORK / (3 * flops(reading, len(x))))))
    module.train()
    for part in module.modules():
        if isinstance(part, torch.nn.Dropout):
            part.eval()
    for step in range(1, epochs + 1):
        out = module(x.float())
        out = out[0] if isinstance(out, (tuple, list)) else out
        loss = _loss(out.unsqueeze(1) if out.ndim == 1 else out, labels)
        names, parameters = zip(*module.named_parameters(), strict=True)
        grads = torch.autograd.grad(loss, parameters, allow_unused=True)
        with torch.no_grad():  # Adam, written out: torch.optim imports seconds of compiler on its first use
            for name, p, grad in zip(names, parameters, grads, strict=True):
                if grad is None:
                    continue
                m, v = moments[name]
                slope = grad + ADAM_DECAY * p
                m.lerp_(slope, 0.1)
                v.mul_(0.999).addcmul_(slope, slope, value=0.001)
                p.sub_(ADAM * (m / (1 - 0.9**step)) / ((v / (1 - 0.999**step)).sqrt() + 1e-8))
    return start, Reading.of_module(module, shape, loss_name)
