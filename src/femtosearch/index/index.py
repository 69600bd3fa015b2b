"""The index: documents in, hits out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, overload

import numpy as np

from femtosearch.codes import quantise
from femtosearch.errors import DocumentError, FdeError, FdeMismatch, StoreError
from femtosearch.fde import Calibration, Fde, preset
from femtosearch.index.batch import Coded, Part
from femtosearch.index.catalog import Origin
from femtosearch.index.documents import Draft, check_id, drafts, is_id
from femtosearch.index.plan import Held, Plan, Request, check, choose
from femtosearch.index.segments import Volumes
from femtosearch.index.snapshot import Ranking, Snapshot, best
from femtosearch.index.stats import Stats, stats
from femtosearch.index.store import Store, origin_of
from femtosearch.index.transaction import Transaction
from femtosearch.model.model import BUILT_INS, Model, built_in
from femtosearch.types import Document, Hit, Passages, Rows

_BATCH_CHARACTERS = 1 << 20  # of the texts that are encoded at once, beyond the first
_ATTEMPTS = 100
AUTO = "auto"


class Encodes(Protocol):
    """What an index needs of a model: rows of `dims` numbers, and a name and fingerprint to know it again.

    It may also have an attribute `fde`, an Fde or None: the one for its rows.
    """

    @property
    def name(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def dims(self) -> int: ...
    def encode_passages(self, texts: list[str]) -> Passages: ...
    def encode_queries(self, texts: list[str]) -> Rows: ...


class Index:
    """A folder, or the memory of this process, in which documents are found by meaning.

    folder:   made if absent; None for an index in memory.
    model:    what encodes. An index is opened with the model it was made with; None is the default model or,
              for an index that was made with another built-in one, that.
    fde:      what makes candidates, stored when an index is made: a `Muvera` or other Fde, the name of a
              preset, or None for none. "auto" is the model's own, if it has one; an index that is there
              keeps what it has then, and is compared with anything else.
    timeout:  seconds to wait while another process or thread writes.

    Safe to use from several threads and processes: one writes at a time, and every search sees the last
    commit, whole; in memory a search waits while another thread writes. Raises StoreError for a folder that
    is not an index, ModelMismatch, FdeMismatch, CorruptError; FdeError for an FDE that does not fit.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        *,
        model: Encodes | None = None,
        fde: Fde | str | None = AUTO,
        timeout: float = 10.0,
    ) -> None:
        self.model: Encodes = model if model is not None else Model.load(own_model(folder))
        self.folder = None if folder is None else Path(folder)
        self._pid = os.getpid()
        self._closed = False
        origin = Origin(self.model.name, self.model.fingerprint, self.model.dims)
        keeps = _is_auto(fde) and self.folder is not None and origin_of(self.folder) is not None
        wanted = None if keeps else self._fitting(fde, origin)
        if self.folder is None:
            self._store = Store.in_memory(origin, timeout, wanted)
        else:
            self._store = Store.open(self.folder, origin, timeout, wanted)
            if not _is_auto(fde):
                self._check_fde(wanted)

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
    def search(
        self,
        query: str,
        *,
        k: int = 10,
        mode: str = "auto",
        candidates: int | None = None,
        recall: float | None = None,
    ) -> list[Hit]: ...
    @overload
    def search(
        self,
        query: list[str],
        *,
        k: int = 10,
        mode: str = "auto",
        candidates: int | None = None,
        recall: float | None = None,
    ) -> list[list[Hit]]: ...
    def search(
        self,
        query: str | list[str],
        *,
        k: int = 10,
        mode: str = "auto",
        candidates: int | None = None,
        recall: float | None = None,
    ) -> list[Hit] | list[list[Hit]]:
        """The k best documents by their best passage, best first; of equals the smaller id first.

        query:       a string gives a list of hits; a list of strings gives a list of such lists.
        k:           1 or more; more than there is gives what there is.
        mode:        "maxsim" scores every passage by MaxSim; "rerank" only the candidates that the FDE finds;
                     "fde" scores every passage by the FDE's inner product alone; "auto" is "maxsim" while
                     that takes 20 ms at most by prediction or the index has no FDE, and else "rerank".
        candidates:  how many passages "rerank" scores, at least k. A document may have several of them, so
                     that there are fewer than k hits. As many as there are passages is "maxsim".
        recall:      how many by what they find: this share of the ten best passages by MaxSim, above 0 and at
                     most 1, for which the FDE has to be calibrated. With neither it is 0.99 where the FDE
                     is calibrated, and else 100 candidates.

        Raises QueryError, StoreError.
        """
        store = self._ready()
        request = check([query] if isinstance(query, str) else query, k, mode, candidates, recall)
        rows = self.model.encode_queries(request.texts) if request.texts else None
        for _ in range(_ATTEMPTS):
            snapshot = store.snapshot()
            rankings = [] if rows is None else self._rankings(snapshot, rows, request)
            answers = [self._answer(snapshot, ranking, request.k) for ranking in rankings]
            found = [answer for answer in answers if answer is not None]
            if len(found) == len(answers):
                return found[0] if isinstance(query, str) else found
        raise StoreError(f"{store.catalog.place}: it was changed faster than it could be searched")

    def compact(self) -> None:
        """Rewrite what deletes and upserts have left behind, and join small segments. Raises StoreError."""
        self._ready().compact()

    def set_fde(self, fde: Fde | str | None) -> None:
        """Give every passage another FDE, made of its stored rows, in the place of the one that it has.

        fde:  as for a new index; None takes the FDEs out. All segments are rewritten, in one commit.
        Raises FdeError, FdeMismatch, LockedError, StoreError.
        """
        store = self._ready()
        wanted = self._fitting(fde, store.origin)
        if wanted is None and fde is not None:
            raise FdeError(f"fde: the model {self.model.name!r} brings none: name another, such as 'muvera'")
        store.set_fde(wanted)

    def calibrate(self, queries: Iterable[str]) -> Calibration:
        """Measure how many candidates the FDE needs for a stated recall, on all passages of this index, and
        store that with it: what `search(recall=)` goes by.

        queries:  as they will be asked, at least 20; hundreds are better. Takes one MaxSim over everything
                  each.
        Raises FdeError where there is too little to measure, QueryError, StoreError.
        """
        store = self._ready()
        texts = check([*queries], 1, "maxsim", None, None).texts
        return store.calibrate(self.model.encode_queries(texts))

    def stats(self) -> Stats:
        """What the index holds. Raises StoreError."""
        return stats(self._ready(), self.folder)

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

    def _fitting(self, fde: Fde | str | None, origin: Origin) -> Fde | None:
        """An FDE for the rows of the model, by name or as it is. Raises FdeError, FdeMismatch."""
        found: Fde | None
        if isinstance(fde, str):
            found = getattr(self.model, "fde", None) if _is_auto(fde) else preset(fde)
        else:
            found = fde
        if found is not None:
            if found.model not in (None, origin.fingerprint):
                raise FdeMismatch(
                    f"the FDE was made for the model of fingerprint {found.model[:12]}, the index has "
                    f"{origin.name!r} ({origin.fingerprint[:12]}): use an FDE of that model"
                )
            found.size(origin.dims)
        return found

    def _check_fde(self, wanted: Fde | None) -> None:
        """Close, and raise FdeMismatch, if the index has another FDE, or one where none is wanted."""
        try:
            stored = self._store.stored_encoding()
            found = None if stored is None else stored.fde
            if _known(found) != _known(wanted):
                raise FdeMismatch(
                    f"{self.folder}: expected the FDE {_known(wanted)}, found {_known(found)}: open it "
                    "without fde to use what it has, or replace it with set_fde (femtosearch compact FOLDER "
                    "--fde NAME)"
                )
        except BaseException:
            self.close()
            raise

    def _add_batch(self, transaction: Transaction, volumes: Volumes, group: list[Draft]) -> list[str]:
        """Store and encode some documents; their ids."""
        stored = [transaction.put(draft) for draft in group]
        # Of documents with one id only the last still counts, so only that one is worth encoding.
        last = {document_id: place for place, (_, document_id) in enumerate(stored)}
        places = sorted(last.values())
        passages = self.model.encode_passages([group[place].text for place in places])
        keys = np.array([stored[place][0] for place in places], np.int64)
        rows = Coded.of(quantise(passages.rows.rows))
        part = Part(keys[passages.owner], passages.rows.starts, passages.spans, rows)
        volumes.append(self._store.with_fde(part, self._store.encoding(transaction)))
        return [document_id for _, document_id in stored]

    def _rankings(self, snapshot: Snapshot, rows: Rows, request: Request) -> list[Ranking | None]:
        """The documents of each query's plan with their scores; None for a query without rows."""
        fde = snapshot.encoding.fde if snapshot.encoding else None
        bits = fde.code_bits if fde else 8
        held = Held(self.model.dims, snapshot.rows, snapshot.passages, fde is not None, bits)
        calibration = fde.calibration if fde else None
        plans = [choose(request, len(query), held, calibration) for query in rows]
        vectors = fde.queries(rows, numbers=_scanned(plans)) if fde and _uses_fde(plans) else None
        return [
            None if not len(query) else _rank(snapshot, query, plan, None if vectors is None else vectors[n])
            for n, (query, plan) in enumerate(zip(rows, plans, strict=True))
        ]

    def _answer(self, snapshot: Snapshot, ranking: Ranking | None, k: int) -> list[Hit] | None:
        """The hits of one query; None where a document has gone since the snapshot was taken."""
        if ranking is None:
            return []
        keys, scores = ranking.keys, ranking.scores
        sure, tied = best(scores, k)
        wanted = min(k, len(sure) + len(tied)) - len(sure)
        if wanted < len(tied):
            ids = self._store.catalog.ids(keys[tied].tolist())
            if len(ids) < len(tied):
                return None
            tied = np.array(sorted(tied, key=lambda number: ids[int(keys[number])])[:wanted])
        numbers = [*sure.tolist(), *tied.tolist()]
        documents = self._store.catalog.fetch([int(keys[number]) for number in numbers])
        if len(documents) < len(numbers):
            return None
        hits = []
        for number in numbers:
            document, span = documents[int(keys[number])], snapshot.span(ranking.place(number))
            hits.append(Hit(document.id, float(scores[number]), document.text, document.metadata, span))
        return sorted(hits, key=lambda hit: (-hit.score, hit.id))


