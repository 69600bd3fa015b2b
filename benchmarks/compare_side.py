"""One side of `python -m benchmarks compare`: seconds of a femtosearch, as JSON on standard output.

    python benchmarks/compare_side.py TEXTS.json

It runs with any commit, so it uses public names alone, and nothing of `benchmarks`. Times are of this process
on its cores, the least of several, so that what else the machine does counts little.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import femtosearch as fs

TAKES, SECONDS = 7, 1.0  # at least
DOCUMENTS, ROWS, QUERY, DIMS = 50, 100, 32, 64  # few, so that they lie in a core's own cache


def least(function: Callable[[], object]) -> float:
    """The least processor time that a call takes, after one that warms up."""
    function()
    times: list[float] = []
    while len(times) < TAKES or sum(times) < SECONDS:
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


def random_rows(rng: np.random.Generator, texts: int, length: int) -> fs.Rows:
    rows = rng.standard_normal((texts * length, DIMS), np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return fs.Rows(rows, np.arange(texts + 1, dtype=np.int64) * length)


def kernels() -> dict[str, float]:
    """MaxSim of floats, and a fixed-dimensional encoding."""
    rng = np.random.default_rng(0)
    documents, queries = random_rows(rng, DOCUMENTS, ROWS), random_rows(rng, 20, QUERY)
    muvera = fs.fde.Muvera(repetitions=20, bits=5, projection=16)
    return {
        "kernels: MaxSim, 20 queries, 50 documents": least(lambda: fs.maxsim(queries, documents, threads=1)),
        "kernels: MUVERA, 50 documents": least(lambda: muvera.documents(documents)),
    }


def encode(model: fs.Model, texts: list[str]) -> dict[str, float]:
    queries = [text[:40] for text in texts[:100]]
    return {
        f"encode: {len(texts)} documents": least(lambda: model.encode_documents(texts, threads=1)),
        "encode: 100 queries": least(lambda: model.encode_queries(queries, threads=1)),
    }


def search(model: fs.Model, texts: list[str]) -> dict[str, float]:
    queries = [text[:40] for text in texts[:20]]

    def build() -> None:
        with fs.Index(model=model, fde=None) as index:
            index.add(texts)

    with fs.Index(model=model, fde="muvera") as index:
        for start in range(0, 20 * len(texts), len(texts)):
            index.add({"id": str(start + n), "text": text} for n, text in enumerate(texts))
        index.compact()
        return {
            "search: an index in memory, built": least(build),
            "search: 20 queries, exact": least(lambda: index.search(queries, mode="maxsim")),
            "search: 20 queries, 100 candidates": least(
                lambda: index.search(queries, mode="rerank", candidates=100)
            ),
        }


def main() -> None:
    if Path(fs.__file__).resolve().parents[1] != Path.cwd().resolve():
        sys.exit(f"expected the femtosearch of {Path.cwd()}, found {fs.__file__}")
    texts = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    model = fs.Model.load()
    print(json.dumps({**kernels(), **encode(model, texts), **search(model, texts)}))


if __name__ == "__main__":
    main()
