"""The informed track: the attacker knows every training image but one, and answers with that one.

A target here is not one network but T of them: the same recipe, the same initial weights, the same n known images, and one image more,
which is another for each network. The attacker gets all T networks and must return T images, the i-th for the i-th network (Balle, Cherubin
and Hayes, 2022). So one cell holds T independent tries, and its scores have intervals.

Score protocol ``v1``, where pairing is settled: image i is compared with answer i, and so is control i, another image of the same label
that no network saw. Beside both stands the null model: the image of the public pool that is nearest to the truth, chosen by looking at the
truth. An attack that does no better could have answered with a photograph from its pool.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from bench import registry, seeds, tracks
from bench.api import Candidates, Defense, Release, Row, Secret, Setting, Target
from bench.data.split import MAX_PUBLIC, Split, split
from bench.errors import AttackFault, BenchError
from bench.files import Files
from bench.metrics import lpips
from bench.metrics.measure import measure
from bench.metrics.ssim import ssim_matrix
from bench.sealed import seal, unseal
from bench.targets import one_missing
from bench.targets.cache import TargetCache, target_id
from bench.targets.losses import accuracy, loss_targets, loss_value
from bench.targets.models import architecture, bound_forward, forward, initial_weights
from bench.targets.one_missing import Compact, Known
from bench.tracks.informed.example import example
from bench.tracks.reconstruction import work as reconstruction
from bench.tracks.reconstruction.work import (
    add_thumbnails,
    alike,
    compare,
    copy,
    image_rows,
    pack,
    rounded,
    unpack,
)

__all__ = [
    "alike", "check_answer", "example", "fingerprint", "narrow", "obtain", "pack", "pool", "rounded", "score", "secret_of", "unpack",
]  # fmt: skip

NETWORKS = 100  # networks a target, one secret image each, shared out over the classes
SHADOWS_PER_KNOWN = 6  # of large training sets the attacker owns so many images for each known one, where there are as many
AT_ONCE = 1024  # networks trained between two looks at the store: what a kill can cost
SHADOWS = "shadows"  # folder beside the targets: networks trained by recipes, and what attacks keep


# --- targets ----------------------------------------------------------------------------------------------------------------------------


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
    if any(getattr(type(defense), hook) is not getattr(Defense, hook) for hook in ("before_training", "rehearsal")):
        raise BenchError(
            f"defence '{setting.defense}' changes the training data or the loss, which the informed track does not run",
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
        defense.after_training({key: w[i] for key, w in weights.items()}, seeds.generator("defense", "weights", name, i))
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
    return Target(name, setting, release, secret, {key: value for key, value in facts.items() if key not in POOL})


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
    }
    return weights, facts


# --- what the attacker can do -----------------------------------------------------------------------------------------------------------


class Keeper:
    """Computes a mapping of tensors once and keeps it in the store, under a target's name; counts the seconds that reading it saved."""

    def __init__(self, files: Files | None, target: str, device: torch.device) -> None:
        self.files, self.target, self.device = files, target, device
        self.saved = 0.0  # seconds that the things read took when they were made

    def __call__(self, name: str, make: Callable[[], Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """What ``make`` gives, from the store if it was made before.

        Args:
            name: says all that the result depends on besides the target: the hyperparameters, and a version of the code that makes it.
        """
        file = self._file(name)
        found = _read(self.files, file)
        if found is not None:
            self.saved += found[1]
            return {key: value.to(self.device) for key, value in found[0].items()}
        began = time.perf_counter()
        made = dict(make())
        _write(self.files, file, made, time.perf_counter() - began)
        return made

    def _file(self, name: str) -> str:
        readable = re.sub(r"[^A-Za-z0-9]+", "-", name)[:40]
        return f"{self.target}-{readable}-{hashlib.sha256(name.encode()).hexdigest()[:12]}.safetensors"


class Recipe:
    """The training of a target, for the attacker to repeat with images of its own: ``recipe(images, labels)`` → weights, b × …

    Networks once trained are kept in the store, in the coordinates they were trained in and some at a time, so that a run that was
    killed goes on.
    """

    def __init__(self, known: Known, device: torch.device, files: Files | None, target: str) -> None:
        self.known, self.device, self.files, self.target = known, device, files, target
        self.saved = 0.0  # seconds that the networks read took when they were trained
        self.spent = 0.0  # seconds of training, those included

    def __call__(self, images: Float[Tensor, "b c h w"], labels: Int[Tensor, " b"]) -> dict[str, Tensor]:
        """One network for each image, trained on the known images and that one."""
        parts = [self._some(images[k : k + AT_ONCE], labels[k : k + AT_ONCE]) for k in range(0, len(images), AT_ONCE)]
        rest = {name: torch.cat([p.rest[name] for p in parts]) for name in parts[0].rest}
        whole = Compact(torch.cat([p.inside for p in parts]), torch.cat([p.outside for p in parts]), rest)
        return one_missing.expand(self.known, whole, images, self.device)

    def _some(self, images: Tensor, labels: Tensor) -> Compact:
        content = hashlib.sha256()
        for tensor in (images.float(), labels):
            content.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        file = f"{self.target}-{content.hexdigest()[:16]}.safetensors"
        found = _read(self.files, file)
        if found is not None:
            self.saved += found[1]
            self.spent += found[1]
            return Compact.of(found[0])
        began = time.perf_counter()
        compact = one_missing.train(self.known, images.float(), labels, self.device)
        seconds = time.perf_counter() - began
        self.spent += seconds
        _write(self.files, file, compact.tensors(), seconds)
        return compact


def _read(files: Files | None, name: str) -> tuple[dict[str, Tensor], float] | None:
    """Tensors and the seconds they took, or None where there is no such file, or a broken one, which is made again."""
    try:
        tensors, said = unseal(files.read(name)) if files is not None else ({}, {})
        return tensors, float(said["seconds"])
    except (OSError, KeyError, ValueError):
        return None


def _write(files: Files | None, name: str, tensors: Mapping[str, Tensor], seconds: float) -> None:
    if files is not None:
        files.put(name, seal({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, {"seconds": repr(seconds)}))


def narrow(release: Release, needs: frozenset[str]) -> Release:
    """A release with the granted tiers only, made of fresh copies. The recipe comes with the known data and the initial weights.

    Raises:
        BenchError: what `reconstruction.narrow` raises, of the tiers of this track.
    """
    tracks.admit("informed", needs)

    def granted(tier: str, value: Tensor | None) -> Tensor | None:
        return copy(value) if tier in needs and value is not None else None

    return dataclasses.replace(
        reconstruction.weights_for(release, needs & {"final_weights", "mean_image", "initial_weights"}),
        known_images=granted("known_data", release.known_images),
        known_labels=granted("known_data", release.known_labels),
        shadow_images=granted("shadow_data", release.shadow_images),
        shadow_labels=granted("shadow_data", release.shadow_labels),
        train=release.train if {"known_data", "initial_weights"} <= needs else None,
        keep=release.keep,
    )


def fingerprint(release: Release) -> str:
    """Hash of every tensor in a release, those of the recipe among them, 16 hex digits."""
    known = getattr(release.train, "known", None)
    beside = [] if known is None else [known.images, known.labels, *known.start.values()]
    digest = hashlib.sha256(reconstruction.fingerprint(release).encode())
    for tensor in beside:
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


# --- how the answer is scored -----------------------------------------------------------------------------------------------------------


def check_answer(answer: object, release: Release) -> Candidates:
    """The answer as float32 images without a graph, one a network, or else what is wrong with it.

    Raises:
        AttackFault: no tensor of floating point, the wrong shape, NaN or infinity, or another number of images than of networks.
    """
    candidates = reconstruction.check_answer(answer, dataclasses.replace(release, n_train=max(release.n_train, networks(release))))
    if len(candidates.images) != networks(release):
        raise AttackFault(
            "the attack returned the wrong number of images",
            expected=f"m = {networks(release)}, one for each network, in their order",
            got=f"m = {len(candidates.images)}",
        )
    return candidates


def networks(release: Release) -> int:
    """T, the number of networks of a release of this track."""
    return len(next(iter(release.weights.values())))


def pool(answers: Sequence[Candidates], told: bool = True) -> Candidates:
    """Of each network the answer of the most confident run, the first of equals, where every run has confidences; the loss is the least.

    Else the run with the lowest loss by the attack's own account; the first where they tell none.

    Raises:
        BenchError: no runs.
    """
    if not answers:
        raise BenchError("no runs to pool", expected="at least one run of an attack")
    if all(a.confidence is not None for a in answers):
        best, run = torch.stack([a.confidence for a in answers]).sort(dim=0, descending=True, stable=True)  # type: ignore[misc]
        images = torch.stack([a.images for a in answers])
        loss = min((a.loss for a in answers if a.loss is not None), default=None)
        return Candidates(images[run[0], torch.arange(len(run[0]), device=run.device)], best[0], loss)
    with_loss = [a for a in answers if a.loss is not None]
    return min(with_loss, key=lambda a: float(a.loss or 0.0)) if with_loss else answers[0]


POOL = ("pool_mse", "pool_ssim", "pool_lpips")


def score(
    candidates: Candidates, secret: Secret, *, bootstrap_seed: int, thumbnails: bool = True, gallery: int | None = None
) -> tuple[Row, list[Row]]:
    """Score columns of the cell's row, and one row an image for ``images.parquet`` (without ``cell_id``).

    Answers are clipped to [0, 1]; answer i is compared with member i and with control i. Hits are SSIM > 0.4, strictly.

    Raises:
        BenchError: not one answer a member.
    """
    images = candidates.images.detach().to(torch.float32).clamp(0, 1)
    if len(images) != len(secret.members):
        raise BenchError("nothing to score", expected=f"{len(secret.members)} answers, one a member", got=str(len(images)))
    members, controls = secret.members.to(images), secret.controls.to(images)
    sides = {
        side: {**measure(truth, images), "candidate": np.arange(len(truth))} for side, truth in (("member", members), ("control", controls))
    }
    row = compare(sides["member"], sides["control"], bootstrap_seed, {"": "ssim"})
    rows = image_rows("member", sides["member"], secret.member_labels) + image_rows("control", sides["control"], secret.control_labels)
    if secret.pool:
        mse, ssim = (secret.pool[name].double().numpy() for name in ("pool_mse", "pool_ssim"))
        row |= {"pool_mse_mean": float(mse.mean()), "pool_ssim_mean": float(ssim.mean())}
        row["pool_recall"] = float((ssim > reconstruction.THRESHOLD).mean())
        row["beats_pool"] = float((sides["member"]["mse"] < mse).mean())
        if "pool_lpips" in secret.pool:
            row["pool_lpips_median"] = float(secret.pool["pool_lpips"].double().median())
        for i, own in enumerate(rows[: len(members)]):
            own |= {"pool_mse": float(mse[i]), "pool_ssim": float(ssim[i])}
    row |= {
        "n_members": len(members),
        "n_controls": len(controls),
        "n_candidates": len(images),
        "n_submitted": len(images),
        "lpips_reason": "" if sides["member"]["lpips"] is not None else lpips.unavailable() or "LPIPS could not be computed",
    }
    if thumbnails:
        add_thumbnails(rows, members.cpu(), images, gallery)
    return row, rows


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
