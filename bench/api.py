"""The nouns of the project, and nothing else: what each is, what it holds, who may see it.

Importing this module does not import torch, so that listing and help stay fast.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

if TYPE_CHECKING:
    import numpy as np
    import torch
    from jaxtyping import Float, Int
    from torch import Tensor

Activation = Literal["relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "tanh", "sigmoid"]
Loss = Literal["bce", "ce", "mse", "huber"]
Tier = Literal[
    "final_weights",  # the released weights and architecture; every attack has it
    "mean_image",  # the mean of the training images, which the papers subtract from the input
    "initial_weights",  # the weights before training
    "public_images",  # images of the same distribution, neither members nor controls (track `stealing`: and of another data set)
    "known_data",  # all training images but one
    "shadow_data",  # data to train shadow models on
    "query_labels",  # the model as an oracle that tells the class alone
    "queries",  # the model as an oracle that tells its outputs
    "input_gradients",  # gradients of the outputs by the input, at queries
]


class Setting(BaseModel):
    """One target: which data, which network, how it was trained. The threat model and the attack are not in it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    dataset: str = Field("lfw_faces", min_length=1, description="data set name, or folder:PATH, or parquet:PATH")
    classes: Literal["binary"] | Annotated[int, Field(ge=2, le=1000)] = Field(
        "binary", description="'binary': the set's two-class task; K: its first K classes"
    )
    n_per_class: int = Field(10, ge=1, le=50_000, description="training images a class")
    model: Literal["mlp", "cnn"] = Field("mlp", description="architecture family; a cnn has convolutions before its hidden layers")
    channels: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = Field(
        (32,), min_length=1, max_length=8, description="output channels of a cnn's convolutions"
    )
    kernel: int = Field(
        3, ge=1, le=15, description="side of a cnn's square kernels, in pixels; zero padding keeps the size where it is odd"
    )
    pooling: Literal["none", "stride", "max", "avg"] = Field(
        "stride", description="how each convolution of a cnn halves the image: by its stride, by max or average pooling, or not at all"
    )
    hidden: tuple[Annotated[int, Field(ge=1, le=65_536)], ...] = Field(
        (500,), min_length=1, max_length=16, description="widths of the hidden layers"
    )
    activation: Activation = Field("relu", description="activation after each hidden layer")
    bias: Literal["first", "all", "none"] = Field("first", description="which layers have a bias; 'first' keeps the net homogeneous")
    loss: Loss = Field("bce", description="training loss; bce, mse and huber on two classes use one output")
    weight_decay: float = Field(0.0, ge=0, le=1, description="L2 coefficient added to the gradient as wd·θ")
    init_scale: float | None = Field(1e-4, gt=0, le=10, description="std of the first layer's initial W and b; null: PyTorch's default")
    optimizer: Literal["gd", "heavy_ball", "adam"] = Field(
        "gd", description="full batch: 'gd', as in the papers, or 'heavy_ball', the same with momentum 0.9; minibatches: 'adam'"
    )
    batch_size: int = Field(64, ge=1, le=100_000, description="images a step of adam")
    lr: float = Field(0.02, gt=0, le=100, description="learning rate")
    epochs: int = Field(12_000, ge=1, le=10_000_000, description="full-batch steps at most; of adam, passes over the data")
    stop_loss: float = Field(0.0, ge=0, description="stop once the training loss is at or below this; 0: never")
    dtype: Literal["float32", "float64"] = Field("float32", description="precision of training")
    defense: str = Field("none", description="defence applied by the owner")
    defense_params: dict[str, Any] = Field(default_factory=dict, description="hyperparameters of the defence")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="draws the members, the controls and the initial weights")

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth(cls, value: Any) -> Any:
        # pydantic takes true for 1
        if any(isinstance(item, bool) for item in (value if isinstance(value, list | tuple) else [value])):
            raise ValueError("a number or a name is wanted, not true or false, as which YAML reads yes, no, on and off too")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Setting:
        if self.loss == "bce" and self.classes != "binary":
            raise ValueError("loss 'bce' needs classes 'binary'; with K classes use loss 'ce'")
        if self.model != "cnn":
            for name in ("channels", "kernel", "pooling"):
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(f"{name} belongs to a cnn, and model is '{self.model}'; set model 'cnn', or leave {name} out")
        if self.optimizer != "adam" and self.batch_size != type(self).model_fields["batch_size"].default:
            raise ValueError(f"batch_size belongs to adam, and optimizer is '{self.optimizer}'; set optimizer 'adam', or leave it out")
        return self


