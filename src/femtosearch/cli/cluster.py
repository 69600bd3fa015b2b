"""The command `cluster`: build, serve and search an index past one machine."""

from __future__ import annotations

import argparse
from pathlib import PurePath

from femtosearch.cli.commands import search_each
from femtosearch.cli.output import show_note, show_notes, show_result, write_json
from femtosearch.cli.serving import bearing, serve_opened, server_module
from femtosearch.cli.show import count
from femtosearch.model.model import Model
from femtosearch.progress import Progress
from femtosearch.read import Options
from femtosearch.server.cluster.build import build as build_shards
from femtosearch.server.cluster.cluster import Cluster

_SHOWN = 5  # files that were skipped


def cluster(options: argparse.Namespace) -> None:
    """Run one of the actions."""
    {"build": _build, "serve": _serve, "search": _search}[options.action](options)


def _build(options: argparse.Namespace) -> None:
    """Files -> shards. What a task has done is not done again by the same command."""
    reading = Options(
        text_column=options.text_column,
        id_column=options.id_column,
        encoding=options.encoding,
        keep_going=options.keep_going,
    )
    with Progress(quiet=options.quiet) as progress:

        def report(phase: str, ended: int, tasks: int) -> None:
            progress.update(phase, ended, tasks, unit="tasks")

        built = build_shards(
            options.source,
            options.out,
            shards=options.shards,
            address=options.address,
            model=options.model,
            precision=options.precision,
            fde=None if options.fde == "none" else options.fde,
            threads=options.threads,
            options=reading,
            progress=report,
        )
        seconds = progress.seconds
    manifest = built.manifest
    notes = [f"{skipped.where}: {skipped.reason}" for skipped in built.skipped]
    show_notes(options, "skipped", notes, _SHOWN)
    facts = {"documents": manifest.documents, "passages": manifest.passages, "shards": len(manifest.shards)}
    if options.json:
        write_json({**facts, "build": manifest.build, "encoded": built.encoded, "seconds": round(seconds, 3)})
        return
    before = f" ({len(manifest.shards) - built.encoded} were there)" if built.encoded < options.shards else ""
    holds = f"{count(manifest.documents, 'document')} in {count(len(manifest.shards), 'shard')}{before}"
    show_result(options, f"{options.out} holds {holds}; {seconds:.1f} s")


def _serve(options: argparse.Namespace) -> None:
    """Hold shards and answer over HTTP, until a signal comes; a new build is served as soon as it
    is ready.
    """
    indexes, settings = server_module("indexes"), bearing(options)
    searched = cluster_of(options, options.out, options.model, poll=options.poll)
    name = PurePath(options.out.rstrip("/")).name or "cluster"
    serve_opened(options, indexes.Indexes([], opened={name: searched}), settings)


def _search(options: argparse.Namespace) -> None:
    """Hold shards for as long as queries come."""
    with cluster_of(options, options.out, options.model) as searched:
        for hits in search_each(options, searched):
            if missing := getattr(hits, "missing", ()):
                show_note(options, f"without {', '.join(missing)}, which did not answer")
            if not hits:
                show_note(options, "nothing found")


def cluster_of(
    options: argparse.Namespace, place: str, model: Model | str | None, *, poll: float = 0
) -> Cluster:
    """A cluster's index, held as the options say. Raises ModelMismatchError before anything is served."""
    opened = Cluster(
        place,
        replicas=options.replicas,
        address=options.address,
        model=model,
        partial=options.partial,
        poll=poll,
    )
    try:
        opened.model  # noqa: B018  # checks that it is the index's
    except BaseException:
        opened.close()
        raise
    return opened
