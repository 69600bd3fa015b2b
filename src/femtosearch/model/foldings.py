"""Characters of typesetting as the letters that they stand for: ligatures and full-width forms.

A text is folded for the model alone: what is stored and shown is the text as it is.
"""

from __future__ import annotations

import re

import numpy as np

_LETTERS = {
    **{
        chr(code): letters
        for code, letters in enumerate(("ff", "fi", "fl", "ffi", "ffl", "st", "st"), 0xFB00)
    },
    **{chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)},
}
_FOLDABLE = re.compile("[\ufb00-\ufb06\uff01-\uff5e]")


def folded(text: str) -> str:
    """The text with letters for ligatures and full-width forms.

    >>> folded("of\ufb01ce \uff21")
    'office A'
    """
    if text.isascii():
        return text
    return _FOLDABLE.sub(lambda match: _LETTERS[match[0]], text)


def folded_with_places(text: str) -> tuple[str, np.ndarray] | None:
    """The same and, for each place in it and its end, the place in the text given: [n + 1] int64; None where
    there is nothing to fold.
    """
    if text.isascii() or not _FOLDABLE.search(text):
        return None
    lengths = np.ones(len(text) + 1, np.int64)
    for match in _FOLDABLE.finditer(text):
        lengths[match.start()] = len(_LETTERS[match[0]])
    return folded(text), np.repeat(np.arange(len(text) + 1), lengths)
