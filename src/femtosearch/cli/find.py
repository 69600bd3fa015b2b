"""`femtosearch QUERY [PATH...]`: files searched by meaning, with the habits of grep and no index to name."""

from __future__ import annotations

import argparse
import fnmatch
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from femtosearch.cli.automatic import (
    Automatic,
    automatic_of,
    automatics,
    damaged,
    data_folder,
    is_below,
    make_place,
    own,
    removal_of,
)
from femtosearch.cli.explaining import note_coverage
from femtosearch.cli.file_types import FILE_TYPES
from femtosearch.cli.output import harmless, show_note, show_notes, write_json, write_line, write_note
from femtosearch.cli.show import (
    count,
    embolden,
    hit_facts,
    place_of,
    query_words,
    size,
    snippet,
    wants_colour,
)
from femtosearch.errors import LockedError, ModelMismatchError, QueryError, ReadError
from femtosearch.frozen import frozen
from femtosearch.index.index import Index
from femtosearch.index.places import folded
from femtosearch.progress import Progress
from femtosearch.read import Options
from femtosearch.read.entries import Skipped
from femtosearch.read.paths import near, printable, relative
from femtosearch.read.refresh import Run
from femtosearch.read.steps import digest_of
from femtosearch.read.walk import walk
from femtosearch.types import Hit

PATIENCE = 5.0  # seconds of indexing, after which what is found so far is shown
MOST_SPOTTED = 100  # hits of which it is asked where they matched best
MOST_SKIPPED = 3  # files that could not be read and are named
NOTHING = 1  # the exit code where nothing is found, as grep's
FAILED = 1  # the exit code where a file that was named could not be read


@frozen
class Place:
    """Where hits are to be.

    below:  the real paths of the files and folders that were named.
    links:  the paths by which files were met that lie elsewhere, by their real paths.
    """

    below: Sequence[str]
    links: Mapping[str, str]

    def has(self, source: str) -> bool:
        """Whether a file is in one of the paths, or a link in one leads to it."""
        return is_below(source, self.below) or is_below(self.links.get(source, source), self.below)

    def concerns(self, fault: Skipped) -> bool:
        """Whether what is wrong is in one of the paths."""
        paths = [printable(path) for path in self.below]
        return is_below(fault.where, paths) or any(_is_of(fault, path) for path in paths)


def find(options: argparse.Namespace) -> int:
    """Search files by meaning, after indexing what is new or has changed.

    The exit code is 1 where nothing is found, and where a file that was named could not be read.
    """
    paths = options.path or ["."]
    automatic = automatic_of(paths)
    make_place(automatic)
    with automatic.telling():
        return _find(options, automatic, list(dict.fromkeys(map(os.path.realpath, paths))))


def _find(options: argparse.Namespace, automatic: Automatic, below: Sequence[str]) -> int:
    """Search what is below some real paths in an index that is brought up to date; the exit code."""
    _renew(options, automatic)
    with Index(automatic.folder) as store, Progress(quiet=options.quiet) as progress:
        run = Run(automatic.roots, Options(keep_going=True), store.files())
        place = Place(below, run.links)
        try:
            run.into(store, progress=_reporter(options, store, progress, place))
        except LockedError:
            if not len(store):
                raise
            show_note(options, "another process is indexing them: what there is by now is searched")
        progress.clear()
        has_unread = _tell_skipped(options, run, place, store)
        hits = _hits(options, store, place)
        documents = len(store)
        coverage = store.coverage(options.query)
    note_coverage(options, coverage)
    if not hits:
        if not has_unread:
            show_note(options, f"nothing found in {count(documents, 'document')}")
        return NOTHING
    _show(options, hits, () if coverage is None else coverage.unknown)
    return FAILED if has_unread else 0


def _tell_skipped(options: argparse.Namespace, run: Run, place: Place, store: Index) -> bool:
    """Say what could not be read of what was looked at now; whether a file that was named is among it."""
    skipped = [fault for fault in run.report.skipped if not fault.kept and place.concerns(fault)]
    if not skipped:
        return False
    rows, unread = store.files(), set[Skipped]()
    for path in place.below:
        faults = [fault for fault in skipped if _is_of(fault, printable(path))]
        gave = path in rows and rows[path].documents
        if faults and (not gave or any(fault.where == printable(path) for fault in faults)):
            write_note(f"femtosearch: {near(faults[0].where)}: {faults[0].reason}")
            unread.update(faults)
    notes = [f"{near(fault.where)}: {fault.reason}" for fault in skipped if fault not in unread]
    show_notes(options, "skipped", notes, MOST_SKIPPED, "femtosearch index --json lists them")
    return bool(unread)


