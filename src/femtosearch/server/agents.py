"""The configuration files of coding agents: `install` adds our tools to them, and removes them again.

Everything else in a file stays as it is. A file that is not plain JSON or TOML is left alone.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from femtosearch.disk import write_whole
from femtosearch.errors import FemtosearchError
from femtosearch.read.records import SURROGATE

MOST_BYTES = 64 << 20  # of a configuration file
MARK = "\ufeff"  # the byte order mark, which some editors put before a file's text


@dataclass(frozen=True, slots=True)
class Agent:
    """Where an agent keeps its configuration, and in which shape.

    home:     the file in the user's home folder; None where there is none.
    project:  the file in a project's folder; None where there is none.
    keys:     the keys that lead to the servers, by name.
    form:     "plain": command and args; "typed": the same with a type; "list": one list of all words.
    """

    name: str
    home: str | None
    project: str | None
    keys: tuple[str, ...] = ("mcpServers",)
    form: str = "plain"

    def path(self, home: Path, project: Path | None) -> Path | None:
        """The configuration file of the user, or of a project; None if the agent has no such file."""
        if project is not None:
            return None if self.project is None else project / self.project
        return None if self.home is None else home / self.home

    def entry(self, command: Sequence[str]) -> dict[str, Any]:
        """The entry of a server that a command starts, in the agent's form."""
        if self.form == "list":
            return {"type": "local", "command": list(command), "enabled": True}
        entry: dict[str, Any] = {"command": command[0], "args": list(command[1:])}
        return {"type": "stdio", **entry} if self.form == "typed" else entry


_CONFIG = {"darwin": "Library/Application Support", "win32": "AppData/Roaming"}.get(sys.platform, ".config")
AGENTS = {
    agent.name: agent
    for agent in (
        Agent("claude", ".claude.json", ".mcp.json", form="typed"),
        Agent("claude-desktop", f"{_CONFIG}/Claude/claude_desktop_config.json", None),
        Agent("codex", ".codex/config.toml", None, ("mcp_servers",)),
        Agent("cursor", ".cursor/mcp.json", ".cursor/mcp.json"),
        Agent("gemini", ".gemini/settings.json", ".gemini/settings.json"),
        Agent("opencode", ".config/opencode/opencode.json", "opencode.json", ("mcp",), "list"),
        Agent("vscode", f"{_CONFIG}/Code/User/mcp.json", ".vscode/mcp.json", ("servers",), "typed"),
        Agent("windsurf", ".codeium/windsurf/mcp_config.json", None),
    )
}


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of a file: its text before and after. before: None if there is no file."""

    agent: str
    path: Path
    before: str | None
    after: str

    @property
    def changes(self) -> bool:
        """Whether the file would change."""
        return self.before != self.after and not (self.before is None and not self.after)

    def lines(self) -> list[str]:
        """The difference, as `diff -u` shows it."""
        names = (os.fspath(self.path), os.fspath(self.path))
        before = [] if self.before is None else self.before.splitlines()
        return list(difflib.unified_diff(before, self.after.splitlines(), *names, lineterm="", n=2))

    def write(self) -> None:
        """Write the file, whole or not at all; its mode stays. Raises FemtosearchError if it changed
        meanwhile.
        """
        if _read(self.path) != self.before:
            raise FemtosearchError(f"{self.path}: somebody changed it meanwhile: try again")
        target = self.path.resolve()  # a link to a file elsewhere stays one
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, self.after.encode())


def present(home: Path, project: Path | None) -> list[Agent]:
    """The agents that seem to be in use: those whose configuration file, or its folder, exists."""
    used = []
    for agent in AGENTS.values():
        path = agent.path(home, project)
        own_folder = path is not None and path.parent not in (home, project)
        if path is not None and (path.exists() or (own_folder and path.parent.is_dir())):
            used.append(agent)
    return used


def installing(agent: Agent, path: Path, name: str, command: Sequence[str]) -> Edit:
    """The edit that adds a server to an agent's file. Raises FemtosearchError if it cannot be edited."""
    before = _read(path)
    return Edit(
        agent.name, path, before, _like(before, _with_entry(agent, path, _plain(before), name, command))
    )


def undoing(agent: Agent, path: Path, name: str) -> Edit:
    """The edit that removes a server from an agent's file. Raises FemtosearchError if it cannot be edited."""
    before = _read(path)
    return Edit(agent.name, path, before, _like(before, _without_entry(agent, path, _plain(before), name)))


def _plain(text: str | None) -> str:
    """A file's text without a byte order mark and with \\n as the end of lines; "" if there is no file."""
    return (text or "").removeprefix(MARK).replace("\r\n", "\n")


def _like(before: str | None, edited: str) -> str:
    """The edited text with the byte order mark and the ends of lines of the file before."""
    if before is None or edited == _plain(before):
        return before or edited
    mark = MARK if before.startswith(MARK) else ""
    return mark + (edited.replace("\n", "\r\n") if "\r\n" in before else edited)


