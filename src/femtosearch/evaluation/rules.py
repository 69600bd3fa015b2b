"""Scoring rules: what of a collection is scored, as this or that peer does it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from femtosearch.errors import QueryError
from femtosearch.evaluation.collection import Collection, Entry
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
                 query counts below 0 with any other.
    keeps_bare:  a query without a relevant document counts, with 0, as trec_eval has it; else it is left out.
    modes:       what is measured if nothing else is asked for.
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
        """What is searched."""
        found = [Document(entry.id, self._text(entry)) for entry in collection.entries]
        return [one for one in found if one.text] if self.drops_empty else found

    def queries(self, collection: Collection) -> dict[str, str]:
        """What is asked, in order."""
        relevant = self.relevant(collection)
        asked = {query: text for query, text in collection.queries.items() if query in relevant}
        return {query: text for query, text in asked.items() if text} if self.drops_empty else asked

    def relevant(self, collection: Collection) -> dict[str, dict[str, int]]:
        """query id -> document id -> grade, 1 or more, of what should be found."""
        found = {query: self._relevant(grades) for query, grades in collection.grades.items()}
        return {query: grades for query, grades in found.items() if grades or self.keeps_bare}

    def _text(self, entry: Entry) -> str:
        if self.joint is None or not entry.title:
            return entry.text
        return f"{entry.title}{self.joint}{entry.text}".strip()

    def _relevant(self, grades: Mapping[str, int]) -> dict[str, int]:
        if self.binary:
            return dict.fromkeys(grades, 1)
        return {document: grade for document, grade in grades.items() if grade > 0}


RULES = {
    rules.name: rules
    for rules in (
        Rules("beir"),
        Rules("txtai", joint=". ", drops_own=True, drops_empty=True, keeps_bare=True),
        Rules("pylate", joint=None, drops_empty=True, binary=True, padded=True, modes=("exact",)),
        Rules("sentence-transformers", joint=None, drops_empty=True, binary=True, modes=("exact",)),
    )
}


def rules_named(name: str) -> Rules:
    """Rules by their name. Raises QueryError."""
    if name not in RULES:
        raise QueryError(f"rules: expected one of {', '.join(RULES)}, found {name!r}")
    return RULES[name]
