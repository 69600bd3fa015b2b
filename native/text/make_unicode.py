"""Write unicode.inc: what NFKC, BERT's normaliser and its pre-tokenizer make of each character, asked of
`tokenizers`.

    python native/text/make_unicode.py

The library's crates have tables of several versions of Unicode; so each is asked what it does with each
character alone, and tests/model/test_wordpiece.py compares whole texts.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path

import tokenizers
from tokenizers import normalizers, pre_tokenizers

OUT = Path(__file__).parent / "unicode.inc"
SPACE, DROPPED, PUNCTUATION, CHINESE, MARK, ORDERED, DECOMPOSES, LOWERS = (1 << bit for bit in range(8))
HANGUL = range(0xAC00, 0xD7A4)
MOST_ORDERED = "\u0345"  # the one of the highest class of combination, 240


def bert(**steps: bool) -> Callable[[str], str]:
    """One step of BERT's normaliser."""
    off = dict.fromkeys(("clean_text", "handle_chinese_chars", "strip_accents", "lowercase"), False)
    return normalizers.BertNormalizer(**(off | steps)).normalize_str


def characters() -> Iterator[str]:
    """All that a str may hold and UTF-8 can spell."""
    return (chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000)


CLEAN, PADDED = bert(clean_text=True), bert(handle_chinese_chars=True)
STRIPPED, LOWERED = bert(strip_accents=True), bert(lowercase=True, strip_accents=False)
DECOMPOSED, COMPOSED = normalizers.NFD().normalize_str, normalizers.NFC().normalize_str
COMPATIBLE = normalizers.NFKD().normalize_str
BY_SPACE, BY_BERT = pre_tokenizers.WhitespaceSplit(), pre_tokenizers.BertPreTokenizer()


def is_ordered(c: str) -> bool:
    """Whether canonical order moves it before a mark of the highest class."""
    return c == MOST_ORDERED or DECOMPOSED(f"a{MOST_ORDERED}{c}") == f"a{c}{MOST_ORDERED}"


def flags(c: str) -> int:
    """The bits of one character."""
    apart = len(BY_BERT.pre_tokenize_str(f"a{c}a"))
    bits = SPACE * (len(BY_SPACE.pre_tokenize_str(f"a{c}a")) == 2)
    bits |= DROPPED * (CLEAN(c) == "")
    bits |= PUNCTUATION * (apart == 3)
    bits |= CHINESE * (len(PADDED(c)) == 3)
    bits |= MARK * (STRIPPED(c) == "" and DECOMPOSED(c) == c)
    bits |= ORDERED * is_ordered(c)
    bits |= DECOMPOSES * (ord(c) not in HANGUL and DECOMPOSED(c) != c)
    return bits | LOWERS * (LOWERED(c) != c)


def as_rows(numbers: list[int]) -> str:
    """Numbers in lines of a file."""
    lines, line = [], "   "
    for number in numbers:
        text = f" {number},"
        if len(line) + len(text) > 120:
            lines.append(line)
            line = "   "
        line += text
    return "\n".join([*lines, line])


def mapped(change: Callable[[str], str], bit: int, bits: dict[str, int]) -> list[int]:
    """character, length, and so many characters, for each that has the bit."""
    numbers = []
    for c, found in bits.items():
        if found & bit:
            to = change(c)
            numbers += [ord(c), len(to), *map(ord, to)]
    return numbers


def compatibles(bits: dict[str, int]) -> list[int]:
    """character, length, and so many characters, for each that NFKD takes further apart than NFD."""
    numbers = []
    for c in bits:
        to = COMPATIBLE(c)
        if to != DECOMPOSED(c):
            numbers += [ord(c), len(to), *map(ord, to)]
    return numbers


def pairs(bits: dict[str, int]) -> list[int]:
    """first, second, what they are together, for each two that NFC joins; Hangul has rules instead."""
    triples = []
    for c in bits:
        apart = DECOMPOSED(c)
        if ord(c) in HANGUL or len(apart) < 2 or COMPOSED(c) != c:
            continue
        first, second = COMPOSED(apart[:-1]), apart[-1]
        assert len(first) == 1 and COMPOSED(first + second) == c, hex(ord(c))
        triples.append((ord(first), ord(second), ord(c)))
    return [number for triple in sorted(triples) for number in triple]


def main() -> None:
    """Ask, and write."""
    bits = {c: flags(c) for c in characters()}
    runs = [(ord(next(group)), value) for value, group in ((v, iter(g)) for v, g in groupby(bits, bits.get))]
    classes = [
        number
        for c, found in bits.items()
        if found & ORDERED
        for number in (ord(c), unicodedata.combining(c))
    ]
    tables = {
        "kFlags": [number for run in runs for number in run],
        "kClasses": classes,
        "kDecomposed": mapped(DECOMPOSED, DECOMPOSES, bits),
        "kLowered": mapped(LOWERED, LOWERS, bits),
        "kCompatibles": compatibles(bits),
        "kComposed": pairs(bits),
    }
    text = f"// Made by make_unicode.py with tokenizers {tokenizers.__version__}.\n"
    for name, numbers in tables.items():
        text += f"constexpr int32_t {name}[] = {{\n{as_rows(numbers)}\n}};\n"
    OUT.write_text(text)


if __name__ == "__main__":
    main()
