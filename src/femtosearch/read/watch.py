"""Changes of files, as they happen. Needs the extra [watch]."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from femtosearch.errors import ReadError, missing_extra
from femtosearch.index.index import Index
from femtosearch.read.paths import STDIN

_PAUSE = 300  # milliseconds of quiet after which a change is told
_LONGEST = 2_000  # milliseconds after which it is told all the same
_LOOK = 5_000  # milliseconds after which sources that came or went are looked for


def changes(index: Index) -> Iterator[int]:
    """How many events there were, each time that something in the sources of an index has changed; 0 where
    something may have: at the beginning, since events before it are nobody's, and when it is quiet again
    after others, since the system loses events where there are very many.

    What changed is not said: a folder that was moved and an editor that writes by renaming are all the same
    to a refresh, which looks for itself. Ends never.
    Raises MissingExtraError, ReadError if there is nothing to watch.
    """
    watch = watcher()
    index_folder = "" if index.folder is None else os.path.join(os.path.realpath(index.folder), "")
    if not _watched(index):
        raise ReadError("expected files or folders to watch, found none among the sources of the index")
    is_due = True
    while True:
        folders = _watched(index)
        events = watch(
            *folders,
            watch_filter=lambda _, path: not f"{path}/".startswith(index_folder or "\0"),
            debounce=_LONGEST,
            step=_PAUSE,
            rust_timeout=_LOOK,
            yield_on_timeout=True,
            raise_interrupt=True,
            ignore_permission_denied=True,
        )
        for changed in events:
            if changed or is_due:
                is_due = bool(changed)
                yield len(changed)
            if _watched(index) != folders:  # a source came or went: watch anew, and look once
                is_due = True
                break


def watcher() -> Any:
    """The function of the library that watches. Raises MissingExtraError if it is not installed."""
    try:
        from watchfiles import watch
    except ImportError as error:
        raise missing_extra("--watch", "watchfiles", "watch") from error
    return watch


def _watched(index: Index) -> list[str]:
    """The folders in which something may happen: sources, and of files the folders they are in."""
    folders = set()
    for source in index.sources():
        path = source.path if os.path.isdir(source.path) else os.path.dirname(source.path)
        if source.path != STDIN and not source.options.get("stream") and os.path.isdir(path):
            folders.add(path)
    return sorted(folders)
