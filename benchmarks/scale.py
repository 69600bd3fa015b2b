"""What a corpus of any size needs, from what a small one costs here; and how long the slowest shard takes.

    python -m benchmarks.scale DATA --passages 10000 --out benchmarks/results/scale.json

Costs are seconds of processor time, which others on the machine change little; latencies are of the clock, so
they are those of a machine as busy as this one was (`machine.load`).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.machine import machine
from benchmarks.passages import passages
from femtosearch.codes import HEAD, Codes, Order, shapes
from femtosearch.fde import nearest
from femtosearch.index import cost
from femtosearch.index.index import Index
from femtosearch.index.plan import Extent, choose, usually_scored
from femtosearch.index.request import check_request
from femtosearch.index.stats import describe
from femtosearch.model.model import Model

SIZES = (10_000_000, 100_000_000, 1_000_000_000)
SHARDS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
QUERIES = 300
DRAWS = 20_000  # queries that are simulated
SLOW = 0.95  # an answer that is slower than this share is asked for again
TARGET, CORES = 0.020, 2  # seconds of a scan, on so many cores of a shard
MACHINE = {"cores": 16, "memory": 64e9}  # that the tables count in
A_SHARD, QUERY_ROWS = 1_000_000, 16  # of the plan that is measured
SCANNED = 100_000  # passages of the FDEs that are scanned to measure a scan


def main() -> None:
    """Measure, simulate, print the tables as Markdown and write everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--passages", type=int, default=10_000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    before = machine()
    costs, latencies = _measured(options.data, options.passages)
    results = {
        "machine": before,
        "costs": costs,
        "sizes": [_needs(size, costs) for size in SIZES],
        "latency": {f"p{p}": float(np.percentile(latencies, p)) for p in (50, 90, 95, 99)},
        "tail": [_tail(latencies, shards) for shards in SHARDS],
    }
    _print(results)
    if options.out:
        options.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def _measured(data: Path, count: int) -> tuple[dict[str, float], np.ndarray]:
    """What a passage costs: bytes, and seconds of one core; and the latencies of searches, in seconds."""
    texts = list(passages(data, count))
    model = Model.load()
    with TemporaryDirectory() as folder:
        costs, latencies = _of_index(Path(folder), texts, model)
        catalogue = Path(folder, "catalog.db").stat().st_size  # once it is closed: nothing lies beside it
        stats = describe(folder)
    assert model.fde is not None
    numbers, bits = model.fde.size(model.dims), model.fde.code_bits
    rows = stats.rows / stats.passages
    more = {
        "passages": stats.passages,
        "rows a passage": rows,
        "bytes a passage": stats.bytes / stats.passages,
        "bytes a passage, texts and words": catalogue / stats.passages,
        "bytes a passage, FDE": numbers * bits / 8 + 4,
        "numbers of an FDE": numbers,
        **_asked(model, rows),
        "Qdrant bytes a passage": 4 * (rows * model.dims + numbers),
    }
    return {**more, **costs}, latencies


