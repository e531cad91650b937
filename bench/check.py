"""The contract tests of a plug-in: what ``python -m bench check NAME|PATH`` runs, and the suite over the whole registry.

An attack is run on small networks, as the engine would run it: on narrowed copies, alone and in a batch. Its hyperparameters that cost time
(``QUICK``) are lowered, since only the form of the answer is judged here.
"""

from __future__ import annotations

import dataclasses
import gc
import inspect
import re
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
import torch
from torch import Tensor

from bench import registry, seeds, tracks
from bench.api import (
    Architecture,
    Attack,
    Candidates,
    Claim,
    DataSource,
    Defense,
    Metric,
    Release,
    Section,
    Setting,
    Tier,
    Track,
    TrackWork,
)
from bench.data.duplicates import hashes
from bench.data.split import largest_n_per_class, split
from bench.engine.faults import blame
from bench.errors import BenchError, did_you_mean
from bench.grids.load import builtin
from bench.metrics.measure import measure
from bench.report.claims import conditions
from bench.report.declarations import declared, faults
from bench.schema import columns, metrics
from bench.torch_state import TorchState, restored

QUICK = {"steps": 30, "shadows": 24, "epochs": 2, "queries": 24}  # hyperparameters that are lowered to these
MOVED = "a global generator moved, or a setting of PyTorch such as its default dtype: draw from the generator that is passed"
TOLERANCE = 1e-4  # between an answer alone and in a batch, in pixel values: stacked products round differently

ARCHITECTURES = (
    Architecture("mlp", (1, 8, 8), (16,), 1, "relu", "first", "bce"),
    Architecture("mlp", (3, 6, 6), (12, 8), 3, "relu", "first", "ce"),
    Architecture("mlp", (1, 8, 8), (16,), 1, "tanh", "first", "mse"),
    Architecture("mlp", (1, 5, 7), (9, 9, 9), 1, "leaky_relu", "none", "huber"),
    Architecture("mlp", (1, 8, 8), (16,), 2, "softplus", "all", "ce"),
    Architecture("cnn", (1, 9, 8), (8,), 1, "relu", "first", "bce", (4,), 3, "max"),
    Architecture("cnn", (3, 6, 6), (8,), 3, "relu", "first", "ce", (4,), 3, "stride"),
)


@dataclass(frozen=True)
class Outcome:
    """One contract test: what was tested, whether it held, and what came if not."""

    name: str
    ok: bool
    detail: str = ""


def check_plugin(what: str) -> Iterator[tuple[str, list[Outcome]]]:
    """The contract tests of every plug-in that a name or a file stands for: (title, outcomes).

    Raises:
        BenchError: an unknown name, or a file that registers nothing or cannot be imported.
    """
    if what.endswith(".py") or ("/" in what and ":" not in what):
        found = [(entry.kind, entry.name) for entry in registry.load_plugin(what)]
    else:
        head = what.partition(":")[0]
        kinds = registry.WORDS
        found = [(kind, what) for kind in kinds if head in registry.entries(kind)]
        if not found:
            known = [name for kind in kinds for name in registry.entries(kind)]
            raise BenchError(
                f"no plug-in is named '{what}'.{did_you_mean(what, known)}",
                expected="one of " + ", ".join(known) + ", or a path to a Python file",
                got=repr(what),
                hint="python -m bench ls",
            )
    for kind, name in found:
        if kind == "attack":
            yield f"attack {name}", check_attack(cast("type[Attack]", registry.get("attack", name)))
        elif kind == "defense":
            yield f"defence {name}", check_defense(cast("type[Defense]", registry.get("defense", name)))
        elif kind == "metric":
            yield f"metric {name}", check_metric(cast("type[Metric]", registry.get("metric", name)))
        elif kind == "track":
            yield f"track {name}", check_track(cast("type[Track]", registry.get("track", name)))
        elif kind == "section":
            yield f"section {name}", check_section(cast("type[Section]", registry.get("section", name)))
        else:
            yield f"data set {name}", check_data(name)


# ----------------------------------------------------------------------------------------------------------------- attacks


