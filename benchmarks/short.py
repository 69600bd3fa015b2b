"""How much of MaxSim's best ten an FDE finds, for whole queries and for two to four words of each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.encode import Row
from benchmarks.words import in_few_words
from femtosearch.codes import Codes, maxsim_codes, quantise, quantise_rows, row_bits_of
from femtosearch.errors import FdeError
from femtosearch.evaluation.collection import Collection
from femtosearch.evaluation.rankings import ScoredCollection
from femtosearch.evaluation.rules import rules_named
from femtosearch.evaluation.sources import read_source
from femtosearch.fde import Fde, inner_products, restore_fde
from femtosearch.index.own_queries import COUNT, stretch
from femtosearch.model.model import Model
from femtosearch.types import Rows

BEST, CANDIDATES = 10, 100
PIECE = 2048  # passages whose FDEs are made at a time


def measure(folders: list[Path], source: str | None, file: Path | None) -> tuple[dict[str, Any], list[Row]]:
    """The results, and the rows of a table.

    file:  of an FDE to measure in the place of the model's own.
    """
    model = Model.load(source)
    fde = model.fde
    if file is not None:
        fde = restore_fde(file.read_bytes(), str(file))
    if fde is None:
        raise FdeError(f"the model {model.name!r} brings no FDE: name the file of one with --fde")
    collections = {
        subject.name: _figures(subject, model, fde) for folder in folders for subject in read_source(folder)
    }
    table = [
        (f"{name}, {kind}: {measured}", value, "")
        for name, kinds in collections.items()
        for kind, figures in kinds.items()
        for measured, value in figures.items()
    ]
    return {"model": model.name, "candidates": CANDIDATES, "collections": collections}, table


def _figures(collection: Collection, model: Model, fde: Fde) -> dict[str, dict[str, float]]:
    """Kind of query -> the share of the best ten passages among 100, and among as many as are calibrated."""
    subject = ScoredCollection.of(collection, rules_named("beir"))
    passages = model.encode_passages([document.text for document in subject.documents])
    codes = quantise_rows(passages.rows.rows, row_bits_of(model.dims))
    encoded = list(_encoded(fde, codes, passages.rows.starts))
    kinds = {"queries": subject.queries, "keywords": in_few_words(subject.queries)}
    kinds["stretches"] = _stretches([document.text for document in subject.documents])
    figures = {}
    for kind, queries in kinds.items():
        rows = model.encode_queries(list(queries.values()))
        counts = {"recall at 100": CANDIDATES}
        if fde.calibration is not None:
            counts["recall where .99 is calibrated"] = fde.calibration.count(
                fde.calibration.prefixes[0], 0.99, len(passages)
            )
        shares = [
            _shares(query, vector, codes, passages.rows.starts, encoded, list(counts.values()))
            for query, vector in zip(rows, fde.queries(rows), strict=True)
            if len(query)
        ]
        figures[kind] = dict(zip(counts, map(float, np.mean(shares, axis=0)), strict=True))
    return figures


def _stretches(texts: list[str]) -> dict[str, str]:
    """A stretch of each of 200 documents, as an index measures itself by."""
    random = np.random.default_rng(0)
    chosen = random.permutation(len(texts))[:COUNT]
    return {str(number): stretch(texts[number], random) for number in chosen}


def _encoded(fde: Fde, codes: Codes, starts: np.ndarray) -> Iterator[Codes]:
    """The FDEs of passages, made of their coded rows as an index does."""
    rows = codes.rows()
    for at in range(0, len(starts) - 1, PIECE):
        borders = starts[at : at + PIECE + 1]
        piece = Rows(rows[borders[0] : borders[-1]], borders - borders[0])
        yield quantise(fde.documents(piece), fde.code_bits)


def _shares(
    query: np.ndarray,
    vector: np.ndarray,
    codes: Codes,
    starts: np.ndarray,
    encoded: list[Codes],
    counts: list[int],
) -> list[float]:
    best = np.argsort(-maxsim_codes(query, codes, starts), kind="stable")[:BEST]
    products = np.concatenate([inner_products(vector, part) for part in encoded])
    order = np.argsort(-products, kind="stable")
    return [len(np.intersect1d(order[:count], best)) / len(best) for count in counts]
