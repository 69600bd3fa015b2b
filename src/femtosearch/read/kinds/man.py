"""Manual pages: the text of roff, without its commands; sections are headings."""

from __future__ import annotations

import re
from collections.abc import Iterator

from femtosearch.read.content import Content
from femtosearch.read.entries import Entry, Fault
from femtosearch.read.kinds.written import Written

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
    "ra": "\u27e9", "at": "@", "sh": "#", "Do": "$", "ba": "|",
}  # fmt: skip
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
    text = _SIGN.sub(lambda match: _SIGNS.get(match[1] or match[2], ""), text)
    if is_macro:
        text = text.replace('"', "")
    text = re.sub(r"\\[&|^%/,c:!?{}) ]", lambda match: " " if match[0] == "\\ " else "", text)
    text = " ".join(text.split()) if is_macro else text
    return text.replace("\\-", "-").replace("\\e", "\\").replace("\\'", "'").replace("\\`", "`").strip()
