"""The columns of the two Parquet tables: name, type, unit, range, direction and meaning of each; and rows checked against them.

``SCORES`` has one row per grid × cell (a cell is one setting, seed included, under one attack); ``IMAGES`` one row per cell × image,
members and controls alike. These tables are the only definition: units, ranges, directions and descriptions travel in the field
metadata of every file, the schema version and the score protocol in its file metadata.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Literal

import pandas as pd
import pyarrow as pa

from bench.api import Row, Setting
from bench.errors import BenchError, did_you_mean

SCHEMA_VERSION = 1
PROTOCOL = "v1"

TEXT, INT, SMALL, TINY, FLOAT, SINGLE, BYTES = pa.string(), pa.int64(), pa.int32(), pa.int16(), pa.float64(), pa.float32(), pa.binary()
TIME = pa.timestamp("us", tz="UTC")

Direction = Literal["higher", "lower", "none"]


@dataclass(frozen=True)
class Column:
    """One column: its Arrow type, unit, range, which direction is better for the attacker, and what it means."""

    name: str
    type: pa.DataType
    description: str
    unit: str = ""
    range: str = ""
    direction: Direction = "none"
    decimals: int | None = None  # rounding before a row is written, so that files compress and repeat
    json: bool = False  # dicts and lists are accepted and written as JSON text, keys in the given order

    def field(self) -> pa.Field:
        """The Arrow field, with everything that is known of the column in its metadata."""
        facts = {"description": self.description, "unit": self.unit, "range": self.range, "direction": self.direction}
        return pa.field(self.name, self.type, metadata={k: v for k, v in facts.items() if v})


def _share(name: str, description: str, direction: Direction = "none") -> Column:
    return Column(name, FLOAT, description, "share", "[0, 1]", direction, decimals=6)


def _excess(prefix: str, description: str) -> list[Column]:
    """Recall of members and of controls under one selection rule, their difference, and the difference's 95 % interval."""
    low, high = f"{prefix}excess_recall_lo", f"{prefix}excess_recall_hi"
    return [
        _share(f"{prefix}recall_members", f"members above the threshold, {description}", "higher"),
        _share(f"{prefix}recall_controls", f"controls above the threshold, {description}", "lower"),
        Column(
            f"{prefix}excess_recall", FLOAT, f"recall of members minus that of controls, {description}", "share", "[-1, 1]", "higher", 6
        ),
        Column(low, FLOAT, f"lower end of the 95 % bootstrap interval over images, {description}", "share", "[-1, 1]", decimals=6),
        Column(high, FLOAT, f"upper end of the 95 % bootstrap interval over images, {description}", "share", "[-1, 1]", decimals=6),
    ]


def _both(name: str, description: str, unit: str, range_: str, direction: Direction) -> list[Column]:
    return [
        Column(name, FLOAT, f"{description} over members", unit, range_, direction, 6),
        Column(f"{name}_controls", FLOAT, f"{description} over controls", unit, range_, decimals=6),
    ]


_SSIM = "1"
SETTING_COLUMNS: tuple[Column, ...] = (
    Column("dataset", TEXT, "data set name, or folder:PATH, or parquet:PATH"),
    Column("dataset_display", TEXT, "data set as tables name it"),
    Column("classes", TEXT, "'binary', or the number of classes"),
    Column("n_per_class", INT, "training images a class", "images", ">= 1"),
    Column("model", TEXT, "architecture family"),
    Column("hidden", TEXT, "widths of the hidden layers joined by '-'", "units"),
    Column("channels", TEXT, "output channels of the convolutions joined by '-'; null: no convolutions"),
    Column("kernel", INT, "side of the square kernels; null: no convolutions", "pixels", ">= 1"),
    Column("pooling", TEXT, "how each convolution halves the image: none, stride, max, avg; null: no convolutions"),
    Column("activation", TEXT, "activation after each hidden layer"),
    Column("bias", TEXT, "which layers have a bias: first, all, none"),
    Column("loss", TEXT, "training loss"),
    Column("weight_decay", FLOAT, "L2 coefficient, added to the gradient as wd·θ", "1", "[0, 1]"),
    Column("init_scale", FLOAT, "standard deviation of the first layer's initial weights; null: the framework's default", "1", "> 0"),
    Column("optimizer", TEXT, "optimiser of the training"),
    Column("lr", FLOAT, "learning rate of the training", "1", "> 0"),
    Column("batch_size", INT, "images a step of the training; null: all of them", "images", ">= 1"),
    Column("epochs", INT, "full-batch steps at most; with a batch_size, passes over the data", "steps", ">= 1"),
    Column("stop_loss", FLOAT, "training stops at or below this loss; 0: never", "1", ">= 0"),
    Column("dtype", TEXT, "precision of the training"),
    Column("defense", TEXT, "defence applied by the owner"),
    Column("defense_params", TEXT, "hyperparameters of the defence", json=True),
    Column("seed", INT, "draws the members, the controls and the initial weights", "", ">= 0"),
    Column("input_shape", TEXT, "channels x height x width"),
)

