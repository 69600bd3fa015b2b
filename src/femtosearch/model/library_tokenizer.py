"""The engine for any tokenizer.json: the library `tokenizers` (extra [tokenizers])."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from femtosearch.errors import CheckpointError, MissingExtraError
from femtosearch.model.checkpoint.tokenizer import TokenizerFile
from femtosearch.model.encodings import Encodings, Ids, check_texts, end_to_end


class LibraryTokenizer:
    """A tokenizer.json of any kind: see TextEncoder. Raises CheckpointError if it cannot be read,
    MissingExtraError without the library.
    """

    def __init__(self, file: TokenizerFile) -> None:
        self._file = file
        self._library = _library(file)
        self._undivided: list[Any] = []
        self._set_up()

    def _set_up(self) -> None:
        with _library_errors(f"{self._file.path}: not a tokenizer that can be read"):
            self._tokenizer = self._library.Tokenizer.from_str(self._file.text)
            self._tokenizer.no_truncation()
            self._tokenizer.no_padding()
            self._tokenizer.add_tokens(self._undivided)

    @property
    def splits_on_words(self) -> bool:
        """Whether each word is tokenised alone."""
        return isinstance(self._tokenizer.pre_tokenizer, self._library.pre_tokenizers.BertPreTokenizer)

    @property
    def added(self) -> list[str]:
        """The added tokens."""
        return [token.content for token in self._tokenizer.get_added_tokens_decoder().values()]

    @property
    def highest_id(self) -> int:
        """The highest id of any token; -1 if there is none."""
        return max(self._tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)

    def id_of(self, token: str) -> int | None:
        """A token's id; None if there is no such token."""
        number = self._tokenizer.token_to_id(token)
        return None if number is None else int(number)

    def keep_whole(self, token: str, *, as_written: bool = False) -> None:
        """Do not divide a token of the vocabulary from now on where it occurs in a text. as_written: only
        where it occurs in the same case.
        """
        with _library_errors(f"{self._file.path}: the tokenizer fails on {token!r}"):
            encoding = self._tokenizer.encode(token, add_special_tokens=False)
        if encoding.ids != [self.id_of(token)] or (as_written and encoding.tokens != [token]):
            self._undivided.append(self._library.AddedToken(token, normalized=False))
            self._set_up()

    def ids(self, texts: Sequence[str], threads: int = 0) -> Ids:
        """The ids of texts, each with the special tokens round it. The library chooses the number of threads.

        Raises FemtosearchError naming a text that is no str; CheckpointError where the tokenizer fails.
        """
        return end_to_end([encoding.ids for encoding in self._encode(texts, "encode_batch_fast")])

    def encode(self, texts: Sequence[str], threads: int = 0) -> Encodings:
        """The ids of texts with their offsets and words. Raises as `ids` does."""
        encodings = self._encode(texts, "encode_batch")
        ids, starts = end_to_end([encoding.ids for encoding in encodings])
        offsets = [pair for encoding in encodings for pair in encoding.offsets]
        begins, ends = np.array(offsets, dtype=np.int32).reshape(-1, 2).T
        words = [-1 if word is None else word for encoding in encodings for word in encoding.word_ids]
        return Encodings(ids, starts, begins, ends, np.array(words, dtype=np.int32))

    def save(self, path: str) -> None:
        """Write a tokenizer.json that gives the same ids, neither truncating nor padding."""
        self._tokenizer.save(path, pretty=False)

    def _encode(self, texts: Sequence[str], method: str) -> list[Any]:
        try:
            with _library_errors(f"{self._file.path}: the tokenizer fails on a text"):
                if len(texts) == 1:  # without the library's threads, which stay awake and in the way
                    return [self._tokenizer.encode(texts[0])]
                encodings: list[Any] = getattr(self._tokenizer, method)(list(texts))
                return encodings
        except CheckpointError:
            check_texts(texts)
            raise


def _library(file: TokenizerFile) -> Any:
    try:
        import tokenizers
    except ImportError:
        raise MissingExtraError(
            f"{file.path}: not of BERT's kind (BertNormalizer, BertPreTokenizer, WordPiece), which is built "
            "in; any other needs the library tokenizers: pip install 'femtosearch[tokenizers]'"
        ) from None
    return tokenizers


@contextmanager
def _library_errors(problem: str) -> Iterator[None]:
    """Turn any error of the library into a CheckpointError, also a panic of Rust, which is no Exception."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError):
        raise
    except BaseException as error:
        raise CheckpointError(f"{problem}: {error}; give the model folder another tokenizer.json") from error
