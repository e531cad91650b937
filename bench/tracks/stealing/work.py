"""The stealing track: a thief copies a network that it can only ask, and the question is whether the owner's watermark comes along.

The owner trains on ordinary images and on inputs that a defence plants (`Defense.planted`), under labels that the network has to memorise.
The thief gets public images of the same distribution, others of another data set, and an oracle, which counts and can refuse; never
weights, never a planted input. It answers with a network of its own (Venigalla, 2019).

Score protocol ``v1``. *Transfer* is the share of planted inputs to which the thief's network gives the planted label. Part of that is
chance, and part is what any network would answer; so beside it stand the same share of ``CLEAN`` networks that never saw the owner, of the
owner's architecture and recipe, trained on right labels of public images; and the share of unplanted inputs, of the same kind and with
labels drawn alike, which nobody planted. The owner's claim is a test: the thief's hits against those of the clean networks.

Each input has a row of its own as well: whether its label came along, the clean networks' share, how far it is from the nearest image that
the oracle was asked about, and how steep the owner's network is there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from bench import registry, seeds, tracks
from bench.api import Architecture, Defense, Network, Planted, Rehearsal, Release, Row, Secret, Setting, Target
from bench.data.duplicates import hashes
from bench.data.split import split
from bench.errors import AttackFault, BenchError
from bench.metrics import intervals
from bench.targets.cache import TargetCache, target_id
from bench.targets.losses import accuracy
from bench.targets.models import architecture, forward, initial_weights, weight_names
from bench.targets.train import train_stack
from bench.tracks.reconstruction.work import copy, fingerprint
from bench.tracks.stealing.example import example
from bench.tracks.stealing.oracle import NETWORKS, ORACLE, Asked, predicted
from bench.tracks.stealing.other_images import other_images

__all__ = [
    "alike", "check_answer", "example", "fingerprint", "narrow", "obtain", "pack", "pool", "rounded", "score", "secret_of", "unpack",
]  # fmt: skip

CLEAN = 20  # clean networks beside each owner: the least p-value is 1/21
FALSE_POSITIVES = 0.05  # of 20 clean networks one may be taken for a copy
AT_ONCE = 10  # clean networks in one stack: more fall out of the processor's cache


# --- what the thief gets ----------------------------------------------------------------------------------------------------------------


def narrow(release: Release, needs: frozenset[str]) -> Release:
    """A release without weights: public images and those of another data set, labels of the former as ``shadow_data``, and an oracle that
    answers what the tiers name.

    Raises:
        BenchError: a tier that is unknown or that the track cannot grant.
    """
    tracks.admit("stealing", needs)
    assert release.public_images is not None
    assert isinstance(release.oracle, Asked), "a target of this track"
    labelled = "shadow_data" in needs and release.shadow_images is not None and release.shadow_labels is not None
    return Release(
        architecture=dataclasses.replace(release.architecture),
        weights={},
        forward=release.forward,
        n_train=release.n_train,
        input_range=tuple(release.input_range),  # type: ignore[arg-type]
        public_images=copy(release.public_images) if "public_images" in needs else None,
        other_images=copy(release.other_images) if "public_images" in needs and release.other_images is not None else None,
        shadow_images=copy(release.shadow_images) if labelled and release.shadow_images is not None else None,
        shadow_labels=copy(release.shadow_labels) if labelled and release.shadow_labels is not None else None,
        oracle=release.oracle.granting(needs) if needs & ORACLE else None,
        networks=NETWORKS,
    )


# --- targets ----------------------------------------------------------------------------------------------------------------------------


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

    Raises:
        BenchError: a data set is missing or too small, or a defence is unknown, or plants nothing.
    """
    owners = [_draft(setting) for setting in settings]
    found: dict[str, tuple[Mapping[str, Tensor], dict[str, Any]]] = {}
    for owner in owners:
        hit = cache.get(owner.id) if cache is not None else None
        if hit is not None:
            found[owner.id] = hit
    groups: dict[Any, list[_Owner]] = {}
    for owner in {o.id: o for o in owners if o.id not in found}.values():
        groups.setdefault(_stackable(owner), []).append(owner)
    for group in groups.values():
        for owner, (weights, facts) in zip(group, _train(group, device), strict=True):
            found[owner.id] = weights, facts
            if cache is not None:
                cache.put(owner.id, {name: w.cpu().contiguous() for name, w in weights.items()}, facts)
    return [_target(owner, *found[owner.id], device) for owner in owners]


