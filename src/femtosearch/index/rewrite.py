"""Rewriting segments within a commit: without the passages of tombstones, joined, or with other FDEs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import groupby

import numpy as np

from femtosearch.errors import StoreError
from femtosearch.fde import Fde
from femtosearch.frozen import frozen
from femtosearch.index import commit as commits
from femtosearch.index.batch import PassageBatch
from femtosearch.index.commit import Commit
from femtosearch.index.encoding import Encoding
from femtosearch.index.segment_header import Summary
from femtosearch.index.segments import SegmentsWriter

_TIER = 8  # segments of one size class that are joined
_SMALLEST_BYTES = 64 << 10  # the upper bound of the smallest size class
_FEW = 8  # fewer dead passages than this cause no compaction
_SHARE = 0.25  # dead passages are counted only from so many tombstones a document on


@frozen(eq=False)
class Copy:
    """New segments with the living passages of others, and the dead keys that are in no segment any more."""

    replaced: list[int]
    segments: dict[int, Summary]
    keys: np.ndarray


def compact(commit: Commit) -> None:
    """Rewrite the segments that have dead passages, or whose FDEs lie in the old order, and join small
    neighbours. Raises StoreError.
    """
    commit.transaction.split_fdes()
    tombstones, encoding = commit.transaction.tombstones(), commit.encoding

    def is_stale(number: int, summary: Summary) -> bool:
        segment = commit.open(number, summary, encoding)
        dead = bool(np.isin(segment.keys, tombstones).any())
        return dead or (segment.fde is not None and segment.fde.order != commit.transaction.fde_order)

    def is_due(item: tuple[int, Summary]) -> bool:
        return item[1].bytes < commits.SEGMENT_BYTES // 2 or is_stale(*item)

    for due, group in groupby(commit.transaction.segments().items(), is_due):
        run = dict(group)
        if due and (len(run) > 1 or is_stale(*next(iter(run.items())))):
            _replace(commit, copy(commit, run, encoding))
    commit.transaction.shrink()


def tidy(commit: Commit) -> None:
    """Keep the index small: compact it if more than half of the passages are dead, else join small
    segments.
    """
    if commit.transaction.removes and _is_mostly_dead(commit):
        try:
            compact(commit)
            return
        except StoreError as error:  # what was added counts even if an old segment is damaged
            _warn("the index was not compacted: %s", error)
    merge_small(commit)


def _is_mostly_dead(commit: Commit) -> bool:
    if commit.transaction.dead_share() < _SHARE:
        return False
    segments = commit.transaction.segments()
    passages = sum(summary.passages for summary in segments.values())
    tombstones = commit.transaction.tombstones()
    opened = (commit.open(number, summary, None) for number, summary in segments.items())
    dead = sum(int(np.isin(segment.keys, tombstones).sum()) for segment in opened)
    return dead >= _FEW and 2 * dead > passages


def replace_fde(commit: Commit, fde: Fde | None) -> None:
    """Replace the FDE of the index and of all passages, made from their stored rows, or remove it. Raises
    StoreError.
    """
    before = commit.readable_encoding
    commit.transaction.split_fdes()
    commit.set_fde(fde)
    _replace(commit, copy(commit, commit.transaction.segments(), before))
    commit.transaction.shrink()


def replace_rows(commit: Commit, bits: int) -> None:
    """Recode all rows with 8 or 4 bits a number; FDEs stay as they are. Raises StoreError."""
    commit.transaction.set_row_bits(bits)
    _replace(commit, copy(commit, commit.transaction.segments(), commit.encoding))
    commit.transaction.shrink()


def complete_fdes(commit: Commit) -> None:
    """Make FDEs for the segments that were stored without, if the index is large enough to need them."""
    if not commit.needs_fdes:
        return
    for number, summary in commit.transaction.segments().items():
        if not summary.has_fdes(commit.dims, commit.row_bits):
            _replace(commit, copy(commit, {number: summary}, commit.encoding))


def merge_small(commit: Commit) -> None:
    """Join the last segments of a size class if there are 8, so that many small adds do not leave many small
    segments.

    The next size class is 8 times as large, so a row is copied only a few times, however it was added.
    """
    segments = list(commit.transaction.segments().items())
    size = _SMALLEST_BYTES
    while size * _TIER <= commits.SEGMENT_BYTES:
        tail = len(segments)
        while tail and segments[tail - 1][1].bytes < size:
            tail -= 1
        if len(segments) - tail >= _TIER:
            _merge(commit, dict(segments[tail:]))
            return
        size *= _TIER


def copy_documents(commit: Commit, ids: Iterable[str], change: Callable[[str], str]) -> int:
    """Change the metadata of documents, which get new keys, with copies of their rows. Returns how many
    documents there are with these ids.

    change:  takes metadata as JSON text, and returns the new text. Its errors are raised; and StoreError.
    """
    keys = [key for key in map(commit.transaction.key_of, dict.fromkeys(ids)) if key is not None]
    renewed = {key: commit.transaction.replace_metadata(key, change) for key in sorted(keys)}
    pairs = [(old, new) for old, new in renewed.items() if old != new]  # both rise
    old, new = np.array(pairs, np.int64).reshape(-1, 2).T
    for number, summary in commit.transaction.segments().items():
        segment = commit.open(number, summary, None)
        copied = np.isin(segment.keys, old)
        if copied.any():
            segment.verify()  # or damage would be copied under a checksum that fits
            for batch in segment.batches(copied):
                commit.append(replace(batch.without_fde(), keys=new[np.searchsorted(old, batch.keys)]))
    return len(keys)


def copy(commit: Commit, run: dict[int, Summary], source: Encoding | None) -> Copy:
    """Copy the living passages of neighbouring segments to new ones, code by code. Raises StoreError.

    source:  the FDE that they have. If the index has another FDE now, new FDEs are made; if its rows have
             other bits now, rows are recoded.
    """
    tombstones = commit.transaction.tombstones()
    target, bits = commit.encoding if commit.needs_fdes else None, commit.row_bits
    keys = [tombstones[:0]]
    writer = commit.new_segments()
    try:
        for number, summary in run.items():
            segment = commit.open(number, summary, source)
            segment.verify()  # or damage would be copied under a checksum that fits
            dead = np.isin(segment.keys, tombstones)
            keys.append(np.unique(segment.keys[dead]))
            for batch in segment.batches(~dead if dead.any() else None):
                recoded = replace(batch, rows=batch.rows.in_bits(bits, commit.dims))
                _append(writer, recoded, commit.dims, target, target is source)
        return Copy(list(run), writer.finish(), np.concatenate(keys))
    except BaseException:
        commit.discard(writer)
        raise


def _append(
    writer: SegmentsWriter, batch: PassageBatch, dims: int, target: Encoding | None, is_same: bool
) -> None:
    """Append a batch with FDEs of the target encoding, or without. is_same: whether its FDEs are of
    that one.
    """
    if target is None:
        writer.append(batch.without_fde())
    elif is_same and batch.fde is not None:
        writer.append(batch)
    else:
        writer.append(target.add_to(batch, dims))


def _merge(commit: Commit, run: dict[int, Summary]) -> None:
    try:
        joined = copy(commit, run, commit.encoding)
    except StoreError as error:
        # What was added counts even if an old segment is damaged or the disk too full.
        _warn("%s small segments were not joined: %s", len(run), error)
        return
    _replace(commit, joined)


def _warn(message: str, *values: object) -> None:
    import logging  # slow to import, and seldom needed

    logging.getLogger(__name__).warning(message, *values)


def _replace(commit: Commit, segments: Copy) -> None:
    commit.replace(segments.replaced, segments.segments, segments.keys)
