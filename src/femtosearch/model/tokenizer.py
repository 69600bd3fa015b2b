"""Text -> token ids under conventions, and texts -> passages that fit the model.

The semantics are PyLate's: a text is cut to its length less one, the prefix is inserted as one token at
position 1, queries are padded with [MASK] where the conventions say so, and documents drop the rows of the
skiplist's words. Where the conventions say that the prefix is text, it is put before the text, and both are
tokenised and cut together, as Sentence Transformers and txtai do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from femtosearch.errors import CheckpointError
from femtosearch.frozen import frozen
from femtosearch.model.checkpoint.tokenizer import read_tokenizer
from femtosearch.model.encodings import Ids, TextEncoder, check_texts, end_to_end
from femtosearch.model.pieces import Piece, pieces
from femtosearch.model.tokens import TokenPassages, Tokens
from femtosearch.model.wordpiece import WordPiece, wordpiece_settings
from femtosearch.types import BertConfig, Conventions, Coverage, OtherConfig

if TYPE_CHECKING:
    from femtosearch.model.stretches import Stretch

_PUNCTUATION = r"""!"#$%&'()*+,-./:;<=>?@[\]^_`{|}~"""  # `string`, which has it, is slow to import
LEAST_ROOM = 3  # [CLS], [SEP] and one token of the text


