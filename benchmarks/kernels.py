"""The native core alone, on one core, under each instruction set; random weights and rows, no data."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import in_child, machine
from femtosearch import _core
from femtosearch.encoder import Encoder
from femtosearch.types import BertConfig

SHAPES = {  # and the dims of the Dense module on top
    "femto": (BertConfig(30522, 50, 2, 2, 200, 512, 2, 5), 50),
    "nano": (BertConfig(30522, 128, 2, 2, 512, 512, 2, 16), 128),
    "micro": (BertConfig(30522, 128, 2, 2, 512, 512, 2, None), 128),
}
LENGTHS = (32, 128, 300)
TOKENS = 6_400  # in a batch of the encoder
DOCUMENTS, ROWS, QUERY, DIMS = 1_000, 100, 32, 50


def measure(data: Path | None = None, model: str | None = None, runs: int = 5) -> tuple[dict[str, Any], list]:
    """The results, and the rows of a table. `data` and `model` change nothing: every benchmark takes them."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    peak = in_child(_peak, runs, cores=1)
    results: dict[str, Any] = {"sgemm_multiply_adds_per_second": peak, "kernels": {}}
    rows = [("floor: numpy's sgemm, multiply-adds/s", peak, "")]
    for kernel in _core.kernels():
        found = in_child(_measure, kernel, peak, runs, cores=1)
        results["kernels"][kernel] = found
        for shape, lengths in found["encoder"].items():
            for length, value in lengths.items():
                text = f"{kernel}: {shape}, length {length}, tokens/s"
                share = f"{value['share_of_peak']:.0%} of sgemm"
                rows.append((text, value["tokens_per_second"], share))
        for name in ("maxsim", "maxsim_codes"):
            rows.append((f"{kernel}: {name}, a document of {ROWS} rows", found[name], "us"))
    return results, rows


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Measures, prints the table and returns what may be written as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="repetitions (default: 5)")
    results, _ = measure(runs=parser.parse_args(argv).runs)
    results = {"machine": machine(), **results}
    print(json.dumps(results, indent=2))
    return results


def multiply_adds(config: BertConfig, dims: int, length: int) -> int:
    """What one token of a text costs, without exp, erf, norms and padding."""
    hidden = config.hidden_size
    layer = 4 * hidden * hidden + 2 * hidden * config.intermediate_size + 2 * length * hidden
    return (config.code_width or 0) * hidden + config.layers * layer + hidden * dims


def _peak(runs: int) -> float:
    """Multiply-adds a second of a large matrix product: near what the core's units can do."""
    n = 768
    a = np.random.default_rng(0).standard_normal((n, n), np.float32)
    return n**3 / min(_seconds(lambda: a @ a) for _ in range(5 * runs))


def _measure(kernel: str, peak: float, runs: int) -> dict[str, Any]:
    _core.use(kernel)
    found: dict[str, Any] = {"encoder": {}}
    for name, (config, dims) in SHAPES.items():
        encoder, lengths = _encoder(config, dims), {}
        for length in LENGTHS:
            rate = _tokens_per_second(encoder, config.vocab_size, length, runs)
            share = rate * multiply_adds(config, dims, length) / peak
            lengths[str(length)] = {"tokens_per_second": rate, "share_of_peak": share}
        found["encoder"][name] = lengths
    return found | _scans(runs)


def _tokens_per_second(encoder: Encoder, vocabulary: int, length: int, runs: int) -> float:
    count = TOKENS // length
    ids = np.random.default_rng(0).integers(0, vocabulary, count * length).astype(np.int32)
    starts = np.arange(count + 1, dtype=np.int64) * length
    attended, keep = np.full(count, length, np.int32), np.ones(len(ids), bool)
    best = min(_seconds(lambda: encoder.encode(ids, starts, attended, keep, 1)) for _ in range(2 * runs))
    return len(ids) / best


def _scans(runs: int) -> dict[str, float]:
    """Microseconds a document."""
    rng = np.random.default_rng(0)
    rows, query = (_unit(rng.standard_normal((n, DIMS), np.float32)) for n in (DOCUMENTS * ROWS, QUERY))
    starts = np.arange(0, len(rows) + 1, ROWS, dtype=np.int64)
    blocks, scales = _core.quantise(rows)
    plain = min(_seconds(lambda: _core.maxsim(query, rows, starts, 1)) for _ in range(2 * runs))
    coded = min(
        _seconds(lambda: _core.maxsim_codes(query, blocks, scales, starts, None, 1)) for _ in range(2 * runs)
    )
    return {"maxsim": 1e6 * plain / DOCUMENTS, "maxsim_codes": 1e6 * coded / DOCUMENTS}


def _encoder(config: BertConfig, dims: int) -> Encoder:
    rng = np.random.default_rng(0)
    hidden, inner = config.hidden_size, config.intermediate_size
    words = "embeddings.word_embeddings"
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.position_embeddings.weight": (config.positions, hidden),
        "embeddings.token_type_embeddings.weight": (config.types, hidden),
        **_norm("embeddings.LayerNorm", hidden),
    }
    if config.code_width is None:
        shapes[f"{words}.weight"] = (config.vocab_size, hidden)
    else:
        shapes[f"{words}.embeddings.weight"] = (config.vocab_size, config.code_width)
        shapes |= _linear(f"{words}.projections", config.code_width, hidden)
    for i in range(config.layers):
        layer = f"encoder.layer.{i}"
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            shapes |= _linear(f"{layer}.attention.{part}", hidden, hidden)
        shapes |= _norm(f"{layer}.attention.output.LayerNorm", hidden)
        shapes |= _linear(f"{layer}.intermediate.dense", hidden, inner)
        shapes |= _linear(f"{layer}.output.dense", inner, hidden)
        shapes |= _norm(f"{layer}.output.LayerNorm", hidden)
    weights = {name: 0.1 * rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    return Encoder(config, weights, [(rng.standard_normal((dims, hidden), np.float32), None)])


def _linear(name: str, into: int, out: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def _norm(name: str, hidden: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (hidden,), f"{name}.bias": (hidden,)}


def _seconds(function: Callable[[], object]) -> float:
    """This thread's own time on the core, so that other processes do not count."""
    start = time.thread_time()
    function()
    return time.thread_time() - start


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