@dataclass(frozen=True)
class Architecture:
    """The public description of a network: enough to rebuild it and to say whether an attack applies.

    Weights are named ``layers.L.weight`` and ``layers.L.bias``, as in the authors' checkpoints: out × in of a linear layer,
    out × in × k × k of a convolution. A cnn's convolutions come first.
    """

    model: str
    input_shape: tuple[int, int, int]  # c, h, w
    hidden: tuple[int, ...]
    outputs: int  # 1 for two-class tasks under bce, mse, huber; else the number of classes
    activation: str
    bias: str
    loss: str
    channels: tuple[int, ...] = ()  # of a cnn
    kernel: int = 0
    pooling: str = ""

    @property
    def homogeneous(self) -> bool:
        """Whether scaling all weights by c > 0 scales the output by a power of c (the first layer's bias may stay)."""
        return self.activation in ("relu", "leaky_relu") and self.bias != "all"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Release:
    """What every attack may see of a network. Each track has a release of its own with more fields: ``bench.tracks.NAME.Release``.

    A field that an access tier brings is declared by `bench.granted.granted`. Where the tier was not granted it cannot be read: that raises
    BenchError, and ``hasattr`` asks. Whoever walks over the fields (``dataclasses.fields``, ``replace``) meets those that are there. A
    subclass is decorated as this class is.
    """

    architecture: Architecture
    n_train: int  # how many training images; the papers set their number of candidates by it
    input_range: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        # dataclasses look the fields up on the instance
        vars(self)["__dataclass_fields__"] = {f.name: f for f in fields(type(self)) if f.name in vars(self)}

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), **self.held()), ()

    def held(self) -> dict[str, Any]:
        """What is there, by field."""
        return {f.name: vars(self)[f.name] for f in fields(self)}

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """All its tensors and where they are: ``mean_image/``, ``weights/layers.0.weight``."""
        import torch

        for field_name, value in self.held().items():
            named: Mapping[str, Any] = value if isinstance(value, Mapping) else {"": value}
            yield from ((f"{field_name}/{name}", named[name]) for name in sorted(named) if isinstance(named[name], torch.Tensor))

    @property
    def nbytes(self) -> int:
        """Of its tensors: what a copy takes."""
        return sum(tensor.numel() * tensor.element_size() for _, tensor in self.tensors())

    @property
    def device(self) -> torch.device:
        """Where its tensors are, and where the answer is expected."""
        import torch

        return next((tensor.device for _, tensor in self.tensors()), torch.device("cpu"))


@dataclass(frozen=True)
class Secret:
    """What only the scorer sees: the training images, and controls drawn alike and never trained on. A track's own may hold more."""

    members: Float[Tensor, "n c h w"]  # in [0, 1]
    member_labels: Int[Tensor, " n"]
    controls: Float[Tensor, "n c h w"]
    control_labels: Int[Tensor, " n"]


@dataclass(frozen=True)
class Target:
    """A trained network: what is released, what is secret, and facts about the training for the row."""

    id: str
    setting: Setting
    release: Any  # its track's Release with every tier filled; narrowed, it is what an attack may see
    secret: Any  # its track's Secret
    facts: Mapping[str, Any] = field(default_factory=dict)  # train_accuracy, test_accuracy, train_loss, kkt_residual, …


Row = dict[str, Any]  # one line of results/scores.parquet or results/images/; the columns are in bench.schema
DIVERGED = -1e30  # the confidence of a run that came to no end, below that of any other


@dataclass(frozen=True)
class Objective:
    """What an attack goes by when it chooses among its runs, in the words of the pages. A run's objective is that of its best candidate."""

    name: str = "confidence"  # a noun, without an article: "share of the weights left unexplained"
    better: Literal["higher", "lower"] = "higher"  # lower: the attack's confidences are minus its objective

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise ValueError(f"an objective is named by a few words, not {self.name!r}")
        if self.better not in ("higher", "lower"):
            raise ValueError(f"of an objective the higher or the lower is better, not {self.better!r}")


