"""The frozen values that pass between modules.

Letters in shapes: Q query rows, T document rows, N passages, D dims.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from typing import Any, Literal

import numpy as np

from femtosearch.frozen import frozen

Precision = Literal["float32", "int8"]  # of the numbers that the native engine multiplies


@frozen(eq=False)
class Rows:
    """Token vectors of N texts, end to end, never padded.

    rows:    [T, D] float32, C order, of unit length. If the model has query weights, the length of a query's
             row is its weight.
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


@frozen(eq=False)
class Passages:
    """The passages of a batch of texts: each is a text, or a piece of a long one that fits the model.

    rows:   the token vectors of the N passages.
    owner:  [N] int64, rising: the number of the text in the batch that a passage is of. A text without words
            has no passages.
    spans:  [N, 2] int64: text[start:end] is the passage, in characters.
    tokens, unknown:  [N] int64: how many tokens a passage has, without the punctuation that the model skips,
            and how many of these are unknown to the model; None where that was not counted. A passage of
            unknown tokens alone may have no rows.
    """

    rows: Rows
    owner: np.ndarray
    spans: np.ndarray
    tokens: np.ndarray | None = None
    unknown: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.owner)


@frozen
class BertConfig:
    """The shape of a BERT encoder.

    positions:   how many tokens the longest text has.
    types:       how many token types (segments) the vocabulary of types has.
    code_width:  None for `bert`; for `bert_hash` how many numbers the table of words has for each token.
    """

    vocab_size: int
    hidden_size: int
    layers: int
    heads: int
    intermediate_size: int
    positions: int
    types: int = 2
    code_width: int | None = None
    norm_epsilon: float = 1e-12

    @property
    def architecture(self) -> str:
        """`bert` or `bert_hash`."""
        return "bert" if self.code_width is None else "bert_hash"


@frozen
class OtherConfig:
    """A backbone that the native engine does not compute.

    settings:   its config.json, without the keys that ask for foreign code or for another repository.
    positions:  how many tokens the longest text has.
    """

    settings: dict[str, Any]
    vocab_size: int
    hidden_size: int
    positions: int

    @property
    def architecture(self) -> str:
        """The name of the architecture in transformers."""
        return str(self.settings["model_type"])


