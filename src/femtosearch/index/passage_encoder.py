"""The model of an index: the protocol that it fulfils, and how it is loaded when the first text is
encoded.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from femtosearch.errors import FdeError, FdeMismatchError, ModelMismatchError, StoreError
from femtosearch.index.schema import Origin
from femtosearch.model.model import Model, built_in
from femtosearch.types import Passages, Rows

if TYPE_CHECKING:
    from femtosearch.fde import Fde

AUTO = "auto"


class PassageEncoder(Protocol):
    """The protocol of a model for an index: it makes rows of `dims` numbers, and has a name and a
    fingerprint, by which an index recognises it.

    It may also have an attribute `fde`: the Fde for its rows, or None. If `encode_passages` takes `threads`,
    `Index.add(threads=)` passes it on.
    """

    @property
    def name(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def dims(self) -> int: ...
    def encode_passages(self, texts: list[str]) -> Passages: ...
    def encode_queries(self, texts: list[str]) -> Rows: ...


class ModelOfIndex:
    """The model of an index, which is loaded when it is first needed.

    model:  a loaded model, or the name or folder of one; None is the built-in model with the name that the
            index was made with, and for a new index the default model.
    """

    def __init__(self, model: PassageEncoder | str | os.PathLike[str] | None) -> None:
        self._loading = threading.RLock()
        self._source = model if model is None or isinstance(model, (str, os.PathLike)) else None
        self._model = None if model is None or isinstance(model, (str, os.PathLike)) else model
        self.is_given = model is not None

    def for_new_index(self) -> PassageEncoder:
        """The model for a new index."""
        return self._load(self._source)

    def of(self, origin: Origin, place: str) -> PassageEncoder:
        """The model, checked to be the one that the index was made with. Raises ModelMismatchError."""
        if self._model is None and self._source is None and origin.name not in built_in():
            raise ModelMismatchError(
                f"{place}: made with the model {_in_words(origin)}, which is not built in: open it with "
                "Index(folder, model=...), on the command line with --model"
            )
        source = origin.name if self._source is None else self._source
        model = self._load(source)
        if self._source is None and not self.is_given and model.fingerprint != origin.fingerprint:
            raise ModelMismatchError(
                f"{place}: made with the model {_in_words(origin)} of another femtosearch; this one has "
                f"{_in_words(origin_of(model))}: move the documents, which are encoded anew: femtosearch "
                "export FOLDER documents.jsonl, then femtosearch import NEW documents.jsonl; or index the "
                "files again in another folder"
            )
        if (model.fingerprint, model.dims) != (origin.fingerprint, origin.dims):
            raise ModelMismatchError(
                f"{place}: made with the model {_in_words(origin)}, opened with "
                f"{_in_words(origin_of(model))}: open it with its own model, or index the documents again in "
                "another folder"
            )
        return model

    def _load(self, source: str | os.PathLike[str] | None) -> PassageEncoder:
        with self._loading:
            if self._model is None:
                self._model = Model.load(
                    source if source is None or isinstance(source, str) else Path(source)
                )
            return self._model


def origin_of(model: PassageEncoder) -> Origin:
    """The facts of a model that an index stores."""
    return Origin(model.name, model.fingerprint, model.dims)


def fitting_fde(fde: Fde | str | None, origin: Origin, model: PassageEncoder | None) -> Fde | None:
    """An FDE, by name or as an object, checked to fit the rows of a model.

    origin:  of the index; model: the model, whose own FDE "auto" is; None if `fde` is not "auto".
    Raises FdeError, FdeMismatchError, StoreError.
    """
    from femtosearch.fde import preset

    chosen: Fde | None = fde if not isinstance(fde, str) else None
    if isinstance(fde, str):
        chosen = getattr(model, "fde", None) if fde == AUTO else preset(fde)
    if chosen is not None:
        if not hasattr(chosen, "spec"):
            raise FdeError(f"fde: expected an Fde, the name of one or None, found {type(chosen).__name__}")
        if chosen.model not in (None, origin.fingerprint):
            raise FdeMismatchError(
                f"the FDE was made for the model of fingerprint {chosen.model[:12]}, the index has "
                f"{origin.name!r} ({origin.fingerprint[:12]}): use an FDE of that model"
            )
        chosen.size(origin.dims)
    return chosen


def check_same_fde(place: str, stored: Fde | None, expected: Fde | None) -> None:
    """Raise FdeMismatchError unless the FDE that is stored is the expected one, or both are none."""
    if _identity(stored) != _identity(expected):
        raise FdeMismatchError(
            f"{place}: expected the FDE {_identity(expected)}, found {_identity(stored)}: open it without "
            "fde to use what it has, or replace it with set_fde (femtosearch compact FOLDER --fde NAME)"
        )


def check_encoder(model: object) -> None:
    """Raise StoreError for an object without the attributes of a model."""
    needed = ("name", "fingerprint", "dims", "encode_passages", "encode_queries")
    missing = [name for name in needed if not hasattr(model, name)]
    if missing:
        raise StoreError(
            f"model: expected a Model, or the name or folder of one, found {type(model).__name__} without "
            f"{missing[0]}"
        )


def _identity(fde: Fde | None) -> str:
    """An FDE in words that differ for every two FDEs."""
    return "none" if fde is None else f"{fde.kind} {fde.spec()}"


def _in_words(origin: Origin) -> str:
    return f"{origin.name!r} ({origin.dims} dims, fingerprint {origin.fingerprint[:12]})"
