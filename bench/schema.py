"""The columns of the two Parquet tables: name, type, unit, range, direction and meaning of each; and rows checked against them.

``scores`` has one row per grid × cell (a cell is one setting, seed included, under one attack); ``images`` one row per cell × image,
members and controls alike. ``columns`` is the only definition: what is listed here, and what the registered metrics and tracks bring.
Units, ranges and directions travel in the metadata of every file, and the schema version; the score protocol is that of a row's track when
the row was made, and a column.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Literal, get_args

import pandas as pd
import pyarrow as pa

from bench import registry
from bench.api import Row, Setting
from bench.errors import BenchError, did_you_mean

SCHEMA_VERSION = 1

TEXT, INT, SMALL, TINY, FLOAT, SINGLE, BYTES = pa.string(), pa.int64(), pa.int32(), pa.int16(), pa.float64(), pa.float32(), pa.binary()
TIME = pa.timestamp("us", tz="UTC")
FLOATS = (FLOAT, SINGLE)

Table = Literal["scores", "images"]
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


def protocol_number(protocol: str | None) -> int:
    """2 of ``v2``: rows of a later score protocol take the place of earlier ones; 0 of anything else."""
    digits = (protocol or "").removeprefix("v")
    return int(digits) if digits.isdecimal() and len(digits) < 10 else 0


def share(name: str, description: str, direction: Direction = "none") -> Column:
    return Column(name, FLOAT, description, "share", "[0, 1]", direction, decimals=6)


def excess(prefix: str, description: str) -> list[Column]:
    """Recall of members and of controls under one selection rule, their difference, and the difference's 95 % interval."""
    low, high = f"{prefix}excess_recall_lo", f"{prefix}excess_recall_hi"
    return [
        share(f"{prefix}recall_members", f"members above the threshold, {description}", "higher"),
        share(f"{prefix}recall_controls", f"controls above the threshold, {description}", "lower"),
        Column(
            f"{prefix}excess_recall", FLOAT, f"recall of members minus that of controls, {description}", "share", "[-1, 1]", "higher", 6
        ),
        Column(low, FLOAT, f"lower end of the 95 % bootstrap interval over images, {description}", "share", "[-1, 1]", decimals=6),
        Column(high, FLOAT, f"upper end of the 95 % bootstrap interval over images, {description}", "share", "[-1, 1]", decimals=6),
    ]


_ROUNDING = "coarsest rounding of the factors of float32 products, ieee (none), tf32 (11 bits) or bf16 (8 bits), that"

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

