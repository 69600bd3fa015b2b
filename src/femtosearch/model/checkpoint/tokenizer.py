"""tokenizer.json: read, checked, and refused if its components can make a text much longer.

The library that runs it aborts the process when memory is short, and no error can be caught. Therefore only
components are let in of which it is known how much they add to a text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from reprlib import repr as short
from typing import Any

from femtosearch import _core
from femtosearch.errors import CheckpointError
from femtosearch.frozen import frozen
from femtosearch.tensors import parse_json, read_limited

TOKENIZER_LIMIT = 1 << 26  # bytes: the largest of today's have about 34 million
MOST_GROWTH = 128  # times as many characters: what a file's components may make of a text, all together
MOST_COMPONENTS = 32  # of one kind
MOST_ADDED = 1 << 16  # tokens beside the vocabulary
LONGEST_WORD = 1000  # characters: a WordPiece takes time by a word's square
LONGEST_AFFIX = 16  # characters that mark a word's later pieces, or its end
HIGHEST_ID = (1 << 31) - 1  # of a token
_KEY = b'"vocab":'
_ELSEWHERE = b"read by femtosearch"  # in the place of a vocabulary that the core reads

# How an added token is looked for that is found where a text has it, whatever is beside it.
AS_WRITTEN = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
# Each makes of a character what Unicode says, or nothing, or puts spaces round it: no setting makes it more.
STEADY_NORMALIZERS = frozenset(
    {"BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Strip", "StripAccents"}
)
STEADY_SPLITTERS = frozenset(
    {
        "BertPreTokenizer", "CharDelimiterSplit", "Digits", "FixedLength", "Punctuation", "Split",
        "UnicodeScripts", "Whitespace", "WhitespaceSplit",
    }
)  # fmt: skip
GROWING_SPLITTERS = {"ByteLevel": 4, "Metaspace": 2}  # a character for each byte; one before each word
STEADY_PROCESSORS = frozenset({"BertProcessing", "ByteLevel", "RobertaProcessing"})


class Vocabulary(Mapping[str, int]):
    """The vocabulary of a tokenizer.json, piece -> id, as the native core has read it."""

    def __init__(self, native: _core.Vocabulary) -> None:
        self.native = native

    def __len__(self) -> int:
        return len(self.native)

    def __iter__(self) -> Iterator[str]:
        return iter(self.native.tokens())

    def __getitem__(self, token: str) -> int:
        number = self.native.id_of(token)
        if number < 0:
            raise KeyError(token)
        return number


@frozen
class TokenizerFile:
    """A tokenizer.json that was checked: its path, its text, and the JSON object in it, in which a vocabulary
    of pieces and their ids is a Mapping, but no dict perhaps.
    """

    path: Path
    text: str
    settings: dict[str, Any]

    @property
    def normalizers(self) -> list[dict[str, Any]]:
        """The normalizers in the order in which they run; sequences are taken apart."""
        return list(_components(self.path, "normalizer", self.settings.get("normalizer"), "normalizers"))

    @property
    def splitters(self) -> list[dict[str, Any]]:
        """The pre-tokenizers in the order in which they run; sequences are taken apart."""
        entry = self.settings.get("pre_tokenizer")
        return list(_components(self.path, "pre_tokenizer", entry, "pretokenizers"))

    @property
    def model(self) -> dict[str, Any]:
        """What turns words into tokens, with its vocabulary."""
        model: dict[str, Any] = self.settings["model"]
        return model

    @property
    def added(self) -> list[dict[str, Any]]:
        """The added tokens."""
        return list(self.settings.get("added_tokens") or [])

    def has_token(self, token: str) -> bool:
        """Whether it is an added token, or one of a vocabulary that is an object."""
        vocabulary = self.model.get("vocab")
        return any(entry["content"] == token for entry in self.added) or (
            isinstance(vocabulary, Mapping) and token in vocabulary
        )

    def with_added(self, tokens: Mapping[str, int]) -> dict[str, Any]:
        """The JSON object in which more tokens of the vocabulary are looked for in a text as it is."""
        added = [
            {"id": number, "content": token, **AS_WRITTEN, "special": False}
            for token, number in tokens.items()
        ]
        settings: dict[str, Any] = json.loads(self.text)
        return settings | {"added_tokens": [*self.added, *added]}

    @property
    def lowers_case(self) -> bool:
        """Whether one of its normalizers makes letters small."""
        return any(step.get("lowercase") or step["type"] == "Lowercase" for step in self.normalizers)


def read_tokenizer(path: Path) -> TokenizerFile:
    """Read a tokenizer.json of at most 64 MiB and check it.

    Raises CheckpointError, naming the file and the component, if it is no JSON object, has a component that
    is not known, could make a text more than 128 times longer, or could take time by a long word's square.
    """
    content = read_limited(path, TOKENIZER_LIMIT)
    settings = _parsed(path, content)
    if not isinstance(settings, dict):
        raise _not_readable(path, f"expected a JSON object, found {short(settings)}")
    file = TokenizerFile(path, content.decode("utf-8-sig"), settings)
    _check_added(path, settings.get("added_tokens"))
    _check_model(path, settings.get("model"))
    _check_growth(file)
    for processor in _components(path, "post_processor", settings.get("post_processor"), "processors"):
        _check_processor(path, processor)
    return file


def _parsed(path: Path, content: bytes) -> Any:
    """The value of a JSON file. The core reads the vocabulary, tens of thousands of keys, where it can."""
    start = content.find(_KEY) + len(_KEY)
    if start >= len(_KEY) and _ELSEWHERE not in content and _is_utf8(content):
        vocabulary = _core.read_vocabulary(content, start, HIGHEST_ID)
        if vocabulary is not None:
            native, end = vocabulary
            settings = parse_json(path, content[:start] + b'"%s"' % _ELSEWHERE + content[end:])
            model = settings.get("model") if isinstance(settings, dict) else None
            if isinstance(model, dict) and model.get("vocab") == _ELSEWHERE.decode():
                model["vocab"] = Vocabulary(native)
                return settings
    return parse_json(path, content)


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _not_readable(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(f"{path}: not a tokenizer that can be read: {reason}")


def _components(path: Path, role: str, entry: Any, key: str) -> Iterator[dict[str, Any]]:
    """The components below an entry, in order. key: where a Sequence has its own."""
    waiting, count = [entry] if entry is not None else [], 0
    while waiting:
        component = waiting.pop(0)
        count += 1
        if not isinstance(component, dict) or not isinstance(component.get("type"), str):
            raise _not_readable(path, f"{role}: expected an object with a type, found {short(component)}")
        if count > MOST_COMPONENTS:
            raise _not_readable(path, f"{role}: expected at most {MOST_COMPONENTS} components, found more")
        if component["type"] != "Sequence":
            yield component
            continue
        inner = component.get(key)
        if not isinstance(inner, list):
            raise _not_readable(path, f"{role}: a Sequence needs a list of {key}, found {short(inner)}")
        waiting = inner + waiting


def _check_added(path: Path, added: Any) -> None:
    if added is None:
        return
    if not isinstance(added, list) or len(added) > MOST_ADDED:
        raise _not_readable(path, f"added_tokens: expected a list of at most {MOST_ADDED:,}")
    for entry in added:
        if not isinstance(entry, dict) or not isinstance(entry.get("content"), str):
            raise _not_readable(path, f"added_tokens: expected objects with a content, found {short(entry)}")


def _check_model(path: Path, model: Any) -> None:
    if not isinstance(model, dict):
        raise _not_readable(path, f"model: expected an object, found {short(model)}")
    longest = model.get("max_input_chars_per_word")
    if isinstance(longest, int) and longest > LONGEST_WORD:
        raise _not_readable(
            path, f"model: expected max_input_chars_per_word up to {LONGEST_WORD:,}, found {short(longest)}"
        )
    for key in ("continuing_subword_prefix", "end_of_word_suffix"):
        affix = model.get(key)
        if isinstance(affix, str) and len(affix) > LONGEST_AFFIX:
            raise _not_readable(path, f"model: {key}: expected at most {LONGEST_AFFIX} characters")
    if model.get("dropout"):
        raise _not_readable(path, "model: with a dropout the same text has other tokens each time; remove it")
    unknown, vocabulary = model.get("unk_token"), model.get("vocab")
    if isinstance(vocabulary, Mapping) and isinstance(unknown, str) and unknown not in vocabulary:
        raise _not_readable(path, f"model: its unk_token {short(unknown)} is not in its vocabulary")


def _check_growth(file: TokenizerFile) -> None:
    total = 1
    for role, components, growth_of in (
        ("normalizer", file.normalizers, _normalizer_growth),
        ("pre_tokenizer", file.splitters, _splitter_growth),
    ):
        for component in components:
            growth = growth_of(file.path, component)
            total *= growth
            if total > MOST_GROWTH:
                raise CheckpointError(
                    f"{file.path}: {role} {component['type']} can make a text {growth:,} times longer, which "
                    f"with those before it makes {total:,} times; expected at most {MOST_GROWTH}; use a "
                    "tokenizer without it"
                )


def _normalizer_growth(path: Path, component: dict[str, Any]) -> int:
    """How many times more characters it can make of a text: 1 where no setting of it matters."""
    kind = component["type"]
    if kind in STEADY_NORMALIZERS:
        return 1
    if kind == "ByteLevel":
        return GROWING_SPLITTERS[kind]
    if kind == "Prepend":
        return 1 + len(_text(path, component, "prepend"))
    if kind == "Replace":
        return _replacement_growth(path, component)
    if kind == "Precompiled":
        return _longest_entry(path, component)
    raise _unknown(
        path, "normalizer", kind, STEADY_NORMALIZERS | {"ByteLevel", "Prepend", "Precompiled", "Replace"}
    )


def _splitter_growth(path: Path, component: dict[str, Any]) -> int:
    kind = component["type"]
    if kind in STEADY_SPLITTERS:
        return 1
    if kind not in GROWING_SPLITTERS:
        raise _unknown(path, "pre_tokenizer", kind, STEADY_SPLITTERS | GROWING_SPLITTERS.keys())
    return GROWING_SPLITTERS[kind]


def _replacement_growth(path: Path, component: dict[str, Any]) -> int:
    content, pattern = _text(path, component, "content"), component.get("pattern")
    if isinstance(pattern, dict):
        literal = pattern.get("String")
        if isinstance(literal, str) and literal:
            return max(1, math.ceil(len(content) / len(literal)))
        if isinstance(pattern.get("Regex"), str):  # which may match between any two characters
            return 1 + len(content)
    raise _not_readable(
        path, f"normalizer Replace: expected a pattern that is not empty, found {short(pattern)}"
    )


def _longest_entry(path: Path, component: dict[str, Any]) -> int:
    """The characters of the longest replacement in SentencePiece's table of characters.

    The table is the length of a trie, the trie, and the replacements, each of which ends in a zero byte.
    """
    from base64 import b64decode

    try:
        table = b64decode(_text(path, component, "precompiled_charsmap"), validate=True)
        start = 4 + int.from_bytes(table[:4], "little")
        entries = table[start:].decode().split("\0")
    except ValueError as error:
        raise _not_readable(path, f"normalizer Precompiled: its table is damaged: {error}") from None
    if len(table) < start or not table[4:start]:
        raise _not_readable(path, "normalizer Precompiled: its table is truncated")
    return max(1, *map(len, entries))


def _check_processor(path: Path, processor: dict[str, Any]) -> None:
    kind = processor["type"]
    if kind in STEADY_PROCESSORS:
        return
    if kind != "TemplateProcessing":
        raise _unknown(path, "post_processor", kind, STEADY_PROCESSORS | {"TemplateProcessing"})
    template = processor.get("single")
    pieces = template if isinstance(template, list) else []
    texts = [piece for piece in pieces if isinstance(piece, dict) and "Sequence" in piece]
    if len(texts) != 1:
        raise _not_readable(
            path, f"post_processor TemplateProcessing: expected the text once in single, found {len(texts)}"
        )


def _text(path: Path, component: dict[str, Any], key: str) -> str:
    value = component.get(key)
    if not isinstance(value, str):
        raise _not_readable(path, f"{component['type']}: expected {key} to be a string, found {short(value)}")
    return value


def _unknown(path: Path, role: str, kind: str, names: Iterable[str]) -> CheckpointError:
    return CheckpointError(f"{path}: {role} {short(kind)} is not known; known: {', '.join(sorted(names))}")
