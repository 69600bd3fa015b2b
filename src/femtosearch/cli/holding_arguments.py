"""The arguments of commands that hold the shards of a cluster's index."""

from __future__ import annotations

import argparse

from femtosearch.cli.values import whole


def add_address(command: argparse._ActionsContainer) -> None:
    """Add the flag for the Ray cluster on which shards are built or held."""
    description = (
        "of the Ray cluster: HOST:PORT, or auto for the one that runs here (default: a new one on this "
        "machine); here is this process, without Ray"
    )
    command.add_argument("--address", metavar="ADDRESS", help=description)


def add_holding(command: argparse._ActionsContainer) -> None:
    """Add the flags for where shards are held, in how many copies, and what happens if one is missing."""
    add_address(command)
    description = "copies of each shard, on different nodes where there are enough (default: 1)"
    command.add_argument("--replicas", type=whole(1, 100), default=1, metavar="R", help=description)
    description = "where no copy of a shard answers give the hits of the others, and say which are missing"
    command.add_argument("--partial", action="store_true", help=description)


def add_polling(command: argparse._ActionsContainer) -> None:
    """Add the flag for how often to look for a new build."""
    description = (
        "seconds between two looks for a new build, which is then served (default: 5; 0 never looks)"
    )
    command.add_argument("--poll", type=whole(0, 86_400), default=5, metavar="SECONDS", help=description)
