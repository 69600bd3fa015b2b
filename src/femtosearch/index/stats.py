"""What an index holds, in numbers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from femtosearch.index.store import Store
from femtosearch.index.transaction import VERSION


@dataclass(frozen=True, slots=True)
class Stats:
    """What an index holds.

    `passages` and `rows` count the living, `bytes` the whole folder (0 in memory). `fde` says its kind, its
    dims, its parameters and on how many passages it was calibrated.
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


def describe(folder: str | os.PathLike[str]) -> Stats:
    """What the index in a folder holds, without its model. Raises StoreError."""
    store = Store.open(Path(folder), None, 0.0)
    try:
        return stats(store, Path(folder))
    finally:
        store.close()


def stats(store: Store, folder: Path | None) -> Stats:
    """What a store holds. Raises StoreError."""
    snapshot = store.snapshot()
    encoding = snapshot.encoding
    views = list(snapshot.views.values())
    every = sum(view.segment.passages for view in views)
    return Stats(
        documents=store.catalog.count(),
        passages=snapshot.passages,
        rows=snapshot.rows,
        dead_passages=every - snapshot.passages,
        segments=len(views),
        bytes=0 if folder is None else _bytes(folder),
        model=store.origin.name,
        fingerprint=store.origin.fingerprint,
        dims=store.origin.dims,
        fde=encoding.described() if encoding else None,
        format_version=1 if encoding is None else VERSION,
    )


def _bytes(folder: Path) -> int:
    """Of all files in a folder; one that goes while we look counts as nothing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:
            continue
    return total