def _uses_fde(plans: list[Plan]) -> bool:
    return any(plan.mode != "maxsim" for plan in plans)


def _scanned(plans: list[Plan]) -> int | None:
    """How many numbers of the FDE some plan scans; None for all."""
    prefixes = [plan.prefix for plan in plans if plan.mode != "maxsim"]
    return None if None in prefixes else max(prefix for prefix in prefixes if prefix)


def _rank(snapshot: Snapshot, query: np.ndarray, plan: Plan, vector: np.ndarray | None) -> Ranking:
    """The documents with their scores by a plan. vector: the query's FDE; None where no plan needs it."""
    if vector is None or plan.mode == "maxsim":
        return snapshot.rank(snapshot.scores(query))
    if plan.mode == "fde":
        return snapshot.rank(snapshot.products(vector))
    places = snapshot.candidates(vector[: plan.prefix], plan.candidates)
    return snapshot.rank(snapshot.scores(query, places), places)


def own_model(folder: str | os.PathLike[str] | None) -> Path | None:
    """The folder of the built-in model that the index in a folder was made with; None for all else."""
    origin = None if folder is None else origin_of(Path(folder))
    return BUILT_INS / origin.name if origin and origin.name in built_in() else None


def _is_auto(fde: Fde | str | None) -> bool:
    return isinstance(fde, str) and fde == AUTO


def _known(fde: Fde | None) -> str:
    """What tells an FDE from every other."""
    return "none" if fde is None else f"{fde.kind} {fde.spec()}"


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
