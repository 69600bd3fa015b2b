"""CSV and TSV in the dialects that programs write: lines -> records, each with the number of its first line.

A row is read on its own: a quote that never closes, or closes in another row, costs its line and no other.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace

from femtosearch.frozen import frozen
from femtosearch.read.records import Record, names

DELIMITERS = (",", ";", "\t", "|")
_MOST_LINES = 100  # of a row, once a quote was met that never closes
_MOST_CHARACTERS = 1 << 28  # of a row
_SEPARATOR = re.compile(r"\s*\"?sep=(.)\"?\s*$", re.IGNORECASE)  # Excel's first line
_HEADER_LINES = 50  # that may come before the header row


@frozen
class Dialect:
    """How rows are written.

    quotes:       cells may be quoted.
    backslashes:  a quote inside a cell is written with a backslash, as MySQL does.
    blanks:       blanks may come after a delimiter, before the cell.
    blanks_after: blanks may come after the quote that closes a cell.
    """

    delimiter: str
    quotes: bool = True
    backslashes: bool = False
    blanks: bool = False
    blanks_after: bool = False

    def reader(self, lines: Iterator[str]) -> Iterator[list[str]]:
        """The rows of lines. Raises csv.Error for what is no row."""
        closed = re.compile(rf'(?<!")("(?:"")*)[ \t]+(?={re.escape(self.delimiter)}|[\r\n]*$)')
        return csv.reader(
            (closed.sub(r"\1", line) for line in lines) if self.blanks_after else lines,
            delimiter=self.delimiter,
            quoting=csv.QUOTE_MINIMAL if self.quotes else csv.QUOTE_NONE,
            doublequote=not self.backslashes,
            escapechar="\\" if self.backslashes else None,
            skipinitialspace=self.blanks,
            strict=True,
        )


def csv_records(lines: Iterable[str], kind: str, text_column: str) -> Iterator[tuple[int, Record]]:
    """CSV under a header row. "tsv" is split at tabs, "csv" at what the header row is split by: , ; tab |.

    Before the header row Excel's `sep=;`, blank lines and lines that begin with # may come.
    """
    csv.field_size_limit(2**31 - 1)  # Python's own limit, 128 kB a cell, is less than a long text
    rows = _Rows(line.replace("\0", "") for line in lines)  # NUL belongs in no cell
    columns = _header(rows, kind, text_column)
    if columns is None:
        return
    if isinstance(columns, ValueError):
        yield rows.number, columns
        return
    while (cells := rows.next(len(columns))) is not None:
        if isinstance(cells, ValueError) or any(cells):
            yield rows.number, cells if isinstance(cells, ValueError) else _record(columns, cells)


class _Rows:
    """Rows of lines, one by one; the lines of a row that turns out to be none are read again as others.

    number:  of the first line of the last row.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self._ahead: deque[str] = deque()
        self._next = 1  # the number of the first line ahead
        self._has_broken = False
        self.number = 0
        self.dialect = Dialect(",")

    def line(self, place: int) -> str | None:
        """A line ahead, which stays there."""
        while len(self._ahead) <= place:
            following = next(self._lines, None)
            if following is None:
                return None
            self._ahead.append(following)
        return self._ahead[place]

    def skip(self, count: int = 1) -> None:
        """Lines are dealt with."""
        for _ in range(count):
            self._ahead.popleft()
        self._next += count

    def next(self, width: int) -> list[str] | ValueError | None:
        """The cells of the next row of so many columns, or why there are none; None at the end."""
        line = self.line(0)
        if line is None:
            return None
        self.number = self._next
        cells, lines, reason = self._read(self.dialect, width)
        if cells is None:
            cells, lines = self._otherwise(line, width)
        if cells is not None:
            self.skip(lines)
            return cells
        self._has_broken = True
        self.skip()
        return ValueError(f"expected a row of CSV, found something else ({reason})")

    def _otherwise(self, line: str, width: int) -> tuple[list[str] | None, int]:
        """The row in another dialect, where its line looks like one."""
        if '\\"' in line:
            dialect = replace(self.dialect, backslashes=True)
            cells, lines, _ = self._read(dialect, width)
            if cells is not None:
                self.dialect = dialect
                return cells, lines
        if self.dialect.delimiter != "\t":
            cells, lines, _ = self._read(replace(self.dialect, blanks_after=True), width)
            if cells is not None:
                return cells, lines
        if self.dialect.delimiter == "\t":  # where a quote is a letter more often than not
            cells, lines, _ = self._read(replace(self.dialect, quotes=False), width)
            return cells, lines
        return None, 0

    def _read(self, dialect: Dialect, width: int) -> tuple[list[str] | None, int, str]:
        """The cells of the row ahead in a dialect and how many lines it has; or None, and why."""
        lines = 0

        def ahead() -> Iterator[str]:
            nonlocal lines
            characters = 0
            most = _MOST_LINES if self._has_broken else 1 << 62
            while lines < most and characters < _MOST_CHARACTERS and (line := self.line(lines)) is not None:
                lines += 1
                characters += len(line)
                yield line

        first = self.line(0) or ""
        if re.search(rf'{re.escape(dialect.delimiter)} +"', first) and dialect.delimiter != "\t":
            dialect = replace(dialect, blanks=True)
        try:
            cells = next(dialect.reader(ahead()))
        except StopIteration:
            return [], lines, ""
        except csv.Error as error:
            unclosed = "unexpected end of data" in str(error) or first.count('"') % 2 == 1
            return None, 0, "a quote that never closes" if unclosed else str(error)
        if lines > 1 and len(cells) > width and any(cells[width:]):
            return None, 0, "a quote that closes in another row"
        return cells, lines, ""