def check_attack(cls: type[Attack]) -> list[Outcome]:
    """The contract of an attack."""
    tests = _Tests()
    _check_class(cls, tests)
    tests.run("says where it is from: `paper`, or that it is its own", lambda: _need(bool(cls.paper), "paper is empty"))
    tests.run("role is attack or control", lambda: _need(cls.role in ("attack", "control"), f"role is {cls.role!r}"))
    tests.run("needs is a frozenset of access tiers that the track grants", lambda: _check_needs(cls))
    tests.run("a sweep can draw what it declares", lambda: _check_ranges(cls))
    tests.run("claims are of known grids, columns and hyperparameters, under names of their own", lambda: _check_claims(cls))
    attack = tests.run("can be made without arguments", cls)
    if attack is None or not dataclasses.is_dataclass(cls):
        return tests.outcomes
    if tests.run("unsupported() gives a text for every architecture", lambda: _check_unsupported(attack)) is None:
        return tests.outcomes
    applies = [a for a in ARCHITECTURES if not attack.unsupported(a)]
    if not applies:
        tests.add("applies to a test architecture", False, "none of " + "; ".join(map(str, ARCHITECTURES)))
        return tests.outcomes
    costs = {f.name for f in dataclasses.fields(cast(Any, attack))} & set(QUICK)
    attack = dataclasses.replace(cast(Any, attack), **{name: min(QUICK[name], getattr(attack, name)) for name in costs})
    dense, convolutional = ([a for a in applies if a.model == model] for model in ("mlp", "cnn"))
    runs = tracks.get(cls.track).models
    for architecture in (a for a in [*dense[:2], *convolutional[:1]] if a.model in runs):
        _check_runs(attack, architecture, tests)
    return tests.outcomes


def _check_claims(cls: type[Attack]) -> None:
    claims = cls.__dict__.get("claims", ())
    _need(isinstance(claims, tuple) and all(isinstance(claim, Claim) for claim in claims), "claims is no tuple of bench.api.Claim")
    everyone, _ = declared()
    taken = {one.claim.name: one.owner for one in everyone if one.owner != cls.name}
    names = [claim.name for claim in claims]
    beside = Path(inspect.getfile(cls)).parent  # a plug-in's own grid lies there
    for claim in claims:
        wrong = faults(claim)
        _need(not wrong, f"claim {claim.name!r}: {'; '.join(wrong)}")
        _need(names.count(claim.name) == 1, f"two claims are named {claim.name!r}")
        _need(claim.name not in taken, f"{taken.get(claim.name)} has a claim named {claim.name!r}")
        for grid in claim.grids:
            known = grid in builtin() or (beside / f"{grid}.yaml").is_file()
            _need(known, f"claim {claim.name!r}: no grid is named {grid!r}.{did_you_mean(grid, builtin())}")
        where, *sides = conditions(cls.name, claim)
        for part in (where, *sides):
            attacks = part.get("attack", where.get("attack", cls.name))
            for attack in attacks if isinstance(attacks, tuple) else (attacks,):
                owner = cls if attack == cls.name else registry.get("attack", attack)
                fields = {f.name for f in dataclasses.fields(cast(Any, owner))} if dataclasses.is_dataclass(owner) else set()
                for name in (key.removeprefix("param:") for key in part if key.startswith("param:")):
                    _need(name in fields, f"claim {claim.name!r}: {attack} has no hyperparameter {name!r}.{did_you_mean(name, fields)}")


def _check_ranges(cls: type[Attack]) -> None:
    """What a sweep may draw: hyperparameters of the attack, between bounds that its class accepts."""
    fields = [f.name for f in dataclasses.fields(cast(Any, cls)) if f.init]
    for name, bounds in cls.ranges.items():
        _need(name in fields, f"ranges: no hyperparameter is named {name!r}.{did_you_mean(name, fields)}")
        _need(isinstance(bounds, tuple) and len(bounds) == 3, f"ranges[{name!r}] is no (low, high, 'log' or 'linear')")
        low, high, scale = bounds
        _need(scale in ("log", "linear"), f"ranges[{name!r}] has the scale {scale!r}, which is neither 'log' nor 'linear'")
        _need(low <= high and (scale == "linear" or low > 0), f"ranges[{name!r}]: {low} to {high}, {scale}, is no range")
        cls(**{name: low}), cls(**{name: high})


