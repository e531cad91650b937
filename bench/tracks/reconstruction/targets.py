"""The targets of the track: one network each. `obtain` gives them, from the cache where it can, trained many at once where it cannot."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from bench import registry, seeds
from bench.api import Architecture, Defense, Setting, Target
from bench.data.duplicates import first_occurrences, hashes
from bench.data.split import Split, split
from bench.errors import BenchError
from bench.targets.cache import TargetCache, target_id
from bench.targets.losses import accuracy
from bench.targets.margin import margins, membership_auc, multiplier_of_each
from bench.targets.models import architecture, bound_forward, forward, initial_weights
from bench.targets.oracle import Asked
from bench.targets.residual import kkt_residual
from bench.targets.train import Trained, train_stack
from bench.tracks.reconstruction import oracle
from bench.tracks.reconstruction.findable import findable
from bench.tracks.reconstruction.guarantees import guarantees
from bench.tracks.reconstruction.narrow import withholding
from bench.tracks.reconstruction.release import Release, Secret
from bench.tracks.reconstruction.secret import rehearsal_of, secret_from, training_data, training_of


def obtain(
    settings: Sequence[Setting],
    cache: TargetCache | None = None,
    device: torch.device | str = "cpu",
    on_trained: Callable[[Setting], None] = lambda setting: None,
) -> list[Target]:
    """The targets of the settings, in their order, on the device.

    Settings of one shape are trained in one stack; a trained target is in the cache before this returns. ``cache=None`` trains afresh.

    Raises:
        BenchError: a data set is missing or too small, a defence is unknown, or a training diverged; the others of its stack are cached.
    """
    plans = []
    for setting in settings:
        source = registry.resolve_data(setting.dataset)
        parts = split(source.load(), setting)
        plans.append(_Plan(setting, target_id(setting, source.digest()), parts))
    found: dict[str, tuple[Mapping[str, Tensor], dict[str, Any]]] = {}
    for plan in plans:
        hit = cache.get(plan.id) if cache is not None else None
        if hit is not None:
            found[plan.id] = hit
    groups: dict[Any, list[_Plan]] = {}
    for plan in {p.id: p for p in plans if p.id not in found}.values():
        groups.setdefault(plan.shape(), []).append(plan)
    for group in groups.values():
        faults: list[Exception] = []
        for plan, trained in zip(group, _train(group, device), strict=True):
            try:
                weights, facts = _measured(plan, *trained, device)
            except Exception as error:  # of this one alone: what the others took is kept first
                faults.append(error)
                continue
            found[plan.id] = (weights, facts)
            if cache is not None:
                cache.put(plan.id, dict(weights), facts)
            on_trained(plan.setting)
        if faults:
            raise faults[0]
    return [plan.target(*found[plan.id], device) for plan in plans]


def secret_of(setting: Setting) -> Secret:
    """The secret of a setting, drawn again from its data: what scoring without the target needs."""
    parts, defense, name = _drawn(setting)
    secret = secret_from(parts, defense, name)
    images, labels = training_data(parts, defense, name)
    training = training_of(images, labels, defense, name, images.mean(0))
    promised = guarantees(training, setting, len(images), secret.lookalikes, len(parts.class_names))
    return replace(secret, findable=promised | oracle.exact(secret.members, secret.controls))


def images_of(setting: Setting) -> Secret:
    """Members and controls of a setting, drawn again from its data, without what is worked out of them."""
    return secret_from(*_drawn(setting))


def _drawn(setting: Setting) -> tuple[Split, Defense, str]:
    """Its images, its defence, and the name of its streams."""
    source = registry.resolve_data(setting.dataset)
    defense: Defense = registry.get("defense", setting.defense)(**setting.defense_params)
    return split(source.load(), setting), defense, target_id(setting, source.digest())


class _Plan:
    """A target to be: its setting, its data as tensors, its defence."""

    def __init__(self, setting: Setting, id: str, parts: Split) -> None:
        self.setting, self.id, self.parts = setting, id, parts
        images = torch.from_numpy(parts.train)
        self.mean = images.mean(0)
        shape = (images.shape[1], images.shape[2], images.shape[3])
        self.architecture: Architecture = architecture(setting, shape, len(parts.class_names))
        self.start = initial_weights(self.architecture, setting.init_scale, seeds.generator("init", setting.seed))
        self.defense: Defense = registry.get("defense", setting.defense)(**setting.defense_params)
        self.images, self.labels = training_data(parts, self.defense, id)
        self.rehearsal = rehearsal_of(parts, self.defense, id, self.mean)
        self.training = training_of(self.images, self.labels, self.defense, id, self.mean)
        self.secret = secret_from(parts, self.defense, id)

    def shape(self) -> tuple[Any, ...]:
        """Plans that share it can be trained in one stack."""
        s = self.setting
        of_adam = (s.batch_size, s.lr, s.weight_decay) if s.optimizer == "adam" else ()
        planted = json.dumps(s.defense_params, sort_keys=True)  # they may say how many images are trained on
        return (self.architecture, len(self.images), s.loss, s.optimizer, s.dtype, s.epochs, s.defense, planted, of_adam)

    def target(self, weights: Mapping[str, Tensor], facts: dict[str, Any], device: torch.device | str) -> Target:
        dtype = torch.float32 if self.setting.dtype == "float32" else torch.float64
        held, mean = {k: w.to(device, dtype) for k, w in weights.items()}, self.mean.to(device, dtype)
        release = Release(
            architecture=self.architecture,
            weights=held,
            forward=bound_forward(self.architecture),
            n_train=self._n_train(),
            mean_image=mean,
            initial_weights={k: w.to(device, dtype) for k, w in self.start.items()},
            public_images=self._public().to(device, dtype),
            oracle=Asked(self.architecture, held, mean, defense=self.defense, name=self.id),
        )
        row, span = self._findable(release)
        secret = replace(self.secret, stationarity=self._stationarity(release, facts), findable=row, span=span)
        return Target(self.id, self.setting, withholding(release, self.defense.withholds), secret, facts)

    def _findable(self, release: Release) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """What could be found at all, in the released weights."""
        centred = (images - self.mean for images in (self.images, self.secret.members, self.secret.controls))
        row, span = findable(self.architecture, release.weights, self.start, *centred)
        own, labels, controls = self.secret.members, self.secret.member_labels, self.secret.controls
        row |= oracle.recalls(self.architecture, release.weights, self.mean, own, labels, controls)
        both = torch.cat([own, controls]).to(release.mean_image) - release.mean_image
        row |= guarantees(self.training, self.setting, len(self.images), self.secret.lookalikes, len(self.parts.class_names))
        row["margin_auc"] = membership_auc(release.forward(release.weights, both), len(own))
        return row | oracle.exact(own, controls), span

    def _n_train(self) -> int:
        """Training images; where inputs are planted, perhaps each many times, the distinct ones; without those that are held out."""
        held_out = None if self.training is None else self.training.held_out
        if held_out is not None:
            return len(self.images) - int(held_out.images.sum())
        return len(set(hashes(self.images.numpy()))) if self.secret.planted else len(self.secret.members)

    def _public(self) -> Tensor:
        """Images that are neither members nor controls, which planted ones of the same data set might be."""
        if not self.secret.planted:
            return torch.from_numpy(self.parts.public)
        taken = {*hashes(self.secret.members.numpy()), *hashes(self.secret.controls.numpy())}
        return torch.from_numpy(self.parts.public[first_occurrences(self.parts.public, taken)])

    def _stationarity(self, release: Release, facts: Mapping[str, Any]) -> dict[str, Tensor]:
        """What the weights hold of each image: margins of members and controls, multipliers of members."""
        mean, secret = self.mean.to(release.device), self.secret

        def margin(images: Tensor, labels: Tensor) -> Tensor:
            return margins(release.forward, release.weights, images.to(release.device) - mean, labels).cpu()

        found = {
            "member_margin": margin(secret.members, secret.member_labels),
            "control_margin": margin(secret.controls, secret.control_labels),
        }
        if facts.get("multipliers"):
            found["multiplier"] = multiplier_of_each(facts["multipliers"], len(secret.members))
        return found


def _train(group: list[_Plan], device: torch.device | str) -> list[Trained]:
    """Trains a stack: weights, and what the training says of itself."""
    inputs, labels = [plan.images - plan.mean for plan in group], [plan.labels for plan in group]
    starts, rehearsals = [plan.start for plan in group], [plan.rehearsal for plan in group]
    changes = [plan.training for plan in group]
    return train_stack(group[0].architecture, [p.setting for p in group], inputs, labels, starts, device, rehearsals, changes=changes)


def _measured(
    plan: _Plan, weights: dict[str, Tensor], facts: Mapping[str, Any], device: torch.device | str
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Applies the defence to the weights, and measures what the row says of the target.

    Raises:
        BenchError: the training diverged.
    """
    if not all(bool(w.isfinite().all()) for w in weights.values()):
        setting = plan.setting
        raise BenchError(
            "training diverged",
            expected="finite weights",
            got=f"NaN or infinity by {setting.optimizer} at lr {setting.lr:g}, weight decay {setting.weight_decay:g}",
            hint="a smaller lr",
        )
    released = dict(plan.defense.released(weights, plan.start, seeds.generator("defense", "weights", plan.id)))
    test = torch.from_numpy(plan.parts.test) - plan.mean
    dtype = next(iter(released.values())).dtype
    centred, own = plan.secret.members - plan.mean, plan.secret.member_labels
    test_labels = torch.from_numpy(plan.parts.test_labels)
    residual, multipliers = kkt_residual(plan.architecture, released, centred, own, device)
    return released, {
        **facts,
        "train_accuracy": float(accuracy(forward(plan.architecture, released, centred.to(dtype)), own)),
        "test_accuracy": float(accuracy(forward(plan.architecture, released, test.to(dtype)), test_labels)) if len(test) else None,
        "kkt_residual": residual,
        "multipliers": [round(float(v), 8) for v in multipliers],
    }
