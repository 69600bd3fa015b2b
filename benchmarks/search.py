"""The index: how fast it is built and asked, how soon the first hit is there, what it takes."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import femtosearch
from benchmarks.encode import Row
from benchmarks.judged import collection
from benchmarks.machine import about, best_and_median, in_child, peak_memory, seconds
from femtosearch.index.index import Index
from femtosearch.model.model import Model

K = 10
STARTS = 5  # fresh processes
ROUNDS = 3  # over all queries
FIRST_HIT = (
    "import sys; from femtosearch.index.index import Index; from femtosearch.model.model import Model\n"
    "model = Model.load(sys.argv[3] if len(sys.argv) > 3 else None)\n"
    "print(Index(sys.argv[1], model=model).search(sys.argv[2])[0].id)"
)


def measure(data: Path, model: str | None, runs: int) -> tuple[dict[str, Any], list[Row]]:
    """The results, and the rows of a table."""
    data_set = collection(data)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "index")
        build = in_child(_build, data, model, runs, folder)
        asked = in_child(_ask, data, model, folder)
        query = next(iter(data_set.queries.values()))
        starts = {
            "python": _starts(
                [sys.executable, "-c", FIRST_HIT, str(folder), query, *([model] if model else [])]
            ),
            "script": _starts(
                [*_script(), "search", str(folder), query, *(["--model", model] if model else [])]
            ),
        }
    installed = installed_bytes("femtosearch")
    results = {
        "model": about(Model.load(model)),
        "collection": data_set.name,
        "documents": len(data_set.documents),
        "queries": len(data_set.queries),
        **build,
        **asked,
        "seconds_to_first_hit": starts,
        "installed_bytes": {**installed, "all": sum(installed.values())},
    }
    return results, _table(results)


def _table(results: dict[str, Any]) -> list[Row]:
    latency = results["query_milliseconds"]
    return [
        ("index: documents/s, best", results["index_documents_per_second"]["best"], ""),
        ("index: documents/s, median", results["index_documents_per_second"]["median"], ""),
        ("index: bytes a document", results["bytes_per_document"], ""),
        ("index: peak memory", results["index_peak_bytes"] / 1e6, "MB"),
        (f"query, k = {K}: p50", latency["p50"], "ms"),
        (f"query, k = {K}: p95", latency["p95"], "ms"),
        ("query: the first in a process", latency["first"], "ms"),
        ("search: peak memory", results["search_peak_bytes"] / 1e6, "MB"),
        ("process start to first hit, python -c", results["seconds_to_first_hit"]["python"]["median"], "s"),
        ("process start to first hit, script", results["seconds_to_first_hit"]["script"]["median"], "s"),
        ("installed, with dependencies", results["installed_bytes"]["all"] / 1e6, "MB"),
    ]


def _build(data: Path, source: str | None, runs: int, folder: Path) -> dict[str, Any]:
    """Documents in memory -> an index that is safe on disk; the last one is kept."""
    documents = collection(data).documents
    model = Model.load(source)
    rates = []
    for _ in range(runs):
        shutil.rmtree(folder, ignore_errors=True)
        with Index(folder, model=model) as index:
            rates.append(len(documents) / seconds(index.add, documents))
    with Index(folder, model=model) as index:
        stats = index.stats()
    return {
        "passages": stats.passages,
        "index_documents_per_second": best_and_median(rates),
        "index_bytes": stats.bytes,
        "bytes_per_document": stats.bytes / len(documents),
        "index_peak_bytes": peak_memory(),
    }


def _ask(data: Path, source: str | None, folder: Path) -> dict[str, Any]:
    """Text in, hits out, one query after the other."""
    queries = list(collection(data).queries.values())
    times = []
    with Index(folder, model=Model.load(source)) as index:
        first = seconds(index.search, queries[0], k=K)
        for _ in range(ROUNDS):
            times += [seconds(index.search, query, k=K) for query in queries]
    cuts = quantiles(times, n=100)
    milliseconds = {
        "first": 1e3 * first,
        "p50": 1e3 * median(times),
        "p95": 1e3 * cuts[94],
        "p99": 1e3 * cuts[98],
    }
    return {"query_milliseconds": milliseconds, "search_peak_bytes": peak_memory()}


def _starts(command: list[str]) -> dict[str, float]:
    """Seconds from process start to its end, with a hit printed; after one run that fills the cache."""
    times = []
    for _ in range(STARTS + 1):
        start = time.perf_counter()
        output = subprocess.check_output(command, text=True)
        times.append(time.perf_counter() - start)
        if not output.strip():
            sys.exit(f"expected a hit from {command}, found none")
    return {"best": min(times[1:]), "median": median(times[1:])}


def _script() -> list[str]:
    """The console script, or what it does where it is not installed."""
    script = Path(sysconfig.get_path("scripts"), "femtosearch")
    return [str(script)] if script.exists() else [sys.executable, "-m", "femtosearch"]


def installed_bytes(package: str) -> dict[str, int]:
    """Bytes of a package and of everything that it needs, without extras, by package."""
    sizes: dict[str, int] = {}
    waiting = [package]
    while waiting:
        name = waiting.pop()
        try:
            installed = distribution(name)
        except PackageNotFoundError:  # of another system, by its marker
            continue
        if installed.name not in sizes:
            sizes[installed.name] = _bytes(installed)
            needs = [need for need in installed.requires or () if "extra ==" not in need]
            waiting += [re.match(r"[\w.-]+", need)[0] for need in needs]  # type: ignore[index]
    return dict(sorted(sizes.items(), key=lambda item: -item[1]))


def _bytes(installed: Distribution) -> int:
    paths = {Path(str(file.locate())).resolve() for file in installed.files or ()}
    if installed.name == "femtosearch":  # whose files an editable install leaves where they are
        paths |= {path.resolve() for path in Path(femtosearch.__file__).parent.rglob("*")}
    return sum(path.stat().st_size for path in paths if path.is_file())
