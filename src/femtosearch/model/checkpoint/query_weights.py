"""Query weights: a small network of a model folder that says how much each row of a query counts."""

from __future__ import annotations

import numpy as np

from femtosearch.errors import CheckpointError
from femtosearch.frozen import frozen
from femtosearch.model.checkpoint.files import Files
from femtosearch.tensors import parse_tensors, tensor_bytes

QUERY_WEIGHTS = "query_weights.safetensors"  # of a model folder
QUERY_WEIGHTS_LIMIT = 1 << 24  # bytes of that file
MOST_HIDDEN = 1024
NAMES = ("inner", "inner_bias", "outer", "outer_bias", "first")


@frozen(eq=False)
class QueryWeights:
    """A row x of a query counts softplus(outer · max(0, inner · x + inner_bias) + outer_bias) times, and the
    first row of a text, which is [CLS]'s, `first` times as often as that.

    inner:  [H, D] float32; inner_bias: [H]; outer: [1, H]; outer_bias: [1]; first: [1]. H is at most 1,024.
    """

    inner: np.ndarray
    inner_bias: np.ndarray
    outer: np.ndarray
    outer_bias: np.ndarray
    first: np.ndarray

    @property
    def tensors(self) -> dict[str, np.ndarray]:
        """The arrays, by name."""
        return {name: getattr(self, name) for name in NAMES}


def read_query_weights(files: Files, dims: int) -> QueryWeights | None:
    """Those of a folder whose rows have D dims; None if it has none.

    Raises CheckpointError for arrays of other names, shapes or dtypes, and for numbers that are not finite.
    """
    if not files.has(QUERY_WEIGHTS):
        return None
    path = files.folder / QUERY_WEIGHTS
    tensors, _ = parse_tensors(files.read(QUERY_WEIGHTS, QUERY_WEIGHTS_LIMIT), path)
    inner = tensors.get("inner")
    hidden = len(inner) if inner is not None and inner.ndim == 2 else 0
    shapes = dict(zip(NAMES, ((hidden, dims), (hidden,), (1, hidden), (1,), (1,)), strict=True))
    if not 0 < hidden <= MOST_HIDDEN or {name: array.shape for name, array in tensors.items()} != shapes:
        shapes_there = {name: list(array.shape) for name, array in tensors.items()}
        expected = dict(zip(NAMES, (["H", dims], ["H"], [1, "H"], [1], [1]), strict=True))
        raise CheckpointError(f"{path}: expected {expected}, H at most {MOST_HIDDEN:,}, found {shapes_there}")
    for name, array in tensors.items():
        if array.dtype != np.float32 or not np.isfinite(array).all():
            raise CheckpointError(f"{path}: expected {name} to be finite floats")
    if tensors["first"] <= 0:
        raise CheckpointError(f"{path}: expected first to be above 0, found {tensors['first'][0]:g}")
    return QueryWeights(**{name: np.ascontiguousarray(array) for name, array in tensors.items()})


def query_weight_bytes(weights: QueryWeights) -> bytes:
    """The file of query weights, in float16."""
    return tensor_bytes({name: array.astype(np.float16) for name, array in weights.tensors.items()})
