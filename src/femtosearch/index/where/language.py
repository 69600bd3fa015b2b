"""Filters in words: `year >= 2020 and (lang = "en" or not tag in ("draft", "old"))`."""

from __future__ import annotations

import json
import re
from typing import NoReturn

from femtosearch.errors import QueryError
from femtosearch.frozen import frozen
from femtosearch.index.where.tree import (
    MOST_DEPTH,
    Either,
    Every,
    Filter,
    Negation,
    Path,
    Scalar,
    compared,
    paths_of,
)

MOST_CHARACTERS = 100_000
_TOKENS = re.compile(
    r"""
    (?P<blank>\s+)
  | (?P<date>\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d[\d:.]*(?:Z|[+-]\d\d:?\d\d)?)?(?![\w-]))
  | (?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
  | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^']|'')*')
  | (?P<quoted>`(?:[^`]|``)+`)
  | (?P<word>[^\W\d][\w-]*)
  | (?P<sign><=|>=|!=|<>|==|!~|[=<>~(),.\[\]])
    """,
    re.VERBOSE | re.DOTALL,
)
_SIGNS = {
    "=": "eq", "==": "eq", "!=": "ne", "<>": "ne", ">": "gt", ">=": "gte", "<": "lt", "<=": "lte",
    "~": "glob", "!~": "not_glob",
}  # fmt: skip
_WORDS = {"contains": "contains", "prefix": "prefix"}
_CONSTANTS: dict[str, Scalar] = {"true": True, "false": False, "null": None}
_OPERATORS = "one of = != < <= > >= ~ !~, in, contains, prefix, exists"


def parse(text: str) -> Filter:
    """A filter in words. Raises QueryError, which says where and what was expected.

    A field is a key, or keys with dots between; one that is no plain word stands in back quotes. `=`, `!=`,
    `<`, `<=`, `>`, `>=`; `in ("a", "b")`; `contains`, `prefix`; `~ "docs/*"`; `exists`. Tests are joined by
    `and`, `or`, `not`, and brackets. Text stands in quotes, a date may stand without.

    >>> parse('year >= 2020').operator
    'gte'
    """
    if len(text) > MOST_CHARACTERS:
        raise QueryError(f"where: {len(text):,} characters: make it shorter than {MOST_CHARACTERS:,}")
    return _Parser(text, _tokens(text)).parse()


@frozen
class _Token:
    kind: str
    text: str
    start: int

    @property
    def keyword(self) -> str:
        return self.text.lower() if self.kind == "word" else self.text if self.kind == "sign" else ""


def _tokens(text: str) -> list[_Token]:
    tokens, at = [], 0
    while at < len(text):
        match = _TOKENS.match(text, at)
        if match is None:
            char = text[at]
            reason = "a quote that does not end" if char in "\"'`" else f"{char!r}"
            raise QueryError(f"where: character {at + 1}: {reason}, in {_shown(text, at)}")
        if match.lastgroup != "blank":
            tokens.append(_Token(str(match.lastgroup), match[0], at))
        at = match.end()
    tokens.append(_Token("end", "", len(text)))
    return tokens


