"""BERT's tokenizer in the native core: ids, offsets and words are those of the library `tokenizers`.

A tokenizer.json is BERT's if its components are BertNormalizer, with NFKC before it or not, BertPreTokenizer
and WordPiece, and its added tokens are looked for in the text as it is. The library runs any other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from femtosearch import _core
from femtosearch.frozen import frozen
from femtosearch.model.checkpoint.tokenizer import AS_WRITTEN, HIGHEST_ID, TokenizerFile, Vocabulary
from femtosearch.model.encodings import Encodings, Ids, check_texts

STEPS = ("clean_text", "handle_chinese_chars", "lowercase")


@frozen
class WordPieceSettings:
    """The settings of BERT's tokenizer in a tokenizer.json.

    vocabulary:   piece -> id.
    added:        token -> id.
    steps:        of the normaliser: whether NFKC comes first, control characters go, spaces are put round
                  Chinese characters, accents go, letters become small.
    unknown:      the id of a word that no pieces make up.
    prefix:       of the pieces that go on with a word.
    longest:      characters of a word; a longer one is unknown.
    first, last:  the ids round each text.
    """

    vocabulary: Mapping[str, int]
    added: Mapping[str, int]
    steps: tuple[bool, bool, bool, bool, bool]
    unknown: int
    prefix: str
    longest: int
    first: list[int]
    last: list[int]


class WordPiece:
    """A tokenizer.json of BERT's kind: see TextEncoder."""

    splits_on_words = True

    def __init__(self, file: TokenizerFile, settings: WordPieceSettings) -> None:
        self._file = file
        self._settings = settings
        self._vocabulary = _native(settings.vocabulary)
        self._undivided: dict[str, int] = {}
        self._set_up()

    def _set_up(self) -> None:
        settings = self._settings
        self._native = _core.WordPiece(
            self._vocabulary,
            list((dict(settings.added) | self._undivided).items()),
            settings.unknown,
            settings.prefix,
            settings.longest,
            *settings.steps,
            settings.first,
            settings.last,
        )

    @property
    def added(self) -> list[str]:
        """The tokens that are looked for in a text as it is."""
        return [*self._settings.added, *self._undivided]

    @property
    def highest_id(self) -> int:
        """The highest id of any token; -1 if there is none."""
        return max([int(self._vocabulary.ids().max(initial=-1)), *self._settings.added.values()])

    def id_of(self, token: str) -> int | None:
        """A token's id; None if there is no such token."""
        return self._settings.added.get(token, self._settings.vocabulary.get(token))

    def keep_whole(self, token: str, *, as_written: bool = False) -> None:
        """Do not divide a token of the vocabulary from now on where it occurs in a text."""
        first, last = self._settings.first, self._settings.last
        number = self.id_of(token)
        if number is None:
            raise KeyError(token)
        if self.ids([token])[0].tolist() != [*first, number, *last]:
            self._undivided[token] = number
            self._set_up()

    def ids(self, texts: Sequence[str], threads: int = 0) -> Ids:
        """The ids of texts, each with the special tokens round it. Raises FemtosearchError naming a text that
        is no str.
        """
        encodings = self._encode(texts, threads, places=False)
        return encodings.ids, encodings.starts

    def encode(self, texts: Sequence[str], threads: int = 0) -> Encodings:
        """The ids of texts with their offsets and words. Raises as `ids` does."""
        return self._encode(texts, threads, places=True)

    def save(self, path: str) -> None:
        """Write a tokenizer.json that gives the same ids, neither truncating nor padding."""
        settings = self._file.with_added(self._undivided) | {"truncation": None, "padding": None}
        with open(path, "w", encoding="utf-8") as stream:
            json.dump(settings, stream, ensure_ascii=False, separators=(",", ":"))

    def _encode(self, texts: Sequence[str], threads: int, *, places: bool) -> Encodings:
        try:
            return Encodings(*self._native.encode(list(texts), places, threads))
        except (TypeError, UnicodeEncodeError):
            check_texts(texts)
            raise


