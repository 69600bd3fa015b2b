"""The native encoder in int8, in numpy: it defines what the core must compute, bit for bit on every kernel.

Whole numbers are exact. Floats are float32, added and multiplied one after the other, never fused; sums of
many are 16 sums, folded by halves.

Letters in shapes: R rows, I inputs, O outputs, S numbers of a head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from femtosearch.types import BertConfig

Coded = tuple[np.ndarray, np.ndarray, np.ndarray]  # codes [R, I], scales [R, 1], middles [R, 1]
Dense = tuple[np.ndarray, np.ndarray | None]
F = np.float32
ONE = F(1)
MOST, PAIRS, WIDEST, SHARE = 127, 2047, 512, 32767
GELU = [0.175970212, -0.0844266191, 0.0554101877, -0.0354623534, 0.0240910761, -0.0165508837, 0.00597200962]
POWER = [0.999928057, 0.693260968, 0.24261114, 0.0551716685]
SHIFT = F(12582912)


def encode(
    config: BertConfig,
    weights: Mapping[str, np.ndarray],
    dense: Sequence[Dense],
    ids: np.ndarray,
    starts: np.ndarray,
    attended: np.ndarray,
    keep: np.ndarray,
) -> np.ndarray:
    """Compute what `Encoder(config, weights, dense, precision="int8").encode(ids, ...)` returns."""
    dims = dense[-1][0].shape[0] if dense else config.hidden_size
    rows = [np.zeros((0, dims), dtype=F)]
    for (begin, end), reach in zip(pairwise(starts), attended, strict=True):
        if end > begin:
            x = _text(config, weights, ids[begin:end], int(reach))
            for weight, bias in dense:
                x = _linear(weight, bias, _between(x))
            rows.append(_unit(x)[keep[begin:end]])
    return np.concatenate(rows)


def layer(weight: np.ndarray, bias: np.ndarray | None, rows: np.ndarray) -> np.ndarray:
    """[R, O] float32: what `_core.Dense(weight, bias, int8=True).apply(rows)` returns."""
    return _linear(weight, bias, _between(rows))


def _text(config: BertConfig, weights: Mapping[str, np.ndarray], ids: np.ndarray, reach: int) -> np.ndarray:
    x = _embed(config, weights, ids)
    for i in range(config.layers):
        name = f"encoder.layer.{i}"
        attention = f"{name}.attention.output"
        context = _attention(config, weights, f"{name}.attention.self", _between(x), reach)
        x = _norm(
            config, weights, f"{attention}.LayerNorm", x, _named(weights, f"{attention}.dense", context)
        )
        inner = _gelu(_named(weights, f"{name}.intermediate.dense", x))
        x = _norm(
            config, weights, f"{name}.output.LayerNorm", x, _named(weights, f"{name}.output.dense", inner)
        )
    return x


def _embed(config: BertConfig, weights: Mapping[str, np.ndarray], ids: np.ndarray) -> np.ndarray:
    words, place = "embeddings.word_embeddings", weights["embeddings.token_type_embeddings.weight"][0]
    if config.code_width is None:
        x = weights[f"{words}.weight"][ids]
    else:
        bias = weights.get(f"{words}.projections.bias")
        place = place if bias is None else place + bias
        table = weights[f"{words}.embeddings.weight"][ids]
        codes, scales = _symmetric(table, _most_of_pairs(config.code_width))
        x = _linear(weights[f"{words}.projections.weight"], None, (codes, scales, np.zeros_like(scales)))
    place = weights["embeddings.position_embeddings.weight"][: len(ids)] + place
    return _norm(config, weights, "embeddings.LayerNorm", x, place)


def _attention(
    config: BertConfig, weights: Mapping[str, np.ndarray], name: str, x: Coded, reach: int
) -> np.ndarray:
    size = config.hidden_size // config.heads
    scale = F(1) / np.sqrt(F(size))
    queries = _linear(weights[f"{name}.query.weight"], weights[f"{name}.query.bias"], x, scale)
    keys = _linear(weights[f"{name}.key.weight"], weights[f"{name}.key.bias"], x)[:reach]
    values = _linear(weights[f"{name}.value.weight"], weights[f"{name}.value.bias"], x)[:reach]
    heads = [slice(h * size, (h + 1) * size) for h in range(config.heads)]
    return np.concatenate([_head(queries[:, h], keys[:, h], values[:, h]) for h in heads], axis=1)


def _head(queries: np.ndarray, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    most = _most_of_pairs(queries.shape[1])
    codes, scales = _symmetric(queries, most)
    key_codes, key_scale = _symmetric(keys.reshape(1, -1), most)
    sums = codes @ key_codes.reshape(keys.shape).T
    power = (sums - sums.max(axis=1, keepdims=True)).astype(F) * (scales * (key_scale * F(1.44269504)))
    shares = _powers(power, F(min(SHARE, (2**31 - 1) // MOST // len(keys))))
    low, high = values.min(axis=0), values.max(axis=0)
    half = (high - low) * F(0.5)
    middle = low + half
    value_codes = np.rint((values - middle) * _over(F(MOST), half)).astype(np.int64)
    inverse = F(1) / shares.sum(axis=1, keepdims=True).astype(F)
    return (shares @ value_codes).astype(F) * ((half / F(MOST)) * inverse) + middle


def _powers(x: np.ndarray, most: np.float32) -> np.ndarray:
    """round(most · 2^x), x <= 0."""
    x = np.maximum(x, F(-126))
    shifted = x + SHIFT
    r = x - (shifted - SHIFT)
    c = [F(number) * most for number in POWER]
    curve: np.ndarray = ((r * c[3] + c[2]) * r + c[1]) * r + c[0]
    bits = curve.view(np.uint32) + (shifted.view(np.uint32) << np.uint32(23))
    return np.rint(bits.view(F)).astype(np.int64)


def _named(weights: Mapping[str, np.ndarray], name: str, x: np.ndarray) -> np.ndarray:
    return _linear(weights[f"{name}.weight"], weights[f"{name}.bias"], _between(x))


def _linear(weight: np.ndarray, bias: np.ndarray | None, x: Coded, scale: np.float32 = ONE) -> np.ndarray:
    """scale · (weight x + bias) for rows of codes; weight [O, I], a scale for each output."""
    codes, scales, middles = x
    step = np.abs(weight).max(axis=1) / F(MOST)
    weight_codes = np.rint(_over(weight, step[:, None])).astype(np.int64)
    totals = weight_codes.sum(axis=1).astype(F) * (step * scale)
    offset = F(0) if bias is None else bias * scale
    return (codes @ weight_codes.T).astype(F) * ((step * scale) * scales) + totals * middles + offset


def _between(x: np.ndarray) -> Coded:
    """Codes from -127 to 127 between a row's least number and its largest."""
    least, most = x.min(axis=1, keepdims=True), x.max(axis=1, keepdims=True)
    half = (most - least) / F(2)
    middle = least + half
    return np.rint((x - middle) * _over(F(MOST), half)).astype(np.int64), half / F(MOST), middle


