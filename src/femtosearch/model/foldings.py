"""Foldings: a text is normalised for the model. Ligatures and full-width forms become letters, words that are
broken at the end of a line are joined, and the escape sequences of terminals are left out.

A text is folded for the model only: it is stored and shown unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import numpy as np

LETTERS = {  # the letters that a ligature or a full-width form stands for
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
    """Fold a text: letters replace ligatures and full-width forms, escape sequences of terminals are left
    out, and after a word that is broken by a hyphen at the end of a line the joined word is added.

    The broken word stays, because the hyphen may belong to it, as in `well-known`. A soft hyphen at the end
    of a line is removed without that.

    >>> folded("of\ufb01ce \uff21"), folded("infor-\\nmation")
    ('office A', 'infor-\\nmation information ')
    """
    replaced = folded_with_places(text)
    return text if replaced is None else replaced[0]


def folded_with_places(text: str) -> tuple[str, np.ndarray] | None:
    """Fold a text as `folded` does. Returns the folded text and, for each place in it and its end, the place
    in the original text, [n + 1] int64; None if there is nothing to fold.
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
    """The rows of a text after folding, [T, D] float32, and their spans in the original text, [T, 2] int64.

    rows_of:  gives the rows of a text and their spans, -1 for a row of no character.
    """
    folding = folded_with_places(text)
    if folding is None:
        return rows_of(text)
    rows, spans = rows_of(folding[0])
    return rows, unfolded(text, folding[1], spans)


def unfolded(text: str, places: np.ndarray, spans: np.ndarray) -> np.ndarray:
    """Convert spans in a folded text, [N, 2] int64, to spans in the original text. The span of a joined word
    that was added becomes that of the broken word before it.

    places:  as `folded_with_places` gives them. A span of -1, for a row of no character, stays -1.
    """
    # A span ends behind its last character, whatever was left out between that and the next one.
    ends = np.minimum(places[spans[:, 1]], places[spans[:, 1] - 1] + 1)
    originals: np.ndarray = np.where(spans < 0, spans, np.stack([places[spans[:, 0]], ends], axis=1))
    for number in np.flatnonzero((originals[:, 0] == originals[:, 1]) & (originals[:, 0] >= 0)):
        end = int(originals[number, 1])
        broken = re.search(rf"{_BROKEN}\Z", text[max(0, end - _LONGEST) : end])
        originals[number, 0] = end if broken is None else end - len(broken[0])
    originals[originals[:, 0] == originals[:, 1]] = -1
    return originals


def edited(text: str, edits: Iterable[Edit]) -> tuple[str, np.ndarray]:
    """Apply edits, in rising order, to a text. Returns the new text and, for each place in it and its end,
    the place in the text before, [n + 1] int64.
    """
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