def _header(rows: _Rows, kind: str, text_column: str) -> list[str] | ValueError | None:
    """The names in the header row, which decides on the delimiter; None where there is none."""
    delimiter = "\t" if kind == "tsv" else None
    for _ in range(_HEADER_LINES):
        line = rows.line(0)
        if line is None:
            return None
        rows.number = rows._next
        if match := _SEPARATOR.match(line):
            delimiter = match[1]
        elif not _is_before_header(line, text_column):
            break
        rows.skip()
    rows.dialect = Dialect(delimiter or _delimiter(line or "", text_column))
    cells = rows.next(1 << 30)
    if cells is None or isinstance(cells, ValueError):
        return ValueError(f"expected a header row that names the columns, found something else ({cells})")
    return _columns(cells, text_column)


def _is_before_header(line: str, text_column: str) -> bool:
    return not line.strip() or (
        line.lstrip().startswith("#") and text_column not in re.split(r"[,;\t|]", line)
    )


def _columns(cells: list[str], text_column: str) -> list[str] | ValueError:
    columns = [name.strip() for name in cells]
    if text_column not in columns:
        expected = f"a column {text_column!r} in the header row"
        return ValueError(
            f"expected {expected}, found {names(columns)}; say which one is the text (--text-column)"
        )
    twice = [name for name in columns if name and columns.count(name) > 1]
    if twice:
        return ValueError(f"expected each column once in the header row, found {twice[0]!r} twice")
    return columns


def _delimiter(header: str, text_column: str) -> str:
    """The delimiter under which the header row names the text column; else the one that finds most."""

    def judge(delimiter: str) -> tuple[bool, int]:
        columns = [name.strip() for name in next(csv.reader([header], delimiter=delimiter), [])]
        return text_column in columns, len(columns)

    return max(DELIMITERS, key=judge)


def _record(columns: list[str], cells: list[str]) -> Record:
    """A row under its column names. An empty cell, or a column without a name, is left out."""
    if any(cells[len(columns) :]):
        return ValueError(
            f"expected {len(columns)} cells as in the header row, found {len(cells)}; "
            "quote the cell that holds the delimiter"
        )
    return {name: cell for name, cell in zip(columns, cells, strict=False) if name and cell}
