"""Queries as an index uses them: a query is encoded to the rows of its pieces; a long one has several."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from femtosearch.errors import UnknownQueryWarning
from femtosearch.frozen import frozen
from femtosearch.index.passage_encoder import PassageEncoder
from femtosearch.model.foldings import folded
from femtosearch.types import Coverage

_SHOWN = 5  # unknown words that are named


@frozen(eq=False)
class Query:
    """A query and its pieces, whose scores add up.

    pieces:  [Q, D] float32 each; none where the model knows no word of the query.
    rows:    all of them, end to end, [Q, D] float32.
    """

    text: str
    pieces: tuple[np.ndarray, ...]
    rows: np.ndarray


def encoded(model: PassageEncoder, texts: Sequence[str]) -> list[Query]:
    """Encode the texts of queries. A model without `encode_query_pieces` makes one piece of each."""
    folded_texts = [folded(text) for text in texts]
    encode: Any = getattr(model, "encode_query_pieces", None)
    if encode is None:
        rows = model.encode_queries(folded_texts)
        return [
            Query(text, (piece,) if len(piece) else (), piece)
            for text, piece in zip(texts, rows, strict=True)
        ]
    passages = encode(folded_texts)
    pieces: list[list[np.ndarray]] = [[] for _ in texts]
    for owner, piece in zip(passages.owner.tolist(), passages.rows, strict=True):
        pieces[owner] += [piece] if len(piece) else []
    none = np.empty((0, model.dims), np.float32)
    return [
        Query(text, tuple(of_text), of_text[0] if len(of_text) == 1 else np.concatenate([none, *of_text]))
        for text, of_text in zip(texts, pieces, strict=True)
    ]


def coverage_of(model: PassageEncoder, text: str) -> Coverage | None:
    """How much of a query a model knows; None if the model cannot tell."""
    coverage: Any = getattr(model, "coverage", None)
    return None if coverage is None else coverage(folded(text))


def notes_of(coverage: Coverage) -> list[str]:
    """Notes for the user about a query: which words the model does not know, and whether it is cut off."""
    notes = []
    if not coverage.pieces:
        notes.append("the model knows no word of the query: nothing is found by meaning")
    elif coverage.unknown:
        words = ", ".join(map(repr, coverage.unknown[:_SHOWN]))
        more = ", ..." if len(coverage.unknown) > _SHOWN else ""
        of = f"{len(coverage.unknown):,} of {coverage.tokens:,} words or pieces"
        notes.append(f"{of} of the query unknown to the model: {words}{more}")
    if coverage.beyond:
        used = coverage.tokens - coverage.beyond
        notes.append(f"the query has {coverage.tokens:,} tokens, of which the first {used:,} are used")
    return notes


def warn_of_unknown(queries: Sequence[Query], name: str, *, stacklevel: int) -> None:
    """Warn (UnknownQueryWarning) of each query of which the model knows no word. name: the model's."""
    for query in queries:
        if not query.pieces:
            warnings.warn(
                f"query {query.text[:80]!r}: the model {name!r} knows no word of it; it finds nothing by "
                "meaning",
                UnknownQueryWarning,
                stacklevel=stacklevel,
            )
