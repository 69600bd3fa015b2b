"""Import: the documents of an exported file are added to an index, with their rows if the model is
the same.
"""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from femtosearch.codes import width
from femtosearch.disk import refusal
from femtosearch.errors import DocumentError, StoreError
from femtosearch.frozen import frozen
from femtosearch.index.batch import PassageBatch, RowCodes
from femtosearch.index.commit import Commit
from femtosearch.index.documents import Draft, drafts, id_text
from femtosearch.index.interchange import HEADER, bits_of, kind_of, parquet
from femtosearch.index.json_values import without_nan
from femtosearch.index.schema import Origin
from femtosearch.index.writer import Encode, add_documents, store_draft
from femtosearch.types import Document

_MOST_LINE = 1 << 30  # bytes of a line
_EXPORTED = {"id", "text", "metadata", "passages"}  # of a document with its rows
_GROUP = 100  # rows of a Parquet file that are read at a time


@frozen
class Adopted:
    """How many documents an imported file had, and how many of them came with rows that needed no
    encoding.
    """

    documents: int
    with_rows: int


def adopt(
    commit: Commit, path: Path, encode: Encode, batch: int, progress: Callable[[int], object] | None = None
) -> Adopted:
    """Add the documents of an exported file. Those without rows, or with the rows of another model, are
    encoded.

    batch:     how many documents are encoded at once.
    progress:  called with the number of documents that were added.
    Raises DocumentError, which names the line or row, and StoreError.
    """
    documents = with_rows = 0
    try:
        checked = _checked(path, commit.store.origin)
        for has_rows, group in groupby(checked, key=lambda pair: pair[1] is not None):
            if has_rows:
                for draft, passages in group:
                    key, _, is_new = store_draft(commit, draft)
                    if is_new and passages is not None and len(passages.keys):
                        rows = passages.rows.in_bits(commit.row_bits, commit.dims)
                        commit.append(replace(passages, keys=passages.keys + key, rows=rows))
                    documents, with_rows = documents + 1, with_rows + 1
            else:
                documents += len(
                    add_documents(commit, (draft for draft, _ in group), encode, batch, progress)
                )
            if progress is not None:
                progress(documents)
    except (OSError, EOFError, zlib.error) as error:
        raise refusal(error if isinstance(error, OSError) else OSError(str(error)), str(path)) from error
    return Adopted(documents, with_rows)


def _checked(path: Path, origin: Origin) -> Iterator[tuple[Draft, PassageBatch | None]]:
    """Each document with its passages, whose keys are 0; None in place of them if it has to be encoded."""
    kind, has_header = kind_of(path), False
    bits: int | None = None  # of the rows that are this model's
    for where, record in _rows(path) if kind == ".parquet" else _lines(path, kind):
        if HEADER in record and "text" not in record:
            has_header, bits = True, bits_of(record[HEADER], origin)
            continue
        passages = record.pop("passages", None) if has_header or set(record) == _EXPORTED else None
        draft = _draft(record, where)
        has_rows = bits is not None and passages is not None
        yield draft, _batch(passages, draft.text, (origin.dims, bits or 8), where) if has_rows else None


def _draft(record: dict[str, Any], where: str) -> Draft:
    """Make a document of a record as `export` wrote it, or of a flat one, whose other fields are metadata."""
    if "id" not in record and "_id" in record:  # as BEIR has it
        record["id"] = record.pop("_id")
    if "id" in record:
        record["id"] = id_text(record["id"])
    metadata = record.pop("metadata", None)
    metadata = {} if metadata is None else metadata
    if not isinstance(metadata, dict):
        raise DocumentError(f"{where}: metadata: expected an object, found {type(metadata).__name__}")
    fields: dict[str, Any] = {name: record[name] for name in ("id", "text") if name in record}
    remaining = {name: content for name, content in record.items() if name not in fields}
    exported = not remaining and set(fields) == {"id", "text"}
    try:
        (draft,) = drafts(
            [Document(**fields, metadata=metadata) if exported else {**metadata, **remaining, **fields}]
        )
    except DocumentError as error:
        raise DocumentError(f"{where}: {error}") from None
    return draft