OWN_LOSS = Objective("own loss", "lower")  # what an attack without confidences goes by


class Candidates(NamedTuple):
    """An attack's answer when it can rank across runs: images best first, and its own confidence in each."""

    images: Float[Tensor, "m c h w"]  # in [0, 1]; values outside are clipped by the score
    confidence: Float[Tensor, " m"] | None = None  # higher is better, comparable between runs of one attack on one release
    loss: float | None = None  # the attack's own final loss, lower is better, for the row
    run: Int[Tensor, " m"] | None = None  # the run of a sweep that made each image; written by the track when it pools runs
    starts: Float[Tensor, "m c h w"] | None = None  # the image that each began as, where a control asks how many come back


@dataclass(frozen=True)
class Claim:
    """A statement of a paper, and which rows of the tables decide it. ``bench/report/claims.py`` holds the tests.

    ``where``, ``a`` and ``b`` choose score rows: column → value. The column is one of scores.parquet, or ``param:NAME``, a hyperparameter
    of the attack, or ``axis:NAME``, a label of the grid. The value is what is asked for, a tuple of such values, ``"> 0"`` or ``"< 0"`` for
    numbers, or None for null. Where no ``attack`` is chosen, the rows are those of the attack that the claim is declared on.
    """

    name: str  # snake_case, unique among all claims
    text: str  # the statement, in our own words
    source: str  # paper, and where in it; or that the claim is our own
    grids: tuple[str, ...]  # each is tested by itself and gets a line of its own
    test: Literal["works", "difference", "beats", "trend", "concordance", "margin"]
    expected: Literal["above", "below", "either"] = "above"  # side of ``level`` on which the statement puts the effect
    level: float = 0.0  # what the effect is compared with, fixed before looking
    column: str = "excess_recall"  # of scores.parquet; test margin: of the image rows; test concordance has no use for it
    minus: str = ""  # a column of the same row that is taken off first
    where: Mapping[str, Any] = field(default_factory=dict)
    a: Mapping[str, Any] = field(default_factory=dict)  # difference, beats: the rows of the one side
    b: Mapping[str, Any] = field(default_factory=dict)  # and of the other
    along: str = ""  # trend: the numeric setting column; margin: margin or multiplier
    tied: tuple[str, ...] = ()  # columns that differ together with the two sides, or along the trend; pairs may differ in them
    match: tuple[str, ...] = ()  # param:NAME that the two sides of a pair must share
    words: tuple[str, str] = ("higher", "lower")  # verdicts where ``expected`` is either


class Attack(ABC):
    """Subclass as a frozen dataclass whose fields are the hyperparameters. See attacks/README.md."""

    name: ClassVar[str]
    paper: ClassVar[str] = ""
    track: ClassVar[str] = "reconstruction"
    role: ClassVar[str] = "attack"  # or "control": in every table, never ranked as an attack
    needs: ClassVar[frozenset[str]] = frozenset({"final_weights"})
    version: ClassVar[int | None] = None  # raise it when results change; None: the hash of the source file stands in
    kkt: ClassVar[bool] = False  # it looks for a KKT point, so where the network is none it finds nothing, whatever the network holds
    claims: ClassVar[tuple[Claim, ...]] = ()  # of its paper; `python -m bench claims` tests them on the rows
    # where a sweep draws hyperparameters from, if a grid names no ranges: name → (low, high, "log" or "linear")
    ranges: ClassVar[Mapping[str, tuple[float, float, str]]] = {}
    goes_by: ClassVar[Objective] = Objective()  # what its confidences mean

    def unsupported(self, architecture: Architecture) -> str:
        """An empty string, or the reason why the attack does not apply; the cell becomes a skipped row."""
        return ""

    def memory(self, release: Any) -> int:
        """Bytes that one run takes at its peak, roughly; the engine stacks as many runs as fit. The default: four copies of the release."""
        return int(4 * release.nbytes)

    @abstractmethod
    def reconstruct(self, release: Any, generator: torch.Generator) -> Any:
        """The track's release → images Float[Tensor, "m c h w"] in [0, 1], a tensor or `Candidates`, best first by the attacker's own
        criterion, at most 10·n_train; or what else the attack's track asks for."""

    @classmethod
    def reconstruct_batch(cls, attacks: Sequence[Any], releases: Sequence[Any], generators: Sequence[torch.Generator]) -> Sequence[Any]:
        """Many runs of one shape at once: run i is attacks[i] on releases[i]. Override it to stack; the default loops."""
        return [a.reconstruct(r, g) for a, r, g in zip(attacks, releases, generators, strict=True)]


