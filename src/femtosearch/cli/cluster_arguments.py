"""The arguments of `cluster`: build, serve and search an index past one machine."""

from __future__ import annotations

import argparse
from typing import Any

from femtosearch.cli.holding_arguments import add_address, add_holding, add_polling
from femtosearch.cli.indexing_arguments import FDES, add_reading
from femtosearch.cli.mixed import MixedParser
from femtosearch.cli.search_arguments import add_search_flags
from femtosearch.cli.serving_arguments import add_answering, add_listening
from femtosearch.cli.values import offering, whole

CLUSTER = "cluster"


def add_cluster(commands: Any, command_of: Any) -> None:
    """Add the commands.

    command_of:  makes a command with the flags that every command has.
    """
    description = "an index of several shards, on the nodes of a Ray cluster (needs the extra [cluster])"
    cluster = commands.add_parser(CLUSTER, help=description, description=f"A{description[1:]}.")
    actions = cluster.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=MixedParser)
    _add_build(command_of(actions, "build", "encode files into shards"))
    _add_serve(command_of(actions, "serve", "hold shards, and answer searches over HTTP", json=False))
    _add_search(command_of(actions, "search", "hold shards, and search them"))


def _add_build(command: argparse.ArgumentParser) -> None:
    description = "files, folders, and URLs such as s3://BUCKET/FOLDER, which all nodes reach"
    command.add_argument("source", metavar="SOURCE", nargs="+", help=description)
    command.add_argument("out", metavar="OUT", help="a folder that all nodes see, or a URL")
    command.add_argument("--shards", type=whole(1, 10_000), required=True, metavar="N", help="how many")
    add_address(command)
    description = "a folder that all nodes see, a built-in model's name, or OWNER/NAME (default: built-in)"
    command.add_argument("--model", metavar="MODEL", help=description)
    description = "what the model computes in: float32 (the default), or int8, which is faster"
    command.add_argument("--precision", choices=("float32", "int8"), default="float32", help=description)
    names = "auto (the model's own), muvera, txtai or fastembed, or none"
    description = f"the FDE of the passages: {names}"
    fde = command.add_argument("--fde", default="auto", metavar="NAME", help=description)
    offering(fde, *FDES)
    description = "with which a task encodes a shard (default: 1)"
    command.add_argument("--threads", type=whole(1, 1024), default=1, metavar="N", help=description)
    add_reading(command)


def _add_serve(command: argparse.ArgumentParser) -> None:
    _add_held(command)
    add_listening(command, 8765)
    add_answering(command)
    add_polling(command)


def _add_search(command: argparse.ArgumentParser) -> None:
    _add_held(command)
    command.add_argument("query", metavar="QUERY", help="the query, or - for one a line on standard input")
    command.add_argument("--text", action="store_true", help="with --json the whole text, not the passage")
    add_search_flags(command)
    command.add_argument("-k", type=whole(1), default=10, metavar="N", help="hits to show (default: 10)")


def _add_held(command: argparse.ArgumentParser) -> None:
    command.add_argument("out", metavar="OUT", help="what `cluster build` made: a folder or a URL")
    add_holding(command)
    command.add_argument("--model", metavar="MODEL", help="the index's, if it is not built in")
