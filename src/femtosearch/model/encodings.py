"""Encodings of texts: token ids, and the places in the texts that they come from."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from femtosearch.errors import FemtosearchError
from femtosearch.frozen import frozen
from femtosearch.model.checkpoint.tokenizer import HIGHEST_ID

Ids = tuple[np.ndarray, np.ndarray]  # ids [T] int32 end to end and starts [N+1] int64, rising from 0 to T


@frozen(eq=False)
class Encodings:
    """Tokens of N texts with the ids round each, end to end.

    ids:           [T] int32.
    starts:        [N+1] int64; text n owns ids[starts[n]:starts[n+1]].
    begins, ends:  [T] int32; the characters of its text that a token comes from.
    words:         [T] int32; the number of the word that a token is of, -1 for the ids round a text.
    """

    ids: np.ndarray
    starts: np.ndarray
    begins: np.ndarray
    ends: np.ndarray
    words: np.ndarray

    def __getitem__(self, n: int) -> Encodings:
        """The encodings of text n alone."""
        tokens = slice(int(self.starts[n]), int(self.starts[n + 1]))
        starts = np.array([0, tokens.stop - tokens.start])
        return Encodings(self.ids[tokens], starts, self.begins[tokens], self.ends[tokens], self.words[tokens])

    def only(self, keep: np.ndarray) -> Encodings:
        """The tokens, of one text, where keep, [T] bool, is true."""
        starts = np.array([0, int(keep.sum())])
        return Encodings(self.ids[keep], starts, self.begins[keep], self.ends[keep], self.words[keep])


class TextEncoder(Protocol):
    """The tokenizer of a tokenizer.json. It neither truncates nor pads.

    splits_on_words: whether each word is tokenised alone, so that a piece of a text has the ids that it has
                     in the text.
    added:           the tokens that are looked for in a text as it is, before the rest is divided.
    """

    @property
    def splits_on_words(self) -> bool: ...
    @property
    def added(self) -> list[str]: ...
    @property
    def highest_id(self) -> int: ...
    def id_of(self, token: str) -> int | None: ...
    def keep_whole(self, token: str, *, as_written: bool = False) -> None: ...
    def ids(self, texts: Sequence[str], threads: int = 0) -> Ids: ...
    def encode(self, texts: Sequence[str], threads: int = 0) -> Encodings: ...
    def save(self, path: str) -> None: ...


def end_to_end(texts: Sequence[Sequence[int] | np.ndarray]) -> Ids:
    """Ids of each text -> ids [T] int32, int64 where one is too high for a model, and starts [N+1] int64."""
    starts = np.zeros(len(texts) + 1, dtype=np.int64)
    np.cumsum([len(ids) for ids in texts], out=starts[1:])
    if texts and isinstance(texts[0], np.ndarray):
        return np.concatenate(texts), starts
    ids = np.fromiter(itertools.chain.from_iterable(texts), dtype=np.int64, count=int(starts[-1]))
    return (ids if ids.max(initial=0) > HIGHEST_ID else ids.astype(np.int32)), starts


def check_texts(texts: Sequence[str]) -> None:
    """Raise FemtosearchError, which names the text, if one is no str or cannot be UTF-8."""
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise FemtosearchError(f"text {number}: expected a str, found {type(text).__name__}")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise FemtosearchError(
                f"text {number}: character {error.start} is half of a surrogate pair, which is no character; "
                "decode the text with errors='replace'"
            ) from None
