"""MaxSim: the late-interaction score of queries and documents."""

from __future__ import annotations

import numpy as np

from femtosearch import _core
from femtosearch.types import Rows


def maxsim(queries: Rows, documents: Rows, *, threads: int = 0) -> np.ndarray:
    """Late-interaction score of every query with every document.

    score[m, n] = Σ_q max_t ⟨query[q], document[t]⟩ over the rows q of query m and t of document n.

    queries, documents:  .rows [T, D] float32 and .starts [N+1] int64, rising from 0 to T. Rows lie end to end
                         and no padding takes part, so a best match of -0.5 counts as -0.5.
    threads:             0 uses every core that this process may use. The scores do not depend on it.
    Returns [queries, documents] float32. A document without rows scores -inf; a query without rows scores 0.
    Raises ShapeError if the dims of queries and documents differ, or an array is not as above.

    Source: ColBERT, arXiv 2004.12832, section 3.3.

    >>> queries = Rows(np.array([[1, 0], [0, 1]], dtype="f4"), np.array([0, 2]))
    >>> documents = Rows(np.array([[1, 0], [0, 1], [-1, 0]], dtype="f4"), np.array([0, 2, 3]))
    >>> maxsim(queries, documents)
    array([[ 2., -1.]], dtype=float32)
    """
    rows, starts = _contiguous(documents)
    query_rows, query_starts = _contiguous(queries)
    _core.check_starts(query_starts, len(query_rows))
    scores = np.empty((len(queries), len(documents)), dtype=np.float32)
    for m in range(len(queries)):
        query = query_rows[query_starts[m] : query_starts[m + 1]]
        scores[m] = _core.maxsim(query, rows, starts, threads)
    return scores


def _contiguous(texts: Rows) -> tuple[np.ndarray, np.ndarray]:
    return np.require(texts.rows, requirements=["C", "A"]), np.require(texts.starts, requirements=["C", "A"])
