"""The texts themselves, in a SQLite file: for what needs words and not token ids, such as BM25 and cross-
encoders. Memory does not grow with it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from femtosearch.errors import RecipeError
from femtosearch.index.lexical import PLAIN, LexicalIndex

SCHEMA = """
create table queries (number integer primary key, text text not null);
create table passages (number integer primary key, text text not null);
"""


class Archive:
    """Queries and passages by their numbers in the corpus. Made anew with each reading of the corpus."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._errors():
            path.unlink(missing_ok=True)
            self.database = sqlite3.connect(path, isolation_level=None)
            # It is made anew whenever it is needed, so it need not survive a crash.
            self.database.executescript("pragma journal_mode = off; pragma synchronous = off;" + SCHEMA)
            self.database.execute("begin")

    def add(self, kind: str, number: int, text: str) -> None:
        """kind: `queries` or `passages`. Raises RecipeError when the disk is full."""
        with self._errors():
            self.database.execute(f"insert into {kind} values (?, ?)", (number, text))

    def finish(self, *, words: bool) -> None:
        """Close the writing; with `words` make BM25's index of the passages."""
        with self._errors():
            self.database.execute("commit")
            if words:
                self._words = LexicalIndex(self.database, PLAIN, content="passages")
                self._words.rebuild()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            raise RecipeError(f"{self.path}: cannot be written: {error}; is the disk full?") from error

    def texts(self, kind: str, numbers: np.ndarray) -> list[str]:
        """The texts of these numbers, in their order."""
        query = f"select text from {kind} where number = ?"
        return [self.database.execute(query, (int(n),)).fetchone()[0] for n in numbers]

    def all(self, kind: str) -> Iterator[str]:
        """Every text by its number."""
        return (text for (text,) in self.database.execute(f"select text from {kind} order by number"))

    def best(self, query: str, count: int) -> list[int]:
        """The numbers of the `count` passages that BM25 ranks highest. `finish(words=True)` comes first."""
        return [number for number, _ in self._words.search(query, count)]