def _of_index(folder: Path, texts: list[str], model: Model) -> tuple[dict[str, float], np.ndarray]:
    """What an index of texts costs in seconds of one core, and the latencies of its searches."""
    count = len(texts)
    with Index(folder, model=model, fde="auto") as index:
        encoding = _processor(lambda: index.add(texts, threads=1)) / count
        making = _processor(lambda: index.set_fde("auto")) / count
        queries = [" ".join(text.split()[:6]) for text in islice(texts, 0, None, max(1, count // QUERIES))]
        for query in queries[:20]:
            index.search(query, mode="rerank")
        latencies = np.array([_clock(partial(index.search, query, mode="rerank")) for query in queries])
        search = _processor(lambda: [index.search(query, mode="rerank") for query in queries]) / len(queries)
    return {"encoding": encoding, "making FDEs": making, "search of this index": search}, latencies


def _asked(model: Model, rows: float) -> dict[str, float]:
    """What a query of a shard of a million passages takes, as the plan has it: the seconds of one core that
    the scan of one FDE takes, and those, predicted, in which the candidates are scored.
    """
    fde: Any = model.fde
    extent = Extent(model.dims, int(A_SHARD * rows), A_SHARD, True, documents=A_SHARD, has_split_fdes=True)
    plan = choose(check_request(["a"], mode="rerank"), QUERY_ROWS, extent, lambda: fde)
    size = fde.size(model.dims)
    prefix, bits = plan.prefix or size, fde.code_bits
    blocks, scales = shapes(SCANNED, size, bits)
    draw = np.random.Generator(np.random.PCG64(0))
    numbers = draw.integers(-128, 128, blocks, np.int8)
    codes = Codes(numbers, np.ones(scales, np.float32), SCANNED, size, bits, Order.SPLIT)
    vector = draw.standard_normal(prefix).astype(np.float32)
    coarse = plan.coarse * SCANNED // A_SHARD
    scan = lambda: nearest(vector, [(codes, None)], plan.candidates, coarse=coarse)  # noqa: E731
    scan()
    scored = usually_scored(plan, size)
    rescoring = cost.rescoring_seconds(QUERY_ROWS, model.dims, int(scored * rows), scored)
    return {
        "numbers scanned": HEAD if plan.coarse else prefix,
        "all numbers read": plan.coarse,
        "candidates": plan.candidates,
        "scored": scored,
        "scan": min(_processor(scan) for _ in range(10)) / SCANNED,
        "scoring candidates": rescoring,
    }


def _processor(work: Callable[[], Any]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


def _clock(work: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def _needs(size: int, costs: dict[str, float]) -> dict[str, float]:
    """What so many passages need."""
    a_shard = (TARGET - costs["scoring candidates"]) * CORES / costs["scan"]
    shards = int(np.ceil(size / a_shard))
    warm = costs["bytes a passage"] - costs["bytes a passage, texts and words"]  # what searches read
    by_memory, by_cores = size * warm / MACHINE["memory"], shards * CORES / MACHINE["cores"]
    return {
        "passages": size,
        "bytes": size * costs["bytes a passage"],
        "bytes in memory": size * warm,
        "shards": shards,
        "cores": shards * CORES,
        "machines": int(np.ceil(max(by_memory, by_cores))),
        "core hours to build": size * (costs["encoding"] + costs["making FDEs"]) / 3600,
        "Qdrant bytes": size * costs["Qdrant bytes a passage"],
        "Qdrant machines by memory": int(np.ceil(size * costs["Qdrant bytes a passage"] / MACHINE["memory"])),
    }


def _tail(latencies: np.ndarray, shards: int) -> dict[str, float]:
    """How long the slowest of so many shards takes, in seconds, each drawn from what was measured; and where
    the slowest answers in twenty are asked for again, the first of both counting.
    """
    draw = np.random.Generator(np.random.PCG64(shards))
    first = draw.choice(latencies, (DRAWS, shards))
    slow = np.quantile(latencies, SLOW)
    second = slow + draw.choice(latencies, (DRAWS, shards))
    hedged = np.where(first > slow, np.minimum(first, second), first)
    facts: dict[str, float] = {"shards": shards}
    for name, times in (("plain", first), ("hedged", hedged)):
        slowest = times.max(axis=1)
        facts |= {f"{name} p{p}": float(np.percentile(slowest, p)) for p in (50, 95, 99)}
    return {**facts, "asked twice": float((first > slow).mean())}


def _print(results: dict[str, Any]) -> None:
    print(
        "| passages | bytes | in memory | shards | cores | machines | core hours to build | Qdrant's bytes |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for needs in results["sizes"]:
        row = (needs["bytes"], needs["bytes in memory"], needs["Qdrant bytes"])
        size, warm, theirs = (f"{number / 1e9:,.0f} GB" for number in row)
        hours = f"{needs['core hours to build']:,.0f}"
        cells = (
            f"{needs['passages']:,}",
            size,
            warm,
            needs["shards"],
            needs["cores"],
            needs["machines"],
            hours,
            theirs,
        )
        print("| " + " | ".join(map(str, cells)) + " |")
    print(
        "\n| shards | p50 | p95 | p99 | hedged p50 | p95 | p99 |\n| --- | --- | --- | --- | --- | --- | --- |"
    )
    for tail in results["tail"]:
        times = [f"{1000 * tail[f'{name} p{p}']:.1f}" for name in ("plain", "hedged") for p in (50, 95, 99)]
        print(f"| {tail['shards']} | " + " | ".join(times) + " |")


if __name__ == "__main__":
    main()
