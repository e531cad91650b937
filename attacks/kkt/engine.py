"""Many KKT runs of one shape, stacked and stepped together.

A run is one attack (its hyperparameters) on one release with one generator. Runs that share architecture, number of candidates, steps,
precision and subspace rank are stacked along a leading dimension and stepped by SGD with momentum, each with its own learning rates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from attacks.kkt.box import Dense, Lazy
from attacks.kkt.gradient import kkt_gradient, multiplier_gradient, prior_gradient
from attacks.kkt.mask import Mask, checked, layer_indices, one_run, parameter_weights
from attacks.kkt.objective import Kind, kkt_loss_general, stacks
from attacks.kkt.optimizers import OPTIMIZERS
from attacks.kkt.rounding import products
from attacks.kkt.shallow import Shallow, fits
from attacks.kkt.subspace import row_space
from bench.api import DIVERGED, Architecture, Attack, Candidates, Objective
from bench.capture import captured, repeat
from bench.tracks.reconstruction import Release

FIRST = "layers.0.weight"
OURS = "bench.targets.models"  # where the forward function of our own targets is; it reads nothing back
DTYPES = ("float32", "float64", "bfloat16")
TEMPERS = 10  # values of the sharpness, from alpha to alpha_end
DERIVATIVES, GRADIENTS = 13, 6  # copies of all activations, and of the weights, that a step through autograd holds at its peak


@dataclass(frozen=True)
class KKTAttack(Attack):
    """The hyperparameters that the KKT attacks share. Defaults: the authors' good setting for small targets."""

    kind: ClassVar[Kind]
    needs: ClassVar[frozenset[str]] = frozenset({"final_weights", "mean_image"})
    kkt: ClassVar[bool] = True
    # of the random search of Haim et al. 2022 (their sweep files); lr_lambda stayed at 1e-4 there
    ranges: ClassVar[Mapping[str, tuple[float, float, str]]] = {
        "sigma": (1e-6, 0.1, "log"),
        "lr": (1e-5, 1.0, "log"),
        "min_lambda": (0.01, 0.5, "linear"),
        "alpha": (10.0, 500.0, "linear"),
    }
    goes_by: ClassVar[Objective] = Objective("share of the weights left unexplained", "lower")
    budget: ClassVar[str] = "steps"

    steps: int = 2500  # SGD steps; the papers run 50 000
    sigma: float = 8.9e-4  # std of the initial candidates, in centred pixels
    lr: float = 0.555  # learning rate of the candidates
    lr_lambda: float = 1e-4  # learning rate of the multipliers
    min_lambda: float = 0.498  # multipliers below it are penalised (not for regression)
    alpha: float = 19.1  # sharpness of the surrogate slope of kinked activations
    alpha_end: float | None = None  # it rises to this in TEMPERS geometric steps; None: it stays
    optimizer: str = "sgd"  # sgd: the papers' own | adam: with a cosine schedule; settings in `optimizers`
    momentum: float = 0.9
    candidates_per_image: int = 2  # m = 2n in the papers
    subspace: str | int = (
        "auto"  # auto | images | rows | none | RANK, of an mlp's first layer; through convolutions the search is always in pixels
    )
    dtype: str = "float32"  # on a GPU through TF32 | float64 | bfloat16: float32 whose products round to it, on a CPU that can
    path: str = "auto"  # auto: closed form for an mlp, autograd for other networks | general: autograd

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"optimizer is one of {', '.join(OPTIMIZERS)}, not {self.optimizer!r}")
        if self.path not in ("auto", "general"):
            raise ValueError(f"path is auto or general, not {self.path!r}")
        if self.subspace not in ("auto", "images", "rows", "none") and not str(self.subspace).isdigit():
            raise ValueError(f"subspace is auto, images, rows, none or a number of directions, not {self.subspace!r}")
        if self.candidates_per_image < 1 or self.steps < 0:
            raise ValueError(f"candidates_per_image is 1 or more and steps 0 or more, not {self.candidates_per_image} and {self.steps}")
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype is one of {', '.join(DTYPES)}, not {self.dtype!r}")

    def unsupported(self, architecture: Architecture) -> str:
        return ""

    def start(
        self, m: int, r: int, architecture: Architecture, generator: torch.Generator
    ) -> tuple[Float[Tensor, "m r"], Float[Tensor, " _"]]:
        """Hook: the candidates, in the r dimensions of the search, and their multipliers at the start; float64."""
        x = torch.randn(m, r, generator=generator, dtype=torch.float64) * self.sigma
        draw = torch.randn if self.kind == "regression" else torch.rand
        return x, draw(m, generator=generator, dtype=torch.float64)

    def sought(self, release: Release) -> Mapping[str, Tensor]:
        """Hook: what the gradients are to add up to, by layer. Here the weights themselves."""
        return release.weights

    def informative(self, release: Release, generator: torch.Generator) -> Mask | None:
        """Hook for attacks that listen to some parameters more than to others: weights on the residual, or None for all alike.

        Returns:
            layer → (row weights, column weights), each Float[Tensor, "out"] and Float[Tensor, "in"], ≥ 0, or None for ones.

        Args:
            generator: has drawn the run's start already, so that a run with a mask begins where the run without it does.
        """
        return None

    def starts(self, release: Release, labels: Int[Tensor, " m"], generator: torch.Generator) -> Float[Tensor, "m c h w"] | None:
        """Hook for attacks that begin at images, one a candidate, in [0, 1]; None: at noise. What of them lies outside the row space no
        gradient reaches, and stays. Called last of all that draws."""
        return None

    def memory(self, release: Release) -> int:
        """In closed form about twelve tensors of candidates × width a layer, six of candidates × dimensions of the search, three copies of
        the weights. Through autograd, with what it keeps between the two derivatives, DERIVATIVES tensors of all activations and GRADIENTS
        of the weights."""
        m, architecture = self.candidates_per_image * release.n_train, release.architecture
        pixels, weights = math.prod(architecture.input_shape), sum(w.numel() for w in release.weights.values())
        if self._closed(architecture):
            first = release.weights[FIRST]
            r = self._dimensions(first, release.n_train)
            set_up = 0 if r == pixels else first.numel() + (m + r) * pixels  # the whole first layer, the basis, and the answer's pixels
            numbers = m * (12 * sum(architecture.hidden) + 6 * r) + 3 * (weights - first.numel() + len(first) * r) + set_up
        else:
            numbers = m * (DERIVATIVES * _activations(release) + 12 * pixels) + GRADIENTS * weights
        return numbers * (8 if self.dtype == "float64" else 4)

    def _dimensions(self, first: Tensor, images: int) -> int:
        """Of the search, at most, as `row_space` will find them; ``auto`` may find that it needs all pixels."""
        units, pixels = first.shape
        if self.subspace in ("none", "auto"):
            return pixels
        if self.subspace == "rows":
            return min(units, pixels)
        rank = images if self.subspace == "images" else int(self.subspace)
        return rank if rank < min(units, pixels) else pixels

    def _closed(self, architecture: Architecture) -> bool:
        """Whether the equations are solved in closed form."""
        return architecture.model == "mlp" and self.path != "general"

    def reconstruct(self, release: Release, generator: torch.Generator) -> Candidates:
        return self.reconstruct_batch([self], [release], [generator])[0]

    @classmethod
    def reconstruct_batch(
        cls, attacks: Sequence[KKTAttack], releases: Sequence[Release], generators: Sequence[torch.Generator]
    ) -> list[Candidates]:
        runs: list[_Run] = []
        for attack, release, generator in zip(attacks, releases, generators, strict=True):
            runs.append(_Run(attack, release, generator, runs[-1] if runs else None))
        stacks: dict[object, list[_Run]] = {}
        for run in runs:
            stacks.setdefault(run.shape(), []).append(run)
        for stack in stacks.values():
            _solve(stack)
        return [run.answer for run in runs]


