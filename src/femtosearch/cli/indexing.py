"""The commands that index files, and keep an index up to date with them: index, refresh, forget."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from femtosearch.cli.find import forget_root
from femtosearch.cli.opening import check_index, open_index
from femtosearch.cli.output import show_note, show_notes, show_result, write_json
from femtosearch.cli.show import count, size
from femtosearch.errors import LockedError, ReadError
from femtosearch.index.index import Index
from femtosearch.index.stats import Stats
from femtosearch.index.store import holds_index
from femtosearch.progress import Progress, duration
from femtosearch.read import Options
from femtosearch.read import forget as forget_source
from femtosearch.read import refresh as refresh_sources
from femtosearch.read.entries import Skipped
from femtosearch.read.lines import listed_paths
from femtosearch.read.refresh import Refreshed, Run

SHOWN = 5  # notes of each kind, such as files that were skipped
_PAUSE = 1.0  # seconds before the next attempt to read the sources, if one failed
MUCH_UNKNOWN = 0.03  # the share of unknown words from which on a note says so


def index(options: argparse.Namespace) -> None:
    """Index the files that are new or have changed, commit by commit: an error leaves earlier
    commits intact.
    """
    _check_watching(options)
    paths, reading = _paths(options), _reading_options(options)
    run = None
    if not holds_index(options.folder):  # before the folder is made: a wrong file leaves none behind
        run = Run(paths, reading, {}, prune=options.prune)
        run.peek()
        _check_kinds(run)
    with Progress(quiet=options.quiet) as progress, open_index(options) as store:
        run = run or Run(paths, reading, store.files(), prune=options.prune)
        try:
            report = run.into(store, threads=options.threads, progress=_reporter(progress))
        except (Exception, KeyboardInterrupt):
            if run.report.stored:
                before = f"added {count(run.report.stored, 'document')} to {options.folder} before this"
                show_note(options, f"{before}; the same command goes on from there")
            raise
        progress.clear()
        _show_refreshed(options, "indexed", report, progress.seconds, store.stats())
        if options.watch:
            _watch(options, store)


def refresh(options: argparse.Namespace) -> None:
    """Read all sources of an index again: changed files are encoded, those that no longer exist are
    removed.
    """
    check_index(options.folder)
    _check_watching(options)
    with Progress(quiet=options.quiet) as progress, open_index(options) as store:
        report = _refresh(options, store, progress)
        _show_refreshed(options, "refreshed", report, progress.seconds, store.stats())
        if options.watch:
            _watch(options, store)


def forget(options: argparse.Namespace) -> None:
    """Remove sources from an index, with their documents; without a source, remove the automatic index of a
    folder.
    """
    if not options.source:
        automatic = forget_root(options.folder)
        if options.json:
            write_json({"removed": os.fspath(automatic.folder), "roots": automatic.roots})
        else:
            show_result(options, f"removed the index of {' '.join(automatic.roots)}")
        return
    check_index(options.folder)
    with Index(options.folder) as store:
        report = Refreshed()
        for path in options.source:
            report.add(forget_source(store, path))
        documents = len(store)
    if options.json:
        write_json({"removed": report.removed, "documents": documents})
    else:
        removed = count(report.removed, "document")
        show_result(options, f"removed {removed}; {options.folder} holds {documents:,}")


def _refresh(options: argparse.Namespace, store: Index, progress: Progress) -> Refreshed:
    report = refresh_sources(
        store,
        None,
        options=Options(strict=options.strict),
        prune=options.prune,
        threads=options.threads,
        progress=_reporter(progress),
    )
    progress.clear()
    return report


def _check_watching(options: argparse.Namespace) -> None:
    """Check, before the minutes that indexing takes, that files can be watched. Raises MissingExtraError."""
    if options.watch:
        from femtosearch.read.watch import watcher

        watcher()


def _watch(options: argparse.Namespace, store: Index) -> None:
    """Refresh the index whenever its sources change, until Ctrl-C."""
    from femtosearch.read.watch import changes

    show_note(options, "watching; Ctrl-C ends")
    missing: set[str] = set()
    try:
        for _ in changes(store):
            while not _follow(options, store, missing):
                time.sleep(_PAUSE)
    except KeyboardInterrupt:
        return


def _follow(options: argparse.Namespace, store: Index, missing: set[str]) -> bool:
    """Refresh the index once; returns False if it has to be tried again, because another process writes or a
    file could not be read.

    missing:  the sources that did not exist at the last refresh; it is brought up to date.
    """
    with Progress(quiet=options.quiet) as progress:
        try:
            report = _refresh(options, store, progress)
        except (LockedError, ReadError) as error:
            if options.strict:
                raise
            progress.clear()
            show_note(options, f"{error}; trying again")
            return False
        if report.files or report.removed or report.files_removed or missing != set(report.missing):
            _show_refreshed(options, "refreshed", report, progress.seconds, store.stats())
        missing.clear()
        missing.update(report.missing)
    return True


def _paths(options: argparse.Namespace) -> list[str]:
    paths = list(options.path)
    if options.files_from:
        paths += listed_paths(options.files_from)
    if not paths:
        raise ReadError("expected files, folders or -, found none: name them, or a list with --files-from")
    return paths


def _reading_options(options: argparse.Namespace) -> Options:
    """How files are read, by the flags."""
    return Options(
        text_column=options.text_column,
        id_column=options.id_column,
        encoding=options.encoding,
        stdin_kind=options.stdin,
        strict=options.strict,
        keep_going=options.keep_going,
        include=tuple(options.include),
        exclude=tuple(options.exclude),
        hidden=options.hidden,
        ignore=options.ignore,
    )


def _check_kinds(run: Run) -> None:
    """Raise ReadError if the folders have files, but none of a kind that is read."""
    if run.is_empty and run.report.kinds:
        kinds = run.report.kinds
        raise ReadError(
            f"expected files of a kind that is read, found {count(kinds.total(), 'file')} of others "
            f"({_counted(kinds)}): name files to read them as text"
        )


def _reporter(progress: Progress) -> Callable[[int, float | None], None]:
    def report(done: int, share: float | None) -> None:
        progress.update("indexing", done, share=share, unit="documents")

    return report


def _show_refreshed(
    options: argparse.Namespace, verb: str, report: Refreshed, seconds: float, stats: Stats
) -> None:
    if options.json:
        write_json({**_facts(report), "seconds": round(seconds, 3), "index": asdict(stats)})
        return
    _note_all(options, "skipped", [fault for fault in report.skipped if not fault.kept])
    _note_all(options, "kept, changed", [fault for fault in report.skipped if fault.kept])
    _note_all(options, "kept under another id", report.repeated)
    for path in report.missing:
        show_note(options, f"not there: {path}; its documents stay (femtosearch forget takes them out)")
    if report.kinds:
        files = f"{count(report.kinds.total(), 'file')} of a kind that is not read ({_counted(report.kinds)})"
        show_note(options, f"left out: {files}; named one by one they are read as text")
    reasons_left = {reason: n for reason, n in report.reasons.items() if reason not in ("kind", "no file")}
    if reasons_left:
        reasons = "; ".join(f"{n:,} {reason}" for reason, n in sorted(reasons_left.items()))
        show_note(options, f"left out: {reasons}; --json lists them")
    if (share := stats.unknown_share or 0.0) > MUCH_UNKNOWN:
        note = (
            f"{share:.0%} of the words are unknown to the model {stats.model!r}: they are found as words only"
        )
        show_note(options, note)
    rate = report.stored / seconds if seconds else 0.0
    took = f"{verb} {count(report.stored, 'document')} in {duration(seconds)}, {rate:,.0f} documents/s"
    passages = count(stats.passages, "passage")
    holds = f"{count(stats.documents, 'document')} ({passages}), {size(stats.bytes)}"
    show_result(options, f"{took}{_changes(report)}; {options.folder} holds {holds}")


def _changes(report: Refreshed) -> str:
    """How many documents were unchanged or removed, in brackets; "" if all are new."""
    pieces = [f"{count(report.unchanged, 'document')} unchanged"] if report.unchanged else []
    pieces += [f"{count(report.removed, 'document')} removed"] if report.removed else []
    return f" ({', '.join(pieces)})" if pieces else ""


def _facts(report: Refreshed) -> dict[str, Any]:
    return {
        "documents": report.documents,
        "stored": report.stored,
        "unchanged": report.unchanged,
        "removed": report.removed,
        "files": report.files,
        "files_unchanged": report.files_unchanged,
        "files_removed": report.files_removed,
        "skipped": [asdict(skipped) for skipped in report.skipped],
        "repeated": [asdict(repeated) for repeated in report.repeated],
        "left_out": [asdict(left_out) for left_out in report.left_out],
        "unknown": report.kinds.total(),
        "kinds": dict(report.kinds),
        "missing": report.missing,
    }


def _note_all(options: argparse.Namespace, label: str, places: Sequence[Skipped]) -> None:
    notes = [f"{place.where}: {place.reason}" for place in places]
    show_notes(options, label, notes, SHOWN, "--json lists them, --strict fails at the first")


def _counted(kinds: Any) -> str:
    """The most common extensions and how many files have them."""
    common = ", ".join(f"{kind} {n:,}" for kind, n in kinds.most_common(8))
    return common + (", ..." if len(kinds) > 8 else "")