@frozen
class Conventions:
    """How text becomes token ids, which rows are kept, and how they are scored. The defaults are PyLate's.

    query_length, document_length: tokens with [CLS], prefix and [SEP], beyond which a text is cut.
    expand_queries: pad queries with [MASK] to query_length and keep those rows.
    attend_to_expansion: let the other tokens attend to the [MASK] tokens.
    skiplist: words whose rows documents drop.
    prefix_as: "token": one token, inserted at position 1; "text": put before the text and tokenised with it;
        "marker": the same, but a token of the vocabulary that the prefix is, or starts with, stays whole.
    expansion_length: pad queries to this many tokens and cut them at query_length; None: pad to query_length.
    expansion_token: the token that queries are padded with.
    skip_unknown: a skiplist word that is no token stands for [UNK], so every unknown word is dropped.
    skip_in_queries: queries drop the skiplist's rows too.
    pool_factor: a document keeps about one row in so many, each the mean of a cluster; 1: no pooling.
    protected_tokens: a document's first rows that are not pooled.
    unit_pools: make the rows of pooled documents unit length once more.
    prune_above: a passage of an index drops a word's row whose product with a row before it that it keeps is
        above this; 1: no pruning.
    scoring: "sum" of the query rows' best products, or their "mean".
    query_skiplist: tokens that queries are without. A query that has no others has no rows, and finds
        nothing.
    query_pieces: a query that is longer than query_length is given in so many pieces at most, whose scores
        add up; 1: it is cut.
    """

    query_prefix: str = "[Q] "
    document_prefix: str = "[D] "
    query_length: int = 32
    document_length: int = 180
    expand_queries: bool = True
    attend_to_expansion: bool = False
    skiplist: tuple[str, ...] = tuple("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
    prefix_as: Literal["token", "marker", "text"] = "token"
    expansion_length: int | None = None
    expansion_token: str = "[MASK]"
    skip_unknown: bool = True
    skip_in_queries: bool = False
    pool_factor: float = 1.0
    protected_tokens: int = 1
    unit_pools: bool = False
    prune_above: float = 1.0
    scoring: Literal["sum", "mean"] = "sum"
    query_skiplist: tuple[str, ...] = ()
    query_pieces: int = 1


@frozen
class Coverage:
    """How much of a query's text a model knows.

    tokens:   how many tokens the text has, without the punctuation that the model skips.
    beyond:   how many of them are cut off, because the text is too long.
    unknown:  the words that no token of the vocabulary stands for, in their order. Each counts as one token.
    pieces:   into how many pieces the query is cut; 0 if the model knows no word of it, so that it finds
              nothing by meaning.
    """

    tokens: int
    beyond: int
    unknown: tuple[str, ...]
    pieces: int = 1

    @property
    def share(self) -> float:
        """The share of the tokens that is unknown; 0 where there are none."""
        return len(self.unknown) / max(1, self.tokens)


@frozen
class Document:
    """What a user adds. `metadata` is a JSON object."""

    id: str
    text: str
    metadata: dict[str, Any] = field(default_factory=dict)


@frozen
class TokenMatch:
    """A token of a query and the token of the document that is most similar to it.

    token, match:  their texts; "" for a token that the model adds, such as [CLS].
    span:          where the match lies in the document's text, in characters; None if the model added it.
    similarity:    the inner product of the two rows at unit length, at most 1.
    weight:        how often the query's row counts; MaxSim is the sum of weight · similarity over tokens.
    """

    token: str
    match: str
    span: tuple[int, int] | None
    similarity: float
    weight: float = 1.0


@frozen
class Explanation:
    """Why a document is a hit.

    tokens:  one match for each row of the query, in the query's order.
    words:   the share of each word in the document's BM25: for each word that was looked up and is in it, and
             for each pair of them that stand side by side.
    ranks:   the document's rank, from 1, in each list that has it: "exact" (all passages by MaxSim), "fde"
             (all passages by the FDE's product) or "words" (documents by BM25).
    parts:   the addends of the score: "maxsim" (without the mean of all passages, where words count too),
             "words" (BM25), "quotes" (1 where all that is in quotes is there) and "length" (what a document
             of many passages loses). Those that are 0 are left out.
    """

    tokens: list[TokenMatch]
    words: dict[str, float]
    ranks: dict[str, int]
    parts: dict[str, float] = field(default_factory=dict)


@frozen
class Hit:
    """A document that a query found.

    passage: (start, end) in characters: hit.text[start:end] is the passage that scored best.
    maxsim:  the MaxSim of that passage, or in the mode "fde" the product of its FDE; for a query in pieces
             the sum of each piece's best; None for a document of which the model knows no word.
    bm25:    the BM25 of the document's words; None where words were not looked up.
    source:  the path of the file that the document comes from; None if it was not read from a file.
    lines:   (first, last) line of that file, from 1, that the passage is on; or page, cell or row, from 1.
    heading: the headings that the passage stands under, the outermost first.
    span:    (start, end) of the token that matched best; with `spots=True`.
    copies:  the ids of documents with the same text; with `fold=True`.
    explanation:  with `explain=True`.
    """

    id: str
    score: float
    text: str
    metadata: dict[str, Any] = field(default_factory=dict)
    passage: tuple[int, int] | None = None
    maxsim: float | None = None
    bm25: float | None = None
    source: str | None = None
    lines: tuple[int, int] | None = None
    page: int | None = None
    cell: int | None = None
    row: int | None = None
    heading: tuple[str, ...] = ()
    span: tuple[int, int] | None = None
    copies: tuple[str, ...] = ()
    explanation: Explanation | None = None


@frozen
class Page:
    """A page of an index's documents. after: the value that asks for the next page; None on the last one."""

    documents: list[Document]
    after: int | None