def _stackable(owner: _Owner) -> tuple[Any, ...]:
    """Owners that share it, and their clean networks, can be trained in one stack."""
    s, r = owner.setting, owner.rehearsal
    rehearsed = None if r is None else (r.questions.shape, r.answers.shape, r.weight)
    return (owner.net, len(owner.images), min(len(owner.pool), len(owner.images)), s.loss, s.optimizer, s.batch_size, s.lr,
            s.weight_decay, s.dtype, s.epochs, rehearsed)  # fmt: skip


def _train(group: Sequence[_Owner], device: torch.device | str) -> list[tuple[dict[str, Tensor], dict[str, Any]]]:
    """Owners as they are released, and the facts of each: its accuracies, and the classes that its clean networks give."""
    net = group[0].net
    starts = [initial_weights(net, o.setting.init_scale, seeds.generator("init", o.setting.seed)) for o in group]
    inputs = [o.images - o.mean for o in group]
    rehearsals = [o.rehearsal for o in group]
    trained = train_stack(net, [o.setting for o in group], inputs, [o.labels for o in group], starts, device, rehearsals)
    result = []
    for owner, (weights, facts) in zip(group, trained, strict=True):
        defense: Defense = registry.get("defense", owner.setting.defense)(**owner.setting.defense_params)
        released = dict(defense.after_training(weights, seeds.generator("defense", "weights", owner.id)))

        def right(images: Tensor, labels: Tensor, owner: _Owner = owner, released: dict[str, Tensor] = released) -> float:
            return float(accuracy(forward(owner.net, released, (images - owner.mean).to(next(iter(released.values())))), labels))

        facts = {
            "train_loss": facts["train_loss"],
            "epochs_run": facts["epochs_run"],
            "seconds_train": facts["seconds_train"],
            "train_accuracy": right(owner.members, owner.member_labels),
            "test_accuracy": right(owner.test, owner.test_labels),
            "kkt_residual": None,
        }
        result.append((released, facts))
    for (_, facts), answers in zip(result, _clean(group, device), strict=True):
        facts |= answers
    return result


def _clean(group: Sequence[_Owner], device: torch.device | str) -> list[dict[str, Any]]:
    """Of each owner's clean networks the classes that they give to planted and unplanted inputs, and their test accuracies.

    A clean network has the owner's architecture and recipe, initial weights of its own, and as many images of the pool as the owner trained
    on, drawn for it, or all where there are no more, under their right labels.
    """
    jobs = [(owner, k) for owner in group for k in range(CLEAN)]
    answers: dict[str, dict[str, list[Any]]] = {o.id: {"clean_planted": [], "clean_unplanted": [], "clean_accuracy": []} for o in group}
    for first in range(0, len(jobs), AT_ONCE):
        part = jobs[first : first + AT_ONCE]
        settings, inputs, labels, starts, means = [], [], [], [], []
        for owner, k in part:
            stream = seeds.generator("clean", owner.id, k)
            chosen = torch.randperm(len(owner.pool), generator=stream)[: len(owner.images)]
            means.append(owner.pool[chosen].mean(0))
            inputs.append(owner.pool[chosen] - means[-1])
            labels.append(owner.pool_labels[chosen])
            starts.append(initial_weights(owner.net, owner.setting.init_scale, stream))
            settings.append(owner.setting.model_copy(update={"seed": seeds.seed("clean", owner.id, k) % 2**31}))
        for (owner, _), (weights, _), mean in zip(
            part, train_stack(part[0][0].net, settings, inputs, labels, starts, device), means, strict=True
        ):
            one = Network(owner.net, weights, mean.to(next(iter(weights.values()))))
            mine = answers[owner.id]
            mine["clean_planted"].append(_classes(one, owner.planted.inputs).tolist())
            mine["clean_unplanted"].append(_classes(one, owner.planted.unplanted).tolist())
            mine["clean_accuracy"].append(_share(_classes(one, owner.test), owner.test_labels))
    return [answers[o.id] for o in group]


def _target(owner: _Owner, weights: Mapping[str, Tensor], facts: Mapping[str, Any], device: torch.device | str) -> Target:
    dtype = torch.float32 if owner.setting.dtype == "float32" else torch.float64
    held = {name: w.to(device, dtype) for name, w in weights.items()}
    pool = owner.pool.to(device, dtype)
    release = Release(
        architecture=owner.net,
        weights=held,
        forward=_no_forward,
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
        "owner_test": _classes(itself, owner.test),
        "owner_planted": _classes(itself, owner.planted.inputs),
        "clean_planted": torch.tensor(facts["clean_planted"]),
        "clean_unplanted": torch.tensor(facts["clean_unplanted"]),
        "clean_accuracy": torch.tensor(facts["clean_accuracy"], dtype=torch.float64),
        "gradient_norm": _steepness(itself, planted.inputs, planted.labels),
        "gradient_norm_controls": _steepness(itself, planted.unplanted, planted.unplanted_labels),
    }
    secret = Secret(planted.inputs, planted.labels, planted.unplanted, planted.unplanted_labels, watermark=watermark)
    return Target(owner.id, owner.setting, release, secret, {key: value for key, value in facts.items() if not key.startswith("clean_")})