def _check_needs(cls: type[Attack]) -> None:
    _need(isinstance(cls.needs, frozenset), f"needs is a {type(cls.needs).__name__}")
    unknown = sorted(set(cls.needs) - set(get_args(Tier)))
    _need(not unknown, f"unknown tiers {unknown}; known are {', '.join(get_args(Tier))}")
    reason = tracks.ungrantable(cls.track, cls.needs)
    _need(not reason, reason)


def _check_unsupported(attack: Attack) -> bool:
    for architecture in ARCHITECTURES:
        answer = attack.unsupported(architecture)
        _need(isinstance(answer, str), f"returned {answer!r} for {architecture}")
    return True


def _check_runs(attack: Attack, architecture: Architecture, tests: _Tests) -> None:
    """What a run must keep, on one architecture."""
    at = f" [{architecture.model}, {'x'.join(map(str, architecture.input_shape))}, {architecture.outputs} outputs]"
    cls = type(attack)
    track = tracks.get(cls.track).work
    narrow, check_answer, fingerprint = track.narrow, track.check_answer, track.fingerprint
    one, two = (track.example(architecture, k) for k in (1, 2))
    (release, members), (other, _) = one, two

    def alone(of: Release, stream: int) -> Any:
        mine = narrow(of, attack.needs)
        return check_answer(attack.reconstruct(mine, seeds.generator("check", stream)), mine)

    form = tracks.get(cls.track).answer
    first = tests.run(f"{form}{at}", lambda: alone(release, 1))
    if first is None:
        return
    if isinstance(first, Candidates):
        outside = float(((first.images < 0) | (first.images > 1)).float().mean())
        tests.add(f"pixel values in [0, 1]{at}", True, f"{outside:.1%} outside, which the score clips" if outside else "")

    def repeats() -> None:
        torch.manual_seed(99)  # a global generator in another state must change nothing
        again = alone(release, 1)
        _need(track.alike(first, again, 0.0), "the same generator gave another answer: draw from the generator that is passed, only")

    def pure() -> None:
        mine = narrow(release, attack.needs)
        before = fingerprint(mine)
        attack.reconstruct(mine, seeds.generator("check", 1))
        _need(fingerprint(mine) == before, "a tensor of the release changed: clone before writing")

    def global_state() -> None:
        before = _global_state()
        alone(release, 1)
        _need(_global_state() == before, MOVED)

    def batch() -> None:
        pairs = [(release, 1), (other, 2)]
        singles = [alone(r, k) for r, k in pairs]
        for order in (pairs, pairs[::-1]):
            mine = [narrow(r, attack.needs) for r, _ in order]
            generators = [seeds.generator("check", k) for _, k in order]
            answers = cls.reconstruct_batch([attack] * 2, mine, generators)
            _need(isinstance(answers, list | tuple) and len(answers) == 2, "expected a list with one answer a run")
            checked = [check_answer(a, r) for a, r in zip(answers, mine, strict=True)]
            wanted = singles if order is pairs else singles[::-1]
            for got, want in zip(checked, wanted, strict=True):
                _need(track.alike(got, want, TOLERANCE), "an answer in a batch differs from the same run alone")

    def blind() -> None:
        mine = narrow(release, attack.needs)
        for tensor in reachable_tensors(mine):
            _need(not holds_any(tensor, members), "the release that the attack gets holds a training image")

    tests.run(f"the same generator gives the same answer{at}", repeats)
    tests.run(f"leaves the release as it was{at}", pure)
    tests.run(f"leaves the global generators alone{at}", global_state)
    tests.run(f"a batch gives what single runs give, in any order{at}", batch)
    tests.run(f"is given no training image{at}", blind)


def reachable_tensors(root: object) -> list[Tensor]:
    """Every tensor and array that can be reached from an object: attributes, containers, closures, bound arguments.

    Modules, classes and the global names of functions are not followed: they hold the program, not what was handed over.
    """
    seen: set[int] = set()
    found: list[Tensor] = []
    stack: list[object] = [root]
    while stack:
        item = stack.pop()
        if id(item) in seen or isinstance(item, types.ModuleType | type | types.FrameType):
            continue
        seen.add(id(item))
        if isinstance(item, Tensor):
            found.append(item)
            if item.grad_fn is not None:
                stack.append(item.grad_fn)
            if item._base is not None:
                stack.append(item._base)
            continue
        if isinstance(item, np.ndarray):
            if item.dtype.kind in "fiub":
                found.append(torch.from_numpy(np.ascontiguousarray(item)))
            continue
        if isinstance(item, types.FunctionType):
            stack += [item.__closure__, item.__defaults__, item.__kwdefaults__, item.__dict__]
            continue
        stack += gc.get_referents(item)
    return found


