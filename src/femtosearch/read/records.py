"""Records: JSON objects, each with the number of its line, and what of a record is a document's.

A record is a dict, or the ValueError that says what was expected there and what was found.
"""

from __future__ import annotations

import bisect
import itertools
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from femtosearch.errors import DocumentError
from femtosearch.index.documents import check_document, id_text, titled
from femtosearch.read.entries import Entry, Fault
from femtosearch.types import Document

Record: TypeAlias = "dict[str, Any] | ValueError"

SURROGATE = re.compile("[\ud800-\udfff]")
ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
MOST_CHARACTERS = 1 << 28  # of JSON values over several lines, which are read at once
_BLANK = re.compile(r"[\s,]*")
_OBJECT = re.compile(r"\n[ \t]*\{")


def json_records(lines: Iterable[str]) -> Iterator[tuple[int, Record]]:
    """A JSON object a line; blank lines say nothing. An array and objects over several lines are read too."""
    numbered = ((number, line) for number, line in enumerate(lines, 1) if line.strip())
    first = next(numbered, None)
    if first is None:
        return
    number, line = first
    if line.lstrip()[0] in "[{" and isinstance(_json_value(line), ValueError):
        behind: list[tuple[int, str]] = [first]
        records = _spread_records(numbered, behind)
        if records is not None:
            yield from records
            return
        numbered = itertools.chain(behind, numbered)  # type: ignore[assignment]
    else:
        numbered = itertools.chain([first], numbered)  # type: ignore[assignment]
    for number, line in numbered:
        record = _json_value(line)
        if isinstance(record, list) and record and all(isinstance(member, dict) for member in record):
            yield from ((number, member) for member in record)
        else:
            yield number, _object(record)


def names(record: Iterable[str]) -> str:
    """The first few keys of a record, for a message."""
    return ", ".join(map(repr, itertools.islice(record, 8))) or "none"


def kind_of(value: Any) -> str:
    """What a JSON value is, in words."""
    words = {type(None): "null", bool: "true or false", list: "an array", dict: "an object", str: "a string"}
    return words.get(type(value), "a number")


def entry_of(
    record: Record, line: int, text_column: str, id_column: str | None, *, needs_text: bool
) -> Entry | Fault:
    """A record as a document, checked to be one that an index stores; a fault says what it is instead.

    needs_text:  a record without a text is a fault; else its text is empty.
    """
    try:
        if isinstance(record, ValueError):
            raise record
        entry = _entry(dict(record), line, text_column, id_column, needs_text)
        check_document(Document(entry.id or f"line {line}", entry.text, entry.metadata))
    except (ValueError, DocumentError, RecursionError) as error:
        return Fault(str(error), line)
    return entry


def _entry(
    record: dict[str, Any], line: int, text_column: str, id_column: str | None, needs_text: bool
) -> Entry:
    """Raises ValueError, which says what was expected and what was found."""
    key = id_column or ("id" if "id" in record else "_id")
    if id_column and key not in record:
        raise ValueError(
            f"expected an id under {key!r}, found {names(record)}; say which is the id (--id-column)"
        )
    document_id = _id(record.pop(key)) if key in record else None
    text = _take_text(record, text_column, needs_text)
    if isinstance(record.get("metadata"), dict):  # BEIR's own place for what else there is
        record = {**record.pop("metadata"), **record}
    return Entry(text, record, document_id, line, marks=[(0, {"row": line})])


def _take_text(record: dict[str, Any], column: str, needs_text: bool) -> str:
    """The record's text, its title before it as in BEIR."""
    if column not in record and needs_text:
        raise ValueError(
            f"expected a text under {column!r}, found {names(record)}; say which is the text (--text-column)"
        )
    text = record.pop(column, "")
    if not isinstance(text, str):
        raise ValueError(f"expected {column!r} to be a text, found {kind_of(text)}")
    return titled(record.get("title"), text)


def _id(value: Any) -> str:
    """An id as a string. Nothing but text and whole numbers has one obvious spelling."""
    name = id_text(value)
    if isinstance(name, str) and name:
        return name
    actual = "an empty string" if value == "" else kind_of(value)
    raise ValueError(f"expected an id that is a string or a whole number, found {actual}")


def _json_value(line: str) -> Any:
    """The value of a line, or the ValueError that says what is wrong with it."""
    try:
        value = json.loads(line, parse_constant=_refuse)
        if ESCAPED_SURROGATE.search(line):
            # Half of an escaped pair is no character: a text that was cut inside an emoji ends in one.
            value = without_surrogates(value)
    except (ValueError, RecursionError) as error:
        return ValueError(f"expected a JSON object on one line, found something else ({error})")
    return value


def _object(value: Any) -> Record:
    if isinstance(value, (dict, ValueError)):
        return value
    return ValueError(f"expected a JSON object, found {kind_of(value)}")


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _spread_records(
    numbered: Iterator[tuple[int, str]], behind: list[tuple[int, str]]
) -> Iterator[tuple[int, Record]] | None:
    """The records of values that are spread over lines; None where the lines are no such values.

    behind:  the lines that were taken, which are put to those here.
    """
    total = len(behind[0][1])
    for number, line in numbered:
        behind.append((number, line))
        total += len(line)
        if total > MOST_CHARACTERS:
            return None
    text = "".join(line for _, line in behind)
    values = _values(text)
    first = next(values, None)
    if first is None or isinstance(first[1], ValueError):
        return None
    ends = list(itertools.accumulate(len(line) for _, line in behind))

    def line_at(offset: int) -> int:
        return behind[min(bisect.bisect_right(ends, offset), len(behind) - 1)][0]

    return ((line_at(offset), _object(value)) for offset, value in itertools.chain([first], values))


def _values(text: str) -> Iterator[tuple[int, Any]]:
    """The values in a text, of an array its members, each with its place.

    Where one is broken, reading goes on at the next line that begins an object.
    """
    decoder = json.JSONDecoder(parse_constant=_refuse)
    start = _BLANK.match(text).end()  # type: ignore[union-attr]
    is_array = text.startswith("[", start)
    start += is_array
    while (start := _BLANK.match(text, start).end()) < len(text):  # type: ignore[union-attr]
        if is_array and text[start] == "]":
            return
        try:
            value, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError) as error:
            reason = getattr(error, "msg", None) or str(error)
            yield start, ValueError(f"expected a JSON value, found something else ({reason})")
            following = _OBJECT.search(text, start + 1)
            if following is None:
                return
            start = following.end() - 1
            continue
        yield start, without_surrogates(value)
        start = end


def without_surrogates(value: Any) -> Any:
    """The value with U+FFFD for each half of an escaped pair."""
    written = json.dumps(value, ensure_ascii=False)
    return json.loads(SURROGATE.sub("\ufffd", written)) if SURROGATE.search(written) else value
