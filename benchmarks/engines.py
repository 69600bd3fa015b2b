"""femtosearch and its peers, each from texts to an index on the disk and from a query to ten hits, with the
same checkpoint, texts and cores, turn and turn about: documents/s, milliseconds, bytes and nDCG@10.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.encode import Row
from benchmarks.judged import collection, ndcg
from benchmarks.machine import about, machine
from benchmarks.sides import run_side
from femtosearch.evaluation.rankings import ScoredCollection
from femtosearch.model.model import Model

OURS = "femtosearch"
ENGINES = {  # engine -> the environment that has it
    OURS: OURS,
    "femtosearch-maxsim": OURS,
    "txtai": "txtai",
    "txtai-reranked": "txtai",
    "pylate": "pylate",
    "sentence-transformers": "sentence-transformers",
    "bm25s": "bm25s",
}
PEERS = {  # environment -> what it is called
    "txtai": "txtai",
    "pylate": "PyLate",
    "sentence-transformers": "Sentence Transformers 6",
    "bm25s": "bm25s and PyStemmer",
}
SHOWN = {  # engine -> what it is on the page
    OURS: "**femtosearch**, as it comes: MaxSim and words",
    "femtosearch-maxsim": "femtosearch, MaxSim alone",
    "txtai": "txtai {txtai}, as it comes: MUVERA, content in SQLite",
    "txtai-reranked": "txtai {txtai} with its reranker",
    "pylate": "PyLate {pylate} with PLAID (fast-plaid {fast-plaid})",
    "sentence-transformers": "Sentence Transformers {sentence-transformers}, rows in memory, nothing stored",
    "bm25s": "bm25s {bm25s}: words alone, no model",
}
KERNELS = {"avx512": "AVX-512", "avx2": "AVX2", "baseline": "The portable baseline"}
INTRODUCTION = """# Beside its peers

Made by `python -m benchmarks engines $(scripts/peers) --limit 1000 --runs 2 --doc docs/benchmarks.md`:
nothing here is typed by hand. The first documents of a collection and all its queries, the same checkpoint,
the same texts and cores; each engine in a process and an environment of its own, turn and turn about,
medians. An index is on the disk when its time ends, but where the row says otherwise; a query is a text, and
its answer ten ids. Relevant documents that were left out count as not found, for every engine alike.
"""


def measure(
    data: Path,
    source: str | None,
    runs: int,
    pythons: Mapping[str, str],
    limit: int | None,
    doc: Path | None = None,
    beside: Sequence[Path] = (),
) -> tuple[dict[str, Any], list[Row]]:
    """The results, and the rows of a table.

    pythons:  of each peer's environment, by PEERS' names.
    doc:      a page to write; beside: results of other machines, which it shows, too.
    """
    scored = collection(data)
    pythons = {OURS: sys.executable, **pythons}
    engines = [engine for engine, environment in ENGINES.items() if environment in pythons]
    turns: dict[str, list[dict[str, Any]]] = {engine: [] for engine in engines}
    with tempfile.TemporaryDirectory() as place:
        model = Model.load(source)
        model.save(Path(place) / "model")
        job = _job(scored, Path(place), limit)
        for run in range(runs):
            for engine in engines:
                turns[engine].append(
                    _turn(engine, pythons[ENGINES[engine]], job, Path(place) / f"{engine}{run}")
                )
    results = {engine: _summary(turns[engine], scored, len(job["documents"])) for engine in engines}
    ratios = {engine: _ratios(results[OURS], of) for engine, of in results.items()}
    facts = {"model": about(model), "collection": data.name, "documents": len(job["documents"])}
    facts |= {"runs": runs, "engines": results, "ratios": ratios}
    if doc is not None:
        others = [json.loads(path.read_text(encoding="utf-8")) for path in beside]
        doc.write_text(page([{"machine": machine(), **facts}, *others]), encoding="utf-8")
    return facts, list(_rows(results, ratios))


def page(several: Sequence[Mapping[str, Any]]) -> str:
    """docs/benchmarks.md, of the results of each machine."""
    return "\n".join([INTRODUCTION, *map(_section, several)])


def _section(facts: Mapping[str, Any]) -> str:
    """What one machine gave."""
    table = [
        "| | text to an index, documents/s | ours is as fast times | a query, ms: median (95%) | "
        "ours is as fast times | bytes a document | nDCG@10 |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for engine, of in facts["engines"].items():
        ratios, query = facts["ratios"][engine], of["query_ms"]
        cells = [
            SHOWN[engine].format(**of["versions"]),
            f"{of['documents_per_second']:,.0f}",
            f"{ratios['index']:.2f}",
            f"{query['p50']:.1f} ({query['p95']:.1f})",
            f"{ratios['query']:.2f}",
            f"{of['bytes_a_document']:,.0f}",
            f"{of['ndcg@10']:.3f}",
        ]
        table.append(f"| {' | '.join(cells)} |")
    loads = sorted(load for of in facts["engines"].values() for load in of["load"])
    on = facts["machine"]
    machine_of, turns = f"{on['processor']}, {on['cores']} cores, Python {on['python']}", facts["runs"]
    asked = f"{facts['documents']:,} documents of {facts['collection']}, the model {facts['model']['name']}"
    return f"""## {KERNELS[on["kernel"]]}

