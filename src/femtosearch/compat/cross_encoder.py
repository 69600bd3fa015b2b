"""Sentence Transformers' `CrossEncoder`, answered by late interaction: `rank` and `predict`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from femtosearch.errors import QueryError
from femtosearch.index.rerank import similarities
from femtosearch.model.model import Model


class CrossEncoder:
    """Scores texts against queries. A score is the mean of the query rows' best products, at most 1.

    model_name_or_path:  a folder, a built-in model, a name on the Hub; None for the default one.
    """

    def __init__(self, model_name_or_path: Any = None, **options: Any) -> None:
        del options  # they say how Sentence Transformers computes
        self.model = Model.load(model_name_or_path)

    def rank(
        self,
        query: str,
        documents: Sequence[str],
        top_k: int | None = None,
        return_documents: bool = False,
        **options: Any,
    ) -> list[dict[str, Any]]:
        """{"corpus_id", "score"} of documents, best first, and "text" if asked for. Where the model knows no
        word of the query they are in the order given, at -1. Raises QueryError.
        """
        del options
        ranked = []
        for hit in similarities(self.model, query, documents, top_k):
            entry: dict[str, Any] = {"corpus_id": int(hit.id), "score": hit.score}
            ranked.append({**entry, "text": hit.text} if return_documents else entry)
        return ranked

    def predict(self, sentences: Sequence[Sequence[str]], **options: Any) -> np.ndarray:
        """[N] float32: the scores of (query, text) pairs. Raises QueryError."""
        del options
        if isinstance(sentences, str) or not all(len(pair) == 2 for pair in sentences):
            raise QueryError("predict: expected a list of pairs (query, text)")
        by_query: dict[str, list[int]] = {}
        for number, (query, _) in enumerate(sentences):
            by_query.setdefault(query, []).append(number)
        scores = np.full(len(sentences), -1.0, np.float32)
        for query, numbers in by_query.items():
            for entry in self.rank(query, [sentences[number][1] for number in numbers]):
                scores[numbers[entry["corpus_id"]]] = entry["score"]
        return scores