_SCORES_BEFORE: tuple[Column, ...] = (
    Column("schema_version", TINY, "version of this schema; old files load, newer ones are refused"),
    Column("protocol", TEXT, "version of the track's score protocol, v1, v2, …; rows of two are never averaged"),
    Column("track", TEXT, "kind of attack, e.g. reconstruction"),
    Column("grid", TEXT, "grid that the cell was run for; part of the key"),
    Column("grid_title", TEXT, "title of the grid's page"),
    Column("grid_question", TEXT, "the question that the grid asks"),
    Column("grid_published", TEXT, "figures that the grid's paper prints, to stand beside ours; null: none", json=True),
    Column("gallery", SMALL, "members with thumbnails of a shown cell, best first; null: the six of a strip", "images", "[1, 100]"),
    Column("cell_id", TEXT, "16 hex digits: hash of target, attack, parameters, sweep, versions; without the grid; part of the key"),
    Column("target_id", TEXT, "16 hex digits: hash of the setting, the data and the version of the training code"),
    Column("attack", TEXT, "registered name of the attack or control"),
    Column("attack_version", TEXT, "declared version of the attack, or hash of its source; of a plug-in from elsewhere both"),
    Column("attack_source", TEXT, "16 hex digits: hash of its file and of those of the project that it imports; null: not recorded"),
    Column("attack_params", TEXT, "hyperparameters of the attack that differ from its defaults", json=True),
    Column("attack_defaults", TEXT, "hyperparameters of the attack that stayed at their defaults", json=True),
    Column("sweep", TEXT, "hyperparameters drawn per run, their ranges and the number of runs; null: no sweep", json=True),
    Column(
        "sweep_runs",
        TEXT,
        "of each run of the sweep: number, drawn hyperparameters, its own final loss, its objective (name, which side is better, "
        "value), members and controls over the threshold when its candidates alone are scored; of a race also the rung on which it ended, "
        "and no scores of runs that dropped out; null: no sweep",
        json=True,
    ),
    Column(
        "rungs",
        TEXT,
        "of a sweep that was raced (its `halving`), rung by rung: how many runs, and the budget of each under the name of the attack's "
        "hyperparameter; every rung begins anew, so the sum of the products is what the race took; null: no race",
        json=True,
    ),
    Column("role", TEXT, "attack, or control (a null model)"),
    Column("access", TEXT, "what the attack may see, tiers joined by '+'"),
    Column("axis", TEXT, "the cell's labels on the grid's axes, in grid order", json=True),
    Column("axis_index", SMALL, "position of the setting (seed aside) in the grid", "", ">= 0"),
    *SETTING_COLUMNS,
    Column("defense_against", TEXT, "attacks that know of the defence and adapt to it, as it names them, joined by '+'; null: none"),
    Column("status", TEXT, "ok, skipped, failed or timeout"),
    Column("reason", TEXT, "why the status is not ok; empty when it is"),
    Column(
        "stderr",
        TEXT,
        "of a cell that failed in a worker process: the last 2000 characters that the process printed over its batch; never published",
    ),
    *excess("", "SSIM > 0.4 after one-to-one pairing with the submitted candidates (headline)"),
    Column("recall_members_lo", FLOAT, "lower end of the 95 % interval of recall_members", "share", "[0, 1]", decimals=6),
    Column("recall_members_hi", FLOAT, "upper end of the 95 % interval of recall_members", "share", "[0, 1]", decimals=6),
    Column("recall_controls_lo", FLOAT, "lower end of the 95 % interval of recall_controls", "share", "[0, 1]", decimals=6),
    Column("recall_controls_hi", FLOAT, "upper end of the 95 % interval of recall_controls", "share", "[0, 1]", decimals=6),
    share("auc", "area under the ROC curve of one-to-one SSIM, members (positive) against controls", "higher"),
    Column("auc_lo", FLOAT, "lower end of the 95 % interval of auc", "share", "[0, 1]", decimals=6),
    Column("auc_hi", FLOAT, "upper end of the 95 % interval of auc", "share", "[0, 1]", decimals=6),
    share("tpr_at_1fpr", "true positive rate of the same test at a false positive rate of at most 1 %", "higher"),
)
_SCORES_AFTER: tuple[Column, ...] = (
    share("planted_owner", "planted inputs to which the owner's network gives the planted label"),
    Column("n_members", INT, "training images scored; track stealing: planted inputs", "images", ">= 1"),
    Column("n_controls", INT, "controls scored: same size, classes and distribution, never trained on", "images", ">= 1"),
    Column("n_candidates", INT, "candidates over all runs", "images", ">= 0"),
    Column("n_submitted", INT, "candidates that the attacker's own ranking submits", "images", ">= 0"),
    Column("runs", INT, "runs of the sweep whose candidates were pooled; of a race those of its last rung", "runs", ">= 1"),
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
    Column("attack_loss", FLOAT, "the attack's own final loss, lower is better; of a sweep the least"),
    Column(
        "transplant",
        FLOAT,
        "the track's headline where the attack was given this release with the network of another seed, scored against this cell's own "
        "members and controls, or the controls moved to the members' mean if that is less; chance where the attack failed; null: see "
        "transplant_reason",
        "",
        "",
        decimals=6,
    ),
    share("transplant_members", "members that are hits there, by the share that the headline counts"),
    share("transplant_controls", "controls, or moved ones, that are hits there, likewise"),
    Column("transplant_seed", INT, "the seed whose network it was", "", ">= 0"),
    Column("transplant_reason", TEXT, "why transplant is null, or chance because the attack failed there; else empty; null: not recorded"),
    Column("seconds_train", FLOAT, "time to train the target; of a cached target, when it was trained", "s", ">= 0", decimals=3),
    Column("seconds_attack", FLOAT, "time of the attack, all runs", "s", ">= 0", decimals=3),
    Column("seconds_score", FLOAT, "time of the scoring", "s", ">= 0", decimals=3),
    Column("seconds_transplant", FLOAT, "time of the attack on the transplant and of its scoring", "s", ">= 0", decimals=3),
    Column("peak_memory_mb", FLOAT, "peak memory of the attack", "MiB", ">= 0", decimals=1),
    Column("device", TEXT, "device of the attack"),
    Column("rounding_train", TEXT, f"{_ROUNDING} training allowed; null: trained before this was kept"),
    Column("rounding_attack", TEXT, f"{_ROUNDING} the attack allowed, of all cells that ran with it; scoring allows none"),
    Column(
        "isolation",
        TEXT,
        "what held the attack apart from the secret: bwrap, a process of its own in a sandbox; process, one without; imported, one, but "
        "the process that knows the secret had to import the plug-in's file; none, it ran in the process that knows the secret; "
        "null: not recorded",
    ),
    Column("code_version", TEXT, "version of this program"),
    Column("data_digest", TEXT, "digest of the data set's content"),
    Column("versions", TEXT, "library versions", json=True),
    Column("python", TEXT, "Python version"),
    Column("platform", TEXT, "operating system and machine"),
    Column("finished_at", TIME, "when the cell was finished", "UTC"),
    Column("submission", TEXT, "folder of submissions/ that the row is from; null: run by this project"),
    Column("submitted_by", TEXT, "who submitted it, as that folder says"),
    Column("submitted_at", TEXT, "when, UTC, 2026-01-31, as that folder says"),
)