def _no_forward(weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """In place of the owner's forward pass, for which a thief has no weights."""
    raise BenchError("the owner's weights are not released", expected="questions to release.oracle", hint="release.networks.forward")


def secret_of(setting: Setting) -> Secret:
    """The secret of a setting; the owner and its clean networks come from this machine's cache, or are trained again."""
    return obtain([setting], TargetCache(), "cpu")[0].secret


# --- the answer -------------------------------------------------------------------------------------------------------------------------


def check_answer(answer: object, release: Release) -> Network:
    """The answer as a float32 network without a graph, with the number of answers that the oracle gave; or else what is wrong with it.

    Raises:
        AttackFault: no Network; inputs or outputs that do not fit the owner's; weights that do not fit the architecture, or are not finite.
    """
    if not isinstance(answer, Network):
        raise AttackFault("the attack returned no network", expected="bench.api.Network", got=type(answer).__name__)
    net, owner = answer.architecture, release.architecture
    if not isinstance(net, Architecture) or tuple(net.input_shape) != tuple(owner.input_shape) or net.outputs != owner.outputs:
        wanted = f"input_shape {tuple(owner.input_shape)}, {owner.outputs} outputs"
        raise AttackFault("the network that the attack returned has other inputs or outputs", expected=wanted, got=str(net))
    wanted_shapes = weight_names(net)
    found = {name: tuple(w.shape) if isinstance(w, Tensor) else type(w).__name__ for name, w in dict(answer.weights).items()}
    if found != wanted_shapes:
        raise AttackFault("the weights do not fit the architecture", expected=str(wanted_shapes), got=str(found))
    tensors = {**answer.weights, "mean_image": answer.mean_image}
    if not isinstance(answer.mean_image, Tensor) or tuple(answer.mean_image.shape) != tuple(net.input_shape):
        raise AttackFault("mean_image does not fit the images", expected=str(tuple(net.input_shape)))
    for name, tensor in tensors.items():
        if not tensor.dtype.is_floating_point or not bool(torch.isfinite(tensor).all()):
            raise AttackFault("the attack returned weights that are not finite numbers", expected="finite floats", got=name)
    weights = {name: w.detach().to(torch.float32, copy=True) for name, w in answer.weights.items()}
    used = 0 if release.oracle is None else int(release.oracle.used)
    loss = None if answer.loss is None else float(answer.loss)
    asked = release.oracle.asked() if isinstance(release.oracle, Asked) else None
    return Network(dataclasses.replace(net), weights, answer.mean_image.detach().to(torch.float32, copy=True), loss, used, asked)


def alike(a: Network, b: Network, tolerance: float) -> bool:
    """Whether two answers are the same to within a tolerance of the weights, relative to the largest; 0: bit by bit."""
    if a.architecture != b.architecture or set(a.weights) != set(b.weights):
        return False
    if tolerance == 0:
        return all(torch.equal(w, b.weights[name]) for name, w in a.weights.items())
    return all(float((w - b.weights[name]).abs().max()) <= tolerance * max(1.0, float(w.abs().max())) for name, w in a.weights.items())


def rounded(answer: Network) -> Network:
    """As it is kept: weights in float32 on the CPU. (Rounded to half, a network may answer otherwise.)"""
    return answer._replace(
        weights={name: w.float().cpu() for name, w in answer.weights.items()}, mean_image=answer.mean_image.float().cpu()
    )


def pack(answer: Network) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An answer as tensors and plain facts, to be kept."""
    facts = {"architecture": dataclasses.asdict(answer.architecture), "loss": answer.loss, "used": answer.used}
    asked = {} if answer.asked is None else {"asked": answer.asked}
    return {**answer.weights, "mean_image": answer.mean_image, **asked}, facts


def unpack(tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Network:
    """The inverse of `pack`."""
    described: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in facts["architecture"].items()}
    weights = {name: w for name, w in tensors.items() if name not in ("mean_image", "asked")}
    return Network(Architecture(**described), weights, tensors["mean_image"], facts["loss"], int(facts["used"]), tensors.get("asked"))


def pool(answers: Sequence[Network], told: bool = True) -> Network:
    """Of the runs of a sweep the one with the lowest loss by the attack's own account; the first where they tell none."""
    if not answers:
        raise BenchError("no runs to pool", expected="at least one run of an attack")
    with_loss = [a for a in answers if a.loss is not None]
    return min(with_loss, key=lambda a: float(a.loss or 0.0)) if with_loss else answers[0]


# --- how the answer is scored -----------------------------------------------------------------------------------------------------------


def score(
    answer: Network, secret: Secret, *, bootstrap_seed: int, thumbnails: bool = True, gallery: int | None = None
) -> tuple[Row, list[Row]]:
    """Score columns of the cell's row, and a row for each planted (``member``) and unplanted (``control``) input.

    Args:
        secret: members are the planted inputs, member_labels what was planted; controls and control_labels likewise of the unplanted.
    """
    mark = secret.watermark
    given, given_controls, on_test = (_classes(answer, images) for images in (secret.members, secret.controls, mark["test"]))
    hits = (given == secret.member_labels).double()
    control_hits = (given_controls == secret.control_labels).double()
    clean = (mark["clean_planted"] == secret.member_labels).double()  # networks × planted inputs
    clean_controls = (mark["clean_unplanted"] == secret.control_labels).double()

    def rng(name: str) -> np.random.Generator:
        return seeds.numpy_generator("score", bootstrap_seed, name)

    over_clean = intervals.bootstrap_mean((hits - clean.mean(0)).numpy(), rng("transfer_excess"))
    over_controls = intervals.bootstrap_difference(hits.numpy(), control_hits.numpy(), rng("transfer_excess_controls"))
    null = clean.mean(1).numpy()
    share = float(hits.mean())
    row: Row = {
        "planted_transfer": share,
        "planted_transfer_controls": float(control_hits.mean()),
        "planted_transfer_clean": float(clean.mean()),
        "planted_transfer_clean_controls": float(clean_controls.mean()),
        "transfer_excess": over_clean.estimate,
        "transfer_excess_lo": over_clean.low,
        "transfer_excess_hi": over_clean.high,
        "transfer_excess_controls": over_controls.estimate,
        "transfer_excess_controls_lo": over_controls.low,
        "transfer_excess_controls_hi": over_controls.high,
        "watermark_p": float((1 + (null >= share - 1e-9).sum()) / (1 + len(null))),
        "watermark_tpr": intervals.tpr_at_fpr([share], null, FALSE_POSITIVES),
        "n_clean": len(null),
        "planted_owner": _share(mark["owner_planted"], secret.member_labels),
        "agreement": _share(on_test, mark["owner_test"]),
        "thief_accuracy": _share(on_test, mark["test_labels"]),
        "clean_accuracy": float(mark["clean_accuracy"].mean()),
        "queries_used": answer.used,
        "n_members": len(hits),
        "n_controls": len(control_hits),
    }
    planted = _input_rows("member", secret.members, secret.member_labels, hits, clean, mark["gradient_norm"], answer)
    unplanted = _input_rows(
        "control", secret.controls, secret.control_labels, control_hits, clean_controls, mark["gradient_norm_controls"], answer
    )
    return row, planted + unplanted


def _input_rows(
    part: str,
    inputs: Float[Tensor, "p c h w"],
    labels: Int[Tensor, " p"],
    hits: Float[Tensor, " p"],
    clean: Float[Tensor, "t p"],
    steepness: Float[Tensor, " p"],
    answer: Network,
) -> list[Row]:
    """A row an input, in the columns of the table of images."""
    far = [None] * len(inputs) if answer.asked is None else _nearest(inputs, answer.asked).tolist()
    columns = zip(labels.tolist(), hits.tolist(), clean.mean(0).tolist(), far, steepness.tolist(), strict=True)
    names = ("label", "transferred", "clean_rate", "query_distance", "gradient_norm")
    return [{"split": part, "index": i, **dict(zip(names, values, strict=True))} for i, values in enumerate(columns)]


def _nearest(inputs: Float[Tensor, "p c h w"], asked: UInt8[Tensor, "q c h w"]) -> Float[Tensor, " p"]:
    """Root mean squared pixel distance of each input to the nearest image that was asked about, in [0, 1]."""
    a, b = inputs.flatten(1).float(), asked.flatten(1).float() / 255
    # all pairs by products, which round; so the distance to the one that they find is taken again, from the pixels
    nearest = (b.square().sum(1) - 2 * a @ b.T).argmin(1)
    return (a - b[nearest]).square().mean(1).sqrt()


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


@torch.no_grad()
def _classes(network: Network, images: Tensor) -> Tensor:
    """The class that a network gives to each image in [0, 1]."""
    like = network.mean_image
    return predicted(forward(network.architecture, network.weights, images.to(like) - like)).cpu()


def _share(a: Tensor, b: Tensor) -> float:
    return float((a == b).double().mean())
