"""The documents of an index without a search: `Index` inherits how they are read, counted, changed,
deleted.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, overload

from femtosearch.errors import DocumentError, QueryError
from femtosearch.index.request import check_limit, check_page
from femtosearch.index.store import Store
from femtosearch.types import Document, Page

if TYPE_CHECKING:
    from femtosearch.index.where import Filter

_PAGE = 256  # documents that iteration reads at a time
_MOST_FACETS = 1_000_000

Where: TypeAlias = Mapping[str, Any] | str


class Contents(ABC):
    """The documents that an index has. `Index` is what a user makes."""

    @abstractmethod
    def _ready(self) -> Store: ...

    @overload
    def get(self, document_id: str) -> Document | None: ...
    @overload
    def get(self, document_id: list[str] | tuple[str, ...]) -> list[Document | None]: ...
    def get(self, document_id: str | Iterable[str]) -> Document | list[Document | None] | None:
        """The document with that id, or None; for several ids a list in their order, as of one moment.

        Raises DocumentError, StoreError.
        """
        from femtosearch.index.documents import is_id, wanted_ids

        store = self._ready()
        if isinstance(document_id, str):
            return store.catalog.get(document_id) if is_id(document_id) else None
        ids = wanted_ids(document_id)
        documents = store.catalog.get_all(list(dict.fromkeys(filter(is_id, ids))))
        return [documents.get(name) for name in ids]

    def delete(self, ids: str | Iterable[str] | None = None, *, where: Where | None = None) -> int:
        """Delete documents by one id or many, or all that pass a filter. Returns how many were deleted.

        With both, the documents with these ids that pass are deleted. Raises DocumentError, QueryError,
        LockedError, StoreError.
        """
        from femtosearch.index.documents import checked_ids
        from femtosearch.index.writer import writing

        store = self._ready()
        if ids is None and where is None:
            raise DocumentError("delete: expected ids or where, found neither")
        chosen, filter = None if ids is None else checked_ids(ids), _restricting(where)
        with writing(store) as commit:
            if filter is not None:
                passing = commit.transaction.ids(filter)
                named = None if chosen is None else set(chosen)
                chosen = passing if named is None else [name for name in passing if name in named]
            return sum(commit.transaction.remove(name) for name in chosen or ())

    def update(self, ids: str | Iterable[str], metadata: Mapping[str, Any], *, replace: bool = False) -> int:
        """Change the metadata of documents, by one id or many. Nothing is encoded.

        metadata:  the keys to set; other keys stay as they are.
        replace:   whether all other keys are removed.
        Returns how many documents there are with these ids; unknown ids are skipped. Raises DocumentError,
        LockedError, StoreError.
        """
        import json

        from femtosearch.index.documents import check_metadata, checked_ids
        from femtosearch.index.rewrite import copy_documents
        from femtosearch.index.writer import writing

        store = self._ready()
        checked = checked_ids(ids)
        changes = json.loads(check_metadata(metadata, "update"))
        with writing(store) as commit:

            def change(text: str) -> str:
                return check_metadata(changes if replace else {**json.loads(text), **changes}, "update")

            return copy_documents(commit, checked, change)

    def count(self, where: Where | None = None) -> int:
        """Count all documents, or those that pass a filter. Raises QueryError, StoreError."""
        from femtosearch.index import filtering
        from femtosearch.index.where import read_filter

        return filtering.count(self._ready().catalog, read_filter(where))

    def documents(self, where: Where | None = None) -> Iterator[Document]:
        """Iterate over the documents that pass a filter, or all, in the order in which they were added.

        They are read 256 at a time, each time as of one moment, so memory holds few, and the index may be
        changed meanwhile: a document that is replaced before its turn is given once, with its new content,
        and one that is added is not given. `export` and `snapshot` see one moment throughout. Raises
        QueryError, StoreError.
        """
        from femtosearch.index import filtering
        from femtosearch.index.where import read_filter

        catalog, filter = self._ready().catalog, read_filter(where)
        yield from map(catalog.document, filtering.rows_of_all(catalog, filter, _PAGE))

    def page(self, after: int = -1, limit: int = _PAGE, *, where: Where | None = None) -> Page:
        """A page of at most `limit` documents, in the order in which they were added.

        after:  -1 for the first page; for each further one the `after` of the page before.
        where:  only documents that pass. Raises DocumentError, QueryError, StoreError.
        """
        from femtosearch.index import filtering
        from femtosearch.index.where import read_filter

        catalog, filter = self._ready().catalog, read_filter(where)
        after, limit = check_page(after, limit)
        rows = next(filtering.pages(catalog, filter, limit, after), [])
        last: Any = rows[-1][0] if len(rows) == limit else None
        return Page([catalog.document(row) for row in rows], last)

    def facets(
        self, field: str, *, where: Where | None = None, limit: int | None = None
    ) -> dict[str | int | float | bool | None, int]:
        """Count how many documents have each value of a field: value -> count, the commonest value first.

        field:  a key of the metadata, or keys with dots between. Each element of a list counts as a value.
        where:  count only documents that pass.
        limit:  how many values to give at most; None for all.
        Raises QueryError, StoreError.
        """
        from femtosearch.index import filtering
        from femtosearch.index.where import read_filter
        from femtosearch.index.where.tree import paths_of

        if not isinstance(field, str) or not field:
            raise QueryError(f"facets: expected the name of a field, found {field!r}")
        most = min(check_limit(limit) or _MOST_FACETS, _MOST_FACETS)
        return filtering.facets(self._ready().catalog, paths_of(field), read_filter(where), most)

    def __len__(self) -> int:
        return self._ready().catalog.count()

    def __iter__(self) -> Iterator[Document]:
        """All documents, in the order in which they were added; memory holds a few at a time."""
        return self.documents()

    def __contains__(self, document_id: object) -> bool:
        from femtosearch.index.documents import is_id

        return is_id(document_id) and bool(self._ready().catalog.keys([str(document_id)]))


def _restricting(where: Where | None) -> Filter | None:
    """Read a filter. Raises QueryError for an empty one, which all documents would pass."""
    from femtosearch.index.where import read_filter

    filter = read_filter(where)
    if where is not None and filter is None:
        raise QueryError(
            "where: expected a filter, found an empty one, which every document passes: to delete all, name "
            "their ids"
        )
    return filter