def single(name: str, description: str, unit: str, range_: str, direction: Direction, decimals: int = 4) -> Column:
    return Column(name, SINGLE, description, unit, range_, direction, decimals)


_IMAGES_BEFORE: tuple[Column, ...] = (
    Column("schema_version", TINY, "version of this schema; old files load, newer ones are refused"),
    Column("cell_id", TEXT, "cell of table scores; part of the key"),
    Column("split", TEXT, "member or control; part of the key"),
    Column("index", SMALL, "position in the split; part of the key", "", ">= 0"),
    Column("label", TINY, "class of the image"),
)
_IMAGES_AFTER: tuple[Column, ...] = (
    Column("candidate", SMALL, "rank of the one-to-one partner among the candidates; -1: none", "", ">= -1"),
    Column("truth_png", BYTES, "thumbnail of the true image; only for cells that figures show", "PNG"),
    Column("recon_png", BYTES, "thumbnail of its partner; only for cells that figures show", "PNG"),
)

SCORE_KEY = ("grid", "cell_id")
IMAGE_KEY = ("cell_id", "split", "index")
STATUSES = ("ok", "skipped", "failed", "timeout")
COST_COLUMNS = ("seconds_train", "seconds_attack", "seconds_score", "seconds_transplant", "peak_memory_mb", "device")
TRANSPLANT_COLUMNS = ("transplant", "transplant_members", "transplant_controls", "transplant_seed", "transplant_reason")
PROVENANCE_COLUMNS = ("rounding_train", "rounding_attack", "isolation", "code_version", "versions", "python", "platform", "finished_at")
SUBMITTED_COLUMNS = ("submission", "submitted_by", "submitted_at")
LABEL_COLUMNS = ("grid_title", "grid_question", "grid_published", "gallery", "axis", "axis_index")  # of the grid's file, not of the cell


TRACKS = ("reconstruction", "informed", "stealing")  # their columns come first, in this order; others by name
BUILT_IN = ("ssim", "ssim_w3", "lpips", "psnr", "ncc", "mse")  # come first, in this order; others by name


