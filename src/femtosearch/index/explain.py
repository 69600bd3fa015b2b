"""Explanations of hits: which token matched which, what each word counts, and how the document ranked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial

import numpy as np

from femtosearch.frozen import frozen
from femtosearch.index.catalog import Catalog
from femtosearch.index.filtering import Selection
from femtosearch.index.fusion import Fused
from femtosearch.index.hits import Numbered
from femtosearch.index.keywords import WordScores, word_scores
from femtosearch.index.passage_encoder import PassageEncoder
from femtosearch.index.snapshot import Snapshot
from femtosearch.model.foldings import rows_of_folded
from femtosearch.types import Explanation, Hit, TokenMatch

# (text, whether it is a query) -> its rows [T, D] and their spans [T, 2], -1 for rows of no character
TokenRows = Callable[[str, bool], tuple[np.ndarray, np.ndarray]]


@frozen(eq=False)
class Lookup:
    """A query, and the results of its lookups.

    rows:       [Q, D] float32.
    vector:     [F] float32, the query's FDE; None if the FDE did not select the candidates.
    words:      the documents that have words of the query; None if words were not looked up.
    selection:  what passes the filter; None without a filter.
    """

    text: str
    rows: np.ndarray
    vector: np.ndarray | None
    words: WordScores | None
    selection: Selection | None


def token_rows_of(model: PassageEncoder) -> TokenRows:
    """Make a function that gives the rows of a query, or of a passage as it was indexed. For a model without
    `token_rows` it gives no rows.
    """
    rows_of = getattr(model, "token_rows", None)
    passage_rows = getattr(model, "passage_rows", rows_of)

    def token_rows(text: str, query: bool) -> tuple[np.ndarray, np.ndarray]:
        if rows_of is None or passage_rows is None:
            return np.empty((0, model.dims), np.float32), np.empty((0, 2), np.int64)
        return rows_of_folded(partial(rows_of, query=True) if query else passage_rows, text)

    return token_rows


def explained(
    catalog: Catalog,
    snapshot: Snapshot,
    token_rows: TokenRows,
    lookup: Lookup,
    fused: Fused,
    hits: list[Numbered],
) -> list[Hit]:
    """Add explanations to hits. Raises OutdatedError if a commit came in between."""
    keys = [int(fused.ranking.keys[number]) for number, _ in hits]
    words = word_scores(catalog, snapshot, lookup.words, keys)
    measures = Measures(snapshot, lookup, fused)
    query = token_rows(lookup.text, True)

    @cache  # copies of one text are hits together
    def matches(text: str, passage: tuple[int, int] | None) -> list[TokenMatch]:
        return token_matches(lookup.text, query, Hit("", 0.0, text, passage=passage), token_rows)

    return [
        with_reasons(
            hit,
            list(matches(hit.text, hit.passage)),
            words[key],
            {name: measures.larger(name, value) for name, value in measures.of(number, key).items()},
            fused.parts(number),
        )
        for (number, hit), key in zip(hits, keys, strict=True)
    ]


def with_reasons(
    hit: Hit,
    matches: list[TokenMatch],
    words: dict[str, float],
    before: dict[str, int],
    parts: dict[str, float],
) -> Hit:
    """Add an explanation to a hit. before: for each list that has it, how many entries rank before it."""
    ranks = {name: 1 + count for name, count in before.items()}
    return replace(hit, explanation=Explanation(matches, words, ranks, parts))


def token_matches(
    text: str, query: tuple[np.ndarray, np.ndarray], hit: Hit, token_rows: TokenRows
) -> list[TokenMatch]:
    """For each row of the query, the row of the hit's best passage that has the largest product with it.

    query:  the rows of the text, [Q, D] float32, and their spans, [Q, 2].
    """
    begin, end = hit.passage or (0, len(hit.text))
    passage = hit.text[begin:end]
    rows, spans = token_rows(passage, False)
    if not len(rows):
        return []
    weights = np.linalg.norm(query[0], axis=1)
    products = query[0] @ rows.T / weights[:, None]
    best = products.argmax(axis=1)
    matches = []
    for n, ((start, stop), place) in enumerate(zip(query[1].tolist(), best.tolist(), strict=True)):
        first, last = spans[place].tolist()
        span = None if first < 0 else (begin + first, begin + last)
        match = "" if span is None else passage[first:last]
        token = "" if start < 0 else text[start:stop]
        matches.append(TokenMatch(token, match, span, float(products[n, place]), float(weights[n])))
    return matches


class Measures:
    """The numbers by which documents are ranked, for each list that `Explanation.ranks` names: MaxSim for
    "exact", the FDE's products for "fde", BM25 for "words".
    """

    def __init__(self, snapshot: Snapshot, lookup: Lookup, fused: Fused) -> None:
        self._lookup = lookup
        self._fused = fused
        self._lists: dict[str, np.ndarray] = {}
        if lookup.vector is not None:
            self._lists["fde"] = _products(snapshot, lookup.vector, lookup.selection)
        elif len(lookup.rows):
            self._lists["exact"] = fused.maxsim
        if lookup.words is not None:
            self._lists["words"] = lookup.words.bm25

    def of(self, number: int, key: int) -> dict[str, float]:
        """The numbers of one document, by list. number: its place in the ranking; key: of the catalogue."""
        numbers = {}
        words = self._lookup.words
        if "fde" in self._lists:
            numbers["fde"] = float(self._lists["fde"][self._fused.ranking.place(number)])
        elif "exact" in self._lists:
            numbers["exact"] = float(self._fused.maxsim[number])
        if words is not None and key in words.keys:
            numbers["words"] = float(words.bm25[np.searchsorted(words.keys, key)])
        return numbers

    def larger(self, name: str, number: float) -> int:
        """How many entries of a list have a larger number; 0 for a list that was not made."""
        return int(np.count_nonzero(self._lists[name] > number)) if name in self._lists else 0


def _products(snapshot: Snapshot, vector: np.ndarray, selection: Selection | None) -> np.ndarray:
    """The product of a query's FDE with each passage's: [passages] float32, -inf where not selected."""
    products = snapshot.products(vector)
    if selection is None:
        return products
    passing = np.full(len(products), -np.inf, np.float32)
    passing[selection.places] = products[selection.places]
    return passing
