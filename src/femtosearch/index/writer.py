"""The road in: documents are encoded to batches of passages, batches are written to segments, and
committed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from femtosearch.codes import quantise_rows
from femtosearch.errors import DocumentError
from femtosearch.index import rewrite
from femtosearch.index.batch import PassageBatch, RowCodes
from femtosearch.index.commit import Commit
from femtosearch.index.documents import Draft, named
from femtosearch.index.filing import Cut
from femtosearch.index.store import Store
from femtosearch.model.foldings import folded_with_places
from femtosearch.model.identifiers import with_parts
from femtosearch.model.stretches import Stretch, batches, bounded
from femtosearch.types import Passages

_GROUP_CHARACTERS = 1 << 20  # of the texts that are encoded together, except where one alone is longer

Encode = Callable[[list[str]], Passages]


@contextmanager
def writing(store: Store) -> Iterator[Commit]:
    """Open a commit: it is committed when the block ends, or nothing of it counts if the block raises.

    Raises LockedError, StoreError.
    """
    with store.hold_lock():
        commit = None
        try:
            with store.transaction() as transaction:
                commit = Commit(store, transaction)
                yield commit
                commit.add_segments()
                rewrite.complete_fdes(commit)
                rewrite.tidy(commit)
        except BaseException:
            if commit is not None:
                commit.abandon()
            raise
        commit.remove_replaced()


def add_documents(
    commit: Commit,
    drafts: Iterable[Draft],
    encode: Encode,
    batch: int,
    progress: Callable[[int], object] | None,
) -> list[str]:
    """Store and encode documents, at most `batch` at a time. Returns their ids, in their order.

    progress:  called after each batch with the number of documents done.
    Raises DocumentError, StoreError.
    """
    ids: list[str] = []
    for group in bounded(drafts, _GROUP_CHARACTERS, batch):
        commit.store.check_process()
        try:
            ids += _add(commit, group, encode)
        except MemoryError as error:
            raise DocumentError(_out_of_memory(ids, group)) from error
        if progress is not None:
            progress(len(ids))
    return ids


def _add(commit: Commit, group: list[Draft], encode: Encode) -> list[str]:
    stored = [store_draft(commit, draft) for draft in group]
    # Of documents with one id only the last key still counts, so only its text is worth encoding.
    last = {document_id: key for key, document_id, _ in stored}
    new = [place for place, (key, name, is_new) in enumerate(stored) if is_new and key == last[name]]
    _encode(commit, [stored[place][0] for place in new], [group[place].text for place in new], encode)
    return [document_id for _, document_id, _ in stored]


def store_draft(commit: Commit, draft: Draft) -> tuple[int, str, bool]:
    """Store a document, unless it is stored unchanged already. Returns its key, its id, and whether
    it is new.
    """
    draft = named(draft)
    record = commit.transaction.stored(str(draft.id))
    if record is not None and record[1:] == (draft.text, draft.metadata):
        return record[0], str(draft.id), False
    return commit.transaction.put(draft), str(draft.id), True


class Queue:
    """A queue of new documents of files, which are encoded in batches.

    batch:     how many documents are encoded at once.
    progress:  called after each batch with the number of documents encoded.
    """

    def __init__(
        self, commit: Commit, encode: Encode, batch: int, progress: Callable[[int], object] | None
    ) -> None:
        self._commit, self._encode, self._batch, self._progress = commit, encode, batch, progress
        self._keys: list[int] = []
        self._texts: list[str] = []
        self._cuts: list[Cut] = []
        self._characters = self._encoded = 0

    def append(self, key: int, text: str, cut: Cut) -> None:
        """Add a document, whose key is larger than all before; it is encoded with its batch."""
        if self._keys and self._characters + len(text) > _GROUP_CHARACTERS:
            self.flush()
        self._keys.append(key)
        self._texts.append(text)
        self._cuts.append(cut)
        self._characters += len(text)
        if len(self._keys) >= self._batch:
            self.flush()

    def flush(self) -> None:
        """Encode the documents in the queue. Raises DocumentError if memory runs out."""
        self._commit.store.check_process()
        try:
            _encode(self._commit, self._keys, self._texts, self._encode, self._cuts)
        except MemoryError as error:
            longest = max(map(len, self._texts))
            raise DocumentError(
                f"a document of {longest:,} characters: there is not enough memory to index it; add it in "
                "pieces"
            ) from error
        self._encoded += len(self._keys)
        self._keys, self._texts, self._cuts, self._characters = [], [], [], 0
        if self._progress is not None:
            self._progress(self._encoded)


def _encode(
    commit: Commit, keys: list[int], texts: list[str], encode: Encode, cuts: Sequence[Cut] = ()
) -> None:
    """Encode documents, whose keys rise, and append their passages to the commit."""
    numbers = np.array(keys, np.int64)
    split = {number for number, cut in enumerate(cuts) if cut.splits_words}
    for stretches in batches(texts, [cut.cuts for cut in cuts]):
        passages = encode_stretches(stretches, encode, split)
        if passages.tokens is not None and passages.unknown is not None:
            commit.count_tokens(int(passages.tokens.sum()), int(passages.unknown.sum()))
        commit.append(passage_batch(passages, numbers, commit.row_bits))


def _out_of_memory(ids: list[str], group: list[Draft]) -> str:
    longest = max(range(len(group)), key=lambda place: len(group[place].text))
    last = f"the last that fitted is document {len(ids) - 1} (id {ids[-1][:80]!r})" if ids else "none fitted"
    return (
        f"document {len(ids) + longest}, of {len(group[longest].text):,} characters: there is not enough "
        f"memory to index it; {last}. Nothing was added: add it in pieces, or with a smaller batch"
    )


def encode_stretches(stretches: list[Stretch], encode: Encode, split: Set[int] = frozenset()) -> Passages:
    """Encode stretches of texts, folded, to passages whose owners and spans are those of the texts.

    split:  the numbers of the texts whose identifiers are encoded with their parts, too.
    """
    folded = dict(_folded(stretches, split))
    passages = encode([folded[n][0] if n in folded else piece.text for n, piece in enumerate(stretches)])
    owners = np.array([stretch.owner for stretch in stretches], np.int64)
    offsets = np.array([stretch.offset for stretch in stretches], np.int64)
    spans = passages.spans.copy()
    for number, (_, places) in folded.items():
        of_stretch = passages.owner == number
        spans[of_stretch] = places[spans[of_stretch]]
    spans += offsets[passages.owner, None]
    return replace(passages, owner=owners[passages.owner], spans=spans)


def _folded(stretches: list[Stretch], split: Set[int]) -> Iterator[tuple[int, tuple[str, np.ndarray]]]:
    """The numbers of the stretches that the model gets as another text; that text, and for each place in it
    the place in the stretch.
    """
    for number, stretch in enumerate(stretches):
        if stretch.owner in split:
            yield number, with_parts(stretch.text)
        elif (folding := folded_with_places(stretch.text)) is not None:
            yield number, folding


def passage_batch(passages: Passages, keys: np.ndarray, bits: int) -> PassageBatch:
    """Code the rows of passages for a segment. keys: [texts] int64, of the passages' owners; bits: 8 or 4."""
    rows = RowCodes.of(quantise_rows(passages.rows.rows, bits))
    return PassageBatch(keys[passages.owner], passages.rows.starts, passages.spans.astype(np.int32), rows)
