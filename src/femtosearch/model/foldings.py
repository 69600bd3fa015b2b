"""What typesetting does to words, undone: ligatures, full-width forms, hyphens at the ends of lines, and what
tells a terminal to write in colours or bold.

A text is folded for the model alone: what is stored and shown is the text as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import numpy as np

LETTERS = {  # by what typesetting makes of them
    **{
        chr(code): letters
        for code, letters in enumerate(("ff", "fi", "fl", "ffi", "ffl", "st", "st"), 0xFB00)
    },
    **{chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)},
}
# Escape sequences (colours, links), and letters that are struck over by the next one.
TERMINAL = "\x1b\\[[0-9;?]*[@-~]|\x1b\\][^\x07\x1b]*(?:\x07|\x1b\\\\)|[^\n]\x08"
_FOLDABLE = f"{TERMINAL}|[\ufb00-\ufb06\uff01-\uff5e]|\xad[ \t]*\r?\n[ \t]*"
_BREAK = r"[-\u2010\u2011][ \t]*\r?\n"
_BROKEN = r"(?<![^\W\d_])([^\W\d_]{2,}+)[-\u2010\u2011][ \t]*\r?\n[ \t]*([^\W\d_]{2,})"
_LONGEST = 256  # characters of a broken word, with the blanks at the line's end
RowsOf = Callable[[str], tuple[np.ndarray, np.ndarray]]
Edit = tuple[int, int, str]  # text[start:end] becomes another text


def folded(text: str) -> str:
    """The text with letters for ligatures and full-width forms, without what only a terminal reads, and with
    words that a line's end broke.

    After a word with a hyphen at the end of a line comes the word without it: which of the two was meant,
    `infor-mation` or `well-known`, is not to be seen. A soft hyphen there is no question.

    >>> folded("of\ufb01ce \uff21"), folded("infor-\\nmation")
    ('office A', 'infor-\\nmation information ')
    """
    replaced = folded_with_places(text)
    return text if replaced is None else replaced[0]


def folded_with_places(text: str) -> tuple[str, np.ndarray] | None:
    """The same and, for each place in it and its end, the place in the text given: [n + 1] int64; None where
    there is nothing to fold.
    """
    places = None
    may_fold = not text.isascii() or "\x1b" in text or "\x08" in text
    if may_fold and re.search(_FOLDABLE, text):
        edits = ((*match.span(), LETTERS.get(match[0], "")) for match in re.finditer(_FOLDABLE, text))
        text, places = edited(text, edits)
    if "\n" in text and re.search(_BREAK, text) and re.search(_BROKEN, text):
        additions = (
            (match.end(), match.end(), f" {match[1]}{match[2]} ") for match in re.finditer(_BROKEN, text)
        )
        text, again = edited(text, additions)
        places = again if places is None else places[again]
    return None if places is None else (text, places)


def rows_of_folded(rows_of: RowsOf, text: str) -> tuple[np.ndarray, np.ndarray]:
    """The rows of the folded text, [T, D], and where each comes from in the text as it is, [T, 2].

    rows_of:  gives the rows of a text and their spans, -1 for a row of no character.
    """
    folding = folded_with_places(text)
    if folding is None:
        return rows_of(text)
    rows, spans = rows_of(folding[0])
    return rows, unfolded(text, folding[1], spans)


def unfolded(text: str, places: np.ndarray, spans: np.ndarray) -> np.ndarray:
    """Spans in a folded text, [N, 2], as spans in the text; a word that was put in is the broken word before.

    places:  as `folded_with_places` gives them. A span of -1, of no character, stays one.
    """
    # A span ends behind its last character, whatever was left out between that and the next one.
    ends = np.minimum(places[spans[:, 1]], places[spans[:, 1] - 1] + 1)
    found: np.ndarray = np.where(spans < 0, spans, np.stack([places[spans[:, 0]], ends], axis=1))
    for number in np.flatnonzero((found[:, 0] == found[:, 1]) & (found[:, 0] >= 0)):
        end = int(found[number, 1])
        broken = re.search(rf"{_BROKEN}\Z", text[max(0, end - _LONGEST) : end])
        found[number, 0] = end if broken is None else end - len(broken[0])
    found[found[:, 0] == found[:, 1]] = -1
    return found


def edited(text: str, edits: Iterable[Edit]) -> tuple[str, np.ndarray]:
    """The text after edits, which rise, and the place in it that each place comes from."""
    pieces: list[str] = []
    places: list[np.ndarray] = []
    behind = 0
    for start, end, new in edits:
        pieces += [text[behind:start], new]
        places += [np.arange(behind, start), np.full(len(new), start)]
        behind = end
    pieces.append(text[behind:])
    places.append(np.arange(behind, len(text) + 1))
    return "".join(pieces), np.concatenate(places)
