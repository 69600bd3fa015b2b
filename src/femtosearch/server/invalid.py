"""Messages for requests whose body or link is invalid; those of pydantic would name types of Python."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from femtosearch.server.problems import Problem

_MOST, _LENGTH = 3, 2000  # errors, and characters, of one message
_EXPECTED = {
    "missing": "a value",
    "extra_forbidden": "no such key",
    "string_type": "a string",
    "string_unicode": "a string in Unicode",
    "string_pattern_mismatch": "a character that is no blank",
    "string_too_short": "at least {min_length} character",
    "string_too_long": "at most {max_length:,} characters",
    "too_long": "at most {max_length:,} entries",
    "too_short": "at least {min_length} entry",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a smaller number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "literal_error": "{expected}",
    "greater_than_equal": "at least {ge:,}",
    "greater_than": "more than {gt:,}",
    "less_than_equal": "at most {le:,}",
    "less_than": "less than {lt:,}",
}


def invalid(errors: Sequence[Mapping[str, Any]], body: Any) -> Problem:
    """The problem to answer an invalid request with: 400 if its body is not JSON, else 422.

    errors:  those that pydantic reports.
    body:    the body, parsed from JSON.
    """
    for error in errors:
        if error["type"] == "json_invalid":
            reason = error.get("ctx", {}).get("error", "")
            return Problem(400, "json", f"the body is not JSON: {reason}")
    sentences = _sentences(errors, body)
    more = f"; and {len(sentences) - _MOST} more" if len(sentences) > _MOST else ""
    return Problem(422, "body", ("; ".join(sentences[:_MOST]) + more)[:_LENGTH])


def _sentences(errors: Sequence[Mapping[str, Any]], body: Any) -> list[str]:
    """A sentence for each place with an error. Where a value may have several types, only the errors that lie
    deepest are reported, which are those of the type that fits best.
    """
    expected: dict[tuple[str, ...], list[str]] = {}
    contents: dict[tuple[str, ...], str] = {}
    for error in errors:
        place = _place(error, body)
        options = expected.setdefault(place, [])
        if (option := _expected(error)) not in options:
            options.append(option)
        contents[place] = _actual(error)
    inner = [place for place in expected if not any(_is_above(place, below) for below in expected)]
    return [
        f"{'.'.join(place)[:200] or 'the body'}: expected {' or '.join(expected[place])}{contents[place]}"
        for place in inner
    ]


def _place(error: Mapping[str, Any], body: Any) -> tuple[str, ...]:
    """The place of an error in the request, without pydantic's names for the types of a union."""
    kind, *steps = error["loc"]
    if kind != "body":
        return tuple(map(str, steps))
    place, content = [], body
    for number, step in enumerate(steps):
        is_key = isinstance(content, dict) and step in content
        if is_key or (isinstance(content, list) and isinstance(step, int) and step < len(content)):
            content = content[step]
        elif error["type"] != "missing" or number < len(steps) - 1:
            continue
        place.append(str(step))
    return tuple(place)


def _is_above(place: tuple[str, ...], below: tuple[str, ...]) -> bool:
    return len(place) < len(below) and below[: len(place)] == place


def _expected(error: Mapping[str, Any]) -> str:
    """The words for what was expected.

    >>> _expected({"type": "too_long", "ctx": {"max_length": 10000}, "msg": "Too long"})
    'at most 10,000 entries'
    """
    pattern = _EXPECTED.get(error["type"])
    return str(error["msg"]).lower() if pattern is None else pattern.format(**error.get("ctx", {}))


def _actual(error: Mapping[str, Any]) -> str:
    """The words for what was found instead, shortened."""
    content = error.get("input")
    if error["type"] == "missing":
        return ", found none"
    if isinstance(content, list):
        return f", found a list of {len(content):,}"
    if isinstance(content, dict):
        return ", found an object"
    if isinstance(content, str) and error["type"] == "string_too_long":
        return f", found {len(content):,}"
    is_plain = content is None or isinstance(content, (str, float, int))
    return f", found {json.dumps(content)[:60]}" if is_plain else ""
