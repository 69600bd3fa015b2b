"""Manual pages: the text of roff, without its commands; sections are headings."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterator

from femtosearch.read.content import Content
from femtosearch.read.entries import Entry, Fault
from femtosearch.read.kinds.written import Written
from femtosearch.read.records import SURROGATE

_ESCAPES = (
    (re.compile(r"\\\".*$"), ""),  # a comment
    (re.compile(r"\\f(?:\[[^\]]*\]|\(..|.)"), ""),  # a font
    (re.compile(r"\\s[-+]?\d+"), ""),  # a size
    (re.compile(r"\\[*nFmM](?:\[[^\]]*\]|\(..|.)"), ""),  # strings, registers, colours
    (re.compile(r"\\[hvlLwDZNboX]'[^']*'"), ""),  # motions and drawings
)
_SIGNS = {
    "aq": "'", "dq": '"', "lq": "\u201c", "rq": "\u201d", "oq": "\u2018", "cq": "\u2019",
    "em": "\u2014", "en": "\u2013", "hy": "-", "bu": "\u2022", "rs": "\\", "ti": "~", "ha": "^",
    "ga": "`", "co": "\u00a9", "rg": "\u00ae", "tm": "\u2122", "->": "\u2192", "<-": "\u2190",
    "mi": "-", "<=": "\u2264", ">=": "\u2265", "Fo": "\u00ab", "Fc": "\u00bb", "la": "\u27e8",
    "ra": "\u27e9", "at": "@", "sh": "#", "Do": "$", "ba": "|", "or": "|", "sl": "/", "ul": "_", "pl": "+",
    "eq": "=", "lB": "[", "rB": "]", "lC": "{", "rC": "}", "de": "\xb0", "mu": "\xd7", "di": "\xf7",
    "+-": "\xb1", "eu": "\u20ac", "Eu": "\u20ac", "Po": "\xa3", "ct": "\xa2", "Ye": "\xa5", "sc": "\xa7",
    "ps": "\xb6", "dg": "\u2020", "dd": "\u2021", "!=": "\u2260", "if": "\u221e", "ua": "\u2191",
    "da": "\u2193", "14": "\xbc", "12": "\xbd", "34": "\xbe", "S1": "\xb9", "S2": "\xb2", "S3": "\xb3",
    "r!": "\xa1", "r?": "\xbf", "Of": "\xaa", "Om": "\xba", "pc": "\xb7", "ss": "\xdf", "AE": "\xc6",
    "ae": "\xe6", "OE": "\u0152", "oe": "\u0153", "/O": "\xd8", "/o": "\xf8", "/L": "\u0141", "/l": "\u0142",
    "-D": "\xd0", "Sd": "\xf0", "TP": "\xde", "Tp": "\xfe", ".i": "\u0131", "Bq": "\u201e", "bq": "\u201a",
}  # fmt: skip
_ACCENTS = {  # of a letter, before it
    "'": "\u0301", "`": "\u0300", "^": "\u0302", "~": "\u0303", ":": "\u0308", ",": "\u0327", "o": "\u030a",
    "v": "\u030c",
}  # fmt: skip
_CODE = re.compile(r"u[0-9A-F]{4,6}(?:_[0-9A-F]{4,6})*")
_SIGN = re.compile(r"\\(?:\((..)|\[([^\]]+)\])")
_FONTS = frozenset({
    "B", "I", "R", "SM", "SB", "BI", "BR", "IB", "IR", "RB", "RI",
})  # fmt: skip
_SPOKEN = frozenset({
    "Nm", "Fl", "Ar", "Op", "Cm", "Pa", "Ev", "Va", "Dv", "Em", "Sy", "Li", "Ic", "Xr", "Fn", "Ft",
    "Fa", "Dq", "Sq", "Pq", "Aq", "Ql", "Qq", "Lk", "Mt", "An", "Vt",
})  # fmt: skip
_SILENT = re.compile(
    r"\.\\\"|'\\\"|\.(?:de|am|ig|if|ie|el|nr|ds|so|tr|ft|in|ta|ad|hy|ne|ll|ps|vs|EX|EE|PD|UC|DT)\b"
)


def entries(content: Content) -> Iterator[Entry | Fault]:
    """The one document of a manual page."""
    text = content.text()
    if redirected := re.match(r"(?:[.']\\\".*\n)*\.so (\S+)\s*$", text):
        yield Fault(f"a manual page that only names another one ({redirected[1]})")
        return
    written = Written()
    title, paragraph = "", list[str]()
    for line in re.sub(r"\\\n", "", text).split("\n"):
        macro = re.match(r"[.'][ \t]*(\w+)[ \t]*(.*)$", line)
        if macro and macro[1] in ("TH", "Dt"):
            title = title or _plain(macro[2]).split(" ")[0].lower()
        elif macro and macro[1] in ("SH", "Sh", "SS", "Ss"):
            paragraph = _flush(written, paragraph)
            written.add(_plain(macro[2]), 1 if macro[1].upper() == "SH" else 2)
        elif macro and macro[1] in _FONTS | _SPOKEN | {"Nd", "It", "IP", "TP", "UR", "MT"}:
            if macro[1] in ("It", "IP", "TP"):
                paragraph = _flush(written, paragraph)
            paragraph.append(_plain(re.sub(r"^-\w+\s*$", "", macro[2])))
        elif macro or _SILENT.match(line) or not line.strip() or line[0] in ".'":
            paragraph = _flush(written, paragraph)
        else:
            paragraph.append(_plain(line, is_macro=False))
    _flush(written, paragraph)
    yield written.entry({"title": title} if title else {})


def _flush(written: Written, paragraph: list[str]) -> list[str]:
    written.add(" ".join(piece for piece in paragraph if piece))
    return []


def _plain(text: str, *, is_macro: bool = True) -> str:
    """Text without escapes, and, of a macro, without the quotes round its arguments."""
    for pattern, replacement in _ESCAPES:
        text = pattern.sub(replacement, text)
    text = _SIGN.sub(lambda match: _sign(match[1] or match[2]), text)
    if is_macro:
        text = text.replace('"', "")
    text = re.sub(r"\\[ ~0]", " ", text)
    text = re.sub(r"\\[&|^%/,c:!?{})]", "", text)
    text = " ".join(text.split()) if is_macro else text
    return text.replace("\\-", "-").replace("\\e", "\\").replace("\\'", "'").replace("\\`", "`").strip()


def _sign(name: str) -> str:
    """The character that a name stands for: a sign, a letter with its accent, or codes of Unicode."""
    if len(name) == 2 and name[0] in _ACCENTS and name[1].isalpha():
        letter = unicodedata.normalize("NFC", name[1] + _ACCENTS[name[0]])
        return letter if len(letter) == 1 else _SIGNS.get(name, letter)
    if _CODE.fullmatch(name):
        codes = [int(code, 16) for code in name[1:].split("_")]
        text = "".join(chr(code) if code <= sys.maxunicode else "\ufffd" for code in codes)
        return unicodedata.normalize("NFC", SURROGATE.sub("\ufffd", text))
    return _SIGNS.get(name, "")
