"""PyLate's `rank.rerank`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np

from femtosearch.compat.options import several
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
    there for all but the longest; here it counts as it is. Rows may be of any type that float32 is made of.
    Raises ShapeError where the lists do not fit each other.
    """
    del device
    documents_ids = list(several("documents_ids", documents_ids))
    queries_embeddings = list(several("queries_embeddings", queries_embeddings))
    documents_embeddings = list(several("documents_embeddings", documents_embeddings))
    if not len(documents_ids) == len(queries_embeddings) == len(documents_embeddings):
        raise ShapeError(
            f"expected as many lists of ids and of documents as queries, found {len(documents_ids)}, "
            f"{len(documents_embeddings)} and {len(queries_embeddings)}"
        )
    answers = []
    for names, query, documents in zip(documents_ids, queries_embeddings, documents_embeddings, strict=True):
        if len(names) != len(documents):
            raise ShapeError(f"expected an id for each document, found {len(names)} of {len(documents)}")
        rows = [np.asarray(document, np.float32) for document in documents]
        scores = maxsim([np.asarray(query, np.float32)], rows)[0] if rows else []
        order = sorted(range(len(names)), key=lambda n: -scores[n])
        answers.append([RerankResult(id=names[n], score=float(scores[n])) for n in order])
    return answers
