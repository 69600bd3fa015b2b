"""How much each row of a query counts: a row of weight w is a row of length w, and its products are w times
what they were. What a user wrote to be polite says less than what the question is about.

That such words can be learned in a late-interaction model is in ColBERTer (arXiv 2203.13088), of documents.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from femtosearch import _core
from femtosearch.model.checkpoint.query_weights import QueryWeights
from femtosearch.types import Rows


class Weighting:
    """Gives rows of queries the lengths that a model folder's network says."""

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
        """Give the rows, in place, the lengths that are their weights."""
        rows: np.ndarray = queries.rows
        rows *= self.of(queries, threads)[:, None]