def holds_any(tensor: Tensor, images: Tensor) -> bool:
    """Whether the tensor's storage, anywhere and in any order of dimensions, holds one of the images (or one less the images' mean)."""
    storage = tensor.detach().cpu()
    if storage.layout == torch.strided and storage.numel():
        storage = torch.empty(0, dtype=storage.dtype).set_(storage.untyped_storage())  # type: ignore[call-overload]
    flat = storage.reshape(-1).float()
    for reference in (images, images - images.mean(0)):
        for image in reference.reshape(len(reference), -1).float():
            if len(flat) < len(image):
                continue
            starts = (flat[: len(flat) - len(image) + 1] - image[0]).abs() < 1e-6
            for start in starts.nonzero().flatten().tolist():
                if torch.allclose(flat[start : start + len(image)], image, atol=1e-6):
                    return True
    return False


# ---------------------------------------------------------------------------------------------------------------- defences


def check_defense(cls: type[Defense]) -> list[Outcome]:
    """The contract of a defence."""
    tests = _Tests()
    _check_class(cls, tests)
    defense = tests.run("can be made without arguments", cls)
    if defense is None:
        return tests.outcomes
    architecture = ARCHITECTURES[1]
    release, images = tracks.get(tracks.DEFAULT).work.example(architecture, 1)
    labels = torch.arange(len(images)) % architecture.outputs

    def data(stream: int = 1) -> tuple[Tensor, Tensor]:
        return defense.before_training(images.clone(), labels.clone(), seeds.generator("check", stream))

    def weights(stream: int = 1) -> dict[str, Tensor]:
        copies = {name: w.clone() for name, w in release.weights.items()}
        return dict(defense.after_training(copies, seeds.generator("check", stream)))

    def data_kept() -> None:
        x, y = data()
        _need(x.shape[1:] == images.shape[1:], f"images of shape {tuple(x.shape[1:])}, not {tuple(images.shape[1:])}")
        _need(len(x) == len(y) and len(x) > 0, f"{len(x)} images and {len(y)} labels")
        _need(x.dtype == images.dtype and y.dtype == labels.dtype, f"dtypes {x.dtype}, {y.dtype}")
        _need(bool(torch.isfinite(x).all()), "images that are not finite")

    def weights_kept() -> None:
        got = weights()
        _need(set(got) == set(release.weights), f"weights named {sorted(got)}, not {sorted(release.weights)}")
        for name, w in release.weights.items():
            _need(got[name].shape == w.shape and got[name].dtype == w.dtype, f"{name}: {tuple(got[name].shape)} {got[name].dtype}")
            _need(bool(torch.isfinite(got[name]).all()), f"{name} is not finite")

    def repeats() -> None:
        (x, y), w = data(), weights()
        torch.manual_seed(99)
        (x2, y2), w2 = data(), weights()
        _need(torch.equal(x, x2) and torch.equal(y, y2), "the same generator gave other data")
        _need(all(torch.equal(w[name], w2[name]) for name in w), "the same generator gave other weights")

    def pure() -> None:
        x, y = images.clone(), labels.clone()
        defense.before_training(x, y, seeds.generator("check", 1))
        _need(torch.equal(x, images) and torch.equal(y, labels), "the images or labels that were passed changed: clone before writing")
        copies = {name: w.clone() for name, w in release.weights.items()}
        defense.after_training(copies, seeds.generator("check", 1))
        same = set(copies) == set(release.weights) and all(torch.equal(copies[name], release.weights[name]) for name in copies)
        _need(same, "the weights that were passed changed: clone before writing")

    def global_state() -> None:
        before = _global_state()
        data()
        weights()
        _need(_global_state() == before, MOVED)

    tests.run("before_training keeps the form of the data", data_kept)
    tests.run("after_training keeps names, shapes and dtypes of the weights", weights_kept)
    tests.run("the same generator gives the same result", repeats)
    tests.run("changes nothing in place", pure)
    tests.run("leaves the global generators alone", global_state)
    return tests.outcomes


