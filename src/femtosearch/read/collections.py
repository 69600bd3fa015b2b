"""Collections of Chroma, txtai and LanceDB, read as documents: texts and metadata, not their vectors."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote

from femtosearch.errors import MissingExtraError, ReadError
from femtosearch.index.json_values import without_nan
from femtosearch.types import Document

_CHROMA, _TXTAI = "chroma.sqlite3", "documents"
_TEXT = "chroma:document"
_MAGIC = b"SQLite format 3\0"
_COLUMNS = ("text", "document", "content", "page_content")  # where LanceDB's users have their texts


def read_collection(folder: Path, name: str | None = None) -> Iterator[Document]:
    """The documents of a Chroma, txtai or LanceDB folder.

    name:  of the collection or table, where there are several. Raises ReadError, MissingExtraError.
    """
    if (folder / _CHROMA).is_file():
        return _guarded(folder / _CHROMA, _chroma, name)
    if _is_database(folder / _TXTAI):
        return _guarded(folder / _TXTAI, _txtai, None)
    if any(path.suffix == ".lance" for path in (folder.iterdir() if folder.is_dir() else ())):
        return _lance(folder, name)
    if not folder.exists():
        raise ReadError(f"{folder}: there is no such file or folder: check the path")
    raise ReadError(
        f"{folder}: expected a folder with chroma.sqlite3 (Chroma), documents (txtai, with content=True) or "
        "*.lance (LanceDB), found none"
    )


def _is_database(path: Path) -> bool:
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def _guarded(path: Path, rows: Any, name: str | None) -> Iterator[Document]:
    """The documents of another program's database, which is read, never written, and trusted in nothing."""
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as database:
            for setting in ("trusted_schema = OFF", "cell_size_check = ON", "query_only = ON"):
                database.execute(f"PRAGMA {setting}")
            query = "SELECT name FROM sqlite_schema WHERE type IN ('view', 'trigger')"
            if views := database.execute(query).fetchall():
                raise ReadError(f"{path}: expected tables alone, found {str(views[0][0])[:80]!r}")
            yield from rows(database, path, name)
    except (sqlite3.Error, UnicodeError) as error:
        raise ReadError(f"{path}: it cannot be read: {error}") from error


def _chroma(database: sqlite3.Connection, path: Path, name: str | None) -> Iterator[Document]:
    collections = dict(database.execute("SELECT name, id FROM collections"))
    chosen = _chosen(collections, name, path)
    query = """
    SELECT embeddings.id, embedding_id, key, string_value, int_value, float_value, bool_value
    FROM embeddings JOIN segments ON segments.id = embeddings.segment_id
    LEFT JOIN embedding_metadata ON embedding_metadata.id = embeddings.id
    WHERE segments.collection = ? ORDER BY embeddings.id
    """
    rows = database.execute(query, (collections[chosen],))
    for (_, identity), values in groupby(rows, key=lambda row: row[:2]):
        metadata = {key: _typed(*columns) for _, _, key, *columns in values if key is not None}
        text = metadata.pop(_TEXT, None)
        yield Document(str(identity), text if isinstance(text, str) else "", metadata)


def _typed(text: Any, integer: Any, real: Any, truth: Any) -> Any:
    if truth is not None:
        return bool(truth)
    return next((value for value in (text, integer, real) if value is not None), None)


def _txtai(database: sqlite3.Connection, path: Path, _: str | None) -> Iterator[Document]:
    query = """
    SELECT sections.id, sections.text, sections.tags, documents.data
    FROM sections LEFT JOIN documents ON documents.id = sections.id ORDER BY sections.indexid
    """
    for identity, text, tags, content in database.execute(query):
        metadata = without_nan(_object(content))
        metadata.pop("text", None)
        if tags:
            metadata["tags"] = tags
        yield Document(str(identity), text if isinstance(text, str) else "", metadata)


def _object(content: Any) -> dict[str, Any]:
    try:
        value = json.loads(content) if isinstance(content, (str, bytes)) else {}
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _lance(folder: Path, name: str | None) -> Iterator[Document]:
    try:
        import lancedb
    except ImportError:
        raise MissingExtraError("LanceDB needs its library: pip install lancedb") from None
    tables = {path.stem: path for path in sorted(folder.glob("*.lance"))}
    table = lancedb.connect(folder).open_table(_chosen(tables, name, folder))
    column = next((column for column in _COLUMNS if column in table.schema.names), None)
    if column is None:
        raise ReadError(f"{folder}: expected a column named {', '.join(_COLUMNS)}, found none")
    names = [field.name for field in table.schema if not str(field.type).startswith("fixed_size_list")]
    number = 0
    for batch in table.to_lance().to_batches(columns=names):
        for row in batch.to_pylist():
            number += 1
            text, identity = row.pop(column), row.pop("id" if "id" in row else "_id", None)
            metadata = without_nan(json.loads(json.dumps(row, default=str)))
            name_of_row = str(identity) if identity not in (None, "") else f"{table.name}:{number}"
            yield Document(name_of_row, text if isinstance(text, str) else "", metadata)


def _chosen(names: dict[str, Any], name: str | None, path: Path) -> str:
    """The collection of a name, or the only one."""
    if name is None and len(names) == 1:
        return next(iter(names))
    if name in names:
        return str(name)
    shown = ", ".join(sorted(map(str, names)))[:200] or "none"
    expected = "the name of one collection" if name is None else repr(name)
    raise ReadError(f"{path}: expected {expected}, found {shown}: say which with --collection")