class Planted(NamedTuple):
    """Inputs in [0, 1] that an owner makes the network memorise under labels of his choice, and others of that kind that he does not."""

    inputs: Float[Tensor, "p c h w"]
    labels: Int[Tensor, " p"]
    unplanted: Float[Tensor, "q c h w"]
    unplanted_labels: Int[Tensor, " q"]


class Rehearsal(NamedTuple):
    """A further term of the owner's loss: what simulated thieves, linear in the outputs that they are told, would answer to some inputs.

    Thief s asks about ``questions[s]``. Told the outputs F, q × k, it would give outputs ``answers[s] @ F`` to the p inputs, and the owner
    adds the loss of these under ``labels`` to his own, times ``weight``, taking the thieves in turn, one a step.
    """

    questions: Float[Tensor, "s q c h w"]  # in [0, 1]
    answers: Float[Tensor, "s p q"]
    labels: Int[Tensor, " p"]
    weight: float


class Defense(ABC):
    """Subclass as a frozen dataclass whose fields are the hyperparameters. Hooks run at the owner's side, in this order."""

    name: ClassVar[str]
    paper: ClassVar[str] = ""
    version: ClassVar[int | None] = None

    def before_training(
        self, images: Float[Tensor, "n c h w"], labels: Int[Tensor, " n"], generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """The data that the network is trained on; members stay the images given here, unless the defence plants inputs."""
        return images, labels

    def planted(
        self,
        images: Float[Tensor, "n c h w"],
        labels: Int[Tensor, " n"],
        others: Float[Tensor, "m c h w"],
        other_labels: Int[Tensor, " m"],
        generator: torch.Generator,
    ) -> Planted | None:
        """What ``before_training`` plants into the same data by a generator in the same state; None: nothing.

        The track ``stealing`` asks whether a copy gives the planted labels, ``reconstruction`` whether planted inputs are rebuilt.

        Args:
            others: images of the same distribution that are not trained on, to make the unplanted inputs of.
        """
        return None

    def rehearsal(self, images: Float[Tensor, "n c h w"], labels: Int[Tensor, " n"], generator: torch.Generator) -> Rehearsal | None:
        """What the owner rehearses while he trains, by a generator in the same state as ``before_training``; None: nothing.

        Needs training on minibatches (``optimizer: adam``).
        """
        return None

    def after_training(self, weights: Mapping[str, Tensor], generator: torch.Generator) -> Mapping[str, Tensor]:
        """The weights that are released."""
        return weights


@dataclass(frozen=True)
class ImageSet:
    """A labelled set of images, before any split. Exact duplicates have been removed by the source."""

    name: str  # as in Setting.dataset
    display: str  # as tables name it, e.g. "cifar10 (JPEG copy)"
    images: np.ndarray  # n × c × h × w, float32 in [0, 1], or uint8 in 0..255 (large sets; the split scales what it draws)
    labels: np.ndarray  # int64, n
    class_names: tuple[str, ...]
    binary: tuple[str, ...] = ("", "")  # names of the two sides of the binary task, negative first
    positive: frozenset[int] = frozenset()  # classes on the positive side of the binary task
    test_images: np.ndarray | None = None  # the source's own test split, if it has one
    test_labels: np.ndarray | None = None


class DataSource(ABC):
    """A named source of images. ``name:ARG`` in a setting passes ARG to the constructor of a source that takes one."""

    name: ClassVar[str]
    summary: ClassVar[str]  # one line for `ls`
    takes_path: ClassVar[bool] = False

    def __init__(self, path: str = "") -> None:
        self.path = path

    def missing(self) -> str:
        """An empty string if the data is here, or what is missing and what to do about it."""
        return ""

    @abstractmethod
    def digest(self) -> str:
        """16 hex digits of SHA-256 over the content (and over the way it is decoded); cheap, without decoding."""

    @abstractmethod
    def load(self) -> ImageSet:
        """The images. Raises BenchError when they are missing or malformed."""

    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height, width of every image; override it where that is known without decoding them all."""
        c, h, w = self.load().images.shape[1:]
        return int(c), int(h), int(w)


class Metric(ABC):
    """How near one image comes to another. Subclass it with literals, which the tables read without importing the file.

    Every metric in the registry is computed for the pairs of every track that answers with images, for members and for controls. It has a
    column ``name`` in the image rows, and ``name_STATISTIC`` and ``name_STATISTIC_controls`` in the score rows.
    """

    name: ClassVar[str]  # snake_case: a column of the image rows
    label: ClassVar[str]  # as tables name it
    unit: ClassVar[str] = "1"
    range: ClassVar[tuple[float, float | None]]  # of its values; None: no upper end
    better: ClassVar[str]  # "higher" or "lower": which means nearer
    worst: ClassVar[float | None] = None  # stands for an image without a partner; None: beyond any value, so that it is never a mean's
    statistics: ClassVar[tuple[str, ...]] = ("median",)  # over a cell's images: "median", "mean"; tables show the first
    decimals: ClassVar[int] = 4  # kept in the image rows
    shown: ClassVar[int] = 2  # decimals in tables

    @abstractmethod
    def pairs(self, a: Float[Tensor, "n c h w"], b: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"] | None:
        """The values of ``a[i]`` against ``b[i]``, finite, of images in [0, 1] with 1 or 3 channels; None where it cannot be had here."""


@runtime_checkable
class TrackWork(Protocol):
    """The half of a track that needs PyTorch: a module, or anything with these functions. The engine calls them and nothing else."""

    def obtain(self, settings: Sequence[Setting], cache: Any, device: Any) -> list[Target]:
        """The targets of the settings, in their order, from the cache (``bench.targets.cache.TargetCache``, or None) where it can."""

    def secret_of(self, setting: Setting) -> Secret:
        """The secret of a setting, drawn again from its data: what scoring without the target needs."""

    def narrow(self, release: Any, needs: frozenset[str]) -> Any:
        """A target's release with the granted tiers only, in fresh copies."""

    def fingerprint(self, release: Any) -> str:
        """Hash of every tensor in a release: the same before and after an attack, or else the attack changed its release."""

    def check_answer(self, answer: object, release: Any) -> Any:
        """An attack's answer in the form that is scored. Raises AttackFault."""

    def alike(self, a: Any, b: Any, tolerance: float) -> bool:
        """Whether two answers are the same, to within a tolerance; 0: bit by bit."""

    def rounded(self, answer: Any) -> Any:
        """An answer in the precision in which it is kept."""

    def pack(self, answer: Any) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """An answer as tensors and plain facts, for the file."""

    def unpack(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Any:
        """The inverse of `pack`."""

    def pool(self, answers: Sequence[Any], told: bool = True) -> Any:
        """The answers of a sweep's runs as one."""

    def score(
        self, answer: Any, secret: Any, *, bootstrap_seed: int, thumbnails: bool = True, gallery: int | None = None
    ) -> tuple[Row, list[Row]]:
        """Answer and secret → the score columns of a row, and the rows of the images."""

    def example(self, architecture: Architecture, number: int) -> tuple[Any, Tensor]:
        """A small target's whole release for the contract tests, and the images that no attack may be handed; ``number`` makes another."""


@dataclass(frozen=True)
class Share:
    """A share of counted things, as a column of the scores holds it."""

    column: str
    of: tuple[str, ...]  # columns whose product says how many there are
    label: str  # heading of tables; empty: not in the short table of a run


@dataclass(frozen=True)
class Headline:
    """What ranks the lines of a track: a score column that is higher the more a network gives away, and its words.

    Where it is the difference of two shares, its interval answers for other seeds and other images (``bench.metrics.intervals``); else it
    is Student's t over the seeds, and of a single seed that of its row: the columns NAME_lo and NAME_hi, where there are such.
    """

    column: str
    words: str  # in sentences and as a heading
    axis: str  # label of a picture's axis
    in_full: str  # the same where there is room
    low: float = -1.0  # the column's range
    high: float = 1.0
    chance: float = 0.0  # what a line is worth that tells nothing
    share: Share | None = None  # of members, or whatever stands for them
    less: Share | None = None  # of controls
    counted: tuple[str, str, str] = ("members", "controls", "")  # words for the hits of both, and what a hit is
    per_cent: str = ""  # what the shares are of, where they are told in per cent; empty: they are told as hits
    champion: str = ""  # behind the number where lines of several tracks are told one after another; empty: nothing
    picture: str = "headline"  # kind of its picture: the end of a file name
    caption: str = ""  # what the picture shows; empty: the words


EXCESS_RECALL = Headline(
    "excess_recall",
    "excess recall",
    "excess recall at SSIM > 0.4\n(members − controls)",
    "excess recall at SSIM > 0.4 (share of members − share of controls)",
    share=Share("recall_members", ("n_members",), "members > 0.4"),
    less=Share("recall_controls", ("n_controls",), "controls > 0.4"),
    counted=("members", "controls", "above SSIM 0.4"),
    picture="excess",
)


class Track(ABC):
    """A kind of attack: what it is granted, what it answers with, and how that becomes rows. Subclass it with literals.

    The class and what it imports at the top know no PyTorch, so that tables are read without it; ``work`` brings it.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    tiers: ClassVar[frozenset[str]]  # access that it can grant
    version: ClassVar[int] = 0  # part of its targets' ids: raise it when the same setting gives others; 0: the targets of `reconstruction`
    stacks: ClassVar[bool] = True  # targets of one shape, and the cells on them, go together; if not, one target at a time
    models: ClassVar[tuple[str, ...]] = ("mlp", "cnn")  # that it runs
    answer: ClassVar[str] = "answers with finite images of the right shape, at most 10·n"  # as the contract tests word it
    unpublished: ClassVar[frozenset[str]] = frozenset()  # columns of image rows that stay in the local store
    unpublished_of_controls: ClassVar[frozenset[str]] = frozenset()  # and of the controls' image rows
    headline: ClassVar[Headline] = EXCESS_RECALL  # of images that are rebuilt

    def columns(self, table: str) -> Sequence[Any]:
        """What it adds to the columns of ``scores`` or ``images`` (``bench.schema.Column``); one that another track has too is the same."""
        return ()

    def sections(self) -> Sequence[Section]:
        """The `Section` objects of its part of a grid's page, in order. None: those that any track has (``bench.report.kit.sections``)."""
        return ()

    def refine(self, images: Any) -> Callable[[Any, Sequence[Mapping[str, Any]]], None] | None:
        """What it adds to a line of tables, if anything: a function that is called with each ``bench.report.kit.groups.Group`` that has
        scores, after its headline is worked out, and the score rows behind it.

        Args:
            images: image rows, a data frame, or None where they are not at hand.
        """
        return None

    @property
    @abstractmethod
    def work(self) -> TrackWork:
        """Imported when it is asked for."""


class Section(ABC):
    """A section of a grid's page. Subclass it with literals; a track lists its own, others are registered and found like an attack.

    It is asked for its lines once for every part of the page, whose groups are of one track. Its pictures are drawn of all groups of the
    page that it is about, and stand in the first part where it has lines. ``page`` is a ``bench.report.kit.page.Page``.
    """

    name: ClassVar[str]
    summary: ClassVar[str] = ""
    title: ClassVar[str] = ""  # its heading; empty: the lines bring their own, or need none
    tracks: ClassVar[frozenset[str]] = frozenset()  # of a registered one: what it is about; empty: any track
    place: ClassVar[Literal["top", "part", "end"]] = "part"  # in every part, or once: before the parts, or after them
    pictures: ClassVar[tuple[str, ...]] = ()  # kinds of its pictures: the ends of their file names
    ranks: ClassVar[bool] = False  # its lines, without the heading, are what the leaderboard shows of a part

    def applies(self, page: Any) -> bool:
        """Whether it has anything to say or to draw; where that takes as long to find out as to say, it gives no lines instead."""
        return bool(page.groups)

    @abstractmethod
    def lines(self, page: Any) -> list[str]:
        """Markdown; none: the section is left out."""

    def figures(self, page: Any) -> dict[str, bytes | None]:
        """PNG by kind; None where there is nothing to draw."""
        return {}

    def meanings(self) -> dict[str, str]:
        """Of a section that ranks: what its columns mean, for the end of the leaderboard."""
        return {}