SCORES: tuple[Column, ...] = (
    Column("schema_version", TINY, "version of this schema; old files load, newer ones are refused"),
    Column("protocol", TEXT, "version of the score protocol"),
    Column("track", TEXT, "kind of attack, e.g. reconstruction"),
    Column("grid", TEXT, "grid that the cell was run for; part of the key"),
    Column("grid_title", TEXT, "title of the grid's page"),
    Column("grid_question", TEXT, "the question that the grid asks"),
    Column("grid_published", TEXT, "figures that the grid's paper prints, to stand beside ours; null: none", json=True),
    Column("gallery", SMALL, "members with thumbnails of a shown cell, best first; null: the six of a strip", "images", "[1, 100]"),
    Column("cell_id", TEXT, "16 hex digits: hash of target, attack, parameters, sweep, versions; without the grid; part of the key"),
    Column("target_id", TEXT, "16 hex digits: hash of the setting, the data and the version of the training code"),
    Column("attack", TEXT, "registered name of the attack or control"),
    Column("attack_version", TEXT, "declared version of the attack, or hash of its source"),
    Column("attack_params", TEXT, "hyperparameters of the attack that differ from its defaults", json=True),
    Column("attack_defaults", TEXT, "hyperparameters of the attack that stayed at their defaults", json=True),
    Column("sweep", TEXT, "hyperparameters drawn per run, their ranges and the number of runs; null: no sweep", json=True),
    Column(
        "sweep_runs",
        TEXT,
        "of each run of the sweep: number, drawn hyperparameters, its own final objective, members and controls over the threshold when "
        "its candidates alone are scored; null: no sweep",
        json=True,
    ),
    Column("role", TEXT, "attack, or control (a null model)"),
    Column("access", TEXT, "what the attack may see, tiers joined by '+'"),
    Column("axis", TEXT, "the cell's labels on the grid's axes, in grid order", json=True),
    Column("axis_index", SMALL, "position of the setting (seed aside) in the grid", "", ">= 0"),
    *SETTING_COLUMNS,
    Column("status", TEXT, "ok, skipped, failed or timeout"),
    Column("reason", TEXT, "why the status is not ok; empty when it is"),
    Column(
        "stderr",
        TEXT,
        "of a cell that failed in a worker process: the last 2000 characters that the process printed over its batch; never published",
    ),
    *_excess("", "SSIM > 0.4 after one-to-one pairing with the submitted candidates (headline)"),
    Column("recall_members_lo", FLOAT, "lower end of the 95 % interval of recall_members", "share", "[0, 1]", decimals=6),
    Column("recall_members_hi", FLOAT, "upper end of the 95 % interval of recall_members", "share", "[0, 1]", decimals=6),
    Column("recall_controls_lo", FLOAT, "lower end of the 95 % interval of recall_controls", "share", "[0, 1]", decimals=6),
    Column("recall_controls_hi", FLOAT, "upper end of the 95 % interval of recall_controls", "share", "[0, 1]", decimals=6),
    *_excess("oracle_", "one-to-one over all candidates, selected by looking at the truth"),
    *_excess("nn_", "each image with its nearest submitted candidate (many-to-one)"),
    *_excess("haim_", "protocol haim2022 over all candidates: nearest by NCC at half resolution, min–max scaling, SSIM window 3"),
    _share("auc", "area under the ROC curve of one-to-one SSIM, members (positive) against controls", "higher"),
    Column("auc_lo", FLOAT, "lower end of the 95 % interval of auc", "share", "[0, 1]", decimals=6),
    Column("auc_hi", FLOAT, "upper end of the 95 % interval of auc", "share", "[0, 1]", decimals=6),
    _share("tpr_at_1fpr", "true positive rate of the same test at a false positive rate of at most 1 %", "higher"),
    *_both("ssim_median", "median one-to-one SSIM (Gaussian window)", _SSIM, "[-1, 1]", "higher"),
    *_both("ssim_mean", "mean one-to-one SSIM (Gaussian window)", _SSIM, "[-1, 1]", "higher"),
    *_both("lpips_median", "median LPIPS (AlexNet) of the one-to-one pairs", "1", ">= 0", "lower"),
    *_both("psnr_median", "median PSNR of the one-to-one pairs", "dB", ">= 0", "higher"),
    *_both("ncc_median", "median normalised cross-correlation of the one-to-one pairs", "1", "[-1, 1]", "higher"),
    *_both("mse_mean", "mean squared error of the answers, mean", "1", "[0, 1]", "lower"),
    Column(
        "pool_mse_mean",
        FLOAT,
        "null model of the track informed: MSE of the pool image nearest to each member, mean",
        "1",
        "[0, 1]",
        decimals=6,
    ),
    Column(
        "pool_ssim_mean", FLOAT, "the same by SSIM: that of the pool image most similar to each member, mean", "1", "[-1, 1]", decimals=6
    ),
    Column("pool_lpips_median", FLOAT, "LPIPS of the pool image nearest by MSE, median over members", "1", ">= 0", decimals=6),
    _share("pool_recall", "members whose most similar pool image has SSIM above the threshold"),
    _share("beats_pool", "members whose answer has a lower MSE than their nearest pool image", "higher"),
    _share("precision", "submitted candidates whose best SSIM over members is above 0.4", "higher"),
    _share("precision_controls", "submitted candidates whose best SSIM over controls is above 0.4"),
    _share("planted_transfer", "track stealing: planted inputs to which the thief's network gives the planted label", "higher"),
    _share("planted_transfer_controls", "the same of unplanted inputs: of the same kind, with labels drawn alike, never planted"),
    _share("planted_transfer_clean", "the same of clean networks, which never saw the owner, on planted inputs; their mean"),
    _share("planted_transfer_clean_controls", "the same of clean networks on unplanted inputs; their mean"),
    Column("transfer_excess", FLOAT, "planted_transfer minus planted_transfer_clean", "share", "[-1, 1]", "higher", 6),
    Column("transfer_excess_lo", FLOAT, "lower end of its 95 % bootstrap interval over planted inputs", "share", "[-1, 1]", decimals=6),
    Column("transfer_excess_hi", FLOAT, "upper end of its 95 % bootstrap interval over planted inputs", "share", "[-1, 1]", decimals=6),
    Column("transfer_excess_controls", FLOAT, "planted_transfer minus planted_transfer_controls", "share", "[-1, 1]", "higher", 6),
    Column("transfer_excess_controls_lo", FLOAT, "lower end of its 95 % bootstrap interval over inputs", "share", "[-1, 1]", decimals=6),
    Column("transfer_excess_controls_hi", FLOAT, "upper end of its 95 % bootstrap interval over inputs", "share", "[-1, 1]", decimals=6),
    Column("watermark_p", FLOAT, "p-value of the thief's planted hits: rank among those of the clean networks", "1", "(0, 1]", decimals=6),
    _share("watermark_tpr", "1: more planted hits than all but 5 % of the clean networks have; with 20 of them by chance in 2 of 21 cases"),
    Column("n_clean", INT, "clean networks of the null distribution", "networks", ">= 1"),
    _share("planted_owner", "planted inputs to which the owner's network gives the planted label"),
    _share("agreement", "test images to which thief and owner give the same label", "higher"),
    _share("thief_accuracy", "accuracy of the thief's network on the test images", "higher"),
    _share("clean_accuracy", "accuracy of the clean networks on the test images, mean"),
    Column("queries_used", INT, "answers of the owner's network that the thief took: labels, outputs, and gradients", "answers", ">= 0"),
    Column("n_members", INT, "training images scored; track stealing: planted inputs", "images", ">= 1"),
    Column("n_controls", INT, "controls scored: same size, classes and distribution, never trained on", "images", ">= 1"),
    Column("n_candidates", INT, "candidates over all runs", "images", ">= 0"),
    Column("n_submitted", INT, "candidates that the attacker's own ranking submits", "images", ">= 0"),
    Column("runs", INT, "runs of the sweep whose candidates were pooled", "runs", ">= 1"),
    Column("stack", INT, "runs, of this cell and of others, that were stepped together as one tensor program, at most", "runs", ">= 1"),
    Column("stack_halvings", INT, "times that a stack of targets or of runs was halved because memory ran out", "1", ">= 0"),
    Column("lpips_reason", TEXT, "why LPIPS is null; empty when it is not"),
    Column("train_accuracy", FLOAT, "accuracy of the target on its members", "share", "[0, 1]", decimals=6),
    Column("test_accuracy", FLOAT, "accuracy of the target on images of the same distribution", "share", "[0, 1]", decimals=6),
    Column("train_loss", FLOAT, "final training loss of the target", "1", ">= 0"),
    Column("epochs_run", INT, "full-batch steps done", "steps", ">= 0"),
    Column(
        "kkt_residual",
        FLOAT,
        "relative KKT residual at the true data: 0 is a KKT point, 1 no nearer than zero multipliers",
        "1",
    ),
    Column("attack_loss", FLOAT, "the attack's own final objective"),
    Column("seconds_train", FLOAT, "time to train the target; of a cached target, when it was trained", "s", ">= 0", decimals=3),
    Column("seconds_attack", FLOAT, "time of the attack, all runs", "s", ">= 0", decimals=3),
    Column("seconds_score", FLOAT, "time of the scoring", "s", ">= 0", decimals=3),
    Column("peak_memory_mb", FLOAT, "peak memory of the attack", "MiB", ">= 0", decimals=1),
    Column("device", TEXT, "device of the attack"),
    Column("code_version", TEXT, "version of this program"),
    Column("data_digest", TEXT, "digest of the data set's content"),
    Column("versions", TEXT, "library versions", json=True),
    Column("python", TEXT, "Python version"),
    Column("platform", TEXT, "operating system and machine"),
    Column("finished_at", TIME, "when the cell was finished", "UTC"),
)


