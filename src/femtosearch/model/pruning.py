"""Token pruning: rows of a passage that are nearly equal to an earlier row of it are dropped.

A document repeats words, and a small model gives a repeated word nearly the same row each time. MaxSim takes
the best product, so a row may be dropped if a similar one stays: if two unit rows have the product c, their
products with any unit row differ by at most sqrt(2 - 2c). Pruning without loss is in Zong and Piwowarski,
arXiv 2504.12778; here it is one pass in the order of the text. The rows of the special tokens stay, because
they stand for the whole text, and a query has them, too.
"""

from __future__ import annotations

import numpy as np

from femtosearch import _core
from femtosearch.types import Rows


def prune(rows: Rows, above: float, framing: tuple[int, int] = (0, 0), threads: int = 0) -> Rows:
    """Drop from each text the rows whose product with an earlier row, which is kept, is greater than `above`.

    rows:     unit length, [T, D] float32. An `above` of 1 keeps all.
    framing:  how many rows at a text's begin and end are of no word: they stay, and are compared with none.
    threads:  0 uses every core that this process may use.
    """
    if above >= 1:
        return rows
    keep = distinct(rows, above, framing, threads)
    starts = np.concatenate([[0], np.cumsum(keep)])[rows.starts]
    return Rows(rows.rows[keep], starts.astype(np.int64))


def distinct(rows: Rows, above: float, framing: tuple[int, int] = (0, 0), threads: int = 0) -> np.ndarray:
    """Which rows `prune` keeps, [T] bool."""
    if above >= 1:
        return np.ones(len(rows.rows), dtype=bool)
    return _core.distinct(rows.rows, rows.starts, above, *framing, threads)
