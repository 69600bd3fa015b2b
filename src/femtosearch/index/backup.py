"""A copy of an index as of one moment, made while others write to it."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from secrets import token_hex

from femtosearch.disk import check_regular, make_folder, refusal, replace_folder
from femtosearch.errors import StoreError
from femtosearch.index.catalog import Catalog
from femtosearch.index.snapshot import Snapshot
from femtosearch.index.store import CATALOG, SEGMENTS


def copy_index(catalog: Catalog, snapshot: Snapshot, target: Path) -> int:
    """Write a snapshot as an index of its own, whole or not at all. Returns how many bytes it has.

    The snapshot has its segments open, so they can be copied though a compaction removes their files. They
    are copied and not linked: a file with a second name is refused when an index is opened.

    target:  a folder that is not there, or is empty. Raises StoreError; OutdatedError if a commit came in
             between.
    """
    check_target(target)
    try:
        make_folder(target.parent)
        draft = target.with_name(f".{target.name}.{token_hex(8)}")
        try:  # an interrupt may come as soon as the folder is there
            draft.mkdir()
            _copy_catalog(catalog, snapshot, draft / CATALOG)
            (draft / SEGMENTS).mkdir()
            for number, view in snapshot.views.items():
                view.segment.verify()  # or an intact earlier copy might be replaced by a damaged one
                (draft / SEGMENTS / f"{number}.seg").write_bytes(view.segment.content.data)
            total = sum(path.stat().st_size for path in draft.rglob("*") if path.is_file())
            _put(draft, target)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
    except (OSError, sqlite3.Error) as error:
        raise refusal(error, os.fspath(target)) from error
    return total


def _copy_catalog(catalog: Catalog, snapshot: Snapshot, path: Path) -> None:
    """The catalogue as of the snapshot, by SQLite's own copy, as a file without a log."""
    with closing(sqlite3.connect(path, isolation_level=None)) as copy:
        catalog.read_long_at(snapshot.state, lambda reader: reader.backup(copy))
        copy.execute("PRAGMA synchronous = FULL")
        if copy.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
            raise StoreError(f"{path}: this file system cannot hold it: use a local disk")
    log = path.with_name(f"{path.name}-wal")
    if check_regular(log) and log.stat().st_size:
        raise StoreError(f"{path}: it could not be written whole: check the space of the disk and try again")


def check_target(target: Path, folder: Path | None = None) -> None:
    """Raise StoreError unless a copy can be put there.

    folder:  of the index, which the copy may not be inside of.
    """
    if "\0" in os.fspath(target):
        raise StoreError(f"{os.fspath(target)!r}: expected a folder, found a name with a NUL: choose another")
    if folder is not None and folder.resolve() in target.resolve().parents:
        raise StoreError(f"{target}: it is inside the index itself: choose a place outside of it")
    if os.path.lexists(target) and (target.is_symlink() or not target.is_dir() or any(target.iterdir())):
        raise StoreError(
            f"{target}: it is there already: choose another place for the copy; nothing was changed"
        )


def _put(draft: Path, target: Path) -> None:
    """Rename a finished folder to its name. Raises StoreError if something lies there by now."""
    check_target(target)
    if target.exists():
        target.rmdir()
    replace_folder(draft, target)
