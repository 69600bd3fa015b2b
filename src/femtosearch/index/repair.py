"""Repair of a damaged index from its stored texts: its tables are made anew, its segments encoded anew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from femtosearch.errors import StoreError
from femtosearch.fde import Fde, store_fde
from femtosearch.frozen import frozen
from femtosearch.index.batch import PassageBatch
from femtosearch.index.check import Damage
from femtosearch.index.commit import Commit
from femtosearch.index.documents import Draft
from femtosearch.index.encoding import Encoding
from femtosearch.index.schema import fde_digest
from femtosearch.index.segment import Segment
from femtosearch.index.segment_header import Summary
from femtosearch.index.writer import Encode, encode_stretches, passage_batch
from femtosearch.model.foldings import folded
from femtosearch.model.stretches import batches

_BATCH = 256  # passages that are encoded at a time


@frozen
class Repair:
    """The result of a repair.

    mended:  what was mended, a sentence each.
    lost:    the damage that is left, because the index does not have what it takes to mend it.
    """

    mended: list[str]
    lost: list[Damage]


def mend(commit: Commit, encode: Encode, fde: Fde | None = None) -> list[str]:
    """Mend what can be mended, within one commit. Returns what was mended, a sentence each.

    fde:  the model's own FDE; it replaces a damaged one if it is the same.

    A segment that is damaged or missing is encoded anew from the texts of its documents. If it still says
    which passages it had, the result is equal to it bit for bit; else its texts are cut into passages anew.
    The passages of source code, which were encoded with the parts of identifiers, are always cut anew. Raises
    StoreError.
    """
    restored = [] if fde is None else _restore_fde(commit, fde)
    return restored + _Mending(commit, encode).mend()


class _Mending:
    """The repair of one index, within one commit."""

    def __init__(self, commit: Commit, encode: Encode) -> None:
        self._commit = commit
        self._encode = encode
        self._transaction = commit.transaction
        self._target = _encoding(commit)
        self._mended: list[str] = []

    def mend(self) -> list[str]:
        """Mend tables first, then segments, then documents without passages. Returns what was mended."""
        self._transaction.reindex()
        if self._transaction.has_words:
            self._transaction.set_words(True)
            self._mended.append("the table of words: made anew")
        if self._transaction.has_fields:
            self._transaction.set_fields(None)
            self._mended.append("the values of declared fields: made anew")
        for key in self._transaction.revive():
            self._mended.append(f"the document of key {key}: no longer counted as deleted")
        summaries = self._transaction.segments()
        firsts = sorted(summary.first for summary in summaries.values())
        present: set[int] = set()
        for number, summary in summaries.items():
            after = [first for first in firsts if first > summary.first]
            present |= self._segment(number, summary, after[0] if after else 1 << 62)
        self._complete(present)
        for name in self._transaction.read_again():
            self._mended.append(f"document {name[:80]!r}: its file is read again by the next refresh")
        return self._mended

    def _segment(self, number: int, summary: Summary, end: int) -> set[int]:
        """Mend a segment if it is damaged. Returns the keys of the documents whose passages it has.

        end:  the first key of the next segment.
        """
        segment, problem = _examined(self._commit, number, summary, self._target)
        if problem is None and segment is not None:
            return self._buried(segment)
        self._mended.append(f"segment {number}: encoded anew ({problem})")
        texts = self._transaction.texts(summary.first, end)
        dead = self._transaction.tombstones()
        writer = self._commit.new_segments()
        present: set[int] = set()
        try:
            for batch in self._batches(segment, texts):
                present.update(batch.keys.tolist())
                target = self._target
                writer.append(batch if target is None else target.add_to(batch, self._commit.dims))
        except BaseException:
            self._commit.discard(writer)
            raise
        gone = dead[(dead >= summary.first) & (dead < end)]
        self._commit.replace([number], writer.finish(), gone)
        return present

    def _batches(self, segment: Segment | None, texts: dict[int, str]) -> Iterator[PassageBatch]:
        """The passages of documents, encoded anew: those that the segment had, or else cut anew.

        texts:  key -> text, by rising keys.
        """
        if segment is not None:
            living = np.isin(segment.keys, np.array(list(texts), np.int64))
            columns = segment.keys[living], segment.spans[living], np.diff(segment.starts)[living]
            restored = self._restored(*columns, texts)
            if restored is not None:
                yield from restored
                return
            self._mended.append(f"{segment.name}: its passages are cut anew")
        keys = np.array(list(texts), np.int64)
        for stretches in batches(texts.values()):
            yield passage_batch(encode_stretches(stretches, self._encode), keys, self._commit.row_bits)

    def _restored(
        self, keys: np.ndarray, spans: np.ndarray, counts: np.ndarray, texts: dict[int, str]
    ) -> list[PassageBatch] | None:
        """The passages with these keys and spans, encoded anew; None if a text does not give one passage, or
        not with as many rows as `counts` says.
        """
        encoded = []
        for begin in range(0, len(keys), _BATCH):
            chosen = slice(begin, begin + _BATCH)
            pairs = zip(keys[chosen].tolist(), spans[chosen].tolist(), strict=True)
            passages = self._encode([folded(texts[key][start:stop]) for key, (start, stop) in pairs])
            if not np.array_equal(passages.owner, np.arange(len(keys[chosen]))):
                return None
            if not np.array_equal(np.diff(passages.rows.starts), counts[chosen]):
                return None
            passages = replace(passages, spans=spans[chosen])
            encoded.append(passage_batch(passages, keys[chosen], self._commit.row_bits))
        return encoded

    def _buried(self, segment: Segment) -> set[int]:
        """Bury the passages whose documents are not in the catalogue. Returns the keys of the others."""
        keys = set(segment.keys.tolist())
        unknown = keys - self._transaction.known_keys(keys)
        if unknown:
            self._transaction.bury(sorted(unknown))
            self._mended.append(
                f"{segment.name}: passages of {len(unknown)} unknown documents count as deleted"
            )
        return keys - unknown

    def _complete(self, present: set[int]) -> None:
        """Encode the documents with words that have no passages in any segment."""
        for key, (name, text, metadata) in self._transaction.without(present).items():
            if len(self._encode([folded(text)])):
                renewed = self._transaction.renew(key, Draft(name, text, metadata))
                for batch in self._batches(None, {renewed: text}):
                    self._commit.append(batch)
                self._mended.append(
                    f"document {name[:80]!r}: encoded, for its passages were gone (key {key})"
                )


def _restore_fde(commit: Commit, fde: Fde) -> list[str]:
    """Write the index's FDE anew if it is damaged and was this one. Returns what was mended."""
    digest = commit.transaction.fde_digest()
    content = store_fde(fde, commit.dims)
    if digest != fde_digest(content) or content == commit.transaction.fde_content():
        return []
    commit.transaction.set_fde(content, commit.transaction.fde_when())
    return ["the FDE: restored from the model"]


def _encoding(commit: Commit) -> Encoding | None:
    """The FDE that segments are to have, or None."""
    return commit.readable_encoding if commit.needs_fdes else None


def _examined(
    commit: Commit, number: int, summary: Summary, encoding: Encoding | None
) -> tuple[Segment | None, str | None]:
    """A segment, or None if it cannot be opened at all, and what is wrong with it, or None."""
    try:
        segment = commit.store.directory.open(number)
    except StoreError as error:
        return None, str(error)
    try:
        commit.open(number, summary, encoding).verify()
        segment.check_scales()
        segment.check_fde_scales()
    except StoreError as error:
        return (segment if segment.dims == commit.dims else None), str(error)
    return segment, None
