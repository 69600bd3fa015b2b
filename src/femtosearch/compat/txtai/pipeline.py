"""txtai's pipelines for late interaction: `Similarity` and `Reranker`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from femtosearch.compat.options import several
from femtosearch.compat.txtai.embeddings import Embeddings
from femtosearch.errors import FemtosearchError
from femtosearch.model.model import Model
from femtosearch.scoring import maxsim

Scores = list[tuple[int, float]]


class Similarity:
    """Scores texts against queries by late interaction.

    path:        the model: a folder, a built-in one, a name on the Hub; None for the default one.
    lateencode:  has to be true: other kinds of models are not supported here.
    Raises FemtosearchError, CheckpointError.
    """

    def __init__(self, path: Any = None, *, lateencode: bool = False, **options: Any) -> None:
        del options  # they say how txtai computes
        if not lateencode:
            raise FemtosearchError("Similarity: expected lateencode=True: only late interaction is supported")
        self.model = Model.load(path, conventions="txtai")

    def __call__(
        self, query: str | list[str], texts: Sequence[str], multilabel: bool = True, limit: int | None = None
    ) -> Scores | list[Scores]:
        """(number, score) of texts, best first; of several queries a list for each. A score is the mean of
        the query rows' best products.
        """
        del multilabel
        queries = [query] if isinstance(query, str) else query
        rows = self.model.encode_queries(queries)
        scores = maxsim(rows, self.model.encode_documents(list(several("texts", texts))))
        ranked = []
        for query_rows, row in zip(rows, scores, strict=True):
            means = (row / max(1, len(query_rows))).tolist()
            order = sorted(range(len(means)), key=lambda n: -means[n])[:limit]
            ranked.append([(n, means[n]) for n in order])
        return ranked[0] if isinstance(query, str) else ranked


class Reranker:
    """Searches, and orders what was found by a similarity pipeline.

    embeddings:  has to have content.
    """

    def __init__(self, embeddings: Embeddings, similarity: Similarity, cache: Any = None) -> None:
        del cache
        self.embeddings, self.similarity = embeddings, similarity

    def __call__(self, query: str | list[str], limit: int = 3, factor: int = 10, **options: Any) -> list[Any]:
        """The best documents with the similarity's scores, {"id", "text", "score"}; of several queries a list
        for each. Raises QueryError.
        """
        queries = [query] if isinstance(query, str) else query
        ranked = []
        for text, rows in zip(
            queries, self.embeddings.batchsearch(queries, limit * factor, **options), strict=True
        ):
            scores: Any = self.similarity(text, [row["text"] for row in rows]) if rows else []
            for number, score in scores:
                rows[number]["score"] = score
            ranked.append(sorted(rows, key=lambda row: row["score"], reverse=True)[:limit])
        return ranked[0] if isinstance(query, str) else ranked