@dataclass(frozen=True)
class Measured:
    """What the tables know of a metric without importing it (see ``bench.api.Metric``)."""

    name: str
    label: str
    summary: str
    unit: str
    range: tuple[float, float | None]
    better: Direction
    statistics: tuple[str, ...]
    decimals: int
    shown: int

    @property
    def interval(self) -> str:
        """The range as the schema words it."""
        low, high = self.range
        return f">= {low:g}" if high is None else f"[{low:g}, {high:g}]"

    @property
    def headline(self) -> str:
        """The score column that tables show; nothing where the metric has no statistic."""
        return f"{self.name}_{self.statistics[0]}" if self.statistics else ""

    def image_column(self) -> Column:
        """Its column in the image rows."""
        said = f"{self.summary}; of an image and its partner, null: no partner, or the metric was not computed"
        return Column(self.name, SINGLE, said, self.unit, self.interval, self.better, self.decimals)

    def statistic_columns(self) -> list[Column]:
        """Its columns in the score rows, for members and for controls."""
        said = [(f"{self.name}_{statistic}", f"{statistic} {self.label} of the pairs") for statistic in self.statistics]
        return [
            Column(f"{name}{suffix}", FLOAT, f"{what} over {side}", self.unit, self.interval, direction, 6)
            for name, what in said
            for suffix, side, direction in (("", "members", self.better), ("_controls", "controls", "none"))
        ]


def metrics() -> tuple[Measured, ...]:
    """The registered metrics, the built-in ones first.

    Raises:
        BenchError: literals that are missing or make no sense.
    """
    return _metrics(registry.brought("metric"))


@functools.lru_cache(maxsize=8)
def _metrics(brought: tuple[tuple[str, str, int], ...]) -> tuple[Measured, ...]:
    found = registry.entries("metric")
    return tuple(_measured(found[name]) for name in sorted(found, key=lambda name: (*BUILT_IN, name).index(name)))


def _measured(entry: registry.Entry) -> Measured:
    facts = {what: registry.literal(entry, what) for what in ("label", "unit", "range", "better", "statistics", "decimals", "shown")}
    low, high = facts["range"] if isinstance(facts["range"], tuple) and len(facts["range"]) == 2 else (None, None)
    rules = {
        "label": (isinstance(facts["label"], str) and facts["label"] != "", "a text"),
        "unit": (isinstance(facts["unit"], str), "a text"),
        "range": (isinstance(low, float | int) and (high is None or (isinstance(high, float | int) and low < high)), "(low, high or None)"),
        "better": (facts["better"] in ("higher", "lower"), "'higher' or 'lower'"),
        "statistics": (isinstance(facts["statistics"], tuple) and set(facts["statistics"]) <= {"median", "mean"}, "of 'median', 'mean'"),
        "decimals": (isinstance(facts["decimals"], int), "a whole number"),
        "shown": (isinstance(facts["shown"], int), "a whole number"),
    }
    for what, (holds, expected) in rules.items():
        if not holds:
            raise BenchError(
                f"metric '{entry.name}' has no {what} that tables can use",
                expected=f"{what} = {expected}, as a literal in the class",
                got=repr(facts[what]),
                hint="CONTRIBUTING.md has a complete example",
            )
    return Measured(entry.name, summary=entry.summary.rstrip("."), **facts)


def columns(table: Table) -> tuple[Column, ...]:
    """All columns of a table, those of the metrics and tracks that are registered now among them.

    Raises:
        BenchError: a metric or a track that wants a column that is there already and is another.
    """
    return _columns(table, (*registry.brought("metric"), *registry.brought("track")))


@functools.lru_cache(maxsize=16)
def _columns(table: Table, brought: tuple[tuple[str, str, int], ...]) -> tuple[Column, ...]:
    before, after = (_SCORES_BEFORE, _SCORES_AFTER) if table == "scores" else (_IMAGES_BEFORE, _IMAGES_AFTER)
    taken = {column.name: column for column in (*before, *after)}
    added: list[Column] = []
    for owner, own in _brought(table):
        for column in own:
            if column.name not in taken:
                taken[column.name] = column
                added.append(column)
            elif taken[column.name] != column or owner.startswith("metric"):
                raise BenchError(
                    f"{owner} wants a column that is there already",
                    expected="a name of its own",
                    got=f"column '{column.name}' of {table}",
                    hint="rename it; python -m bench info schema lists the columns",
                )
    return (*before, *added, *after)


def _brought(table: Table) -> Iterator[tuple[str, Sequence[Column]]]:
    """Who adds columns, and which."""
    for metric in metrics():
        yield f"metric '{metric.name}'", metric.statistic_columns() if table == "scores" else [metric.image_column()]
    for name in sorted(registry.entries("track"), key=lambda name: (*TRACKS, name).index(name)):
        yield f"track '{name}'", registry.get("track", name)().columns(table)


