"""The holder of a copy of a shard, in a process of some node: it opens the shard at the first call, checks
that it is the one that the manifest names, and answers.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from femtosearch import system
from femtosearch.disk import whole_folder
from femtosearch.errors import CorruptError, ModelMismatchError, StoreError
from femtosearch.index.index import Index
from femtosearch.index.schema import Origin
from femtosearch.index.shard import First, Question, Reasons, Second, Shard, Totals
from femtosearch.index.stats import Stats
from femtosearch.index.store import CATALOG
from femtosearch.server.cluster.manifest import ShardFacts, shard_of
from femtosearch.server.cluster.storage import Folder, Storage, check_facts, storage_at
from femtosearch.system import own_temporary_folder
from femtosearch.types import Document, Hit, Page

_CHECKED = 64  # documents whose ids are checked to belong to the shard
_UNUSED = 86_400.0  # seconds after which a copy that nobody opened may be removed
_LONGEST_COPY = 600.0  # seconds that another process may take to make a copy
_PAUSE = 0.02  # seconds between two looks at it


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a shard, and the facts that it must have.

    store:   the place of the index; folder: the shard's, in there.
    number:  of so many shards.
    """

    store: str
    folder: str
    number: int
    shards: int
    facts: ShardFacts
    origin: Origin

    @property
    def name(self) -> str:
        """The shard in words."""
        return f"{self.store}/{self.folder}"


class Holder:
    """A copy of a shard. Its methods raise StoreError where the shard cannot be opened, and try again when
    they are called again.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._lock = threading.Lock()
        self._shard: Shard | None = None
        self._in_use = ExitStack()

    def ask(self, method: str, *arguments: Any) -> Any:
        """Call a method by its name; Ray calls all methods by this one."""
        return getattr(self, method)(*arguments)

    def totals(self) -> Totals:
        """The totals of the shard."""
        return self._opened().totals()

    def counts(self, phrases: Sequence[str]) -> list[int]:
        """How many documents have each phrase."""
        return self._opened().counts(phrases)

    def begin(self, questions: Sequence[Question]) -> list[First]:
        """The first phase of queries."""
        return [self._opened().begin(question) for question in questions]

    def finish(self, questions: Sequence[Question], seconds: Sequence[Second]) -> list[list[Hit]]:
        """The second phase of queries: the shard's best hits."""
        pairs = zip(questions, seconds, strict=True)
        return [self._opened().finish(question, second) for question, second in pairs]

    def reasons(self, question: Question, second: Second, ids: Sequence[str]) -> list[Reasons | None]:
        """The shard's parts of the explanations of documents."""
        return self._opened().reasons(question, second, ids)

    def larger(
        self, question: Question, second: Second, measures: Sequence[dict[str, float]]
    ) -> list[dict[str, int]]:
        """How many documents of the shard rank before hits, by each of their measures."""
        return self._opened().larger(question, second, measures)

    def get(self, ids: list[str]) -> list[Document | None]:
        """The documents with these ids, in their order; None for an unknown id."""
        return self._opened().index.get(ids)

    def count(self, where: Any) -> int:
        """How many documents pass a filter."""
        return self._opened().index.count(where)

    def facets(self, field: str, where: Any) -> Mapping[Any, int]:
        """How many documents have each value of a field."""
        return self._opened().index.facets(field, where=where)

    def page(self, after: int, limit: int, where: Any) -> Page:
        """A page of documents, in the order in which they were added."""
        return self._opened().index.page(after, limit, where=where)

    def stats(self) -> Stats:
        """What the shard holds."""
        return self._opened().index.stats()

    def close(self) -> None:
        """Close the shard."""
        with self._lock:
            if self._shard is not None:
                self._shard.index.close()
            self._in_use.close()

    def _opened(self) -> Shard:
        with self._lock:
            if self._shard is None:
                with ExitStack() as in_use:
                    self._shard = Shard(_open(self._place, in_use))
                    self._in_use = in_use.pop_all()
            return self._shard


