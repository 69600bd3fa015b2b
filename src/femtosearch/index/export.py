"""Export: the documents of an index are written to JSON lines or Parquet, which other programs read."""

from __future__ import annotations

import base64
import gzip
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO

from femtosearch.disk import refusal, whole_file
from femtosearch.fde import Fde
from femtosearch.frozen import frozen
from femtosearch.index.catalog import Catalog
from femtosearch.index.interchange import HEADER, header_of, kind_of, parquet
from femtosearch.index.schema import Origin
from femtosearch.index.snapshot import Snapshot
from femtosearch.index.where import EVERYTHING, Filter, compile_filter

_GROUP = 1000  # documents of a row group


@frozen
class Record:
    """A document as it is exported.

    passages:  a mapping with `span`, `rows` (how many), `codes` and `scales` for each; None without vectors.
    """

    id: str
    text: str
    metadata: dict[str, Any]
    passages: list[dict[str, Any]] | None


def export(catalog: Catalog, snapshot: Snapshot, path: Path, filter: Filter | None, *, vectors: bool) -> int:
    """Write the documents of a snapshot that pass a filter, in the order in which they were added. Returns
    their number.

    The file is written whole or not at all. Raises StoreError; OutdatedError if a commit came in between.
    """
    kind = kind_of(path)
    bits = snapshot.state.row_bits
    header = header_of(catalog.origin, bits) if vectors else None

    def write(reader: sqlite3.Connection) -> int:
        records = _records(catalog, reader, snapshot, filter, bits if vectors else None)
        with whole_file(path) as file:
            if kind == ".parquet":
                return _write_parquet(file, records, header)
            with _compressed(file, kind) as lines:
                return _write_lines(lines, records, header)

    try:
        return catalog.read_long_at(snapshot.state, write)
    except OSError as error:
        raise refusal(error, str(path)) from error


@frozen(eq=False)
class Handed:
    """The content of an index as of one moment, for a caller that stores it elsewhere.

    fde:      the FDE, and fde_content: the bytes that it is stored as; None if the index has none.
    row_bits: how many bits a number of the rows has, 8 or 4.
    records:  the documents with the coded rows of their passages, read from the index one by one.
    """

    origin: Origin
    fde: Fde | None
    fde_content: bytes | None
    row_bits: int
    records: Iterator[Record]


def hand_over(
    catalog: Catalog, snapshot: Snapshot, filter: Filter | None, keep: Callable[[Handed], int]
) -> int:
    """Call `keep` with the content of a snapshot, which can be read until it returns; the result is `keep`'s.

    Raises OutdatedError if a commit came in between.
    """
    digest = snapshot.state.fde
    content, fde = (None, None) if digest is None else (catalog.fde_content(digest), snapshot.encoding.fde)

    def contents(reader: sqlite3.Connection) -> int:
        bits = snapshot.state.row_bits
        records = _records(catalog, reader, snapshot, filter, bits)
        return keep(Handed(catalog.origin, fde, content, bits, records))

    return catalog.read_long_at(snapshot.state, contents)


def _records(
    catalog: Catalog, reader: sqlite3.Connection, snapshot: Snapshot, filter: Filter | None, bits: int | None
) -> Iterator[Record]:
    """The documents that pass a filter. bits: of a number of their rows; None to leave the rows out."""
    condition = EVERYTHING if filter is None else compile_filter(filter)
    sql = f"SELECT * FROM documents WHERE {condition.sql} ORDER BY key"
    passages = iter(()) if bits is None else _passages(snapshot, bits)
    at, current = next(passages, (1 << 62, []))
    for row in reader.execute(sql, condition.parameters):
        document = catalog.document(row)
        while at < row[0]:
            at, current = next(passages, (1 << 62, []))
        own_passages = None if bits is None else current if at == row[0] else []
        yield Record(document.id, document.text, document.metadata, own_passages)


def _passages(snapshot: Snapshot, bits: int) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """The key and the passages of each document that has any, by rising keys."""
    passages = (passage for view in snapshot.views.values() for passage in _of_view(view, bits))
    for key, group in groupby(passages, key=lambda pair: pair[0]):
        yield key, [passage for _, passage in group]


def _of_view(view: Any, bits: int) -> Iterator[tuple[int, dict[str, Any]]]:
    view.segment.verify()  # or damaged rows would be exported as if they were sound
    for batch in view.segment.batches(view.alive):
        recoded = batch.rows.in_bits(bits, view.segment.dims)
        for n, key in enumerate(batch.keys.tolist()):
            rows = recoded[slice(batch.starts[n], batch.starts[n + 1])]
            yield (
                key,
                {
                    "span": batch.spans[n].tolist(),
                    "rows": len(rows),
                    "codes": rows.values.tobytes(),
                    "scales": rows.scales.astype("<f4").tobytes(),
                },
            )


def _write_lines(file: BinaryIO, records: Iterable[Record], header: dict[str, Any] | None) -> int:
    count = 0
    if header is not None:
        file.write(_line({HEADER: header}))
    for record in records:
        count += 1
        fields: dict[str, Any] = {"id": record.id, "text": record.text, "metadata": record.metadata}
        if record.passages is not None:
            fields["passages"] = [_as_text(passage) for passage in record.passages]
        file.write(_line(fields))
    return count


def _write_parquet(file: BinaryIO, records: Iterable[Record], header: dict[str, Any] | None) -> int:
    arrow = parquet()
    schema = _schema(arrow, header)
    count = 0
    with arrow.parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for _, group in groupby(enumerate(records), key=lambda pair: pair[0] // _GROUP):
            rows = [_row(record) for _, record in group]
            writer.write_table(arrow.Table.from_pylist(rows, schema=schema))
            count += len(rows)
    return count


def _schema(arrow: Any, header: dict[str, Any] | None) -> Any:
    fields = [("id", arrow.string()), ("text", arrow.string()), ("metadata", arrow.string())]
    if header is None:
        return arrow.schema(fields)
    passage = arrow.struct([
        ("span", arrow.list_(arrow.int64())),
        ("rows", arrow.int64()),
        ("codes", arrow.binary()),
        ("scales", arrow.binary()),
    ])  # fmt: skip
    return arrow.schema([*fields, ("passages", arrow.list_(passage))], {HEADER: json.dumps(header)})


def _row(record: Record) -> dict[str, Any]:
    metadata = json.dumps(record.metadata, ensure_ascii=False)
    return {"id": record.id, "text": record.text, "metadata": metadata, "passages": record.passages}


def _as_text(passage: dict[str, Any]) -> dict[str, Any]:
    encoded = {name: base64.b64encode(passage[name]).decode() for name in ("codes", "scales")}
    return {**passage, **encoded}


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"


@contextmanager
def _compressed(file: BinaryIO, kind: str) -> Iterator[BinaryIO]:
    if not kind.endswith(".gz"):
        yield file
        return
    with gzip.GzipFile(fileobj=file, mode="wb", mtime=0) as lines:
        yield lines  # type: ignore[misc]
