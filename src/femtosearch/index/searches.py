"""The protocol of everything that can be searched: a local index, a server's, a cluster's, a collection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, Self, overload, runtime_checkable

from femtosearch.index.context import Context
from femtosearch.types import Document, Hit


class Hits(list[Hit]):
    """Hits of a cluster. missing: the names of shards that did not answer, and may have better hits."""

    missing: tuple[str, ...] = ()


@runtime_checkable
class Searches(Protocol):
    """Documents that can be searched, wherever they are. Methods are those of `Index`, and raise what its do.

    A class that derives from it inherits `len`, iteration, `in` and `with`, which use its other methods.
    """

    @overload
    def search(self, query: str, *, k: int = ..., mode: str = ..., **options: Any) -> list[Hit]: ...
    @overload
    def search(
        self, query: list[str], *, k: int = ..., mode: str = ..., **options: Any
    ) -> list[list[Hit]]: ...
    def search(
        self, query: str | list[str], *, k: int = 10, mode: str = "auto", **options: Any
    ) -> list[Hit] | list[list[Hit]]:
        """The k best documents, best first; a list of queries gives a list of such lists."""

    def context(self, question: str, *, max_tokens: int = ..., k: int = ..., where: Any = ...) -> Context:
        """The best passages for a question."""

    @overload
    def get(self, document_id: str) -> Document | None: ...
    @overload
    def get(self, document_id: list[str] | tuple[str, ...]) -> list[Document | None]: ...
    def get(self, document_id: Any) -> Any:
        """The document with that id, or None; for several ids a list."""

    def count(self, where: Any = ...) -> int:
        """How many documents there are, or pass a filter."""

    def documents(self, where: Any = ...) -> Iterator[Document]:
        """The documents that pass a filter."""

    def close(self) -> None:
        """Close files and connections."""

    def __len__(self) -> int:
        return self.count()

    def __iter__(self) -> Iterator[Document]:
        return self.documents()

    def __contains__(self, document_id: object) -> bool:
        return isinstance(document_id, str) and self.get(document_id) is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
