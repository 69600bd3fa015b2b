"""Bytes -> lines of text: of collections, of files that are trained on, and of standard input.

Text is UTF-8; a byte-order mark is left out. Who calls says what becomes of bytes that are not UTF-8.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from femtosearch.errors import ReadError
from femtosearch.index.documents import MOST_BYTES
from femtosearch.read.paths import STDIN

GZIP = b"\x1f\x8b"
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_MOST = MOST_BYTES  # characters of a line, or of a text: more than an index stores


class TooLongError(Exception):
    """A text or line is longer than an index stores."""


@contextlib.contextmanager
def text_stream(raw: Any, *, zipped: bool, errors: str, newline: str | None = None) -> Iterator[IO[str]]:
    """A binary stream as text, which is UTF-16 if it begins so. `raw` stays open, or as it is, at the end."""
    import gzip

    plain = io.BufferedReader(gzip.GzipFile(fileobj=raw)) if zipped else raw
    is_wide = plain.peek(2)[:2] in UTF_16
    encoding = "utf-16" if is_wide else "utf-8-sig"
    stream = io.TextIOWrapper(plain, encoding, "strict" if is_wide else errors, newline)
    try:
        yield stream
    finally:
        stream.detach()  # or it would close standard input when it goes


def read_all(stream: IO[str]) -> str:
    """All of a text. Raises TooLongError if it is longer than an index stores."""
    return _limited(stream.read(_MOST + 1))


def limited_lines(stream: IO[str]) -> Iterator[str]:
    """Lines with their ends. Raises TooLongError for one that is longer than an index stores."""
    while line := stream.readline(_MOST + 1):
        yield _limited(line)


def file_lines(path: str | os.PathLike[str]) -> Iterator[str]:
    """A file's lines without their ends: gzip by its first bytes, U+FFFD for what is not UTF-8.

    Raises ReadError if it cannot be read.
    """
    with _reading(os.fspath(path)), open(path, "rb") as raw:
        yield from _lines(raw, zipped=raw.peek(2)[:2] == GZIP)


def numbered_lines(place: str | Path, noun: str) -> Iterator[tuple[int, str]]:
    """Lines of a file, or of standard input for -, that are not blank, and their numbers from 1.

    noun:  what the lines are, which a person at a terminal is told.
    """
    lines = _stdin_lines(noun) if str(place) == STDIN else file_lines(place)
    yield from ((number, line) for number, line in enumerate(lines, 1) if line.strip())


def listed_paths(place: str | Path) -> list[str]:
    """The paths that a file lists, or standard input for -: one a line or, where there are NULs, as `find
    -print0` and `git ls-files -z` write them, one before each NUL. Bytes that are not UTF-8 stay a path's.

    Raises ReadError.
    """
    if str(place) == STDIN:
        if sys.stdin.isatty():
            print("reading paths from standard input, one a line; Ctrl-D ends", file=sys.stderr)
        with _reading("standard input"):
            content = sys.stdin.buffer.read()
    else:
        with _reading(os.fspath(place)), open(place, "rb") as raw:
            content = raw.read()
    content = content.removeprefix(b"\xef\xbb\xbf")
    if b"\0" in content:
        return [os.fsdecode(path) for path in content.split(b"\0") if path]
    lines = (line.rstrip(b"\r") for line in content.split(b"\n"))
    return [os.fsdecode(line) for line in lines if line.strip()]


def _stdin_lines(noun: str) -> Iterator[str]:
    if sys.stdin.isatty():
        print(f"reading {noun} from standard input, one a line; Ctrl-D ends", file=sys.stderr)
    with _reading("standard input"):
        yield from _lines(sys.stdin.buffer, zipped=False)


def _lines(raw: Any, *, zipped: bool) -> Iterator[str]:
    with text_stream(raw, zipped=zipped, errors="replace", newline="\n") as stream:
        for line in limited_lines(stream):
            yield line.rstrip("\r\n")


@contextlib.contextmanager
def _reading(place: str) -> Iterator[None]:
    try:
        yield
    except UnicodeError as error:
        raise ReadError(f"{place}: expected text in UTF-16, found bytes that are not ({error})") from error
    except TooLongError as error:
        raise ReadError(f"{place}: {error}") from error
    except (OSError, EOFError, zlib.error) as error:
        raise ReadError(f"{place}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _limited(text: str) -> str:
    if len(text) > _MOST:
        raise TooLongError(f"expected a text or line of at most {_MOST:,} characters: cut it in pieces")
    return text
