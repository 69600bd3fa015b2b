"""How much of an index a coarse step before the scan of FDEs has to look at: cells, or first numbers alone.

    python -m benchmarks.coarse INDEX COLLECTION... --cells 1024 --out benchmarks/results/coarse.json

The share of the passages that are looked at until 99% of MaxSim's ten best are among them, over all queries:
whole ones, and two to four words of each. A cell is looked at in the order of its mean passage's product. The
passages of the index have to have their FDEs.

Letters: N passages, P first numbers of an FDE, C cells, Q queries.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.judged import collection
from benchmarks.machine import machine
from femtosearch.index.snapshot import Snapshot
from femtosearch.index.snapshots import Snapshots
from femtosearch.index.store import Store
from femtosearch.model.model import Model

BEST, SHARE, SEED = 10, 0.99, 0
QUERIES = 60  # of a collection
ROUNDS, SAMPLE = 4, 40  # of k-means; passages of it for each cell
_ROWS = 1 << 14  # that are multiplied with all centres at a time


def main() -> None:
    """Measure, print a table and, with --out, write everything as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("index", type=Path)
    parser.add_argument("collections", nargs="+", type=Path)
    parser.add_argument("--numbers", type=int, nargs="+", default=[64, 128, 256, 512], metavar="P")
    parser.add_argument("--cells", type=int, nargs="+", default=[1024], metavar="C")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    before = machine()
    store = Store.open(options.index, 0.0)
    assert store is not None, "expected an index"
    snapshot = Snapshots(store).take()
    kinds = [_queries(options.collections), _few_words(_queries(options.collections))]
    figures = {}
    for name, shares in _shares(snapshot, kinds, options.numbers, options.cells):
        figures[name] = shares
        print(f"{name:<32}" + "".join(f"{kind:>10} {100 * share:5.2f}%" for kind, share in shares.items()))
    results = {"machine": before, "passages": snapshot.passages, "queries": len(kinds[0]), "shares": figures}
    if options.out:
        options.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def _queries(folders: list[Path]) -> list[str]:
    return [text for path in folders for text in [*collection(path).queries.values()][:QUERIES]]


def _few_words(queries: list[str]) -> list[str]:
    """Two to four words of each query that stand side by side."""
    rng = np.random.default_rng(SEED)
    return [" ".join(_some(text.split(), int(rng.integers(2, 5)), rng)) for text in queries]


def _some(words: list[str], count: int, rng: np.random.Generator) -> list[str]:
    begin = int(rng.integers(0, max(1, len(words) - count)))
    return words[begin : begin + count]


def _shares(
    snapshot: Snapshot, kinds: list[list[str]], numbers: list[int], cells: list[int]
) -> Iterator[tuple[str, dict[str, float]]]:
    """The name of each coarse step and what it has to look at, for each kind of query."""
    model, fde = Model.load(), snapshot.encoding.fde
    rows = [model.encode_queries(queries) for queries in kinds]
    vectors = np.concatenate([fde.queries(some, numbers=max(numbers)) for some in rows])  # [Q, P]
    every = (snapshot.scores(query) for some in rows for query in some)
    best = np.stack([np.argpartition(-scores, BEST)[:BEST] for scores in every])  # [Q, 10]
    for prefix in numbers:
        depths = [_depths(snapshot.products(v[:prefix]), some) for v, some in zip(vectors, best, strict=True)]
        yield f"the first {prefix} numbers", _by_kind(np.array(depths) / snapshot.passages)
    documents = _documents(snapshot, max(numbers))
    weights = np.sqrt(np.square(vectors).mean(axis=0))  # what each number counts in a product
    for count in cells:
        for prefix in numbers:
            passages = documents[:, :prefix]
            cell = _assign(passages, _centres(passages, weights[:prefix], count), weights[:prefix])
            sizes, means = _means(passages, cell, count)
            yield (
                f"{count} cells over {prefix} numbers",
                _by_kind(_reached(vectors[:, :prefix] @ means.T, sizes, cell[best]) / snapshot.passages),
            )


def _by_kind(shares: np.ndarray) -> dict[str, float]:
    """What suffices for 99% of [Q, 10] shares, the first half being of whole queries."""
    whole, few = np.split(shares, 2)
    named = {"whole": whole, "few words": few, "all": shares}
    return {name: float(np.quantile(some, SHARE)) for name, some in named.items()}


def _depths(products: np.ndarray, best: np.ndarray) -> list[int]:
    """At how many passages of the largest products each of the best is among them."""
    return [int(np.count_nonzero(products >= products[place])) for place in best]


def _documents(snapshot: Snapshot, numbers: int) -> np.ndarray:
    """The first numbers of the FDEs of all passages, [N, P] float32."""
    parts = []
    for view in snapshot.views.values():
        assert view.segment.fde is not None, "expected passages with FDEs: set_fde makes them"
        rows = view.segment.fde.rows()[:, :numbers]
        parts.append(rows if view.which is None else rows[view.which])
    return np.concatenate(parts)


def _centres(passages: np.ndarray, weights: np.ndarray, count: int) -> np.ndarray:
    """The centres of k-means over a sample of weighted passages, [C, P]; an empty cell takes a passage."""
    rng = np.random.default_rng(SEED)
    sample = passages[rng.permutation(len(passages))[: count * SAMPLE]]
    centres = sample[:count].copy()
    for _ in range(ROUNDS):
        sizes, centres = _means(sample, _assign(sample, centres, weights), count)
        centres[sizes == 0] = sample[rng.integers(0, len(sample), np.count_nonzero(sizes == 0))]
    return centres


def _assign(passages: np.ndarray, centres: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The nearest centre of each weighted passage, [N] int64."""
    weighted = centres * np.square(weights)
    halves = (weighted * centres).sum(axis=1) / 2
    pieces = range(0, len(passages), _ROWS)
    return np.concatenate(
        [np.argmax(passages[at : at + _ROWS] @ weighted.T - halves, axis=1) for at in pieces]
    )


def _means(passages: np.ndarray, cell: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """How many passages each cell has, [C], and their mean, [C, P]."""
    sizes, order = np.bincount(cell, minlength=count), np.argsort(cell, kind="stable")
    means = np.zeros((count, passages.shape[1]), np.float32)
    some = np.flatnonzero(sizes)
    starts = (np.cumsum(sizes) - sizes)[some]
    means[some] = np.add.reduceat(passages[order], starts, axis=0) / sizes[some, None]
    return sizes, means


def _reached(products: np.ndarray, sizes: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """How many passages are looked at, cell by cell, until the cell of each wanted one: [Q, 10].

    products:  [Q, C], of each query with the cells' means; wanted: [Q, 10], cells.
    """
    order = np.argsort(-products, axis=1)
    places = np.argsort(order, axis=1)
    return np.take_along_axis(
        np.cumsum(sizes[order], axis=1), np.take_along_axis(places, wanted, axis=1), axis=1
    )


if __name__ == "__main__":
    main()
