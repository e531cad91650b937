"""The small networks that attacks and tracks are tried on, and the hyperparameters that are lowered for them: only the form counts here."""

from __future__ import annotations

from bench.api import Architecture

QUICK = {"steps": 30, "shadows": 24, "epochs": 2, "queries": 24}  # hyperparameters that are lowered to these

ARCHITECTURES = (
    Architecture("mlp", (1, 8, 8), (16,), 1, "relu", "first", "bce"),
    Architecture("mlp", (3, 6, 6), (12, 8), 3, "relu", "first", "ce"),
    Architecture("mlp", (1, 8, 8), (16,), 1, "tanh", "first", "mse"),
    Architecture("mlp", (1, 5, 7), (9, 9, 9), 1, "leaky_relu", "none", "huber"),
    Architecture("mlp", (1, 8, 8), (16,), 2, "softplus", "all", "ce"),
    Architecture("cnn", (1, 9, 8), (8,), 1, "relu", "first", "bce", (4,), 3, "max"),
    Architecture("cnn", (3, 6, 6), (8,), 3, "relu", "first", "ce", (4,), 3, "stride"),
)
