"""The index: documents in, hits out."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, overload

import numpy as np

from femtosearch.catalog import VERSION, Origin, Transaction
from femtosearch.codes import quantise
from femtosearch.documents import Draft, check_id, drafts, is_id
from femtosearch.errors import DocumentError, QueryError, StoreError
from femtosearch.model import Model
from femtosearch.segment import Part, unblocked
from femtosearch.shelf import Volumes
from femtosearch.snapshot import Snapshot, best
from femtosearch.store import Store
from femtosearch.types import Document, Hit, Passages, Rows

MODES = ("auto", "maxsim")
_BATCH_CHARACTERS = 1 << 20  # of the texts that are encoded at once, beyond the first
_ATTEMPTS = 100


class Encodes(Protocol):
    """What an index needs of a model: rows of `dims` numbers, and a name and fingerprint to know it again."""

    @property
    def name(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def dims(self) -> int: ...
    def encode_passages(self, texts: list[str]) -> Passages: ...
    def encode_queries(self, texts: list[str]) -> Rows: ...


@dataclass(frozen=True, slots=True)
class Stats:
    """What an index holds. `passages` and `rows` count the living, `bytes` the whole folder (0 in memory)."""

    documents: int
    passages: int
    rows: int
    dead_passages: int
    segments: int
    bytes: int
    model: str
    fingerprint: str
    dims: int
    format_version: int


class Index:
    """A folder, or the memory of this process, in which documents are found by meaning.

    folder:   made if absent; None for an index in memory.
    model:    what encodes; None for the built-in one. An index is opened with the model it was made with.
    timeout:  seconds to wait while another process or thread writes.

    Safe to use from several threads and processes: one writes at a time, and every search sees the last
    commit, whole; in memory a search waits while another thread writes. Raises StoreError for a folder that
    is not an index, ModelMismatch, CorruptError.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        *,
        model: Encodes | None = None,
        timeout: float = 10.0,
    ) -> None:
        self.model: Encodes = model if model is not None else Model.load()
        self.folder = None if folder is None else Path(folder)
        self._pid = os.getpid()
        self._closed = False
        origin = Origin(self.model.name, self.model.fingerprint, self.model.dims)
        if self.folder is None:
            self._store = Store.in_memory(origin, timeout)
        else:
            self._store = Store.open(self.folder, origin, timeout)

    def add(
        self,
        documents: Iterable[str | Mapping[str, Any] | Document],
        *,
        batch: int = 256,
        progress: Callable[[int], object] | None = None,
    ) -> list[str]:
        """Store documents, each in the place of one with the same id. Their ids, in the order given.

        documents:  texts, mappings {"id", "text", ...metadata}, or Documents; any iterable, read as it comes.
                    Without an id one is made. Of several with one id the last counts.
        batch:      how many are encoded at once; memory grows with it, not with the number of documents.
        progress:   called with the number of documents done, after each batch.

        All of it is stored and survives a crash when this returns, and none of it if this raises.
        Raises DocumentError, LockedError, StoreError.
        """
        store = self._ready()
        if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
            raise DocumentError(f"batch: expected a whole number of 1 or more, found {batch!r}")
        stream: Iterable[Draft] = drafts(documents)
        if self.folder is None:
            stream = list(stream)  # read first, so that the iterable may use this index
        ids: list[str] = []
        with store.writing() as (transaction, volumes):
            for group in _batches(stream, batch):
                ids += self._add_batch(transaction, volumes, group)
                if progress is not None:
                    progress(len(ids))
        return ids

    def delete(self, ids: str | Iterable[str]) -> int:
        """Take out documents, by one id or many; how many there were.

        Raises DocumentError, LockedError, StoreError.
        """
        store = self._ready()
        if not isinstance(ids, (str, Iterable)):
            raise DocumentError(f"ids: expected an id or an iterable of ids, found {type(ids).__name__}")
        wanted = [ids] if isinstance(ids, str) else list(ids)
        checked = [check_id(value, f"id {position}") for position, value in enumerate(wanted)]
        with store.writing() as (transaction, _):
            return sum(transaction.remove(value) for value in checked)

    def get(self, document_id: str) -> Document | None:
        """The document with that id, or None. Raises DocumentError, StoreError."""
        store = self._ready()
        if not isinstance(document_id, str):
            raise DocumentError(f"get: expected an id, a string, found {type(document_id).__name__}")
        return store.catalog.get(document_id) if is_id(document_id) else None

    @overload
    def search(self, query: str, *, k: int = 10, mode: str = "auto") -> list[Hit]: ...
    @overload
    def search(self, query: list[str], *, k: int = 10, mode: str = "auto") -> list[list[Hit]]: ...
    def search(
        self, query: str | list[str], *, k: int = 10, mode: str = "auto"
    ) -> list[Hit] | list[list[Hit]]:
        """The k best documents by MaxSim of their best passage, best first; of equals the smaller id first.

        query:  a string gives a list of hits; a list of strings gives a list of such lists.
        k:      1 or more; more than there is gives what there is.
        mode:   "maxsim" scores every passage; "auto" does too, for now.

        Raises QueryError, StoreError.
        """
        store = self._ready()
        texts = [query] if isinstance(query, str) else query
        count = _check_query(texts, k, mode)
        rows = list(self.model.encode_queries(list(texts))) if texts else []
        for _ in range(_ATTEMPTS):
            snapshot = store.snapshot()
            answers = [self._answer(snapshot, row, count) for row in rows]
            found = [answer for answer in answers if answer is not None]
            if len(found) == len(answers):
                return found[0] if isinstance(query, str) else found
        raise StoreError(f"{store.catalog.place}: it was changed faster than it could be searched")

    def compact(self) -> None:
        """Rewrite what deletes and upserts have left behind, and join small segments. Raises StoreError."""
        self._ready().compact()

    def stats(self) -> Stats:
        """What the index holds. Raises StoreError."""
        return _stats(self._ready(), self.folder)

    def close(self) -> None:
        """Let go of the files; a second time does nothing. What was added is on the disk already."""
        if not self._closed:
            self._closed = True
            if os.getpid() == self._pid:
                self._store.close()

    def __len__(self) -> int:
        return self._ready().catalog.count()

    def __contains__(self, document_id: object) -> bool:
        return isinstance(document_id, str) and self.get(document_id) is not None

    def __enter__(self) -> Index:
        self._ready()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        place = "in memory" if self.folder is None else repr(os.fspath(self.folder))
        return f"<Index {place}{', closed' if self._closed else ''}>"

    def _ready(self) -> Store:
        if self._closed:
            raise StoreError("the index is closed: open it again with Index(folder)")
        if os.getpid() != self._pid:
            raise StoreError("the index was opened before a fork: open it again in this process")
        return self._store

    def _add_batch(self, transaction: Transaction, volumes: Volumes, group: list[Draft]) -> list[str]:
        """Store and encode some documents; their ids."""
        stored = [transaction.put(draft) for draft in group]
        # Of documents with one id only the last still counts, so only that one is worth encoding.
        last = {document_id: place for place, (_, document_id) in enumerate(stored)}
        places = sorted(last.values())
        passages = self.model.encode_passages([group[place].text for place in places])
        codes = quantise(passages.rows.rows)
        keys = np.array([stored[place][0] for place in places], np.int64)
        volumes.append(
            Part(
                keys[passages.owner],
                passages.rows.starts,
                passages.spans,
                unblocked(codes),
                codes.scales[: codes.count],
            )
        )
        return [document_id for _, document_id in stored]

    def _answer(self, snapshot: Snapshot, query: np.ndarray, k: int) -> list[Hit] | None:
        """The hits of one query [Q, D]; None where a document has gone since the snapshot was taken."""
        if not len(query) or not snapshot.passages:
            return []
        scores = snapshot.scores(query)
        by_document = snapshot.by_document(scores)
        sure, tied = best(by_document, k)
        wanted = min(k, len(sure) + len(tied)) - len(sure)
        if wanted < len(tied):
            ids = self._store.catalog.ids(snapshot.keys[tied].tolist())
            if len(ids) < len(tied):
                return None
            tied = np.array(sorted(tied, key=lambda place: ids[int(snapshot.keys[place])])[:wanted])
        places = [*sure.tolist(), *tied.tolist()]
        documents = self._store.catalog.fetch([int(snapshot.keys[place]) for place in places])
        if len(documents) < len(places):
            return None
        hits = []
        for place in places:
            document = documents[int(snapshot.keys[place])]
            span = snapshot.passage(place, scores)
            hits.append(Hit(document.id, float(by_document[place]), document.text, document.metadata, span))
        return sorted(hits, key=lambda hit: (-hit.score, hit.id))


