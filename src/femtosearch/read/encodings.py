"""Which encoding bytes are text in, by their first few; and what they are where they are no text."""

from __future__ import annotations

import codecs
import re
import string
import unicodedata

from femtosearch.frozen import frozen

SNIFFED = 1 << 22  # bytes that are looked at
POINTED = 1024  # bytes that a pointer to a file has at most

_MARKS = (  # a mark of four bytes begins as one of two does
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
_MAGIC = (
    (b"%PDF-", "a PDF"),
    (b"PK\x03\x04", "a zip file"),
    (b"\x1f\x8b", "a gzip file"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ\0", "an xz file"),
    (b"(\xb5/\xfd", "a Zstandard file"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z file"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90\0", "a program"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office file"),
    (b"SQLite format 3\0", "a SQLite database"),
    (b"PAR1", "a Parquet file"),
    (b"OggS", "an Ogg file"),
    (b"ID3", "an MP3 file"),
    (b"\xca\xfe\xba\xbe", "a program"),
)
_LFS = re.compile(rb"version https://git-lfs\.github\.com/spec/v1\r?\n")
_CONTROLS = bytes(set(range(32)) - {8, 9, 10, 11, 12, 13, 27}) + b"\x7f"  # that no text has
_HIGH = bytes(range(0x80, 0x100))
_UNLIKELY = b"\xd7\xf7\xfe\xff\xde\xf0\xd0\x81\x8d\x8f\x90\x9d"  # no letter of cp1252 that is common
_SCRIPTS = (  # Latin to Arabic, Indic to Thai, punctuation, kana and Han, Hangul, full-width forms, emoji
    (0xA0, 0x6FF),
    (0x900, 0xE7F),
    (0x1E00, 0x22FF),
    (0x3000, 0x9FFF),
    (0xAC00, 0xD7A3),
    (0xFF00, 0xFFEF),
    (0x1F300, 0x1FAFF),
)
_STATED = re.compile(  # within the first lines, of XML, CSS and HTML, and as editors and Python have it
    rb"""\A\s*<\?xml[^>]*\bencoding\s*=\s*["']([\w.:-]+)|\A@charset\s*"([\w.:-]+)"|"""
    rb"""<meta\s[^>]*\bcharset\s*=\s*["']?\s*([\w.:-]+)|\A(?:.*\n)?.*coding[:=][ \t]*([\w.-]+)""",
    re.IGNORECASE,
)
_WHERE_STATED = 4096  # bytes of a file that may say what it is in
_LARGER = {  # what programs write that say another name, of which it has all characters
    "ascii": "cp1252", "iso8859-1": "cp1252", "iso8859-9": "cp1254", "gb2312": "gb18030", "gbk": "gb18030",
    "shift_jis": "cp932", "euc_kr": "cp949", "tis-620": "cp874",
}  # fmt: skip
_NO_ENCODINGS = frozenset({"idna", "punycode", "unicode_escape", "raw_unicode_escape"})  # but Python's ways
_MOST_CONTROLS = 0.01  # of the bytes, and 8 at least
_MOST_PLAIN = 0.8  # of the bytes of UTF-16 without NULs, those that are printable ASCII
_MOST_HIGH = 0.3  # of the letters of a text in a script of Latin letters


class NotTextError(ValueError):
    """Bytes are no text, or in an encoding that cannot be told."""


@frozen
class Encoding:
    """How bytes are read as text.

    name:    as Python has it.
    guess:   why it is a guess, for a person; "" where it is none.
    """

    name: str
    guess: str = ""


def encoding_of(head: bytes, *, is_whole: bool = False, guesses: bool = True) -> Encoding:
    """The encoding of a text that begins with these bytes.

    is_whole:  that is all of it.
    guesses:   what is neither UTF-8 nor marked is in what it says of itself, as HTML and source code do, else
               in cp1252; else that is UTF-8 with damage.
    Raises NotTextError, which says what it is instead.
    """
    for mark, name in _MARKS:
        if head.startswith(mark):
            return Encoding(name)
    _refuse_known(head)
    stated = _stated(head) if guesses else None
    wide = _without_mark(head) or (_wide_script(head) if guesses and stated is None else None)
    if wide is not None:
        return Encoding(wide, f"{wide.upper()} without a byte order mark")
    _refuse_controls(head)
    if stated is not None and (stated.startswith("iso2022") or not _is_utf8(head, is_whole)):
        return Encoding(stated)
    if _is_utf8(head, is_whole):
        return Encoding("utf-8")
    if guesses and _looks_western(head):
        return Encoding("cp1252", "cp1252, as it is not UTF-8; --encoding says which it is")
    _refuse_damage(head)
    return Encoding("utf-8")


def known_encoding(name: str) -> str | None:
    """The encoding of text that a name stands for where programs write it; None where none has the name."""
    try:
        codec = check_encoding(name)
    except (LookupError, ValueError):
        return None
    return _LARGER.get(codec, codec)


def _stated(head: bytes) -> str | None:
    """What a text says that it is in; None where it says nothing, or what cannot be true: it was found in
    ASCII's letters."""
    match = _STATED.search(head[:_WHERE_STATED])
    name = match[match.lastindex or 0].decode("ascii", "replace") if match else ""
    codec = known_encoding(name)
    if codec is None or codec in _NO_ENCODINGS or codec.startswith("utf") or "<".encode(codec) != b"<":
        return None
    return codec


def check_encoding(name: str) -> str:
    """The name of an encoding of text. Raises LookupError for what is none."""
    "".encode(name)  # which refuses what encodes no text
    return codecs.lookup(name).name


def _refuse_known(head: bytes) -> None:
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            raise NotTextError(f"expected text in UTF-8, found {kind}")
    if is_pointer(head):
        raise NotTextError("expected text, found a Git LFS pointer to it: get the file with `git lfs pull`")


def is_pointer(head: bytes) -> bool:
    """Whether bytes are Git LFS's pointer to a file, which is somewhere else."""
    return _LFS.match(head) is not None and len(head) < POINTED


def _refuse_controls(head: bytes) -> None:
    controls = len(head) - len(head.translate(None, _CONTROLS))
    if controls >= 8 and controls > _MOST_CONTROLS * len(head):
        raise NotTextError(
            f"expected text in UTF-8, found bytes that are no text ({controls:,} control characters in the "
            f"first {len(head):,})"
        )


def _refuse_damage(head: bytes) -> None:
    """Bytes that are neither UTF-8 nor plausible in cp1252: a few are damage, many another encoding."""
    bad = head.decode("utf-8", "surrogateescape")
    wrong = sum("\ud800" <= character <= "\udfff" for character in bad)
    if wrong > _MOST_HIGH * len(bad) and wrong > 8:
        raise NotTextError(
            f"expected text in UTF-8, found {wrong:,} bytes that are not in the first {len(head):,}: "
            "say with --encoding what it is in"
        )


def _is_utf8(head: bytes, is_whole: bool) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, is_whole)
    except UnicodeDecodeError:
        return False
    return True


def _without_mark(head: bytes) -> str | None:
    """UTF-16 or UTF-32 that has no mark: its NULs are all at the same places."""
    if b"\0" not in head:
        return None
    body = head[: len(head) // 4 * 4] or head
    nuls = [body[place::4].count(0) for place in range(4)]
    quarter = max(1, len(body) // 4)
    if len(body) >= 8 and min(nuls[2:]) > 0.9 * quarter and nuls[0] < 0.1 * quarter:
        return "utf-32-le"
    if len(body) >= 8 and min(nuls[:2]) > 0.9 * quarter and nuls[3] < 0.1 * quarter:
        return "utf-32-be"
    even, odd = head[::2].count(0), head[1::2].count(0)
    if even + odd < max(2, len(head) // 10) and _is_utf8(head, False):
        return None  # a stray NUL
    order = ("utf-16-le", "utf-16-be") if odd >= even else ("utf-16-be", "utf-16-le")
    return next((name for name in order if _reads_as_text(head, name)), None)


def _wide_script(head: bytes) -> str | None:
    """UTF-16 that has neither mark nor NULs, as text in Chinese characters, kana or Hangul has none.

    Pairs of ASCII characters would be Chinese characters, too.
    """
    if len(head) < 8 or (len(head) % 2 and len(head) < SNIFFED) or _is_utf8(head, False):
        return None
    plain = len(head) - len(head.translate(None, string.printable.encode()))
    return "utf-16-le" if plain < _MOST_PLAIN * len(head) and _reads_as_text(head, "utf-16-le") else None


def _reads_as_text(head: bytes, name: str) -> bool:
    """Whether nearly all characters are of scripts that are written much; of swapped bytes few are."""
    sample = head[: min(len(head) // 2 * 2, 1 << 16)]
    text = sample.decode(name, "replace")
    common = sum(_is_common(character) for character in text)
    return bool(text) and common >= 0.95 * len(text)


def _is_common(character: str) -> bool:
    code = ord(character)
    if code < 0x80:
        return code >= 32 or character in "\t\r\n\f"
    return (
        any(low <= code <= high for low, high in _SCRIPTS) and unicodedata.category(character)[0] in "LNPZMS"
    )


def _looks_western(head: bytes) -> bool:
    """Whether bytes beyond ASCII are as rare, and as common among themselves, as in a Western language."""
    high = len(head) - len(head.translate(None, _HIGH))
    letters = high + len(head) - len(head.translate(None, string.ascii_letters.encode()))
    unlikely = sum(head.count(bytes([byte])) for byte in _UNLIKELY)
    valid = head.decode("utf-8", "surrogateescape")
    longer = sum(character > "\x7f" and not "\ud800" <= character <= "\udfff" for character in valid)
    return high <= _MOST_HIGH * max(1, letters) + 1 and 10 * unlikely <= high and 4 * longer < high
