"""The arguments of the commands that read the documents of an index, and change, copy, import and
check them.
"""

from __future__ import annotations

import argparse
from typing import Any

from femtosearch.cli.values import text, whole

DATABASE = ("delete", "get", "facets", "update", "snapshot", "import", "check")
FUNCTIONS = {"import": "import_documents"}  # of commands whose names are Python's own


def add_database(commands: Any, command_of: Any) -> None:
    """Add the commands.

    command_of:  makes a command with the flags that every command has.
    """
    _add_delete(command_of(commands, "delete", "take documents out of an index"))
    _add_get(command_of(commands, "get", "print documents of an index"))
    _add_facets(command_of(commands, "facets", "count the values of a field"))
    _add_update(command_of(commands, "update", "change the metadata of documents"))
    _add_snapshot(command_of(commands, "snapshot", "copy an index as of one moment, while others write"))
    _add_import(command_of(commands, "import", "add what an index, Chroma, txtai or LanceDB has"))
    _add_check(command_of(commands, "check", "look for damage: read every checksum of an index"))


def add_where(command: argparse.ArgumentParser) -> None:
    """Add the flag of a filter."""
    description = "only documents whose metadata pass, such as 'year >= 2020 and lang = \"en\"'"
    command.add_argument("--where", metavar="FILTER", help=description)


def _add_delete(command: argparse.ArgumentParser) -> None:
    command.add_argument("folder", metavar="FOLDER", help="the index")
    command.add_argument("id", type=text, metavar="ID", nargs="*", help="ids of documents")
    add_where(command)


def _add_get(command: argparse.ArgumentParser) -> None:
    command.add_argument("folder", metavar="FOLDER", help="the index")
    command.add_argument("id", type=text, metavar="ID", nargs="*", help="ids of documents (default: all)")
    add_where(command)


def _add_facets(command: argparse.ArgumentParser) -> None:
    command.add_argument("folder", metavar="FOLDER", help="the index")
    command.add_argument("field", type=text, metavar="FIELD", help="a key of the metadata, or a.b")
    command.add_argument("-n", type=whole(1), metavar="N", help="the N commonest values (default: all)")
    add_where(command)


def _add_update(command: argparse.ArgumentParser) -> None:
    command.add_argument("folder", metavar="FOLDER", help="the index")
    command.add_argument("metadata", metavar="JSON", help='the keys to set: {"year": 2024}')
    command.add_argument("id", type=text, metavar="ID", nargs="+", help="ids of documents")
    command.add_argument("--replace", action="store_true", help="drop the keys that are not named")


def _add_snapshot(command: argparse.ArgumentParser) -> None:
    command.add_argument("folder", metavar="FOLDER", help="the index")
    command.add_argument("target", metavar="DEST", help="a new or empty folder")


def _add_import(command: argparse.ArgumentParser) -> None:
    command.add_argument("folder", metavar="FOLDER", help="the index, made if there is none")
    description = "a file that `femtosearch export` wrote, or a folder of Chroma, txtai or LanceDB"
    command.add_argument("source", metavar="SOURCE", help=description)
    command.add_argument("--collection", metavar="NAME", help="which, where a folder has several")
    command.add_argument("--model", metavar="MODEL", help="of a new index: a folder, a built-in model's name")


def _add_check(command: argparse.ArgumentParser) -> None:
    command.add_argument("folder", metavar="FOLDER", help="the index")
    command.add_argument("--repair", action="store_true", help="mend what can be mended from the texts")
    command.add_argument("--model", metavar="MODEL", help="the index's, if it is not built in")
