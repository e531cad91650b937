"""Networks of one shape in training under a defence that changes its steps (`bench.api.Training`): full-batch descent or Adam, any network.

One way for all changes, so that what trains undefended networks knows nothing of them. A step takes images (as they are, or variants of
them; all, a minibatch, or a Poisson sample), blends them, switches units off, and makes the gradient, of each image shortened and with
noise where the training is private. What it draws, each network draws from a stream of its own, which its seed names: so a network trained
in a stack is the one trained alone.

Full-batch descent of MLPs goes in the span of the images here too (`train_span`), as each of these changes leaves gradients inside it but
one: the noise of private training lies in all directions. What of it is orthogonal to all images changes no output, so it need not be there
while the network is trained. It is a sum of independent normal numbers, weighed by what decay and momentum leave of each step's: a normal
number again, drawn once at the end. So a private step costs n/D of what it would in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bench import seeds
from bench.api import Architecture, Private, Setting, Training
from bench.errors import BenchError
from bench.targets.backpropagation import passed
from bench.targets.losses import loss_gradient, loss_value
from bench.targets.models import activation_function, forward
from bench.targets.train_span import into_span, left, left_of_noise

AT_ONCE = 2**24  # numbers of the gradients of single images of convolutional networks that are held at a time


def changes_steps(training: Training) -> bool:
    """Whether there is more to it than other labels."""
    return any(value not in (0.0, None) for value in (training.mixing, training.dropout, training.held_out, training.private)) or (
        training.variants is not None
    )


def refuse(training: Training, setting: Setting, images: int, rehearsed: bool) -> None:
    """Says what makes no sense together.

    Args:
        images: that are trained on, those held out among them.

    Raises:
        BenchError: numbers out of their ranges, a guarantee that would not hold, or nothing that is trained on.
    """
    private, held_out = training.private, training.held_out

    def wrong(what: str, expected: str, got: object, hint: str) -> BenchError:
        return BenchError(f"defence '{setting.defense}' {what}", expected=expected, got=str(got), hint=hint)

    check = f"python -m bench check {setting.defense}"
    for name in ("smoothing", "dropout"):
        value = getattr(training, name)
        if not 0 <= value < 1:
            raise wrong(f"has a {name} that is no share", "0 or more, below 1", value, check)
    if not 0 <= training.mixing < math.inf:
        raise wrong("mixes by a number that is none", "a finite number, 0 or more", training.mixing, check)
    if rehearsed:
        raise wrong("rehearses and changes the steps of training", "one of the two", "both", check)
    if training.variants is not None and training.variants.shape[1] != images:
        raise wrong("has variants of other images", f"v variants of each of {images} images", tuple(training.variants.shape), check)
    if held_out is not None:
        if held_out.images.shape != (images,) or min(held_out.patience, held_out.every) < 1:
            got = f"{tuple(held_out.images.shape)}, patience {held_out.patience}, every {held_out.every}"
            raise wrong("holds out what cannot be", f"{images} booleans, and at least 1 look and epoch", got, check)
        count = int(held_out.images.sum())
        if not 0 < count < images:
            raise wrong("holds out all images or none", f"from 1 to {images - 1} images", count, "--set n_per_class=10, or another share")
    if private is None:
        return
    noisy = private.noise > 0
    if not (private.clip > 0 and 0 <= private.noise < math.inf and 0 < private.rate <= 1) or (noisy and private.clip == math.inf):
        expected = "clip above 0, noise 0 or more (0 without a finite clip), rate above 0 and at most 1"
        raise wrong("trains privately by numbers that are none", expected, tuple(private), check)
    if training.mixing or held_out is not None:
        raise wrong("promises privacy of each image, and blends images or holds some out", "one of the two", "both", check)
    if setting.stop_loss:
        raise wrong("promises privacy, and the training loss says when to stop", "stop_loss 0", setting.stop_loss, "--set stop_loss=0")
    if setting.optimizer == "adam" and private.rate != 1:
        raise wrong("samples at a rate, and adam by its batch size", "rate 1", private.rate, "--set batch_size=8")


def sampling(private: Private, setting: Setting, images: int) -> tuple[float, int]:
    """The chance by which a step takes an image, and the steps of an epoch."""
    if setting.optimizer != "adam":
        return private.rate, 1
    return min(1.0, setting.batch_size / images), math.ceil(images / setting.batch_size)


class Defended:
    """Networks of one shape and what steps them, in place.

    Args:
        settings: one a network; they share loss and optimiser, and of adam lr, weight_decay and batch_size.
        start: initial weights by name, B × …, float64.
        x: centred inputs, B × n × c × h × w, float64.
        target: B × n × k, in the precision of training.
        changes: one a network, alike but for their tensors; variants centred as x is.
        momentum: of full-batch descent; None: adam.
    """

    replayable = False  # what a step draws, it draws here

    def __init__(
        self,
        architecture: Architecture,
        settings: Sequence[Setting],
        start: Mapping[str, Tensor],
        x: Tensor,
        target: Tensor,
        changes: Sequence[Training],
        momentum: float | None,
    ) -> None:
        self.architecture, self.settings, self.momentum = architecture, settings, momentum
        self.training, self.loss = changes[0], settings[0].loss
        self.mlp = architecture.model == "mlp"
        dtype, device, (B, n) = target.dtype, x.device, x.shape[:2]
        variants = [c.variants for c in changes if c.variants is not None]
        if variants:  # behind the images as they are: row n + v·n + i is variant v of image i
            x = torch.cat([x, torch.stack(variants).flatten(1, 2).to(x)], 1)
        self.n = n
        start = dict(start)
        self.basis: Tensor | None = None
        if self.mlp:
            x = x.flatten(2)
            if momentum is not None:
                self.basis, x, start["layers.0.weight"], self.rest = into_span(x, start["layers.0.weight"])
        self.x, self.every_target = x.to(dtype), target
        self.parameters = {name: w.to(dtype, copy=True).requires_grad_() for name, w in start.items()}
        held = [c.held_out.images for c in changes if c.held_out is not None]
        out = torch.stack(held).to(device) if held else torch.zeros(B, n, dtype=torch.bool, device=device)
        self.rows, self.held_rows = _places(~out), _places(out)
        self.first = torch.arange(B, device=device)[:, None]
        self.plain, self.target = self._taken(self.rows)
        lr = torch.tensor([s.lr for s in settings], dtype=torch.float64)
        decay = 1 - lr * torch.tensor([s.weight_decay for s in settings], dtype=torch.float64)
        self.decays = decay.tolist()
        self.lr, self.decay = (value.to(device, dtype).view(-1, 1, 1) for value in (lr, decay))
        self.changes = [torch.zeros_like(w) for w in self.parameters.values()] if momentum else []
        if momentum is None:
            first = settings[0]
            self.adam = torch.optim.Adam(list(self.parameters.values()), lr=first.lr, weight_decay=first.weight_decay, fused=True)
        self.orders = [seeds.generator("batches", s.seed) for s in settings]
        self.draws = [seeds.generator("training", s.seed) for s in settings]
        self.blends = [seeds.numpy_generator("mixing", s.seed) for s in settings]

    # --- what the training asks for -------------------------------------------------------------------------------------------------

    def draw(self) -> None:
        """Nothing: a step draws for itself."""

    @torch.no_grad()
    def outputs(self) -> Tensor:
        return self._forward(self.plain)

    @torch.no_grad()
    def held_out_loss(self) -> list[float]:
        if not self.held_rows.shape[1]:
            return []
        x, target = self._taken(self.held_rows)
        return list(loss_value(self.loss, self._forward(x), target).tolist())

    def copy(self, i: int) -> list[Tensor | None]:
        return [w[i].detach().clone() for w in self.parameters.values()]

    def weights(self, i: int, copied: list[Tensor | None], epochs: int) -> dict[str, Tensor]:
        named = {name: w for name, w in zip(self.parameters, copied, strict=True) if w is not None}
        if self.basis is not None:
            V, decay, momentum = self.basis[i], self.decays[i], self.momentum or 0.0
            first = named["layers.0.weight"].double() @ V.mT + self.rest[i] * left(decay, momentum, epochs)
            private = self.training.private
            if private is not None and private.noise:
                stream = seeds.generator("training", self.settings[i].seed, "beyond the images")
                noise = torch.randn(first.shape, generator=stream, dtype=torch.float64).to(first)
                size = self.settings[i].lr * self._noise(private) * left_of_noise(decay, momentum, epochs)
                first = first + size * (noise - noise @ V @ V.mT)
            named["layers.0.weight"] = first
        return named

    def step(self) -> None:
        """One step of full-batch descent, or one pass of adam."""
        private = self.training.private
        if private is not None:
            rate, steps = sampling(private, self.settings[0], self.rows.shape[1])
            for _ in range(steps):
                self._step(*self._poisson(rate))
        elif self.momentum is not None:
            self._step(None)
        else:
            m = self.rows.shape[1]
            order = torch.stack([torch.randperm(m, generator=g) for g in self.orders]).to(self.rows.device)
            for part in order.split(self.settings[0].batch_size, 1):
                self._step(part)

    # --- a step -----------------------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def _step(self, batch: Int[Tensor, "b m"] | None, valid: Bool[Tensor, "b m"] | None = None) -> None:
        """Moves the weights by what some training images say, or all; those that are not valid only fill up the batch.

        What is drawn for an image is drawn for all of them, for how many there are in a batch depends on the others of the stack.
        """
        rows = self.rows if batch is None else self.rows.gather(1, batch)
        if batch is None and self.training.variants is None:
            x, target = self.plain, self.target
        else:
            x, target = self._taken(rows, self._variants(batch))
        if self.training.mixing:
            x, target = self._blended(x, target)
        masks = [mask if batch is None else mask[self.first, batch] for mask in self._masks()]
        private = self.training.private
        if private is None:
            gradients = self._gradients(x, target, masks, None)
        else:
            gradients = self._gradients(x, target, masks, lambda sizes: _shares(sizes, private.clip, valid))
            if private.noise:
                size = self._noise(private)
                for k, w in enumerate(self.parameters.values()):
                    gradients[k] = gradients[k] + self._normal(w) * size
        for k, (w, gradient) in enumerate(zip(self.parameters.values(), gradients, strict=True)):
            if self.momentum is None:
                w.grad = gradient.contiguous()
                continue
            lr, decay = (value.view(-1, *[1] * (w.dim() - 1)) for value in (self.lr, self.decay))
            if self.momentum:  # PyTorch's momentum: the last change, times μ, goes on top of the plain step
                w.add_(self.changes[k].mul_(self.momentum).sub_(lr * gradient).addcmul_(w, decay - 1))
            else:
                w.mul_(decay).sub_(lr * gradient)
        if self.momentum is None:
            self.adam.step()

    def _gradients(self, x: Tensor, target: Tensor, masks: Sequence[Tensor], share: Callable[[Tensor], Tensor] | None) -> list[Tensor]:
        """Of the mean loss; or, where shares are given, the sum of the images' own gradients, multiplied by them, over the images that a
        step takes on average."""
        if share is None:
            if self.mlp:
                out, back = passed(self.architecture, self.parameters, x, masks)
                return back(loss_gradient(self.loss, out, target))
            with torch.enable_grad():
                out = self._forward(x, masks)
                return list(torch.autograd.grad(out, list(self.parameters.values()), loss_gradient(self.loss, out.detach(), target)))
        per_step = self._images_a_step()
        if self.mlp:
            out, back = passed(self.architecture, self.parameters, x, masks)
            found = back(loss_gradient(self.loss, out, target) * x.shape[1], share)
        else:
            found = self._one_by_one(x, target, masks, share)
        return [g / per_step for g in found]

    def _one_by_one(self, x: Tensor, target: Tensor, masks: Sequence[Tensor], share: Callable[[Tensor], Tensor]) -> list[Tensor]:
        """The sum of the images' own gradients times their shares, of a convolutional network: each image has a copy of it."""
        numbers = sum(w.numel() for w in self.parameters.values())
        at_once = max(1, AT_ONCE // numbers)
        parts, sizes = [], []
        for chunk in range(0, x.shape[1], at_once):
            own = slice(chunk, chunk + at_once)
            copies = {k: w.detach().unsqueeze(1).expand(-1, x[:, own].shape[1], *w.shape[1:]) for k, w in self.parameters.items()}
            with torch.enable_grad():
                copies = {k: w.clone().requires_grad_() for k, w in copies.items()}
                activate = _dropping(self.architecture, [m[:, own].unsqueeze(2) for m in masks])
                out = forward(self.architecture, copies, x[:, own].unsqueeze(2), activate)
                delta = loss_gradient(self.loss, out.detach(), target[:, own].unsqueeze(2))
                gradients = torch.autograd.grad(out, list(copies.values()), delta)
            sizes.append(torch.stack([g.flatten(2).square().sum(-1) for g in gradients]).sum(0))
            parts.append(gradients)
        shares = share(torch.cat(sizes, 1)).split(at_once, 1)
        summed = [[torch.einsum("bm,bm...->b...", s, g) for g in part] for s, part in zip(shares, parts, strict=True)]
        return [torch.stack(pieces).sum(0) for pieces in zip(*summed, strict=True)]

    def _forward(self, x: Tensor, masks: Sequence[Tensor] = ()) -> Tensor:
        if self.mlp:
            return passed(self.architecture, self.parameters, x, masks)[0]
        return forward(self.architecture, self.parameters, x, _dropping(self.architecture, masks))

    # --- what a step draws ------------------------------------------------------------------------------------------------------------

    def _taken(self, rows: Int[Tensor, "b m"], variant: Int[Tensor, "b m"] | int = -1) -> tuple[Tensor, Float[Tensor, "b m k"]]:
        """Images and targets of some rows; of each image a variant, or −1: the image itself."""
        return self.x[self.first, rows + (variant + 1) * self.n], self.every_target[self.first, rows]

    def _variants(self, batch: Int[Tensor, "b m"] | None) -> Int[Tensor, "b m"] | int:
        """Which variant is shown of each image of a batch; −1 where there are none."""
        if self.training.variants is None:
            return -1
        size = (len(self.training.variants), self.rows.shape[1:])
        which = torch.stack([torch.randint(*size, generator=g) for g in self.draws]).to(self.rows.device)
        return which if batch is None else which.gather(1, batch)

    def _poisson(self, rate: float) -> tuple[Int[Tensor, "b m"] | None, Bool[Tensor, "b m"] | None]:
        """Which training images are taken, each by this chance, filled up to the same number for all networks, and which are no filling.
        None: all are."""
        if rate == 1:
            return None, None
        taken = torch.stack([torch.rand(self.rows.shape[1], generator=g) < rate for g in self.draws]).to(self.rows.device)
        m = max(1, int(taken.sum(1).max()))
        order = taken.to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, :m]
        return order, taken.gather(1, order)

    def _blended(self, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Mixup: every image and its target with those of another of the batch, by one share a network."""
        partner = torch.stack([torch.randperm(x.shape[1], generator=g) for g in self.draws]).to(x.device)
        shares = torch.tensor([g.beta(self.training.mixing, self.training.mixing) for g in self.blends]).to(x)
        share = shares.view(-1, *[1] * (x.dim() - 1))
        blended = x[self.first, partner].lerp(x, share.expand_as(x))
        return blended, target[self.first, partner].lerp(target, shares.view(-1, 1, 1).expand_as(target))

    def _masks(self) -> list[Tensor]:
        """What dropout multiplies the activations of each fully connected hidden layer by, at all images; none without dropout."""
        keep = 1 - self.training.dropout
        if keep == 1:
            return []
        m, x = self.rows.shape[1], self.x
        return [
            torch.stack([torch.empty(m, h, dtype=x.dtype).bernoulli_(keep, generator=g) for g in self.draws]).to(x.device).div_(keep)
            for h in self.architecture.hidden
        ]

    def _normal(self, like: Tensor) -> Tensor:
        return torch.stack([torch.randn(like.shape[1:], generator=g, dtype=like.dtype) for g in self.draws]).to(like.device)

    def _images_a_step(self) -> float:
        """On average, of private training."""
        assert self.training.private is not None
        return self.rows.shape[1] * sampling(self.training.private, self.settings[0], self.rows.shape[1])[0]

    def _noise(self, private: Private) -> float:
        """Standard deviation of the noise in a gradient of the mean loss."""
        return private.noise * private.clip / self._images_a_step()


def _places(chosen: Bool[Tensor, "b n"]) -> Int[Tensor, "b m"]:
    """Where each row is true; as often in all of them."""
    return torch.stack([own.nonzero().flatten() for own in chosen])


def _shares(sizes: Float[Tensor, "b m"], clip: float, valid: Bool[Tensor, "b m"] | None) -> Float[Tensor, "b m"]:
    """What gradients of such squared norms are multiplied by so that none is longer than ``clip``; 0 where they are filling."""
    shares = (clip / sizes.sqrt().clamp(min=torch.finfo(sizes.dtype).tiny)).clamp(max=1)
    return shares if valid is None else shares * valid


def _dropping(architecture: Architecture, masks: Sequence[Tensor]) -> Callable[[Tensor], Tensor] | None:
    """The activation with dropout behind the fully connected hidden layers; None without. Of one pass: it counts the layers."""
    if not masks:
        return None
    activate, layer = activation_function(architecture.activation), -len(architecture.channels)

    def dropped(z: Tensor) -> Tensor:
        nonlocal layer
        a = activate(z)
        if layer >= 0:
            a = a * masks[layer]
        layer += 1
        return a

    return dropped
