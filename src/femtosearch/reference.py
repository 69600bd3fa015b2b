"""The native kernels in numpy: they define what `_core` must compute, and are clear rather than fast.

Tests compare `_core` with these. Names and arguments are those of `_core`, with three exceptions: `encode`
takes the weights that `_core.Encoder` keeps, `maxsim_codes` takes one list of passages where `_core` takes
several, and `quantise` knows codes of 8 bits only (`level_rows` and `maxsim_levels` know those of 4). Float
kernels are checked against float64; int8 kernels must agree bit for bit.

Letters in shapes: Q query rows, T document rows, N passages, D dims, H hidden size, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from femtosearch.types import BertConfig

LANES = 16  # rows in a block of codes
GROUP = 4  # dims that lie together in a block of codes
LEVELS = np.array([6, 18, 31, 44, 58, 75, 96, 127], np.int8)  # the eight levels above zero of rows in 4 bits
# The borders between two levels, in units of a row's root mean square.
BORDERS = np.array([0.2582, 0.5224, 0.7996, 1.0993, 1.4371, 1.8435, 2.4008])

_erf = np.vectorize(math.erf, otypes=[np.float64])


def gelu(x: np.ndarray) -> np.ndarray:
    """x · Φ(x), with the exact normal distribution function Φ."""
    return x * 0.5 * (1 + _erf(x / math.sqrt(2)))


def softmax(x: np.ndarray) -> np.ndarray:
    """Softmax over the last axis: positive numbers that sum to one."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def normalise(rows: np.ndarray) -> np.ndarray:
    """Rows of length one; a row shorter than 1e-12 is divided by 1e-12, as in torch's `F.normalize`."""
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)


class _Bert:
    """BERT over one text, in float64."""

    def __init__(self, config: BertConfig, weights: Mapping[str, np.ndarray]) -> None:
        self.config = config
        self.weights = {name: np.asarray(value, dtype=np.float64) for name, value in weights.items()}

    def linear(self, name: str, x: np.ndarray) -> np.ndarray:
        return x @ self.weights[f"{name}.weight"].T + self.weights.get(f"{name}.bias", 0.0)

    def norm(self, name: str, x: np.ndarray) -> np.ndarray:
        mean, variance = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
        unit = (x - mean) / np.sqrt(variance + self.config.norm_epsilon)
        return unit * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def words(self, ids: np.ndarray) -> np.ndarray:
        if self.config.code_width is None:
            return self.weights["embeddings.word_embeddings.weight"][ids]
        codes = self.weights["embeddings.word_embeddings.embeddings.weight"][ids]
        return self.linear("embeddings.word_embeddings.projections", codes)

    def embed(self, ids: np.ndarray) -> np.ndarray:
        x = self.words(ids)
        x = x + self.weights["embeddings.position_embeddings.weight"][: len(ids)]
        x = x + self.weights["embeddings.token_type_embeddings.weight"][0]
        return self.norm("embeddings.LayerNorm", x)

    def attention(self, name: str, x: np.ndarray, attended: int) -> np.ndarray:
        def heads(projection: str, rows: np.ndarray) -> np.ndarray:
            y = self.linear(f"{name}.self.{projection}", rows)
            return y.reshape(len(rows), self.config.heads, -1).transpose(1, 0, 2)

        queries = heads("query", x)
        keys, values = heads("key", x[:attended]), heads("value", x[:attended])
        scores = queries @ keys.transpose(0, 2, 1) / math.sqrt(queries.shape[-1])
        context = (softmax(scores) @ values).transpose(1, 0, 2).reshape(x.shape)
        return self.norm(f"{name}.output.LayerNorm", x + self.linear(f"{name}.output.dense", context))

    def layer(self, i: int, x: np.ndarray, attended: int) -> np.ndarray:
        name = f"encoder.layer.{i}"
        x = self.attention(f"{name}.attention", x, attended)
        inner = gelu(self.linear(f"{name}.intermediate.dense", x))
        return self.norm(f"{name}.output.LayerNorm", x + self.linear(f"{name}.output.dense", inner))

    def __call__(self, ids: np.ndarray, attended: int) -> np.ndarray:
        x = self.embed(ids)
        for i in range(self.config.layers):
            x = self.layer(i, x, attended)
        return x


def encode(
    config: BertConfig,
    weights: Mapping[str, np.ndarray],
    dense: Sequence[tuple[np.ndarray, np.ndarray | None]],
    ids: np.ndarray,
    starts: np.ndarray,
    attended: np.ndarray,
    keep: np.ndarray,
    threads: int = 0,
) -> np.ndarray:
    """Compute what `encoder.Encoder(config, weights, dense).encode(ids, starts, attended, keep)` returns."""
    bert = _Bert(config, weights)
    dims = dense[-1][0].shape[0] if dense else config.hidden_size
    rows = [np.zeros((0, dims))]
    for n in range(len(starts) - 1):
        text = slice(starts[n], starts[n + 1])
        if starts[n] == starts[n + 1]:
            continue
        x = bert(ids[text], int(attended[n]))[keep[text]]
        for weight, bias in dense:
            x = x @ weight.astype(np.float64).T + (0.0 if bias is None else bias)
        rows.append(normalise(x))
    return np.concatenate(rows).astype(np.float32)