# --------------------------------------------------------------------------------------------------------------- data sets


def check_metric(cls: type[Metric]) -> list[Outcome]:
    """The contract of a metric, on noise, flat images and near copies, grey and colour."""
    tests = _Tests()
    tests.run("has a docstring", lambda: _need(bool(cls.__doc__), "write one; its first line describes the columns"))
    tests.run("name is in snake_case", lambda: _need(bool(re.fullmatch(r"[a-z][a-z0-9_]*", cls.name)), f"name is {cls.name!r}"))
    found = tests.run("brings columns that the tables can hold", lambda: (columns("images"), columns("scores"), metrics())[2])
    if found is None:
        return tests.outcomes
    low, high = next(m.range for m in found if m.name == cls.name)
    high = float("inf") if high is None else high
    sign = 1 if cls.better == "higher" else -1

    def values(a: Tensor, b: Tensor) -> np.ndarray:
        return cast(np.ndarray, measure(a.clone(), b.clone())[cls.name])

    for shape in ((6, 1, 12, 10), (6, 3, 9, 13)):
        at = f" [{'x'.join(map(str, shape[1:]))}]"
        a = torch.rand(shape, generator=seeds.generator("check", "metric"))
        near = (a + 0.02 * torch.randn(shape, generator=seeds.generator("check", "near"))).clamp(0, 1)
        others = torch.cat([a[1:], torch.full((1, *shape[1:]), 0.5)])
        got = tests.run(f"gives a finite number a pair{at}", lambda a=a, b=others: values(a, b))  # type: ignore[misc]
        if not isinstance(got, np.ndarray):  # it failed, or cannot be had here
            continue

        def inside(got: np.ndarray = got) -> None:
            _need(bool((got >= low - 1e-6).all() and (got <= high + 1e-6).all()), f"{got.min():g} to {got.max():g}")

        def ordered(a: Tensor = a, near: Tensor = near, got: np.ndarray = got) -> None:
            same, close = values(a, a), values(a, near)
            _need(bool((sign * same >= sign * close - 1e-6).all()), f"{same.mean():g} for equal images, {close.mean():g} for near copies")
            _need(bool(sign * close.mean() > sign * got.mean()), f"{close.mean():g} for near copies, {got.mean():g} for other images")

        def alone(a: Tensor = a, b: Tensor = others, got: np.ndarray = got) -> None:
            single = [values(a[i : i + 1], b[i : i + 1])[0] for i in range(len(a))]
            _need(bool(np.allclose(single, got, rtol=1e-4, atol=1e-5)), "a pair alone has another value than among others")

        def pure(a: Tensor = a, b: Tensor = others) -> None:
            mine, state = (a.clone(), b.clone()), _global_state()
            measure(*mine)
            _need(torch.equal(a, mine[0]) and torch.equal(b, mine[1]), "an image changed: clone before writing")
            _need(_global_state() == state, MOVED)

        tests.run(f"stays inside its range{at}", inside)
        tests.run(f"puts equal images before near copies, and these before others{at}", ordered)
        tests.run(f"has the same value for a pair alone{at}", alone)
        tests.run(f"leaves images and global generators as they were{at}", pure)
    return tests.outcomes


