"""Random-weight checkpoints of every size of the family, and what a token costs in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from femtosearch.model.checkpoint import expected_shapes
from femtosearch.types import BertConfig


@dataclass(frozen=True)
class Size:
    """The shape of a backbone, and the dims of the Dense module on top."""

    config: BertConfig
    dims: int


def _size(hidden: int, layers: int, heads: int, code_width: int | None, dims: int) -> Size:
    return Size(BertConfig(30522, hidden, layers, heads, 4 * hidden, 512, 2, code_width), dims)


SIZES = {
    "femto": _size(50, 2, 2, 5, 50),
    "pico": _size(80, 2, 2, 8, 80),
    "nano": _size(128, 2, 2, 16, 128),
    "micro": _size(128, 2, 2, None, 128),  # bert-tiny
    "small": _size(384, 6, 12, None, 128),
    "base": _size(768, 12, 12, None, 128),  # ColBERT v2
}


Projection = tuple[np.ndarray, np.ndarray | None]  # weight and bias of a Dense module


def multiply_adds(size: Size, length: int) -> int:
    """What one token of a text costs, without exp, erf, norms and padding."""
    config = size.config
    hidden = config.hidden_size
    layer = 4 * hidden * hidden + 2 * hidden * config.intermediate_size + 2 * length * hidden
    return (config.code_width or 0) * hidden + config.layers * layer + hidden * size.dims


def random_checkpoint(size: Size) -> tuple[dict[str, np.ndarray], list[Projection]]:
    """Weights that keep states as wide as a trained model's do: any slip shows in the rows."""
    rng = np.random.default_rng(0)
    config = size.config
    shapes = expected_shapes(config)
    if config.code_width is not None:
        shapes["embeddings.word_embeddings.projections.bias"] = (config.hidden_size,)
    weights = {}
    for name, shape in shapes.items():
        weights[name] = _spread(name, shape) * rng.standard_normal(shape, np.float32)
        weights[name] += name.endswith("LayerNorm.weight")
    dense = rng.standard_normal((size.dims, config.hidden_size), np.float32)
    return weights, [(dense, None)]


def _spread(name: str, shape: tuple[int, ...]) -> np.float32:
    if len(shape) == 1:
        return np.float32(0.1)
    return np.float32(0.5 if "embeddings" in name else shape[1] ** -0.5)