class _Parser:
    """One pass over the tokens: `or` binds least, then `and`, then `not`."""

    def __init__(self, text: str, tokens: list[_Token]) -> None:
        self._text = text
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def parse(self) -> Filter:
        filter = self._either()
        if self._next.kind != "end":
            self._fail("and, or, or the end")
        return filter

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        token = self._next
        self._at += 1
        return token

    def _takes(self, *keywords: str) -> bool:
        """Take the next token if it is one of those."""
        if self._next.keyword not in keywords:
            return False
        self._at += 1
        return True

    def _either(self) -> Filter:
        filters = [self._every()]
        while self._takes("or"):
            filters.append(self._every())
        return filters[0] if len(filters) == 1 else Either(tuple(filters))

    def _every(self) -> Filter:
        filters = [self._negation()]
        while self._takes("and"):
            filters.append(self._negation())
        return filters[0] if len(filters) == 1 else Every(tuple(filters))

    def _negation(self) -> Filter:
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise QueryError(f"where: nested deeper than {MOST_DEPTH} levels: make it flatter")
        try:
            if self._is_not():
                return Negation(self._negation())
            if self._takes("("):
                filter = self._either()
                if not self._takes(")"):
                    self._fail("and, or, or )")
                return filter
            return self._test()
        finally:
            self._depth -= 1

    def _is_not(self) -> bool:
        """Take a `not`, unless it is the name of a field, which a sign would follow; returns whether
        it came.
        """
        if self._next.keyword != "not" or self._tokens[self._at + 1].keyword in _SIGNS:
            return False
        return self._takes("not")

    def _test(self) -> Filter:
        start = self._next.start
        paths = self._field()
        negative = self._takes("not")
        token = self._next
        if negative and token.keyword not in ("in", "exists", *_WORDS):
            self._fail("in, contains, prefix or exists after not")
        operator, operand = self._comparison()
        label = f"where: {self._text[start : self._tokens[self._at - 1].start][:80].strip()}"
        filter = compared(paths, operator, operand, label)
        return Negation(filter) if negative else filter

    def _comparison(self) -> tuple[str, object]:
        keyword = self._next.keyword
        if keyword in _SIGNS or keyword in _WORDS:
            self._take()
            return _SIGNS.get(keyword) or _WORDS[keyword], self._literal()
        if self._takes("exists"):
            return "exists", True
        if self._takes("in"):
            return "in", self._list()
        self._fail(_OPERATORS)

    def _list(self) -> list[Scalar]:
        closing = {"(": ")", "[": "]"}.get(self._next.keyword)
        if closing is None:
            self._fail("( and a list of values")
        self._take()
        values = [self._literal()]
        while self._takes(","):
            values.append(self._literal())
        if not self._takes(closing):
            self._fail(f", or {closing}")
        return values

    def _field(self) -> tuple[Path, ...]:
        names = [self._name()]
        quoted = self._tokens[self._at - 1].kind == "quoted"
        while self._takes("."):
            names.append(self._name())
            quoted |= self._tokens[self._at - 1].kind == "quoted"
        return (tuple(names),) if quoted else paths_of(".".join(names))

    def _name(self) -> str:
        if self._next.kind == "quoted":
            return self._take().text[1:-1].replace("``", "`")
        if self._next.kind != "word":
            self._fail("the name of a field")
        return self._take().text

    def _literal(self) -> Scalar:
        token = self._next
        if token.kind == "text":
            return _unquoted(self._take())
        if token.kind == "date":
            return self._take().text
        if token.kind == "number":
            return _number(self._take().text)
        if token.keyword in _CONSTANTS:
            return _CONSTANTS[self._take().keyword]
        hint = f' (text stands in quotes: "{token.text[:40]}")' if token.kind == "word" else ""
        self._fail(f"a value{hint}")

    def _fail(self, expected: str) -> NoReturn:
        token = self._next
        where = "at the end" if token.kind == "end" else f"at character {token.start + 1}"
        shown = "nothing" if token.kind == "end" else repr(token.text[:40])
        raise QueryError(
            f"where: {where}: expected {expected}, found {shown}, in {_shown(self._text, token.start)}"
        )


def _unquoted(token: _Token) -> str:
    if token.text[0] == "'":
        return token.text[1:-1].replace("''", "'")
    try:
        return str(json.loads(token.text, strict=False))
    except ValueError:
        raise QueryError(
            f"where: character {token.start + 1}: a wrong escape in {token.text[:80]}: write \\\\ for a "
            "backslash, or single quotes round the text, in which it is one"
        ) from None


def _number(text: str) -> int | float:
    try:
        return int(text) if re.fullmatch(r"[+-]?\d{1,4000}", text) else float(text)
    except ValueError:
        raise QueryError(f"where: expected a number, found {text[:80]!r}") from None


def _shown(text: str, at: int) -> str:
    return repr(text[max(0, at - 30) : at + 30])
