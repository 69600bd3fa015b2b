"""Shards on nodes that die: an index of many passages is built and searched on a real Ray cluster of several
nodes on this machine, while workers and nodes are killed, and compared with one index.

    python -m benchmarks.cluster DATA --passages 100000 --nodes 1 2 4 --out benchmarks/results/cluster.json

Needs the extra [cluster]. The nodes share the cores of the machine: times say nothing about speed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray.cluster_utils import Cluster as Nodes

from benchmarks.machine import machine
from benchmarks.passages import passages
from femtosearch.errors import FemtosearchError
from femtosearch.index.index import Index
from femtosearch.model.model import Model
from femtosearch.read import read
from femtosearch.server.cluster.build import build
from femtosearch.server.cluster.cluster import Cluster

QUERIES = 60
FILES = 24
OURS = (b"ray::divide", b"ray::encode", b"ray::Holder")
HOW: dict[str, dict[str, Any]] = {
    "maxsim": {"mode": "maxsim", "length_penalty": 0},
    "maxsim, long documents": {"mode": "maxsim"},
    "hybrid": {"mode": "maxsim", "hybrid": 0.36},
    "words": {"hybrid": 1},
}


def main() -> None:
    """Run all of it; the exit code is 1 if anything was wrong or lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--model", default="femto")
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--seconds", type=float, default=60, help="of searching while workers and nodes die")
    parser.add_argument(
        "--rerank", action="store_true", help="compare the mode rerank, too, which makes FDEs"
    )
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="femtosearch-proof-") as folder:
        results = _measure(options, Path(folder))
    print(json.dumps(results["runs"], indent=2))
    if options.out:
        options.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    bad = sum(run[name] for run in results["runs"] for name in ("wrong", "failed", "lost documents"))
    sys.exit(bool(bad))


def _measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    before = machine()
    texts, queries = _texts(options, folder / "texts")
    model = Model.load(options.model, precision=options.precision)
    began = time.monotonic()
    with Index(folder / "one", model=model, fde="auto") as single:
        single.add(read([texts]))
        expected = {name: single.search(queries, **how) for name, how in HOW.items()}
        exact = [{hit.id for hit in hits} for hits in expected["maxsim"]]
        more = {"rerank recall of ten": _recall(single, queries, exact)} if options.rerank else {}
        print(f"one index: {len(single):,} documents, {time.monotonic() - began:.0f} s", file=sys.stderr)
        names = {document.id for document in single}
        passages_of_one = single.stats().passages
    runs = []
    for nodes in options.nodes:
        runs.append(_run(options, nodes, texts, folder / f"out{nodes}", queries, expected, exact, names))
        print(json.dumps(runs[-1]), file=sys.stderr, flush=True)
    how = {**more, "model": options.model, "precision": options.precision, "shards": options.shards}
    return {"machine": before, **how, "passages": passages_of_one, "documents": len(names), "runs": runs}


def _texts(options: argparse.Namespace, folder: Path) -> tuple[Path, list[str]]:
    """Files of documents, one in fifty of which has several passages, and queries that are pieces of some."""
    folder.mkdir()
    draw = random.Random(0)
    texts = list(passages(options.data, options.passages))
    documents, at = [], 0
    while at < len(texts):
        count = draw.randint(2, 6) if draw.random() < 0.02 else 1
        documents.append(" ".join(texts[at : at + count]))
        at += count
    files = [open(folder / f"{number:02}.jsonl", "w", encoding="utf-8") for number in range(FILES)]  # noqa: SIM115
    for number, text in enumerate(documents):
        files[number % FILES].write(json.dumps({"id": f"d{number}", "text": text}) + "\n")
    for file in files:
        file.close()
    queries = []
    for text in draw.sample(texts, QUERIES):
        words = text.split()
        begin = draw.randrange(max(1, len(words) - 8))
        queries.append(" ".join(words[begin : begin + draw.randint(2, 8)]))
    return folder, queries


