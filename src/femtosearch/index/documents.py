"""Documents as a user adds them: they are checked, and become drafts that can be stored."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from femtosearch.disk import blake2b
from femtosearch.errors import DocumentError, utf8
from femtosearch.frozen import frozen
from femtosearch.index.json_values import json_scalar
from femtosearch.types import Document

MOST_BYTES = 999_000_000  # of one text, or of one document's metadata: SQLite's limit is 10^9
MOST_DEPTH = 100  # of nested metadata
MOST_VALUES = 10_000_000  # of one document's metadata, each list or mapping counted wherever it stands


@frozen
class Draft:
    """A checked document, ready to be stored. id: None if the index makes one; metadata: JSON text."""

    id: str | None
    text: str
    metadata: str


def drafts(documents: Iterable[str | Mapping[str, Any] | Document]) -> Iterator[Draft]:
    """Check documents one by one as they come. Raises DocumentError, which names the position and the id."""
    if isinstance(documents, (str, bytes, Mapping, Document)) or not isinstance(documents, Iterable):
        raise DocumentError(
            f"documents: expected an iterable of documents, found {_kind(documents)}; put one into a list"
        )
    return (_draft(document, position) for position, document in enumerate(documents))


def check_document(document: Document) -> None:
    """Raise DocumentError if a document cannot be stored, so that a reader can name its file and line."""
    where = f"the record of id {str(document.id)[:80]!r}"
    check_id(document.id, where)
    _text(document.text, where)
    check_metadata(document.metadata, where)


def check_id(value: object, where: str) -> str:
    """A document's id: a string that is not empty. Raises DocumentError."""
    if not isinstance(value, str):
        raise DocumentError(f"{where}: the id must be a string, found {_kind(value)}: use str(id)")
    if not value:
        raise DocumentError(f"{where}: the id is empty: give one, or leave it out to have one made")
    utf8(DocumentError, f"{where}: the id", value)
    return str.__str__(value)  # of an Enum's member that is text its value, as JSON has it


def id_text(value: Any) -> Any:
    """Turn a whole number into text, as an id: 17 becomes "17", as in CSV. Anything else is returned
    as it is.
    """
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def content_name(*texts: str) -> str:
    """Make a name for a document without an id out of its content, so that equal content has an equal name.

    >>> content_name("a text") == content_name("a text")
    True
    """
    content = b"\0".join(text.encode("utf-8", "replace") for text in texts)
    return blake2b(content, digest_size=8).hexdigest()


def named(draft: Draft) -> Draft:
    """The draft with an id, which is made of its content if it has none."""
    if draft.id is not None:
        return draft
    texts = (draft.text,) if draft.metadata == "{}" else (draft.text, draft.metadata)
    return replace(draft, id=content_name(*texts))


def titled(title: object, text: str) -> str:
    """The text with its title before it, unless the title is blank or the text begins with it."""
    if not isinstance(title, str) or not title.strip() or text.startswith(title):
        return text
    return f"{title} {text}".strip()


def is_id(value: object) -> bool:
    """Whether a value can be a document's id."""
    try:
        return bool(check_id(value, "id"))
    except DocumentError:
        return False


def checked_ids(ids: str | Iterable[str]) -> list[str]:
    """A list of one id or of several, checked. Raises DocumentError for a value that cannot be an id."""
    if not isinstance(ids, (str, Iterable)):
        raise DocumentError(f"ids: expected an id or an iterable of ids, found {type(ids).__name__}")
    names = [ids] if isinstance(ids, str) else ids
    return [check_id(name, f"id {position}") for position, name in enumerate(names)]


def wanted_ids(document_id: str | Iterable[str]) -> list[str]:
    """A list of the strings that `get` was called with, one or several; they need not be possible ids. Raises
    DocumentError for a value that is no string.
    """
    if not isinstance(document_id, (str, Iterable)):
        kind = type(document_id).__name__
        raise DocumentError(f"get: expected an id, a string, or several, found {kind}")
    ids = [document_id] if isinstance(document_id, str) else list(document_id)
    for position, name in enumerate(ids):
        if not isinstance(name, str):
            raise DocumentError(f"get: id {position}: expected a string, found {type(name).__name__}")
    return ids