class Tokenizer:
    """A model's tokenizer and conventions.

    query, document: the prefix of the texts of that side, and the length that they are cut to.
    mask:            the id that queries are padded with; -1 if they are not padded.
    skipped:         [V] bool: the tokens whose rows documents drop.
    dropped:         [V] bool: the tokens that are removed from queries.
    framing:         how many rows of special tokens a document begins with, and ends with.
    """

    def __init__(self, path: Path, conventions: Conventions, config: BertConfig | OtherConfig) -> None:
        self.path = path
        self.conventions = conventions
        self._texts = text_encoder(path)
        self._check(config)
        self.query = self._prefix(conventions.query_prefix, conventions.query_length)
        self.document = self._prefix(conventions.document_prefix, conventions.document_length)
        self.mask = self._mask_id() if conventions.expand_queries else -1
        self._unknown = self._texts.id_of("[UNK]")
        self.skipped = self._skip_ids(conventions.skiplist, or_unknown=conventions.skip_unknown)
        self.dropped = self._skip_ids(conventions.query_skiplist)
        self._pieces_queries = conventions.query_pieces > 1 or bool(conventions.query_skiplist)
        if self._pieces_queries and self.query.text:
            raise CheckpointError(
                f"{self.path.parent}: query_skiplist and query_pieces need a query_prefix that is a token "
                f"or ends in a blank; found {conventions.query_prefix!r}"
            )
        # A document without a word keeps the rows of its special tokens, the skiplist's aside.
        wordless = self.documents([""]).keep
        self._wordless = int(wordless.sum())
        self.framing = int(wordless[:-1].sum()), int(wordless[-1])

    @property
    def added(self) -> list[str]:
        """The tokens that are looked for in a text as it is, prefixes among them."""
        return self._texts.added

    def queries(self, texts: Sequence[str], threads: int = 0) -> Tokens:
        """Tokens of queries: without those of query_skiplist, and cut to query_length or in pieces of it.
        Every row is kept, but for the skiplist's if the conventions say so.
        """
        if not self._pieces_queries:
            return self._prepared(self._tokenise(texts, self.query, threads))
        return self.query_pieces(texts)[0]

    def query_pieces(self, texts: Sequence[str]) -> tuple[Tokens, np.ndarray]:
        """Tokens of the pieces of queries, and the span of each piece in its text, in characters: [N,
        2] int64.
        """
        check_texts(texts)
        if not self._pieces_queries:
            spans = np.array([(0, len(text)) for text in texts], np.int64).reshape(-1, 2)
            return self._prepared(self._tokenise(texts, self.query)), spans
        cut = [piece for number, text in enumerate(texts) for piece in self._query_pieces(number, text)]
        owner = np.array([piece.owner for piece in cut], dtype=np.int64)
        spans = np.array([piece.span for piece in cut], dtype=np.int64).reshape(-1, 2)
        return self._prepared(end_to_end([piece.ids for piece in cut]), owner), spans

    def coverage(self, text: str) -> Coverage:
        """How much of a query the model knows."""
        encoded = self._texts.encode([text])
        unknown = encoded.ids == self._unknown
        inside = encoded.words >= 0
        words = [text[encoded.begins[n] : encoded.ends[n]] for n in (inside & unknown).nonzero()[0].tolist()]
        tokens = int((inside & (unknown | ~self.dropped[encoded.ids])).sum())
        asked = int((inside & ~self.dropped[encoded.ids]).sum())
        room = self.query.length - 2 - len(self.query.ids)
        lengths = [min(len(piece.ids) - 2, room) for piece in self._query_pieces(0, text)]
        return Coverage(tokens, max(0, asked - sum(lengths)), tuple(words), len(lengths))

    def documents(self, texts: Sequence[str], threads: int = 0) -> Tokens:
        """Tokens of documents: cut to document_length; the rows of the skiplist's words are dropped."""
        return self._documents(self._tokenise(texts, self.document, threads))

    def passages(self, texts: Sequence[str], threads: int = 0) -> TokenPassages:
        """Tokens of passages.

        A text that is longer than document_length is cut where a sentence ends, or else between words, into
        pieces of about equal length; one of more than 65,536 characters is cut into stretches first. A
        text, or a piece, of which no word's row would be kept gives a passage without rows if it has unknown
        words, and else none.
        """
        from femtosearch.model.stretches import batches

        if not all(isinstance(text, str) for text in texts):
            check_texts(texts)
        cut = [piece for batch in batches(texts) for piece in self._divided(batch, threads)]
        owner = np.array([piece.owner for piece in cut], dtype=np.int64)
        spans = np.array([piece.span for piece in cut], dtype=np.int64).reshape(-1, 2)
        tokenised = self._whole(texts, cut, self.document, threads)
        tokens = self._documents(tokenised)
        is_unknown = tokens.ids == self._unknown
        rows, unknown = _counts(tokens.keep, tokens.starts), _counts(is_unknown, tokens.starts)
        counts = _counts(tokens.keep | is_unknown, tokens.starts) - self._wordless
        tokens.keep[np.repeat(rows <= self._wordless, np.diff(tokens.starts))] = False
        return TokenPassages(tokens, owner, spans, counts, unknown).only(
            (rows > self._wordless) | (unknown > 0)
        )

    def spans(self, text: str, *, query: bool) -> np.ndarray:
        """The span in a text that each of its rows comes from, in characters: [rows, 2] int64; -1 for a row
        that comes from no character, such as that of [CLS], a prefix or [MASK]. Rows are those before
        pooling.

        query:  whether the text is tokenised as a query, else as a document.
        """
        prefix = self.query if query else self.document
        encoded = self._texts.encode([prefix.text + text])
        places, starts = np.arange(len(encoded.ids)), encoded.starts
        if query and self._pieces_queries:
            cut = self._query_pieces(0, text, as_places=True)
            places, starts = end_to_end([piece.ids for piece in cut])
        inserted = () if prefix.text else (-1,) * len(prefix.ids)
        places, starts = _cut_and_prefix(places, starts, prefix.length, inserted)
        conventions = self.conventions
        if query and conventions.expand_queries:
            places, _ = _expand(places, starts, conventions.expansion_length or conventions.query_length, -1)
        tokens = self.queries([text]) if query else self.documents([text])
        places = places[tokens.keep]
        offsets = np.stack([encoded.begins, encoded.ends], axis=1).astype(np.int64)
        spans: np.ndarray = offsets[places] - len(prefix.text)
        spans[(places < 0) | (spans[:, 0] < 0) | (spans[:, 0] == spans[:, 1])] = -1
        return spans

    def save(self, path: Path) -> None:
        """Write the tokenizer as it is used here: prefixes are not divided, and it neither truncates
        nor pads.
        """
        self._texts.save(str(path))

    def _prepared(self, tokenised: Ids, owner: np.ndarray | None = None) -> Tokens:
        """Cut queries, or their pieces, add the prefix, and pad them, as the conventions say."""
        conventions = self.conventions
        ids, starts = self._cut(tokenised, self.query)
        attended = np.diff(starts).astype(np.int32)
        if conventions.expand_queries:
            length = conventions.expansion_length or conventions.query_length
            ids, starts = _expand(ids, starts, length, self.mask)
            if conventions.attend_to_expansion:
                attended = np.diff(starts).astype(np.int32)
        keep = ~self.skipped[ids] if conventions.skip_in_queries else np.ones(len(ids), dtype=bool)
        return Tokens(ids, starts, attended, keep, owner)

    def _query_pieces(self, number: int, text: str, *, as_places: bool = False) -> Iterator[Piece]:
        """The pieces of one query; none if no token is left.

        as_places:  whether the pieces have, in place of ids, the numbers of the tokens in the text.
        """
        from femtosearch.model.stretches import Stretch

        encoded = self._texts.encode([text])
        asked = ~self.dropped[encoded.ids]
        asked[[0, -1]] = True
        if as_places:
            encoded = replace(encoded, ids=np.arange(len(asked), dtype=np.int32))
        encoded = encoded.only(asked)
        if len(encoded.ids) == 2 and self.conventions.query_skiplist:
            return
        room = self.query.length - len(self.query.ids)
        most = self.conventions.query_pieces
        if len(encoded.ids) <= room or most == 1:
            yield Piece(number, (0, len(text)), encoded.ids)
        else:
            yield from islice(pieces(Stretch(number, 0, text), encoded, room), most)

    def _divided(self, batch: list[Stretch], threads: int) -> Iterator[Piece]:
        """The pieces of stretches."""
        room = self.document.length - len(self.document.ids)
        encodings = self._texts.encode([stretch.text for stretch in batch], threads)
        starts = encodings.starts.tolist()
        for n, stretch in enumerate(batch):
            if starts[n + 1] - starts[n] > room:
                yield from pieces(stretch, encodings[n], room)
            else:
                ids = encodings.ids[starts[n] : starts[n + 1]]
                yield Piece(stretch.owner, (stretch.offset, stretch.end), ids)

    def _documents(self, tokenised: Ids) -> Tokens:
        ids, starts = self._cut(tokenised, self.document)
        return Tokens(ids, starts, np.diff(starts).astype(np.int32), ~self.skipped[ids])

    def _whole(self, texts: Sequence[str], cut: Sequence[Piece], prefix: Prefix, threads: int) -> Ids:
        """The ids of pieces of texts, each tokenised like a whole text."""
        if self._texts.splits_on_words and not prefix.text:
            return end_to_end([piece.ids for piece in cut])
        passages = [texts[piece.owner][piece.span[0] : piece.span[1]] for piece in cut]
        return self._tokenise(passages, prefix, threads)

    def _tokenise(self, texts: Sequence[str], prefix: Prefix, threads: int = 0) -> Ids:
        """Tokenise texts without cutting them: ids [T] int32 with [CLS] and [SEP], and starts [N+1] int64."""
        if prefix.text:
            texts = [prefix.text + text if isinstance(text, str) else text for text in texts]
        return self._texts.ids(texts, threads)

    def _cut(self, tokenised: Ids, prefix: Prefix) -> Ids:
        return _cut_and_prefix(*tokenised, prefix.length, () if prefix.text else prefix.ids)

    def _check(self, config: BertConfig | OtherConfig) -> None:
        highest = self._texts.highest_id
        if highest >= config.vocab_size:
            raise CheckpointError(
                f"{self.path}: the tokenizer's highest id is {highest}, the model has {config.vocab_size} "
                "tokens; they do not belong together"
            )
        longest = max(self.conventions.query_length, self.conventions.document_length)
        if longest > config.positions:
            raise CheckpointError(
                f"{self.path.parent}: query_length or document_length is {longest}, the model has only "
                f"{config.positions} positions"
            )
        around, _ = self._texts.ids([""])
        if len(around) != 2:
            raise CheckpointError(
                f"{self.path}: expected a tokenizer that puts one token before a text and one after it, "
                f"such as [CLS] and [SEP]; it puts {len(around)} round an empty text"
            )
        if max(around) >= config.vocab_size:
            raise CheckpointError(
                f"{self.path}: the tokenizer puts id {max(around)} round a text, the model has "
                f"{config.vocab_size} tokens; they do not belong together"
            )

    def _prefix(self, prefix: str, length: int) -> Prefix:
        if not prefix:
            return Prefix(length)
        if self.conventions.prefix_as == "token":
            token = self._prefix_id(prefix)
            self._texts.keep_whole(prefix)
            return Prefix(length, (token,))
        if self.conventions.prefix_as == "marker":
            candidates = [prefix, *prefix.split(None, 1)[:1]]
            tokens = [piece for piece in candidates if self._texts.id_of(piece) is not None]
            if tokens:
                self._texts.keep_whole(tokens[0], as_written=True)
        ids = tuple(self._texts.ids([prefix])[0][1:-1].tolist())
        if len(ids) + LEAST_ROOM > length:
            raise CheckpointError(
                f"{self.path}: the prefix {prefix!r} is {len(ids)} tokens long, which leaves no room "
                f"in {length}"
            )
        return Prefix(length, ids, "" if self._stands_alone(prefix) else prefix)

    def _stands_alone(self, prefix: str) -> bool:
        """Whether prefix and text can be tokenised apart: the ids of prefix + text are those of both, for
        any text.
        """
        if not self._texts.splits_on_words or not (prefix[-1].isspace() or prefix[-1] in _PUNCTUATION):
            return False
        heads = (token[:n] for token in self._texts.added for n in range(1, len(token)))
        return not any(prefix.lower().endswith(head.lower()) for head in heads)

    def _prefix_id(self, prefix: str) -> int:
        number = self._texts.id_of(prefix)
        if number is None:
            raise CheckpointError(f"{self.path}: the prefix {prefix!r} is not a token of the tokenizer")
        return number

    def _mask_id(self) -> int:
        mask = self.conventions.expansion_token
        number = self._texts.id_of(mask)
        if number is None:
            raise CheckpointError(f"{self.path}: query expansion needs a {mask} token, found none")
        return number

    def _skip_ids(self, words: Sequence[str], *, or_unknown: bool = False) -> np.ndarray:
        """The tokens of a skiplist's words, [V] bool. A word that is no token is ignored, or with or_unknown
        stands for [UNK].
        """
        skipped = np.zeros(self._texts.highest_id + 1, dtype=bool)
        unknown = self._unknown if or_unknown else None
        for word in words:
            number = self._texts.id_of(word)
            number = unknown if number is None else number
            if number is not None:
                skipped[number] = True
        return skipped


