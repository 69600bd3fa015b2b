"""The flags of a search, which several commands have."""

from __future__ import annotations

import argparse

from femtosearch.cli.database_arguments import add_where
from femtosearch.cli.values import number, offering, quota, whole


def add_search_flags(command: argparse.ArgumentParser) -> None:
    """Add the flags of a search to a command."""
    modes = "auto (the default), maxsim, rerank or fde"
    mode = command.add_argument("--mode", default="auto", metavar="MODE", help=f"how to search: {modes}")
    offering(mode, "auto", "maxsim", "rerank", "fde")
    description = (
        "passages that rerank scores (default: as for --recall 0.99 where the FDE is calibrated, else 100)"
    )
    depth = command.add_mutually_exclusive_group()
    depth.add_argument("--candidates", type=whole(1), metavar="N", help=description)
    description = (
        "as many candidates as find this share of the ten best, such as 0.99; needs a calibrated FDE"
    )
    depth.add_argument("--recall", type=number, metavar="R", help=description)
    add_where(command)
    description = "how much words count: 0 is MaxSim alone, 1 BM25 alone (default: 0.37 in the mode auto)"
    command.add_argument("--hybrid", type=number, metavar="W", help=description)
    description = "how much is taken off for the chance that long documents have (default: 0.15)"
    command.add_argument("--length-penalty", type=number, metavar="C", help=description)
    command.add_argument("--explain", action="store_true", help="say why each hit is a hit")
    command.add_argument("--min-score", type=number, metavar="S", help="leave out hits of a lower score")
    description = "at most N hits of one source, or of one value of a field: FIELD=N"
    command.add_argument("--per", type=quota, metavar="N", help=description)
