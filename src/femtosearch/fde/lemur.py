"""A learned FDE, after LEMUR (arXiv 2601.21853). What is computed, exactly: docs/fde.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from femtosearch import _core
from femtosearch.codes import quantise
from femtosearch.disk import blake2b
from femtosearch.errors import FdeError, ShapeError
from femtosearch.fde.cache import ByFields, cached, digest_of, shared
from femtosearch.fde.calibration import Calibration
from femtosearch.fde.features import Features, check
from femtosearch.fde.nested import SMALLEST, blocks_of, for_each_number, spread
from femtosearch.fde.whitening import (
    Bands,
    bands_of,
    coded,
    coded_forms,
    decoded,
    factor_forms,
    inverse_factor,
)
from femtosearch.types import Rows

MOST_FEATURES = 1 << 13
MOST_ANCHORS = 1 << 16
MOST_WORK = 600_000_000_000  # multiplications to prepare it for a first document: ten seconds on two cores
LARGEST_SCALE = 1e30  # of coded numbers, whose products have to stay finite
CODE_BITS = (8, 4, 2)
_PIECE = 256  # documents at a time
_ANCHORS = 512  # at a time
LOSS = (
    0.345  # root mean square of the error that 2 bits make on numbers of a normal distribution (J. Max, 1960)
)
_OF_FEATURES = "features."  # the names of the features' tensors begin with it


@dataclass(frozen=True, eq=False)
class Lemur(ByFields):
    """A fixed-dimensional encoding, fitted to one model's rows: `femtosearch train fde` makes it.

    The anchors are a sample of query rows. A document's largest inner product with a query row x is
    approximated by a weighted sum of F features of x. The weights, found by ridge regression over the
    anchors, are the document's FDE; the sum of the features of its rows is a query's FDE. Both are then
    rotated so that the features are orthonormal over the anchors, and so that the first 64, 128, 256, ...
    numbers are an FDE, too.

    features:   of a row of D dims, F of them: 64 · 2^n, at most 8,192.
    anchors:    [A, D] int8, and
    scale:      [A] float32: anchor a is anchors[a] · scale[a].
    centre:     [A] float32: the mean document's inner products with the anchors, which are taken off.
    gains:      float32, one for each block of numbers (`fde.nested`): what makes their variances alike.
    ridge:      above 0, as a share of the features' mean square.
    numbers:    how many of the F are kept, 64 · 2^n, the first ones; None: all.
    code_bits:  how many bits a number of a passage's FDE has in an index: 8, 4 or 2. With 2 the last 64
                numbers are the error that the codes make on the first 64.
    model:      the fingerprint of the model that it was fitted for; None: any of D dims.
    calibration:  how many candidates it needs, where that was measured (`fde.calibrate`).

    Raises FdeError for arrays that do not fit one another, and for sizes that would take more than 6 · 10^11
    multiplications to prepare: max(A, F) · F · (F + H), where H is the width before the features.
    """

    kind: ClassVar[str] = "lemur"

    features: Features
    anchors: np.ndarray = field(repr=False)
    scale: np.ndarray = field(repr=False)
    centre: np.ndarray = field(repr=False)
    gains: np.ndarray = field(repr=False)
    ridge: float
    numbers: int | None = None
    code_bits: int = 4
    model: str | None = None
    calibration: Calibration | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        size, count = self.features.count, len(self.anchors) if np.ndim(self.anchors) == 2 else 0
        if not SMALLEST <= size <= MOST_FEATURES or blocks_of(size)[-1][1] != size:
            raise FdeError(f"features: expected 64 · 2^n of them, at most {MOST_FEATURES:,}, found {size}")
        if count > MOST_ANCHORS:
            raise FdeError(f"anchors: expected at most {MOST_ANCHORS:,}, found {count:,}")
        work = max(count, size) * size * (size + len(self.features.inner))
        if work > MOST_WORK:
            raise FdeError(
                f"{size:,} features of {len(self.features.inner):,} numbers and {count:,} anchors need "
                f"{work:,} multiplications; expected at most {MOST_WORK:,}: lower one of them"
            )
        check("anchors", self.anchors, (count, self.features.dims), np.int8)
        check("scale", self.scale, (count,))
        check("centre", self.centre, (count,))
        check("gains", self.gains, (len(blocks_of(size)),))
        if self.scale.max() > LARGEST_SCALE or self.features.scale.max() > LARGEST_SCALE:
            raise FdeError(f"scale: expected numbers up to {LARGEST_SCALE:g}: the FDE is damaged")
        if not (self.gains > 0).all():
            raise FdeError("gains: expected numbers above 0: the FDE is damaged")
        if not isinstance(self.ridge, float) or not 1e-6 <= self.ridge <= 1e6:
            raise FdeError(f"ridge: expected a number from 1e-6 to 1e6, found {self.ridge!r}")
        if self.numbers is not None and self.numbers not in [end for _, end in blocks_of(size)]:
            raise FdeError(f"numbers: expected 64 · 2^n, at most {size:,}, found {self.numbers!r}")
        if isinstance(self.code_bits, bool) or self.code_bits not in CODE_BITS:
            raise FdeError(f"code_bits: expected 8, 4 or 2, found {self.code_bits!r}")
        if self.model is not None and not isinstance(self.model, str):
            raise FdeError(f"model: expected a fingerprint or none, found {self.model!r}")

    def size(self, dims: int) -> int:
        """The numbers of an FDE for rows of D dims: `numbers`, or F. Raises FdeError for another D than it
        was fitted for.
        """
        if dims != self.features.dims:
            raise FdeError(
                f"it was fitted for rows of {self.features.dims} dims, found {dims}: use this model's own"
            )
        return self.numbers or self.features.count

    def shortened(self, numbers: int) -> Lemur:
        """The FDE of the first numbers alone: fewer bytes a passage, at less recall; not calibrated."""
        return replace(self, numbers=numbers, calibration=None)

    def queries(self, rows: Rows, *, numbers: int | None = None, threads: int = 0) -> np.ndarray:
        """The FDEs of n queries: [n, F] float32; zeros for a query without rows.

        rows:     .rows [T, D] float32, finite, and .starts [n+1] int64.
        numbers:  the first so many of the F only, 64 · 2^n, which cost less.
        Raises FdeError, ShapeError.
        """
        array, starts = self._checked(rows)
        size = min(numbers or self.features.count, self.size(array.shape[1]))
        sums = np.zeros((len(rows), size), dtype=np.float32)
        weights = np.linalg.norm(array, axis=1, keepdims=True)  # of the rows, which the features would lose
        features = self.features.of(array / np.where(weights > 0, weights, 1), threads)
        features *= weights
        for n in range(len(rows)):
            sums[n] = features[starts[n] : starts[n + 1], :size].sum(0)
        turned = spread(self._whiten(size).apply(sums, threads)) * self._gain[:size]
        if self._stores_residual and size == self.size(array.shape[1]):
            turned[:, -SMALLEST:] = LOSS * turned[:, :SMALLEST]
        return turned

    def documents(self, rows: Rows, *, threads: int = 0) -> np.ndarray:
        """The FDEs of n documents: [n, F] float32, to be coded in `code_bits`; zeros for one without rows.

        rows:  .rows [T, D] float32, finite, and .starts [n+1] int64. Raises FdeError, ShapeError.
        """
        array, starts = self._checked(rows)
        out = np.empty((len(rows), self.size(array.shape[1])), dtype=np.float32)
        for at in range(0, len(rows), _PIECE):
            piece = starts[at : at + _PIECE + 1]
            out[at : at + _PIECE] = self._weights(array[piece[0] : piece[-1]], piece - piece[0], threads)
        if self._stores_residual and len(out):
            coded = quantise(out, self.code_bits).rows()
            out[:, -SMALLEST:] = (out[:, :SMALLEST] - coded[:, :SMALLEST]) / LOSS
        out[np.diff(starts) == 0] = 0
        return out

    def spec(self) -> dict[str, Any]:
        """Sizes, model and a digest of the arrays, as JSON: Lemurs with equal specs give equal vectors."""
        digest = blake2b(digest_size=16)
        for name, array in self.tensors(self.features.dims).items():
            digest.update(name.encode() + array.tobytes())
        return {
            "features": self.features.count,
            "anchors": len(self.anchors),
            "numbers": self.numbers,
            "ridge": self.ridge,
            "code_bits": self.code_bits,
            "model": self.model,
            "digest": digest.hexdigest(),
        }

    def tensors(self, dims: int) -> dict[str, np.ndarray]:
        """The arrays to store, by name: anchors with two numbers a byte, the smaller arrays in float16."""
        self.size(dims)
        return {
            **{_OF_FEATURES + name: array for name, array in self.features.tensors().items()},
            "anchors": pack_nibbles(self.anchors),
            "scale": self.scale.astype(np.float16),
            "centre": self.centre.astype(np.float16),
            "gains": self.gains,
        }

    @classmethod
    def restore(cls, spec: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> Lemur:
        """Make a Lemur from what `spec()` and `tensors(dims)` returned. Raises FdeError."""
        try:
            features = Features.restore(
                {
                    name.removeprefix(_OF_FEATURES): tensors[name]
                    for name in tensors
                    if name.startswith(_OF_FEATURES)
                }
            )
            anchors = unpack_nibbles(tensors["anchors"], features.dims)
            fde = cls(
                features, anchors, tensors["scale"], tensors["centre"], tensors["gains"],
                spec["ridge"], spec["numbers"], spec["code_bits"], spec["model"],
            )  # fmt: skip
        except (KeyError, TypeError, AttributeError) as error:
            raise FdeError(f"no Lemur of this femtosearch: {error!r}; upgrade it") from None
        if fde.spec() != dict(spec):
            raise FdeError("its arrays are not those that it was stored with: the FDE is damaged")
        return fde

    @property
    def _stores_residual(self) -> bool:
        """Whether the last 64 numbers hold the error of the 2-bit codes of the first 64, which weigh most."""
        return self.code_bits == 2 and (self.numbers or self.features.count) > SMALLEST

    @cached_property
    def _anchors(self) -> _core.Anchors:
        return _core.Anchors(self.anchors.astype(np.float32) * self.scale[:, None])

    def _of_anchors(self) -> Iterator[np.ndarray]:
        """The features of the anchors, 512 at a time, [*, F] float32: of all at once they take tens of MB."""
        for at in range(0, len(self.anchors), _ANCHORS):
            chunk = slice(at, at + _ANCHORS)
            yield self.features.of(self.anchors[chunk].astype(np.float32) * self.scale[chunk, None])

    @cached_property
    def _whiteners(self) -> dict[int, Bands]:
        return {}

    def _whiten(self, size: int) -> Bands:
        """The layer that makes the first `size` features orthonormal over the anchors, by Gram-Schmidt in
        their order. It depends on these features alone, so that a small one is made quickly.
        """
        if size not in self._whiteners:
            arrays = [*self.features.arrays().values(), self.anchors, self.scale]
            name = digest_of(arrays, self.ridge, size)
            self._whiteners[size] = shared(
                f"whitener {name}",
                lambda: Bands(cached(name, factor_forms(size), lambda: self._solved(size))),
            )
        return self._whiteners[size]

    def _solved(self, size: int) -> list[np.ndarray]:
        return bands_of(inverse_factor(self._of_anchors(), size, self.ridge))

    @cached_property
    def _read_out(self) -> Bands:
        """The layer, in int8, from a document's largest inner products with the anchors to its FDE."""
        size = self.numbers or self.features.count
        arrays = [*self.features.arrays().values(), self.anchors, self.scale, self.gains]
        name, forms = digest_of(arrays, self.ridge, size), coded_forms(size, len(self.anchors))
        return shared(
            f"read-out {name}",
            lambda: Bands(decoded(cached(name, forms, self._solved_read_out)), int8=True),
        )

    def _solved_read_out(self) -> list[np.ndarray]:
        """Solve for the read-out: the weights [F, A] of the ridge regression for orthonormal features, spread
        over blocks (`fde.nested`), as codes and scales.
        """
        size, at = self.numbers or self.features.count, 0
        whiten, layer = self._whiten(size), np.empty((size, len(self.anchors)), dtype=np.float32)
        for features in self._of_anchors():
            numbers = spread(whiten.apply(np.ascontiguousarray(features[:, :size]))) / self._gain
            layer[:, at : at + len(numbers)] = numbers.T
            at += len(numbers)
        return coded(layer)

    @cached_property
    def _gain(self) -> np.ndarray:
        return for_each_number(self.gains, self.features.count)[: self.numbers]

    def _weights(self, rows: np.ndarray, starts: np.ndarray, threads: int) -> np.ndarray:
        """The FDEs of some documents, [n, F] float32."""
        read_out = self._read_out  # before `maxima` takes memory, since to solve takes much
        maxima = self._anchors.maxima(rows, starts, threads)
        maxima -= self.centre
        return read_out.apply(maxima, threads)

    def _checked(self, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        if not isinstance(rows.rows, np.ndarray) or rows.rows.ndim != 2:
            raise ShapeError(f"rows: expected float32 [T, D], found {list(np.shape(rows.rows))}")
        self.size(rows.rows.shape[1])
        array, starts = (np.require(a, requirements=["C", "A"]) for a in (rows.rows, rows.starts))
        _core.check_starts(starts, len(array))
        if array.dtype != np.float32 or not np.isfinite(array).all():
            raise ShapeError("rows: expected finite float32 numbers, found NaN, infinity or another dtype")
        return array, starts


def pack_nibbles(numbers: np.ndarray) -> np.ndarray:
    """[A, D] int8 of -7 to 7 -> [A, ceil(D/2)] uint8, two numbers a byte, the first in the low half."""
    raised = np.pad(numbers + 8, ((0, 0), (0, numbers.shape[1] % 2))).astype(np.uint8)
    return raised[:, ::2] | raised[:, 1::2] << 4


def unpack_nibbles(halves: np.ndarray, dims: int) -> np.ndarray:
    """The inverse of `pack_nibbles`: [A, ceil(D/2)] uint8 -> [A, D] int8. dims: D. Raises FdeError."""
    check("anchors", halves, (len(halves), -(-dims // 2)), np.uint8)
    pairs = np.stack([halves & 15, halves >> 4], axis=2).reshape(len(halves), -1)
    return pairs[:, :dims].astype(np.int8) - np.int8(8)
