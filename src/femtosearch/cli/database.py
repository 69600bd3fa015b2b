"""The commands that read the documents of an index, and change, copy, import and check them."""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from femtosearch.cli.opening import check_index
from femtosearch.cli.output import show_note, show_result, write_json, write_line
from femtosearch.cli.show import count, size
from femtosearch.errors import DocumentError, QueryError
from femtosearch.index.index import Index
from femtosearch.index.repair import Repair
from femtosearch.index.stats import describe
from femtosearch.index.store import holds_index
from femtosearch.progress import Progress
from femtosearch.read.collections import read_collection
from femtosearch.types import Document


def delete(options: argparse.Namespace) -> None:
    """Delete documents by id, or by a filter. An id that does not exist is no error."""
    check_index(options.folder)
    with Index(options.folder) as store:
        names = list(dict.fromkeys(options.id))
        unknown = [name for name in names if name not in store]
        deleted = store.delete(options.id or None, where=options.where)
        remaining = len(store)
    result = f"deleted {count(deleted, 'document')}; {options.folder} holds {remaining:,}"
    _show_change(options, {"deleted": deleted, "unknown": unknown, "documents": remaining}, result)


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
        if not counts:
            from femtosearch.cli.filters import why_no_values

            show_note(options, why_no_values(store, options.field, options.where))
    for value, documents in counts.items():
        if options.json:
            write_json({"value": value, "documents": documents})
        else:
            shown = value if isinstance(value, str) else json.dumps(value)
            write_line(f"{documents:>9,}  {shown}")


def update(options: argparse.Namespace) -> None:
    """Change the metadata of documents."""
    check_index(options.folder)
    changes = _object(options.metadata)
    with Index(options.folder) as store:
        changed = store.update(options.id, changes, replace=options.replace)
        unknown = [name for name in dict.fromkeys(options.id) if name not in store]
    _show_change(options, {"updated": changed, "unknown": unknown}, f"updated {count(changed, 'document')}")


def snapshot(options: argparse.Namespace) -> None:
    """Copy an index into a new folder."""
    check_index(options.folder)
    with Index(options.folder) as store:
        total = store.snapshot(options.target)
    if options.json:
        write_json({"folder": options.target, "bytes": total})
    else:
        show_result(options, f"{options.target}: a copy of {options.folder}, {size(total)}")


def export_documents(options: argparse.Namespace) -> None:
    """Write the documents of an index to a file."""
    with Index(options.model) as store:
        documents = store.export(options.target, vectors=options.vectors, where=options.where)
    if options.json:
        write_json({"documents": documents, "file": options.target})
    else:
        show_result(options, f"wrote {count(documents, 'document')} of {options.model} to {options.target}")


def export_to(options: argparse.Namespace) -> None:
    """Write an index into a new collection of Qdrant."""
    if options.model is not None or options.vectors or options.onnx or options.fold_dense or options.web:
        raise QueryError("--to: expected an index and no TARGET, and of the other flags only --where")
    check_index(options.target)
    from femtosearch.server.cluster.qdrant import export_to_qdrant  # which few need

    with Progress(quiet=options.quiet) as progress, Index(options.target) as store:

        def report(done: int) -> None:
            progress.update("exporting", done, unit="documents")

        documents = export_to_qdrant(store, options.to, where=options.where, progress=report)
    if options.json:
        write_json({"documents": documents, "to": options.to})
    else:
        show_result(options, f"wrote {count(documents, 'document')} of {options.target} to {options.to}")


def export_site(options: argparse.Namespace) -> None:
    """Write a static site that searches an index."""
    if options.model is None:
        raise QueryError("--web: expected an index and a new folder or FILE.html, found one of them")
    check_index(options.model)
    from femtosearch.web.site import write_site  # which few need

    with Index(options.model) as store:
        site = write_site(
            store, options.target, title=options.title or "Search", link=options.link, where=options.where,
            whole_rows=options.whole_rows,
        )  # fmt: skip
    if options.json:
        write_json({"folder": options.target, **asdict(site)})
        return
    searched = f"{count(site.documents, 'document')} ({count(site.passages, 'passage')})"
    show_result(options, f"wrote {options.target}: a search of {searched}, {size(site.bytes)}")
    if Path(options.target).is_dir():
        show_note(options, f"to try it: python -m http.server --directory {options.target}")


def import_documents(options: argparse.Namespace) -> None:
    """Add the documents of an exported file, or of another program's folder. If it fails, an index that was
    made for it is removed again.
    """
    is_new = not os.path.lexists(options.folder)
    try:
        _import(options)
    except BaseException:
        if is_new and holds_index(options.folder) and not describe(options.folder).documents:
            shutil.rmtree(options.folder)
        raise


def _import(options: argparse.Namespace) -> None:
    source = Path(options.source)
    first = None if source.is_file() else read_collection(source, options.collection)  # before one is made
    with Progress(quiet=options.quiet) as progress, Index(options.folder, model=options.model) as store:

        def report(done: int) -> None:
            progress.update("importing", done, unit="documents")

        if first is None:
            adopted = store.import_file(source, progress=report)
            documents, with_rows = adopted.documents, adopted.with_rows
        else:
            documents, with_rows = len(store.add(first, progress=report)), 0
    if options.json:
        write_json({"documents": documents, "with_vectors": with_rows})
    else:
        vectors = f", {with_rows:,} with their vectors" if with_rows else ""
        show_result(options, f"imported {count(documents, 'document')}{vectors} into {options.folder}")


def check(options: argparse.Namespace) -> int:
    """Check an index for damage, and with --repair mend it. Returns the exit code, 1 if damage is left."""
    check_index(options.folder)
    with Index(options.folder, model=options.model) as store:
        repair = store.repair() if options.repair else Repair([], store.verify())
        documents = len(store)
    if options.json:
        damage = [asdict(problem) for problem in repair.lost]
        facts = {"documents": documents, "damage": damage}
        write_json({**facts, "mended": repair.mended} if options.repair else facts)
        return 1 if damage else 0
    for line in repair.mended:
        show_result(options, f"mended: {line}")
    for problem in repair.lost:
        write_line(f"{problem.place}: {problem.message}")
    if not repair.lost:
        show_result(options, f"{options.folder}: {count(documents, 'document')}, no damage")
    return 1 if repair.lost else 0


def _show_change(options: argparse.Namespace, content: dict[str, Any], result: str) -> None:
    """Show the result of a change of documents, and which ids were unknown."""
    if options.json:
        write_json(content)
        return
    if content["unknown"]:
        show_note(options, f"not in {options.folder}: {', '.join(content['unknown'])}")
    show_result(options, result)


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
