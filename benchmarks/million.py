"""A million passages of real text in one index: build, size, memory, and searches beside exact MaxSim."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from statistics import fmean, median, quantiles
from typing import Any

from benchmarks.encode import Row
from benchmarks.judged import collection
from benchmarks.machine import about, in_child, seconds
from benchmarks.passages import passages
from femtosearch.fde import Calibration, Fde, calibrated
from femtosearch.index.index import Index
from femtosearch.index.plan import choose
from femtosearch.index.request import check_request
from femtosearch.index.search import extent_of
from femtosearch.index.stats import describe
from femtosearch.model.model import Model
from femtosearch.progress import Progress

K = 10
COMMIT = 10_000  # documents
QUERIES = 100
ROUNDS = 3  # over all queries


def measure(
    data: Path, count: int, folder: Path, asked: list[Path], recall: float | None, calibrating: int, own: bool
) -> tuple[dict[str, Any], list[Row]]:
    """The results, and the rows of a table. An index that is in `folder` gets the passages that it lacks.

    calibrating:  so many other queries of each collection measure first how many candidates there have to be.
    own:          stretches of the passages measure that.
    """
    build = in_child(_build, data, count, folder)
    each = QUERIES // len(asked)
    others = _queries(asked, each, each + calibrating)
    search = in_child(_ask, folder, _queries(asked, 0, each), others, own, recall)
    stats = describe(folder)
    per_passage = stats.bytes / stats.passages
    results = {
        "model": about(Model.load()),
        "passages": stats.passages,
        "rows_per_passage": stats.rows / stats.passages,
        "segments": stats.segments,
        "fde": stats.fde,
        "bytes_per_passage": per_passage,
        "build": build if build["passages"] else None,
        "queries": [path.name for path in asked],
        "asked_recall": recall,
        "calibrated_on": "its own passages" if own else len(others),
        **search,
    }
    return results, _table(results)


def _table(results: dict[str, Any]) -> list[Row]:
    build, took, memory = results["build"], results["query_milliseconds"], results["search_memory"]
    built = [] if build is None else [(f"build of {build['passages']:,} passages", build["seconds"], "s")]
    return [
        *built,
        ("passages", results["passages"], ""),
        ("bytes a passage", results["bytes_per_passage"], ""),
        ("candidates", results["plan"]["candidates"], ""),
        ("numbers of the FDE that are compared", results["plan"]["prefix"], ""),
        ("... of so many passages, the first 128 of all", results["plan"]["coarse"], ""),
        ("text to hits: p5", took["p5"], "ms"),
        ("text to hits: p50", took["p50"], "ms"),
        ("text to hits: p95", took["p95"], "ms"),
        ("text to hits: first", took["first"], "ms"),
        ("text to hits by MaxSim alone: p50", results["without_words_milliseconds"], "ms"),
        ("exact MaxSim: p50", results["exact_milliseconds"], "ms"),
        (f"recall of the exact top {K}", results["recall"], ""),
        ("memory: heap", memory["heap"] / 1e6, "MB"),
        ("memory: page cache", memory["page_cache"] / 1e6, "MB"),
    ]


def _build(data: Path, count: int, folder: Path) -> dict[str, Any]:
    """Text on the disk -> an index that is safe on the disk; a build that was stopped goes on."""
    start = time.perf_counter()
    with Index(folder, model=Model.load()) as index, Progress() as progress:
        before = done = len(index)
        documents = islice(_documents(data, count), done, None) if done < count else iter(())
        while batch := list(islice(documents, COMMIT)):
            index.add(batch)
            done += len(batch)
            progress.update("build", done, count, unit="passages")
    return {"passages": done - before, "seconds": time.perf_counter() - start, "memory": _memory()}


def _documents(data: Path, count: int) -> Iterator[dict[str, str]]:
    return ({"id": str(n), "text": text} for n, text in enumerate(passages(data, count)))


def _queries(folders: list[Path], begin: int, end: int) -> list[str]:
    """So many of each collection."""
    return [text for path in folders for text in [*collection(path).queries.values()][begin:end]]


def _ask(
    folder: Path, queries: list[str], others: list[str], own: bool, recall: float | None
) -> dict[str, Any]:
    """Text in, hits out, one query after the other; then all of them again by MaxSim over everything."""
    with Index(folder, model=Model.load()) as index:
        fde = _fde(index)
        calibration = fde.calibration if fde else None
        if others or own:
            calibration = index.calibrate(None if own else others)
    with Index(folder, model=Model.load()) as index:
        first = 1e3 * seconds(index.search, queries[0], k=K, recall=recall)
        hits = [[hit.id for hit in index.search(query, k=K, recall=recall, hybrid=0)] for query in queries]
        times = _milliseconds(index, queries, recall=recall)
        alone = _milliseconds(index, queries, recall=recall, hybrid=0)
        memory = _memory()
        exact, exact_times = [], []
        for query in queries:
            start = time.perf_counter()
            exact.append([hit.id for hit in index.search(query, k=K, mode="maxsim")])
            exact_times.append(1e3 * (time.perf_counter() - start))
        plan = _plan(index, queries[0], recall, calibration)
    shares = [len(set(a) & set(b)) / len(a) for a, b in zip(exact, hits, strict=True) if a]
    cuts = quantiles(times, n=100)
    return {
        "plan": plan,
        "query_milliseconds": {"first": first, "p5": cuts[4], "p50": median(times), "p95": cuts[94]},
        "without_words_milliseconds": median(alone),
        "exact_milliseconds": median(exact_times),
        "recall": fmean(shares),
        "search_memory": memory,
    }


def _milliseconds(index: Index, queries: list[str], **options: Any) -> list[float]:
    """What each query takes, several times over."""
    return [1e3 * seconds(index.search, text, k=K, **options) for _ in range(ROUNDS) for text in queries]


def _fde(index: Index) -> Fde | None:
    """The FDE that the index's model brings."""
    fde: Fde | None = getattr(index.model, "fde", None)
    return fde


def _plan(index: Index, query: str, recall: float | None, calibration: Calibration | None) -> dict[str, Any]:
    """What a search of that query does."""
    fde = _fde(index)
    extent = extent_of(index._snapshots.take(), None)
    rows = len(index.model.encode_queries([query]).rows)
    request = check_request([query], K, "auto", None, recall)

    def stored() -> Fde:
        assert fde is not None  # as the extent says
        return calibrated(fde, calibration)

    plan = choose(request, rows, extent, stored)
    return {
        "mode": plan.mode,
        "candidates": plan.candidates,
        "prefix": plan.prefix or 0,
        "coarse": plan.coarse,
    }


def _memory() -> dict[str, int]:
    """Bytes that this process holds: of its own, and of files' pages that the system may take back."""
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    memory = {words[0]: int(words[1]) * 1024 for words in lines if words[0] in ("RssAnon:", "RssFile:")}
    return {"heap": memory["RssAnon:"], "page_cache": memory["RssFile:"]}
