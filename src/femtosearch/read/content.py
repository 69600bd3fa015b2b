"""A file's content as a kind of file wants it: text, lines, or bytes in which one can go to and fro."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable, Iterator
from typing import IO, Any

from femtosearch.read.encodings import POINTED, SNIFFED, NotTextError, encoding_of, is_pointer
from femtosearch.read.entries import Options
from femtosearch.read.lines import TooLongError, limited_lines, read_all
from femtosearch.read.paths import STDIN
from femtosearch.read.records import SURROGATE
from femtosearch.read.walk import File

Tell = Callable[[int | None, str, str], None]

MOST_UNZIPPED = 1 << 30  # bytes of a file of a binary kind
_MEMORY = 1 << 24  # bytes of it that are held in memory


class Content:
    """What is in an open file.

    tell:  called with a line's number, or None for the file, what was changed in it, and, for who wants
           nothing changed, what was expected.
    """

    def __init__(self, file: File, options: Options, raw: Any, tell: Tell) -> None:
        self.file, self.options = file, options
        self._raw, self._tell = raw, tell
        self._zipped = file.path.lower().endswith(".gz")
        self._stack = contextlib.ExitStack()

    def close(self) -> None:
        self._stack.close()

    def text(self) -> str:
        """All of it, every kind of line end as "\\n"."""
        return self._clean(None, read_all(self._stream(None)))

    def lines(self, newline: str | None = "\n", *, guesses: bool = True) -> Iterator[str]:
        """Its lines with their ends.

        newline:  as `open` has it.
        guesses:  whether it may be in an encoding other than Unicode's.
        """
        numbered = enumerate(limited_lines(self._stream(newline, guesses)), 1)
        return (self._clean(number, line) for number, line in numbered)

    def binary(self) -> IO[bytes]:
        """Its bytes, in which one can go to and fro.

        Raises TooLongError beyond a gigabyte, NotTextError for a pointer to a file that is somewhere else.
        """
        file = self._binary()
        head = file.read(POINTED)
        file.seek(0)
        if is_pointer(head):
            raise NotTextError("expected a file, found a Git LFS pointer to it: get it with `git lfs pull`")
        return file

    def _binary(self) -> IO[bytes]:
        import tempfile

        if not self._zipped and self.file.size is not None:
            if self.file.size > MOST_UNZIPPED:
                raise TooLongError(
                    f"expected a file of at most {MOST_UNZIPPED:,} bytes, found {self.file.size:,}: cut it "
                    "in pieces"
                )
            return self._raw  # type: ignore[no-any-return]
        copy = tempfile.SpooledTemporaryFile(_MEMORY)  # noqa: SIM115
        self._stack.callback(copy.close)
        plain = self._plain()
        while block := plain.read(1 << 20):
            copy.write(block)
            if copy.tell() > MOST_UNZIPPED:
                raise TooLongError(
                    f"expected a file of at most {MOST_UNZIPPED:,} bytes, unzipped: cut it in pieces"
                )
        copy.seek(0)
        return copy

    def _plain(self) -> Any:
        import gzip

        if not self._zipped:
            return self._raw
        return self._stack.enter_context(io.BufferedReader(gzip.GzipFile(fileobj=self._raw), SNIFFED))

    def _stream(self, newline: str | None, guesses: bool = True) -> IO[str]:
        """The text, with lone surrogates for bytes that are not of its encoding, for `_clean` to see."""
        plain = self._plain()
        head = _peek(plain)
        chosen = self.options.encoding
        marked = encoding_of(head[:4] or b"") if head[:2] in (b"\xff\xfe", b"\xfe\xff") else None
        if chosen is None or marked is not None:
            encoding = encoding_of(head, is_whole=len(head) < SNIFFED, guesses=guesses)
            chosen = encoding.name
            if encoding.guess:
                self._tell(
                    None, f"taken for {encoding.guess}", f"expected text in UTF-8, found {encoding.guess}"
                )
        is_utf8 = chosen in ("utf-8", "utf-8-sig")
        errors = "surrogateescape" if is_utf8 else "replace"
        stream = io.TextIOWrapper(plain, "utf-8-sig" if is_utf8 else chosen, errors, newline)
        self._stack.callback(stream.detach)  # or it would close standard input when it goes
        return stream

    def _clean(self, line: int | None, text: str) -> str:
        """The text with U+FFFD in place of each byte that is not of its encoding, which is told."""
        if text.isascii() or not SURROGATE.search(text):
            return text
        clean, count = SURROGATE.subn("\ufffd", text)
        expected = f"expected text in UTF-8, found {count} bytes that are not"
        self._tell(line, f"{count} bytes that are not UTF-8 became \ufffd", expected)
        return clean


@contextlib.contextmanager
def opened(file: File, options: Options, tell: Tell, watch: Callable[[Any], None]) -> Iterator[Content]:
    """A file that is open for reading.

    watch:  called with the stream, whose place says how much was read.
    """
    with contextlib.ExitStack() as stack:
        raw: Any = sys.stdin.buffer
        if file.path != STDIN:
            raw = stack.enter_context(open(file.path, "rb", SNIFFED if file.size is None else -1))
            watch(raw)
        content = Content(file, options, raw, tell)
        stack.callback(content.close)
        yield content


def _peek(stream: Any) -> bytes:
    """The first bytes of a stream, which stay in it: of a pipe those that are there."""
    if stream.seekable():
        place = stream.tell()
        head: bytes = stream.read(SNIFFED)
        stream.seek(place)
        return head
    return bytes(stream.peek(SNIFFED))