def _open(place: Place, in_use: ExitStack) -> Index:
    """Open and check the index of a shard. Raises StoreError.

    in_use:  collects the callbacks that release a local copy.
    """
    store = storage_at(place.store)
    folder = store.path(place.folder) if isinstance(store, Folder) else _fetched(store, place, in_use)
    try:
        for name, facts in place.facts.files.items():
            check_facts(folder / name, facts, f"{place.name}/{name}")
    except CorruptError:
        if not isinstance(store, Folder):
            shutil.rmtree(folder, ignore_errors=True)  # a copy, which is made again
        raise
    index = Index(folder)
    try:
        _check(index, place)
    except BaseException:
        index.close()
        raise
    return index


def _check(index: Index, place: Place) -> None:
    stats, origin = index.stats(), place.origin
    if (stats.model, stats.fingerprint, stats.dims) != (origin.name, origin.fingerprint, origin.dims):
        raise ModelMismatchError(
            f"{place.name}: it was made with the model {stats.model!r} ({stats.fingerprint[:12]}), and the "
            f"manifest says {origin.name!r} ({origin.fingerprint[:12]}): build the index again"
        )
    if (stats.documents, stats.passages) != (place.facts.documents, place.facts.passages):
        raise CorruptError(
            f"{place.name}: expected {place.facts.documents:,} documents, found {stats.documents:,}: "
            "build the index again"
        )
    for document in index.page(limit=_CHECKED).documents:
        number = shard_of(document.id, place.shards)
        if number != place.number:
            raise CorruptError(
                f"{place.name}: the document {document.id[:80]!r} is of shard {number}, not {place.number}: "
                "folders were swapped, or the manifest is another build's: build the index again"
            )


def _fetched(store: Storage, place: Place, in_use: ExitStack) -> Path:
    """Copy a shard of a bucket to this machine, unless it is there already; returns the folder.

    Copies lie in $FEMTOSEARCH_CACHE, else among the temporary files, each under a digest of its catalogue. A
    copy that nobody uses, and nobody opened for a day, is removed when another one is made.
    """
    name, cache = "femtosearch-shards", os.environ.get("FEMTOSEARCH_CACHE")
    folder = Path(name)
    try:
        root = Path(cache, name) if cache else own_temporary_folder(name)
        root.mkdir(parents=True, exist_ok=True)
        folder = root / place.facts.files[CATALOG].sha256[:32]
        with _locked(folder, partial(_has_files, folder, place), in_use) as is_whole:
            if not is_whole:
                shutil.rmtree(folder, ignore_errors=True)
                with whole_folder(folder) as draft:
                    (draft / "segments").mkdir()
                    for name in sorted(place.facts.files, reverse=True):
                        store.fetch(f"{place.folder}/{name}", draft / name)
                _remove_old(root)
    except FileExistsError:  # another copy of the shard on this node was faster
        pass
    except OSError as error:
        where = error.filename or folder
        raise StoreError(f"{place.name}: it cannot be copied to {where}: {error.strerror or error}") from None
    return folder


def _has_files(folder: Path, place: Place) -> bool:
    return all((folder / name).is_file() for name in place.facts.files)


@contextmanager
def _locked(folder: Path, is_whole: Callable[[], bool], in_use: ExitStack) -> Iterator[bool]:
    """Lock a copy on this machine as in use, until `in_use` is closed; yields whether it is whole. One that
    is not has to be made inside of the block: only one process at a time is in there with such a copy.

    Those that use a whole copy share its lock, so nobody waits for them. Without locks it is only yielded
    whether the copy is whole.
    """
    if not system.HAS_FLOCK:
        yield is_whole()
        return
    descriptor = os.open(folder.with_suffix(".lock"), system.LOCKING, 0o600)
    in_use.callback(os.close, descriptor)
    system.share_lock(descriptor)
    os.utime(descriptor)
    end = time.monotonic() + _LONGEST_COPY
    while not is_whole() and not system.lock(descriptor) and time.monotonic() < end:
        time.sleep(_PAUSE)  # another process makes it, or still uses what has been removed
    try:
        yield is_whole()
    finally:
        system.share_lock(descriptor)


def _remove_old(root: Path) -> None:
    """Remove copies that nobody uses or opened lately. Lock files stay: another process may wait for one."""
    for path in root.glob("*.lock"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _UNUSED:
                descriptor = os.open(path, system.LOCKING, 0o600)
                try:
                    if system.lock(descriptor):
                        shutil.rmtree(path.with_suffix(""), ignore_errors=True)
                finally:
                    os.close(descriptor)
