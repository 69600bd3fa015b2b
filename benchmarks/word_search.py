"""What the words of a query take in a large index, and what its ranking owes to how many are looked up.

    python -m benchmarks.word_search INDEX COLLECTION... --data DIR --passages 600k --out words.json

The index has the documents of the collections among passages of text; one that is there is asked as it is. A
ranking is judged by the collection's own documents in it. Times are the processor's, of looking words up.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from statistics import fmean, median, quantiles
from typing import Any

from benchmarks.judged import collection, ndcg
from benchmarks.machine import machine
from benchmarks.passages import count_of, passages
from femtosearch.index import keywords
from femtosearch.index.index import Index
from femtosearch.index.snapshots import Snapshots
from femtosearch.index.store import Store
from femtosearch.model.model import Model

COMMIT = 10_000  # documents
QUERIES = 50  # of a collection
DEPTH, CANDIDATES = 200, 2000  # hits, in which the collection's own are looked for; passages that are scored


def main() -> None:
    """Measure, print what comes and, with --out, write everything as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("index", type=Path)
    parser.add_argument("collections", nargs="+", type=Path)
    parser.add_argument("--data", type=Path, help="text/*.txt.xz and pairs/*.jsonl.xz, for a new index")
    parser.add_argument("--passages", type=count_of, default=600_000, metavar="N")
    parser.add_argument("--scored", type=int, nargs="*", default=[], help="judge rankings with so many, too")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    before = machine()
    if not (options.index / "catalog.db").exists():
        _build(options.index, options.collections, options.data, options.passages)
    texts = [text for path in options.collections for text in _queries(path).values()]
    results = {"machine": before, "times": _times(options.index, texts), "ndcg": {}}
    print(results["times"])
    for scored in options.scored:
        results["ndcg"][scored] = _judged(options.index, options.collections, scored)
        print(scored, results["ndcg"][scored], fmean(results["ndcg"][scored].values()))
    if options.out:
        options.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def _build(folder: Path, collections: list[Path], data: Path, count: int) -> None:
    with Index(folder, model=Model.load()) as index:
        documents = _documents(collections, data, count)
        while some := list(islice(documents, COMMIT)):
            index.add(some)


def _documents(collections: list[Path], data: Path, count: int) -> Iterator[dict[str, str]]:
    for path in collections:
        for document in collection(path).documents:
            yield {"id": f"{path.name}/{document.id}", "text": document.text}
    yield from ({"id": str(n), "text": text} for n, text in enumerate(passages(data, count)))


def _queries(path: Path) -> dict[str, str]:
    return dict([*collection(path).queries.items()][:QUERIES])


def _times(folder: Path, texts: list[str]) -> dict[str, float]:
    """Milliseconds of the processor for a query's words, when they come for the first time and again."""
    store = Store.open(folder, 0.0)
    assert store is not None, "expected an index"
    snapshot = Snapshots(store).take()
    figures: dict[str, float] = {"passages": snapshot.passages}
    for turn in ("first", "again"):
        took, occurrences = [], []
        for text in texts:
            start = time.process_time()
            lists = keywords.find(store.catalog, snapshot, text, None, depth=10, exhaustive=False)
            took.append(1e3 * (time.process_time() - start))
            occurrences.append(sum(lists.counts.values()))
        p95 = quantiles(took, n=20)[-1]
        figures |= {turn: median(took), f"{turn}, p95": p95, "occurrences": median(occurrences)}
    return figures


def _judged(folder: Path, collections: list[Path], scored: int) -> dict[str, float]:
    """nDCG@10 of each collection's own documents, where so many occurrences of words are scored."""
    usual, keywords.MOST_SCORED = keywords.MOST_SCORED, scored
    try:
        with Index(folder, model=Model.load()) as index:
            return {path.name: _ndcg(index, path) for path in collections}
    finally:
        keywords.MOST_SCORED = usual


def _ndcg(index: Index, path: Path) -> float:
    relevant, figures = collection(path).relevant, []
    how: dict[str, Any] = {"mode": "rerank", "candidates": CANDIDATES, "hybrid": 0.36, "k": DEPTH}
    for name, text in _queries(path).items():
        ids = [
            hit.id.split("/", 1) for hit in index.search(text, **how) if hit.id.startswith(f"{path.name}/")
        ]
        figures.append(ndcg([document for _, document in ids][:10], relevant[name]))
    return fmean(figures)


if __name__ == "__main__":
    main()
