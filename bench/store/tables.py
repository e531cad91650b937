"""Tables as Parquet files, and which of several rows under one key counts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.errors import BenchError
from bench.schema import IMAGE_KEY, SCHEMA_VERSION, SCORE_KEY, protocol_number, schema
from bench.schema import columns as columns_of

COUNTS, MOST = ("n_members", "n_controls"), 10**7  # images a side; intervals are computed over as many
DEEPEST = 100  # levels of JSON in a value; the parser gives up at some hundreds


def serialise(table: pa.Table) -> bytes:
    """Parquet bytes: the same rows give the same bytes. Floats are kept as dictionaries, which rounding makes small."""
    sink = pa.BufferOutputStream()
    pq.write_table(
        table, sink, compression="zstd", compression_level=9, use_dictionary=True, write_statistics=True, write_page_checksum=True
    )
    return sink.getvalue().to_pybytes()


def serialise_part(table: pa.Table) -> bytes:
    """Parquet bytes of a few rows, which are soon joined with others. For so few, dictionaries, statistics and zstd's tables cost more than
    the rows themselves: three quarters of the time, and the file is no smaller for it."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="snappy", use_dictionary=False, write_statistics=False, write_page_checksum=True)
    return sink.getvalue().to_pybytes()


def _check_version(file_schema: pa.Schema, place: str) -> None:
    raw = (file_schema.metadata or {}).get(b"schema_version", b"1")
    try:
        version = int(raw)
    except ValueError:
        version = SCHEMA_VERSION
    if version > SCHEMA_VERSION:
        raise BenchError(
            f"{place} was written by a newer version of this program",
            expected=f"schema version {SCHEMA_VERSION} or older",
            got=f"schema version {version}",
            hint="update reconbench",
        )


class CorruptError(Exception):
    """A file that is there but is no Parquet table of ours."""


def read(content: bytes, place: str, table: Literal["scores", "images"], columns: Sequence[str] | None = None) -> pa.Table:
    """A file's content, brought to the current schema: absent columns become null, unknown old ones are left out.

    Args:
        place: how messages name the file.

    Raises:
        BenchError: it is of a newer schema version.
        CorruptError: it is not readable as a table.
    """
    try:
        file = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
        _check_version(file.schema_arrow, place)
        wanted = [c for c in columns_of(table) if columns is None or c.name in columns]
        present = set(file.schema_arrow.names)
        absent = {*(SCORE_KEY if table == "scores" else IMAGE_KEY)} - present  # names of columns lie in no checksummed page
        if absent:
            raise CorruptError(f"no column {', '.join(sorted(absent))}")
        data = file.read(columns=[c.name for c in wanted if c.name in present])
        arrays = [data[c.name].cast(c.type) if c.name in present else pa.nulls(file.metadata.num_rows, c.type) for c in wanted]
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise CorruptError(f"{type(error).__name__}: {error}".splitlines()[0]) from error
    _check_values({c.name: array for c, array in zip(wanted, arrays, strict=True)}, table)
    full = schema(table)
    part = pa.schema([full.field(c.name) for c in wanted], metadata=full.metadata)
    return pa.Table.from_arrays(arrays, schema=part)


def _check_values(found: Mapping[str, pa.ChunkedArray | pa.Array], table: Literal["scores", "images"]) -> None:
    """Raises CorruptError for values that this program never writes, and that whoever reads them would fall over."""
    for name in SCORE_KEY if table == "scores" else IMAGE_KEY:
        if name in found and found[name].null_count:
            raise CorruptError(f"{found[name].null_count} rows without {name}")
    for name in COUNTS:
        most = pc.max(found[name]).as_py() if name in found else None
        if most is not None and most > MOST:
            raise CorruptError(f"a row with {name} {most}, of at most {MOST}")
    for column in columns_of(table):
        texts = found.get(column.name) if column.json else None
        if texts is None or (pc.max(pc.binary_length(texts)).as_py() or 0) <= DEEPEST:
            continue
        for text in texts.to_pylist():
            if text and _depth(text) > DEEPEST:
                raise CorruptError(f"a value of {column.name} that is nested too deeply, beyond {DEEPEST} levels")


def _depth(text: str) -> int:
    """How deep the lists and mappings of a JSON text are nested."""
    depth = deepest = 0
    for mark in re.findall(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', text):
        depth += 1 if mark in "[{" else -1 if mark in "]}" else 0
        deepest = max(deepest, depth)
    return deepest


def take(table: pa.Table, keep: pd.Index | Sequence[int]) -> pa.Table:
    return table.take(pa.array(list(keep), pa.int64())).combine_chunks()


def latest_scores(table: pa.Table, key: Sequence[str] = SCORE_KEY) -> pa.Table:
    """Of the rows with one key keeps those of the latest score protocol, and of these the one finished last; of equals, the one that comes
    last."""
    rank = [name for name in ("protocol", "finished_at") if name in table.column_names]
    keys = table.select([*key, *rank]).to_pandas()
    if not keys.duplicated(list(key)).any():
        return table
    keys["finished_at"] = keys["finished_at"].fillna(pd.Timestamp(0, tz="UTC"))
    if "protocol" in rank:
        keys["protocol"] = keys["protocol"].fillna("").map(protocol_number)
    last = keys.sort_values(rank, kind="stable").drop_duplicates(list(key), keep="last")
    return take(table, sorted(last.index))


def latest_images(parts: Sequence[pa.Table]) -> pa.Table:
    """A cell's image rows all come from the last part that has any, so that two runs of a cell never mix."""
    if not parts:
        return schema("images").empty_table()
    owner: dict[str, int] = {}
    for position, part in enumerate(parts):
        for cell in part["cell_id"].unique().to_pylist():
            owner[cell] = position
    kept = []
    for position, part in enumerate(parts):
        keys = part.select(list(IMAGE_KEY)).to_pandas()
        mine = keys[keys["cell_id"].map(owner) == position].drop_duplicates(keep="last")
        kept.append(part if len(mine) == len(keys) else take(part, mine.index))
    return pa.concat_tables(kept).combine_chunks()
