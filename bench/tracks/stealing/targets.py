"""The targets of the track: owners, and what clean networks answer.

The owner trains on ordinary images and on inputs that a defence plants (`Defense.planted`), under labels that the network has to memorise.
The thief gets public images of the same distribution, others of another data set, and an oracle, which counts and can refuse; never
weights, never a planted input. It answers with a network of its own (Venigalla, 2019).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bench import registry, seeds
from bench.api import Architecture, Defense, Planted, Rehearsal, Setting, Target, Training
from bench.data.duplicates import hashes
from bench.data.split import split
from bench.errors import BenchError
from bench.memory import in_pieces
from bench.targets.cache import TargetCache, target_id
from bench.targets.losses import accuracy
from bench.targets.models import architecture, forward, initial_weights
from bench.targets.oracle import Asked
from bench.targets.train import train_stack
from bench.tracks.reconstruction.secret import training_of
from bench.tracks.stealing.classes import agreement, classes
from bench.tracks.stealing.networks import NETWORKS
from bench.tracks.stealing.other_images import other_images
from bench.tracks.stealing.release import Network, Release, Secret

CLEAN = 100  # clean networks beside each owner: the least p-value is 1/101; another number is another score protocol
AT_ONCE = {"cpu": 10, "cuda": 500}  # clean networks in one stack: more than ten fall out of a processor's cache
ANSWERS = ("clean_planted", "clean_unplanted", "clean_accuracy")  # facts of an owner: lists with an entry a clean network

_Held = tuple[Mapping[str, Tensor], dict[str, Any]]  # an owner's weights, and its facts


class _Owner(NamedTuple):
    """An owner before training."""

    setting: Setting
    id: str
    net: Architecture
    images: Tensor  # trained on, with what was planted
    labels: Tensor
    mean: Tensor
    planted: Planted
    rehearsal: Rehearsal | None  # its questions centred
    training: Training | None  # its variants centred
    pool: Tensor  # public images, none of them planted or an unplanted input
    pool_labels: Tensor
    others: Tensor  # images of another data set, none of them planted or an unplanted input
    test: Tensor
    test_labels: Tensor
    members: Tensor
    member_labels: Tensor


def _draft(setting: Setting) -> _Owner:
    source = registry.resolve_data(setting.dataset)
    parts = split(source.load(), setting)
    name = target_id(setting, source.digest(), "stealing")
    images, labels, others, other_labels, test, test_labels = (
        torch.from_numpy(part)
        for part in (parts.train, parts.train_labels, parts.control, parts.control_labels, parts.test, parts.test_labels)
    )
    defense: Defense = registry.get("defense", setting.defense)(**setting.defense_params)
    # not by the target's name: owners that differ in the network alone plant the same inputs
    stream = ("defense", "data", source.digest(), setting.classes, setting.n_per_class, setting.defense, setting.seed)
    planted = defense.planted(images, labels, others, other_labels, seeds.generator(*stream))
    if planted is None or not len(planted.inputs) or not len(planted.unplanted):
        raise BenchError(
            f"defence '{setting.defense}' plants nothing, so nothing can be stolen with the network",
            expected="a defence that plants inputs",
            got=setting.defense,
            hint="--set defense=memorized_examples",
        )
    trained, trained_labels = defense.before_training(images, labels, seeds.generator(*stream))
    rehearsal, mean = defense.rehearsal(images, labels, seeds.generator(*stream)), images.mean(0)
    training = training_of(trained, trained_labels, defense, name, mean)
    pool = torch.cat([torch.from_numpy(parts.public), others])
    pool_labels = torch.cat([torch.from_numpy(parts.public_labels), other_labels])
    barred = {*hashes(planted.inputs.numpy()), *hashes(planted.unplanted.numpy())}
    free = torch.tensor([h not in barred for h in hashes(pool.numpy())])
    shape = (images.shape[1], images.shape[2], images.shape[3])
    net = architecture(setting, shape, len(parts.class_names))
    return _Owner(
        setting,
        name,
        net,
        trained,
        trained_labels,
        mean,
        planted,
        rehearsal._replace(questions=rehearsal.questions - mean) if rehearsal is not None else None,
        training,
        pool[free],
        pool_labels[free],
        other_images(setting.dataset, shape, barred),
        test,
        test_labels,
        images,
        labels,
    )


def obtain(settings: Sequence[Setting], cache: TargetCache | None, device: torch.device | str = "cpu") -> list[Target]:
    """The targets of the settings, in their order: one owner each, and what its clean networks answer.

    An owner that the cache has with fewer clean networks, of score protocol v1 or of a run that was stopped, gets those that it lacks.

    Raises:
        BenchError: a data set is missing or too small, or a defence is unknown, or plants nothing.
    """
    owners = [_draft(setting) for setting in settings]
    found: dict[str, _Held] = {}

    def keep(owner: _Owner) -> None:
        if cache is not None:
            weights, facts = found[owner.id]
            cache.put(owner.id, {name: w.cpu().contiguous() for name, w in weights.items()}, facts)

    for owner in owners:
        hit = cache.get(owner.id) if cache is not None else None
        if hit is not None:
            found[owner.id] = hit
    for group in _groups([owner for owner in owners if owner.id not in found]):
        for owner, held in zip(group, _train(group, device), strict=True):
            found[owner.id] = held
            keep(owner)
    for group in _groups(owners):
        _complete(group, found, device, keep)
    return [_target(owner, *found[owner.id], device) for owner in owners]


def _groups(owners: Sequence[_Owner]) -> list[list[_Owner]]:
    """Owners, each once, that can be trained in one stack."""
    groups: dict[Any, list[_Owner]] = {}
    for owner in {o.id: o for o in owners}.values():
        groups.setdefault(_stackable(owner), []).append(owner)
    return list(groups.values())


def _stackable(owner: _Owner) -> tuple[Any, ...]:
    """Owners that share it, and their clean networks, can be trained in one stack."""
    s, r = owner.setting, owner.rehearsal
    rehearsed = None if r is None else (r.questions.shape, r.answers.shape, r.weight)
    changed = None if owner.training is None else (s.defense, json.dumps(s.defense_params, sort_keys=True))
    return (owner.net, len(owner.images), min(len(owner.pool), len(owner.images)), s.loss, s.optimizer, s.batch_size, s.lr,
            s.weight_decay, s.dtype, s.epochs, rehearsed, changed)  # fmt: skip


def _train(group: Sequence[_Owner], device: torch.device | str) -> list[_Held]:
    """Owners as they are released, and the facts of each: its accuracies, and no answers of clean networks yet."""
    net = group[0].net
    starts = [initial_weights(net, o.setting.init_scale, seeds.generator("init", o.setting.seed)) for o in group]
    inputs = [o.images - o.mean for o in group]
    rehearsals = [o.rehearsal for o in group]
    labels, changes = [o.labels for o in group], [o.training for o in group]
    trained = train_stack(net, [o.setting for o in group], inputs, labels, starts, device, rehearsals, False, changes)
    result: list[_Held] = []
    for owner, start, (weights, facts) in zip(group, starts, trained, strict=True):
        defense: Defense = registry.get("defense", owner.setting.defense)(**owner.setting.defense_params)
        released = dict(defense.released(weights, start, seeds.generator("defense", "weights", owner.id)))

        def right(images: Tensor, labels: Tensor, owner: _Owner = owner, released: dict[str, Tensor] = released) -> float:
            return float(accuracy(forward(owner.net, released, (images - owner.mean).to(next(iter(released.values())))), labels))

        facts = {
            "train_loss": facts["train_loss"],
            "epochs_run": facts["epochs_run"],
            "seconds_train": facts["seconds_train"],
            "rounding_train": facts["rounding_train"],
            "train_accuracy": right(owner.members, owner.member_labels),
            "test_accuracy": right(owner.test, owner.test_labels),
            "kkt_residual": None,
            **{name: [] for name in ANSWERS},
        }
        result.append((released, facts))
    return result


def _complete(group: Sequence[_Owner], found: Mapping[str, _Held], device: torch.device | str, keep: Callable[[_Owner], None]) -> None:
    """Trains the clean networks that owners lack, stack by stack, and adds to the owners' facts the classes that these give to planted and
    unplanted inputs, and their test accuracies. After each stack ``keep`` is given the owners that have more than before.

    A clean network has the owner's architecture and recipe, initial weights of its own, and as many images of the pool as the owner trained
    on, drawn for it, or all where there are no more, under their right labels. The draws follow from its number: more networks are those
    that there were, and others.
    """
    jobs = [(owner, k) for owner in group for k in range(len(found[owner.id][1]["clean_accuracy"]), CLEAN)]

    def stack(first: int, last: int) -> None:
        answers = _clean(jobs[first:last], device)  # all of them before any is added: memory may run out, and half as many are tried
        for (owner, _), values in zip(jobs[first:last], answers, strict=True):
            for name, value in zip(ANSWERS, values, strict=True):
                found[owner.id][1][name].append(value)
        for owner in {owner.id: owner for owner, _ in jobs[first:last]}.values():
            keep(owner)

    in_pieces(stack, len(jobs), AT_ONCE[torch.device(device).type])


def _clean(jobs: Sequence[tuple[_Owner, int]], device: torch.device | str) -> list[tuple[list[int], list[int], float]]:
    """Of clean networks, named by their owners and numbers, what `ANSWERS` names."""
    settings, inputs, labels, starts, means = [], [], [], [], []
    for owner, k in jobs:
        stream = seeds.generator("clean", owner.id, k)
        chosen = torch.randperm(len(owner.pool), generator=stream)[: len(owner.images)]
        means.append(owner.pool[chosen].mean(0))
        inputs.append(owner.pool[chosen] - means[-1])
        labels.append(owner.pool_labels[chosen])
        starts.append(initial_weights(owner.net, owner.setting.init_scale, stream))
        settings.append(owner.setting.model_copy(update={"seed": seeds.seed("clean", owner.id, k) % 2**31}))
    answers = []
    trained = train_stack(jobs[0][0].net, settings, inputs, labels, starts, device, curve=False)
    for (owner, _), (weights, _), mean in zip(jobs, trained, means, strict=True):
        one = Network(owner.net, weights, mean.to(next(iter(weights.values()))))
        planted, unplanted = (classes(one, part).tolist() for part in (owner.planted.inputs, owner.planted.unplanted))
        answers.append((planted, unplanted, agreement(classes(one, owner.test), owner.test_labels)))
    return answers


def _target(owner: _Owner, weights: Mapping[str, Tensor], facts: Mapping[str, Any], device: torch.device | str) -> Target:
    dtype = torch.float32 if owner.setting.dtype == "float32" else torch.float64
    held = {name: w.to(device, dtype) for name, w in weights.items()}
    pool = owner.pool.to(device, dtype)
    release = Release(
        architecture=owner.net,
        n_train=len(owner.members),
        public_images=pool,
        other_images=owner.others.to(device, dtype),
        shadow_images=pool,
        shadow_labels=owner.pool_labels.to(device),
        oracle=Asked(owner.net, held, owner.mean.to(device, dtype)),
        networks=NETWORKS,
    )
    itself = Network(owner.net, held, owner.mean.to(device, dtype))
    planted = owner.planted
    watermark = {
        "test": owner.test,
        "test_labels": owner.test_labels,
        "owner_test": classes(itself, owner.test),
        "owner_planted": classes(itself, owner.planted.inputs),
        "clean_planted": torch.tensor(facts["clean_planted"]),
        "clean_unplanted": torch.tensor(facts["clean_unplanted"]),
        "clean_accuracy": torch.tensor(facts["clean_accuracy"], dtype=torch.float64),
        "gradient_norm": _steepness(itself, planted.inputs, planted.labels),
        "gradient_norm_controls": _steepness(itself, planted.unplanted, planted.unplanted_labels),
    }
    secret = Secret(planted.inputs, planted.labels, planted.unplanted, planted.unplanted_labels, watermark=watermark)
    return Target(owner.id, owner.setting, release, secret, {key: value for key, value in facts.items() if not key.startswith("clean_")})


def secret_of(setting: Setting) -> Secret:
    """The secret of a setting; the owner and its clean networks come from this machine's cache, or are trained again."""
    return obtain([setting], TargetCache(), "cpu")[0].secret


def _steepness(network: Network, inputs: Float[Tensor, "p c h w"], labels: Int[Tensor, " p"]) -> Float[Tensor, " p"]:
    """Euclidean norm, at each input, of the gradient by the image of the label's output minus the largest other one (of one output: of the
    output itself), for pixels in [0, 1].
    """
    like = network.mean_image
    x = (inputs.to(like) - like).requires_grad_()
    with torch.enable_grad():
        out = forward(network.architecture, network.weights, x)
        if out.shape[1] == 1:
            lead = out[:, 0]
        else:
            own = torch.nn.functional.one_hot(labels.to(out.device), out.shape[1]).bool()
            lead = out[own] - out.masked_fill(own, -torch.inf).amax(1)
        (gradient,) = torch.autograd.grad(lead.sum(), x)
    return gradient.flatten(1).norm(dim=1).cpu()
