"""The indexes that a server has, by name, and the model with which it reranks and encodes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from femtosearch.errors import FemtosearchError, StoreError
from femtosearch.index.index import Index
from femtosearch.index.stats import describe
from femtosearch.model.model import Model
from femtosearch.server.problems import refusal


class Indexes:
    """Named indexes. A name is the folder's own, or what stands before `=` in NAME=FOLDER.

    model:     how the indexes' texts are encoded, None for each index's own; it also reranks.
    writable:  makes a folder that is not there; else it is an error.
    opened:    what is open and has the methods of `Index` that read, by name; closed with the others.
    Raises StoreError, ModelMismatchError.
    """

    def __init__(
        self,
        places: Sequence[str],
        *,
        model: Model | None = None,
        writable: bool = False,
        opened: Mapping[str, Any] | None = None,
    ) -> None:
        self._given = model
        self._open: dict[str, Index] = dict(opened or {})
        try:
            for place in places:
                self._add(place, writable)
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self._open)

    def names(self) -> list[str]:
        """The indexes' names, in the order given."""
        return list(self._open)

    def get(self, name: str | None) -> Index:
        """The index of that name; None is the only one. Raises Refusal."""
        names = ", ".join(map(repr, self._open)) or "none"
        if name is None and len(self._open) == 1:
            return next(iter(self._open.values()))
        if name is None and self._open:
            raise refusal(422, "index", f"index: this server has several, say which of {names}")
        if name is None or name not in self._open:
            raise refusal(
                404, "index", f"index: expected one of this server's, {names}, found {name!r}"[:500]
            )
        return self._open[name]

    @property
    def model(self) -> Model:
        """The model that reranks and encodes: the one given, else the first index's, else the default one."""
        if self._given is None:
            chosen: Any = next(iter(self._open.values())).model if self._open else Model.load()
            self._given = chosen
        return self._given

    def warm(self) -> None:
        """Load models and map files, so that the first request does not wait for that."""
        for index in self._open.values():
            index.search("warm", k=1)
        self.model.encode_queries(["warm"])

    def counts(self) -> dict[str, int]:
        """How many documents each index holds."""
        return {name: len(index) for name, index in self._open.items()}

    def close(self) -> None:
        """Close all indexes."""
        for index in self._open.values():
            index.close()

    def _add(self, place: str, writable: bool) -> None:
        name, separator, folder = place.partition("=")
        if not separator or "/" in name or os.path.exists(place):
            name, folder = Path(place).resolve().name, place
        if name in self._open:
            raise FemtosearchError(f"two indexes are called {name!r}: name one, as in other={folder}")
        if not name or not name.isprintable():
            raise StoreError(f"{place}: it has no name to be called by: say NAME=FOLDER")
        if not Path(folder, "catalog.db").exists() and not writable:
            describe(folder)  # which raises, and says why
        self._open[name] = Index(folder, model=self._given)
