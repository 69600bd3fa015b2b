"""Ten thousand commits of one document each, beside one commit of them all: time, bytes and a search."""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.encode import Row
from benchmarks.machine import about
from femtosearch.index.index import Index
from femtosearch.model.model import Model

WORDS = Path(__file__).with_name("README.md").read_text(encoding="utf-8").split()
LENGTH = 40  # words of a document
QUERIES = 100


def measure(count: int) -> tuple[dict[str, Any], list[Row]]:
    """The results, and the rows of a table. Times are the processor's, so that a busy machine changes
    little.
    """
    rng, model = random.Random(0), Model.load()
    documents = [{"id": f"d{n}", "text": " ".join(rng.choices(WORDS, k=LENGTH))} for n in range(count)]
    queries = [" ".join(rng.choices(WORDS, k=4)) for _ in range(QUERIES)]
    with tempfile.TemporaryDirectory() as place, Index(Path(place) / "single", model=model) as index:
        times = [_processor_milliseconds(index.add, [document], threads=1) for document in documents]
        single = _about(index, queries)
    with tempfile.TemporaryDirectory() as place, Index(Path(place) / "bulk", model=model) as index:
        bulk = {"milliseconds": _processor_milliseconds(index.add, documents, threads=1)}
        bulk |= _about(index, queries)
    tenth = max(1, count // 10)
    single |= {"first": median(times[:tenth]), "last": median(times[-tenth:]), "milliseconds": sum(times)}
    rows = [
        ("a commit of one document, the first tenth", single["first"], "ms of the processor"),
        ("a commit of one document, the last tenth", single["last"], "ms of the processor"),
        ("a document of one commit", bulk["milliseconds"] / count, "ms of the processor"),
        ("a search after single commits", single["search"], "ms of the processor, median"),
        ("a search after one commit", bulk["search"], "ms of the processor, median"),
        ("bytes after single commits", single["bytes"], f"in {single['segments']} segments"),
        ("bytes after one commit", bulk["bytes"], f"in {bulk['segments']} segments"),
    ]
    return {"documents": count, "model": about(model), "single": single, "bulk": bulk}, rows


def _about(index: Index, queries: list[str]) -> dict[str, float]:
    index.search(queries[0], hybrid=0)
    times = [_processor_milliseconds(index.search, query, hybrid=0) for query in queries]
    stats = index.stats()
    return {"search": median(times), "bytes": stats.bytes, "segments": stats.segments}


def _processor_milliseconds(function: Any, *arguments: Any, **options: Any) -> float:
    start = time.process_time()
    function(*arguments, **options)
    return 1e3 * (time.process_time() - start)