def check_data(name: str) -> list[Outcome]:
    """The contract of a data set, by the name that a setting would use (with its path, where it takes one)."""
    tests = _Tests()
    cls = registry.get("data", name.partition(":")[0])
    tests.run("has a docstring", lambda: _need(bool(cls.__doc__), "write one"))
    tests.run("has a one-line summary", lambda: _need(bool(getattr(cls, "summary", "")), "summary = '...' is missing"))
    if getattr(cls, "takes_path", False) and ":" not in name:
        tests.add("loads", True, f"not tested: give a path, as in {name}:PATH")
        return tests.outcomes
    source: DataSource = registry.resolve_data(name)
    missing = tests.run("missing() gives a text", lambda: _text(source.missing()))
    if missing is None:
        return tests.outcomes
    if missing:
        tests.add("loads", True, f"not tested: {missing}")
        return tests.outcomes

    def digest() -> None:
        got = source.digest()
        _need(bool(re.fullmatch("[0-9a-f]{16}", got)), f"digest {got!r}, not 16 hex digits")
        _need(registry.resolve_data(name).digest() == got, "a second source of the same name gave another digest")

    tests.run("digest() is 16 hex digits, and stable", digest)
    images = tests.run("loads", source.load)
    if images is None:
        return tests.outcomes

    def form() -> None:
        for part in (images.images, images.test_images):
            if part is None:
                continue
            _need(part.dtype in (np.float32, np.uint8) and part.ndim == 4, f"images {part.dtype}, {part.ndim} dimensions")
            if part.dtype == np.float32:
                _need(bool(np.isfinite(part).all()), "images that are not finite")
                _need(float(part.min()) >= 0 and float(part.max()) <= 1, "pixel values outside [0, 1]")
        _need(images.labels.dtype == np.int64 and len(images.labels) == len(images.images), f"labels {images.labels.dtype}")
        _need(set(np.unique(images.labels)) <= set(range(len(images.class_names))), "labels beyond the class names")
        shape = tuple(source.image_shape())
        _need(shape == images.images.shape[1:], f"image_shape() says {shape}")

    def distinct() -> None:
        found = hashes(images.images)
        _need(len(set(found)) == len(found), f"{len(found) - len(set(found))} images stand twice")

    tests.run("images are n×c×h×w, float32 in [0, 1] or uint8 in 0..255; labels are int64", form)
    tests.run("no image stands twice", distinct)
    for classes, loss in (("binary", "bce"), (2, "ce")):
        if classes == "binary" and not images.positive:
            continue
        tests.run(f"splits are disjoint and alike ({classes})", lambda c=classes, s=loss: _check_split(images, name, c, s))  # type: ignore[misc]
    return tests.outcomes


def _check_split(images: Any, name: str, classes: Any, loss: str) -> None:
    setting = Setting.model_validate({"dataset": name, "classes": classes, "loss": loss, "n_per_class": 1})
    most = largest_n_per_class(images, setting)
    _need(most >= 1, "too few images for a single one a class")
    setting = setting.model_copy(update={"n_per_class": min(5, most)})
    parts = split(images, setting)
    _need(parts.train.shape == parts.control.shape, "members and controls differ in number")
    _need(bool((np.bincount(parts.train_labels) == np.bincount(parts.control_labels)).all()), "members and controls differ in classes")
    every = [h for part in (parts.train, parts.control, parts.test, parts.public) for h in hashes(part)]
    _need(len(set(every)) == len(every), "one image stands in two parts")
    again = split(images, setting)
    _need(np.array_equal(again.train, parts.train), "the same setting was split otherwise")


# ---------------------------------------------------------------------------------------------------------------- testing