def _lines(path: Path, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    with ExitStack() as stack:
        file: Any = stack.enter_context(open(path, "rb"))
        if kind.endswith(".gz"):
            file = stack.enter_context(gzip.GzipFile(fileobj=file))
        number = 0
        while line := file.readline(_MOST_LINE):
            number += 1
            where = f"{path}, line {number}"
            if len(line) == _MOST_LINE:
                raise DocumentError(
                    f"{where}: expected at most {_MOST_LINE:,} bytes, found more: is each document on a line "
                    "of its own?"
                )
            if line.strip():
                yield where, _object(line, where)


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    arrow = parquet()
    try:
        with arrow.parquet.ParquetFile(path) as file:
            header = (file.schema_arrow.metadata or {}).get(HEADER.encode())
            if header is not None:
                yield f"{path}", {HEADER: _object(header, f"{path}: its metadata")}
            number = 0
            for batch in file.iter_batches(_GROUP):
                for record in map(without_nan, batch.to_pylist()):
                    number += 1
                    where = f"{path}, row {number}"
                    if isinstance(record.get("metadata"), str):
                        record["metadata"] = _object(record["metadata"], f"{where}: metadata")
                    yield where, {name: value for name, value in record.items() if value is not None}
    except arrow.ArrowException as error:
        raise StoreError(f"{path}: expected a Parquet file of documents, found: {error}") from None


def _object(text: bytes | str, where: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DocumentError(f"{where}: expected a JSON object: {error}") from None
    if not isinstance(content, dict):
        raise DocumentError(f"{where}: expected a JSON object, found {type(content).__name__}")
    return content


def _batch(passages: object, text: str, shape: tuple[int, int], where: str) -> PassageBatch:
    """Check the passages of one document, and put them into a batch.

    shape:  how many numbers a row has, and how many bits a number.
    Raises DocumentError, which names `where`.
    """
    if not isinstance(passages, list):
        raise DocumentError(f"{where}: passages: expected a list, found {type(passages).__name__}")
    checked = [
        _passage(passage, len(text), shape, f"{where}: passage {n}") for n, passage in enumerate(passages)
    ]
    spans = np.array([span for span, _, _ in checked], np.int32).reshape(-1, 2)
    values = np.concatenate([np.empty((0, width(*shape)), np.int8), *(codes for _, codes, _ in checked)])
    scales = np.concatenate([np.empty(0, np.float32), *(factors for _, _, factors in checked)])
    starts = np.cumsum([0, *(len(codes) for _, codes, _ in checked)]).astype(np.int64)
    rows = RowCodes(values, scales, shape[1], shape[1] == 4)
    return PassageBatch(np.zeros(len(checked), np.int64), starts, spans, rows)


def _passage(
    passage: object, length: int, shape: tuple[int, int], where: str
) -> tuple[list[int], np.ndarray, np.ndarray]:
    """The span, the codes [T, W] int8 and the scales [T] float32 of a passage."""
    if not isinstance(passage, dict):
        raise DocumentError(f"{where}: expected an object, found {type(passage).__name__}")
    span, count = passage.get("span"), passage.get("rows")
    is_pair = isinstance(span, list) and len(span) == 2 and all(type(place) is int for place in span)
    if not is_pair or not 0 <= span[0] <= span[1] <= length:  # type: ignore[index]
        raise DocumentError(f"{where}: span: expected two places in the text, found {str(span)[:80]}")
    if type(count) is not int or count < 0:
        raise DocumentError(f"{where}: rows: expected a whole number of 0 or more, found {str(count)[:80]}")
    (dims, bits), size = shape, width(*shape)
    codes = np.frombuffer(_bytes(passage.get("codes"), count * size, f"{where}: codes"), np.int8)
    scales = np.frombuffer(_bytes(passage.get("scales"), 4 * count, f"{where}: scales"), "<f4")
    values = codes.reshape(count, size)
    if (bits == 8 and values[:, dims:].any()) or not np.isfinite(scales).all() or (scales < 0).any():
        raise DocumentError(f"{where}: expected codes of {dims} dims and scales of 0 or more, found others")
    return list(span), values, scales.astype(np.float32)  # type: ignore[arg-type]


def _bytes(content: object, length: int, where: str) -> bytes:
    """Decode bytes, which Parquet holds as they are, and JSON in base64."""
    if isinstance(content, str):
        with suppress(ValueError):
            content = base64.b64decode(content, validate=True)
    if not isinstance(content, bytes) or len(content) != length:
        actual = len(content) if isinstance(content, (bytes, str)) else type(content).__name__
        raise DocumentError(f"{where}: expected {length} bytes, found {actual}")
    return content
