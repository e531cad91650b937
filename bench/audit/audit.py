"""Can the training images be rebuilt from this checkpoint? A checkpoint becomes a release, the attacks that apply run on it, and what they
find is scored beside the controls.

The attacks get what a grid's attacks get: their access tiers, narrowed, in fresh copies. What the owner's training knew and the checkpoint
does not say (the mean image, the number of training images) comes from the members, from options, or is assumed, and the report says so.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench import registry, regular, seeds, tracks
from bench.api import DIVERGED, Architecture, Candidates, Row
from bench.artefacts import pictures
from bench.artefacts.candidates import read_mean
from bench.artefacts.checkpoints import Checkpoint, read_checkpoint
from bench.artefacts.images import Pictures
from bench.artefacts.truth import Truth
from bench.audit import page
from bench.audit.scoring import Judgement, judge
from bench.audit.verdict import Verdict, verdict
from bench.engine.prepare import PlannedAttack, hyperparameters, prepare
from bench.engine.stacks import RUNS_AT_ONCE
from bench.errors import BenchError, did_you_mean
from bench.faults import PluginExitError, blame
from bench.grids.model import AttackSpec, Sweep
from bench.grids.syntax import value_of
from bench.memory import budget, in_pieces
from bench.precision import check
from bench.report.kit.text import escape, number
from bench.store import atomic_write
from bench.targets.losses import accuracy, predicted
from bench.targets.models import bound_forward
from bench.targets.residual import kkt_residual
from bench.torch_state import restored
from bench.tracks.reconstruction import Release
from bench.tracks.reconstruction import work as reconstruction

ATTACKS = ("haim_kkt", "multiclass_kkt", "regression_kkt")  # unless others are named
CONTROLS = ("mean_image", "heldout_images", "first_layer_weights", "model_inversion")  # beside any attack
ASSUMED_N = 100  # training images, where nobody says how many there were
LOW_ACCURACY = 0.9  # on its own training images, below which something was misread


@dataclass(frozen=True)
class Subject:
    """A checkpoint ready to be attacked, with what is known of its training images."""

    release: Release
    truth: Truth | None  # None: nothing to score against
    facts: Row = field(default_factory=dict)  # train_accuracy, kkt_residual, where members are known
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """What an audit found."""

    subject: Subject
    judged: tuple[Judgement, ...]

    @property
    def verdict(self) -> Verdict:
        """What came of it."""
        return verdict(self.judged, self.subject.facts.get("kkt_residual"), truth=self.subject.truth is not None)

    def passes(self, fail_above: float | None) -> bool:
        """Not if an attack failed or none was scored; with a bar neither if an attack's excess recall is above it, or nothing could be
        found by what was tried."""
        return not any(one.failed for one in self.judged) and self.verdict.passes(fail_above)


def subject_of(
    checkpoint: str,
    *,
    truth: Truth | None = None,
    members: Pictures | None = None,
    mean: str = "",
    shape: tuple[int, int, int] | None = None,
    activation: str = "",
    loss: str = "",
    pooling: str = "",
    n_train: int | None = None,
    device: torch.device | None = None,
) -> Subject:
    """Reads a checkpoint and fills in its release.

    Args:
        truth: members and controls.
        members: members alone, where there are no controls to score against.
        mean: ``members``, ``none`` (the network gets pixels as they are), or a file with one image; empty: the members' mean where there
            are members, else grey.
        n_train: how many images the network was trained on; None: as many as there are members.

    Raises:
        BenchError: the checkpoint cannot be read, or does not fit the members.
    """
    images = truth.secret.members if truth is not None else None if members is None else members.images
    own_shape = None if images is None else (int(images.shape[1]), int(images.shape[2]), int(images.shape[3]))
    if shape is not None and own_shape is not None and shape != own_shape:
        raise BenchError("--shape is not that of the members", expected="x".join(map(str, own_shape)), got="x".join(map(str, shape)))
    if n_train is not None and not 1 <= n_train <= 1_000_000:
        raise BenchError(f"--n-train {n_train}: not understood", expected="a number of images, 1 or more", got=str(n_train))
    labels = members.labels if members is not None else truth.secret.member_labels if truth is not None and truth.labelled else None
    read = read_checkpoint(
        checkpoint,
        shape=shape or own_shape,
        activation=activation,
        loss=loss,
        pooling=pooling,
        classified=None if images is None or labels is None else _classifier(images, labels, mean),
    )
    notes = [*read.notes, *(truth.notes if truth is not None else ()), *(members.notes if members is not None else ())]
    if n_train is None:
        n_train = ASSUMED_N if images is None else len(images)
        notes += [] if images is not None else [f"number of training images assumed: {n_train} (--n-train to say)"]
    dtype = next(iter(read.weights.values())).dtype
    centre = _mean(mean, images, read.architecture.input_shape, notes).to(dtype)
    facts = _at_members(read, images, labels, centre, notes) if images is not None else {}
    device = device or torch.device("cpu")
    check(device)
    brought: dict[str, Any] = {} if truth is None or truth.public is None else {"public_images": truth.public.to(device, dtype)}
    release = Release(
        architecture=read.architecture,
        weights={name: weight.to(device) for name, weight in read.weights.items()},
        forward=bound_forward(read.architecture),
        n_train=n_train,
        mean_image=centre.to(device),
        **brought,
    )
    return Subject(release, truth, facts, tuple(notes))


def plan(names: Sequence[str], runs: int, params: Sequence[str]) -> list[PlannedAttack]:
    """The attacks and the controls, ready to run.

    Args:
        names: attacks; none: the KKT attacks.
        runs: runs an attack, hyperparameters drawn from the ranges that it declares; 1: its defaults.
        params: ``NAME=VALUE`` texts for every attack that has such a hyperparameter; controls keep their own.

    Raises:
        BenchError: an unknown attack, one of another track, or a hyperparameter that no attack has.
    """
    if not 1 <= runs <= 10_000:
        raise BenchError(f"--runs {runs}: not understood", expected="a number of runs, 1 to 10000", got=str(runs))
    given = dict(_param(text) for text in params)
    if names and set(names) <= set(CONTROLS):
        raise BenchError(
            f"--attack {' --attack '.join(names)}: no attack, but controls, which run beside any",
            expected="an attack",
            got=", ".join(names),
            hint="leave --attack out, or --attack haim_kkt",
        )
    planned, used = [], set()
    chosen = list(dict.fromkeys([*(names or ATTACKS), *CONTROLS]))
    for name in chosen:
        bare = prepare(AttackSpec(name=name, sweep=None))
        if bare.track != "reconstruction":
            raise BenchError(
                f"attack '{name}' is of the track {bare.track}, which attacks networks trained for it",
                expected="an attack of the track reconstruction",
                got=name,
                hint="python -m bench ls",
            )
        if bare.cls is None or bare.role == "control":
            planned.append(bare)
            continue
        own = {key: value for key, value in given.items() if key in hyperparameters(bare.cls)}
        used |= set(own)
        swept = runs > 1 and bool(set(bare.cls.ranges) - set(own))
        spec = AttackSpec(name=name, params=own, sweep=Sweep(runs=runs) if swept else None)
        ready = prepare(spec)
        planned.append(ready if swept or runs == 1 else dataclasses.replace(ready, instances=ready.instances * runs))
    every = sorted({field for one in planned if one.role == "attack" for field in hyperparameters(one.cls)})
    for key in given:
        if key not in used:
            raise BenchError(
                f"--param {key}: no attack here has such a hyperparameter.{did_you_mean(key, every)}",
                expected="one of " + ", ".join(every),
                got=key,
                hint="python -m bench info haim_kkt",
            )
    return planned


def attack(
    subject: Subject,
    planned: Sequence[PlannedAttack],
    *,
    seed: int = 0,
    memory_gib: float | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Report:
    """Runs what applies, one attack after another, and scores what comes back."""
    judged = []
    for one in planned:
        reason = unsuited(one, subject.release)
        if reason:
            say(f"{one.spec.name}: not run: {reason}")
            judged.append(Judgement(one.spec.name, None, role=one.role, reason=f"not run: {reason}"))
            continue
        began = time.perf_counter()
        if one.role == "attack":
            say(f"{one.spec.name}: running" + (f", {len(one.instances)} runs" if len(one.instances) > 1 else ""))
        try:
            candidates = _run(one, subject.release, seed, memory_gib, say)
        except Exception as error:  # an attack's fault is a line of the report, as it is a row of a grid
            say(f"{one.spec.name}: failed: {blame(error)}")
            judged.append(Judgement(one.spec.name, None, role=one.role, reason=f"failed: {blame(error)}", failed=True))
            continue
        seconds = time.perf_counter() - began
        runs = len(one.instances)
        if diverged(candidates):
            reason = "every run diverged, so there is nothing but the mean image to score; a smaller lr may help"
            say(f"{one.spec.name}: failed: {reason}")
            judged.append(Judgement(one.spec.name, None, role=one.role, reason=f"failed: {reason}", failed=True))
            continue
        say(f"{one.spec.name}: {len(candidates.images)} candidates" + (f" of {runs} runs" if runs > 1 else "") + f", {seconds:.1f} s")
        if subject.truth is None:
            judged.append(Judgement(one.spec.name, candidates, role=one.role, reason="nothing to score against", seconds=seconds))
        else:
            submit = 2 * subject.release.n_train
            found = judge(one.spec.name, candidates, subject.truth.secret, role=one.role, submit=submit, seconds=seconds)
            judged.append(dataclasses.replace(found, needs_kkt=one.cls is not None and one.cls.kkt))
    return Report(subject, tuple(judged))


def diverged(candidates: Candidates) -> bool:
    """Whether the attack itself says that none of its runs came to an end: no loss, and all confidences at the bottom."""
    return candidates.loss is None and candidates.confidence is not None and bool((candidates.confidence <= DIVERGED).all())


def _earlier(folder: Path) -> list[str]:
    """The files of the audit that a folder holds, its page and its numbers aside."""
    try:
        names = [one["attack"] for one in json.loads(regular.read(folder / "audit.json"))["attacks"]]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return []
    known = [name for name in names if name in registry.entries("attack")]
    return ["images.parquet", *(f"{name}{end}" for name in known for end in (".safetensors", ".png", "-members.png", "-controls.png"))]


def folder_for(checkpoint: str, under: Path) -> Path:
    """Where the audit of a checkpoint goes: by its name, and by its path too where another one of that name has been audited."""
    path = regular.path_of(checkpoint)
    plain = under / path.stem
    try:
        before = json.loads(regular.read(plain / "audit.json")).get("checkpoint", checkpoint)
        same = Path(before).expanduser().resolve() == path.resolve()
    except (OSError, ValueError, TypeError, AttributeError, RuntimeError):  # RecursionError is a RuntimeError
        return plain
    return plain if same else under / f"{path.stem}-{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}"


def write(report: Report, folder: Path, checkpoint: str) -> Path:
    """``audit.md`` with pictures, ``audit.json``, and of each attack the candidates (``NAME.safetensors``, float16) and a contact sheet.

    Returns:
        the page.

    Raises:
        BenchError: the folder cannot be written.
    """
    from safetensors.torch import save

    for name in _earlier(folder):  # what an earlier audit left there is not this one's; whatever else lies there is not ours to touch
        (folder / name).unlink(missing_ok=True)
    submit = 2 * report.subject.release.n_train
    lines = [
        f"# Audit of {escape(Path(checkpoint).name)}",
        "",
        escape(report.verdict.sentence(), 1000),
        "",
        *page.in_markdown(page.HEAD_MANY, page.many(report.judged)),
        "",
    ]
    lines += [f"- {escape(line)}" for line in described(report.subject)]
    lines += [f"- {one.name} {escape(one.reason)}" for one in report.judged if one.candidates is None]
    for one in report.judged:
        if one.candidates is None:
            continue
        tensors = {"images": one.candidates.images.half().contiguous()}
        tensors |= {} if one.candidates.confidence is None else {"confidence": one.candidates.confidence.float().contiguous()}
        atomic_write(folder / f"{one.name}.safetensors", save(tensors, metadata={"attack": one.name}))
        atomic_write(folder / f"{one.name}.png", pictures.sheet(one.candidates.images[:submit]))
        lines += ["", f"## {escape(one.name)}"]
        if report.subject.truth is not None:
            lines += page.strips(one, report.subject.truth.secret, folder)
        lines += ["", f"What was submitted, the first {min(pictures.MOST, submit)} at most:", "", f"![{escape(one.name)}]({one.name}.png)"]
    atomic_write(folder / "audit.md", ("\n".join(lines) + "\n").encode())
    page.write_json(as_json(report, checkpoint), folder / "audit.json")
    if report.subject.truth is not None:
        page.write_rows(report.judged, folder / "images.parquet")
    return folder / "audit.md"


def as_json(report: Report, checkpoint: str) -> dict[str, Any]:
    """All numbers of the report."""
    subject = report.subject
    attacks = [
        {"attack": one.name, "role": one.role, "reason": one.reason, "seconds_attack": round(one.seconds, 3)} | page.facts(one.row or {})
        for one in report.judged
    ]
    return {
        "checkpoint": checkpoint,
        "architecture": dataclasses.asdict(subject.release.architecture),
        "n_train": subject.release.n_train,
        **subject.facts,
        "notes": list(subject.notes),
        "attacks": attacks,
        "outcome": report.verdict.outcome,
        "verdict": report.verdict.sentence(),
    }


def described(subject: Subject) -> list[str]:
    """The network and its training images in a few lines, assumptions included."""
    a = subject.release.architecture
    widths = "-".join(map(str, [*(f"{c}c{a.kernel}" for c in a.channels), *a.hidden, a.outputs]))
    lines = [
        f"{a.model} {'x'.join(map(str, a.input_shape))}-{widths}, {a.activation}, bias {a.bias}, loss {a.loss}, "
        f"{subject.release.n_train} training images"
    ]
    if subject.facts:
        residual, correct = subject.facts.get("kkt_residual"), subject.facts["train_accuracy"]
        lines.append(
            f"at the members: accuracy {'not known' if correct is None else f'{correct:.1%}'}, KKT residual {number(residual, 3)} "
            "(0: a KKT point; 1: no nearer than zero multipliers, where no KKT attack can be expected to work)"
        )
    return lines + list(subject.notes)


def unsuited(planned: PlannedAttack, release: Release) -> str:
    """Why an attack is not run on a release; empty: it is."""
    if planned.cls is None:
        return planned.error
    missing = sorted(tier for tier in planned.needs if tier != "final_weights" and not hasattr(release, tier))
    if missing == ["public_images"]:
        return "needs other images of the same distribution; --dataset NAME brings them"
    if missing:
        return f"needs {', '.join(missing)}, which a checkpoint does not hold"
    return tracks.ungrantable("reconstruction", planned.needs) or str(planned.instances[0].unsupported(release.architecture))


def _run(
    planned: PlannedAttack, release: Release, seed: int, memory_gib: float | None, say: Callable[[str], None] = lambda text: None
) -> Candidates:
    """All runs of an attack, as many at once as fit, pooled; rounded to float16, as they are kept."""
    cls = planned.cls
    assert cls is not None
    print_ = reconstruction.fingerprint(reconstruction.narrow(release, planned.needs))
    each = max(1, planned.instances[0].memory(release))
    at_once = max(1, min(RUNS_AT_ONCE[release.device.type], budget(release.device, memory_gib) // each))

    def some(start: int, stop: int) -> list[Candidates]:
        runs = range(start, stop)
        releases = [reconstruction.narrow(release, planned.needs) for _ in runs]
        generators = [seeds.generator("audit", print_, planned.spec.name, seed, k) for k in runs]
        try:
            with restored():
                raw = cls.reconstruct_batch([planned.instances[k] for k in runs], releases, generators)
        except SystemExit as error:
            raise PluginExitError(f"the attack called sys.exit({error.code})") from error
        if stop < len(planned.instances):
            say(f"{planned.spec.name}: {stop} of {len(planned.instances)} runs")
        return [reconstruction.check_answer(answer, given) for answer, given in zip(raw, releases, strict=True)]

    answers = [answer for piece in in_pieces(some, len(planned.instances), at_once) for answer in piece]
    pooled = reconstruction.pool([a._replace(images=a.images.cpu().half().float(), confidence=_cpu(a.confidence)) for a in answers])
    return pooled if len(answers) > 1 else pooled._replace(run=None)


def _cpu(values: Tensor | None) -> Tensor | None:
    return None if values is None else values.cpu()


def _mean(asked: str, images: Tensor | None, shape: tuple[int, int, int], notes: list[str]) -> Tensor:
    """What the network subtracts from its input, c × h × w."""
    if asked == "none":
        return torch.zeros(shape)
    if asked not in ("", "members"):
        return read_mean(asked, shape)
    if images is not None:
        notes.append("mean image: that of the members, as the papers subtract it (--mean none: the network gets pixels as they are)")
        return images.mean(0)
    if asked == "members":
        raise BenchError("--mean members without members", expected="--members PATH, or --mean FILE")
    notes.append("mean image not known: 0.5 grey assumed, which costs an attacker some of what a better guess finds (--mean FILE)")
    return torch.full(shape, 0.5)


def _classifier(images: Tensor, labels: Tensor, mean: str) -> Callable[[Architecture, Mapping[str, Tensor]], Tensor]:
    """Says which of the members a network classifies correctly."""

    def classified(architecture: Architecture, weights: Mapping[str, Tensor]) -> Tensor:
        x = (images - _mean(mean, images, architecture.input_shape, [])).to(weights["layers.0.weight"])
        return predicted(bound_forward(architecture)(weights, x)) == labels

    return classified


def _at_members(read: Checkpoint, images: Tensor, labels: Tensor | None, centre: Tensor, notes: list[str]) -> Row:
    """Accuracy and KKT residual at the members."""
    x = images.to(centre) - centre
    out = bound_forward(read.architecture)(read.weights, x)
    classes = max(2, read.architecture.outputs)
    if labels is not None and int(labels.max()) >= classes:
        notes.append(f"labels up to {int(labels.max())} do not fit {classes} classes")
        labels = None
    if labels is None:
        notes.append("labels of the members not known: the network's own answers stand in for the KKT residual")
        labels = predicted(out)
        correct = None
    else:
        correct = float(accuracy(out, labels))
    if correct is not None and correct < LOW_ACCURACY:
        hint = (
            "the labels look swapped (--labels)"
            if classes == 2 and correct < 0.5
            else "is the mean, the activation, the order of the layers or that of the classes another?"
        )
        notes.append(f"only {correct:.0%} of the members are classified correctly: {hint}")
    residual, _ = kkt_residual(read.architecture, read.weights, x, labels)
    return {"train_accuracy": correct, "kkt_residual": residual}


def _param(text: str) -> tuple[str, Any]:
    name, equals, raw = text.partition("=")
    value = value_of(raw, f"--param {text}", f"--param '{name}=...'")
    if not equals or not name.strip() or value is None:
        raise BenchError(f"--param {text}: not understood", expected="name=value, as in --param steps=500", got=repr(text))
    if isinstance(value, float) and not math.isfinite(value):
        raise BenchError(f"--param {text}: not understood", expected="a finite number", got=raw, hint="--param lr=0.1")
    return name.strip(), value
