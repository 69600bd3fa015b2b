"""The output of commands: results go to standard output, notes to standard error.

Names, ids and texts come from files that others made: a control character in them, which could move the
reader's cursor or give the terminal a command, is written as an escape.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TextIO

# Controls, line ends of Unicode, marks that turn the direction of writing, and halves of surrogate pairs.
_UNSAFE = "[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"


def harmless(text: str) -> str:
    """Replace each character that a terminal would obey by an escape such as \\x1b.

    >>> harmless("a\\x1b[2Jb")
    'a\\\\x1b[2Jb'
    """
    if text.isascii() and text.isprintable():
        return text
    return re.sub(_UNSAFE, lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def write_line(line: str, stream: TextIO | None = None) -> None:
    """Write a line to standard output, or to another stream."""
    print(harmless(line), file=stream or sys.stdout)


def write_note(line: str) -> None:
    """Write a line to standard error."""
    write_line(line, sys.stderr)


def write_json(value: Any) -> None:
    """Write a value as one line of JSON."""
    text = json.dumps(value, ensure_ascii=False)
    print(re.sub(_UNSAFE, lambda match: f"\\u{ord(match[0]):04x}", text))


def show_result(options: argparse.Namespace, line: str) -> None:
    """Write the result of a command to standard output, unless --quiet."""
    if not options.quiet:
        write_line(line)


def show_note(options: argparse.Namespace, line: str) -> None:
    """Write a note to standard error, unless --quiet."""
    if not options.quiet:
        write_note(line)


def show_notes(
    options: argparse.Namespace, label: str, notes: Sequence[str], most: int, advice: str = ""
) -> None:
    """Write the first notes of a kind, each after a label, and how many more there are, with advice."""
    for note in notes[:most]:
        show_note(options, f"{label}: {note}")
    if len(notes) > most:
        show_note(options, f"{label}: {len(notes) - most:,} more{'; ' if advice else ''}{advice}")


def set_encodings(*, json: bool) -> None:
    """Set the encodings of the standard streams: characters that one cannot encode become escapes, and JSON
    is UTF-8 everywhere.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            utf8 = json and stream is sys.stdout
            stream.reconfigure(encoding="utf-8" if utf8 else None, errors="backslashreplace")


def open_missing_streams() -> None:
    """Open substitutes for standard streams that were closed when the process started.

    Without them, the next file that is opened would get the number of a standard stream, and output to that
    stream would go into the file. Reading from a closed input and writing to a closed output fail, as they do
    in other programs; what is written to a closed standard error is lost.
    """
    if sys.stdin is None:
        sys.stdin = _null(os.O_WRONLY, "r")
    if sys.stdout is None:
        sys.stdout = _null(os.O_RDONLY, "w")
    if sys.stderr is None:
        sys.stderr = _null(os.O_WRONLY, "w")


def drop_output() -> None:
    """Discard what is still in the buffer of standard output, so that Python does not fail to flush it when
    it exits.
    """
    with suppress(OSError, ValueError, AttributeError), open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _null(flags: int, mode: str) -> Any:
    return os.fdopen(os.open(os.devnull, flags), mode, encoding="utf-8")
