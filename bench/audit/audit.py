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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from bench import registry, regular, seeds, tracks
from bench.api import DIVERGED, Candidates
from bench.artefacts import pictures
from bench.audit import page
from bench.audit.document import document
from bench.audit.legends import COLUMNS
from bench.audit.positive import positive_control
from bench.audit.premises import Premise
from bench.audit.report import Report
from bench.audit.scoring import Judgement, judge
from bench.audit.stages import TRAINING, Stages
from bench.audit.subject import ON_FEATURES, Subject, described, subject_of
from bench.audit.verdict import NO_LEAK
from bench.audit.work import shortened
from bench.engine.prepare import PlannedAttack, hyperparameters, prepare
from bench.engine.stacks import RUNS_AT_ONCE
from bench.errors import BenchError, did_you_mean
from bench.faults import PluginExitError, blame
from bench.grids.model import AttackSpec, Sweep
from bench.grids.syntax import value_of
from bench.memory import budget, in_pieces
from bench.report.kit.text import escape, folded
from bench.store import atomic_write
from bench.torch_state import restored
from bench.tracks.reconstruction import Release
from bench.tracks.reconstruction import work as reconstruction

__all__ = ["ATTACKS", "CONTROLS", "Report", "Subject", "attack", "described", "plan", "subject_of", "write"]

ATTACKS = (  # unless others are named
    "span_ica_change", "span_ica", "span_features_change", "span_features", "haim_kkt", "multiclass_kkt", "regression_kkt", "signed_kkt",
)  # fmt: skip
PREMISES = {  # of attacks that read a span
    "span_ica": "span", "span_ica_change": "change", "span_features": "features", "span_features_change": "features_change",
}  # fmt: skip
CONTROLS = ("mean_image", "heldout_images", "first_layer_weights", "model_inversion")  # beside any attack


def plan(names: Sequence[str], runs: int, params: Sequence[str]) -> list[PlannedAttack]:
    """The attacks and the controls, ready to run.

    Args:
        names: attacks; none: ``ATTACKS``.
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
    positive: bool = True,
    stages: Stages | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Report:
    """Runs what applies, one attack after another, scores what comes back, and where nothing did runs it on the positive control.

    Args:
        positive: whether a positive control is trained and attacked, where the verdict hangs on it.
        stages: is told how far it is.
    """
    stages = stages or Stages()
    for one in planned:
        if subject.without(one.spec.name) or unsuited(one, subject.for_attack(one.spec.name)):
            stages.drop(one.spec.name)
    judged = []
    for one in planned:
        stages.begin(one.spec.name)
        judged.append(_attacked(one, subject, seed, memory_gib, say))
    report = Report(subject, tuple(judged))
    if not positive or report.verdict.outcome != NO_LEAK:
        return report
    stages.begin(TRAINING)
    say("positive control: training a network of the same form on the controls")
    able = {one.name for one in judged if one.role == "attack" and one.row is not None and (one.premise is None or one.premise.holds)}
    control = positive_control(subject, seed, say, features=bool(able & ON_FEATURES))
    if control is None:
        return report
    again = tuple(_attacked(one, control, seed, memory_gib, say, "positive control: ") for one in planned if one.spec.name in able)
    return dataclasses.replace(report, positive=again)


def _attacked(
    one: PlannedAttack, subject: Subject, seed: int, memory_gib: float | None, say: Callable[[str], None], where: str = ""
) -> Judgement:
    """What one attack comes to."""
    name = one.spec.name
    release = subject.for_attack(name)
    reason = subject.without(name) or unsuited(one, release)
    if reason:
        say(f"{where}{name}: not run: {reason}")
        return Judgement(name, None, role=one.role, reason=f"not run: {reason}")
    shorter = ""
    if subject.trial is not None and release is subject.release and release.architecture.model != "mlp":
        one, shorter = shortened(one, subject.trial.reading, release.n_train)
    began = time.perf_counter()
    if one.role == "attack":
        say(
            f"{where}{name}: running"
            + (f", {len(one.instances)} runs" if len(one.instances) > 1 else "")
            + (f", {shorter}" if shorter else "")
        )
    try:
        candidates = _run(one, release, seed, memory_gib, say)
    except Exception as error:  # an attack's fault is a line of the report, as it is a row of a grid
        say(f"{where}{name}: failed: {blame(error)}")
        return Judgement(name, None, role=one.role, reason=f"failed: {blame(error)}", failed=True)
    seconds = time.perf_counter() - began
    runs = len(one.instances)
    if diverged(candidates):
        reason = "every run diverged, so there is nothing but the mean image to score; a smaller lr may help"
        say(f"{where}{name}: failed: {reason}")
        return Judgement(name, None, role=one.role, reason=f"failed: {reason}", failed=True)
    say(f"{where}{name}: {len(candidates.images)} candidates" + (f" of {runs} runs" if runs > 1 else "") + f", {seconds:.1f} s")
    if subject.truth is None:
        return Judgement(name, candidates, role=one.role, reason="nothing to score against", seconds=seconds)
    found = judge(name, candidates, subject.truth.secret, role=one.role, submit=2 * release.n_train, seconds=seconds)
    return dataclasses.replace(found, premise=premise_of(one, subject))


def premise_of(planned: PlannedAttack, subject: Subject) -> Premise | None:
    """What the attack rests on, where that is known and was measured."""
    name = planned.spec.name
    if name in PREMISES:
        return subject.premises.get(PREMISES[name])
    if planned.cls is None or not planned.cls.kkt:
        return None
    return subject.premises.get("signed" if name in ("regression_kkt", "signed_kkt") else "kkt")


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
    """``audit.html``, all in one file; ``audit.md`` with pictures, ``audit.json``, and of each attack the candidates
    (``NAME.safetensors``, float16) and a contact sheet.

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
        *folded("What the columns mean", [f"- **{name}**: {what} {how}" for name, (what, how) in COLUMNS.items()]),
        "",
    ]
    lines += [f"- {escape(line)}" for line in described(report.subject)]
    lines += [f"- {escape(line)}" for line in page.missed(report.judged)]
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
    atomic_write(folder / "audit.html", document(report, Path(checkpoint).name).encode())
    page.write_json(as_json(report, checkpoint), folder / "audit.json")
    if report.subject.truth is not None:
        page.write_rows(report.judged, folder / "images.parquet")
    return folder / "audit.html"


