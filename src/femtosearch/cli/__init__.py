"""The command line: a user of the library like any other."""

from femtosearch.cli.arguments import main

__all__ = ["main"]
