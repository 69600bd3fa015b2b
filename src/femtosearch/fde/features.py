"""The features of a row that a learned FDE adds up: two layers, each a product, a norm and GELU.

Letters in shapes: T rows, D dims, H inner features, F features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

from femtosearch import _core
from femtosearch.errors import FdeError
from femtosearch.fde.cache import ByFields

_EPSILON = 1e-5
_PIECE = 1024  # rows at a time
_ROOT = float(np.sqrt(2 / np.pi))


@dataclass(frozen=True, eq=False)
class Features(ByFields):
    """gelu(norm(outer · gelu(norm(inner · x)))), for rows x of D dims.

    inner:       [H, D] float32.
    inner_norm:  [2, H] float32: weight and bias of the norm.
    outer:       [F, H] int8, and
    scale:       [F] float32: row f of the matrix is outer[f] · scale[f].
    outer_norm:  [2, F] float32.
    Raises FdeError for other shapes, dtypes or numbers that are not finite.
    """

    inner: np.ndarray
    inner_norm: np.ndarray
    outer: np.ndarray
    scale: np.ndarray
    outer_norm: np.ndarray

    def __post_init__(self) -> None:
        hidden, dims = self.inner.shape if np.ndim(self.inner) == 2 else (0, 0)
        count = len(self.outer) if np.ndim(self.outer) == 2 else 0
        check("inner", self.inner, (hidden, dims))
        check("inner_norm", self.inner_norm, (2, hidden))
        check("outer", self.outer, (count, hidden), np.int8)
        check("scale", self.scale, (count,))
        check("outer_norm", self.outer_norm, (2, count))

    @property
    def dims(self) -> int:
        """D."""
        return int(self.inner.shape[1])

    @property
    def count(self) -> int:
        """F."""
        return len(self.outer)

    def of(self, rows: np.ndarray, threads: int = 0) -> np.ndarray:
        """The features of rows [T, D] float32: [T, F] float32. A row's features do not depend, to the bit, on
        the other rows.
        """
        out = np.empty((len(rows), self.count), dtype=np.float32)
        for at in range(0, len(rows), _PIECE):
            state = np.ascontiguousarray(rows[at : at + _PIECE])
            for layer, norm in self._layers:
                state = gelu(normed(layer.apply(state, threads), norm))
            out[at : at + _PIECE] = state
        return out

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays as they are, by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def tensors(self) -> dict[str, np.ndarray]:
        """The arrays, by name, the smaller of them in float16."""
        small = {
            name: getattr(self, name).astype(np.float16) for name in ("inner", "inner_norm", "outer_norm")
        }
        return {**small, "outer": self.outer, "scale": self.scale}

    @classmethod
    def restore(cls, tensors: Mapping[str, np.ndarray]) -> Features:
        """Make features from what `tensors()` returned, in float16's precision. Raises FdeError, KeyError."""
        return cls(*(tensors[name] for name in ("inner", "inner_norm", "outer", "scale", "outer_norm")))

    @cached_property
    def _layers(self) -> list[tuple[_core.Dense, np.ndarray]]:
        outer = self.outer.astype(np.float32) * self.scale[:, None]
        return [
            (_core.Dense(np.ascontiguousarray(self.inner)), self.inner_norm),
            (_core.Dense(outer), self.outer_norm),
        ]


def normed(x: np.ndarray, norm: np.ndarray) -> np.ndarray:
    """Layer norm of the rows of x, in place: (x - mean) / standard deviation · norm[0] + norm[1]."""
    x -= x.mean(1, keepdims=True)
    x /= np.sqrt(np.square(x).mean(1, keepdims=True) + _EPSILON)
    x *= norm[0]
    x += norm[1]
    return x


def gelu(x: np.ndarray) -> np.ndarray:
    """GELU in its tanh form (arXiv 1606.08415)."""
    inside = np.square(x)
    inside *= 0.044715 * _ROOT
    inside += _ROOT
    inside *= x
    np.tanh(inside, out=inside)
    inside += 1
    inside *= x
    inside *= 0.5
    return inside


def check(name: str, array: np.ndarray, shape: tuple[int, ...], dtype: type = np.float32) -> None:
    """Raise FdeError unless the array has this shape and dtype, is not empty, and holds finite numbers."""
    if np.shape(array) != shape or array.dtype != dtype or 0 in shape:
        raise FdeError(
            f"{name}: expected {np.dtype(dtype)} {list(shape)}, found {array.dtype} {list(np.shape(array))}: "
            "the FDE is damaged"
        )
    if not np.isfinite(array).all():
        raise FdeError(f"{name}: expected finite numbers: the FDE is damaged")
