"""Why a hit is a hit: which token found which, what each word counts, and where the document ranked."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from femtosearch.index.catalog import Catalog
from femtosearch.index.filtering import Selection
from femtosearch.index.fusion import Fused
from femtosearch.index.hits import Numbered
from femtosearch.index.keywords import WordScores
from femtosearch.index.passage_encoder import PassageEncoder
from femtosearch.index.snapshot import Snapshot
from femtosearch.types import Explanation, Hit, TokenMatch

# (text, whether it is a query) -> its rows [T, D] and their spans [T, 2], -1 for rows of no character
TokenRows = Callable[[str, bool], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """A query, and what was looked for.

    rows:       [Q, D] float32.
    vector:     [F] float32, the query's FDE, if it found the candidates.
    words:      None where words were not looked up.
    selection:  None where no filter was given.
    """

    text: str
    rows: np.ndarray
    vector: np.ndarray | None
    words: WordScores | None
    selection: Selection | None


def token_rows_of(model: PassageEncoder) -> TokenRows:
    """What gives a model's rows of a query, and of a passage as it was indexed. A model without `token_rows`
    has no tokens to show.
    """
    rows_of = getattr(model, "token_rows", None)
    passage_rows = getattr(model, "passage_rows", rows_of)

    def token_rows(text: str, query: bool) -> tuple[np.ndarray, np.ndarray]:
        if rows_of is None or passage_rows is None:
            return np.empty((0, model.dims), np.float32), np.empty((0, 2), np.int64)
        rows, spans = rows_of(text, query=True) if query else passage_rows(text)
        return rows, spans

    return token_rows


def explained(
    catalog: Catalog,
    snapshot: Snapshot,
    token_rows: TokenRows,
    question: Question,
    fused: Fused,
    hits: list[Numbered],
) -> list[Hit]:
    """The hits with their explanations. Raises OutdatedError if a commit came in between."""
    keys = [int(fused.ranking.keys[number]) for number, _ in hits]
    words = _words(catalog, snapshot, question, keys)
    ranks = _Ranks(snapshot, question, fused)
    query = token_rows(question.text, True)
    return [
        replace(
            hit,
            explanation=Explanation(
                _matches(question.text, query, hit, token_rows), words[key], ranks.of(number, key)
            ),
        )
        for (number, hit), key in zip(hits, keys, strict=True)
    ]


def _matches(
    text: str, query: tuple[np.ndarray, np.ndarray], hit: Hit, token_rows: TokenRows
) -> list[TokenMatch]:
    """For each row of the query the row of the best passage that is most like it."""
    begin, end = hit.passage or (0, len(hit.text))
    passage = hit.text[begin:end]
    rows, spans = token_rows(passage, False)
    if not len(rows):
        return []
    products = query[0] @ rows.T
    best = products.argmax(axis=1)
    matches = []
    for (start, stop), row, place in zip(query[1].tolist(), products, best.tolist(), strict=True):
        first, last = spans[place].tolist()
        span = None if first < 0 else (begin + first, begin + last)
        match = "" if span is None else passage[first:last]
        token = "" if start < 0 else text[start:stop]
        matches.append(TokenMatch(token, match, span, float(row[place])))
    return matches


def _words(
    catalog: Catalog, snapshot: Snapshot, question: Question, keys: list[int]
) -> defaultdict[int, dict[str, float]]:
    """For each document what each word counts that was looked up."""
    terms = question.words.terms if question.words else {}
    marks = ", ".join("?" * len(keys))
    query = f"SELECT rowid, -rank FROM words WHERE words MATCH ? AND rowid IN ({marks})"

    def contributions(reader: sqlite3.Connection) -> defaultdict[int, dict[str, float]]:
        by_key: defaultdict[int, dict[str, float]] = defaultdict(dict)
        for term in terms:
            for key, score in reader.execute(query, (term, *keys)):
                by_key[key][term.strip('"')] = score
        return by_key

    return catalog.read_at(snapshot.state, contributions) if terms else defaultdict(dict)


class _Ranks:
    """What by_key documents, and their ranks there."""

    def __init__(self, snapshot: Snapshot, question: Question, fused: Fused) -> None:
        self._question = question
        self._fused = fused
        self._products = None if question.vector is None else snapshot.products(question.vector)
        if self._products is not None and question.selection is not None:
            passing = np.full(len(self._products), -np.inf, np.float32)
            passing[question.selection.places] = self._products[question.selection.places]
            self._products = passing

    def of(self, number: int, key: int) -> dict[str, int]:
        ranks = {}
        scores, words = self._fused.maxsim, self._question.words
        if self._products is not None:
            place = self._fused.ranking.place(number)
            ranks["fde"] = 1 + int(np.count_nonzero(self._products > self._products[place]))
        elif len(self._question.rows):
            ranks["exact"] = 1 + int(np.count_nonzero(scores > scores[number]))
        if words is not None and key in words.keys:
            score = words.bm25[np.searchsorted(words.keys, key)]
            ranks["words"] = 1 + int(np.count_nonzero(words.bm25 > score))
        return ranks