def maxsim(query: np.ndarray, rows: np.ndarray, starts: np.ndarray, threads: int = 0) -> np.ndarray:
    """[N] float32: Σ_q max_t ⟨query[q], rows[t]⟩ for t in starts[n]:starts[n+1]; -inf without rows."""
    scores = np.full(len(starts) - 1, -np.inf, dtype=np.float32)
    products = query.astype(np.float64) @ rows.astype(np.float64).T
    for n in range(len(scores)):
        if starts[n] < starts[n + 1]:
            scores[n] = products[:, starts[n] : starts[n + 1]].max(axis=1).sum()
    return scores


def distinct(
    rows: np.ndarray, starts: np.ndarray, most: float, first: int = 0, last: int = 0, threads: int = 0
) -> np.ndarray:
    """Say which rows of texts are kept, [T] bool: row t is dropped if its inner product with a kept row that
    stands before it in its text is above `most`.

    The `first` first and the `last` last rows of a text are always kept, and no row is compared with them.

    rows: [T, D] float32; starts: [N+1] int64. A product is summed in float32 in the order of the dims.
    """
    keep = np.ones(len(rows), dtype=bool)
    for begin, end in pairwise(starts.tolist()):
        for t in range(begin + first, end - last):
            earlier = rows[begin + first : t][keep[begin + first : t]]
            products = np.cumsum(earlier * rows[t], axis=1, dtype=np.float32)[:, -1]
            keep[t] = not (products > most).any()
    return keep


def quantise_rows(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Code rows in 8 bits: int8 codes [T, D] and float32 scales [T], with rows ≈ codes · scales. A zero row
    has scale 0.
    """
    scales = np.abs(rows).max(axis=1, initial=0) / np.float32(127)
    safe = np.where(scales > 0, scales, np.float32(1))
    codes = np.clip(np.rint(rows / safe[:, None]), -127, 127)
    return np.where(scales[:, None] > 0, codes, 0).astype(np.int8), scales


def turned(rows: np.ndarray) -> np.ndarray:
    """Multiply rows [T, D] with Hadamard matrices whose sizes are the powers of two that add up to D; sums
    are made pair by pair.
    """
    blocks, begin = [], 0
    while begin < rows.shape[1]:
        size = 1
        while begin + 2 * size <= rows.shape[1]:
            size *= 2
        columns, half = list(rows[:, begin : begin + size].T), 1
        while half < size:
            for low in (i for i in range(size) if not i & half):
                a, b = columns[low], columns[low + half]
                columns[low], columns[low + half] = a + b, a - b
            half *= 2
        blocks += [column * np.float32(1 / np.sqrt(size)) for column in columns]
        begin += size
    return np.stack(blocks, axis=1)


def level_rows(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Code rows in 4 bits: levels [T, D] int8 and scales [T] float32. level · scale stands for a number of
    the turned row.
    """
    rows = turned(rows)
    exact = rows.astype(np.float64)
    squares = np.cumsum(exact * exact, axis=1)[:, -1]
    borders = (BORDERS * np.sqrt(squares / rows.shape[1])[:, None]).astype(np.float32)
    above = (np.abs(rows)[:, :, None] > borders[:, None, :]).sum(axis=2)
    levels = LEVELS[above] * np.where(rows < 0, -1, 1).astype(np.int8)
    products = np.cumsum(exact * levels, axis=1)[:, -1]
    scales = np.divide(squares, products, out=np.zeros_like(squares), where=products > 0)
    return levels, scales.astype(np.float32)


def quantise(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Code rows in 8 bits and lay them out as `codes.Codes` has them: blocks [ceil(T/16), ceil(D/4), 16, 4]
    int8 and scales [ceil(T/16)*16] float32.
    """
    count, dims = rows.shape
    blocks, groups = -(-count // LANES), -(-dims // GROUP)
    codes, scales = quantise_rows(rows)
    codes = np.pad(codes, ((0, blocks * LANES - count), (0, groups * GROUP - dims)))
    codes = codes.reshape(blocks, LANES, groups, GROUP).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(codes), np.pad(scales, (0, blocks * LANES - count))


def maxsim_codes(
    query: np.ndarray,
    blocks: np.ndarray,
    scales: np.ndarray,
    starts: np.ndarray,
    which: np.ndarray | None = None,
    threads: int = 0,
) -> np.ndarray:
    """[N] or [M] float32: MaxSim of the coded query with coded rows; the float operations in this order."""
    rows = blocks.transpose(0, 2, 1, 3).reshape(len(scales), GROUP * blocks.shape[1])[:, : query.shape[1]]
    return _maxsim(query, rows, scales, starts, which)


def maxsim_levels(
    query: np.ndarray, levels: np.ndarray, scales: np.ndarray, starts: np.ndarray
) -> np.ndarray:
    """[N] float32: MaxSim of a query, turned and coded, with levels [T, D] int8 and scales [T] float32."""
    return _maxsim(turned(query), levels, scales, starts, None)


def _maxsim(
    query: np.ndarray, rows: np.ndarray, scales: np.ndarray, starts: np.ndarray, which: np.ndarray | None
) -> np.ndarray:
    codes, query_scales = quantise_rows(query)
    dots = codes.astype(np.int32) @ rows.astype(np.int32).T
    products = dots.astype(np.float32) * scales
    passages = range(len(starts) - 1) if which is None else which
    scores = np.full(len(passages), -np.inf, dtype=np.float32)
    for i, n in enumerate(passages):
        if starts[n] == starts[n + 1]:
            continue
        score = np.float32(0)
        for q in range(len(query)):
            score += products[q, starts[n] : starts[n + 1]].max() * query_scales[q]
        scores[i] = score
    return scores