def schema(table: Table) -> pa.Schema:
    """The Arrow schema of a table, with field metadata (description, unit, range, direction) and file metadata."""
    return _schema(table, (*registry.brought("metric"), *registry.brought("track")))


@functools.lru_cache(maxsize=16)
def _schema(table: Table, brought: tuple[tuple[str, str, int], ...]) -> pa.Schema:
    metadata = {"schema_version": str(SCHEMA_VERSION), "table": f"reconbench.{table}"}
    return pa.schema([column.field() for column in _columns(table, brought)], metadata=metadata)


def describe_schema() -> str:
    """Both tables as Markdown: column, type, unit, range, which direction is better for the attacker, meaning."""
    names = sorted(registry.entries("track"), key=lambda name: (*TRACKS, name).index(name))
    protocols = ", ".join(f"{name} {registry.get('track', name).protocol}" for name in names)
    lines = [f"Schema version {SCHEMA_VERSION}; score protocols: {protocols}. Missing values are null."]
    keys: tuple[tuple[Table, tuple[str, ...]], ...] = (("scores", SCORE_KEY), ("images", IMAGE_KEY))
    for name, key in keys:
        lines += ["", f"## {name}/*.parquet (key: {', '.join(key)})", "", "| column | type | unit | range | better | meaning |"]
        lines += ["|---|---|---|---|---|---|"]
        for c in columns(name):
            cells = (f"`{c.name}`", str(c.type), c.unit, c.range, "" if c.direction == "none" else c.direction, c.description)
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def described(name: str) -> list[str]:
    """A column in words, once for each table that has it."""
    return [
        f"column {c.name} of {table}/*.parquet: {c.description}\n  type: {c.type}"
        + "".join(f", {what}: {value}" for what, value in (("unit", c.unit), ("range", c.range)) if value)
        + ("" if c.direction == "none" else f"; {c.direction} is better for the attacker")
        for table in get_args(Table)
        for c in columns(table)
        if c.name == name
    ]


# --- rows to tables -------------------------------------------------------------------------------------------------------------------


def to_table(rows: Sequence[Mapping[str, Any]] | pd.DataFrame, table: Table) -> pa.Table:
    """Validates rows against the schema; columns that are absent become null.

    Raises:
        BenchError: an unknown column (with the nearest known one), a value of the wrong type, a status that is none, or a null key.
    """
    wanted = columns(table)
    known = {column.name for column in wanted}
    given = list(rows.columns) if isinstance(rows, pd.DataFrame) else list(dict.fromkeys(key for row in rows for key in row))
    for name in given:
        if name not in known:
            raise BenchError(
                f"unknown column '{name}' in a row of {table}.{did_you_mean(str(name), known)}",
                expected="a column of the schema, or the name of a registered metric (--plugin)",
                got=repr(name),
                hint="python -m bench info schema",
            )
    arrays = []
    for column in wanted:
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
    kinds = set(map(type, values)) - {type(None)}
    if not kinds:  # most columns belong to other tracks
        return pa.nulls(len(values), column.type)
    if kinds == {float} and column.type in FLOATS:  # most of the others: in one go
        digits = column.decimals
        kept = [None if value is None or math.isnan(value) else value if digits is None else round(value, digits) for value in values]
        return pa.array(kept, column.type)
    if kinds == {str} and column.type == TEXT:
        return pa.array(_in_utf8(values), TEXT)
    clean: list[Any] = []
    for value in values:
        if value is None:
            clean.append(None)
            continue
        if hasattr(value, "item") and not isinstance(value, (str, bytes)):
            value = value.item()  # numpy and torch scalars
        if column.json and not isinstance(value, str):
            value = json.dumps(value, ensure_ascii=False, default=str)
        if isinstance(value, str):
            value = _in_utf8([value])[0]
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


def _in_utf8(texts: list[Any]) -> list[Any]:
    """The texts; where one holds half a character, which no file can, its escape instead: no row is lost for that."""
    try:
        "".join(text for text in texts if text).encode()
        return texts
    except UnicodeEncodeError:
        return [text and text.encode(errors="backslashreplace").decode() for text in texts]


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


def empty(table: Table) -> pd.DataFrame:
    """A table without rows, with every column."""
    return schema(table).empty_table().to_pandas()
