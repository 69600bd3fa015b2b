"""Tokens of texts and of passages, as the engines take them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from femtosearch.frozen import frozen


@frozen(eq=False)
class Tokens:
    """Token ids of N texts, end to end, never padded.

    ids:      [T] int32.
    starts:   [N+1] int64; text n owns ids[starts[n]:starts[n+1]].
    attended: [N] int32: how many of a text's tokens, from its first, the others attend to.
    keep:     [T] bool: whose rows are kept.
    owner:    [N] int64, rising: which text each is a piece of; None: each is a text.
    """

    ids: np.ndarray
    starts: np.ndarray
    attended: np.ndarray
    keep: np.ndarray
    owner: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.attended)


class TokenPassages(NamedTuple):
    """Tokens of N passages: see `types.Passages`."""

    tokens: Tokens
    owner: np.ndarray
    spans: np.ndarray
    counts: np.ndarray
    unknown: np.ndarray

    def only(self, kept: np.ndarray) -> TokenPassages:
        """The texts where kept, [N] bool, is true."""
        if kept.all():
            return self
        tokens, sizes = self.tokens, np.diff(self.tokens.starts)
        inside = np.repeat(kept, sizes)
        starts = np.concatenate([[0], np.cumsum(sizes[kept])]).astype(np.int64)
        tokens = Tokens(tokens.ids[inside], starts, tokens.attended[kept], tokens.keep[inside])
        return TokenPassages(tokens, *(column[kept] for column in self[1:]))
