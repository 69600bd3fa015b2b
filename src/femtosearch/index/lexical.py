"""BM25 over numbered texts, by SQLite's FTS5 with its own parameters (k1 1.2, b 0.75)."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable

from femtosearch.frozen import frozen
from femtosearch.index.words import LUCENE_STOP_WORDS, WORD


@frozen
class Analyzer:
    """How texts become terms, and which words of a query are looked up.

    tokenizer:   FTS5's tokenizer with its arguments.
    stop_words:  the words that a query loses, unless it has no others; texts keep them.
    repeats:     whether a word that is twice in a query counts twice.
    limit:       a query's first so many words are looked up; None looks up all.
    """

    tokenizer: str = "unicode61"
    stop_words: frozenset[str] = frozenset()
    repeats: bool = True
    limit: int | None = None

    def words(self, query: str) -> list[str]:
        """The words to look up, in lower case, in their order.

        >>> Analyzer(stop_words=frozenset(["the"])).words("The cat, the CAT")
        ['cat', 'cat']
        """
        every = [word.lower() for word in re.findall(WORD, query)]
        words = [word for word in every if word not in self.stop_words] or every
        return (words if self.repeats else list(dict.fromkeys(words)))[: self.limit]


# Most passages have a stop word, so that a query with one would rank them all
PLAIN = Analyzer(stop_words=LUCENE_STOP_WORDS, repeats=False, limit=64)
ENGLISH = Analyzer("porter unicode61 remove_diacritics 2", LUCENE_STOP_WORDS)


class LexicalIndex:
    """A table of terms in a SQLite database: number -> text, searched by BM25.

    The table does not store the texts. With `content`, the name of a table (number integer primary key,
    text), its terms are those of that table's rows at the time of `rebuild`; without it they are what `add`
    got. The database belongs to the caller, who closes it. Methods raise sqlite3.Error.
    """

    def __init__(self, database: sqlite3.Connection, analyzer: Analyzer, *, content: str = "") -> None:
        self._database = database
        self._analyzer = analyzer
        source = f", content_rowid='number', content='{content}'" if content else ", content=''"
        database.execute(
            f"CREATE VIRTUAL TABLE terms USING fts5(text, tokenize='{analyzer.tokenizer}'{source})"
        )

    def add(self, rows: Iterable[tuple[int, str]]) -> None:
        """Add the terms of new texts: (number, text), each number once."""
        self._database.executemany("INSERT INTO terms (rowid, text) VALUES (?, ?)", rows)

    def rebuild(self) -> None:
        """Make the terms anew from the rows of the table `content`."""
        self._database.execute("INSERT INTO terms (terms) VALUES ('rebuild')")

    def search(self, query: str, k: int) -> list[tuple[int, float]]:
        """The k best texts that have any of the query's words: (number, score), best first, of equal scores
        the smaller number first. A query without a word finds nothing.
        """
        words = self._analyzer.words(query)
        if not words:
            return []
        match = " OR ".join(f'"{word}"' for word in words)
        sql = "SELECT rowid, -rank AS score FROM terms WHERE terms MATCH ? ORDER BY score DESC, rowid LIMIT ?"
        return [(int(number), float(score)) for number, score in self._database.execute(sql, (match, k))]
