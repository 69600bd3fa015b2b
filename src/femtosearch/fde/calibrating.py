"""Calibrating an FDE on collections of rows."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from femtosearch.codes import maxsim_codes, quantise, quantise_rows, row_bits_of
from femtosearch.errors import ShapeError
from femtosearch.fde.calibration import Calibration, Sample, fit, prefixes_of
from femtosearch.fde.scan import inner_products
from femtosearch.fde.stored import Fde
from femtosearch.types import Rows

_PIECE = 4096  # passages whose FDEs are made at a time


def calibrate(fde: Fde, collections: Iterable[tuple[Rows, Rows]], *, threads: int = 0) -> Calibration:
    """How many candidates the FDE needs for a stated recall of MaxSim's best ten: docs/fde.md.

    collections:  (queries, documents) each; rows and FDEs are coded as an index does. More and larger
                  collections, of other texts than the FDE was fitted on, make it truer elsewhere.
    Store it with `calibrated(fde, calibration)`. Raises FdeError where there is too little to measure;
    ShapeError.
    """
    return fit([_sample(fde, queries, documents, threads) for queries, documents in collections])


def _sample(fde: Fde, queries: Rows, documents: Rows, threads: int) -> Sample:
    dims = documents.rows.shape[1]
    if queries.rows.shape[1] != dims:
        raise ShapeError(
            f"queries: expected rows of {dims} dims, as the documents', found {queries.rows.shape}"
        )
    size = fde.size(dims)
    sample = Sample(len(documents), prefixes_of(size))
    codes = quantise_rows(documents.rows, row_bits_of(dims))
    rows, starts, encoded = codes.rows(), documents.starts, []
    for at in range(0, len(documents), _PIECE):
        borders = starts[at : at + _PIECE + 1]
        piece = Rows(rows[borders[0] : borders[-1]], borders - borders[0])
        encoded.append(quantise(fde.documents(piece, threads=threads), fde.code_bits))
    for query, vector in zip(queries, fde.queries(queries, threads=threads), strict=True):
        if len(query):
            products = [
                np.concatenate([inner_products(prefix, codes, threads=threads) for codes in encoded])
                for prefix in (np.where(np.arange(size) < p, vector, 0) for p in sample.prefixes)
            ]
            sample.add(maxsim_codes(query, codes, starts, threads=threads), products)
    return sample