def _metric(name: str, description: str, unit: str, range_: str, direction: Direction, decimals: int = 4) -> Column:
    return Column(name, SINGLE, description, unit, range_, direction, decimals)


IMAGES: tuple[Column, ...] = (
    Column("schema_version", TINY, "version of this schema; old files load, newer ones are refused"),
    Column("cell_id", TEXT, "cell of scores.parquet; part of the key"),
    Column("split", TEXT, "member or control; part of the key"),
    Column("index", SMALL, "position in the split; part of the key", "", ">= 0"),
    Column("label", TINY, "class of the image"),
    _metric("ssim", "SSIM (Gaussian window) with the one-to-one partner; null: no partner, a miss", "1", "[-1, 1]", "higher"),
    _metric("ssim_w3", "SSIM in the authors' window (3x3 Gaussian, std 1.5) with the one-to-one partner", "1", "[-1, 1]", "higher"),
    _metric("lpips", "LPIPS (AlexNet) with the one-to-one partner", "1", ">= 0", "lower"),
    _metric("psnr", "PSNR with the one-to-one partner", "dB", ">= 0", "higher", 2),
    _metric("ncc", "normalised cross-correlation with the one-to-one partner", "1", "[-1, 1]", "higher"),
    _metric("nn_ssim", "SSIM (Gaussian window) with the nearest submitted candidate, many-to-one", "1", "[-1, 1]", "higher"),
    _metric("oracle_ssim", "SSIM (Gaussian window) one-to-one over all candidates", "1", "[-1, 1]", "higher"),
    _metric("haim_ssim", "SSIM (window 3) under protocol haim2022", "1", "[-1, 1]", "higher"),
    _metric("mse", "mean squared error of the answer (track informed)", "1", "[0, 1]", "lower", 5),
    _metric("pool_mse", "mean squared error of the nearest image of the public pool (track informed)", "1", "[0, 1]", "none", 5),
    _metric("pool_ssim", "SSIM of the most similar image of the public pool (track informed)", "1", "[-1, 1]", "none"),
    _metric(
        "margin",
        "the constraint gᵢ of the released network at the image: y·Φ(x), or Φ_y(x) minus the best other class",
        "1",
        "",
        "none",
        7,  # differences near the margin are small
    ),
    _metric(
        "multiplier",
        "λᵢ of the member that best explains the weights (the largest by size, of several); null: a control",
        "1",
        "",
        "none",
        7,  # they span orders of magnitude
    ),
    Column(
        "planted",
        TINY,
        "1: planted by a defence (of a control: unplanted, but of that kind); 0: ordinary; null: no such defence",
        "",
        "0, 1",
    ),
    Column(
        "transferred", TINY, "track stealing: 1 if the thief's network gives the input its planted (or drawn) label, else 0", "", "0, 1"
    ),
    _metric("clean_rate", "track stealing: share of the clean networks that give it that label", "share", "[0, 1]", "none"),
    _metric(
        "query_distance",
        "track stealing: root mean squared pixel distance to the nearest image that the oracle was asked about; null: it was asked about "
        "none, or about too many to be kept",
        "1",
        "[0, 1]",
        "none",
    ),
    _metric(
        "gradient_norm",
        "track stealing: Euclidean norm, at the input, of the gradient by the image of the planted (or drawn) label's output minus the "
        "largest other one, of the owner's network",
        "outputs a pixel value",
        ">= 0",
        "none",
    ),
    Column("candidate", SMALL, "rank of the one-to-one partner among the candidates; -1: none", "", ">= -1"),
    Column("truth_png", BYTES, "thumbnail of the true image; only for cells that figures show", "PNG"),
    Column("recon_png", BYTES, "thumbnail of its partner; only for cells that figures show", "PNG"),
)

