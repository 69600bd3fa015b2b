"""MUVERA: rows into random buckets, buckets into one vector. What is computed, exactly: docs/fde.md."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from femtosearch import _core
from femtosearch.errors import FdeError, ShapeError, check_whole
from femtosearch.fde.cache import ByFields
from femtosearch.fde.calibration import Calibration
from femtosearch.frozen import frozen
from femtosearch.types import Rows

MOST_DIMS = 65_536  # F: sums of products of codes stay within int32
MOST_NUMBERS = 1 << 20  # of a vector before the count-sketch
MOST_BITS = 16
MOST_MATRIX = 1 << 26  # numbers of one kind of matrix
VARIANTS = ("paper", "txtai", "fastembed")
NO_FILL, MEAN_FILL, FIRST_FILL = 0, 1, 2  # how the kernel fills a document's empty bucket


@frozen(eq=False)
class Matrices:
    """The random matrices of a MUVERA, for rows of D dims.

    planes:      [R, D, bits] float32: a row's code has bit b where <row, planes[r, :, b]> is above 0.
    projection:  [R, D, p] float32; None leaves rows as they are.
    places:      [R · 2^bits · p] int32 and
    signs:       [R · 2^bits · p] float32: number i is added, signs[i] times, to place places[i] of the
                 result; None without a count-sketch.
    """

    planes: np.ndarray
    projection: np.ndarray | None = None
    places: np.ndarray | None = None
    signs: np.ndarray | None = None

    @property
    def dims(self) -> int:
        """D: the numbers of a row."""
        return int(self.planes.shape[1])


@dataclass(frozen=True)
class Muvera(ByFields):
    """A fixed-dimensional encoding, by random buckets; it fits every model (arXiv 2405.19504).

    repetitions:  R, at least 1.
    bits:         a row falls into one of 2^bits buckets by its sides of `bits` random planes; 0 to 16.
    projection:   p, the numbers that a bucket's D are projected to; None or D: as they are.
    fill:         a document's empty bucket gets the mean of the rows whose codes differ in the fewest bits.
    final:        how many numbers a count-sketch folds the R · 2^bits · p into; None leaves them.
    seed:         of numpy's PCG64.
    variant:      "paper", or a peer's way to draw, number, fill and scale: "txtai" or "fastembed".
    matrices:     stored matrices, for rows of one D; None draws them from the seed for any D.
    calibration:  how many candidates it needs, where that was measured (`fde.calibrate`).

    F is `final`, or R · 2^bits · p, and at most 65,536; R · 2^bits · p is at most 1,048,576.
    Raises FdeError for parameters beyond these bounds.

    >>> muvera = Muvera(repetitions=10, bits=4, projection=8)
    >>> rows = Rows(np.eye(50, dtype=np.float32), np.array([0, 20, 50, 50]))
    >>> muvera.documents(rows).shape == (3, muvera.size(50))
    True
    """

    kind: ClassVar[str] = "muvera"
    model: ClassVar[str | None] = None
    code_bits: ClassVar[int] = 8

    repetitions: int = 20
    bits: int = 5
    projection: int | None = 16
    fill: bool = True
    final: int | None = None
    seed: int = 42
    variant: str = "paper"
    matrices: Matrices | None = field(default=None, repr=False, compare=False)
    calibration: Calibration | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_whole(FdeError, "repetitions", self.repetitions, 1, MOST_NUMBERS)
        check_whole(FdeError, "bits", self.bits, 0, MOST_BITS)
        check_whole(FdeError, "seed", self.seed, 0, (1 << 63) - 1)
        if self.projection is not None:
            check_whole(FdeError, "projection", self.projection, 1, MOST_DIMS)
        if self.final is not None:
            check_whole(FdeError, "final", self.final, 1, MOST_DIMS)
        if not isinstance(self.fill, bool):
            raise FdeError(f"fill: expected True or False, found {self.fill!r}")
        if self.variant not in VARIANTS:
            raise FdeError(f"variant: expected one of {', '.join(VARIANTS)}, found {self.variant!r}")
        if self.variant != "paper" and self.final is not None:
            raise FdeError(f"final: {self.variant} has no count-sketch: leave it out or use variant 'paper'")
        self._check_size(self.projection or 1)
        if self.matrices is not None:
            self._check_matrices(self.matrices)

    def size(self, dims: int) -> int:
        """F, for rows of D dims. Raises FdeError if such rows cannot be encoded."""
        check_whole(FdeError, "dims", dims, 1, MOST_DIMS)
        if self.matrices is not None and self.matrices.dims != dims:
            raise FdeError(
                f"its matrices are for rows of {self.matrices.dims} dims, found {dims}: use this model's own"
            )
        if self.projection is not None and self.projection > dims:
            raise FdeError(
                f"projection: expected at most the rows' {dims} dims, found {self.projection}: lower it"
            )
        if self.repetitions * dims * max(self.bits, self.projection or 1) > MOST_MATRIX:
            raise FdeError(
                f"{self.repetitions} repetitions of matrices for {dims} dims have more than {MOST_MATRIX} "
                "numbers: lower repetitions"
            )
        numbers = self._check_size(self.projection or dims)
        return self.final or numbers

    def queries(self, rows: Rows, *, numbers: int | None = None, threads: int = 0) -> np.ndarray:
        """The FDEs of n queries, [n, F] float32: the sums of the rows in each bucket; zeros without rows.

        rows:     .rows [T, D] float32, finite, and .starts [n+1] int64.
        numbers:  the first so many of the F only.
        Raises FdeError, ShapeError.
        """
        return self._encode(rows, False, threads)[:, :numbers]

    def documents(self, rows: Rows, *, threads: int = 0) -> np.ndarray:
        """The FDEs of n documents, [n, F] float32: the means of the rows in each bucket; zeros without rows.

        rows:  .rows [T, D] float32, finite, and .starts [n+1] int64. Raises FdeError, ShapeError.
        """
        return self._encode(rows, True, threads)

    def spec(self) -> dict[str, Any]:
        """The parameters, as JSON: two MUVERAs of one spec are the same."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.compare}

    def tensors(self, dims: int) -> dict[str, np.ndarray]:
        """The matrices for rows of D dims, by name."""
        self.size(dims)
        matrices = self.matrices or draw(self, dims)
        names = (f.name for f in fields(matrices))
        return {name: array for name in names if (array := getattr(matrices, name)) is not None}

    @classmethod
    def restore(cls, spec: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> Muvera:
        """Make a MUVERA from what `spec()` and `tensors(dims)` returned. Raises FdeError."""
        try:
            return cls(**spec, matrices=Matrices(**tensors), calibration=None)
        except TypeError as error:
            raise FdeError(f"no MUVERA of this femtosearch: {error}; upgrade it") from None

    @property
    def order(self) -> np.ndarray:
        """[2^bits] int32: where the bucket of a code lies in the vector.

        txtai counts the buckets by Gray code, with plane 0 as the highest bit.
        """
        codes = np.arange(1 << self.bits, dtype=np.int32)
        if self.variant != "txtai":
            return codes
        order = np.zeros_like(codes)
        for bit in range(self.bits):
            order = (order << 1) + ((codes >> bit & 1) ^ (order & 1))
        return order

    @property
    def fill_kind(self) -> int:
        """How the kernel fills a document's empty bucket: NO_FILL, MEAN_FILL or FIRST_FILL."""
        if not self.fill:
            return NO_FILL
        return FIRST_FILL if self.variant == "fastembed" else MEAN_FILL

    @property
    def scale(self) -> float:
        """The factor of every number: 1/√R makes the inner product of two FDEs as large as their MaxSim."""
        return 1 / math.sqrt(self.repetitions) if self.variant == "paper" else 1.0

    @cached_property
    def _encoders(self) -> dict[int, _core.Muvera]:
        return {}

    def _encode(self, rows: Rows, documents: bool, threads: int) -> np.ndarray:
        if not isinstance(rows.rows, np.ndarray) or rows.rows.ndim != 2:
            raise ShapeError(f"rows: expected float32 [T, D], found {list(np.shape(rows.rows))}")
        dims = rows.rows.shape[1]
        if dims not in self._encoders:
            self.size(dims)
            self._encoders[dims] = _native(self, self.matrices or draw(self, dims))
        array, starts = (np.require(a, requirements=["C", "A"]) for a in (rows.rows, rows.starts))
        return self._encoders[dims].encode(array, starts, documents, threads)

    def _check_size(self, width: int) -> int:
        """The size before the count-sketch, R · 2^bits · width. Raises FdeError where it is too large."""
        numbers = self.repetitions * width << self.bits
        problem = (
            f"{self.repetitions} repetitions of 2^{self.bits} buckets of {width} make {numbers:,} numbers"
        )
        if numbers > MOST_NUMBERS:
            raise FdeError(f"{problem}: expected at most {MOST_NUMBERS:,}: lower one of them")
        if self.final is None and numbers > MOST_DIMS:
            raise FdeError(f"{problem}: expected at most {MOST_DIMS:,}: lower one of them, or give final")
        if self.final is not None and self.final > numbers and self.projection is not None:
            raise FdeError(f"final: {problem}, fewer than {self.final}: leave final out")
        return numbers

    def _check_matrices(self, matrices: Matrices) -> None:
        dims = matrices.dims if np.ndim(matrices.planes) == 3 else 0
        width = self.projection or dims
        numbers = None if self.final is None else (self.repetitions * width << self.bits,)
        plain = self.projection is None or (width == dims and self.variant != "txtai")
        expected = {
            "planes": ((self.repetitions, dims, self.bits), np.float32),
            "projection": (None if plain else (self.repetitions, dims, width), np.float32),
            "places": (numbers, np.int32),
            "signs": (numbers, np.float32),
        }
        for name, (shape, dtype) in expected.items():
            array = getattr(matrices, name)
            if shape is None and array is None:
                continue
            if shape is None or array is None or array.shape != shape or array.dtype != dtype:
                raise FdeError(f"{name}: expected shape {shape}, found {np.shape(array)}: the FDE is damaged")
            if not np.isfinite(array).all():
                raise FdeError(f"{name}: expected finite numbers: the FDE is damaged")
        if matrices.places is not None and not 0 <= matrices.places.min() <= matrices.places.max() < (
            self.final or 0
        ):
            raise FdeError(f"places: expected 0 to {self.final} without the last: the FDE is damaged")
        self.size(dims)


def draw(muvera: Muvera, dims: int) -> Matrices:
    """The random matrices for rows of D dims, from the seed; docs/fde.md has the order of the draws."""
    return {"paper": _draw_paper, "txtai": _draw_txtai, "fastembed": _draw_fastembed}[muvera.variant](
        muvera, dims
    )


def _draw_paper(m: Muvera, dims: int) -> Matrices:
    rng, width = np.random.Generator(np.random.PCG64(m.seed)), m.projection or dims
    planes = rng.standard_normal((m.repetitions, dims, m.bits))
    projection = None
    if width < dims:
        projection = rng.choice([-1.0, 1.0], (m.repetitions, dims, width)) / math.sqrt(width)
    if m.final is None:
        return _matrices(planes, projection)
    numbers = m.repetitions * width << m.bits
    places = rng.integers(0, m.final, numbers).astype(np.int32)
    return _matrices(planes, projection, places, rng.choice([-1.0, 1.0], numbers))


def _draw_txtai(m: Muvera, dims: int) -> Matrices:
    """The same generator twice for each repetition; each dim goes, with a sign, to one place of the p."""
    planes, projections = [], []
    for seed in range(m.seed, m.seed + m.repetitions):
        planes.append(np.random.Generator(np.random.PCG64(seed)).normal(size=(dims, m.bits)))
        rng, matrix = np.random.Generator(np.random.PCG64(seed)), np.zeros((dims, m.projection or dims))
        places = rng.integers(0, matrix.shape[1], size=dims)
        matrix[np.arange(dims), places] = rng.choice([-1.0, 1.0], size=dims)
        projections.append(matrix)
    return _matrices(np.array(planes), None if m.projection is None else np.array(projections))


def _draw_fastembed(m: Muvera, dims: int) -> Matrices:
    rng, width = np.random.Generator(np.random.PCG64(m.seed)), m.projection or dims
    planes = np.array([rng.normal(size=(dims, m.bits)) for _ in range(m.repetitions)])
    signs = rng.choice([-1, 1], size=(m.repetitions, dims, width))
    return _matrices(planes, signs / math.sqrt(width) if width < dims else None)


def _matrices(
    planes: np.ndarray,
    projection: np.ndarray | None,
    places: np.ndarray | None = None,
    signs: np.ndarray | None = None,
) -> Matrices:
    small = [None if a is None else a.astype(np.float32) for a in (planes, projection, signs)]
    assert small[0] is not None
    return Matrices(small[0], small[1], places, small[2])


def _native(m: Muvera, matrices: Matrices) -> _core.Muvera:
    projection = matrices.projection
    return _core.Muvera(
        np.ascontiguousarray(matrices.planes.transpose(2, 0, 1)),
        None if projection is None else np.ascontiguousarray(projection.transpose(0, 2, 1)),
        m.order,
        m.fill_kind,
        m.scale,
        m.final or 0,
        matrices.places,
        matrices.signs,
    )
