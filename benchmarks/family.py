"""The encoder and torch on random-weight checkpoints of every size: tokens/s, and how far rows differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.checkpoints import SIZES, Projection, Size, multiply_adds, random_checkpoint
from benchmarks.encode import Row
from benchmarks.machine import cores, in_child, seconds
from benchmarks.peak import multiply_adds_per_second
from femtosearch.model.encoder import Encoder

LENGTHS = (32, 128, 300)
BATCHES = (1, 8, 32)  # texts that torch runs together
WORK = 1e10  # multiply-adds that a core does in one measurement, about

Twin = Callable[[np.ndarray, int], Iterator[np.ndarray]]


def measure(runs: int, names: list[str]) -> tuple[dict[str, Any], list[Row]]:
    """The results, and the rows of a table."""
    rates = in_child(multiply_adds_per_second, cores=1)
    peak = rates.get("registers", rates["sgemm"])
    results: dict[str, Any] = {"multiply_adds_per_second": rates, "sizes": {}}
    rows: list[Row] = [(f"{name}: multiply-adds/s, one core", rate, "") for name, rate in rates.items()]
    for name in names or SIZES:
        for count in sorted({1, min(2, cores())}):
            lengths = in_child(_measure, name, count, runs, cores=count)
            results["sizes"].setdefault(name, {})[f"cores_{count}"] = lengths
            for length, value in lengths.items():
                work = multiply_adds(SIZES[name], int(length))
                value["share_of_peak"] = value["femtosearch"] * work / (peak * count)
                rows.append(_row(f"{name}, {count} core{'s' * (count > 1)}, length {length}", value))
    return results, rows


def _row(name: str, value: dict[str, float]) -> Row:
    note = (
        f"tokens/s, {value['share_of_peak']:.0%} of the peak; torch {value['torch']:,.0f} "
        f"({value['ratio']:.2f} x); rows differ by {value['difference']:.1e}"
    )
    return name, value["femtosearch"], note


def _measure(name: str, count: int, runs: int) -> dict[str, dict[str, float]]:
    """By length: tokens/s of both on so many cores, and the largest difference of a unit row's number."""
    import torch

    torch.set_num_threads(count)
    size = SIZES[name]
    weights, dense = random_checkpoint(size)
    encoder = Encoder(size.config, weights, dense)
    twin = _twin(size, weights, dense)
    return {str(length): _compare(encoder, twin, size, length, count, runs) for length in LENGTHS}


def _compare(
    encoder: Encoder, twin: Twin, size: Size, length: int, count: int, runs: int
) -> dict[str, float]:
    """Turn and turn about, so that what disturbs one disturbs the other; the best of the runs of each."""
    texts = min(max(int(WORK / multiply_adds(size, length) / length), 4), 512) * count
    ids = np.random.default_rng(1).integers(0, size.config.vocab_size, (texts, length)).astype(np.int32)
    starts = np.arange(texts + 1, dtype=np.int64) * length
    attended, keep = np.full(texts, length, np.int32), np.ones(ids.size, bool)

    def ours() -> np.ndarray:
        return encoder.encode(ids.ravel(), starts, attended, keep, count)

    def theirs(batch: int) -> list[np.ndarray]:
        return list(twin(ids, batch))

    difference = float(np.abs(ours() - np.concatenate(theirs(8))).max())
    mine, other = [], []
    for _ in range(runs):
        mine.append(seconds(ours))
        other += [seconds(theirs, batch) for batch in BATCHES if batch <= texts]
    return {
        "femtosearch": ids.size / min(mine),
        "torch": ids.size / min(other),
        "ratio": min(other) / min(mine),
        "difference": difference,
    }


def _twin(size: Size, weights: dict[str, np.ndarray], dense: list[Projection]) -> Twin:
    """torch's encoder: ids [N, T] and a batch's size -> rows, batch by batch."""
    import torch
    from torch.nn import functional as F

    from femtosearch.train.bert import Bert

    bert = Bert(size.config).eval()
    bert.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    projection = torch.from_numpy(dense[0][0])

    def encode(ids: np.ndarray, batch: int) -> Iterator[np.ndarray]:
        with torch.inference_mode():
            for part in torch.from_numpy(ids).long().split(batch):
                yield F.normalize(F.linear(bert(part), projection), dim=-1).flatten(0, 1).numpy()

    return encode