def _is_of(fault: Skipped, path: str) -> bool:
    """Whether what is wrong is a file, or a line of it."""
    return fault.where == path or fault.where.startswith(f"{path}:")


def _renew(options: argparse.Namespace, automatic: Automatic) -> None:
    """Remove an index whose model this femtosearch has not any more: it is made anew."""
    if not automatic.exists:
        return
    with Index(automatic.folder) as store:
        try:
            name = store.model.name
        except ModelMismatchError:
            name = None
    if name is None:
        show_note(options, "the model is another one since the last time: everything is indexed anew")
        shutil.rmtree(automatic.folder)


def _reporter(
    options: argparse.Namespace, store: Index, progress: Progress, place: Place
) -> Callable[[int, float | None], None]:
    """What shows how far the indexing is and, once on a terminal, what is found in what there is by then."""
    waits = sys.stdout.isatty() and not options.json and not options.files

    def report(done: int, share: float | None) -> None:
        nonlocal waits
        progress.update("indexing", done, share=share, unit="documents")
        if waits and progress.seconds > PATIENCE and len(store):
            waits = False
            hits = _hits(options, store, place)
            progress.clear()
            show_note(options, f"in the first {count(len(store), 'document')}, while the others are indexed:")
            _show(options, hits)
            sys.stdout.flush()

    return report


def list_indexes(options: argparse.Namespace) -> None:
    """The indexes that were made by themselves; those that are damaged are told."""
    faults = dict(damaged())
    indexes = [automatic for automatic in automatics() if automatic.folder not in faults]
    for folder, fault in faults.items():
        write_note(f"femtosearch: {fault}; {removal_of(folder)}")
    for automatic in indexes:
        stats = automatic.stats()
        if options.json:
            facts = {"roots": automatic.roots, "folder": os.fspath(automatic.folder)}
            write_json({**facts, "documents": stats.documents, "bytes": stats.bytes})
        else:
            roots = " ".join(automatic.roots)
            write_line(f"{roots}  {count(stats.documents, 'document')}, {size(stats.bytes)}")
    if not indexes and not faults:
        show_note(options, 'none yet: femtosearch "a question" makes one of the folder that you are in')


def status(options: argparse.Namespace) -> int:
    """What the index of a folder holds, and what has changed since it was last read; the exit code."""
    automatic = automatic_of([options.path])
    if not automatic.exists:
        show_note(options, f"{options.path}: not indexed yet")
        return NOTHING
    with automatic.telling(), Index(automatic.folder) as store:
        stored, stats = store.files(), automatic.stats()
    present = {file.real: file for file in walk(automatic.roots, Options(keep_going=True)).files}
    touched = [
        file
        for path, file in present.items()
        if path in stored and not stored[path].stamp.startswith(file.stamp)
    ]
    changed = sum(digest_of(file) != stored[file.real].digest for file in touched)
    new, gone = len(present.keys() - stored.keys()), len(stored.keys() - present.keys())
    if options.json:
        facts = {
            "roots": automatic.roots,
            "folder": os.fspath(automatic.folder),
            "documents": stats.documents,
        }
        write_json({**facts, "bytes": stats.bytes, "new": new, "changed": changed, "gone": gone})
    else:
        roots = " ".join(automatic.roots)
        write_line(f"{roots}  {count(stats.documents, 'document')}, {size(stats.bytes)}")
        write_line(f"files: {new:,} new, {changed:,} changed, {gone:,} gone")
    return 0


def forget_root(path: str) -> Automatic:
    """Remove the index that was made of a root, which need not be there any more, or that lies in a folder.
    One that is damaged goes, too. Raises ReadError.
    """
    names = {os.path.abspath(path), os.path.realpath(path)}
    readable = [*automatics()]
    meant = [automatic for automatic in readable if names & {*automatic.roots, str(automatic.folder)}]
    if not meant:
        folders = {automatic.folder for automatic in readable}
        exact = [own([name]) for name in sorted(names)]
        named = [Automatic(Path(name), (name,)) for name in names if Path(name).parent == data_folder()]
        meant = [
            automatic
            for automatic in (*exact, *named)
            if automatic.folder not in folders and automatic.exists
        ]
    if not meant:
        raise ReadError(
            f"{path}: no index was made of it by itself: `femtosearch list` names those that were"
        )
    shutil.rmtree(meant[0].folder)
    return meant[0]


