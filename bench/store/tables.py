"""Tables as Parquet files, and which of several rows under one key counts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import IO, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.errors import BenchError
from bench.schema import IMAGE_KEY, SCHEMA_VERSION, SCORE_KEY, protocol_number, schema
from bench.schema import columns as columns_of

COUNTS, MOST = ("n_members", "n_controls"), 10**7  # images a side; intervals are computed over as many
FACTS = ("unit", "range", "direction")  # of a column
DEEPEST = 100  # levels of JSON in a value; the parser gives up at some hundreds
WHOLE = b"whole"  # in the metadata of a file whose grid has no other that counts (``bench.store.split``)


def serialise(table: pa.Table, *, whole: bool = False) -> bytes:
    """Parquet bytes: the same rows give the same bytes.

    Files are many and have few rows. So what has a price for each column and file is left out: dictionaries, statistics, and Arrow's own
    schema, which holds the descriptions of all columns. Units, ranges and directions are there, each as JSON, column → text.
    """
    told = dict(table.schema.metadata or {})
    for fact in FACTS:
        texts = {field.name: (field.metadata or {}).get(fact.encode(), b"").decode() for field in table.schema}
        told[f"{fact}s".encode()] = json.dumps({name: text for name, text in texts.items() if text not in ("", "none")}).encode()
    if whole:
        told[WHOLE] = b"1"
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        table.schema,
        compression="zstd",
        compression_level=9,
        use_dictionary=False,
        write_statistics=False,
        store_schema=False,
        write_page_checksum=True,
    ) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata(told)
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


def is_whole(file: IO[bytes] | pa.NativeFile) -> bool:
    """Whether a file says that the others of its grid do not count; one that cannot be read says nothing."""
    try:
        return WHOLE in (pq.read_metadata(file).metadata or {})
    except (pa.ArrowException, OSError, ValueError):
        return False


def same_table(one: bytes, two: bytes, table: Literal["scores", "images"]) -> bool:
    """Whether two files hold the same columns and rows, and say the same of the others of their grid.

    Of files that are read together, as pandas reads a folder, the first says which columns there are. So the same rows without a column
    that is null for all of them are not the same.
    """
    if one == two:
        return True
    try:
        schemas = [pq.read_schema(pa.BufferReader(content)) for content in (one, two)]
        marks = [is_whole(pa.BufferReader(content)) for content in (one, two)]
        return schemas[0].equals(schemas[1]) and marks[0] == marks[1] and read(one, "", table).equals(read(two, "", table))
    except (CorruptError, pa.ArrowException, OSError, ValueError):
        return False


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
