"""BM25, by SQLite's FTS5: the lexical reference, with no dependency."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable

from femtosearch.types import Document

WORD = re.compile(r"\w+")
TOKENIZER = "porter unicode61 remove_diacritics 2"
LUCENE = """a an and are as at be but by for if in into is it no not of on or such that the their then there
these
they this to was will with"""
STOP = frozenset(LUCENE.split())


class Bm25:
    """BM25 (k1 1.2, b 0.75) over stemmed words; a query is the OR of its words, each as
    often as it is there, Lucene's stop words left out."""

    def __init__(self, documents: Iterable[Document]) -> None:
        self._database = sqlite3.connect(":memory:")
        self._database.execute(
            f"CREATE VIRTUAL TABLE texts USING fts5(id UNINDEXED, text, tokenize='{TOKENIZER}')"
        )
        rows = ((document.id, document.text) for document in documents)
        self._database.executemany("INSERT INTO texts VALUES (?, ?)", rows)

    def search(self, query: str, k: int) -> list[tuple[str, float]]:
        """The k best documents with their scores, best first; of equals the smaller id first."""
        words = [word.lower() for word in WORD.findall(query)]
        kept = [word for word in words if word not in STOP] or words
        if not kept:
            return []
        match = " OR ".join(f'"{word}"' for word in kept)
        sql = (
            "SELECT id, -bm25(texts) AS score FROM texts WHERE texts MATCH ? ORDER BY score DESC, id LIMIT ?"
        )
        return [(str(name), float(score)) for name, score in self._database.execute(sql, (match, k))]

    def close(self) -> None:
        """Let go of the memory."""
        self._database.close()
