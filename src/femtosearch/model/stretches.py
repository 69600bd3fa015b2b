"""Cutting long texts into stretches, so that the memory for tokenising and encoding does not grow with a
text.

A stretch is cut into passages alone. Texts of up to 65,536 characters are one stretch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple, Protocol, TypeVar

LONGEST = 1 << 16  # characters of a stretch
BATCH = 1 << 18  # characters of the stretches that are tokenised and encoded at a time
_ENDS = ("\n\n", "\n", ". ", "\u3002", " ", "\t")  # where a text is best cut, the best first


class HasText(Protocol):
    """Something with a text."""

    @property
    def text(self) -> str: ...


T = TypeVar("T", bound=HasText)


class Stretch(NamedTuple):
    """A stretch of a text: the number of the text, the offset of the stretch in it, and its characters."""

    owner: int
    offset: int
    text: str

    @property
    def end(self) -> int:
        """The place in the text where the stretch ends."""
        return self.offset + len(self.text)


def stretches(owner: int, text: str, cuts: Sequence[int] = ()) -> Iterator[Stretch]:
    """The stretches of a text, which together are the text; one for an empty text.

    A cut is made in a stretch's second half: after a paragraph, a line, a sentence or a word, in this order;
    where there is none of them, after 65,536 characters.
    cuts:  further places where a stretch ends, in characters, rising.
    """
    begin = 0
    for border in [*cuts, len(text)]:
        while border - begin > LONGEST:
            end = _border(text, begin + LONGEST // 2, begin + LONGEST)
            yield Stretch(owner, begin, text[begin:end])
            begin = end
        if begin < border or not text:
            yield Stretch(owner, begin, text[begin:border])
            begin = border


def batches(texts: Iterable[str], cuts: Sequence[Sequence[int]] = ()) -> Iterator[list[Stretch]]:
    """The stretches of texts, in order, in batches of at most 262,144 characters.

    A text of several stretches shares no batch with another text, so that a batch has whole texts, or
    stretches of a single one.
    cuts:  for each text further places where stretches end; none by default.
    """
    for is_long, run in groupby(enumerate(texts), lambda numbered: len(numbered[1]) > LONGEST):
        if is_long:
            for number, text in run:
                yield from bounded(stretches(number, text, cuts[number] if cuts else ()), BATCH)
        else:
            for group in bounded((Stretch(number, 0, text) for number, text in run), BATCH):
                yield [stretch for longer in group for stretch in _cut(longer, cuts)]


def _cut(stretch: Stretch, cuts: Sequence[Sequence[int]]) -> Iterator[Stretch]:
    return stretches(stretch.owner, stretch.text, cuts[stretch.owner] if cuts else ())


def bounded(items: Iterable[T], characters: int, count: int | None = None) -> Iterator[list[T]]:
    """Group items with texts, in order, into lists of at most so many characters and items. An item with more
    characters is alone in its list.
    """
    batch: list[T] = []
    total = 0
    for item in items:
        if batch and (len(batch) == count or total + len(item.text) > characters):
            yield batch
            batch, total = [], 0
        batch.append(item)
        total += len(item.text)
    if batch:
        yield batch


def _border(text: str, first: int, last: int) -> int:
    for end in _ENDS:
        place = text.rfind(end, first, last)
        if place >= 0:
            return place + len(end)
    return last
