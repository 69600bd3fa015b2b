"""Words in plain letters: without typeset forms, accents and invisible characters, so that they are found
however they are written.

To delete a row of the table of words, its words are made from its text again. So the results here, and those
of `folded`, are part of the format: other results need a new feature in place of `plain`.
"""

from __future__ import annotations

import itertools
import re
from unicodedata import ucd_3_2_0 as unicode  # one version, whatever Python's own is

from femtosearch.model.foldings import folded

_INVISIBLE = re.compile("[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")
_ACCENTS = re.compile(  # of Latin, Greek and Cyrillic letters, Hebrew and Arabic vowels
    "[\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u065f\u0670"
    "\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"
)
_ALONE = {  # letters that Unicode does not decompose, and signs that do not belong to the word before them
    **{"\u00df": "ss", "\u1e9e": "SS", "\u00e6": "ae", "\u00c6": "AE", "\u0153": "oe", "\u0152": "OE"},
    **{"\u00f8": "o", "\u00d8": "O", "\u0142": "l", "\u0141": "L", "\u0111": "d", "\u0110": "D"},
    **{"\u00f0": "d", "\u00d0": "D", "\u00fe": "th", "\u00de": "Th", "\u0131": "i", "\u0127": "h"},
    **{"\u2122": " ", "\u2120": " "},
}
_ANY_ALONE = re.compile(f"[{''.join(_ALONE)}]")
_PICTURES = re.compile("[\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff]")
_LETTERS, _DIGITS = (  # the word for a picture has no digits, at which it would be split
    str.maketrans(*pair) for pair in itertools.permutations(("0123456789abcdef", "abcdefghijklmnop"))
)
_OF_PICTURE = re.compile("emojix([a-p]{4,5})")
_SIGNED = re.compile(r"(?<![A-Za-z0-9])([A-Za-z])(\+\+|#)(?![A-Za-z_])")
_SIGNS = {"++": "plusplus", "#": "sharp"}
_APART = re.compile("(?<![A-Za-z0-9])[A-Za-z0-9]++(?:\u200b+[A-Za-z0-9]+)+")


def plain_text(text: str) -> str:
    """Convert a text to plain letters: ligatures, full-width and other typeset forms become the letters that
    they stand for; accents, invisible characters, and breaks of words at the ends of lines are removed.

    >>> plain_text("\ufb01nan\xadcial \u0141\xf3d\u017a, \uff21\uff22\uff23 x\xb2, stra\xdfe")
    'financial Lodz, ABC x2, strasse'
    """
    text = folded(text)
    if text.isascii():
        return text
    text = _ANY_ALONE.sub(lambda match: _ALONE[match[0]], _INVISIBLE.sub("", text))
    return unicode.normalize("NFC", _ACCENTS.sub("", unicode.normalize("NFKD", text)))


def words_beside(text: str) -> list[str]:
    """Additional words of a text, for what a tokenizer of words misses: emoji and other pictures, the signs
    of C++ and C#, and the parts of words that are divided by zero-width spaces.

    >>> words_beside("annual\u200breport of C++")
    ['cplusplus', 'annual', 'report']
    """
    signed = _SIGNED.finditer(text) if any(sign in text for sign in _SIGNS) else ()
    words = [match[1].lower() + _SIGNS[match[2]] for match in signed]
    if text.isascii():
        return words
    words += ["emojix" + f"{ord(picture):x}".translate(_LETTERS) for picture in _PICTURES.findall(text)]
    apart = _APART.finditer(text) if "\u200b" in text else ()
    return words + [part for match in apart for part in match[0].split("\u200b") if part]


def shown_word(word: str) -> str:
    """The picture that a word of `words_beside` stands for; other words are returned unchanged.

    >>> [shown_word(word) for word in words_beside("a \U0001f382")] == ["\U0001f382"]
    True
    """
    match = _OF_PICTURE.fullmatch(word)
    return word if match is None else chr(int(match[1].translate(_DIGITS), 16))
