"""Statistics of an index: how much it holds."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from femtosearch.errors import StoreError
from femtosearch.frozen import frozen
from femtosearch.index.snapshot import Snapshot
from femtosearch.index.snapshots import Snapshots
from femtosearch.index.sources import Source
from femtosearch.index.store import Store


@frozen
class Stats:
    """How much an index holds.

    passages, rows:  only the living ones.
    dead_passages:   passages of deleted and replaced documents that are still in segments.
    bytes:           of the whole folder; 0 for an index in memory.
    fde:             its kind, dims and parameters, and on how many passages it was calibrated; None without.
    words:           whether there is the table of words; plain_words: whether it is in plain letters.
    tokens, unknown_tokens:  how many tokens were encoded, and how many of them are unknown to the model; None
                     for an index that an older femtosearch made.
    row_bits:        how many bits a number of the rows has, 8 or 4.
    """

    documents: int
    passages: int
    rows: int
    dead_passages: int
    segments: int
    bytes: int
    model: str
    fingerprint: str
    dims: int
    fde: dict[str, Any] | None
    format_version: int
    words: bool = False
    tokens: int | None = None
    unknown_tokens: int | None = None
    row_bits: int = 8
    plain_words: bool = False

    @property
    def unknown_share(self) -> float | None:
        """The share of the tokens that the model does not know; None where they were not counted."""
        return None if self.tokens is None else (self.unknown_tokens or 0) / max(1, self.tokens)


def describe(folder: str | os.PathLike[str]) -> Stats:
    """The statistics of the index in a folder; its model is not loaded. Raises StoreError."""
    with _opened(folder) as store:
        return Snapshots(store).ask(lambda snapshot: stats(store, snapshot, Path(folder)))


def describe_sources(folder: str | os.PathLike[str]) -> list[Source]:
    """The files and folders whose documents the index in a folder keeps. Raises StoreError."""
    with _opened(folder) as store:
        return store.catalog.sources()


@contextmanager
def _opened(folder: str | os.PathLike[str]) -> Iterator[Store]:
    """The store of a folder. Raises StoreError where there is none."""
    store = Store.open(Path(folder).absolute(), 0.0)
    if store is None:
        raise StoreError(f"{os.fspath(folder)}: there is no index here: make one by adding documents")
    with closing(store):
        yield store


def stats(store: Store, snapshot: Snapshot, folder: Path | None) -> Stats:
    """The statistics of a store. Raises StoreError."""
    views = list(snapshot.views.values())
    passages = sum(view.segment.passages for view in views)
    tokens, unknown = snapshot.state.counts or (None, None)
    return Stats(
        documents=store.catalog.count(),
        passages=snapshot.passages,
        rows=snapshot.rows,
        dead_passages=passages - snapshot.passages,
        segments=len(views),
        bytes=0 if folder is None else _bytes(folder),
        model=store.origin.name,
        fingerprint=store.origin.fingerprint,
        dims=store.origin.dims,
        fde=snapshot.encoding.describe() if snapshot.has_fde else None,
        format_version=snapshot.state.layout,
        words=snapshot.has_words,
        tokens=tokens,
        unknown_tokens=unknown,
        row_bits=snapshot.state.row_bits,
        plain_words=snapshot.state.has_plain_words,
    )


def _bytes(folder: Path) -> int:
    """The bytes of all regular files in a folder; links, and files that vanish meanwhile, count as 0."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            status = path.lstat()
            total += status.st_size if stat.S_ISREG(status.st_mode) else 0
    return total