def _with_entry(agent: Agent, path: Path, text: str, name: str, command: Sequence[str]) -> str:
    """A configuration with the server's entry."""
    if path.suffix == ".toml":
        return _with_table(text, path, agent.keys[0], name, command)
    content = _parsed(text, path)
    servers = content
    for key in agent.keys:
        servers = servers.setdefault(key, {})
        if not isinstance(servers, dict):
            raise FemtosearchError(f"{path}: {key}: expected an object, found another value: mend it first")
    servers[name] = agent.entry(command)
    return _written(content, text)


def _without_entry(agent: Agent, path: Path, text: str, name: str) -> str:
    """A configuration without the server's entry."""
    if path.suffix == ".toml":
        return _without_table(text, path, agent.keys[0], name)
    content = _parsed(text, path)
    levels: list[dict[str, Any]] = [content]
    for key in agent.keys:
        deeper = levels[-1].get(key)
        if not isinstance(deeper, dict):
            return text
        levels.append(deeper)
    if levels[-1].pop(name, None) is None:
        return text
    for level, key in zip(reversed(levels[:-1]), reversed(agent.keys), strict=True):
        if not level[key]:
            del level[key]
    return _written(content, text)


def _read(path: Path) -> str | None:
    """A file's text, None where there is none. Raises FemtosearchError."""
    try:
        if path.exists() and not path.is_file():
            raise FemtosearchError(f"{path}: expected a file, found something else: move it away")
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise FemtosearchError(f"{path}: more than {MOST_BYTES} bytes is no configuration: move it away")
        return content.decode()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise FemtosearchError(f"{path}: cannot be read: {error}") from None


def _parsed(text: str, path: Path) -> dict[str, Any]:
    try:
        content = json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError) as error:
        raise FemtosearchError(
            f"{path}: not plain JSON ({error}), perhaps it has comments: add what --dry-run of another agent "
            "shows by hand"
        ) from None
    if not isinstance(content, dict):
        raise FemtosearchError(f"{path}: expected an object, found {type(content).__name__}")
    return content


def _written(content: dict[str, Any], before: str) -> str:
    """Write JSON as the file had it: with its indentation or on one line, in ASCII if it was. Halves of
    surrogate pairs stay escapes.
    """
    indented = re.search(r"\n([ \t]+)\S", before)
    indent: str | int | None = indented[1] if indented else 2
    if len(before.strip()) > len("{}") and "\n" not in before.strip():
        indent = None
    separators = (",", ":") if indent is None and '": ' not in before else None
    layout: dict[str, Any] = {"indent": indent, "separators": separators}
    text = json.dumps(content, ensure_ascii=False, **layout) + "\n"
    if (before and before.isascii()) or SURROGATE.search(text):
        return json.dumps(content, **layout) + "\n"
    return text


def _with_table(text: str, path: Path, parent: str, name: str, command: Sequence[str]) -> str:
    """TOML with the server's table at its end; a table of that name elsewhere is removed."""
    without = _without_table(text, path, parent, name)
    words = ", ".join(map(_quoted, command[1:]))
    table = f"[{parent}.{name}]\ncommand = {_quoted(command[0])}\nargs = [{words}]\n"
    edited = f"{without.rstrip()}\n\n{table}" if without.strip() else table
    expected = _toml(without, path)
    expected.setdefault(parent, {})[name] = {"command": command[0], "args": list(command[1:])}
    return _checked(edited, expected, path)


def _without_table(text: str, path: Path, parent: str, name: str) -> str:
    """TOML without the server's table."""
    content = _toml(text, path)
    if name not in content.get(parent, {}):
        return text
    header = re.compile(rf"^\[{re.escape(parent)}\.{re.escape(name)}(\..*)?\]\s*$")
    lines, ours = [], False
    for line in text.splitlines(keepends=True):
        if line.lstrip().startswith("["):
            ours = header.match(line.strip()) is not None
        if not ours:
            lines.append(line)
    del content[parent][name]
    if not content[parent]:
        del content[parent]
    without = "".join(lines).rstrip()
    return _checked(f"{without}\n" if without else "", content, path)


def _toml(text: str, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FemtosearchError(f"{path}: expected TOML: {error}: mend it first") from None


def _checked(edited: str, expected: dict[str, Any], path: Path) -> str:
    """The edited text, after checking that it parses to the expected content: TOML can write a table in ways
    that editing by lines does not see. Raises FemtosearchError.
    """
    try:
        right = tomllib.loads(edited) == expected
    except tomllib.TOMLDecodeError:
        right = False
    if not right:
        raise FemtosearchError(f"{path}: its tables are written in a way that is not edited: edit it by hand")
    return edited


def _quoted(text: str) -> str:
    """A TOML string: JSON's escapes are TOML's, too."""
    return json.dumps(text)