TABLES: dict[str, tuple[Column, ...]] = {"scores": SCORES, "images": IMAGES}
SCORE_KEY = ("grid", "cell_id")
IMAGE_KEY = ("cell_id", "split", "index")
STATUSES = ("ok", "skipped", "failed", "timeout")
COST_COLUMNS = ("seconds_train", "seconds_attack", "seconds_score", "peak_memory_mb", "device")
PROVENANCE_COLUMNS = ("code_version", "versions", "python", "platform", "finished_at")
LABEL_COLUMNS = ("grid_title", "grid_question", "grid_published", "gallery", "axis", "axis_index")  # of the grid's file, not of the cell


def schema(table: Literal["scores", "images"]) -> pa.Schema:
    """The Arrow schema of a table, with field metadata (description, unit, range, direction) and file metadata."""
    metadata = {"schema_version": str(SCHEMA_VERSION), "protocol": PROTOCOL, "table": f"reconbench.{table}"}
    return pa.schema([column.field() for column in TABLES[table]], metadata=metadata)


def describe_schema() -> str:
    """Both tables as Markdown: column, type, unit, range, which direction is better for the attacker, meaning."""
    lines = [f"Schema version {SCHEMA_VERSION}, score protocol {PROTOCOL}. Missing values are null."]
    for name, key in (("scores", SCORE_KEY), ("images", IMAGE_KEY)):
        lines += ["", f"## {name}.parquet (key: {', '.join(key)})", "", "| column | type | unit | range | better | meaning |"]
        lines += ["|---|---|---|---|---|---|"]
        for c in TABLES[name]:
            cells = (f"`{c.name}`", str(c.type), c.unit, c.range, "" if c.direction == "none" else c.direction, c.description)
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def described(name: str) -> list[str]:
    """A column in words, once for each table that has it."""
    return [
        f"column {c.name} of {table}.parquet: {c.description}\n  type: {c.type}"
        + "".join(f", {what}: {value}" for what, value in (("unit", c.unit), ("range", c.range)) if value)
        + ("" if c.direction == "none" else f"; {c.direction} is better for the attacker")
        for table in ("scores", "images")
        for c in TABLES[table]
        if c.name == name
    ]


