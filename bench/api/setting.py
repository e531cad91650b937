"""A setting: which data, which network, how it was trained."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from bench.api.plain import Plain, plain_values

Activation = Literal["relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "tanh", "sigmoid"]
Loss = Literal["bce", "ce", "mse", "huber"]
KINKED: frozenset[Activation] = frozenset({"relu", "leaky_relu"})  # by their kink a unit is on or off; the others are smooth


class Setting(Plain):
    """One target: which data, which network, how it was trained. The threat model and the attack are not in it."""

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

    _plain = field_validator("defense_params")(plain_values)

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
