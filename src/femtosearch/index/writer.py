"""The road in: documents become batches of passages, batches segments, and segments a commit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

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

_GROUP_CHARACTERS = 1 << 20  # of the texts of a group, beyond the first

Encode = Callable[[list[str]], Passages]


@contextmanager
def writing(store: Store) -> Iterator[Commit]:
    """One commit: what is done with it counts when the block ends, or not at all.

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
    """Store and encode documents, at most `batch` at a time. Their ids, in the order given."""
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
    """A document's key and id, and whether it is new: what is there as it is is left alone."""
    draft = named(draft)
    record = commit.transaction.stored(str(draft.id))
    if record is not None and record[1:] == (draft.text, draft.metadata):
        return record[0], str(draft.id), False
    return commit.transaction.put(draft), str(draft.id), True


class Queue:
    """New documents of files, encoded as many at a time as `add_documents` does.

    progress:  called with the number of documents encoded.
    """

    def __init__(
        self, commit: Commit, encode: Encode, batch: int, progress: Callable[[int], object] | None
    ) -> None:
        self._commit, self._model, self._batch, self._progress = commit, encode, batch, progress
        self._keys: list[int] = []
        self._texts: list[str] = []
        self._cuts: list[Cut] = []
        self._characters = self._encoded = 0

    def append(self, key: int, text: str, cut: Cut) -> None:
        """Encode a document soon, whose key is larger than all before."""
        if self._keys and self._characters + len(text) > _GROUP_CHARACTERS:
            self.flush()
        self._keys.append(key)
        self._texts.append(text)
        self._cuts.append(cut)
        self._characters += len(text)
        if len(self._keys) >= self._batch:
            self.flush()

    def flush(self) -> None:
        """Encode what waits. Raises DocumentError where memory runs out."""
        self._commit.store.check_process()
        try:
            _encode(self._commit, self._keys, self._texts, self._model, self._cuts)
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
    for batch in batches(texts, [cut.cuts for cut in cuts]):
        commit.append(_encoded(commit, batch, numbers, encode, split))


def _out_of_memory(ids: list[str], group: list[Draft]) -> str:
    longest = max(range(len(group)), key=lambda place: len(group[place].text))
    last = f"the last that fitted is document {len(ids) - 1} (id {ids[-1][:80]!r})" if ids else "none fitted"
    return (
        f"document {len(ids) + longest}, of {len(group[longest].text):,} characters: there is not enough "
        f"memory to index it; {last}. Nothing was added: add it in pieces, or with a smaller batch"
    )


def _encoded(
    commit: Commit, batch: list[Stretch], keys: np.ndarray, encode: Encode, split: set[int]
) -> PassageBatch:
    """The passages of stretches.

    keys:   [N] int64, of the texts that the stretches are numbered by.
    split:  the numbers of the texts whose identifiers are found by their parts, too.
    """
    heard = dict(_heard(batch, split))
    passages = encode([heard[n][0] if n in heard else stretch.text for n, stretch in enumerate(batch)])
    if passages.tokens is not None and passages.unknown is not None:
        commit.count_tokens(int(passages.tokens.sum()), int(passages.unknown.sum()))
    owners = np.array([stretch.owner for stretch in batch], np.int64)
    offsets = np.array([stretch.offset for stretch in batch], np.int64)
    spans = passages.spans.copy()
    for number, (_, places) in heard.items():
        of_text = passages.owner == number
        spans[of_text] = places[spans[of_text]]
    spans += offsets[passages.owner, None]
    rows = RowCodes.of(quantise_rows(passages.rows.rows, commit.row_bits))
    return PassageBatch(keys[owners[passages.owner]], passages.rows.starts, spans.astype(np.int32), rows)


def _heard(batch: list[Stretch], split: set[int]) -> Iterator[tuple[int, tuple[str, np.ndarray]]]:
    """The stretches of which the model is given another text, and where in theirs its places are."""
    for number, stretch in enumerate(batch):
        if stretch.owner in split:
            yield number, with_parts(stretch.text)
        elif (text := folded_with_places(stretch.text)) is not None:
            yield number, text
