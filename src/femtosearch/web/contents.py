"""What an index holds as a page reads it: documents by their ids, their passages, and the passages' rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np

from femtosearch.codes import quantise_rows, rows_of, width
from femtosearch.errors import StoreError
from femtosearch.index.export import Record
from femtosearch.index.fusion import PENALTY
from femtosearch.model.foldings import folded
from femtosearch.model.model import Model
from femtosearch.web.bundle import Bundle
from femtosearch.web.shorthand import LEAST_ROWS, Shorthand

MOST_PASSAGES = 50_000  # which a page still scores in about a second
_TOGETHER = 512  # passages that are encoded at a time
_NEAR = {8: 0.0016, 4: 0.01}  # the squared distance of rows that codes of so many bits do not tell apart


@dataclass(slots=True)
class Contents:
    """Documents in the order of their ids, and what their passages have, end to end.

    documents:  [id, title or None, url or None, text] of each.
    counts:     passages of each document.
    characters: where each passage lies in its text; spans: in units of UTF-16, as JavaScript counts.
    lengths:    rows of each passage.
    bits:       of a number of the rows, 8 or 4.
    values:     their codes, a row after the other; scales: those of the rows.
    """

    bits: int
    documents: list[list[str | None]] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    characters: list[list[int]] = field(default_factory=list)
    spans: list[list[int]] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    values: list[bytes] = field(default_factory=list)
    scales: list[bytes] = field(default_factory=list)

    @classmethod
    def of(cls, records: Iterable[Record], bits: int, link: str | None = None) -> Contents:
        """Those of an index. Raises StoreError for more than a page can search.

        bits:  of a number of the rows.
        link:  where documents lead: a pattern with {id} and {stem}; None: to the url of their metadata.
        """
        collected, passages = [], 0
        for record in records:
            collected.append(record)
            passages += len(record.passages or ())
            if passages > MOST_PASSAGES:
                raise StoreError(
                    f"expected at most {MOST_PASSAGES:,} passages, which a page can search, found more: "
                    "export fewer documents (--where), or serve the index (femtosearch serve)"
                )
        contents = cls(bits)
        for record in sorted(collected, key=lambda record: record.id):
            contents._add(record, link)
        return contents

    def _add(self, record: Record, link: str | None) -> None:
        title = record.metadata.get("title")
        url = _url(record.metadata) if link is None else _linked(link, record.id)
        shown = title if isinstance(title, str) and title else None
        self.documents.append([record.id, shown, url, record.text])
        passages = record.passages or []
        self.counts.append(len(passages))
        units = _units(record.text)
        for passage in passages:
            self.characters.append(passage["span"])
            self.spans.append([int(place if units is None else units[place]) for place in passage["span"]])
            self.lengths.append(passage["rows"])
            self.values.append(passage["codes"])
            self.scales.append(passage["scales"])

    def header(self, model: Model, bundle: Bundle, *, whole_rows: bool) -> dict[str, Any]:
        """What the page has to know of them; their arrays go into the bundle.

        whole_rows:  all rows as they are in the index; else in shorthand where that is shorter, but for those
                     of passages of which the page's model would make others.
        """
        return {
            "penalty": PENALTY,
            "bits": self.bits,
            "documents": bundle.put_json(self.documents),
            "counts": bundle.put(np.array(self.counts, np.int32)),
            "spans": bundle.put(np.array(self.spans, np.int32).reshape(-1, 2)),
            "lengths": bundle.put(np.array(self.lengths, np.int32)),
            **self._rows(model, bundle, whole_rows=whole_rows),
        }

    def _rows(self, model: Model, bundle: Bundle, *, whole_rows: bool) -> dict[str, Any]:
        values = np.frombuffer(b"".join(self.values), np.int8).reshape(-1, width(model.dims, self.bits))
        scales = np.frombuffer(b"".join(self.scales), "<f4")
        if whole_rows or len(values) < LEAST_ROWS:
            return {"codes": bundle.put(values), "scales": bundle.put(scales)}
        again = self._made_again(model) & (np.array(self.lengths) > 0)
        stored = ~np.repeat(again, self.lengths)
        short = Shorthand.of(self._decoded(values, scales, model.dims))
        return {
            "codes": bundle.put(values[stored]),
            "scales": bundle.put(scales[stored]),
            "again": bundle.put(again.astype(np.uint8)),
            "shorthand": [
                bundle.put(array)
                for array in (short.centres, short.books, short.chosen[~stored], short.codes[~stored])
            ],
        }

    def _made_again(self, model: Model) -> np.ndarray:
        """Of which passages the model makes the rows of the index from the passage's text alone: [N] bool."""
        if model.conventions.pool_factor != 1:  # which pages do not know
            return np.zeros(len(self.lengths), bool)
        texts = iter(self._passage_texts())
        again: list[bool] = []
        while batch := list(islice(texts, _TOGETHER)):
            passages = model.encode_passages([folded(text) for text in batch])
            alone = np.bincount(passages.owner, minlength=len(batch)) == 1
            rows = dict(zip(passages.owner.tolist(), passages.rows, strict=True))
            again += [bool(alone[n]) and self._is_same(len(again) + n, rows[n]) for n in range(len(batch))]
        return np.array(again, bool)

    def _is_same(self, passage: int, rows: np.ndarray) -> bool:
        """Whether rows are a passage's, but for what instruction sets do otherwise."""
        again = quantise_rows(rows, self.bits).rows()
        values = np.frombuffer(self.values[passage], np.int8).reshape(-1, width(rows.shape[1], self.bits))
        stored = self._decoded(values, np.frombuffer(self.scales[passage], "<f4"), rows.shape[1])
        if len(stored) != len(again):
            return False
        return bool(np.square(stored - again).sum(axis=1).max(initial=0) < _NEAR[self.bits])

    def _decoded(self, values: np.ndarray, scales: np.ndarray, dims: int) -> np.ndarray:
        return rows_of(values, scales, dims, self.bits, levels=self.bits == 4)

    def _passage_texts(self) -> Iterator[str]:
        owners = np.repeat(np.arange(len(self.counts)), self.counts)
        for (start, end), owner in zip(self.characters, owners.tolist(), strict=True):
            yield str(self.documents[owner][3])[start:end]


def _units(text: str) -> np.ndarray | None:
    """Where each character, and the end, lies in units of UTF-16; None where both count alike."""
    if not text or max(text) < "\U00010000":
        return None
    wide = np.frombuffer(text.encode("utf-32-le"), np.uint32) > 0xFFFF
    return np.concatenate([[0], np.cumsum(1 + wide)])


def is_link(url: str) -> bool:
    """Whether it leads to a page, on the web or beside this one, and is no script."""
    try:
        return urlsplit(url.strip()).scheme in ("", "http", "https")
    except ValueError:
        return False


def _url(metadata: dict[str, Any]) -> str | None:
    url = metadata.get("url")
    return url.strip() if isinstance(url, str) and is_link(url) else None


def _linked(pattern: str, document_id: str) -> str:
    """A pattern with a document's id in it.

    >>> _linked("/{stem}.html#{id}", "a b/notes.md")
    '/a%20b/notes.html#a%20b/notes.md'
    """
    stem = document_id.rpartition(".")[0] or document_id
    return pattern.replace("{id}", quote(document_id)).replace("{stem}", quote(stem))
