"""The index: documents in, hits out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, overload

from femtosearch.errors import StoreError, is_number
from femtosearch.index.contents import Where
from femtosearch.index.passage_encoder import (
    AUTO,
    ModelOfIndex,
    PassageEncoder,
    check_encoder,
    check_same_fde,
    fitting_fde,
    origin_of,
)
from femtosearch.index.places import located, spotted, without_copies
from femtosearch.index.queries import Query, coverage_of, encoded, warn_of_unknown
from femtosearch.index.request import CONTEXT_HITS, Request, check_request
from femtosearch.index.search import search
from femtosearch.index.snapshots import Snapshots
from femtosearch.index.store import Store
from femtosearch.index.tables import ALWAYS, LARGE
from femtosearch.index.upkeep import Upkeep, count_of, folder_of
from femtosearch.types import Coverage, Document, Hit, Passages

if TYPE_CHECKING:
    from femtosearch.fde import Fde
    from femtosearch.index.context import Context
    from femtosearch.index.documents import Draft
    from femtosearch.index.explain import TokenRows
    from femtosearch.index.filing import Filing
    from femtosearch.index.sources import FileRow, Source


class Index(Upkeep):
    """A folder, or the memory of this process, in which documents are found by meaning.

    folder:   made if absent; None for an index in memory.
    model:    what encodes: a Model, or the name or folder of one. An index is opened with the model that it
              was made with; None is that one if it is built in, and the default model for a new index. It is
              loaded when the first text is encoded.
    fde:      what makes candidates, stored when an index is made: a `Muvera` or other Fde, the name of a
              preset, or None for none. "auto" is the model's own, if it has one, and its FDEs are made when
              the index has grown so large that a search would use them; an index that is there keeps what it
              has then, and is compared with anything else.
    timeout:  seconds to wait while another process or thread writes.

    Safe to use from several threads and processes: one writes at a time, and every search sees the last
    commit, whole; in memory a search waits while another thread writes. Raises StoreError for a folder that
    is not an index, ModelMismatchError, FdeMismatchError, CorruptError; FdeError for an FDE that does not
    fit.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        *,
        model: PassageEncoder | str | os.PathLike[str] | None = None,
        fde: Fde | str | None = AUTO,
        timeout: float = 10.0,
    ) -> None:
        if model is not None and not isinstance(model, (str, os.PathLike)):
            check_encoder(model)
        self.folder = folder_of(folder)
        self._pid = os.getpid()
        self._closed = False
        self._model = ModelOfIndex(model)
        self._store = self._open(fde, _seconds(timeout))
        self._snapshots = Snapshots(self._store)

    @property
    def model(self) -> PassageEncoder:
        """The model, loaded if it is not yet. Raises ModelMismatchError if it is not the one of the index."""
        return self._model.of(self._store.origin, self._place)

    def add(
        self,
        documents: Iterable[str | Mapping[str, Any] | Document],
        *,
        batch: int = 256,
        threads: int = 0,
        progress: Callable[[int], object] | None = None,
    ) -> list[str]:
        """Store documents; each replaces a stored one with the same id. Returns their ids, in their order.

        documents:  texts, mappings {"id", "text", ...metadata}, or Documents; any iterable, read as it comes.
                    A document without an id gets one made of its content. Of several with one id the last
                    counts. A document that is stored unchanged already is not encoded again.
        batch:      how many are encoded at once; memory grows with it, not with the number of documents.
        threads:    how many threads encode; 0 uses every core that this process may use.
        progress:   called with the number of documents done, after each batch.

        All of it is stored and survives a crash when this returns, and none of it if this raises.
        Raises DocumentError, LockedError, StoreError.
        """
        from femtosearch.index.documents import drafts
        from femtosearch.index.writer import add_documents, writing

        store = self._ready()
        batch = count_of("batch", batch, 1)
        encode = self._encode(threads)
        checked: Iterable[Draft] = drafts(documents)
        if self.folder is None:
            checked = list(checked)  # read first, so that the iterable may use this index
        with writing(store) as commit:
            return add_documents(commit, checked, encode, batch, progress)

    @contextmanager
    def filing(
        self, *, batch: int = 256, threads: int = 0, progress: Callable[[int], object] | None = None
    ) -> Iterator[Filing]:
        """Open one commit for documents of files; `read.refresh` reads files and folders into it.

        batch, threads:  as for `add`.
        progress:        called with the number of documents encoded, after each batch.
        All documents are stored when the block ends, and none if it raises. Raises LockedError, StoreError.
        """
        from femtosearch.index.filing import Filing
        from femtosearch.index.writer import Queue, writing

        store = self._ready()
        batch = count_of("batch", batch, 1)
        encode = self._encode(threads)
        with writing(store) as commit:
            queue = Queue(commit, encode, batch, progress)
            filing = Filing(commit.transaction, queue.append)
            yield filing
            queue.flush()

    def sources(self) -> list[Source]:
        """The files and folders whose documents the index keeps, by path. Raises StoreError."""
        return self._ready().catalog.sources()

    def files(self) -> dict[str, FileRow]:
        """The files that gave documents, by path. Raises StoreError."""
        return self._ready().catalog.files()

    @overload
    def search(
        self,
        query: str,
        *,
        k: int = 10,
        mode: str = "auto",
        candidates: int | None = None,
        recall: float | None = None,
        where: Where | None = None,
        min_score: float | None = None,
        per: int | Mapping[str, int] | None = None,
        hybrid: float | None = None,
        length_penalty: float | None = None,
        spots: bool = False,
        fold: bool = False,
        explain: bool = False,
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
        where: Where | None = None,
        min_score: float | None = None,
        per: int | Mapping[str, int] | None = None,
        hybrid: float | None = None,
        length_penalty: float | None = None,
        spots: bool = False,
        fold: bool = False,
        explain: bool = False,
    ) -> list[list[Hit]]: ...
    def search(
        self,
        query: str | list[str],
        *,
        k: int = 10,
        mode: str = "auto",
        candidates: int | None = None,
        recall: float | None = None,
        where: Where | None = None,
        min_score: float | None = None,
        per: int | Mapping[str, int] | None = None,
        hybrid: float | None = None,
        length_penalty: float | None = None,
        spots: bool = False,
        fold: bool = False,
        explain: bool = False,
    ) -> list[Hit] | list[list[Hit]]:
        """The k best documents by their best passage, best first; of equals the smaller id first.

        query:       a string gives a list of hits; a list of strings gives a list of such lists.
        k:           1 or more; more than there is gives what there is.
        mode:        "maxsim" scores every passage by MaxSim; "rerank" only the candidates that the FDE finds;
                     "fde" scores every passage by the FDE's inner product alone; "auto" is "maxsim" while
                     that takes 10 ms at most by prediction or no FDEs are stored, and else "rerank".
        candidates:  how many passages "rerank" scores, at least k, and no more even if they are of fewer than
                     k documents. As many as there are passages is "maxsim".
        recall:      the share of the ten best passages that re-ranking should find, above 0 and at most 1.
                     The search picks the number of candidates that reaches it; this needs a calibrated FDE.
                     With neither it is 0.99 with a calibrated FDE, and else 100 candidates.
        where:       rank only documents whose metadata pass: {"year": {"$gte": 2020}, "lang": "en"}, or in
                     words 'year >= 2020 and lang = "en"' (docs/filters.md).
        min_score:   hits with a lower score are left out.
        hybrid:      the weight of words in the score: 0 is MaxSim alone, 1 is BM25 alone. None is 0.37 in
                     the mode "auto" of an index with a table of words, as new ones have, and else 0.
                     Documents with all that stands in double quotes in the query come first. Hits carry both
                     parts.
        length_penalty:  the share that is taken off of what the best of a document's many passages gains by
                     chance: 0.15 by default; with 0 and hybrid=0 the score is MaxSim.
        per:         at most so many hits of one source; or of one value of a field: {"author": 1}.
        spots:       give each hit the `span` where it matched best, which takes about a millisecond a hit.
        fold:        of documents with the same text give the best one alone, and the ids of the others as its
                     `copies`.
        explain:     give each hit its `explanation`: which token matched which, and what each word counts.

        Raises QueryError, StoreError.
        """
        self._ready()
        request = check_request(
            [query] if isinstance(query, str) else query,
            k,
            mode,
            candidates,
            recall,
            where=where,
            min_score=min_score,
            per=per,
            hybrid=hybrid,
            length_penalty=length_penalty,
        )
        if not request.texts:
            return []
        answers = self._answers(request, spots=spots, fold=fold, explain=explain)
        return answers[0] if isinstance(query, str) else answers

    def coverage(self, query: str) -> Coverage | None:
        """How much of a query the model knows, and how much is cut off; None if the model cannot tell. Raises
        QueryError, StoreError.
        """
        self._ready()
        return coverage_of(self.model, check_request([query]).texts[0])

    def context(
        self, question: str, *, max_tokens: int = 2000, k: int = CONTEXT_HITS, where: Where | None = None
    ) -> Context:
        """The best passages for a question, as text for a language model's prompt: without repetition, those
        of one document in their order in it, each with a number and its place, which an answer can cite.

        max_tokens:  about how many tokens of the language model the text may have.
        k:           how many documents are looked at; where: only documents that pass.
        Raises QueryError, StoreError.
        """
        from femtosearch.index.context import make_context
        from femtosearch.index.rerank import passages_beside

        hits = self.search(question, k=k, where=where)
        return make_context(hits, max_tokens, passages_beside(self.model, question))

    def _answers(self, request: Request, *, spots: bool, fold: bool, explain: bool) -> list[list[Hit]]:
        """The hits of each query."""
        model = self.model
        queries = encoded(model, request.texts)
        if request.hybrid != 1:
            warn_of_unknown(queries, model.name, stacklevel=4)
        explainer = None
        if explain:
            from femtosearch.index.explain import token_rows_of

            explainer = token_rows_of(model)
        answers = self._best(request, queries, explainer)
        if fold:
            pairs = zip(queries, answers, strict=True)
            answers = [self._folded(request, query, hits, explainer) for query, hits in pairs]
        if spots:
            token_rows = getattr(model, "token_rows", None)
            pairs = zip(queries, answers, strict=True)
            answers = [spotted(query.rows, hits, token_rows) for query, hits in pairs]
        return [located(self._store.catalog, hits) for hits in answers]

    def _best(
        self, request: Request, queries: Sequence[Query], explainer: TokenRows | None
    ) -> list[list[Hit]]:
        catalog = self._store.catalog
        return self._snapshots.ask(lambda snapshot: search(catalog, snapshot, queries, request, explainer))

    def _folded(
        self, request: Request, query: Query, hits: list[Hit], explainer: TokenRows | None
    ) -> list[Hit]:
        """The hits of one query, folded: those with the same text are one."""
        alone = replace(request, texts=[query.text])
        return without_copies(
            hits, request.k, lambda k: self._best(replace(alone, k=k), [query], explainer)[0]
        )

    def close(self) -> None:
        """Close the files; a second call does nothing. Documents that were added are on the disk already.

        A call of another thread that has begun either ends well or raises StoreError.
        """
        self._closed = True
        if os.getpid() == self._pid:
            self._store.close()
            self._snapshots.release()

    def __enter__(self) -> Index:
        self._ready()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        place = "in memory" if self.folder is None else repr(os.fspath(self.folder))
        return f"<Index {place}{', closed' if self._closed else ''}>"

    @property
    def _place(self) -> str:
        return "the index in memory" if self.folder is None else os.fspath(self.folder)

    def _ready(self) -> Store:
        if self._closed:
            raise StoreError("the index is closed: open it again with Index(folder)")
        if os.getpid() != self._pid:
            raise StoreError("the index was opened before a fork: open it again in this process")
        return self._store

    def _open(self, fde: Fde | str | None, timeout: float) -> Store:
        """The store in the folder, made if it is not there, and checked to have this model and this FDE."""
        store = None if self.folder is None else Store.open(self.folder.absolute(), timeout)
        store = self._new_store(fde, timeout) if store is None else store
        try:
            if self._model.is_given:
                self._model.of(store.origin, self._place)
            if fde != AUTO and self.folder is not None:
                encoding = store.encoding(store.catalog.state())
                expected = fitting_fde(fde, store.origin, None)
                check_same_fde(self._place, encoding.fde if encoding else None, expected)
        except BaseException:
            store.close()
            raise
        return store

    def _new_store(self, fde: Fde | str | None, timeout: float) -> Store:
        """A new store."""
        model = self._model.for_new_index()
        origin = origin_of(model)
        chosen = fitting_fde(fde, origin, model)
        when = LARGE if fde == AUTO else ALWAYS
        if self.folder is None:
            return Store.in_memory(origin, timeout, chosen, when)
        return Store.create(self.folder.absolute(), origin, timeout, chosen, when)

    def _encode(self, threads: int) -> Callable[[list[str]], Passages]:
        """A function that encodes the passages of texts with so many threads; its first call loads
        the model.
        """

        def encode(texts: list[str]) -> Passages:
            encode_passages: Any = self.model.encode_passages
            passages: Passages = encode_passages(texts, **options)
            return passages

        options = {"threads": count_of("threads", threads, 0)} if threads else {}
        return encode


def _seconds(timeout: object) -> float:
    if not is_number(timeout, 0):
        raise StoreError(f"timeout: expected a number of seconds, 0 or more, found {timeout!r}")
    return float(timeout)
