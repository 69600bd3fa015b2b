"""The native core alone, on one core, under each instruction set; random weights and rows, no data."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.checkpoints import SIZES, multiply_adds, random_checkpoint
from benchmarks.encode import Row
from benchmarks.machine import in_child, machine, thread_seconds
from benchmarks.peak import multiply_adds_per_second
from femtosearch import _core
from femtosearch.model.encoder import Encoder

SHAPES = ("femto", "nano", "micro")
LENGTHS = (32, 128, 300)
TOKENS = 6_400  # in a batch of the encoder
DOCUMENTS, ROWS, QUERY, DIMS = 1_000, 100, 32, 50


def measure(
    data: Path | None = None, model: str | None = None, runs: int = 5
) -> tuple[dict[str, Any], list[Row]]:
    """The results, and the rows of a table. `data` and `model` change nothing: every benchmark takes them."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    peaks = in_child(multiply_adds_per_second, cores=1)
    peak = peaks.get("registers", peaks["sgemm"])
    results: dict[str, Any] = {"multiply_adds_per_second": peaks, "kernels": {}}
    rows = [(f"{name}: multiply-adds/s", rate, "") for name, rate in peaks.items()]
    for kernel in _core.kernels():
        figures = in_child(_measure, kernel, peak, runs, cores=1)
        results["kernels"][kernel] = figures
        for shape, lengths in figures["encoder"].items():
            for length, value in lengths.items():
                text = f"{kernel}: {shape}, length {length}, tokens/s"
                share = f"{value['share_of_peak']:.0%} of the peak"
                rows.append((text, value["tokens_per_second"], share))
        for name in ("maxsim", "maxsim_codes", "maxsim_levels"):
            rows.append((f"{kernel}: {name}, a document of {ROWS} rows", figures[name], "us"))
    return results, rows


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Measures, prints the table and returns what may be written as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="repetitions (default: 5)")
    results, _ = measure(runs=parser.parse_args(argv).runs)
    results = {"machine": machine(), **results}
    print(json.dumps(results, indent=2))
    return results


def _measure(kernel: str, peak: float, runs: int) -> dict[str, Any]:
    _core.use(kernel)
    figures: dict[str, Any] = {"encoder": {}}
    for name in SHAPES:
        size, lengths = SIZES[name], {}
        encoder = Encoder(size.config, *random_checkpoint(size))
        for length in LENGTHS:
            rate = _tokens_per_second(encoder, size.config.vocab_size, length, runs)
            share = rate * multiply_adds(size, length) / peak
            lengths[str(length)] = {"tokens_per_second": rate, "share_of_peak": share}
        figures["encoder"][name] = lengths
    return figures | _scans(runs)


def _tokens_per_second(encoder: Encoder, vocabulary: int, length: int, runs: int) -> float:
    count = TOKENS // length
    ids = np.random.default_rng(0).integers(0, vocabulary, count * length).astype(np.int32)
    starts = np.arange(count + 1, dtype=np.int64) * length
    attended, keep = np.full(count, length, np.int32), np.ones(len(ids), bool)
    return len(ids) / _best(runs, lambda: encoder.encode(ids, starts, attended, keep, 1))


def _scans(runs: int) -> dict[str, float]:
    """Microseconds a document: float32 rows, rows in 8 bits, and in 4."""
    rng = np.random.default_rng(0)
    rows, query = (_unit(rng.standard_normal((n, DIMS), np.float32)) for n in (DOCUMENTS * ROWS, QUERY))
    starts = np.arange(0, len(rows) + 1, ROWS, dtype=np.int64)
    times = {"maxsim": _best(runs, lambda: _core.maxsim(query, rows, starts, 1))}
    for name, bits in (("maxsim_codes", 8), ("maxsim_levels", 4)):
        part = (*_core.quantise(rows, bits, bits == 4), starts, None, bits)
        times[name] = _best(runs, partial(_core.maxsim_codes, query, [part], 1))
    return {name: 1e6 * seconds / DOCUMENTS for name, seconds in times.items()}


def _best(runs: int, function: Callable[[], object]) -> float:
    return min(thread_seconds(function) for _ in range(2 * runs))


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
