"""FDEs: what they find of MaxSim's, what they rank by themselves, what they cost."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from benchmarks.encode import Row
from benchmarks.judged import collection, ndcg
from benchmarks.machine import about
from benchmarks.sides import run_side
from femtosearch.codes import Codes, quantise, width
from femtosearch.evaluation.rankings import ScoredCollection
from femtosearch.fde import Fde, Lemur, Muvera, inner_products, nearest, preset
from femtosearch.index.index import Index
from femtosearch.model.model import Model
from femtosearch.types import Passages, Rows

CANDIDATES = 100
RECALL = 0.99  # of a calibrated FDE
RANDOM: dict[str, Fde] = {
    "muvera": preset("muvera"),
    "muvera, fill": Muvera(),
    "txtai": preset("txtai"),
    "fastembed": preset("fastembed"),
    "muvera 10x32x16": Muvera(10, 5, 16, fill=False),
    "muvera, final 2048": Muvera(fill=False, final=2048),
    "muvera, final 1024": Muvera(fill=False, final=1024),
}
TIMED = 500  # documents whose encoding is timed
SCANNED = 128 << 20  # bytes of codes whose scan is timed, which no cache holds


def measure(
    folders: list[Path], source: str | None, runs: int, python: str | None
) -> tuple[dict[str, Any], list[Row]]:
    """The results, and the rows of a table. `python`: of an environment in which txtai is installed."""
    model = Model.load(source)
    results: dict[str, Any] = {"model": about(model), "candidates": CANDIDATES, "collections": {}}
    table: list[Row] = []
    for folder in folders:
        data_set = collection(folder)
        for way, encoder in (("passages", model), ("cut documents", Cut(model))):
            quality = _quality(data_set, encoder)
            results["collections"].setdefault(data_set.name, {})[way] = quality
            for method, scores in quality["methods"].items():
                rows = [(f"{data_set.name}, {way}, {method}: {name}", v, "") for name, v in scores.items()]
                table += rows
    first = collection(folders[0])
    results["cost"] = _cost(first, model, runs, python)
    results["scan"] = _scan(runs)
    for kind in ("cost", "scan"):
        table += [
            (f"{kind}, {method}: {name}", value, "")
            for method, values in results[kind].items()
            for name, value in values.items()
            if isinstance(value, float)
        ]
    return results, table


def methods_of(model: Model | Cut) -> dict[str, Fde]:
    """The model's own learned one in several sizes and, of whole documents, the random ones."""
    own = model.fde
    if not isinstance(own, Lemur):
        return RANDOM
    full = own.size(model.dims)
    sizes = {(full, 8), (full, 4), (full, 2), (full // 2, 4), (full // 4, 4), (full // 8, 4)}
    learned: dict[str, Fde] = {
        f"lemur, {numbers} numbers of {bits} bits": replace(own.shortened(numbers), code_bits=bits)
        for numbers, bits in sorted(sizes, reverse=True)
    }
    learned[f"lemur, {full} numbers of {own.code_bits} bits"] = own  # the one that is calibrated
    return learned if isinstance(model, Cut) else {**learned, **RANDOM}


class Cut:
    """A model whose documents are one passage each, cut at its document length, as papers have them."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.name, self.fingerprint, self.dims, self.fde = (
            model.name,
            model.fingerprint,
            model.dims,
            model.fde,
        )
        self.encode_queries = model.encode_queries

    def encode_passages(self, texts: list[str]) -> Passages:
        spans = np.array([(0, len(text)) for text in texts], np.int64).reshape(-1, 2)
        return Passages(self._model.encode_documents(texts), np.arange(len(texts)), spans)


def _quality(data_set: ScoredCollection, model: Model | Cut) -> dict[str, Any]:
    """nDCG@10 of each way, and the share of MaxSim's first ten documents that is among the candidates."""
    with Index(model=model) as index:
        index.add(data_set.documents)
        exact = _run(index, data_set, mode="maxsim", k=10)
        stats = index.stats()
        per_document = stats.passages / len(data_set.documents)
        methods: dict[str, dict[str, float]] = {"maxsim": {"ndcg": _ndcg(exact, data_set)}}
        for name, fde in methods_of(model).items():
            index.set_fde(fde)
            alone = _run(index, data_set, mode="fde", k=10)
            candidates = _run(index, data_set, mode="rerank", k=CANDIDATES, candidates=CANDIDATES)
            dims = fde.size(model.dims)
            methods[name] = {
                "dims": float(dims),
                "bytes": (width(dims, fde.code_bits) + 4) * per_document,
                "recall": fmean(_share(exact[query], candidates[query]) for query in exact),
                "ndcg_fde": _ndcg(alone, data_set),
                "ndcg_rerank": _ndcg(candidates, data_set),
            }
            if fde.calibration:
                rankings = _run(index, data_set, mode="rerank", k=10, recall=RECALL)
                methods[name][f"ndcg_recall_{RECALL}"] = _ndcg(rankings, data_set)
    sizes = {"documents": len(data_set.documents), "passages": stats.passages, "queries": len(exact)}
    return {**sizes, "rows_per_passage": stats.rows / stats.passages, "methods": methods}


def _run(index: Index, data_set: ScoredCollection, **how: Any) -> dict[str, list[str]]:
    hits = index.search(list(data_set.queries.values()), **how)
    return {query: [hit.id for hit in ranked] for query, ranked in zip(data_set.queries, hits, strict=True)}


def _ndcg(run: dict[str, list[str]], data_set: ScoredCollection) -> float:
    return fmean(ndcg(run[query], grades) for query, grades in data_set.relevant.items())


def _share(wanted: list[str], candidates: list[str]) -> float:
    return len(set(wanted) & set(candidates)) / len(wanted) if wanted else 1.0


def _cost(data_set: ScoredCollection, model: Model, runs: int, python: str | None) -> dict[str, Any]:
    """Documents/s of one core: of each FDE, of the rows that they are made of, of txtai on the same rows."""
    texts = [document.text for document in data_set.documents[:TIMED]]
    rows = model.encode_documents(texts)
    rates: dict[str, Any] = {
        "rows, from text": _rate(lambda: model.encode_documents(texts, threads=1), len(texts), runs)
    }
    for name, fde in methods_of(model).items():
        rates[name] = _rate(partial(fde.documents, rows, threads=1), len(texts), runs)
    return {**rates, **(_txtai(rows, runs, python) if python else {})}


def _rate(function: Callable[[], object], count: int, runs: int) -> dict[str, float]:
    return {"documents_per_second": count / _best(function, runs)}


def _txtai(rows: Rows, runs: int, python: str) -> dict[str, Any]:
    """txtai's own rate, and how far its vectors are from ours."""
    with tempfile.TemporaryDirectory() as place:
        source, out = Path(place, "rows.npz"), Path(place, "out.npz")
        np.savez(source, rows=rows.rows, starts=rows.starts)
        run_side("txtai", python, "txtai_side.py", source, out, runs, place=Path(place))
        with np.load(out, allow_pickle=False) as arrays:
            facts, vectors = json.loads(str(arrays["said"])), arrays["vectors"]
    apart = np.abs(vectors - RANDOM["txtai"].documents(rows)).max(axis=1)
    figures = {
        "documents_per_second": len(rows) / min(facts["seconds"]),
        "median_difference": float(np.median(apart)),
        "share_within_1e-5": float((apart <= 1e-5).mean()),
    }
    return {f"txtai {facts['version']} itself": figures}


def _scan(runs: int) -> dict[str, dict[str, float]]:
    """GB/s of codes that one core scans, for a query without zeros and one with every other bucket empty.

    The floor is numpy's sum of the same bytes as 64-bit integers: reading memory, and next to nothing else.
    Of a tenth that passes a filter, side by side, the rate counts the bytes of all.
    """
    speeds = {}
    rng = np.random.default_rng(0)
    for dims, bits in ((1_024, 8), (10_240, 8), (2_048, 4), (2_048, 2)):
        count = SCANNED // width(dims, bits) // 16 * 16
        sample = quantise(rng.standard_normal((256, dims), np.float32), bits).blocks
        blocks = np.ascontiguousarray(np.tile(sample, (count // 256 + 1, 1, 1, 1))[: count // 16])
        codes = Codes(blocks, np.ones(count, np.float32), count, dims, bits)
        full = rng.standard_normal(dims).astype(np.float32)
        half = np.where(np.arange(dims) // 16 % 2 == 0, full, 0).astype(np.float32)
        words = codes.blocks.reshape(-1).view(np.int64)
        tenth = np.arange(count) < count // 10
        took = {
            "full": _best(partial(inner_products, full, codes, threads=1), runs),
            "half_zero": _best(partial(inner_products, half, codes, threads=1), runs),
            "numpy_sum": _best(words.sum, runs),
            "nearest": _best(partial(nearest, full, [(codes, None)], CANDIDATES, threads=1), runs),
            "tenth_passes": _best(partial(nearest, full, [(codes, tenth)], CANDIDATES, threads=1), runs),
        }
        size = codes.blocks.nbytes / 1e9
        speeds[f"{dims} dims of {bits} bits"] = {
            f"gigabytes_per_second_{name}": size / t for name, t in took.items()
        }
    return speeds


def _best(function: Callable[[], object], runs: int) -> float:
    """This process's seconds on the cores for the fastest of several calls: others do not count."""
    function()
    took = []
    for _ in range(runs):
        start = time.process_time()
        function()
        took.append(time.process_time() - start)
    return min(took)
