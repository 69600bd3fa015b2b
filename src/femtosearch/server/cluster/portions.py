"""Portions: the files that a build reads, divided among tasks. Each document gets an id that never
changes.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from femtosearch.errors import ReadError, StoreError
from femtosearch.index.documents import Draft, drafts, named
from femtosearch.read.documents import FileReader
from femtosearch.read.entries import Options, Skipped
from femtosearch.read.kinds import kind_of_file
from femtosearch.read.paths import STDIN, printable
from femtosearch.read.walk import File, walk
from femtosearch.server.cluster.manifest import is_of_build
from femtosearch.server.cluster.storage import Storage, filesystem, is_url, local_path, raised_as

PORTION = 64 << 20  # bytes of files that one task reads
_ENDING = re.compile(r"(?:\.[A-Za-z0-9]{1,16}){0,2}\Z")  # of a URL, whose other parts may be no file name


@dataclass(frozen=True, slots=True)
class Source:
    """A file to read.

    url:    None for a file that all nodes see under its path.
    alone:  whether no other file has its name.
    """

    file: File
    url: str | None = None
    alone: bool = True

    @property
    def shown(self) -> str:
        """The place of the file, for messages."""
        return printable(self.url or self.file.shown or self.file.path)

    @property
    def identity(self) -> list[Any]:
        """A value that differs if another file, or other content, is read."""
        return [self.url or self.file.real, self.file.name, self.file.stamp or self.file.size, self.alone]


@dataclass(slots=True)
class Portion:
    """Files that one task reads, one after the other."""

    options: Options
    sources: list[Source] = field(default_factory=list)
    bytes: int = 0

    def drafts(self, skipped: list[Skipped]) -> Iterator[Draft]:
        """The documents, each with its id. Raises ReadError.

        skipped:  gets what is left out or changed.
        """
        for source in self.sources:
            reader = FileReader(self.options)
            with _here(source) as file:
                path = printable(file.path)
                try:
                    for document in reader.read(file):
                        name = document.ids[0]
                        if document.entry.line is None and not source.alone:
                            name = document.ids[min(1, len(document.ids) - 1)]
                        yield from map(named, drafts([replace(document.document, id=name)]))
                except ReadError as error:
                    raise ReadError(str(error).replace(path, source.shown)) from None
            skipped += [
                replace(fault, where=fault.where.replace(path, source.shown)) for fault in reader.skipped
            ]


def portions_of(paths: Iterable[str | os.PathLike[str]], options: Options, out: Storage) -> list[Portion]:
    """The files that paths and URLs lead to, in their order, without those that builds write to `out`.

    Raises ReadError, StoreError.
    """
    sources = [source for path in paths for source in _sources(os.fspath(path), options)]
    sources = [source for source in sources if not _is_built(source, out.place)]
    if not sources:
        raise ReadError("expected files or folders with files of a kind that is read, found none: name some")
    names = Counter(source.file.name for source in sources)
    portions = [Portion(options)]
    for source in sources:
        size = source.file.size or 0
        if portions[-1].sources and portions[-1].bytes + size > PORTION:
            portions.append(Portion(options))
        portions[-1].sources.append(replace(source, alone=names[source.file.name] == 1))
        portions[-1].bytes += size
    return portions


def _sources(path: str, options: Options) -> list[Source]:
    if path == STDIN:
        raise ReadError("a cluster reads files, not standard input: write it to a file first")
    path = local_path(path)
    if is_url(path):
        return _remote(path)
    walked = walk([path], options)
    if walked.broken:
        place, reason = next(iter(walked.broken.items()))
        raise ReadError(f"{printable(place)}: {reason}")
    return [
        Source(replace(file, path=os.path.abspath(file.path), shown=file.shown or file.path))
        for file in walked.files
    ]


def _is_built(source: Source, out: str) -> bool:
    """Whether a file is of an index at a place, which may lie among the sources."""
    if source.url is not None:
        return source.url.startswith(f"{out}/") and is_of_build(source.url[len(out) + 1 :])
    root, real = Path(os.path.realpath(out)), Path(source.file.real)
    return real.is_relative_to(root) and is_of_build(real.relative_to(root).as_posix())


def _remote(url: str) -> list[Source]:
    """The file at a URL, those that its pattern matches, or those of the folder there that are of a kind that
    is read, sorted.
    """
    files, root = filesystem(url)
    with raised_as(StoreError, url):
        files.invalidate_cache()
        entries = files.glob(root, detail=True) if "*" in root else files.find(root, detail=True)
    single = list(entries) == [root]
    chosen = [path for path in sorted(entries) if single or "*" in root or kind_of_file(path) is not None]
    if not chosen:
        raise ReadError(f"{url}: expected a file, or files of a kind that is read, found none: check the URL")
    return [_source(_url_of(path, url), path, entries[path], single) for path in chosen]


def _url_of(path: str, url: str) -> str:
    """The URL of a file that is found below another URL, which may go on behind `::`, as fsspec has it.

    >>> _url_of("/notes/a.md", "memory://notes"), _url_of("a.md", "zip://*.md::s3://bucket/notes.zip")
    ('memory://notes/a.md', 'zip://a.md::s3://bucket/notes.zip')
    """
    first, chained, rest = url.partition("::")
    protocol, separator, _ = first.partition("://")
    if is_url(path) or not separator:
        return path  # as of HTTP, and of what only caches
    return f"{protocol}://{path.lstrip('/')}{chained}{rest}"


def _source(url: str, path: str, entry: dict[str, Any], is_named: bool) -> Source:
    kind = kind_of_file(path) or "text"
    stamp = f"{entry.get('size')} {entry.get('ETag') or entry.get('mtime') or entry.get('created')}"
    return Source(File(url, url, kind, entry.get("size"), is_named, real=url, stamp=stamp, shown=url), url)


@contextmanager
def _here(source: Source) -> Iterator[File]:
    """A source as a file of this machine: one at a URL is fetched, and removed when the block ends. Raises
    StoreError.
    """
    if source.url is None:
        yield source.file
        return
    with TemporaryDirectory(prefix="femtosearch-") as folder:
        path = Path(folder, f"file{_ENDING.findall(source.url.partition('::')[0])[0]}")
        files, root = filesystem(source.url)
        with raised_as(StoreError, source.url):
            files.get_file(root, os.fspath(path))
        yield replace(source.file, path=os.fspath(path))


def identities(portions: Sequence[Portion]) -> list[Any]:
    """The identities of the sources of all portions."""
    return [source.identity for portion in portions for source in portion.sources]