class _Tests:
    """Runs tests one by one; one that raises is a failure with its message, and the others still run."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []

    def add(self, name: str, ok: bool, detail: str = "") -> None:
        self.outcomes.append(Outcome(name, ok, detail))

    def run(self, name: str, test: Callable[[], Any]) -> Any:
        """What the test returns (True for nothing), or None if it failed."""
        state = torch.get_rng_state()
        try:
            with restored():
                result = test()
        except (Exception, SystemExit) as error:
            self.add(name, False, str(error) if isinstance(error, _BrokenError) else blame(error))
            return None
        finally:
            torch.set_rng_state(state)
        self.add(name, True)
        return True if result is None else result


class _BrokenError(Exception):
    """A contract that does not hold."""


def _need(holds: bool, otherwise: str) -> None:
    if not holds:
        raise _BrokenError(otherwise)


def _text(value: object) -> str:
    _need(isinstance(value, str), f"returned {value!r}")
    return str(value)


# ------------------------------------------------------------------------------------------------------- tracks and sections


def check_track(cls: type[Track]) -> list[Outcome]:
    """The contract of a track: what the engine, the tables and the pages ask of it. What it does with answers, its attacks show."""
    tests = _Tests()
    tests.run("name is in snake_case", lambda: _need(bool(re.fullmatch(r"[a-z][a-z0-9_]*", cls.name)), f"name is {cls.name!r}"))
    unknown = sorted(cls.tiers - set(get_args(Tier)))
    tests.run(
        "grants access tiers that exist", lambda: _need(bool(cls.tiers) and not unknown, f"unknown: {', '.join(unknown) or 'none granted'}")
    )
    track = tests.run("can be made without arguments", cls)
    if track is None or tests.run("brings columns that the tables can hold", lambda: (columns("images"), columns("scores"))) is None:
        return tests.outcomes

    def headline() -> None:
        head, known = cls.headline, {column.name for column in columns("scores")}
        shares = [share for share in (head.share, head.less) if share is not None]
        wanted = [head.column, *(name for share in shares for name in (share.column, *share.of))]
        _need(not (missing := [name for name in wanted if name not in known]), f"no score columns: {', '.join(missing)}")
        _need(head.low <= head.chance < head.high, f"chance {head.chance:g} lies outside its range [{head.low:g}, {head.high:g}]")

    def release() -> None:
        whole, _ = track.work.example(ARCHITECTURES[0], 1)
        mine = track.work.narrow(whole, cls.tiers)
        _need(track.work.fingerprint(mine) == track.work.fingerprint(mine), "the same release has two fingerprints")

    def sections() -> None:
        own = list(track.sections())
        _need(all(isinstance(section, Section) for section in own), "not all of them are a bench.api.Section")
        _need(len({section.name for section in own}) == len(own), "two sections have one name")

    known = {column.name for column in columns("images")}
    hidden = sorted((cls.unpublished | cls.unpublished_of_controls) - known)
    tests.run("what it leaves unpublished are columns of image rows", lambda: _need(not hidden, f"no such column: {', '.join(hidden)}"))
    tests.run("its headline is made of score columns", headline)
    tests.run("has what the engine calls (bench.api.TrackWork)", lambda: _need(isinstance(track.work, TrackWork), "a function is missing"))
    tests.run("its example can be narrowed to what it grants", release)
    tests.run("its sections of a page have names of their own", sections)
    return tests.outcomes


def check_section(cls: type[Section]) -> list[Outcome]:
    """The contract of a section of a page, as far as it can be told without rows."""
    tests = _Tests()
    tests.run("name is in snake_case", lambda: _need(bool(re.fullmatch(r"[a-z][a-z0-9_]*", cls.name)), f"name is {cls.name!r}"))
    tests.run("can be made without arguments", cls)
    tests.run("place is top, part or end", lambda: _need(cls.place in ("top", "part", "end"), f"place is {cls.place!r}"))
    strangers = sorted(cls.tracks - set(tracks.names()))
    tests.run("is about tracks that exist", lambda: _need(not strangers, f"unknown: {', '.join(strangers)}"))
    proper = isinstance(cls.pictures, tuple) and all(re.fullmatch(r"[a-z][a-z0-9_]*", kind) for kind in cls.pictures)
    tests.run("pictures are kinds in snake_case", lambda: _need(proper, f"pictures is {cls.pictures!r}"))
    return tests.outcomes


def _check_class(cls: type, tests: _Tests) -> None:
    """What attacks and defences have in common."""
    name = getattr(cls, "name", "")
    own = cls.__doc__ if not (cls.__doc__ or "").startswith(f"{cls.__name__}(") else ""  # dataclasses write one of their own
    tests.run("has a docstring", lambda: _need(bool(own), "write what it does, in one line at least"))
    tests.run("name is in snake_case", lambda: _need(bool(re.fullmatch(r"[a-z][a-z0-9_]*", name)), f"name is {name!r}"))
    frozen = dataclasses.is_dataclass(cls) and cls.__dataclass_params__.frozen  # type: ignore[attr-defined]
    tests.run("is a frozen dataclass", lambda: _need(bool(frozen), "decorate it with @dataclass(frozen=True), below @register"))


def _global_state() -> tuple[Any, ...]:
    """PyTorch's settings, and the state of its and NumPy's global generators. (Python's own is also drawn from by type checkers, so it says
    nothing.)"""
    numpy_state: Sequence[Any] = cast(Any, np.random.get_state())
    return TorchState.now(), torch.get_rng_state().numpy().tobytes(), numpy_state[1].tobytes() + bytes(str(numpy_state[2]), "ascii")
