"""A BEIR folder: corpus.jsonl, queries.jsonl and qrels/test.tsv."""

from __future__ import annotations

import csv
import sys
from dataclasses import dataclass
from pathlib import Path

from femtosearch.read import read
from femtosearch.types import Document


@dataclass(frozen=True, slots=True)
class Collection:
    """What is searched, what is asked and what should be found.

    documents:  their text is title + " " + text where there is a title.
    queries:    id -> text, of the queries that are judged.
    judged:     query id -> document id -> grade, of grades above 0.
    """

    name: str
    documents: list[Document]
    queries: dict[str, str]
    judged: dict[str, dict[str, int]]

    @property
    def texts(self) -> list[str]:
        """The documents' texts, in their order."""
        return [document.text for document in self.documents]


def collection(folder: Path) -> Collection:
    """Read a folder; one that is not in BEIR's layout ends the program with what was expected."""
    names = ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv")
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        expected = f"a BEIR folder with {', '.join(names)}"
        sys.exit(f"{folder}: expected {expected}, found no {missing[0]}; give another --data")
    judged = _judgements(folder / "qrels" / "test.tsv")
    queries = {document.id: document.text for document in read([folder / "queries.jsonl"])}
    return Collection(
        folder.resolve().name,
        list(read([folder / "corpus.jsonl"])),
        {query: queries[query] for query in judged},
        judged,
    )


def _judgements(path: Path) -> dict[str, dict[str, int]]:
    """query-id, corpus-id, score under a header row; what is graded 0 is not relevant and left out."""
    judged: dict[str, dict[str, int]] = {}
    with open(path, encoding="utf-8", newline="") as file:
        for query, document, grade in list(csv.reader(file, delimiter="\t"))[1:]:
            if int(grade) > 0:
                judged.setdefault(query, {})[document] = int(grade)
    return judged
