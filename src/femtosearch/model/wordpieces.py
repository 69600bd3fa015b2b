"""The library's tokenizer, with a shorter way for plain text.

Half of the time that BERT's tokenizer takes goes into its normaliser, which for most text only lowers the
case. So texts of which that is true are lowered by Python and given to the same tokenizer without a
normaliser. The ids, offsets and words are the same, which a test holds for every character that counts as
plain.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import tokenizers
from tokenizers import AddedToken, Encoding, normalizers, pre_tokenizers

from femtosearch.checkpoint.tokenizer import read_tokenizer
from femtosearch.errors import CheckpointError, FemtosearchError

# ASCII but for control characters, dashes and quotes, Greek letters, and signs of mathematics and money.
PLAIN = (
    "\t\n\r\x20-\x7e\u2013\u2014\u2018\u2019\u201c\u201d\u2026\u2022\u03b1-\u03c9\u00b1\u00d7\u00b7\u00b0\u00b5"
    "\u2264\u2265\u2248\u223c\u2212\u2032\u2192\u00a3\u20ac\u00a7\u00ae\u2122"
)
Encode = Callable[[tokenizers.Tokenizer, list[str]], list[Encoding]]
WORTHWHILE = 32  # texts: fewer are tokenised sooner than the second tokenizer is made
MOST_SOUGHT = 256  # added tokens that are looked for in texts, to take the shorter way


class WordPieces:
    """A tokenizer.json, neither truncating nor padding. Raises CheckpointError if it cannot be read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = read_tokenizer(path)
        self._undivided: list[AddedToken] = []
        self._set_up()

    def _set_up(self) -> None:
        with _library_errors(f"{self.path}: not a tokenizer that can be read"):
            self._full = self._read()
            added = self._full.get_added_tokens_decoder().values()
        self._highest_id: int | None = None
        self._plain = re.compile(f"[{PLAIN}]*")
        self._contents = [token.content for token in added]
        few = self._contents[:MOST_SOUGHT]
        self._added = re.compile("|".join(map(re.escape, few)) or "(?!)")
        normalizer = self._full.normalizer
        self._only_lowers = (
            isinstance(normalizer, normalizers.BertNormalizer)
            and normalizer.lowercase
            and len(few) == len(self._contents)
            and not any(token.normalized for token in added)
        )

    def keep_whole(self, token: str, *, as_written: bool = False) -> None:
        """From now on, do not divide a token of the vocabulary where a text has it. as_written: only where a
        text has it in the same case.
        """
        with _library_errors(f"{self.path}: the tokenizer fails on {token!r}"):
            encoding = self._full.encode(token, add_special_tokens=False)
        if encoding.ids != [self.id_of(token)] or (as_written and encoding.tokens != [token]):
            self._undivided.append(AddedToken(token, normalized=False))
            self._set_up()

    def stands_alone(self, prefix: str) -> bool:
        """Whether the ids of prefix + text are those of the prefix and those of the text, for any text."""
        if not self.splits_on_words or not (prefix[-1].isspace() or prefix[-1] in string.punctuation):
            return False
        heads = (content[:n] for content in self._contents for n in range(1, len(content)))
        return not any(prefix.lower().endswith(head.lower()) for head in heads)

    def save(self, path: Path) -> None:
        """Write a tokenizer.json that gives the same ids."""
        self._full.save(str(path), pretty=False)

    @property
    def splits_on_words(self) -> bool:
        """Whether each word is tokenised alone, so that a piece of a text has the ids that it has in the
        text.
        """
        return isinstance(self._full.pre_tokenizer, pre_tokenizers.BertPreTokenizer)

    @property
    def highest_id(self) -> int:
        """The highest id of any token; -1 if there is none."""
        if self._highest_id is None:
            self._highest_id = max(self._full.get_vocab(with_added_tokens=True).values(), default=-1)
        return self._highest_id

    def id_of(self, token: str) -> int | None:
        """A token's id; None if there is no such token."""
        number = self._full.token_to_id(token)
        return None if number is None else int(number)

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Each text's ids, with special tokens.

        Raises FemtosearchError naming a text that is no str; CheckpointError where the tokenizer fails.
        """
        encode = tokenizers.Tokenizer.encode_batch_fast
        return [encoding.ids for encoding in self._encode(texts, encode)]

    def encode(self, texts: Sequence[str]) -> list[Encoding]:
        """Each text's ids, offsets in characters and numbers of words. Raises as `ids` does."""
        return self._encode(texts, tokenizers.Tokenizer.encode_batch)

    def _encode(self, texts: Sequence[str], encode: Encode) -> list[Encoding]:
        try:
            with _library_errors(f"{self.path}: the tokenizer fails on a text"):
                if len(texts) == 1:  # without the library's threads, which stay awake and in the way
                    return [self._full.encode(texts[0])]
                if len(texts) < WORTHWHILE or not self._only_lowers:
                    return encode(self._full, list(texts))
                return self._encode_many(texts, encode)
        except CheckpointError:
            check_texts(texts)
            raise

    def _encode_many(self, texts: Sequence[str], encode: Encode) -> list[Encoding]:
        plain = [bool(self._plain.fullmatch(text)) and not self._added.search(text) for text in texts]
        lowered = [text.lower() for text, short in zip(texts, plain, strict=True) if short]
        uneven = [text for text, short in zip(texts, plain, strict=True) if not short]
        quick = iter(encode(self._without_normalizer, lowered))
        slow = iter(encode(self._full, uneven))
        return [next(quick if short else slow) for short in plain]

    @cached_property
    def _without_normalizer(self) -> tokenizers.Tokenizer:
        tokenizer = self._read()
        tokenizer.normalizer = normalizers.Sequence([])
        return tokenizer

    def _read(self) -> tokenizers.Tokenizer:
        tokenizer = tokenizers.Tokenizer.from_str(self._file.text)
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.add_tokens(self._undivided)
        return tokenizer


@contextmanager
def _library_errors(problem: str) -> Iterator[None]:
    """Turn whatever the library raises into a CheckpointError: also a panic, which is no Exception."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError):
        raise
    except BaseException as error:
        raise CheckpointError(f"{problem}: {error}; give the model folder another tokenizer.json") from error


def check_texts(texts: Sequence[str]) -> None:
    """Raise FemtosearchError, saying which of the texts is none that a tokenizer can take."""
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