class _Run:
    """One run: its start (drawn on the CPU, so that every device starts alike) and, once solved, its answer."""

    answer: Candidates

    def __init__(self, attack: KKTAttack, release: Release, generator: torch.Generator, before: _Run | None = None) -> None:
        self.attack, self.release = attack, release
        self.dtype = torch.float64 if attack.dtype == "float64" else torch.float32
        architecture = release.architecture
        self.closed = attack._closed(architecture)
        self.m = attack.candidates_per_image * release.n_train
        self.d = math.prod(architecture.input_shape)
        self.basis = None
        # the runs of a sweep follow each other on copies of one release: prepare it once
        again = before is not None and type(before.attack) is type(attack) and _same(before.release, release)
        self.sought: Mapping[str, Tensor] = before.sought if before is not None and again else attack.sought(release)
        if before is not None and again and before.attack.subspace == attack.subspace:
            self.basis = before.basis
        elif self.closed:
            self.basis = row_space(self.sought[FIRST], release.n_train, attack.subspace)
        self.r = self.d if self.basis is None else self.basis.shape[1]
        classes = max(architecture.outputs, 2)
        self.labels = (torch.arange(self.m) * classes) // self.m  # every class alike, as the papers set them
        self.x, self.lam = attack.start(self.m, self.r, architecture, generator)
        self.mask = checked(attack.informative(release, generator), release.weights, reduced=self.basis is not None)
        self.starts = attack.starts(release, self.labels, generator)
        if self.starts is not None:
            self.beside = (self.starts - release.mean_image).flatten(1).double()
            self.x = self.beside.cpu() if self.basis is None else self.beside.cpu() @ self.basis.cpu().double()
            self.beside = self.beside - (self.x if self.basis is None else self.x @ self.basis.cpu().double().mT).to(self.beside)

    def shape(self) -> tuple[object, ...]:
        """Runs that share it can be stacked."""
        return (
            self.release.architecture,
            self.m,
            self.r,
            self.basis is None,
            self.attack.steps,
            self.attack.optimizer,
            self.attack.alpha_end is None,
            self.attack.dtype,
            self.closed,
            self.mask if self.mask is None else tuple((k, *(w is not None for w in self.mask[k])) for k in sorted(self.mask)),
        )