def wordpiece_settings(file: TokenizerFile) -> WordPieceSettings | None:
    """The settings in the file if it is a tokenizer of BERT's kind; else None."""
    model, splitters = file.model, file.splitters
    vocabulary, unknown = _vocabulary(model.get("vocab")), model.get("unk_token")
    steps, around = _steps(file.normalizers), _around(file.settings.get("post_processor"))
    added = _added(file.added, vocabulary)
    prefix, longest = model.get("continuing_subword_prefix"), model.get("max_input_chars_per_word")
    if (
        model.get("type") != "WordPiece"
        or [splitter["type"] for splitter in splitters] != ["BertPreTokenizer"]
        or not isinstance(unknown, str)
        or unknown not in vocabulary
        or not isinstance(prefix, str)
        or type(longest) is not int
        or longest < 1
        or steps is None
        or around is None
        or added is None
    ):
        return None
    return WordPieceSettings(vocabulary, added, steps, vocabulary[unknown], prefix, longest, *around)


def _native(vocabulary: Mapping[str, int]) -> _core.Vocabulary:
    if isinstance(vocabulary, Vocabulary):
        return vocabulary.native
    return _core.Vocabulary(list(vocabulary), np.fromiter(vocabulary.values(), np.int32, len(vocabulary)))


def _vocabulary(entries: Any) -> Mapping[str, int]:
    """The vocabulary, piece -> id; empty if the entry is not a mapping."""
    if isinstance(entries, Vocabulary):
        return entries
    if not isinstance(entries, dict):
        return {}
    numbers = entries.values()
    only_ids = set(map(type, numbers)) == {int} and min(numbers) >= 0 and max(numbers) <= HIGHEST_ID
    return entries if only_ids else {}


def _is_id(number: Any) -> bool:
    return type(number) is int and 0 <= number <= HIGHEST_ID


def _steps(normalizers: list[dict[str, Any]]) -> tuple[bool, bool, bool, bool, bool] | None:
    """The steps of one BertNormalizer, with or without NFKC before it; None for other normalizers, and for
    settings of another type.
    """
    kinds = [step["type"] for step in normalizers]
    if kinds not in (["BertNormalizer"], ["NFKC", "BertNormalizer"]):
        return None
    clean, chinese, lower = (normalizers[-1].get(name) for name in STEPS)
    strip = normalizers[-1].get("strip_accents")
    strip = lower if strip is None else strip
    if not all(type(step) is bool for step in (clean, chinese, strip, lower)):
        return None
    return len(kinds) == 2, bool(clean), bool(chinese), bool(strip), bool(lower)


def _added(entries: list[dict[str, Any]], vocabulary: Mapping[str, int]) -> dict[str, int] | None:
    """The added tokens, token -> id; None if one is not matched as written, or has another id than in the
    vocabulary.
    """
    added: dict[str, int] = {}
    for entry in entries:
        token, number = entry["content"], entry.get("id", -1)
        as_written = all(entry.get(name) is value for name, value in AS_WRITTEN.items())
        if not token or not as_written or not _is_id(number) or vocabulary.get(token, number) != number:
            return None
        added[token] = int(number)
    return added


def _around(processor: Any) -> tuple[list[int], list[int]] | None:
    """The ids of the special tokens before and after a text; None if the processor is of an unknown form."""
    if not isinstance(processor, dict):
        return None
    try:
        if processor["type"] == "BertProcessing":
            first, last = [processor["cls"][1]], [processor["sep"][1]]
        elif processor["type"] == "TemplateProcessing":
            first, last = _template(processor)
        else:
            return None
    except (KeyError, IndexError, TypeError, ValueError):
        return None
    return (first, last) if all(map(_is_id, [*first, *last])) else None


def _template(processor: dict[str, Any]) -> tuple[list[int], list[int]]:
    pieces = processor["single"]
    text = next(n for n, piece in enumerate(pieces) if "Sequence" in piece)
    ids = [
        [] if n == text else processor["special_tokens"][piece["SpecialToken"]["id"]]["ids"]
        for n, piece in enumerate(pieces)
    ]
    return list(chain.from_iterable(ids[:text])), list(chain.from_iterable(ids[text:]))
