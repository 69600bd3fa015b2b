"""An index in Qdrant: it is exported once, and then searched in Qdrant, without an index here.

A point is a passage. Its FDE is a vector that finds candidates, and its rows are a multivector compared by
MAX_SIM, which ranks them. Point 0 of a document has the document's text; the others have the place of their
passage in it. One more point, written last, names the model and has the FDE.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, overload

import numpy as np

from femtosearch.codes import quantise, rows_of, turned, width
from femtosearch.errors import FdeError, QueryError, ServerError
from femtosearch.fde import Fde
from femtosearch.fde.calibration import BEST
from femtosearch.fde.stored import restore_fde
from femtosearch.index.contents import Where
from femtosearch.index.context import Context, make_context
from femtosearch.index.documents import wanted_ids
from femtosearch.index.export import Handed, Record
from femtosearch.index.index import Index
from femtosearch.index.passage_encoder import ModelOfIndex, PassageEncoder
from femtosearch.index.plan import CANDIDATES, RECALL
from femtosearch.index.request import CONTEXT_HITS, check_request
from femtosearch.index.rerank import passages_beside
from femtosearch.index.schema import Origin
from femtosearch.index.searches import Searches
from femtosearch.model.foldings import folded as folded_text
from femtosearch.server.cluster.qdrant_store import (
    TIMEOUT,
    Collection,
    Point,
    PointQuery,
    collection_at,
    text_field,
)
from femtosearch.types import Document, Hit, Rows

_NAMES = uuid.UUID("6f1b7b0c-6d0a-5c53-9d6f-0b3f1d2a7c11")  # the namespace of the ids of points
_FACTS = str(uuid.uuid5(_NAMES, "facts"))
_FORMAT = 1
_TOGETHER = 64  # documents whose FDEs are made at once
_NUMBERS = 1 << 18  # of the vectors of a request, some 6 MB of JSON
_OPTIONS = "options that an index in Qdrant has: k, mode, candidates, min_score, filter"


def export_to_qdrant(
    index: Index,
    address: str,
    *,
    where: Where | None = None,
    progress: Callable[[int], object] | None = None,
) -> int:
    """Write the documents of an index into a new collection of Qdrant. Returns their number.

    address:   qdrant:URL, qdrant:FOLDER (qdrant-client's local mode), each with #NAME of the collection
               behind it ("femtosearch" if none is given), or qdrant-edge:FOLDER.
    where:     only documents that pass.
    progress:  called with the number that are written.
    If it fails, the collection is removed again.
    Raises ServerError for a collection that is there already, FdeError for an index without an FDE.
    """
    collection = collection_at(address)
    try:
        if collection.exists():
            raise ServerError(f"{collection.place}: it is there already: choose another place")
        return index.hand_over(lambda handed: _written(collection, handed, progress), where=where)
    finally:
        collection.close()


def _written(collection: Collection, handed: Handed, progress: Callable[[int], object] | None) -> int:
    origin, fde, content = handed.origin, handed.fde, handed.fde_content
    if fde is None or content is None:
        raise FdeError("the index has no FDE to be found by: give it one with set_fde")
    collection.create(fde.size(origin.dims), origin.dims)
    try:
        documents = passages = 0
        for group in _groups(handed.records, _TOGETHER):
            points = _points(group, fde, origin.dims, handed.row_bits)
            for batch in _requests(points):
                collection.put(batch)
            documents += len(group)
            passages += sum(point.fde is not None for point in points)
            if progress is not None:
                progress(documents)
        facts = {
            "format": _FORMAT,
            "model": {"name": origin.name, "fingerprint": origin.fingerprint, "dims": origin.dims},
            "fde": base64.b64encode(content).decode(),
            "bits": handed.row_bits,
            "documents": documents,
            "passages": passages,
        }
        collection.put([Point(_FACTS, {"femtosearch": facts})])
    except BaseException:
        with suppress(ServerError):
            collection.drop()
        raise
    return documents


def _requests(points: Sequence[Point]) -> Iterator[list[Point]]:
    """The points in pieces that a server takes, which refuses 32 MB of JSON."""
    batch: list[Point] = []
    numbers = 0
    for point in points:
        batch.append(point)
        numbers += sum(np.size(vector) for vector in (point.fde, point.rows) if vector is not None)
        if numbers >= _NUMBERS:
            yield batch
            batch, numbers = [], 0
    if batch:
        yield batch


def _groups(records: Iterable[Record], size: int) -> Iterator[list[Record]]:
    group: list[Record] = []
    for record in records:
        group.append(record)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def _points(records: Sequence[Record], fde: Fde, dims: int, bits: int) -> list[Point]:
    """The points of documents. A passage of which the model knows no word has one without vectors, and so has
    a document without a passage.
    """
    passages = [passage for record in records for passage in record.passages or ()]
    rows = [_rows(passage, dims, bits) for passage in passages]
    not_empty = [of_passage for of_passage in rows if len(of_passage)]
    starts = np.cumsum([0, *map(len, not_empty)]).astype(np.int64)
    together = np.concatenate([np.empty((0, dims), np.float32), *not_empty])
    fdes = iter(quantise(fde.documents(Rows(together, starts)), fde.code_bits).rows())
    remaining = iter(rows)
    points = []
    for record in records:
        document = {"text": record.text, "metadata": record.metadata}
        for number, passage in enumerate(record.passages or ()):
            facts = {"id": record.id, "number": number, "passage": list(passage["span"])}
            payload = facts | (document if number == 0 else {})
            of_passage = next(remaining)
            vectors = (next(fdes), of_passage) if len(of_passage) else (None, None)
            points.append(Point(point_id(record.id, number), payload, *vectors))
        if not record.passages:
            points.append(
                Point(point_id(record.id, 0), {"id": record.id, "number": 0, "passage": None, **document})
            )
    return points


def _rows(passage: Mapping[str, Any], dims: int, bits: int) -> np.ndarray:
    """A passage's rows, [T, D] float32, of its codes."""
    values = np.frombuffer(passage["codes"], np.int8).reshape(passage["rows"], width(dims, bits))
    return rows_of(values, np.frombuffer(passage["scales"], "<f4"), dims, bits, levels=bits == 4)


def point_id(name: str, number: int) -> str:
    """The id of a document's passage among points."""
    return str(uuid.uuid5(_NAMES, f"{number} {name}".encode("utf-8", "surrogatepass").hex()))


class QdrantIndex(Searches):
    """An index that was exported to Qdrant, with those methods of `Index` that read. Scores are MaxSim's.

    address:  as for `export_to_qdrant`.
    model:    what encodes queries; None: the built-in one that the index was made with.
    key:      of the server; None: $QDRANT_API_KEY. timeout: seconds to wait for an answer of it.
    Raises ServerError for a collection that is none of ours.
    """

    def __init__(
        self,
        address: str,
        *,
        model: PassageEncoder | str | None = None,
        key: str | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        self._collection = collection_at(address, key, timeout)
        self._model = ModelOfIndex(model)
        try:
            facts = self._facts()
            self._origin, self._fde, self._passages, self._bits = _checked(facts, self._collection.place)
        except BaseException:
            self._collection.close()
            raise

    @property
    def model(self) -> PassageEncoder:
        """The model. Raises ModelMismatchError if it is not the one of the index."""
        return self._model.of(self._origin, self._collection.place)

    @overload
    def search(self, query: str, *, k: int = 10, mode: str = "auto", **options: Any) -> list[Hit]: ...
    @overload
    def search(
        self, query: list[str], *, k: int = 10, mode: str = "auto", **options: Any
    ) -> list[list[Hit]]: ...
    def search(
        self, query: str | list[str], *, k: int = 10, mode: str = "auto", **options: Any
    ) -> list[Hit] | list[list[Hit]]:
        """The k best documents by their best passage, each query by one request to Qdrant.

        mode:     "auto" and "rerank" find candidates by the FDE and rank them by MaxSim; "maxsim" ranks all
                  passages; "fde" goes by the FDE alone.
        options:  `candidates` and `min_score` as for `Index.search`; `filter`, a condition of Qdrant's own,
                  such as a Filter on metadata.year.
        Raises QueryError, ServerError.
        """
        texts = [query] if isinstance(query, str) else query
        condition = options.pop("filter", None)
        self._collection.check_condition(condition)
        if unknown := {name for name, option in options.items() if option} - {"candidates", "min_score"}:
            raise QueryError(f"{min(unknown)}: expected {_OPTIONS}")
        candidates, least = options.get("candidates"), options.get("min_score")
        request = check_request(texts, k, mode, candidates, min_score=least)
        if not request.texts:
            return []
        rows = self.model.encode_queries([folded_text(text) for text in request.texts])
        count = self._candidates(request.k) if candidates is None else max(request.candidates or 0, request.k)
        answers = []
        for point_query in self._point_queries(rows, request.mode, count):
            best = [] if point_query is None else self._collection.best(point_query, request.k, condition)
            hits = [hit for hit in self._hits(best) if least is None or hit.score >= least]
            answers.append(sorted(hits, key=lambda hit: (-hit.score, hit.id)))
        return answers[0] if isinstance(query, str) else answers

    def context(
        self, question: str, *, max_tokens: int = 2000, k: int = CONTEXT_HITS, where: Where | None = None
    ) -> Context:
        """The best passages for a question, for a language model's prompt; see `Index.context`."""
        _no_where(where)
        hits = self.search(question, k=k)
        return make_context(hits, max_tokens, passages_beside(self.model, question))

    @overload
    def get(self, document_id: str) -> Document | None: ...
    @overload
    def get(self, document_id: list[str] | tuple[str, ...]) -> list[Document | None]: ...
    def get(self, document_id: str | Iterable[str]) -> Document | list[Document | None] | None:
        """The document with that id, or None; for several ids a list, in their order."""
        if isinstance(document_id, str):
            return self.get([document_id])[0]
        names = wanted_ids(document_id)
        payloads = self._collection.payloads([point_id(name, 0) for name in dict.fromkeys(names)])
        documents = (payloads.get(point_id(name, 0)) for name in names)
        return [None if payload is None else _document(payload) for payload in documents]

    def count(self, where: Where | None = None, *, filter: Any = None) -> int:
        """How many documents there are, or pass a condition of Qdrant's own."""
        _no_where(where)
        self._collection.check_condition(filter)
        return self._collection.count(filter)

    def documents(self, where: Where | None = None, *, filter: Any = None) -> Iterator[Document]:
        """All documents, or those that pass a condition of Qdrant's own, in no order."""
        _no_where(where)
        self._collection.check_condition(filter)
        return map(_document, self._collection.first_passages(filter))

    def close(self) -> None:
        """Close the connection; a second time does nothing."""
        self._collection.close()

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"an index in Qdrant has no {name!r}: it is searched, and made anew by femtosearch export"
        )

    def __repr__(self) -> str:
        return f"<QdrantIndex {self._collection.place!r}>"

    def _facts(self) -> dict[str, Any]:
        place = self._collection.place
        if not self._collection.exists():
            raise ServerError(
                f"{place}: there is no such collection: femtosearch export INDEX --to makes one"
            )
        payload = self._collection.payloads([_FACTS]).get(_FACTS, {})
        facts = payload.get("femtosearch")
        if not isinstance(facts, dict):
            raise ServerError(
                f"{place}: not made by femtosearch export --to, or not to its end: export again"
            )
        return facts

    def _candidates(self, k: int) -> int:
        """How many find the k best, by the FDE's calibration."""
        calibration = self._fde.calibration
        if calibration is None:
            return max(CANDIDATES, k)
        count = calibration.count(max(calibration.prefixes), RECALL, max(1, self._passages))
        return max(k, count * max(k, BEST) // BEST)

    def _point_queries(self, rows: Rows, mode: str, count: int) -> Iterator[PointQuery | None]:
        """The query to Qdrant for each query; None for one without rows. Rows are rounded like those of
        passages.
        """
        fdes = [None] * len(rows) if mode == "maxsim" else list(self._fde.queries(rows))
        for query, fde in zip(rows, fdes, strict=True):
            coded = _rounded(np.ascontiguousarray(query), self._bits) if mode != "fde" else None
            yield PointQuery(fde, coded, count) if len(query) else None

    def _hits(self, best: Sequence[tuple[dict[str, Any], float]]) -> list[Hit]:
        """The hits; the texts of documents whose best passage is not the first come by one more request."""
        names = [text_field(payload, "id") for payload, _ in best]
        later = [
            point_id(name, 0) for name, (payload, _) in zip(names, best, strict=True) if payload.get("number")
        ]
        firsts = self._collection.payloads(later) if later else {}
        hits = []
        for name, (payload, score) in zip(names, best, strict=True):
            document = _document(firsts.get(point_id(name, 0), payload))
            hits.append(Hit(name, score, document.text, document.metadata, _span(payload, document), score))
        return hits


def _rounded(query: np.ndarray, bits: int) -> np.ndarray:
    """The rows of a query as MaxSim over rows of so many bits takes them."""
    return turned(quantise(turned(query)).rows()) if bits == 4 else quantise(query).rows()


def _no_where(where: Where | None) -> None:
    if where is not None:
        raise QueryError(
            "where: an index in Qdrant takes `filter`, a condition of Qdrant's own, in its place"
        )


def _document(payload: Mapping[str, Any]) -> Document:
    """The document in a payload. Raises ServerError."""
    metadata = payload.get("metadata")
    if not isinstance(metadata, dict):
        raise ServerError(
            f"payload: expected a mapping under 'metadata', found {str(metadata)[:80]!r}: export again"
        )
    return Document(text_field(payload, "id"), text_field(payload, "text"), metadata)


def _span(payload: Mapping[str, Any], document: Document) -> tuple[int, int] | None:
    span = payload.get("passage")
    if not isinstance(span, list) or len(span) != 2 or not all(type(at) is int for at in span):
        return None
    start, end = span
    return (start, end) if 0 <= start <= end <= len(document.text) else None


def _checked(facts: Mapping[str, Any], place: str) -> tuple[Origin, Fde, int, int]:
    """The model, the FDE, the number of passages and the bits of the rows that a collection's facts say.

    Raises ServerError.
    """
    model, passages, bits = facts.get("model"), facts.get("passages"), facts.get("bits", 8)
    if facts.get("format") != _FORMAT:
        raise ServerError(
            f"{place}: expected format {_FORMAT}, found {str(facts.get('format'))[:80]!r}: export again"
        )
    try:
        origin = Origin(str(model["name"]), str(model["fingerprint"]), int(model["dims"]))  # type: ignore[index]
        fde = restore_fde(base64.b64decode(facts["fde"], validate=True), place)
        fde.size(origin.dims)
        return origin, fde, int(passages), int(bits)  # type: ignore[arg-type]
    except (TypeError, KeyError, ValueError, FdeError) as error:
        raise ServerError(
            f"{place}: what it says of its model and FDE is damaged ({error}): export again"
        ) from None
