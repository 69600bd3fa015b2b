"""Calibrate an FDE on collections of rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from femtosearch.codes import Codes, maxsim_parts, quantise, quantise_rows, row_bits_of
from femtosearch.errors import ShapeError
from femtosearch.fde.calibration import Calibration, Sample, fit, prefixes_of
from femtosearch.fde.scan import inner_products
from femtosearch.fde.stored import Fde
from femtosearch.types import Rows

_PIECE = 4096  # passages whose FDEs are made at a time


def calibrate(fde: Fde, collections: Iterable[tuple[Rows, Rows]], *, threads: int = 0) -> Calibration:
    """Measure how many candidates an FDE needs to find a stated share of MaxSim's best ten (docs/fde.md).

    collections:  (queries, documents) each, both Rows; rows and FDEs are coded as in an index. The more and
                  the larger collections there are, of texts that the FDE was not fitted on, the better the
                  calibration holds for others.
    threads:      0 uses every core that this process may use.
    Store it with `calibrated(fde, calibration)`. Raises FdeError where there are too few queries or
    documents, and ShapeError where the dims of queries and documents differ.
    """
    return fit(
        [samples(fde, [queries], [documents], threads=threads)[0] for queries, documents in collections]
    )


def samples(fde: Fde, kinds: Sequence[Rows], documents: Iterable[Rows], *, threads: int = 0) -> list[Sample]:
    """What one collection shows, for each kind of queries: `calibration.fit` makes a calibration of it.

    documents:  in batches, of which only codes are kept: as many as there are space for in memory.
    Raises FdeError where there are too few documents; ShapeError.
    """
    codes, encoded = list[tuple[Codes, np.ndarray, None]](), list[Codes]()
    for batch in documents:
        coded = quantise_rows(batch.rows, row_bits_of(batch.rows.shape[1]))
        codes.append((coded, batch.starts, None))
        encoded += _encoded(fde, Rows(coded.rows(), batch.starts), threads)
    dims = codes[0][0].dims if codes else 0
    for queries in kinds:
        if queries.rows.shape[1] != dims:
            raise ShapeError(
                f"queries: expected rows of {dims} dims, as the documents', found {queries.rows.shape}"
            )
    prefixes = prefixes_of(fde.size(dims))
    count = sum(len(starts) - 1 for _, starts, _ in codes)
    measured = [Sample(count, prefixes) for _ in kinds]
    for sample, queries in zip(measured, kinds, strict=True):
        for query, vector in zip(queries, fde.queries(queries, threads=threads), strict=True):
            if len(query):
                products = [_products(vector, prefix, encoded, threads) for prefix in prefixes]
                sample.add(maxsim_parts(query, codes, threads=threads), products)
    return measured


def _encoded(fde: Fde, rows: Rows, threads: int) -> Iterator[Codes]:
    """The FDEs of documents, coded as an index does."""
    for at in range(0, len(rows), _PIECE):
        borders = rows.starts[at : at + _PIECE + 1]
        piece = Rows(rows.rows[borders[0] : borders[-1]], borders - borders[0])
        yield quantise(fde.documents(piece, threads=threads), fde.code_bits)


def _products(vector: np.ndarray, prefix: int, encoded: list[Codes], threads: int) -> np.ndarray:
    """The inner products of the first numbers of a query's FDE with those of all documents."""
    first = np.where(np.arange(len(vector)) < prefix, vector, 0)
    return np.concatenate([inner_products(first, codes, threads=threads) for codes in encoded])
