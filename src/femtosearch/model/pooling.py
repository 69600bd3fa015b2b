"""Token pooling: a document's rows are replaced by fewer rows, each the mean of a cluster.

The clusters are Ward's, by the cosine distance of the rows. Source: Clavié et al., arXiv 2409.14683. They are
those of PyLate 1.6's `pool_factor` and Sentence Transformers 6's `HierarchicalTokenPooling`, in their order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from femtosearch.types import Rows


def pool(rows: Rows, factor: float, protected: int = 1, *, unit: bool = False) -> Rows:
    """Pool the rows of each text to about one in `factor`; its first `protected` rows stay as they are.

    rows:   unit length, [T, D] float32.
    unit:   make each row unit length once more, as Sentence Transformers does and PyLate does not.
    Returns as many texts, with fewer rows: a cluster's row is its rows' mean.
    """
    pooled = [_pooled(text, factor, protected) for text in rows]
    if unit:
        pooled = [text / np.maximum(np.linalg.norm(text, axis=1, keepdims=True), 1e-12) for text in pooled]
    starts = np.zeros(len(pooled) + 1, dtype=np.int64)
    np.cumsum([len(text) for text in pooled], out=starts[1:])
    return Rows(np.concatenate([rows.rows[:0], *pooled]), starts)


def _pooled(text: np.ndarray, factor: float, protected: int) -> np.ndarray:
    protected_rows, free_rows = text[:protected], text[protected:]
    count = max(int(len(free_rows) // factor), 1)
    if count >= len(free_rows):
        return text
    labels = clusters(np.clip(1 - free_rows @ free_rows.T, 0, 2), count)
    sums = np.zeros((labels.max() + 1, free_rows.shape[1]), dtype=np.float32)
    np.add.at(sums, labels, free_rows)
    return np.concatenate([protected_rows, sums / np.bincount(labels)[:, None].astype(np.float32)])


def clusters(distances: np.ndarray, most: int) -> np.ndarray:
    """Ward's clusters of n points, at most `most`, fewer where merges are equally high: [n] labels.

    distances: [n, n], symmetric. Numbered as scipy's `fcluster(linkage(..., "ward"), most, "maxclust")`
    numbers them. n is at least 2, 1 <= most < n.
    """
    merges = sorted(_ward(np.square(distances, dtype=np.float64)), key=lambda merge: merge.height)
    count, heights = len(distances), np.array([merge.height for merge in merges])
    below = np.searchsorted(heights, heights, side="right")  # merges no higher than each
    lowest = next(int(merged) for merged in below if count - merged <= most)
    return _labels(_children(merges, count), count, count + lowest)


class _Merge(NamedTuple):
    """Two clusters, each by one of its points, and the squared distance at which they become one."""

    absorbed: int
    survivor: int
    height: float


def _ward(squares: np.ndarray) -> list[_Merge]:
    """Every merge, by chains of nearest neighbours: two that are each other's nearest become one.

    squares: [n, n] squared distances, which this overwrites. Source: Murtagh, A Survey of Recent Advances in
    Hierarchical Clustering Algorithms, 1983; the distances of a new cluster by Lance and Williams, 1967.
    """
    np.fill_diagonal(squares, np.inf)
    sizes, merges, chain = np.ones(len(squares)), list[_Merge](), list[int]()
    while len(merges) < len(squares) - 1:
        chain = chain or [int(np.flatnonzero(sizes)[0])]
        last = chain[-1]
        nearest = int(squares[last].argmin())
        if len(chain) == 1 or squares[last, nearest] < squares[last, chain[-2]]:
            chain.append(nearest)
            continue
        gone, survivor = sorted((last, chain[-2]))
        del chain[-2:]
        height = squares[gone, survivor]
        merges.append(_Merge(gone, survivor, float(height)))
        joint = (
            (sizes + sizes[gone]) * squares[gone]
            + (sizes + sizes[survivor]) * squares[survivor]
            - sizes * height
        )
        joint /= sizes + sizes[gone] + sizes[survivor]
        sizes[survivor] += sizes[gone]
        sizes[gone] = 0
        squares[survivor], squares[:, survivor] = joint, joint
        squares[gone], squares[:, gone] = np.inf, np.inf
    return merges


def _children(merges: list[_Merge], count: int) -> list[tuple[int, int]]:
    """The two nodes of each merge, the lower first. The number of a point is its own, that of a merge is
    `count` plus its own."""
    # The node of the cluster that each point stands for; a cluster stands for its last point.
    node = list(range(count))
    parent = list(range(count))

    def stands(point: int) -> int:
        while parent[point] != point:
            point = parent[point]
        return point

    children = []
    for number, merge in enumerate(merges):
        absorbed, survivor = stands(merge.absorbed), stands(merge.survivor)
        low, high = sorted((node[absorbed], node[survivor]))
        children.append((low, high))
        parent[absorbed], node[survivor] = survivor, count + number
    return children


def _labels(children: list[tuple[int, int]], count: int, limit: int) -> np.ndarray:
    """The clusters below node `limit`, numbered from the top: what is merged before what stands alone."""
    labels, order = np.empty(count, dtype=np.int64), list[int]()
    below = [2 * count - 2]  # a node to look into, or ~ one that is a cluster by itself
    while below:
        node = below.pop()
        if node < 0:
            order.append(~node)
        elif node < limit:
            order.append(node)
        else:
            low, high = children[node - count]
            below += [~child for child in (high, low) if child < count]
            below += [child for child in (high, low) if child >= count]
    for number, node in enumerate(order):
        members = [node]
        while members:
            member = members.pop()
            if member < count:
                labels[member] = number
            else:
                members += children[member - count]
    return labels
