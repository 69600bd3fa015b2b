"""A collection to evaluate on: documents, queries, and which documents are relevant to a query.

This module decides what to do with oddities of the files, and counts them: docs/evaluation.md lists them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from femtosearch.errors import ReadError
from femtosearch.index.documents import is_id
from femtosearch.read.records import Record, kind_of, names

MOST_GRADE = 1_000_000  # trec_eval counts the documents of each grade up to the highest one


@dataclass(frozen=True, slots=True)
class Entry:
    """A document as its collection has it; a missing title is empty."""

    id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """A line of qrels."""

    query: str
    document: str
    grade: int


@dataclass(frozen=True, slots=True)
class Collection:
    """Documents, queries and grades.

    entries:  the documents; of several with one id the last.
    queries:  query id -> text, of the queries that are judged, in the order of their file.
    grades:   query id -> document id -> grade, of those queries, with grades of 0 and below.
    counts:   an oddity of the files in words -> how often it occurred, 1 or more.
    """

    name: str
    entries: tuple[Entry, ...]
    queries: Mapping[str, str]
    grades: Mapping[str, Mapping[str, int]]
    counts: Mapping[str, int] = field(default_factory=dict)

    def first(self, limit: int | None) -> Collection:
        """This collection with its first `limit` queries only; None keeps all."""
        if limit is None:
            return self
        queries = dict(list(self.queries.items())[:limit])
        return replace(self, queries=queries, grades={query: self.grades[query] for query in queries})


def collect(
    name: str,
    corpus: Iterable[tuple[str, Record]],
    queries: Iterable[tuple[str, Record]],
    qrels: Iterable[tuple[str, Record | list[Judgement]]],
) -> Collection:
    """Put a collection together from records, each with its place in a file.

    Raises ReadError for a record that says no id or text, and where no query is judged.
    """
    counts: dict[str, int] = {}
    entries = {entry.id: entry for entry in _counted(corpus, counts, "document")}
    texts_by_id = {entry.id: entry.text for entry in _counted(queries, counts, "query")}
    grades = _grades(qrels, counts)
    unknown = {query for query in grades if query not in texts_by_id}
    judged = {query: grades[query] for query in texts_by_id if query in grades}
    _add(counts, "judged queries without a text, left out", len(unknown))
    _add(counts, "queries without judgements, not asked", len(texts_by_id) - len(judged))
    _count_judgements(counts, entries, judged)
    blank = sum(not joined(entry.title, entry.text).strip() for entry in entries.values())
    _add(counts, "empty documents, which nothing finds", blank)
    _add(counts, "documents without a title", sum(not entry.title for entry in entries.values()))
    if not judged:
        raise ReadError(
            f"{name}: expected judgements of its queries, found none of {len(texts_by_id)} judged"
            f"{_unlike('query', texts_by_id, grades)}"
        )
    relevant = [document for of_query in judged.values() for document in above_zero(of_query)]
    if relevant and not any(document in entries for document in relevant):
        raise ReadError(
            f"{name}: expected relevant documents in its corpus, found none of {len(relevant)}"
            f"{_unlike('document', entries, relevant)}"
        )
    texts = {query: texts_by_id[query] for query in judged}
    return Collection(name, tuple(entries.values()), texts, judged, counts)


def _unlike(noun: str, ids: Iterable[str], judged: Iterable[str]) -> str:
    """An id of each side, where there is one: they may be spelled differently."""
    theirs, ours = next(iter(judged), None), next(iter(ids), None)
    return "" if theirs is None or ours is None else f": a {noun} is {ours!r}, a judged one {theirs!r}"


def joined(title: str, text: str, joint: str = " ") -> str:
    """A document's text after its title, if it has one, as BEIR joins them.

    >>> joined("Cats", "sit on mats"), joined("", " sits ")
    ('Cats sit on mats', ' sits ')
    """
    return f"{title}{joint}{text}".strip() if title else text


def above_zero(grades: Mapping[str, int]) -> dict[str, int]:
    """The grades above 0: those of relevant documents."""
    return {document: grade for document, grade in grades.items() if grade > 0}


def judgement(where: str, query: Any, document: Any, grade: Any) -> Judgement:
    """Check the fields of a row of qrels. Raises ReadError, for a grade that is too large, too."""
    try:
        number = float(grade)
        if number != int(number) or abs(number) > MOST_GRADE:
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise ReadError(
            f"{where}: expected a grade that is a whole number, at most {MOST_GRADE:,}, found {grade!r}"
        ) from None
    return Judgement(_id(where, query), _id(where, document), int(number))


def _counted(records: Iterable[tuple[str, Record]], counts: dict[str, int], noun: str) -> list[Entry]:
    """The entries of a file, each id once: its last entry, in the place of the first."""
    plural = {"document": "documents", "query": "queries"}[noun]
    entries: dict[str, Entry] = {}
    number = 0
    for where, record in records:
        entry = _entry(where, record)
        number += 1
        entries[entry.id] = entry
    _add(counts, f"{plural} of an id that is there twice, of which the last counts", number - len(entries))
    if noun == "query":
        _add(counts, "empty queries, which find nothing", sum(not e.text.strip() for e in entries.values()))
    return list(entries.values())


def _entry(where: str, record: Record) -> Entry:
    if isinstance(record, ValueError):
        raise ReadError(f"{where}: {record}")
    key = next((key for key in ("_id", "id") if key in record), None)
    if key is None or "text" not in record:
        raise ReadError(f"{where}: expected an object with _id and text, found {names(record)}")
    title, text = record.get("title") or "", record["text"]
    text = "" if text is None else text
    if not isinstance(text, str) or not isinstance(title, str):
        odd = text if not isinstance(text, str) else title
        raise ReadError(f"{where}: expected title and text to be texts, found {kind_of(odd)}")
    return Entry(_id(where, record[key]), title.strip(), text)


def _id(where: str, value: Any) -> str:
    """Check an id and make it a string: 17 is "17"."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not is_id(value):
        raise ReadError(f"{where}: expected an id that is a string or a whole number, found {value!r}")
    return value


