"""Indexes of collections that were evaluated, kept: a second evaluation, or mode, encodes nothing."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from femtosearch.errors import FemtosearchError
from femtosearch.evaluation.rankings import Say, Subject
from femtosearch.fde import Fde, preset
from femtosearch.index.index import Index
from femtosearch.model.model import Model

CACHE = "FEMTOSEARCH_CACHE"  # the folder, if it is said
COMMIT = 10_000  # documents


def cache_folder() -> Path:
    """$FEMTOSEARCH_CACHE, else femtosearch in $XDG_CACHE_HOME or ~/.cache."""
    if said := os.environ.get(CACHE):
        return Path(said)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "femtosearch"


def open_index(subject: Subject, model: Model, folder: Path, say: Say) -> tuple[Index, float | None]:
    """The index of these documents by this model, with the model's FDE or else MUVERA's, made if it is not
    there; and the seconds that it took to make, None if it was there.

    The name of its folder is a digest of all that, so that what is there is right; one that is damaged, or
    of another version's format, is made anew.
    """
    fde = _fde(model)
    place = folder / "evaluate" / _digest(subject, model, fde)
    if place.is_dir():
        try:
            return Index(place, model=model), None
        except FemtosearchError:
            shutil.rmtree(place)
    part = place.with_name(f"{place.name}.{os.getpid()}")
    shutil.rmtree(part, ignore_errors=True)
    part.parent.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    try:
        _fill(part, subject, model, fde, say)
        took = time.perf_counter() - start
        if not place.is_dir():  # another process may have been faster
            part.rename(place)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Index(place, model=model), took


def _fde(model: Model) -> Fde:
    """The model's own, else MUVERA's preset, whose projection rows of few dims do without."""
    if model.fde is not None:
        return model.fde
    muvera = preset("muvera")
    return muvera if model.dims >= (muvera.projection or 0) else replace(muvera, projection=None)


def _fill(folder: Path, subject: Subject, model: Model, fde: Fde, say: Say) -> None:
    count = len(subject.documents)
    with Index(folder, model=model, fde=fde) as index:
        for begin in range(0, count, COMMIT):
            some = subject.documents[begin : begin + COMMIT]
            index.add(some, progress=partial(_tell, say, begin, count))


def _tell(say: Say, begin: int, count: int, done: int) -> None:
    say("encode", begin + done, count)


def _digest(subject: Subject, model: Model, fde: Fde) -> str:
    """Of the model, its FDE and the documents."""
    digest = hashlib.blake2b(digest_size=16)
    for text in (model.fingerprint, fde.kind, repr(fde.spec())):
        digest.update(text.encode() + b"\0")
    for document in subject.documents:
        digest.update(document.id.encode() + b"\0" + document.text.encode() + b"\0")
    return digest.hexdigest()
