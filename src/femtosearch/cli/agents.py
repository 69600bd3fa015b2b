"""`femtosearch install`: shows the change of an agent's configuration, then writes it; --undo takes
it back.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
from pathlib import Path

from femtosearch.cli.output import write_json, write_line, write_note
from femtosearch.errors import FemtosearchError
from femtosearch.index.stats import describe
from femtosearch.index.store import holds_index
from femtosearch.server.agents import AGENTS, Agent, Edit, installing, present, undoing


def install(options: argparse.Namespace) -> int:
    """Add the tools of `femtosearch mcp` to agents' configurations, or remove them. Returns the exit code."""
    home, project = Path.home(), None if options.project is None else Path(options.project)
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", options.name):
        raise FemtosearchError(f"--name: expected letters, digits, - and _, found {options.name!r}")
    agents = _chosen(options.agent, home, project)
    command = [] if options.undo else _command(options)
    edits, faults = [], 0
    for agent in agents:
        try:
            edits.append(_edit(agent, home, project, command, options))
        except FemtosearchError as error:
            if options.agent:
                raise
            write_note(f"left alone: {error}")
            faults += 1
    changing = [edit for edit in edits if edit.changes]
    _show(edits, options)
    if options.dry_run or not changing:
        return min(faults, 1)
    if not _agreed(options):
        return 1
    faults += sum(not _is_written(edit, options) for edit in changing)
    return min(faults, 1)


def _is_written(edit: Edit, options: argparse.Namespace) -> bool:
    """Write an edit; returns whether it was written. If that fails and no agent was named, a note says why;
    if one was named, raises FemtosearchError, OSError.
    """
    try:
        edit.write()
    except (FemtosearchError, OSError) as error:
        if options.agent:
            raise
        write_note(f"left alone: {error}")
        return False
    if not options.quiet:
        write_note(f"wrote {edit.path}")
    return True


def _edit(
    agent: Agent, home: Path, project: Path | None, command: list[str], options: argparse.Namespace
) -> Edit:
    path = agent.path(home, project)
    assert path is not None
    if options.undo:
        return undoing(agent, path, options.name)
    return installing(agent, path, options.name, command)


def _chosen(names: list[str], home: Path, project: Path | None) -> list[Agent]:
    """The agents that are named, else those that seem to be in use. Raises FemtosearchError."""
    expected = ", ".join(name for name, agent in AGENTS.items() if agent.path(home, project) is not None)
    agents = [AGENTS.get(name) for name in names] if names else [*present(home, project)]
    for name, agent in zip(names, agents, strict=False):
        if agent is None or agent.path(home, project) is None:
            where = "has no configuration in a project" if agent else "is not known"
            raise FemtosearchError(f"the agent {name!r} {where}: expected one of {expected}")
    if not agents:
        raise FemtosearchError(f"no agent's configuration is here: name one of {expected}")
    return [agent for agent in agents if agent is not None]


def _command(options: argparse.Namespace) -> list[str]:
    """The command that an agent runs, with absolute paths, since it may start anywhere. Raises StoreError."""
    if not options.index:
        raise FemtosearchError("--index: expected an index, or files, for the agents, found none: name one")
    script = shutil.which("femtosearch", path=os.path.dirname(sys.executable))
    program = [script] if script else [sys.executable, "-m", "femtosearch"]
    folders = []
    for folder in options.index:
        if options.writable or not os.path.exists(folder) or holds_index(folder):
            describe(folder)
        folders.append(os.path.abspath(folder))
    return [*program, "mcp", *folders, *(["--writable"] if options.writable else [])]


def _show(edits: list[Edit], options: argparse.Namespace) -> None:
    for edit in edits:
        if options.json:
            difference = edit.lines() if edit.changes else []
            write_json({"agent": edit.agent, "file": os.fspath(edit.path), "difference": difference})
        elif edit.changes:
            for line in edit.lines():
                write_line(line)
        elif not options.quiet:
            write_note(f"{edit.path}: nothing to change")


def _agreed(options: argparse.Namespace) -> bool:
    """Whether the user agrees to write: by --yes, or by an answer on the terminal. Raises
    FemtosearchError.
    """
    if options.yes:
        return True
    if not sys.stdin.isatty():
        raise FemtosearchError("nothing is written: say --yes, or run this on a terminal, where it asks")
    print("write this? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
