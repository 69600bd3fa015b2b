"""The commands that serve indexes to others."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import os
import sys
from collections.abc import Callable, Collection
from typing import Any

from femtosearch.cli.opening import chosen_model
from femtosearch.cli.output import write_note
from femtosearch.cli.trees import Trees
from femtosearch.errors import missing_extra


def serve(options: argparse.Namespace) -> None:
    """Serve indexes over HTTP until a signal comes. The shards of a cluster's index are held as long."""
    indexes = server_module("indexes", "server")
    model = chosen_model(options)

    def open_cluster(place: str) -> Any:
        from femtosearch.cli.cluster import cluster_of  # which few need

        return cluster_of(options, place, model, poll=options.poll)

    chosen = bearing(options, writable=options.writable)
    opened = indexes.Indexes(options.index, model=model, writable=options.writable, open_cluster=open_cluster)
    serve_opened(options, opened, chosen)


def serve_opened(options: argparse.Namespace, opened: Any, settings: Any) -> None:
    """Serve indexes that are open, until a signal comes."""
    running = server_module("run", "server")
    running.log_to(sys.stderr, options.log)
    if options.quiet:
        running.hush()

    def started(address: str) -> None:
        names = ", ".join(opened.names()) or "no index, reranking and embeddings only"
        write_note(f"femtosearch: serving {names} on {address}")

    running.serve(opened, settings, started=started)


def mcp(options: argparse.Namespace) -> None:
    """Offer indexes to agents, over standard input and output or HTTP, until these end."""
    tools_of = server_module("mcp", "mcp")
    indexes = server_module("indexes", "mcp")

    trees = Trees(options.index or ["."], writable=options.writable)

    def opened() -> Any:
        return indexes.Indexes(trees.open(), model=chosen_model(options), writable=options.writable)

    tools = tools_of.Tools(opened, trees.refresh)
    server = tools_of.make_server(tools, writable=options.writable)
    try:
        if options.http:
            _serve_mcp(options, lambda origins: tools_of.http_app(server, origins))
        else:
            server.run("stdio")
    finally:
        tools.close()


def _serve_mcp(options: argparse.Namespace, app: Callable[[Collection[str]], Any]) -> None:
    """Serve the tools over HTTP. One key permits all of them; with --writable it must be one of
    --write-key.
    """
    running = server_module("run", "server")
    chosen = settings_of(options, writable=options.writable)
    if options.writable:
        chosen = dataclasses.replace(chosen, read_keys=chosen.write_keys)
    if options.quiet:
        running.hush()
    announce = lambda address: write_note(f"femtosearch: MCP on {address}/mcp")  # noqa: E731
    running.serve_app(app(chosen.origins), chosen, started=announce)


def bearing(options: argparse.Namespace, **more: Any) -> Any:
    """The settings of a server of indexes, by the options: where it listens, who may call, and its limits."""
    return settings_of(
        options,
        max_body=options.max_body,
        timeout=float(options.timeout),
        queue=options.queue,
        **({"threads": options.threads} if options.threads else {}),
        **more,
    )


def settings_of(options: argparse.Namespace, **more: Any) -> Any:
    """The settings of a server, by the options: where it listens, and who may call. Raises
    FemtosearchError.
    """
    settings = server_module("settings", "server")
    chosen = settings.Settings(
        host=options.host,
        port=options.port,
        read_keys=settings.key_digests(_keys(options.api_key, "FEMTOSEARCH_API_KEY")),
        write_keys=settings.key_digests(_keys(options.write_key, "FEMTOSEARCH_WRITE_KEY")),
        names=frozenset(map(str.lower, options.allow_host)),
        origins=frozenset(map(server_module("origins", "server").origin_of, options.allow_origin)),
        **more,
    )
    chosen.check()
    return chosen


def _keys(arguments: list[str] | None, variable: str) -> list[str]:
    """The keys on the command line, else that of an environment variable, which other users cannot see."""
    return arguments or [key for key in [os.environ.get(variable)] if key]


def server_module(module: str, extra: str = "server") -> Any:
    """Import a module of the server. Raises MissingExtraError, which names the extra."""
    try:
        return importlib.import_module(f"femtosearch.server.{module}")
    except ImportError as error:
        if (error.name or "").startswith("femtosearch"):
            raise
        raise missing_extra("this command", error.name, extra) from error