def _draft(document: object, position: int) -> Draft:
    where = f"document {position}"
    if isinstance(document, str):
        return Draft(None, _text(document, where), "{}")
    if isinstance(document, Document):
        chosen, text, metadata = document.id, document.text, document.metadata
        key: str | None = check_id(chosen, where)
    elif isinstance(document, Mapping):
        remaining = dict(document)
        key = check_id(remaining.pop("id"), where) if "id" in remaining else None
        where = _named(where, key)
        if "text" not in remaining:
            raise DocumentError(f'{where}: it has no "text": give one, which may be empty')
        text, metadata = _titled(remaining.pop("text"), remaining)
    else:
        raise DocumentError(
            f'{where}: expected a string, a mapping with "text" or a Document, found {_kind(document)}'
        )
    where = _named(where, key)
    return Draft(key, _text(text, where), check_metadata(metadata, where))


def _titled(text: Any, metadata: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The text and metadata of a mapping, as for a line of JSON: the title is put before the text, and the
    keys of an inner mapping "metadata" are put beside the other keys.
    """
    inner = metadata.get("metadata")
    if isinstance(inner, Mapping) and inner:
        metadata = {**inner, **{name: value for name, value in metadata.items() if name != "metadata"}}
    return (titled(metadata.get("title"), text) if isinstance(text, str) else text), metadata


def _named(where: str, key: str | None) -> str:
    return where if key is None or "(" in where else f"{where} (id {key[:80]!r})"


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise DocumentError(f"{where}: the text must be a string, found {_kind(value)}")
    if len(utf8(DocumentError, f"{where}: the text", value)) > MOST_BYTES:
        raise DocumentError(f"{where}: the text is larger than {MOST_BYTES} bytes: add it in pieces")
    return str.__str__(value)


def check_metadata(value: object, where: str) -> str:
    """Turn metadata into the text of a JSON object: dates become ISO text, numpy's numbers Python's. Raises
    DocumentError.
    """
    if not isinstance(value, Mapping):
        raise DocumentError(f"{where}: the metadata must be a mapping, found {_kind(value)}")
    _check_json(value, f"{where}: metadata", MOST_DEPTH, itertools.count(1))
    try:
        text = json.dumps(dict(value), ensure_ascii=False, allow_nan=False, default=json_scalar)
    except (TypeError, ValueError, RecursionError) as error:
        raise DocumentError(f"{where}: the metadata is not JSON: {error}") from error
    if len(utf8(DocumentError, f"{where}: the metadata", text)) > MOST_BYTES:
        raise DocumentError(f"{where}: the metadata is larger than {MOST_BYTES} bytes: make it smaller")
    return text


def _check_json(value: object, where: str, depth: int, values: Iterator[int]) -> None:
    """Raise DocumentError for what `json.dumps` accepts or reports without a place: keys that are no strings,
    values nested too deeply, other types.

    values:  counts the values: lists that contain one list many times can have more than fit into memory.
    """
    if next(values) > MOST_VALUES:
        raise DocumentError(f"{where[:200]}: more than {MOST_VALUES:,} values: make it smaller")
    if depth < 0:
        raise DocumentError(f"{where[:200]}: nested deeper than {MOST_DEPTH} levels: make it flatter")
    value = json_scalar(value)
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise DocumentError(f"{where}: the key {key!r} is not a string: use str(key)")
            _check_json(item, f"{where}[{key[:80]!r}]", depth - 1, values)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _check_json(item, where, depth - 1, values)
    elif isinstance(value, float) and not -float("inf") < value < float("inf"):
        raise DocumentError(f"{where}: {value} is not JSON: leave it out or use null")
    elif not (value is None or isinstance(value, (str, int, float))):
        raise DocumentError(
            f"{where}: {_kind(value)} is not JSON: use text, numbers, dates, lists, dicts or null"
        )


def _kind(value: object) -> str:
    return "None" if value is None else f"{type(value).__name__}"