@frozen
class Prefix:
    """The prefix of the texts of one side, and the number of tokens that they are cut to.

    ids:  the ids that are inserted from position 1 on.
    text: a text that is put before each text instead, if both have to be tokenised together.
    """

    length: int
    ids: tuple[int, ...] = ()
    text: str = ""


def text_encoder(path: Path) -> TextEncoder:
    """The tokenizer of a tokenizer.json: in the native core if it is of BERT's kind, else by the library.

    Raises CheckpointError if it cannot be read, MissingExtraError if it needs a library that is missing.
    """
    file = read_tokenizer(path)
    settings = wordpiece_settings(file)
    if settings is not None:
        return WordPiece(file, settings)
    from femtosearch.model.library_tokenizer import LibraryTokenizer

    return LibraryTokenizer(file)


def _cut_and_prefix(flat: np.ndarray, starts: np.ndarray, length: int, prefix: tuple[int, ...]) -> Ids:
    """Cut each text to `length` with its last token kept, the prefix inserted at position 1."""
    extra = len(prefix)
    sizes = np.minimum(np.diff(starts), length - extra)
    out_starts = np.zeros(len(starts), dtype=np.int64)
    np.cumsum(sizes + extra, out=out_starts[1:])
    position = np.arange(out_starts[-1]) - np.repeat(out_starts[:-1], sizes + extra)
    source = np.repeat(starts[:-1], sizes + extra) + np.where(position > extra, position - extra, 0)
    source[out_starts[1:] - 1] = starts[1:] - 1
    ids = flat[source]
    for number, token in enumerate(prefix, 1):
        ids[out_starts[:-1] + number] = token
    return ids, out_starts


def _expand(ids: np.ndarray, starts: np.ndarray, length: int, mask: int) -> Ids:
    """Pad every text that is shorter with [MASK] to `length`."""
    sizes = np.diff(starts)
    out_starts = np.zeros(len(starts), dtype=np.int64)
    np.cumsum(np.maximum(sizes, length), out=out_starts[1:])
    out = np.full(out_starts[-1], mask, dtype=np.int32)
    out[np.arange(len(ids)) + np.repeat(out_starts[:-1] - starts[:-1], sizes)] = ids
    return out, out_starts


def _counts(chosen: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """How many tokens of each of N texts are chosen, [N] int64; none is without a token."""
    if len(starts) < 2:
        return np.zeros(0, np.int64)
    counts: np.ndarray = np.add.reduceat(chosen, starts[:-1], dtype=np.int64)
    return counts