def _same(one: Release, other: Release) -> bool:
    """Whether two releases are copies of one."""
    theirs = dict(other.tensors())
    return one.n_train == other.n_train and all(torch.equal(tensor, theirs[name]) for name, tensor in one.tensors())


def _activations(release: Release) -> int:
    """How many numbers the activation function makes of one image, by counting them."""
    counted: list[int] = []

    def count(z: Tensor) -> Tensor:
        counted.append(z.numel())
        return z

    weights = {key: w.detach() for key, w in release.weights.items()}
    like = next(iter(weights.values()))
    forward: Callable[..., Tensor] = release.forward
    with torch.no_grad():
        forward(weights, like.new_zeros(1, *release.architecture.input_shape), count)
    return sum(counted)


def _solve(runs: list[_Run]) -> None:
    """Steps a stack to the end and writes each run's answer."""
    first = runs[0]
    kind, architecture = first.attack.kind, first.release.architecture
    device, dtype = first.release.device, first.dtype

    def stacked(values: list[Tensor]) -> Tensor:
        return torch.stack([v.to(device, dtype) for v in values])

    def column(name: str, dims: int) -> Tensor:
        return torch.tensor([getattr(r.attack, name) for r in runs], device=device, dtype=dtype).view(-1, *[1] * (dims - 1))

    x, lam = stacked([r.x for r in runs]), stacked([r.lam for r in runs])
    labels = torch.stack([r.labels for r in runs]).to(device)
    alpha, min_lambda = column("alpha", 3), column("min_lambda", 2)
    bases = _shared_bases(runs, device, dtype)

    def network(of: list[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """The runs' weights, or what is of their shapes, the first layer in the runs' bases."""
        tensors = {key: stacked([w[key] for w in of]) for key in of[0] if not bases or key != FIRST}
        if bases:  # once for the runs that share a basis: they attack one first layer
            reduced = {id(basis): w[FIRST].to(device, dtype) @ basis for w, basis in zip(of, bases, strict=True)}
            tensors[FIRST] = torch.stack([reduced[id(basis)] for basis in bases])
        return {key: w.unsqueeze(1) if key.endswith("bias") else w for key, w in tensors.items()}

    weights = network([r.release.weights for r in runs])
    sought = None if first.sought is first.release.weights else network([r.sought for r in runs])
    mask: Mask | None = None
    if first.mask is not None:
        mask = {layer: (_stacked_weights(runs, layer, 0, x), _stacked_weights(runs, layer, 1, x)) for layer in first.mask}

    scratch: dict[str, Tensor] = {}
    shallow = None
    if first.closed and fits(kind, weights, first.m):
        shallow = Shallow(kind, architecture.activation, weights, labels, alpha, x, mask, sought)
    general = None if first.closed else _General(runs, weights, labels, alpha, mask, sought)
    ours = all(getattr(getattr(r.release.forward, "func", None), "__module__", "") == OURS for r in runs)

    def gradient(want_loss: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """L_KKT of each run, and its gradients by x and λ."""
        if shallow is not None:
            return shallow(x, lam, want_loss)
        if first.closed:
            return kkt_gradient(kind, architecture.activation, weights, x, lam, labels, alpha, want_loss, mask, scratch, sought)
        assert general is not None
        return general(x, lam)

    box = None if not bases else Dense(bases) if captured(device) else Lazy(bases, x)
    rates = column("lr", 2), column("lr_lambda", 2), column("momentum", 2)
    optimizer = OPTIMIZERS[first.attack.optimizer](x, lam, *rates, first.attack.steps)

    def step() -> None:
        _, grad_x, grad_lam = gradient()
        if box is None:
            by_x, by_lam = prior_gradient(kind, x, lam, min_lambda)
            grad_x += by_x
        else:
            by_lam = multiplier_gradient(kind, lam, min_lambda)
            box.add_to(grad_x, x)
        if by_lam is not None:
            grad_lam += by_lam
        optimizer.step(grad_x, grad_lam)

    if first.attack.alpha_end is None:
        sharper = [alpha]
    else:
        sharper = [alpha * (column("alpha_end", 3) / alpha) ** (i / (TEMPERS - 1)) for i in range(TEMPERS)]
    with products(device, first.attack.dtype):
        for i, value in enumerate(sharper):
            alpha.copy_(value)
            if shallow is not None and i > 0:
                shallow.sharpen()
            times = first.attack.steps * (i + 1) // len(sharper) - first.attack.steps * i // len(sharper)
            if first.closed or ours:
                repeat(step, times, device, alone=len(runs) == 1)
            else:  # what a forward function of others does from step to step is not known: no capture
                for _ in range(times):
                    step()
    losses = gradient(want_loss=True)[0].tolist()
    for i, run in enumerate(runs):
        run.answer = _answer(run, x[i] @ bases[i].mT if bases else x[i], lam[i], losses[i])


def _shared_bases(runs: list[_Run], device: torch.device, dtype: torch.dtype) -> list[Tensor]:
    """The runs' bases where they are needed, one tensor for runs that share it; empty in all pixels."""
    moved: dict[int, Tensor] = {}
    for basis in (run.basis for run in runs):
        if basis is not None and id(basis) not in moved:
            moved[id(basis)] = basis.to(device, dtype)
    return [moved[id(run.basis)] for run in runs if run.basis is not None]


def _stacked_weights(runs: list[_Run], layer: int, side: int, like: Tensor) -> Tensor | None:
    """The row (side 0) or column weights of a layer, of all runs; all have them or none has."""
    own = [run.mask[layer][side] for run in runs if run.mask is not None]
    return None if own[0] is None else torch.stack([w.to(like) for w in own if w is not None])


class _General:
    """The gradient of a stack through autograd, for networks without a closed form: all runs in one pass where the released forward
    function takes stacked weights, run by run where it does not.

    Args:
        weights, labels, alpha, mask, sought: of the stack; biases b × 1 × out.
    """

    def __init__(
        self,
        runs: list[_Run],
        weights: Mapping[str, Tensor],
        labels: Tensor,
        alpha: Tensor,
        mask: Mask | None,
        sought: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.runs, self.labels, self.alpha, self.mask = runs, labels, alpha, mask

        def flat(named: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {key: w.squeeze(1) if key.endswith("bias") else w for key, w in named.items()}

        self.weights, self.sought = flat(weights), None if sought is None else flat(sought)
        shape = runs[0].release.architecture.input_shape
        self.stacked = len(runs) > 1 and stacks([run.release.forward for run in runs], self.weights, shape)

    def __call__(self, x: Float[Tensor, "b m d"], lam: Float[Tensor, "b _"]) -> tuple[Tensor, Tensor, Tensor]:
        """L_KKT of each run, and its gradients by x and λ."""
        if self.stacked:
            return self._gradient(0, self.weights, x, lam, self.labels, self.alpha, self.mask, self.sought)

        def own(named: Mapping[str, Tensor], i: int) -> dict[str, Tensor]:
            return {key: w[i] for key, w in named.items()}

        alone = [
            self._gradient(
                i,
                own(self.weights, i),
                x[i],
                lam[i],
                self.labels[i],
                self.alpha[i, 0],
                one_run(self.mask, i),
                None if self.sought is None else own(self.sought, i),
            )
            for i in range(len(self.runs))
        ]
        losses, by_x, by_lam = (torch.stack(part) for part in zip(*alone, strict=True))
        return losses, by_x, by_lam

    def _gradient(
        self,
        i: int,
        weights: Mapping[str, Tensor],
        x: Tensor,
        lam: Tensor,
        labels: Tensor,
        alpha: Tensor,
        mask: Mask | None,
        sought: Mapping[str, Tensor] | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Of run i, or of all runs of the stack with the forward function of run i."""
        attack, release = self.runs[i].attack, self.runs[i].release
        x, lam = x.detach().requires_grad_(), lam.detach().requires_grad_()
        pixels = x.unflatten(-1, release.architecture.input_shape)
        name = release.architecture.activation
        losses = kkt_loss_general(attack.kind, name, release.forward, weights, pixels, lam, labels, alpha, mask, sought)
        by_x, by_lam = torch.autograd.grad(losses.sum(), [x, lam])
        return losses.detach(), by_x, by_lam


def _answer(run: _Run, x: Tensor, lam: Tensor, loss: float) -> Candidates:
    """Candidates as images, the mean image added back.

    The attacker's criterion: among runs the lower share of ‖θ‖², or of what else is sought, left unexplained (under a mask, of ‖M ∘ θ‖²),
    within a run the larger multiplier. A run that diverged, as some of a sweep do, has only the mean image to offer, after all others.

    In a row space ``loss`` is what is left unexplained inside of it; the part of W₁ outside is the same for all runs of that space.
    """
    shape = run.release.architecture.input_shape
    x = x if run.starts is None else x + run.beside.to(x)
    images = x.reshape(-1, *shape).to(torch.float32)
    mean = run.release.mean_image.to(images) if hasattr(run.release, "mean_image") else torch.full_like(images[0], 0.5)
    if not (math.isfinite(loss) and bool(x.isfinite().all()) and bool(lam.isfinite().all())):
        return Candidates(mean.expand_as(images).clone(), torch.full_like(images[:, 0, 0, 0], DIVERGED), None)
    images = images + mean
    size = lam.abs().unflatten(-1, (run.m, -1)).sum(-1).to(torch.float32)
    unexplained = min(loss / max(_heard(run), 1e-300), -DIVERGED)  # weights that training left as they were: nothing is to be heard
    confidence = 1e-5 * size / size.max().clamp(min=1e-30) - unexplained
    order = size.argsort(descending=True)
    starts = None if run.starts is None else run.starts[order]
    return Candidates(images[order].clamp(*run.release.input_range), confidence[order], loss, starts=starts)


def _heard(run: _Run) -> float:
    """‖M ∘ θ‖², or of what else is sought: what there is to explain."""
    weights, mask = run.sought, run.mask
    layers = layer_indices(weights)
    total = 0.0
    for name, w in weights.items():
        factor = parameter_weights(mask, name, w, layers)
        total += float(torch.linalg.vector_norm(w if factor is None else w * factor.to(w))) ** 2
    return total
