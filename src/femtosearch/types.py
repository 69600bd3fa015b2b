"""The frozen values that pass between modules.

Letters in shapes: Q query rows, T document rows, N passages, D dims.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Token vectors of N texts, end to end, never padded.

    rows:    [T, D] float32, C order, unit length.
    starts:  [N+1] int64, rising from 0 to T; text n owns rows[starts[n]:starts[n+1]].
    """

    rows: np.ndarray
    starts: np.ndarray

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, n: int) -> np.ndarray:
        """The rows of text n, [t, D]: a view, not a copy."""
        n = range(len(self))[n]
        return self.rows[self.starts[n] : self.starts[n + 1]]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[n] for n in range(len(self)))


@dataclass(frozen=True, slots=True, eq=False)
class Passages:
    """The passages of a batch of texts: a text itself, or pieces of it that fit the model.

    rows:   the token vectors of the N passages.
    owner:  [N] int64, rising: which text of the batch a passage comes from. A text with no word has none.
    spans:  [N, 2] int64: text[start:end] is the passage, in characters.
    """

    rows: Rows
    owner: np.ndarray
    spans: np.ndarray

    def __len__(self) -> int:
        return len(self.owner)


@dataclass(frozen=True, slots=True)
class BertConfig:
    """The shape of a BERT encoder. `code_width` is None for `bert`; for `bert_hash` the numbers per token."""

    vocab_size: int
    hidden_size: int
    layers: int
    heads: int
    intermediate_size: int
    positions: int
    types: int = 2
    code_width: int | None = None
    norm_epsilon: float = 1e-12


@dataclass(frozen=True, slots=True)
class Conventions:
    """How text becomes token ids, and which rows are kept. The defaults are PyLate's.

    query_length, document_length: tokens with [CLS], prefix and [SEP], beyond which a text is cut.
    expand_queries: pad queries with [MASK] to query_length and keep those rows.
    attend_to_expansion: let the other tokens attend to the [MASK] tokens.
    skiplist: words whose rows documents drop.
    """

    query_prefix: str = "[Q] "
    document_prefix: str = "[D] "
    query_length: int = 32
    document_length: int = 180
    expand_queries: bool = True
    attend_to_expansion: bool = False
    skiplist: tuple[str, ...] = tuple("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


@dataclass(frozen=True, slots=True)
class Document:
    """What a user adds. `metadata` is a JSON object."""

    id: str
    text: str
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hit:
    """A document that a query found: its best passage's MaxSim is the score.

    passage: (start, end) in characters: hit.text[start:end] is the passage that scored.
    """

    id: str
    score: float
    text: str
    metadata: dict[str, Any] = field(default_factory=dict)
    passage: tuple[int, int] | None = None
