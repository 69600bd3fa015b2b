"""The command `cluster`: build, serve and search an index past one machine."""

from __future__ import annotations

import argparse
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath

from femtosearch.cli.commands import HOW, show_hits
from femtosearch.cli.output import show_note, show_result, write_json, write_line, write_note
from femtosearch.cli.serving import server_module, settings_of
from femtosearch.cli.show import count
from femtosearch.errors import FemtosearchError
from femtosearch.progress import Progress
from femtosearch.read import Options
from femtosearch.read.lines import STDIN, numbered_lines
from femtosearch.server.cluster.build import build as build_shards
from femtosearch.server.cluster.cluster import Cluster

LOG = logging.getLogger("femtosearch.server")


def cluster(options: argparse.Namespace) -> None:
    """Run one of the actions."""
    {"build": _build, "serve": _serve, "search": _search}[options.action](options)


def _build(options: argparse.Namespace) -> None:
    """Files -> shards. What a task has done is not done again by the same command."""
    with Progress(quiet=options.quiet) as progress:

        def report(what: str, ended: int, tasks: int) -> None:
            progress.update(what, ended, tasks, unit="tasks")

        built = build_shards(
            options.source,
            options.out,
            shards=options.shards,
            address=options.address,
            model=options.model,
            precision=options.precision,
            fde=None if options.fde == "none" else options.fde,
            threads=options.threads,
            options=Options(text_column=options.text_column, id_column=options.id_column),
            progress=report,
        )
        seconds = progress.seconds
    manifest = built.manifest
    for skipped in built.skipped[:5]:
        show_note(options, f"skipped: {skipped.where}: {skipped.reason}")
    facts = {"documents": manifest.documents, "passages": manifest.passages, "shards": len(manifest.shards)}
    if options.json:
        write_json({**facts, "build": manifest.build, "encoded": built.encoded, "seconds": round(seconds, 3)})
        return
    before = f" ({len(manifest.shards) - built.encoded} were there)" if built.encoded < options.shards else ""
    holds = f"{count(manifest.documents, 'document')} in {count(len(manifest.shards), 'shard')}{before}"
    show_result(options, f"{options.out} holds {holds}; {seconds:.1f} s")


def _serve(options: argparse.Namespace) -> None:
    """Hold shards and answer over HTTP, until a signal comes; a new build is served once it is there."""
    running, indexes = server_module("run"), server_module("indexes")
    settings = settings_of(
        options,
        max_body=options.max_body,
        timeout=float(options.timeout),
        queue=options.queue,
        **({"threads": options.threads} if options.threads else {}),
    )
    running.log_to(sys.stderr, options.log)
    if options.quiet:
        running.hush()
    with _opened(options) as searched, _refreshed(searched, options.poll):
        name = PurePath(options.out.rstrip("/")).name or "cluster"
        opened = indexes.Indexes([], opened={name: searched})
        started = f"femtosearch: serving {name}, {count(len(searched), 'document')}, on"
        running.serve(opened, settings, started=lambda address: write_note(f"{started} {address}"))


def _search(options: argparse.Namespace) -> None:
    """Hold shards for as long as queries come."""
    several = options.query == STDIN
    queries = (text for _, text in numbered_lines(STDIN, "queries")) if several else [options.query]
    how = {name: getattr(options, name) for name in HOW}
    with _opened(options) as searched:
        for query in queries:
            hits = searched.search(query, **how)
            if several and not options.json:
                write_line(f"? {query}")
            show_hits(options, query, hits)
            if missing := getattr(hits, "missing", ()):
                show_note(options, f"without {', '.join(missing)}, which did not answer")
            if not hits:
                show_note(options, "nothing found")
            sys.stdout.flush()


def _opened(options: argparse.Namespace) -> Cluster:
    return Cluster(
        options.out,
        replicas=options.replicas,
        address=options.address,
        model=options.model,
        partial=options.partial,
    )


@contextmanager
def _refreshed(searched: Cluster, seconds: int) -> Iterator[None]:
    """A cluster that looks for a new build every so many seconds; 0 never does."""
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(seconds):
            try:
                if searched.refresh():
                    LOG.info("serving another build", extra={"fields": {"build": searched.build}})
            except FemtosearchError as error:
                LOG.warning("the new build is not served", extra={"fields": {"error": str(error)}})

    thread = threading.Thread(target=look, name="femtosearch-refresh", daemon=True)
    if seconds:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        if seconds:
            thread.join()
