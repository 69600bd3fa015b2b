"""PyLate's `rank.rerank`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np

from femtosearch.errors import ShapeError
from femtosearch.scoring import maxsim


class RerankResult(TypedDict):
    """A document's id and its MaxSim."""

    id: Any
    score: float


def rerank(
    documents_ids: Sequence[Sequence[Any]],
    queries_embeddings: Sequence[np.ndarray],
    documents_embeddings: Sequence[Sequence[np.ndarray]],
    device: str | None = None,
) -> list[list[RerankResult]]:
    """Each query's documents in the order of their MaxSim, best first; ties keep the order given.

    PyLate pads documents with rows of zeros, so that a query row whose best product is negative counts 0
    there for all but the longest; here it counts as it is. Raises
    ShapeError where the lists do not fit each other.
    """
    del device
    if not len(documents_ids) == len(queries_embeddings) == len(documents_embeddings):
        raise ShapeError(
            f"expected as many lists of ids and of documents as queries, found {len(documents_ids)}, "
            f"{len(documents_embeddings)} and {len(queries_embeddings)}"
        )
    answers = []
    for names, query, documents in zip(documents_ids, queries_embeddings, documents_embeddings, strict=True):
        if len(names) != len(documents):
            raise ShapeError(f"expected an id for each document, found {len(names)} of {len(documents)}")
        scores = maxsim([np.asarray(query)], [np.asarray(rows) for rows in documents])[0] if names else []
        order = sorted(range(len(names)), key=lambda n: -scores[n])
        answers.append([RerankResult(id=names[n], score=float(scores[n])) for n in order])
    return answers
