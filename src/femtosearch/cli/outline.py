"""The outline of the command line, read from its parser, for completion in shells and for the manual page."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from femtosearch.frozen import frozen


@frozen
class Argument:
    """A flag, or a place on the command line.

    flags:    its spellings, none for a place.
    metavar:  what stands for its value; "" where it takes none.
    choices:  the values that it may have, where they are few.
    """

    flags: tuple[str, ...]
    metavar: str
    help: str
    choices: tuple[str, ...] = ()
    repeats: bool = False


@frozen
class Command:
    """A command and its arguments.

    actions:  commands of its own, such as `cluster build`; their flags are among its arguments, too.
    """

    name: str
    help: str
    arguments: tuple[Argument, ...]
    actions: tuple[Command, ...] = ()


def commands_of(parsing: argparse.ArgumentParser) -> Iterator[Command]:
    """The commands of a parser, in the order of its help."""
    for action in parsing._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, command in action.choices.items():
                yield _command(name, helps.get(name, ""), command)


def _command(name: str, help: str, parsing: argparse.ArgumentParser) -> Command:
    arguments = tuple(_arguments(parsing))
    actions = tuple(replace(action, name=f"{name} {action.name}") for action in commands_of(parsing))
    spellings = {argument.flags for argument in arguments}
    flags = {
        argument.flags: argument for action in actions for argument in action.arguments if argument.flags
    }
    return Command(
        name, help, (*arguments, *(flags[names] for names in flags if names not in spellings)), actions
    )


def _arguments(command: argparse.ArgumentParser) -> Iterator[Argument]:
    for action in command._actions:
        if action.help == argparse.SUPPRESS:
            continue
        choices = tuple(map(str, action.choices or vars(action).get("offered", ())))
        repeats = action.nargs in ("*", "+") or isinstance(action, argparse._AppendAction)
        yield Argument(tuple(action.option_strings), _metavar(action), _help(action), choices, repeats)


def _metavar(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    if action.choices:
        return "|".join(map(str, action.choices))
    metavar: Any = action.metavar or action.dest.upper()
    return " ".join(metavar) if isinstance(metavar, tuple) else str(metavar)


def _help(action: argparse.Action) -> str:
    return " ".join(
        (action.help or "").replace("%(default)s", str(action.default)).replace("%%", "%").split()
    )
