"""Scoring rules: which documents, queries and grades of a collection count, as each peer has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from femtosearch.errors import QueryError
from femtosearch.evaluation.collection import Collection, Entry, above_zero, joined
from femtosearch.types import Document

DEPTH = 100  # documents of a ranking


@dataclass(frozen=True, slots=True)
class Rules:
    """How a collection is scored.

    joint:       what stands between title and text; None: the title is not used.
    drops_own:   a document with the query's own id is left out of its ranking.
    drops_empty: documents and queries without a character are left out.
    binary:      every judged document is relevant, whatever its grade, and average precision is divided by
                 min(100, relevant documents) and not by their number.
    padded:      "exact" pads documents with rows of zeros to the longest one's length, so that no row of a
                 query counts below 0 with any of them.
    keeps_bare:  a query without a relevant document counts, with 0, as trec_eval has it; else it is left out.
    modes:       the modes that are measured by default.
    """

    name: str
    joint: str | None = " "
    drops_own: bool = False
    drops_empty: bool = False
    binary: bool = False
    keeps_bare: bool = False
    padded: bool = False
    modes: tuple[str, ...] = ("maxsim",)

    def documents(self, collection: Collection) -> list[Document]:
        """The documents to search."""
        documents = [Document(entry.id, self._text(entry)) for entry in collection.entries]
        return [document for document in documents if document.text] if self.drops_empty else documents

    def queries(self, collection: Collection) -> dict[str, str]:
        """The queries to ask, query id -> text, in their order."""
        relevant = self.relevant(collection)
        queries = {query: text for query, text in collection.queries.items() if query in relevant}
        return {query: text for query, text in queries.items() if text} if self.drops_empty else queries

    def relevant(self, collection: Collection) -> dict[str, dict[str, int]]:
        """Relevant documents: query id -> document id -> grade, 1 or more."""
        relevant = {query: self._relevant(grades) for query, grades in collection.grades.items()}
        return {query: grades for query, grades in relevant.items() if grades or self.keeps_bare}

    def _text(self, entry: Entry) -> str:
        return entry.text if self.joint is None else joined(entry.title, entry.text, self.joint)

    def _relevant(self, grades: Mapping[str, int]) -> dict[str, int]:
        return dict.fromkeys(grades, 1) if self.binary else above_zero(grades)


RULES = {
    rules.name: rules
    for rules in (
        Rules("beir", drops_own=True, keeps_bare=True),
        Rules("txtai", joint=". ", drops_own=True, drops_empty=True, keeps_bare=True),
        Rules("pylate", joint=None, drops_empty=True, binary=True, padded=True, modes=("exact",)),
        Rules("sentence-transformers", joint=None, drops_empty=True, binary=True, modes=("exact",)),
    )
}


def rules_named(name: str) -> Rules:
    """Look rules up by their name. Raises QueryError."""
    if name not in RULES:
        raise QueryError(f"rules: expected one of {', '.join(RULES)}, found {name!r}")
    return RULES[name]