def as_json(report: Report, checkpoint: str) -> dict[str, Any]:
    """All numbers of the report."""
    subject = report.subject
    attacks = [
        {"attack": one.name, "role": one.role, "reason": one.reason, "seconds_attack": round(one.seconds, 3)} | page.facts(one)
        for one in report.judged
    ]
    return {
        "checkpoint": checkpoint,
        "architecture": dataclasses.asdict(subject.release.architecture),
        "n_train": subject.release.n_train,
        **subject.facts,
        "notes": list(subject.notes),
        "attacks": attacks,
        "premises": {name: {"words": one.words, "holds": one.holds} for name, one in subject.premises.items()},
        "positive_control": None
        if report.positive is None
        else [{"attack": one.name, "reason": one.reason} | page.facts(one) for one in report.positive],
        "outcome": report.verdict.outcome,
        "verdict": report.verdict.sentence(),
    }


def unsuited(planned: PlannedAttack, release: Release) -> str:
    """Why an attack is not run on a release; empty: it is."""
    if planned.cls is None:
        return planned.error
    missing = sorted(tier for tier in planned.needs if tier != "final_weights" and not hasattr(release, tier))
    if missing == ["public_images"]:
        return "needs other images of the same distribution; --dataset NAME brings them"
    if missing:
        more = "; --initial FILE brings them" if missing == ["initial_weights"] else ""
        return f"needs {', '.join(missing)}, which a checkpoint does not hold{more}"
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


def _param(text: str) -> tuple[str, Any]:
    name, equals, raw = text.partition("=")
    value = value_of(raw, f"--param {text}", f"--param '{name}=...'")
    if not equals or not name.strip() or value is None:
        raise BenchError(f"--param {text}: not understood", expected="name=value, as in --param steps=500", got=repr(text))
    if isinstance(value, float) and not math.isfinite(value):
        raise BenchError(f"--param {text}: not understood", expected="a finite number", got=raw, hint="--param lr=0.1")
    return name.strip(), value
