"""The index of a cluster, searched as one index is."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, overload

from femtosearch.errors import QueryError, StoreError, check_whole, is_number
from femtosearch.index.contents import Where
from femtosearch.index.context import Context, make_context
from femtosearch.index.documents import wanted_ids
from femtosearch.index.explain import token_rows_of
from femtosearch.index.filtering import commonest
from femtosearch.index.passage_encoder import ModelOfIndex, PassageEncoder
from femtosearch.index.queries import coverage_of, encoded, warn_of_unknown
from femtosearch.index.request import CONTEXT_HITS, check_limit, check_page, check_request
from femtosearch.index.rerank import passages_beside
from femtosearch.index.searches import Searches
from femtosearch.index.stats import Stats
from femtosearch.index.where import read_filter
from femtosearch.server.cluster.build import read_manifest
from femtosearch.server.cluster.engine import Engine, engine_at
from femtosearch.server.cluster.manifest import shard_of
from femtosearch.server.cluster.router import Patience
from femtosearch.server.cluster.search import OPTIONS, Search, SearchOptions
from femtosearch.server.cluster.storage import storage_at
from femtosearch.server.cluster.version import Version
from femtosearch.server.cluster.watch import Watch
from femtosearch.types import Coverage, Document, Hit, Page

_SHARD_BITS = 44  # of the place of a document, which says where in its shard it is
_PAGE = 256


class Cluster(Searches):
    """An index of several shards, which Ray's nodes hold, with the methods of `Index` that read.

    place:     what `cluster build` was told: a folder that all nodes see, or a URL.
    replicas:  how many copies of each shard are held, on different nodes where there are enough.
    address:   of a Ray cluster; None starts one on this machine; "here" is this process, without Ray.
    model:     what encodes queries; None: the built-in one that the index was made with, by its name.
    partial:   what a search does where no copy of a shard answers: True gives the hits of the others, and
               says in `missing` which shards are; False raises ServerError.
    poll:      seconds between two looks for a new build, which then takes the place of the old one as by
               `refresh`; 0 never looks.
    Scores and hits are those of one index of all documents. Safe to use from several threads. Raises
    StoreError, ServerError, MissingExtraError.
    """

    def __init__(
        self,
        place: str | os.PathLike[str],
        *,
        replicas: int = 1,
        address: str | None = None,
        model: PassageEncoder | str | os.PathLike[str] | None = None,
        partial: bool = False,
        poll: float = 0,
        patience: Patience | None = None,
        engine: Engine | None = None,
    ) -> None:
        check_whole(StoreError, "replicas", replicas, 1, 100)
        if not is_number(poll, 0) or poll == math.inf:
            raise StoreError(f"poll: expected a number of seconds, 0 or more, found {poll!r}")
        self._store = storage_at(place)
        self._replicas, self._partial, self._patience = replicas, partial, patience or Patience()
        self._model = ModelOfIndex(model)
        manifest = read_manifest(self._store)
        assert manifest is not None
        self._origin = manifest.origin
        self._owned = engine is None
        self._engine = engine or engine_at(address, place=self._store.place)
        self._refreshing = threading.Lock()
        self._watch: Watch | None = None
        self._version = Version(self._engine, self._store.place, manifest, replicas, self._patience)
        self._load(self._version)
        if poll:
            self._watch = Watch(lambda: self.build if self.refresh() else None, poll)

    @property
    def model(self) -> PassageEncoder:
        """The model. Raises ModelMismatchError if it is not the one of the index."""
        return self._model.of(self._origin, self._store.place)

    @property
    def build(self) -> str:
        """The name of the build that is searched."""
        return self._version.manifest.build

    def refresh(self) -> bool:
        """Serve the build that the manifest names now. Returns whether it is another one.

        It replaces the old one when all its shards are open; running requests are answered by the old one.

        Raises StoreError where it cannot be opened; then the old one stays.
        """
        with self._refreshing:
            manifest = read_manifest(self._store)
            assert manifest is not None
            if manifest == self._version.manifest:
                return False
            if manifest.origin != self._origin:
                raise StoreError(
                    f"{self._store.place}: the new build is of another model: start again to serve it"
                )
            version = Version(self._engine, self._store.place, manifest, self._replicas, self._patience)
            try:
                if missing := version.load(opening=True):
                    raise version.router.missing(missing)
            except BaseException:
                version.retire()
                raise
            former, self._version = self._version, version
            former.retire()
            return True

    @overload
    def search(self, query: str, *, k: int = 10, mode: str = "auto", **options: Any) -> list[Hit]: ...
    @overload
    def search(
        self, query: list[str], *, k: int = 10, mode: str = "auto", **options: Any
    ) -> list[list[Hit]]: ...
    def search(
        self, query: str | list[str], *, k: int = 10, mode: str = "auto", **options: Any
    ) -> list[Hit] | list[list[Hit]]:
        """The k best documents of all shards, as one index of them gives them; see `Index.search`.

        options:  those of `Index.search`; and `partial`, as for the cluster.
        """
        texts = [query] if isinstance(query, str) else query
        checked = self._checked_options(texts, k, mode, options)
        if not checked.request.texts:
            return []
        queries = encoded(self.model, checked.request.texts)
        if checked.request.hybrid != 1:
            warn_of_unknown(queries, self.model.name, stacklevel=3)
        with self._current() as version:
            answers = Search(version, checked).answers(queries)
        return answers[0] if isinstance(query, str) else answers

    def coverage(self, query: str) -> Coverage | None:
        """How much of a query the model knows, and how much is cut off; None if the model cannot tell. Raises
        QueryError.
        """
        return coverage_of(self.model, check_request([query]).texts[0])

    def context(
        self, question: str, *, max_tokens: int = 2000, k: int = CONTEXT_HITS, where: Where | None = None
    ) -> Context:
        """The best passages for a question, for a language model's prompt; see `Index.context`."""
        hits = self.search(question, k=k, where=where)
        return make_context(hits, max_tokens, passages_beside(self.model, question))

    @overload
    def get(self, document_id: str) -> Document | None: ...
    @overload
    def get(self, document_id: list[str] | tuple[str, ...]) -> list[Document | None]: ...
    def get(self, document_id: str | Iterable[str]) -> Document | list[Document | None] | None:
        """The document with that id, or None; for several ids a list, in their order."""
        if isinstance(document_id, str):
            return self.get([document_id])[0]
        ids = wanted_ids(document_id)
        with self._current() as version:
            groups: dict[int, list[str]] = {}
            for name in dict.fromkeys(ids):
                groups.setdefault(shard_of(name, len(version.names)), []).append(name)
            answers = self._all(version, "get", {number: (names,) for number, names in groups.items()})
        documents = {d.id: d for of_shard in answers.values() for d in of_shard if d is not None}
        return [documents.get(name) for name in ids]

    def count(self, where: Where | None = None) -> int:
        """How many documents there are, as the manifest says, or pass a filter."""
        if where is None:
            with self._current() as version:
                return version.manifest.documents
        read_filter(where)
        return sum(self._everywhere("count", where).values())

    def facets(
        self, field: str, *, where: Where | None = None, limit: int | None = None
    ) -> dict[str | int | float | bool | None, int]:
        """How many documents have each value of a field, the commonest value first; see `Index.facets`."""
        limit = check_limit(limit)
        of_shards = self._everywhere("facets", field, where).values()
        return commonest((pair for facets in of_shards for pair in facets.items()), limit)

    def page(self, after: int = -1, limit: int = _PAGE, *, where: Where | None = None) -> Page:
        """At most `limit` documents, shard by shard, in the order in which they were added to each."""
        after, limit = check_page(after, limit, (1 << 62) - 1)
        number, inside = (0, 0) if after < 0 else (after >> _SHARD_BITS, after % (1 << _SHARD_BITS))
        documents: list[Document] = []
        with self._current() as version:
            while number < len(version.names):
                arguments = (inside - 1, limit - len(documents), where)
                page = self._all(version, "page", {number: arguments})[number]
                documents += page.documents
                if page.after is not None:
                    return Page(documents, (number << _SHARD_BITS) + page.after + 1)
                number, inside = number + 1, 0
        return Page(documents, None)

    def documents(self, where: Where | None = None) -> Iterator[Document]:
        """The documents that pass a filter, shard by shard; memory holds a few."""
        after: int | None = -1
        while after is not None:
            page = self.page(after, where=where)
            yield from page.documents
            after = page.after

    def stats(self) -> Stats:
        """What all shards hold."""
        shards: list[Stats] = list(self._everywhere("stats").values())
        names = ("documents", "passages", "rows", "dead_passages", "segments", "bytes")
        sums = {name: sum(getattr(shard, name) for shard in shards) for name in names}
        return replace(shards[0], **sums)

    def close(self) -> None:
        """Release the shards; a second call does nothing."""
        if self._watch is not None:
            self._watch.close()
        self._version.retire()
        if self._owned:
            self._owned = False
            self._engine.close()

    def __repr__(self) -> str:
        return f"<Cluster {self._store.place!r}, {len(self._version.names)} shards>"

    def _checked_options(self, texts: list[str], k: int, mode: str, options: dict[str, Any]) -> SearchOptions:
        """Check the arguments of a search. Raises QueryError."""
        more = dict(options)
        partial, spots, fold = more.pop("partial", None), more.pop("spots", False), more.pop("fold", False)
        token_rows = token_rows_of(self.model) if more.pop("explain", False) else None
        if unknown := set(more) - OPTIONS:
            options_there = ", ".join(sorted(OPTIONS | {"explain", "fold", "partial", "spots"}))
            raise QueryError(f"search: expected {options_there}, found {min(unknown)!r}")
        request = check_request(
            texts, k, mode, more.pop("candidates", None), more.pop("recall", None), **more
        )
        wants_partial = self._partial if partial is None else bool(partial)
        return SearchOptions(request, wants_partial, bool(spots), bool(fold), token_rows)

    def _load(self, version: Version) -> None:
        try:
            missing = version.load(opening=True)
            if missing and not self._partial:
                raise version.router.missing(missing)
        except BaseException:
            self.close()
            raise

    @contextmanager
    def _current(self) -> Iterator[Version]:
        """The version that is served now. Raises StoreError where the cluster is closed."""
        version = self._version
        while not version.enter():
            if version is self._version:
                raise StoreError("the cluster's index is closed: open it again")
            version = self._version
        try:
            yield version
        finally:
            version.leave()

    def _everywhere(self, method: str, *arguments: Any) -> dict[int, Any]:
        with self._current() as version:
            return self._all(version, method, dict.fromkeys(range(len(version.names)), arguments))

    def _all(self, version: Version, method: str, arguments: Mapping[int, tuple[Any, ...]]) -> dict[int, Any]:
        """The answers of all shards, by their numbers. Raises MissingShardsError."""
        answers = version.router.ask(method, arguments)
        if answers.missing:
            raise version.router.missing(answers.missing)
        return answers.by_shard
