"""The arguments of the commands that serve indexes to others."""

from __future__ import annotations

import argparse
from typing import Any

from femtosearch.cli.holding_arguments import add_holding, add_polling
from femtosearch.cli.values import offering, whole

SERVING = ("serve", "mcp")
AGENTS = ("claude", "claude-desktop", "codex", "cursor", "gemini", "opencode", "vscode", "windsurf")


def add_serving(commands: Any, command_of: Any, add_model: Any) -> None:
    """Add the commands.

    command_of:  makes a command with the flags that every command has.
    add_model:   adds the flags of how a model is read.
    """
    serve = command_of(commands, "serve", "answer searches over HTTP (needs the extra [server])", json=False)
    _add_serve(serve)
    add_model(serve)
    mcp = command_of(commands, "mcp", "offer indexes to agents over MCP (needs the extra [mcp])", json=False)
    _add_mcp(mcp)
    add_model(mcp)
    _add_install(command_of(commands, "install", "give coding agents the tools of `femtosearch mcp`"))


def _add_install(command: argparse.ArgumentParser) -> None:
    names = f"{', '.join(AGENTS[:-1])} or {AGENTS[-1]}"
    description = f"{names} (default: those that are here)"
    agent = command.add_argument("agent", metavar="AGENT", nargs="*", help=description)
    offering(agent, *AGENTS)
    command.add_argument(
        "--index", action="append", metavar="FOLDER", help="an index for them; may be repeated"
    )
    command.add_argument("--name", default="femtosearch", help="what they call it (default: femtosearch)")
    command.add_argument("--project", metavar="FOLDER", help="a project's configuration, not the user's")
    command.add_argument("--writable", action="store_true", help="let agents add and delete documents")
    command.add_argument("--undo", action="store_true", help="take it out again")
    command.add_argument("--dry-run", action="store_true", help="show what would be written")
    command.add_argument("--yes", action="store_true", help="write without asking")


def _add_mcp(command: argparse.ArgumentParser) -> None:
    description = "indexes, or files and folders, which get one by themselves; or NAME=PATH (default: here)"
    command.add_argument("index", metavar="PATH", nargs="*", help=description)
    command.add_argument("--writable", action="store_true", help="let agents add and delete documents")
    description = "over HTTP, at /mcp, in place of standard input and output"
    command.add_argument("--http", action="store_true", help=description)
    add_listening(command, 8766)


def _add_serve(command: argparse.ArgumentParser) -> None:
    description = "folders of indexes, what `cluster build` made (folders or URLs), or NAME=FOLDER"
    command.add_argument("index", metavar="INDEX", nargs="*", help=description)
    command.add_argument("--writable", action="store_true", help="let documents be added and deleted")
    add_listening(command, 8765)
    add_answering(command)
    shards = command.add_argument_group("of clusters' indexes")
    add_holding(shards)
    add_polling(shards)


def add_answering(command: argparse.ArgumentParser) -> None:
    """Add the flags for the limits of a server, and for its log."""
    description = "bytes of a request's body, at most (default: 16 MiB)"
    command.add_argument("--max-body", type=whole(1024), default=16 << 20, metavar="BYTES", help=description)
    description = "seconds for a body to come, and for an answer (default: 30)"
    command.add_argument("--timeout", type=whole(1, 86_400), default=30, metavar="SECONDS", help=description)
    description = "requests that may wait; beyond them the answer is 429 (default: 64)"
    command.add_argument("--queue", type=whole(0, 100_000), default=64, metavar="N", help=description)
    command.add_argument(
        "--threads",
        type=whole(0, 1024),
        default=0,
        metavar="N",
        help="requests at a time (default: all cores)",
    )
    forms = ("text", "json")
    command.add_argument("--log", choices=forms, default="text", help="a request a line on standard error")


def add_listening(command: argparse.ArgumentParser, port: int) -> None:
    """Add the flags for where a server listens, and who may call."""
    command.add_argument("--host", default="127.0.0.1", help="where to listen (default: this machine only)")
    command.add_argument(
        "--port", type=whole(0, 65535), default=port, metavar="N", help=f"0 is any free one (default: {port})"
    )
    description = "who reads needs this key; may be said again (default: $FEMTOSEARCH_API_KEY)"
    command.add_argument("--api-key", action="append", metavar="KEY", help=description)
    description = "who writes needs this key; it reads, too (default: $FEMTOSEARCH_WRITE_KEY)"
    command.add_argument("--write-key", action="append", metavar="KEY", help=description)
    description = "a name, beside localhost and IP addresses, by which clients call"
    command.add_argument("--allow-host", action="append", default=[], metavar="NAME", help=description)
    description = "a site, such as https://example.com, whose pages may call"
    command.add_argument("--allow-origin", action="append", default=[], metavar="ORIGIN", help=description)