class Killer(threading.Thread):
    """Kills a worker every so many seconds, and once a node, in whose place none comes."""

    def __init__(
        self, nodes: Nodes, mortal: list[Any], pause: float, node_after: float, most: int = 1000
    ) -> None:
        super().__init__(daemon=True)
        self._nodes, self._mortal, self._pause, self._most = nodes, mortal, pause, most
        self._node_at = time.monotonic() + node_after
        self._ended = threading.Event()
        self.killed: Counter[str] = Counter(workers=0, nodes=0)

    def run(self) -> None:
        while self.killed["workers"] < self._most and not self._ended.wait(self._pause):
            for process in _workers()[:1]:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
                    self.killed["workers"] += 1
            if not self.killed["nodes"] and len(self._mortal) > 1 and time.monotonic() > self._node_at:
                self._nodes.remove_node(self._mortal.pop(0), allow_graceful=False)
                self.killed["nodes"] += 1

    def __enter__(self) -> Killer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()


def _workers() -> list[int]:
    """The processes that run tasks or actors of ours, in any order."""
    running = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            if Path("/proc", name, "cmdline").read_bytes().startswith(OURS):
                running.append(int(name))
    random.shuffle(running)
    return running


def _run(
    options: argparse.Namespace,
    count: int,
    texts: Path,
    out: Path,
    queries: list[str],
    expected: dict[str, Any],
    exact: list[set[str]],
    names: set[str],
) -> dict[str, Any]:
    """Build and search on so many nodes beside the one of this process."""
    nodes = Nodes(
        initialize_head=True,
        shutdown_at_exit=False,
        head_node_args={"num_cpus": 0, "include_dashboard": False},
    )
    mortal = [nodes.add_node(num_cpus=1) for _ in range(count)]
    ray.init(address=nodes.address, log_to_driver=False, logging_level="error")
    model = Model.load(options.model, precision=options.precision)
    try:
        began = time.monotonic()
        with Killer(nodes, mortal, 5.0, 12.0, most=8) as killer:
            built = build(
                [texts],
                out,
                shards=options.shards,
                model=options.model,
                precision=options.precision,
            )
        facts: dict[str, Any] = {"nodes": count, "build seconds": round(time.monotonic() - began)}
        facts["killed in build"] = dict(killer.killed)
        with Cluster(out, replicas=2, model=model) as cluster:
            there = {document.id for document in cluster}
            facts["documents"] = built.manifest.documents
            facts["lost documents"] = len(names - there) + len(there - names)
            facts["equal"] = {
                name: sum(a == b for a, b in zip(cluster.search(queries, **how), expected[name], strict=True))
                for name, how in HOW.items()
            }
            facts["queries"] = len(queries)
            if options.rerank:
                facts["rerank recall of ten"] = _recall(cluster, queries, exact)
            facts |= _while_they_die(options, nodes, mortal, cluster, queries, expected)
            facts["answers"] = dict(cluster._version.router.counts)
    finally:
        ray.shutdown()
        nodes.shutdown()
    facts["wrong"] += sum(len(queries) - equal for equal in facts["equal"].values())
    return facts


def _recall(searched: Any, queries: list[str], exact: list[set[str]]) -> float:
    """How many of MaxSim's ten the mode rerank finds with 100 candidates, of one index or of each shard."""
    hits = searched.search(queries, mode="rerank", candidates=100, length_penalty=0)
    shares = [len(ids & {hit.id for hit in few}) / len(ids) for ids, few in zip(exact, hits, strict=True)]
    return sum(shares) / len(shares)


def _while_they_die(
    options: argparse.Namespace,
    nodes: Nodes,
    mortal: list[Any],
    cluster: Cluster,
    queries: list[str],
    expected: dict[str, Any],
) -> dict[str, Any]:
    """What comes of searches while workers and a node are killed."""
    counts: Counter[str] = Counter(searches=0, wrong=0, failed=0)
    errors: list[str] = []
    ends = time.monotonic() + options.seconds

    def ask(seed: int) -> None:
        draw = random.Random(seed)
        while time.monotonic() < ends:
            number, name = draw.randrange(len(queries)), draw.choice(list(HOW))
            counts["searches"] += 1
            try:
                counts["wrong"] += cluster.search(queries[number], **HOW[name]) != expected[name][number]
            except FemtosearchError as error:
                counts["failed"] += 1
                errors.append(str(error)[:200])

    with Killer(nodes, mortal, 3.0, options.seconds / 3) as killer:
        _together([partial(ask, seed) for seed in range(3)])
    return {**counts, "errors": errors[:5], "killed in search": dict(killer.killed)}


def _together(calls: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
