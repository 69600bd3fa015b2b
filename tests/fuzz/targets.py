"""What is fuzzed. A target takes bytes and may raise a FemtosearchError; anything else is a fault."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from femtosearch import Index
from femtosearch.errors import FemtosearchError
from femtosearch.index.keywords import keywords_of
from femtosearch.index.segment import Segment
from femtosearch.index.where import compile_filter, parse, read_filter
from femtosearch.index.words import columns

from ..fakes import FakeModel
from .folders import catalogues, models, sites

METADATA = [
    {"year": 2020, "lang": "en", "tags": ["a", "b"], "author": {"name": "Ada"}},
    {"year": 2021.5, "a.b": 1, "x": None, "ok": True, "d": "2024-05-01"},
    {'q"u\\o': "é", "n": 19.99, "$x": -1, "": "empty"},
]


def words(content: bytes) -> None:
    """A filter in words, as far as its SQL."""
    compile_filter(parse(content.decode("utf-8", "replace")))


def filters(content: bytes) -> None:
    """A filter as JSON, or in words, asked of documents."""
    text = content.decode("utf-8", "replace")
    try:
        where = json.loads(text)
    except (ValueError, RecursionError):
        where = text
    filter = read_filter(where)
    if filter is not None:
        condition = compile_filter(filter)
        query = f"SELECT count(*) FROM documents WHERE {condition.sql}"
        _documents().execute(query, condition.parameters).fetchone()


def queries(content: bytes) -> None:
    """A query, looked up in a table of words."""
    text = content.decode("utf-8", "replace")
    keywords_of(text)
    if text.strip():
        _index().search(text, hybrid=1)


def texts(content: bytes) -> None:
    """A document's text: what the table of words gets of it."""
    text = content.decode("utf-8", "replace")
    columns("id", text, text)


def segments(content: bytes) -> None:
    """The bytes of a segment."""
    segment = Segment.read(content, "fuzzed")
    segment.verify()
    segment.check_scales()
    for batch in segment.batches():
        assert len(batch.keys) == len(batch.spans)


def imports(content: bytes) -> None:
    """A file of JSON lines with vectors."""
    path = _folder() / "fuzzed.jsonl"
    path.write_bytes(content)
    with Index(model=FakeModel()) as index:
        index.import_file(path)
        index.search("word", hybrid=0)


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (words, filters, queries, texts, segments, imports, catalogues, models, sites)
}


def play(name: str, content: bytes) -> Exception | None:
    """What a target raises that it may not."""
    try:
        TARGETS[name](content)
    except FemtosearchError:
        return None
    except Exception as error:
        return error
    return None


@cache
def _documents() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE documents (key INTEGER PRIMARY KEY, id TEXT, text TEXT, metadata TEXT)")
    rows = [(n, f"id{n}", f"text {n}", json.dumps(metadata)) for n, metadata in enumerate(METADATA)]
    connection.executemany("INSERT INTO documents VALUES (?, ?, ?, ?)", rows)
    return connection


@cache
def _index() -> Index:
    index = Index(model=FakeModel())
    index.add(["the getUserName of PX-7300", "a red moon", "東京都"])
    return index


@cache
def _folder() -> Path:
    return Path(mkdtemp())
