"""txtai's SQL taken apart: what `similar` asks, which columns are paths, how many rows are wanted."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from femtosearch.errors import QueryError

TOKEN = re.compile(
    r"""\s+ | --[^\n]* | /\*.*?(?:\*/|\Z)
    | '(?:[^']|'')*(?:'|\Z) | "(?:[^"]|"")*(?:"|\Z) | `(?:[^`]|``)*(?:`|\Z) | \[[^\]]*(?:\]|\Z)
    | :?[^\W\d]\w* | \d+(?:\.\d+)? | .""",
    re.X | re.S,
)
NAME = re.compile(r"[^\W\d]\w*")
MOST_DIGITS, MOST_CLAUSES = 15, 100
ENDS = frozenset(["group", "having", "window", "order", "limit", "offset"])  # the words that end a WHERE
COMPOUNDS = frozenset(["union", "intersect", "except"])
LOOSE = COMPOUNDS | {"or", "case", "between"}  # beside these an AND may leave nothing out
TABLES = frozenset(["txtai", "main", "json_each", "json_tree"])  # whose columns have a dot before them


@dataclass(frozen=True, slots=True)
class Statement:
    """A query whose `similar` clauses have become columns."""

    body: str  # all before its LIMIT
    ending: str  # LIMIT and OFFSET, or nothing
    clauses: list[tuple[str, int | None]]  # each one's text and candidates
    paths: list[str]  # columns that are paths into a document: meta.a.b
    limit: int | None
    offset: int  # of an order by score; pages of another order have the same candidates
    narrows: bool  # whether only what `similar` finds can pass

    def sql(self, limit: int) -> str:
        """The query for SQLite, with that limit where it has none."""
        if self.ending[:5].lower() == "limit":
            return f"{self.body} {self.ending}"
        return f"{self.body} LIMIT {limit} {self.ending}".rstrip()


def is_sql(query: str) -> bool:
    """Whether a query is SQL.

    >>> is_sql("SELECT text FROM txtai"), is_sql("select a chair")
    (True, False)
    """
    return re.match(r"\s*select\b.*\bfrom\s+txtai\b", query, re.I | re.S) is not None


def read_statement(query: str, parameters: Mapping[str, Any]) -> Statement:
    """Take the `similar` clauses out of a query, and let it be ordered by their score where it has no order,
    as txtai does. Raises QueryError.

    >>> read_statement("select text from txtai where similar('a cat') limit 2", {}).clauses
    [('a cat', None)]
    """
    tokens, clauses = _without_clauses(_tokens(query), parameters)
    tokens, paths = _with_paths(tokens)
    places = _outer(tokens)
    words = ["()" if tokens[place] == "(" else tokens[place].lower() for place in places]
    start = _ending(words)
    cut = places[start] if start < len(words) else len(tokens)
    body, ending = "".join(tokens[:cut]).rstrip(), "".join(tokens[cut:])
    limit, offset = _limits([tokens[place] for place in places[start:]], parameters)
    if "order" in words:
        order = words[words.index("order") + 2 :]
        offset = offset if order[:2] == ["score", "desc"] else 0
    elif clauses and _can_order(words):
        body += " ORDER BY score DESC"
    selects = [token.lower() for token in tokens].count("select")
    narrows = bool(clauses) and selects == 1 and _narrows(words)
    return Statement(body, ending, clauses, paths, limit, offset, narrows)


def _tokens(query: str) -> list[str]:
    """The tokens of a query without its comments, and without blanks and semicolons at its end."""
    tokens = [" " if token[:2] in ("--", "/*") else token for token in TOKEN.findall(query)]
    while tokens and (tokens[-1].isspace() or tokens[-1] == ";"):
        tokens.pop()
    return tokens


def _without_clauses(
    tokens: list[str], parameters: Mapping[str, Any]
) -> tuple[list[str], list[tuple[str, int | None]]]:
    """The tokens with a column in the place of each `similar` clause, and the clauses. Raises QueryError."""
    written, clauses, place = list[str](), list[tuple[str, int | None]](), 0
    while place < len(tokens):
        opening = place + 1
        if tokens[place].lower() == "similar":
            while tokens[opening : opening + 1] and tokens[opening].isspace():
                opening += 1
        if tokens[place].lower() != "similar" or tokens[opening : opening + 1] != ["("]:
            written.append(tokens[place])
            place += 1
            continue
        arguments = list(itertools.takewhile(lambda token: token != ")", tokens[opening + 1 :]))
        place = opening + len(arguments) + 2
        if place > len(tokens):
            raise QueryError("similar: expected a bracket that closes it")
        if len(clauses) == MOST_CLAUSES:
            raise QueryError(f"similar: expected at most {MOST_CLAUSES} of them in a query")
        clauses.append(_clause([token for token in arguments if not token.isspace()], parameters))
        written.append(f'"similar {len(clauses)}"')
    return written, clauses


def _clause(arguments: list[str], parameters: Mapping[str, Any]) -> tuple[str, int | None]:
    """The text and the number of candidates of similar('a cat', 100). Raises QueryError."""
    first = arguments[0] if arguments else ""
    if first.startswith(":"):
        if not isinstance(parameters.get(first[1:]), str):
            raise QueryError(f"similar({first[:80]}): expected a text among the parameters")
        text = parameters[first[1:]]
    elif first[:1] in ("'", '"') and len(first) > 1:
        text = first[1:-1].replace(first[0] * 2, first[0])
    else:
        raise QueryError(f"similar: expected a text in quotes or a parameter, found {first[:80]!r}")
    if len(arguments) == 1:
        return text, None
    number = _number(arguments[2], parameters) if len(arguments) == 3 and arguments[1] == "," else None
    if number is None:
        more = "".join(arguments[1:])[:80]
        raise QueryError(f"similar: expected a text and at most a number of candidates, found {more!r}")
    return text, number


def _with_paths(tokens: list[str]) -> tuple[list[str], list[str]]:
    """The tokens with one column in the place of each name that has dots, such as meta.a.b or [meta.a.b], and
    those names. A dot behind a table or its alias is SQL's own.
    """
    words = [token.lower() for token in tokens if not token.isspace()]
    before = (")", "as", "from", "join", "txtai")
    tables = {word for prior, word in itertools.pairwise(words) if prior in before} | TABLES
    written, paths, place = list[str](), dict[str, None](), 0
    while place < len(tokens):
        end = place + 1
        if NAME.fullmatch(tokens[place]) and tokens[place].lower() not in tables and written[-1:] != ["."]:
            while tokens[end : end + 1] == ["."] and NAME.fullmatch("".join(tokens[end + 1 : end + 2])):
                end += 2
        if end > place + 1:
            name = "".join(tokens[place:end])
            paths[name] = None
            written.append(f"[{name}]")  # in quotes it would be a text where no such column is
        else:
            written.append(tokens[place])
            if tokens[place][0] == "[" and "." in tokens[place]:
                paths[tokens[place].strip("[]")] = None
        place = end
    return written, list(paths)


def _outer(tokens: list[str]) -> list[int]:
    """The places of the tokens that stand in no brackets; of what does, that of its bracket."""
    places, depth = list[int](), 0
    for place, token in enumerate(tokens):
        if not depth and token != ")" and not token.isspace():
            places.append(place)
        depth = max(0, depth + (token == "(") - (token == ")"))
    return places


def _ending(words: list[str]) -> int:
    """Where LIMIT or OFFSET begins."""
    if "limit" in words:
        return words.index("limit")
    return len(words) - 2 if words[-2:-1] == ["offset"] else len(words)


def _limits(ending: list[str], parameters: Mapping[str, Any]) -> tuple[int | None, int]:
    """The limit and the offset of an ending; None and 0 where it has none that is a number."""
    if ending[2:3] == [","]:  # SQLite's other order
        ending = ["limit", *ending[3:4], "offset", ending[1]]
    named = {
        word.lower(): _number(number, parameters)
        for word, number in zip(ending[::2], ending[1::2], strict=False)
    }
    return named.get("limit"), named.get("offset") or 0


def _number(word: str, parameters: Mapping[str, Any]) -> int | None:
    """A number, or the parameter that is one."""
    if word.startswith(":"):
        value = parameters.get(word[1:])
        return value if isinstance(value, int) and 0 <= value < 10**MOST_DIGITS else None
    return int(word) if word.isdecimal() and len(word) <= MOST_DIGITS else None


def _can_order(words: list[str]) -> bool:
    """Whether the outermost query may be ordered by score: its rows are of the table, or have a score."""
    start = words.index("from") if "from" in words else len(words)
    if not COMPOUNDS & set(words):
        return words[start + 1 : start + 2] == ["txtai"]
    columns = [word for word, comma in itertools.pairwise(words[: start + 1]) if comma in (",", "from")]
    return not {"score", '"score"', "[score]", "*"}.isdisjoint(columns)


def _narrows(words: list[str]) -> bool:
    """Whether a `similar` clause is joined by AND alone, so that rows that it does not find cannot pass."""
    if LOOSE & set(words) or "where" not in words:
        return False
    where = list(itertools.takewhile(lambda word: word not in ENDS, words[words.index("where") + 1 :]))
    joined = zip(["and", *where], where, [*where[1:], "and"], strict=False)
    return any(
        prior == following == "and" and word.startswith('"similar ') for prior, word, following in joined
    )