def _grades(
    qrels: Iterable[tuple[str, Record | list[Judgement]]], counts: dict[str, int]
) -> dict[str, dict[str, int]]:
    grades: dict[str, dict[str, int]] = {}
    for where, row in qrels:
        for line in row if isinstance(row, list) else _judgements(where, row):
            of_query = grades.setdefault(line.query, {})
            if line.document in of_query:
                _add(counts, "judgements that are there twice, of which the last counts", 1)
            of_query[line.document] = line.grade
    return grades


def _judgements(where: str, record: Record) -> list[Judgement]:
    """The judgements of a row of NanoBEIR's qrels, which may list documents and leave out the grade, 1."""
    if isinstance(record, ValueError):
        raise ReadError(f"{where}: {record}")
    if "query-id" not in record or "corpus-id" not in record:
        raise ReadError(f"{where}: expected query-id and corpus-id, found {names(record)}")
    documents = record["corpus-id"]
    documents = documents if isinstance(documents, list) else [documents]
    grade = record.get("score", 1)
    return [judgement(where, record["query-id"], document, grade) for document in documents]


def _count_judgements(
    counts: dict[str, int], entries: Mapping[str, Entry], grades: Mapping[str, Mapping[str, int]]
) -> None:
    lines = [(document, grade) for by_document in grades.values() for document, grade in by_document.items()]
    missing = sum(document not in entries and grade > 0 for document, grade in lines)
    _add(counts, "relevant documents that the corpus lacks, which count as not found", missing)
    _add(counts, "grades of 0, not relevant", sum(grade == 0 for _, grade in lines))
    _add(counts, "grades below 0, not relevant", sum(grade < 0 for _, grade in lines))
    _add(counts, "queries without a relevant document", sum(not above_zero(g) for g in grades.values()))
    _add(counts, "queries with the id of a document", sum(query in entries for query in grades))


def _add(counts: dict[str, int], what: str, number: int) -> None:
    if number:
        counts[what] = counts.get(what, 0) + number
