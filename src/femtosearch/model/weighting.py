"""Query weights: how much each row of a query counts. A row of weight w has length w, so its products are w
times as large. Polite words, for instance, weigh less than the subject of a question.

That a late-interaction model can learn such weights was shown for documents in ColBERTer (arXiv 2203.13088).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from femtosearch import _core
from femtosearch.model.checkpoint.query_weights import QueryWeights
from femtosearch.types import Rows


class Weighting:
    """Computes the weights of the rows of queries by the network of a model folder."""

    def __init__(self, weights: QueryWeights) -> None:
        self._inner = _core.Dense(weights.inner, weights.inner_bias)
        self._outer = _core.Dense(weights.outer, weights.outer_bias)
        self._first = float(weights.first[0])

    def of(self, queries: Rows, threads: int = 0) -> np.ndarray:
        """The weights of the rows of unit length, [T] float32, above 0; those of a text, or of a piece of
        one, have a mean of 1. They depend on the text alone.
        """
        hidden = np.maximum(self._inner.apply(queries.rows, threads), 0)
        weights = np.logaddexp(np.float32(0), self._outer.apply(hidden, threads)[:, 0])
        for begin, end in pairwise(queries.starts.tolist()):
            if end > begin:
                weights[begin] *= self._first
                weights[begin:end] /= weights[begin:end].mean()
        return weights

    def apply(self, queries: Rows, threads: int = 0) -> None:
        """Multiply the rows, in place, with their weights."""
        rows: np.ndarray = queries.rows
        rows *= self.of(queries, threads)[:, None]
