"""Writes the manual page from the command line's help: python -m scripts.manual; --check only compares."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from femtosearch.cli.arguments import DESCRIPTION, EPILOG, parser
from femtosearch.cli.outline import Argument, Command, commands_of

PAGE = Path(__file__).parent.parent / "packaging" / "femtosearch.1"
SHARED = ("--help", "--json", "--quiet", "--debug")
FILES = (
    "The indexes that need no name: $XDG_DATA_HOME/femtosearch (~/.local/share, or the system's own place)."
)


def page() -> str:
    """The page, in the macros of man(7)."""
    return "\n".join(lines()) + "\n"


def lines() -> Iterator[str]:
    yield '.TH FEMTOSEARCH 1 "" "femtosearch" "User Commands"'
    yield from (".SH NAME", r"femtosearch \- late\-interaction search with a one\-megabyte model")
    yield from (".SH SYNOPSIS", ".B femtosearch", escaped('"QUESTION" [PATH...]'), ".br", ".B femtosearch")
    yield from (escaped("COMMAND [ARGUMENTS]"), ".SH DESCRIPTION", escaped(DESCRIPTION.replace("`", "")))
    yield from (".SH COMMANDS", *(line for command in commands_of(parser()) for line in of_command(command)))
    yield from (".SH EXIT STATUS", escaped(EPILOG.removeprefix("exit codes: ")), ".SH FILES", escaped(FILES))


def of_command(command: Command) -> Iterator[str]:
    """A command: what it does, how it is written, what its arguments mean; or each of its actions."""
    if command.actions:
        for action in command.actions:
            yield from of_command(action)
        return
    places = [argument for argument in command.arguments if not argument.flags]
    written = " ".join(f"{place.metavar}{'...' if place.repeats else ''}" for place in places)
    yield from (f".SS {escaped(f'{command.name} {written}'.strip())}", escaped(sentence(command.help)))
    for argument in command.arguments:
        if not set(argument.flags) & set(SHARED):
            yield from (".TP", heading(argument), escaped(sentence(argument.help)))


def heading(argument: Argument) -> str:
    """How an argument is written: flags in bold, its value after them."""
    flags = ", ".join(rf"\fB{escaped(flag)}\fR" for flag in argument.flags)
    return " ".join(
        part for part in (flags, rf"\fI{escaped(argument.metavar)}\fR" * bool(argument.metavar)) if part
    )


def sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def escaped(text: str) -> str:
    """Text without what roff would read as its own."""
    text = text.replace("\\", r"\e").replace("-", r"\-").replace("`", "")
    return rf"\&{text}" if text.startswith((".", "'")) else text


def main() -> int:
    made = page()
    if "--check" in sys.argv:
        same = PAGE.exists() and PAGE.read_text(encoding="utf-8") == made
        print(
            f"{PAGE.name}: {'as the help says' if same else 'not as the help says: python -m scripts.manual'}"
        )
        return 0 if same else 1
    PAGE.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