def _hits(options: argparse.Namespace, store: Index, place: Place) -> Sequence[Hit]:
    """The best hits in files of the paths, kinds and names that were asked for; of documents with one text
    the best of these alone.
    """
    globs = [*(glob for kind in options.type for glob in _globs(kind)), *options.include]
    total, k = len(store), options.k
    while True:
        hits = store.search(options.query, k=k, where=options.where, spots=k <= MOST_SPOTTED)
        passing = folded([hit for hit in hits if _passes(hit, place, globs, options.exclude)])
        if len(passing) >= options.k or len(hits) < k or k >= total:
            return passing[: options.k]
        k = min(total, 4 * k)


def _globs(kind: str) -> Sequence[str]:
    if kind not in FILE_TYPES:
        raise QueryError(f"--type: expected one of {', '.join(sorted(FILE_TYPES))}, found {kind!r}")
    return FILE_TYPES[kind].split()


def _passes(hit: Hit, place: Place, globs: Sequence[str], excluded: Sequence[str]) -> bool:
    if hit.source is None or not place.has(hit.source):
        return False
    names = (os.path.basename(hit.source), near(hit.source))
    matches = lambda glob: any(fnmatch.fnmatch(name, glob) for name in names)  # noqa: E731
    return (not globs or any(map(matches, globs))) and not any(map(matches, excluded))


def _show(options: argparse.Namespace, hits: Sequence[Hit], unknown: Sequence[str] = ()) -> None:
    if options.files:
        for source in dict.fromkeys(hit.source or "" for hit in hits):
            if options.null:  # for programs: the bytes of the name, which need not be UTF-8
                sys.stdout.buffer.write(os.fsencode(relative(source)) + b"\0")
                continue
            sys.stdout.write(_linked(harmless(near(source)), source, None) + "\n")
        return
    for rank, hit in enumerate(hits, 1):
        if options.json:
            write_json(hit_facts(options.query, rank, hit, unknown))
            continue
        if options.context and rank > 1:
            write_line("--")
        for line in _lines(options, hit):
            sys.stdout.write(line + "\n")


def _lines(options: argparse.Namespace, hit: Hit) -> Iterator[str]:
    """`path:line: text` of the line that matched, and lines round it as `path-line- text`."""
    lines, at = hit.text.split("\n"), (hit.span or hit.passage or (0, 0))[0]
    words = query_words(options.query)
    begin = hit.text.count("\n", 0, at)
    first = None if hit.lines is None else hit.lines[0] - begin
    matched = begin if hit.span else _best_line(lines, begin, hit, words)
    words = words if wants_colour(sys.stdout) else []
    path, place = near(hit.source or hit.id), place_of(hit)
    room = max(40, shutil.get_terminal_size().columns) if sys.stdout.isatty() else 1000
    for number in range(max(0, matched - options.context), min(len(lines), matched + options.context + 1)):
        mark = ":" if number == matched else "-"
        named = place if first is None else f"{path}{mark}{first + number}"
        focus = (
            at - sum(len(line) + 1 for line in lines[:matched]) if hit.span and number == matched else None
        )
        text = snippet(lines[number], words, max(20, room - len(named) - 2), focus)
        line = None if first is None else first + number
        yield f"{_linked(harmless(named), hit.source or hit.id, line)}{mark} {embolden(text, words)}"


def _best_line(lines: Sequence[str], begin: int, hit: Hit, words: Sequence[str]) -> int:
    """The line of the passage that has most of the query's words; the first of several that is not empty."""
    end = hit.text.count("\n", 0, hit.passage[1]) if hit.passage else begin
    numbers = [number for number in range(begin, end + 1) if lines[number].strip()] or [begin]
    return max(numbers, key=lambda number: sum(word in lines[number].lower() for word in words))


def _linked(text: str, source: str, line: int | None) -> str:
    """The text as a link to the file, on a terminal that shows colours (OSC 8)."""
    if not wants_colour(sys.stdout):
        return text
    target = Path(os.path.abspath(source)).as_uri() + ("" if line is None else f"#L{line}")
    return f"\x1b]8;;{target}\x1b\\{text}\x1b]8;;\x1b\\"
