"""Parquet: a row is a document. Needs the extra [files]."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from femtosearch.errors import missing_extra
from femtosearch.index.json_values import json_scalar, without_nan
from femtosearch.read.content import Content
from femtosearch.read.entries import Entry, Fault
from femtosearch.read.records import entry_of, names

_BATCH = 1024  # rows that are read at once


def entries(content: Content) -> Iterator[Entry | Fault]:
    """The documents of a table, and what is wrong in it."""
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise missing_extra("Parquet", "pyarrow", "files") from error
    options = content.options
    try:
        table = parquet.ParquetFile(content.binary())
        columns = table.schema_arrow.names
        if options.text_column not in columns:
            yield Fault(
                f"expected a column {options.text_column!r}, found {names(columns)}; say which one is the "
                "text (--text-column)"
            )
            return
        number = 0
        for batch in table.iter_batches(_BATCH):
            for row in map(without_nan, batch.to_pylist()):
                number += 1
                record = {name: _plain(value) for name, value in row.items() if value is not None}
                yield entry_of(record, number, options.text_column, options.id_column, needs_text=False)
    except (pyarrow.ArrowException, OSError, ValueError, MemoryError) as error:
        yield Fault(f"expected a Parquet file, found a broken one ({error})")


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, dict):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    value = json_scalar(value)
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)
