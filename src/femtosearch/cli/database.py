"""The commands that look into an index and change what it holds."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from femtosearch.cli.opening import check_index
from femtosearch.cli.output import show_note, show_result, write_json, write_line
from femtosearch.cli.show import count
from femtosearch.errors import DocumentError
from femtosearch.index.index import Index
from femtosearch.types import Document


def delete(options: argparse.Namespace) -> None:
    """Take documents out by id, or by a filter. One that is not there is no error: it is out."""
    check_index(options.folder)
    with Index(options.folder) as store:
        names = list(dict.fromkeys(options.id))
        unknown = [name for name, there in zip(names, store.get(names), strict=True) if there is None]
        deleted = store.delete(options.id or None, where=options.where)
        remaining = len(store)
    if options.json:
        write_json({"deleted": deleted, "unknown": unknown, "documents": remaining})
        return
    if unknown:
        show_note(options, f"not in {options.folder}: {', '.join(unknown)}")
    show_result(options, f"deleted {count(deleted, 'document')}; {options.folder} holds {remaining:,}")


def get(options: argparse.Namespace) -> None:
    """Print documents: their text, or with --json all of them."""
    check_index(options.folder)
    with Index(options.folder) as store:
        for document in _documents(store, options):
            if options.json:
                write_json(asdict(document))
                continue
            metadata = json.dumps(document.metadata, ensure_ascii=False) if document.metadata else ""
            write_line(f"{document.id}  {metadata}".rstrip())
            for line in document.text.splitlines():
                write_line(f"    {line}")


def facets(options: argparse.Namespace) -> None:
    """Print how many documents have each value of a field."""
    check_index(options.folder)
    with Index(options.folder) as store:
        counts = store.facets(options.field, where=options.where, limit=options.n)
    for value, documents in counts.items():
        if options.json:
            write_json({"value": value, "documents": documents})
        else:
            shown = value if isinstance(value, str) else json.dumps(value)
            write_line(f"{documents:>9,}  {shown}")
    if not counts:
        show_note(options, f"no document has {options.field!r}")


def update(options: argparse.Namespace) -> None:
    """Change the metadata of documents."""
    check_index(options.folder)
    changes = _object(options.metadata)
    with Index(options.folder) as store:
        changed = store.update(options.id, changes, replace=options.replace)
        unknown = [name for name in dict.fromkeys(options.id) if name not in store]
    if options.json:
        write_json({"updated": changed, "unknown": unknown})
        return
    if unknown:
        show_note(options, f"not in {options.folder}: {', '.join(unknown)}")
    show_result(options, f"updated {count(changed, 'document')}")


def _documents(store: Index, options: argparse.Namespace) -> Iterator[Document]:
    if not options.id:
        yield from store.documents(options.where)
        return
    names = list(dict.fromkeys(options.id))
    documents = store.get(names)
    passing = None
    if options.where is not None:
        passing = {document.id for document in store.documents(options.where)}
    for name, document in zip(names, documents, strict=True):
        if document is None:
            show_note(options, f"not in {options.folder}: {name}")
        elif passing is None or name in passing:
            yield document


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        shown = f"found {text[:80]!r}: {error}"
        raise DocumentError(f'update: expected JSON such as {{"year": 2024}}, {shown}') from None
    if not isinstance(value, dict):
        raise DocumentError(f'update: expected a JSON object such as {{"year": 2024}}, found {text[:80]!r}')
    return value