def _symmetric(x: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes of rows whose largest magnitude becomes `most`, and scales [R, 1]."""
    top = np.abs(x).max(axis=1, keepdims=True)
    return np.rint(x * _over(F(most), top)).astype(np.int64), top / F(most)


def _most_of_pairs(count: int) -> int:
    return PAIRS if count <= WIDEST else MOST


def _over(a: np.ndarray | np.float32, b: np.ndarray) -> np.ndarray:
    """a / b, and 0 where b is 0."""
    return np.where(b > 0, a / np.where(b > 0, b, F(1)), F(0))


def _gelu(x: np.ndarray) -> np.ndarray:
    inside = np.clip(x, F(-4), F(4))
    u = inside * inside * F(0.125) - F(1)
    y = np.full_like(x, GELU[-1])
    for number in reversed(GELU[:-1]):
        y = y * u + F(number)
    return x * (inside * y + F(0.5))


def _norm(
    config: BertConfig, weights: Mapping[str, np.ndarray], name: str, x: np.ndarray, update: np.ndarray
) -> np.ndarray:
    x = x + update
    count = F(x.shape[1])
    centred = x - _sum(x) / count
    scale = F(1) / np.sqrt(_sum(centred * centred) / count + F(config.norm_epsilon))
    return centred * scale * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def _unit(x: np.ndarray) -> np.ndarray:
    return x * (F(1) / np.maximum(np.sqrt(_sum(x * x)), F(1e-12)))


def _sum(x: np.ndarray) -> np.ndarray:
    """[R, 1]: sums of rows as 16 sums, folded by halves."""
    sums = np.zeros((len(x), 16), dtype=F)
    for begin in range(0, x.shape[1], 16):
        lanes = x[:, begin : begin + 16]
        sums[:, : lanes.shape[1]] += lanes
    while sums.shape[1] > 1:
        half = sums.shape[1] // 2
        sums = sums[:, :half] + sums[:, half:]
    return sums
