"""The native core alone, on one core, under each instruction set that this machine has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.beir import collection
from benchmarks.encode import Row, parts
from benchmarks.machine import about, in_child, seconds
from femtosearch import _core
from femtosearch.codes import quantise
from femtosearch.model import Model

DOCUMENTS, LENGTH, QUERY = 20_000, 100, 32


def measure(data: Path, model: str | None, runs: int) -> tuple[dict[str, Any], list[Row]]:
    """The results, and the rows of a table."""
    results: dict[str, Any] = {"model": about(Model.load(model)), "kernels": {}}
    rows: list[Row] = []
    for name in _core.kernels():
        found = in_child(_measure, name, data, model, runs, cores=1)
        results["kernels"][name] = found
        rows += [
            (f"{name}: encoder, tokens/s", found["encoder_tokens_per_second"], ""),
            (f"{name}: MaxSim float32, a document of {LENGTH}", found["maxsim_microseconds"], "us"),
            (f"{name}: MaxSim int8, a document of {LENGTH}", found["maxsim_codes_microseconds"], "us"),
        ]
    return results, rows


def _measure(name: str, data: Path, model: str | None, runs: int) -> dict[str, float]:
    _core.use(name)
    pieces = [parts(collection(data).texts[:1000], model) for _ in range(runs)]
    rng = np.random.default_rng(0)
    dims = Model.load(model).dims
    rows = _unit(rng.standard_normal((DOCUMENTS * LENGTH, dims), np.float32))
    query = _unit(rng.standard_normal((QUERY, dims), np.float32))
    starts = np.arange(0, len(rows) + 1, LENGTH, dtype=np.int64)
    codes = quantise(rows)
    plain = [seconds(_core.maxsim, query, rows, starts) for _ in range(runs)]
    coded = [seconds(_core.maxsim_codes, query, codes.blocks, codes.scales, starts) for _ in range(runs)]
    return {
        "encoder_tokens_per_second": max(piece["tokens"] / piece["encoder"] for piece in pieces),
        "maxsim_microseconds": 1e6 * min(plain) / DOCUMENTS,
        "maxsim_codes_microseconds": 1e6 * min(coded) / DOCUMENTS,
    }


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
