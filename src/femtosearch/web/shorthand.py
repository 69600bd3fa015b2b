"""Rows in about ten bytes, which say nearly what they are: a page makes those that matter exact by its model.

A row is a centre and, of every 8 numbers, the entry of a book that is next to what is left: centres[c] +
books[0, codes[0]], books[1, codes[1]], ... end to end. Source: Jegou et al., Product Quantization for Nearest
Neighbor Search, TPAMI 2011 (IVFADC).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CENTRES, ENTRIES, WIDTH = 2048, 256, 8
LEAST_ROWS = 8 * CENTRES  # of fewer the books would be larger than what they spare
_SAMPLE = 16384  # rows that books are made of
_ROUNDS = 6
_CHUNK = 4096  # rows that are compared at a time


@dataclass(frozen=True, slots=True, eq=False)
class Shorthand:
    """T rows of D dims.

    centres:  [K, D] float16.
    books:    [M, 256, 8] float16, M = ceil(D / 8).
    chosen:   [T] uint16: the centre of each row.
    codes:    [T, M] uint8.
    """

    centres: np.ndarray
    books: np.ndarray
    chosen: np.ndarray
    codes: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray) -> Shorthand:
        """Those of rows [T, D] float32, T >= 2,048: the same for the same rows on one machine."""
        rng, dims = np.random.default_rng(0), rows.shape[1]
        sample = (
            rows if len(rows) <= _SAMPLE else rows[np.sort(rng.choice(len(rows), _SAMPLE, replace=False))]
        )
        centres = _means(sample, CENTRES, rng)
        books = [
            _means(numbers, ENTRIES, rng)
            for numbers in _parts(sample - centres[_nearest(sample, centres)], dims)
        ]
        chosen = _nearest(rows, centres)
        codes = [
            _nearest(numbers, book)
            for numbers, book in zip(_parts(rows - centres[chosen], dims), books, strict=True)
        ]
        return cls(
            centres.astype(np.float16),
            np.stack(books).astype(np.float16),
            chosen.astype(np.uint16),
            np.stack(codes, axis=1).astype(np.uint8),
        )

    def rows(self) -> np.ndarray:
        """The rows that they stand for: [T, D] float32."""
        eights = [book[codes] for book, codes in zip(self.books, self.codes.T, strict=True)]
        differences = np.concatenate(eights, axis=1).astype(np.float32)
        centres = self.centres[self.chosen].astype(np.float32)
        rows: np.ndarray = centres + differences[:, : centres.shape[1]]
        return rows


def _parts(rows: np.ndarray, dims: int) -> list[np.ndarray]:
    """Of each 8 numbers [T, 8], the last ones with zeros."""
    padded = np.pad(rows, ((0, 0), (0, -dims % WIDTH)))
    return [padded[:, at : at + WIDTH] for at in range(0, padded.shape[1], WIDTH)]


def _means(rows: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """The centres of clusters [count, W], by Lloyd's method from rows drawn at random."""
    centres = rows[rng.choice(len(rows), count, replace=False)]
    for _ in range(_ROUNDS):
        labels = _nearest(rows, centres)
        order = np.argsort(labels, kind="stable")
        present, first = np.unique(labels[order], return_index=True)
        sums = np.add.reduceat(rows[order], first, axis=0)
        centres[present] = sums / np.diff(first, append=len(rows))[:, None]
    return centres


def _nearest(rows: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The number of the nearest centre of each row: [T] int64."""
    lengths = np.square(centres).sum(axis=1)
    numbers = np.empty(len(rows), np.int64)
    for at in range(0, len(rows), _CHUNK):
        chunk = slice(at, at + _CHUNK)
        numbers[chunk] = (lengths - 2 * (rows[chunk] @ centres.T)).argmin(axis=1)
    return numbers
