"""The arguments of commands that hold the shards of a cluster's index."""

from __future__ import annotations

import argparse

from femtosearch.cli.values import whole


def add_address(command: argparse._ActionsContainer) -> None:
    """Where shards are built or held."""
    description = (
        "of the Ray cluster: HOST:PORT, or auto for the one that runs here (default: a new one on this "
        "machine); here is this process, without Ray"
    )
    command.add_argument("--address", metavar="ADDRESS", help=description)


def add_holding(command: argparse._ActionsContainer) -> None:
    """Where shards are held, how often, and what an answer without one of them is."""
    add_address(command)
    description = "copies of each shard, on different nodes where there are enough (default: 1)"
    command.add_argument("--replicas", type=whole(1, 100), default=1, metavar="R", help=description)
    description = "where no copy of a shard answers give the hits of the others, and say which are missing"
    command.add_argument("--partial", action="store_true", help=description)


def add_polling(command: argparse._ActionsContainer) -> None:
    """How often a new build is looked for."""
    description = (
        "seconds between two looks for a new build, which is then served (default: 5; 0 never looks)"
    )
    command.add_argument("--poll", type=whole(0, 86_400), default=5, metavar="SECONDS", help=description)