{machine_of}, at commit {on["commit"]}.
{asked}, {turns} turns each; the load before a turn,
in part that of the turn before, was {loads[0]} to {loads[-1]}.

""" + "\n".join([*table, ""])


def _job(scored: ScoredCollection, place: Path, limit: int | None) -> dict[str, Any]:
    documents = [(document.id, document.text) for document in scored.documents[:limit]]
    queries = [*scored.queries.values()]
    return {"model": str(place / "model"), "documents": documents, "queries": queries}


def _turn(engine: str, python: str, job: Mapping[str, Any], place: Path) -> dict[str, Any]:
    """Run an engine once, in a fresh process: what it writes of itself, and the load before it."""
    place.mkdir()
    told, answer = place / "job.json", place / "answer.json"
    told.write_text(json.dumps({**job, "place": str(place / "stored")}), encoding="utf-8")
    (place / "stored").mkdir()
    load = os.getloadavg()[0]
    run_side(engine, python, "engine_side.py", engine, told, answer, place=place)
    return json.loads(answer.read_text(encoding="utf-8")) | {"load": load}


def _summary(turns: list[dict[str, Any]], scored: ScoredCollection, documents: int) -> dict[str, Any]:
    """Medians over the turns, and the quality of the last one's rankings."""
    quality = [
        ndcg([name for name in ranked if name != query], scored.relevant[query])
        for query, ranked in zip(scored.queries, turns[-1]["rankings"], strict=True)
    ]
    times = np.concatenate([turn["query_seconds"] for turn in turns]) * 1000
    return {
        "documents_per_second": median(documents / turn["index_seconds"] for turn in turns),
        "query_ms": {"p50": float(np.median(times)), "p95": float(np.percentile(times, 95))},
        "bytes_a_document": turns[-1]["bytes"] / documents,
        "ndcg@10": float(np.mean(quality)),
        "load": [round(turn["load"], 2) for turn in turns],
        "versions": turns[-1]["versions"],
    }


def _ratios(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, float]:
    """How many times as fast ours is."""
    return {
        "index": ours["documents_per_second"] / theirs["documents_per_second"],
        "query": theirs["query_ms"]["p50"] / ours["query_ms"]["p50"],
    }


def _rows(results: Mapping[str, Any], ratios: Mapping[str, Mapping[str, float]]) -> list[Row]:
    rows: list[Row] = []
    for engine, of in results.items():
        rows += [
            (f"{engine}: text to an index on the disk, documents/s", of["documents_per_second"], ""),
            (f"{engine}: ours is as fast times", ratios[engine]["index"], "x"),
            (f"{engine}: text to ten hits, p50", of["query_ms"]["p50"], "ms"),
            (f"{engine}: ours is as fast times", ratios[engine]["query"], "x"),
            (f"{engine}: bytes a document", of["bytes_a_document"], ""),
            (f"{engine}: nDCG@10", of["ndcg@10"], ""),
        ]
    return rows
