"""Identifiers and their parts: "user name" finds `getUserName` if the parts are added to the text
after it.
"""

from __future__ import annotations

import re

import numpy as np

from femtosearch.model.foldings import Edit, edited

_IDENTIFIER = re.compile(r"[^\W\d_][^\W_]{2,63}")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def parts_of(identifier: str) -> list[str]:
    """The parts of an identifier. Tables of words on disk hold them, so this function must not change.

    >>> parts_of("getHTTPServer2")
    ['get', 'HTTP', 'Server', '2']
    """
    return _PART.findall(identifier)


def with_parts(text: str) -> tuple[str, np.ndarray]:
    """Add to a text the parts of each identifier, after its first occurrence.

    snake_case needs no such help: a tokenizer splits words at `_`.
    Returns the new text and, for each place in it and its end, the place in the text before: [n + 1] int64.
    >>> with_parts("call getUserName(x)")[0]
    'call getUserName get User Name (x)'
    """
    additions: list[Edit] = []
    seen = set[str]()
    for match in _IDENTIFIER.finditer(text):
        names = parts_of(match[0])
        if len(names) < 2 or match[0] in seen or match[0].islower() or match[0].isupper():
            continue
        seen.add(match[0])
        additions.append((match.end(), match.end(), f" {' '.join(names)} "))
    return edited(text, additions)
