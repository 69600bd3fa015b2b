"""MaxSim: the late-interaction score of queries and documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from femtosearch import _core
from femtosearch.errors import ShapeError
from femtosearch.types import Rows

Texts: TypeAlias = "Rows | np.ndarray | Sequence[np.ndarray]"


def maxsim(queries: Texts, documents: Texts, *, threads: int = 0) -> np.ndarray:
    """Late-interaction score of every query with every document.

    score[m, n] = Σ_q max_t ⟨query[q], document[t]⟩ over the rows q of query m and t of document n.

    queries, documents:  Rows, as a Model gives them: .rows [T, D] float32 and .starts [N+1] int64, rising
                         from 0 to T; or a list of arrays [T, D] float32, one for each text; or an array
                         [T, D] float32 of one text, [N, T, D] of N. No padding takes part, so a best match
                         of -0.5 counts as -0.5.
    threads:             0 uses every core that this process may use. The scores do not depend on it.
    Returns [queries, documents] float32. A document without rows scores -inf; a query without rows scores 0.
    Raises ShapeError if the dims of queries and documents differ, or an array is not as above.

    Source: ColBERT, arXiv 2004.12832, section 3.3.

    >>> queries = Rows(np.array([[1, 0], [0, 1]], dtype="f4"), np.array([0, 2]))
    >>> documents = Rows(np.array([[1, 0], [0, 1], [-1, 0]], dtype="f4"), np.array([0, 2, 3]))
    >>> maxsim(queries, documents)
    array([[ 2., -1.]], dtype=float32)
    """
    query_rows, query_starts = _end_to_end(queries, "queries")
    rows, starts = _end_to_end(documents, "documents")
    _core.check_starts(query_starts, len(query_rows))
    scores = np.empty((len(query_starts) - 1, max(0, len(starts) - 1)), dtype=np.float32)
    for m in range(len(scores)):
        query = query_rows[query_starts[m] : query_starts[m + 1]]
        scores[m] = _core.maxsim(query, rows, starts, threads)
    return scores


def _end_to_end(texts: Texts, name: str) -> tuple[np.ndarray, np.ndarray]:
    """All rows of texts, [T, D], and starts [N+1], as the native core takes them."""
    if not isinstance(texts, Rows):
        texts = _rows(texts, name)
    return np.require(texts.rows, requirements=["C", "A"]), np.require(texts.starts, requirements=["C", "A"])


def _rows(texts: np.ndarray | Sequence[np.ndarray], name: str) -> Rows:
    arrays = [texts] if isinstance(texts, np.ndarray) and texts.ndim == 2 else texts
    if not isinstance(arrays, (list, tuple, np.ndarray)) or np.ndim(arrays[0] if len(arrays) else 0) != 2:
        raise ShapeError(
            f"{name}: expected Rows, an array [T, D] or [N, T, D], or a list of arrays [T, D] that is not "
            f"empty, found {_kind(texts)}"
        )
    for number, array in enumerate(arrays):
        if not isinstance(array, np.ndarray) or array.dtype != np.float32 or array.ndim != 2:
            raise ShapeError(f"{name}[{number}]: expected float32 [T, D], found {_kind(array)}")
        if array.shape[1] != arrays[0].shape[1]:
            raise ShapeError(
                f"{name}[{number}]: expected {arrays[0].shape[1]} dims as in {name}[0], found {_kind(array)}"
            )
    starts = np.concatenate([[0], np.cumsum([len(array) for array in arrays])]).astype(np.int64)
    return Rows(np.concatenate(list(arrays)), starts)


def _kind(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {list(value.shape)}"
    return "an empty list" if isinstance(value, (list, tuple)) and not value else type(value).__name__