# --- rows to tables -------------------------------------------------------------------------------------------------------------------


def to_table(rows: Sequence[Mapping[str, Any]] | pd.DataFrame, table: Literal["scores", "images"]) -> pa.Table:
    """Validates rows against the schema; columns that are absent become null.

    Raises:
        BenchError: an unknown column (with the nearest known one), a value of the wrong type, a status that is none, or a null key.
    """
    columns = TABLES[table]
    known = {column.name for column in columns}
    given = list(rows.columns) if isinstance(rows, pd.DataFrame) else list(dict.fromkeys(key for row in rows for key in row))
    for name in given:
        if name not in known:
            raise BenchError(
                f"unknown column '{name}' in a row of {table}.{did_you_mean(str(name), known)}",
                expected="columns of bench.store",
                got=repr(name),
                hint="python -m bench info schema",
            )
    arrays = []
    for column in columns:
        if column.name == "schema_version":
            arrays.append(pa.array([SCHEMA_VERSION] * len(rows), column.type))
        elif isinstance(rows, pd.DataFrame):
            arrays.append(_from_series(rows[column.name], column) if column.name in given else pa.nulls(len(rows), column.type))
        else:
            arrays.append(_from_values([row.get(column.name) for row in rows], column))
    result = pa.Table.from_arrays(arrays, schema=schema(table))
    for name in SCORE_KEY if table == "scores" else IMAGE_KEY:
        if result[name].null_count:
            raise BenchError(f"a row of {table} has no {name}", expected=f"a value of {name}, which is part of the key", got="null")
    if table == "scores":
        for status in result["status"].unique().to_pylist():
            if status not in STATUSES:
                raise BenchError(f"a row of {table} has a status that is none", expected=" | ".join(STATUSES), got=repr(status))
    return result