def describe(folder: str | os.PathLike[str]) -> Stats:
    """What the index in a folder holds, without its model. Raises StoreError."""
    store = Store.open(Path(folder), None, 0.0)
    try:
        return _stats(store, Path(folder))
    finally:
        store.close()


def _stats(store: Store, folder: Path | None) -> Stats:
    snapshot = store.snapshot()
    views = list(snapshot.views.values())
    every = sum(view.segment.passages for view in views)
    return Stats(
        documents=store.catalog.count(),
        passages=snapshot.passages,
        rows=sum(view.rows for view in views),
        dead_passages=every - snapshot.passages,
        segments=len(views),
        bytes=0 if folder is None else _bytes(folder),
        model=store.origin.name,
        fingerprint=store.origin.fingerprint,
        dims=store.origin.dims,
        format_version=VERSION,
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


def _batches(stream: Iterable[Draft], batch: int) -> Iterator[list[Draft]]:
    """Groups of at most `batch` documents, fewer where their texts are long."""
    group: list[Draft] = []
    characters = 0
    for draft in stream:
        if group and (len(group) == batch or characters + len(draft.text) > _BATCH_CHARACTERS):
            yield group
            group, characters = [], 0
        group.append(draft)
        characters += len(draft.text)
    if group:
        yield group


def _check_query(texts: object, k: object, mode: object) -> int:
    """k as an int. Raises QueryError."""
    if not isinstance(texts, (list, tuple)):
        raise QueryError(f"query: expected a string or a list of strings, found {type(texts).__name__}")
    for position, text in enumerate(texts):
        where = f"query {position}" if len(texts) > 1 else "query"
        if not isinstance(text, str):
            raise QueryError(f"{where}: expected a string, found {type(text).__name__}")
        if not text.strip():
            raise QueryError(f"{where}: it is empty; a query needs at least one word")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise QueryError(f"{where}: a lone surrogate at character {error.start}") from None
    if mode not in MODES:
        raise QueryError(f"mode: expected one of {', '.join(MODES)}, found {mode!r}")
    try:
        count = operator.index(k)  # type: ignore[arg-type]
    except TypeError:
        count = 0
    if isinstance(k, bool) or count < 1:
        raise QueryError(f"k: expected a whole number of 1 or more, found {k!r}")
    return count
