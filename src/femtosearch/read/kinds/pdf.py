"""PDF: a file is a document, and a hit says the page. Needs the extra [files].

The pages are read in a process of its own, whose time and memory are bounded: a PDF is a program as much as a
text, and some never end.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Collection, Iterator
from importlib.util import find_spec
from typing import Any

from femtosearch.errors import missing_extra
from femtosearch.model.foldings import LETTERS
from femtosearch.read.content import Content
from femtosearch.read.entries import Entry, Fault, Mark
from femtosearch.read.kinds.headings import cuts_at, with_title
from femtosearch.read.kinds.pdf_pages import MOST_MEMORY, MOST_SECONDS

_FOLDED = str.maketrans({**LETTERS, "\xad": "", "\u3000": " ", "\xa0": " ", "\u2010": "-", "\u2011": "-"})
_BROKEN = re.compile(r"([^\W\d_]{2,})-[ \t]*\n[ \t]*([^\W\d_]{2,})")
_SOFT = re.compile("\xad[ \t]*\n[ \t]*")


def entries(content: Content) -> Iterator[Entry | Fault]:
    """The one document of a PDF."""
    if find_spec("pypdf") is None:
        raise missing_extra("PDF", "pypdf", "files")
    yield _read(content)


def _read(content: Content) -> Entry | Fault:
    command = [sys.executable, "-I", "-m", "femtosearch.read.kinds.pdf_pages"]
    try:
        run = subprocess.run(
            command, stdin=content.binary(), capture_output=True, timeout=2 * MOST_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return Fault(f"a PDF that was not read after {2 * MOST_SECONDS:,} seconds")
    try:
        answer: dict[str, Any] = json.loads(run.stdout)
    except ValueError:
        return Fault(
            f"a PDF that takes more than {MOST_SECONDS:,} seconds or {MOST_MEMORY >> 20:,} MB to read, or "
            f"breaks its reader (exit code {run.returncode})"
        )
    if "fault" in answer:
        return Fault(str(answer["fault"]))
    return _entry(answer["pages"], answer["metadata"])


def _entry(pages: list[str], metadata: dict[str, str]) -> Entry | Fault:
    if not any(page.strip() for page in pages):
        return Fault(
            f"a PDF without text ({len(pages):,} pages): its pages are pictures, which OCR would read"
        )
    words = set(re.findall(r"[^\W\d_]+-[^\W\d_]+", "\n".join(pages)))
    text, marks = "", list[Mark]()
    for number, page in enumerate(pages, 1):
        marks.append((len(text), {"page": number}))
        text += folded(page, words).strip() + "\n\n"
    text = text.rstrip("\n")
    marks = [mark for mark in marks if mark[0] < len(text)]
    entry = Entry(text, metadata, marks=marks, cuts=cuts_at(text, [offset for offset, _ in marks]))
    title = metadata.get("title", "")
    return with_title(entry, title) if title else entry


def folded(text: str, hyphenated: Collection[str] = ()) -> str:
    """The text with ligatures and full-width forms as letters, and words joined that a line's end broke.

    hyphenated:  words that have a hyphen inside a line, and so keep it.

    >>> folded("\\ufb01nancial infor-\\nmation of a well-\\nknown \\uff21", {"well-known"})
    'financial information of a well-known A'
    """
    text = _SOFT.sub("", text).translate(_FOLDED)

    def join(match: re.Match[str]) -> str:
        compound = f"{match[1]}-{match[2]}"
        return compound if compound in hyphenated or match[2][0].isupper() else match[1] + match[2]

    return _BROKEN.sub(join, text)