def _from_values(values: list[Any], column: Column) -> pa.Array:
    clean = []
    for value in values:
        if hasattr(value, "item") and not isinstance(value, (str, bytes)):
            value = value.item()  # numpy and torch scalars
        if column.json and value is not None and not isinstance(value, str):
            value = json.dumps(value, ensure_ascii=False, default=str)
        if isinstance(value, float) and math.isnan(value):
            value = None
        if isinstance(value, bool) and not pa.types.is_boolean(column.type):
            raise _wrong_type(column, value)
        if isinstance(value, float) and pa.types.is_integer(column.type):
            if not value.is_integer():  # Arrow would cut it off in silence
                raise _wrong_type(column, value)
            value = int(value)
        if isinstance(value, float) and column.decimals is not None:
            value = round(value, column.decimals)
        if column.type == TIME and isinstance(value, str):
            value = datetime.fromisoformat(value.replace("Z", "+00:00"))
        if isinstance(value, datetime) and value.tzinfo is None:
            value = value.replace(tzinfo=timezone.utc)
        clean.append(value)
    try:
        return pa.array(clean, column.type)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, TypeError):
        for value in clean:
            try:
                pa.array([value], column.type)
            except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, TypeError):
                raise _wrong_type(column, value) from None
        raise


def _from_series(series: pd.Series, column: Column) -> pa.Array:
    if column.decimals is not None and pd.api.types.is_float_dtype(series.dtype):
        series = series.astype("float64").round(column.decimals)
    try:
        array = pa.array(series, from_pandas=True)
        if isinstance(array, pa.ChunkedArray):
            array = array.combine_chunks()
        return array.cast(column.type)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return _from_values([None if value is pd.NaT else value for value in series.tolist()], column)


def _wrong_type(column: Column, value: Any) -> BenchError:
    return BenchError(
        f"column '{column.name}' got a value of the wrong type",
        expected=f"{column.type} ({column.description})",
        got=f"{type(value).__name__} {value!r}"[:200],
        hint="python -m bench info schema",
    )


def setting_row(setting: Setting) -> Row:
    """A setting flattened into its columns (``dataset_display`` and ``input_shape`` come from the data, not from the setting)."""
    row = setting.model_dump()
    row |= {"classes": str(row["classes"]), "hidden": "-".join(map(str, row["hidden"]))}
    convolutions = setting.model == "cnn"
    row |= {"channels": "-".join(map(str, row["channels"])) if convolutions else None}
    row |= {} if setting.optimizer == "adam" else {"batch_size": None}
    return row if convolutions else row | {"kernel": None, "pooling": None}


def empty(table: Literal["scores", "images"]) -> pd.DataFrame:
    """A table without rows, with every column."""
    return schema(table).empty_table().to_pandas()
