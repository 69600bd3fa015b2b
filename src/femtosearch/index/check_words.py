"""The check of the table of words: it is compared with one that is made anew from the documents."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

from femtosearch.index import words
from femtosearch.index.catalog import Catalog
from femtosearch.index.schema import create_words

_VOCABULARY = "CREATE VIRTUAL TABLE temp.vocabulary USING fts5vocab('main', 'words', 'instance')"
_PLACE = "((doc * 1009 + col * 331 + offset) % 2147483647)"
_TERMS = (  # of each term how often it is there, and a checksum of its places
    f"SELECT term, count(*) || ' ' || sum({_PLACE} * {_PLACE} % 2147483647) "
    "FROM vocabulary GROUP BY term ORDER BY term"
)
_LENGTHS = (  # the block is all zeros once all documents were removed, and empty where there never were any
    "SELECT id, CASE WHEN block = zeroblob(length(block)) THEN '' ELSE hex(block) END "
    "FROM words_data WHERE id = 1"
)
_MOST = 10  # documents or terms that are named
_PAGE = 256  # documents that are read at a time


def word_damage(catalog: Catalog, *, in_plain: bool) -> Iterator[str]:
    """Say what is wrong with the table of words: it is compared with a new one term by term (how often each
    is there, and where) and document by document (how many words each has).

    in_plain:  whether the words are in plain letters.
    Raises sqlite3.Error where the table cannot be read.
    """
    with closing(sqlite3.connect("")) as database:  # a file of SQLite's own, that goes with it
        create_words(database)
        database.execute("BEGIN")
        after = -1
        while rows := catalog.rows(after, _PAGE):
            for key, name, text, metadata, *_ in rows:
                words.add(database, key, name, text, metadata, in_plain=in_plain)
            after = rows[-1][0]
        yield from catalog.read(lambda reader: list(_differences(reader, database)))


def _differences(reader: sqlite3.Connection, expected: sqlite3.Connection) -> Iterator[str]:
    for query, label in (
        ("SELECT id, hex(sz) FROM words_docsize ORDER BY id", "the document of key"),
        (_TERMS, "the word"),
        (_LENGTHS, "the lengths of all documents, record"),
    ):
        for connection in (reader, expected):
            if "vocabulary" in query:
                connection.execute(_VOCABULARY)
        stored, anew = dict(reader.execute(query)), dict(expected.execute(query))
        wrong = [name for name in stored.keys() | anew.keys() if stored.get(name) != anew.get(name)]
        for name in sorted(wrong)[:_MOST]:
            yield f"the table of words is not that of the documents: {label} {name!r}"
        if len(wrong) > _MOST:
            yield f"the table of words is not that of the documents: {len(wrong) - _MOST} more of {label} ..."
