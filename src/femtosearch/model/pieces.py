"""Cutting long texts into pieces that fit a model: at the end of a sentence, or else between words."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from femtosearch.frozen import frozen
from femtosearch.model.encodings import Encodings
from femtosearch.model.stretches import Stretch

SENTENCE_ENDS = frozenset(".!?\n\u3002\uff01\uff1f")  # and the full-width marks of CJK


@frozen
class Piece:
    """A piece of a text: the number of the text, the span in it, and the ids with [CLS] and [SEP]."""

    owner: int
    span: tuple[int, int]
    ids: np.ndarray


def pieces(stretch: Stretch, encoding: Encodings, room: int) -> Iterator[Piece]:
    """Cut a stretch that has more than `room` tokens into pieces of at most so many.

    They are cut between words, so a piece's ids are those that its own text gives: no second tokenisation.
    """
    ids, words = encoding.ids, encoding.words.tolist()
    begins, ends = encoding.begins.tolist(), encoding.ends.tolist()
    at, last, room = 1, len(ids) - 1, room - 2  # within [CLS] and [SEP]
    while at < last:
        stop = last
        if last - at > room:
            target = at + (last - at) // -((at - last) // room)
            within = range(at + max(1, (target - at) // 2), at + room + 1)
            stop = _boundary(stretch.text, begins, ends, words, within, target)
        span = (stretch.offset + begins[at], stretch.offset + ends[stop - 1])
        yield Piece(stretch.owner, span, np.concatenate([ids[:1], ids[at:stop], ids[-1:]]))
        at = stop


def _boundary(
    text: str, begins: list[int], ends: list[int], words: list[int], within: range, target: int
) -> int:
    """The token before which to cut: the end of a sentence that is nearest to `target`, or else the nearest
    place between two words.
    """
    nearest = sorted(within, key=lambda token: abs(token - target))
    between = [token for token in nearest if words[token - 1] != words[token]]
    spaced = [token for token in between if ends[token - 1] < begins[token]]
    for token in spaced:
        if not SENTENCE_ENDS.isdisjoint(text[ends[token - 1] - 1 : begins[token]]):
            return token
    return next(iter(spaced or between), target)
