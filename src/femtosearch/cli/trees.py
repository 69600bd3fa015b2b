"""Files that agents search without naming an index: each folder has an automatic index, which follows it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from femtosearch.cli.automatic import Automatic, automatic_of, make_place
from femtosearch.cli.output import write_note
from femtosearch.errors import FemtosearchError, ReadError
from femtosearch.index.index import Index
from femtosearch.index.store import holds_index
from femtosearch.read import Options
from femtosearch.read.refresh import Run
from femtosearch.server.indexes import split_name

PATIENCE = 20.0  # seconds that an answer waits for files to be indexed
PAUSE = 2.0  # seconds after a refresh in which there is no other


class Trees:
    """The places that `femtosearch mcp` serves: indexes, and files, which get automatic indexes.

    places:  folders of indexes, files or folders of files, or NAME=PATH.
    Raises ReadError for a place that does not exist, for files together with --writable, and for two places
    of one name.
    """

    def __init__(self, places: Sequence[str], *, writable: bool = False) -> None:
        self._places: list[str] = []
        self._trees: dict[str, Tree] = {}
        names: set[str] = set()
        for place in places:
            name, path = named(place)
            if name in names:
                raise ReadError(
                    f"expected indexes of different names, found two called {name!r}: name one, as in "
                    f"other={path}"
                )
            names.add(name)
            if holds_index(path) or (writable and _is_free(path)):
                self._places.append(place)
            elif writable:
                raise ReadError(
                    f"{path}: expected an index for --writable, found files: leave it out, or index them "
                    "first"
                )
            else:
                automatic = automatic_of([path], above=False)
                self._trees[name] = Tree(automatic)
                self._places.append(f"{name}={automatic.folder}")

    def open(self) -> list[str]:
        """Make the automatic indexes that do not exist; returns the places of all indexes."""
        for tree in self._trees.values():
            tree.make()
        return self._places

    def refresh(self, indexes: Any) -> str:
        """Refresh the automatic indexes. Returns a note for the agent, "" if there is nothing to say."""
        notes = [tree.refresh(indexes.get(name)) for name, tree in self._trees.items()]
        return " ".join(note for note in notes if note)


class Tree:
    """One folder, or file, that an index follows. A refresh runs in a thread while searches are answered."""

    def __init__(self, automatic: Automatic) -> None:
        self.automatic = automatic
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._finished = -PAUSE
        self._documents = 0  # that the current refresh has encoded
        self._fault = ""

    def make(self) -> None:
        """Make the index if it does not exist. Raises OSError, StoreError."""
        make_place(self.automatic)
        if not self.automatic.exists:
            Index(self.automatic.folder).close()

    def refresh(self, index: Index) -> str:
        """Begin a refresh if none is running, and wait up to 20 seconds for its end. Returns a note if it is
        not finished or failed, else "".
        """
        with self._lock:
            if self._thread is None and time.monotonic() - self._finished >= PAUSE:
                self._documents = 0
                self._thread = threading.Thread(target=self._run, args=(index,), daemon=True)
                self._thread.start()
            thread = self._thread
        if thread is not None:
            thread.join(PATIENCE)
            if thread.is_alive():
                return f"[still indexing, {self._documents:,} documents so far: ask again for the others]"
        return self._fault

    def _run(self, index: Index) -> None:
        try:
            self.make()  # `femtosearch forget` may have removed it
            run = Run(self.automatic.roots, Options(keep_going=True), index.files())
            run.into(index, progress=self._count)
            self._fault = ""
        except (FemtosearchError, OSError) as error:
            write_note(f"femtosearch: {error}")
            self._fault = "[the files could not be read again]"
        finally:
            with self._lock:
                self._finished, self._thread = time.monotonic(), None

    def _count(self, documents: int, share: float | None) -> None:
        self._documents = documents


def named(place: str) -> tuple[str, str]:
    """The name and the path of a place: NAME=PATH, or a path, whose name is its last step.

    >>> named("notes=/home/me/docs")
    ('notes', '/home/me/docs')
    """
    name, path = split_name(place)
    if name is None:
        name = Path(place).resolve().name.replace("=", "_") or "files"
    return name, path


def _is_free(path: str) -> bool:
    """Whether an index can be made in a folder: it is not there, or empty."""
    return not os.path.exists(path) or (os.path.isdir(path) and not os.listdir(path))
