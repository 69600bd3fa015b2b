"""A cache of the indexes of evaluated collections: a second evaluation, or mode, encodes nothing."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from femtosearch.codes import row_bits_of
from femtosearch.errors import FemtosearchError
from femtosearch.evaluation.rankings import Progress, ScoredCollection
from femtosearch.fde import Fde, preset
from femtosearch.index.index import Index
from femtosearch.model.model import Model

COMMIT = 10_000  # documents


def open_index(
    scored: ScoredCollection, model: Model, folder: Path, progress: Progress
) -> tuple[Index, float | None]:
    """Open the index of these documents by this model, with the model's FDE or else MUVERA's. Returns it with
    the seconds that it took to make, None if it was in the cache.

    The name of its folder is a digest of the model, the FDE and the documents, so that an index in the cache
    is the right one. One that is damaged, or of another version's format, is made anew.
    """
    fde = _fde(model)
    place = folder / "evaluate" / _digest(scored, model, fde)
    if place.is_dir():
        try:
            return Index(place, model=model), None
        except FemtosearchError:
            shutil.rmtree(place)
    temporary = place.with_name(f"{place.name}.{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.parent.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    try:
        _fill(temporary, scored, model, fde, progress)
        seconds = time.perf_counter() - start
        if not place.is_dir():  # another process may have been faster
            temporary.rename(place)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Index(place, model=model), seconds


def _fde(model: Model) -> Fde:
    """The model's own FDE, else MUVERA's preset; rows of few dims are not projected."""
    if model.fde is not None:
        return model.fde
    muvera = preset("muvera")
    return muvera if model.dims >= (muvera.projection or 0) else replace(muvera, projection=None)


def _fill(folder: Path, scored: ScoredCollection, model: Model, fde: Fde, progress: Progress) -> None:
    count = len(scored.documents)
    with Index(folder, model=model, fde=fde) as index:
        for begin in range(0, count, COMMIT):
            batch = scored.documents[begin : begin + COMMIT]
            index.add(batch, progress=partial(_advance, progress, begin, count))


def _advance(progress: Progress, begin: int, count: int, done: int) -> None:
    progress("encode", begin + done, count)


def _digest(scored: ScoredCollection, model: Model, fde: Fde) -> str:
    """A digest of the model, its precision, its FDE, the bits of rows and the documents."""
    digest = hashlib.blake2b(digest_size=16)
    bits = str(row_bits_of(model.dims))
    for text in (model.fingerprint, model.precision, fde.kind, repr(fde.spec()), bits):
        digest.update(text.encode() + b"\0")
    for document in scored.documents:
        digest.update(document.id.encode() + b"\0" + document.text.encode() + b"\0")
    return digest.hexdigest()
