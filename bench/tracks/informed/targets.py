"""The targets of the track.

A target here is not one network but T of them: the same recipe, the same initial weights, the same n known images, and one image more,
which is another for each network. The attacker gets all T networks and must return T images, the i-th for the i-th network (Balle, Cherubin
and Hayes, 2022). So one cell holds T independent tries, and its scores have intervals.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench import registry, seeds
from bench.api import Defense, Setting, Target
from bench.data.split import MAX_PUBLIC, Split, split
from bench.errors import BenchError
from bench.metrics import lpips
from bench.metrics.ssim import ssim_matrix
from bench.precision import in_force, pinned
from bench.targets import one_missing
from bench.targets.cache import TargetCache, target_id
from bench.targets.losses import accuracy, loss_targets, loss_value
from bench.targets.models import architecture, bound_forward, forward, initial_weights
from bench.targets.one_missing import Known
from bench.tracks.informed.recipe import Keeper, Recipe
from bench.tracks.informed.release import Release, Secret
from bench.tracks.reconstruction.narrow import withholding

NETWORKS = 100  # networks a target, one secret image each, shared out over the classes
SHADOWS_PER_KNOWN = 6  # of large training sets the attacker owns so many images for each known one, where there are as many
SHADOWS = "shadows"  # folder beside the targets: networks trained by recipes, and what attacks keep
POOL = ("pool_mse", "pool_ssim", "pool_lpips")


def obtain(settings: Sequence[Setting], cache: TargetCache | None, device: torch.device | str = "cpu") -> list[Target]:
    """The targets of the settings, in their order: T networks each.

    Raises:
        BenchError: a data set is missing or too small, or a defence is unknown, or one that changes the training data.
    """
    return [_obtain(setting, cache, torch.device(device)) for setting in settings]


def _obtain(setting: Setting, cache: TargetCache | None, device: torch.device) -> Target:
    source = registry.resolve_data(setting.dataset)
    parts = _parts(setting)
    drawn = _draw(parts, setting)
    public, public_labels = _public(parts)
    name = target_id(setting, source.digest(), "informed")
    defense: Defense = registry.get("defense", setting.defense)(**setting.defense_params)
    if any(getattr(type(defense), hook) is not getattr(Defense, hook) for hook in ("before_training", "rehearsal", "training")):
        raise BenchError(
            f"defence '{setting.defense}' changes the training data, the loss or the steps, which the informed track does not run",
            expected="a defence of the weights, or none",
            got=setting.defense,
            hint="--set defense=none",
        )
    known = known_of(setting, parts)
    hit = cache.get(name) if cache is not None else None
    if hit is None:
        weights, facts = _train(known, drawn, parts, device)
        pool = _nearest(drawn.members, public, device)
        hit = weights, facts | {key: [round(float(v), 6) for v in values] for key, values in pool.items()}
        if cache is not None:
            cache.put(name, {key: w.cpu().contiguous() for key, w in weights.items()}, hit[1])
    weights, facts = {key: hit[0][key] for key in known.start}, hit[1]  # a file has them in another order
    known = dataclasses.replace(known, epochs=int(facts["epochs_run"]))
    dtype = torch.float32 if setting.dtype == "float32" else torch.float64
    released = [
        defense.released({key: w[i] for key, w in weights.items()}, known.start, seeds.generator("defense", "weights", name, i))
        for i in range(len(drawn.members))
    ]
    files = None if cache is None else cache.root.within(SHADOWS)
    release = Release(
        architecture=known.architecture,
        weights={key: torch.stack([w[key] for w in released]).to(device, dtype) for key in released[0]},
        forward=bound_forward(known.architecture),
        n_train=len(known.images) + 1,
        mean_image=known.mean.to(device, dtype),
        initial_weights={key: w.to(device, dtype) for key, w in known.start.items()},
        known_images=known.images.to(device, dtype),
        known_labels=known.labels.to(device),
        shadow_images=public.to(device, dtype),
        shadow_labels=public_labels.to(device),
        train=Recipe(known, device, files, name),
        keep=Keeper(files, name, device),
    )
    secret = dataclasses.replace(drawn, pool={key: torch.tensor(facts[key]) for key in POOL if key in facts})
    return Target(
        name, setting, withholding(release, defense.withholds), secret, {key: value for key, value in facts.items() if key not in POOL}
    )


def known_of(setting: Setting, parts: Split) -> Known:
    """The recipe of a setting before its epochs are fixed: its training part is what the attacker knows."""
    images, labels = torch.from_numpy(parts.train), torch.from_numpy(parts.train_labels)
    shape = (images.shape[1], images.shape[2], images.shape[3])
    net = architecture(setting, shape, len(parts.class_names))
    start = initial_weights(net, setting.init_scale, seeds.generator("init", setting.seed))
    return Known(net, setting, images, labels, start, setting.epochs)


def secret_of(setting: Setting) -> Secret:
    """The secret of a setting, drawn again from its data."""
    parts = _parts(setting)
    drawn = _draw(parts, setting)
    return dataclasses.replace(drawn, pool=_nearest(drawn.members, _public(parts)[0], torch.device("cpu")))


def images_of(setting: Setting) -> Secret:
    """The images of a setting and as many controls, drawn again from its data, without what is worked out of them."""
    return _draw(_parts(setting), setting)


def _parts(setting: Setting) -> Split:
    """The data of a setting; of large training sets with a public part that is larger too."""
    source = registry.resolve_data(setting.dataset).load()
    classes = 2 if setting.classes == "binary" else setting.classes
    return split(source, setting, max(MAX_PUBLIC, SHADOWS_PER_KNOWN * setting.n_per_class * classes))


def _public(parts: Split) -> tuple[Tensor, Tensor]:
    """What the attacker owns besides the known images, and its labels: the public part, and the controls that this track has no use for."""
    images = np.concatenate([parts.public, parts.control])
    return torch.from_numpy(images), torch.from_numpy(np.concatenate([parts.public_labels, parts.control_labels]))


def _draw(parts: Split, setting: Setting) -> Secret:
    """The images of the T networks and as many controls, label by label, from the images that nothing else uses.

    They are the first of the test part, in the order in which it was shuffled; what is left of it measures the test accuracy.
    """
    classes = len(parts.class_names)
    each = len(parts.test) // classes
    take = min(max(1, NETWORKS // classes), (each - 1) // 2)
    if take < 1:
        raise BenchError(
            f"data set '{setting.dataset}' is too small for the informed track",
            expected="at least 3 images a class beyond the known ones: a secret one, a control, one for the test accuracy",
            got=f"{each}",
            hint="a smaller n_per_class, or a larger data set",
        )
    test, labels = torch.from_numpy(parts.test), torch.from_numpy(parts.test_labels)
    first = [k * each + i for k in range(classes) for i in range(take)]
    second = [i + take for i in first]
    return Secret(test[first], labels[first], test[second], labels[second])


@pinned()
def _train(known: Known, drawn: Secret, parts: Split, device: torch.device) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights of the T networks, and the facts of their training, which are means over them."""
    began = time.perf_counter()
    epochs, _ = one_missing.epochs_to_loss(known, device)
    known = dataclasses.replace(known, epochs=epochs)
    weights = one_missing.expand(known, one_missing.train(known, drawn.members, drawn.member_labels, device), drawn.members, device)
    seconds = time.perf_counter() - began
    dtype = next(iter(weights.values())).dtype
    inputs = (known.images - known.mean).to(device, dtype)
    own = (drawn.members - known.mean).to(device, dtype)[:, None]
    out = torch.cat(
        [forward(known.architecture, weights, inputs.expand(len(own), *inputs.shape)), forward(known.architecture, weights, own)], 1
    )
    labels = torch.cat([known.labels.expand(len(own), -1), drawn.member_labels[:, None]], 1).to(device)
    loss = loss_value(known.setting.loss, out, loss_targets(known.setting.loss, labels, known.architecture.outputs).to(dtype))
    used = 2 * len(drawn.members) // len(parts.class_names)
    rest = np.concatenate([np.flatnonzero(parts.test_labels == k)[used:] for k in range(len(parts.class_names))])
    test = (torch.from_numpy(parts.test[rest]) - known.mean).to(device, dtype)
    few = {key: w[:10] for key, w in weights.items()}  # ten of T nearly equal networks tell the test accuracy
    predicted = forward(known.architecture, few, test.expand(len(few["layers.0.weight"]), *test.shape))
    answers = torch.from_numpy(parts.test_labels[rest]).to(device).expand(len(predicted), -1)
    facts = {
        "train_accuracy": float(accuracy(out, labels).mean()),
        "test_accuracy": float(accuracy(predicted, answers).mean()),
        "train_loss": float(loss.mean()),
        "epochs_run": epochs,
        "kkt_residual": None,
        "seconds_train": seconds,
        "rounding_train": in_force(device),
    }
    return weights, facts


def _nearest(members: Tensor, pool_images: Tensor, device: torch.device) -> dict[str, Tensor]:
    """For each member the least MSE, the highest SSIM, and the LPIPS at the least MSE, over a pool of images that are not it."""
    truth, others = members.to(device), pool_images.to(device)
    squares = torch.cdist(truth.flatten(1).double(), others.flatten(1).double()) ** 2
    least = squares.min(1)
    result = {"pool_mse": least.values / truth[0].numel(), "pool_ssim": ssim_matrix(truth, others).amax(1)}
    perceptual = lpips.lpips_pairs(truth, others[least.indices])
    if perceptual is not None:
        result["pool_lpips"] = perceptual
    return {name: value.detach().cpu() for name, value in result.items()}
