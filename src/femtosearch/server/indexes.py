"""The indexes of a server, by name, and the model with which it reranks and encodes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from femtosearch.errors import FemtosearchError, StoreError
from femtosearch.index.index import Index
from femtosearch.index.stats import describe
from femtosearch.index.store import holds_index
from femtosearch.model.model import Model
from femtosearch.server.cluster.manifest import NAME as MANIFEST
from femtosearch.server.cluster.storage import is_url
from femtosearch.server.problems import refusal

if TYPE_CHECKING:
    from femtosearch.server.cluster.cluster import Cluster


class Indexes:
    """Named indexes. A name is that of the folder, or stands before `=` in NAME=FOLDER.

    model:     the model of all indexes, which also reranks; None for each index's own.
    writable:  whether an index is made in a folder that does not exist; else that is an error.
    opened:    indexes that are open already, by name; they are closed with the others.
    open_cluster:  opens an index of `cluster build`, a folder with a manifest or a URL; None refuses it.
    Raises StoreError, ModelMismatchError.
    """

    def __init__(
        self,
        places: Sequence[str],
        *,
        model: Model | None = None,
        writable: bool = False,
        opened: Mapping[str, Index | Cluster] | None = None,
        open_cluster: Callable[[str], Cluster] | None = None,
    ) -> None:
        self._model = model
        self._open_cluster = open_cluster
        self._open: dict[str, Index | Cluster] = dict(opened or {})
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

    def get(self, name: str | None) -> Index | Cluster:
        """The index of that name; None is the only one. Raises Refusal."""
        names = ", ".join(map(repr, self._open))
        if name is None and len(self._open) == 1:
            return next(iter(self._open.values()))
        if not self._open:
            raise refusal(404, "index", "index: this server has none: start it as femtosearch serve INDEX")
        if name is None:
            raise refusal(422, "index", f"index: this server has several, say which of {names}")
        if name not in self._open:
            raise refusal(
                404, "index", f"index: expected one of this server's, {names}, found {name!r}"[:500]
            )
        return self._open[name]

    def get_writable(self, name: str | None) -> Index:
        """The index of that name, to be written to. Raises Refusal, also for a cluster's index."""
        index = self.get(name)
        if not isinstance(index, Index):
            raise refusal(403, "index", "index: it is a cluster's, which changes by a new build alone")
        return index

    @property
    def model(self) -> Model:
        """The model that reranks and encodes: the one given, else the first index's, else the default one."""
        if self._model is None:
            chosen: Any = next(iter(self._open.values())).model if self._open else Model.load()
            self._model = chosen
        return self._model

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
        name, folder = split_name(place)
        name = _name_of(place) if name is None else name
        if name in self._open:
            raise FemtosearchError(
                f"expected indexes of different names, found two called {name!r}: name one, as in "
                f"other={folder}"
            )
        if not name or not name.isprintable():
            raise StoreError(f"{place}: it has no name to be called by: say NAME=FOLDER")
        if is_url(folder) or Path(folder, MANIFEST).is_file():
            if self._open_cluster is None:
                raise StoreError(f"{folder}: this is a cluster's index: femtosearch serve opens it")
            self._open[name] = self._open_cluster(folder)
            return
        if not holds_index(folder) and not writable:
            describe(folder)  # which raises, and says why
        self._open[name] = Index(folder, model=self._model)


def split_name(place: str) -> tuple[str | None, str]:
    """The name and the path of NAME=PATH; no name for what is a path as a whole.

    >>> split_name("notes=/home/me/docs"), split_name("/home/me/a=b")
    (('notes', '/home/me/docs'), (None, '/home/me/a=b'))
    """
    name, separator, path = place.partition("=")
    is_path = not separator or os.path.basename(name) != name or os.path.exists(place)
    return (None, place) if is_path else (name, path)


def _name_of(place: str) -> str:
    """The last name of a folder or a URL."""
    return PurePosixPath(place).name if is_url(place) else Path(place).resolve().name
