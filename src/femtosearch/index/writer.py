"""The road in: documents become batches of passages, batches segments, and segments a commit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import numpy as np

from femtosearch.codes import quantise
from femtosearch.index import rewrite
from femtosearch.index.batch import PassageBatch, RowCodes
from femtosearch.index.commit import Commit
from femtosearch.index.documents import Draft
from femtosearch.index.store import Store
from femtosearch.types import Passages

_BATCH_CHARACTERS = 1 << 20  # of the texts that are encoded at once, beyond the first

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
                rewrite.merge_small(commit)
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
    for group in _groups(drafts, batch):
        commit.store.check_process()
        ids += _add(commit, group, encode)
        if progress is not None:
            progress(len(ids))
    return ids


def _add(commit: Commit, group: list[Draft], encode: Encode) -> list[str]:
    stored = [commit.transaction.put(draft) for draft in group]
    # Of documents with one id only the last still counts, so only that one is worth encoding.
    last = {document_id: place for place, (_, document_id) in enumerate(stored)}
    places = sorted(last.values())
    passages = encode([group[place].text for place in places])
    keys = np.array([stored[place][0] for place in places], np.int64)
    rows = RowCodes.of(quantise(passages.rows.rows))
    commit.append(PassageBatch(keys[passages.owner], passages.rows.starts, passages.spans, rows))
    return [document_id for _, document_id in stored]


def _groups(drafts: Iterable[Draft], batch: int) -> Iterator[list[Draft]]:
    """Groups of at most `batch` documents, fewer where their texts are long."""
    group: list[Draft] = []
    characters = 0
    for draft in drafts:
        if group and (len(group) == batch or characters + len(draft.text) > _BATCH_CHARACTERS):
            yield group
            group, characters = [], 0
        group.append(draft)
        characters += len(draft.text)
    if group:
        yield group
