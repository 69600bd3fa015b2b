"""What everything that is searched has: an index here, one of a server, one of a cluster, a collection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, Self, overload, runtime_checkable

from femtosearch.index.context import Context
from femtosearch.types import Document, Hit


class Hits(list[Hit]):
    """Hits, and the names of the shards of a cluster that did not answer, which may have better ones."""

    missing: tuple[str, ...] = ()


@runtime_checkable
class Searches(Protocol):
    """Documents that are searched, wherever they are. Methods are those of `Index`, and raise what its do.

    A class that derives from it is given the length, iteration, `in` and `with` by its other methods.
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
        """Let go of files and connections."""

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
