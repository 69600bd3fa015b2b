"""Documents of office programs and books: DOCX, PPTX, ODT, ODP and EPUB."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, ClassVar
from urllib.parse import unquote

from femtosearch.read.content import Content
from femtosearch.read.encodings import encoding_of
from femtosearch.read.entries import Entry, Fault
from femtosearch.read.kinds.html import page_entry
from femtosearch.read.kinds.package import Package, PackageError, joined
from femtosearch.read.kinds.written import Written

_CORE = {"title": "title", "creator": "author", "created": "created"}
_META = {"title": "title", "creator": "author", "initial-creator": "author", "creation-date": "created"}
_HEADING = re.compile(r"heading\s*(\d)", re.IGNORECASE)


def entries(content: Content) -> Iterator[Entry | Fault]:
    """The one document of a file."""
    readers = {"docx": _docx, "pptx": _pptx, "odt": _odt, "epub": _epub}
    try:
        yield readers[content.file.kind](Package(content.binary()))
    except (PackageError, ValueError) as error:
        kind = content.file.kind.upper()
        reason = error if isinstance(error, PackageError) else f"damaged: {error}"
        yield Fault(f"expected a {kind} document, found a file that is {reason}")


def _docx(package: Package) -> Entry:
    links = package.links("")
    main = next((name for name in links.values() if name.endswith("document.xml")), "word/document.xml")
    folder = main.rpartition("/")[0]
    levels = _levels(package, f"{folder}/styles.xml")
    written = Written()
    for name in (main, f"{folder}/footnotes.xml", f"{folder}/endnotes.xml"):
        if name in package.names or name == main:
            paragraphs = _Paragraphs(written, levels)
            package.parse(name, paragraphs.start, paragraphs.end, paragraphs.words)
    return written.entry(package.stated("docProps/core.xml", _CORE))


def _levels(package: Package, name: str) -> dict[str, int]:
    """The level of each style that is one of headings: styles have other ids in other languages."""
    levels: dict[str, int] = {}
    style = ""

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal style
        if tag == "style":
            style = attributes.get("styleId", "")
        stated = attributes.get("val", "")
        if tag == "name" and (match := _HEADING.match(stated)):
            levels[style] = int(match[1])
        elif tag == "name" and stated.lower() == "title":
            levels[style] = 1
        elif tag == "outlineLvl" and stated.isdigit() and int(stated) < 9:
            levels.setdefault(style, int(stated) + 1)

    if name in package.names:
        package.parse(name, start)
    return levels


class _Paragraphs:
    """The paragraphs of DOCX and PPTX, which name text, tabs and breaks alike.

    A paragraph may have others in it, in a box that is drawn: these come before it.
    """

    _SIGNS: ClassVar = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}

    def __init__(self, written: Written, levels: dict[str, int]) -> None:
        self._written, self._levels = written, levels
        self._pieces: list[str] = []
        self._level: int | None = None
        self._around: list[tuple[list[str], int | None]] = []  # the paragraphs that this is in
        self._reads = False
        self._cells = self._hidden = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "p" and not self._cells:
            self._around.append((self._pieces, self._level))
            self._pieces, self._level = [], None
        elif tag == "pStyle":
            style = attributes.get("val", "")
            match = _HEADING.match(style)
            self._level = self._levels.get(style, int(match[1]) if match else None)
        elif tag == "t":
            self._reads = True
        elif tag in self._SIGNS:
            self._pieces.append(self._SIGNS[tag])
        elif tag == "tr":
            self._cells += 1
        elif tag == "Fallback":  # the same once more, for programs that do not know the first
            self._hidden += 1

    def end(self, tag: str) -> None:
        if tag == "t":
            self._reads = False
        elif tag == "Fallback":
            self._hidden -= 1
        elif tag == "tc":
            self._pieces.append("\t")
        elif tag == "tr":
            self._cells -= 1
            self._written.add("".join(self._pieces).rstrip("\t"))
            self._pieces = []
        elif tag == "p" and self._cells:
            self._pieces.append(" ")
        elif tag == "p":
            self._written.add("".join(self._pieces), self._level)
            self._pieces, self._level = self._around.pop()

    def words(self, text: str) -> None:
        if self._reads and not self._hidden:
            self._pieces.append(text)


def _pptx(package: Package) -> Entry:
    main = "ppt/presentation.xml"
    links, order = package.links(main), list[str]()

    def start(tag: str, attributes: dict[str, str]) -> None:
        if tag == "sldId":  # its own id and that of the relation have one local name
            order.extend({value for value in attributes.values() if value in links})

    package.parse(main, start)
    written = Written()
    for number, slide in enumerate((links[name] for name in order), 1):
        written.mark(page=number)
        notes = [name for name in package.links(slide).values() if "notesSlide" in name]
        for name in [slide, *notes]:
            if name in package.names:
                paragraphs = _Paragraphs(written, {})
                package.parse(name, paragraphs.start, paragraphs.end, paragraphs.words)
    return written.entry(package.stated("docProps/core.xml", _CORE))


def _odt(package: Package) -> Entry:
    if "META-INF/manifest.xml" in package.names and b"encryption-data" in package.read(
        "META-INF/manifest.xml"
    ):
        raise PackageError("encrypted: save it without a password")
    reading = _OpenText()
    package.parse("content.xml", reading.start, reading.end, reading.words)
    return reading.written.entry(package.stated("meta.xml", _META))


class _OpenText:
    """The paragraphs, headings, tables and slides of OpenDocument."""

    _HIDDEN = frozenset({"annotation", "tracked-changes", "script", "note-citation"})

    def __init__(self) -> None:
        self.written = Written()
        self._pieces: list[str] = []
        self._level: int | None = None
        self._paragraphs = self._hidden = self._rows = self._pages = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag in self._HIDDEN:
            self._hidden += 1
        elif tag in ("p", "h"):
            self._paragraphs += 1
            self._level = int(attributes.get("outline-level", "1") or 1) if tag == "h" else None
        elif tag == "s":
            self._pieces.append(" " * min(100, int(attributes.get("c", "1") or 1)))
        elif tag == "tab":
            self._pieces.append("\t")
        elif tag == "line-break":
            self._pieces.append("\n")
        elif tag == "note-body":
            self._pieces.append(" (")
        elif tag == "table-row":
            self._rows += 1
        elif tag == "page":
            self._pages += 1
            self.written.mark(page=self._pages)

    def end(self, tag: str) -> None:
        if tag in self._HIDDEN:
            self._hidden -= 1
        elif tag in ("p", "h"):
            self._paragraphs -= 1
            if self._rows:
                self._pieces.append(" ")
            elif not self._paragraphs:
                self._flush(self._level)
        elif tag == "note-body":
            self._pieces.append(")")
        elif tag == "table-cell":
            self._pieces.append("\t")
        elif tag == "table-row":
            self._rows -= 1
            if not self._rows:
                self._flush(None)

    def words(self, text: str) -> None:
        if self._paragraphs and not self._hidden:
            self._pieces.append(re.sub(r"\s+", " ", text))

    def _flush(self, level: int | None) -> None:
        self.written.add("".join(self._pieces).rstrip("\t"), level)
        self._pieces = []


def _epub(package: Package) -> Entry:
    encrypted = "META-INF/encryption.xml"
    if encrypted in package.names and re.search(rb"\.x?html?\b", package.read(encrypted)):
        raise PackageError("encrypted: only its own reader can open it")
    roots: list[str] = []
    package.parse("META-INF/container.xml", lambda tag, facts: roots.append(facts.get("full-path", "")))
    root = next((name for name in roots if name), "")
    pages = _spine(package, root)
    written = Written()
    for number, name in enumerate(pages, 1):
        if name in package.names:
            page = package.read(name)
            encoding = encoding_of(page, is_whole=True).name
            entry = page_entry(page.decode(encoding, "replace"), counts_lines=False)
            written.mark(page=number)
            written.append(entry)
    stated = package.stated(root, {"title": "title", "creator": "author", "language": "language"})
    return written.entry(stated)


def _spine(package: Package, root: str) -> list[str]:
    """The pages of a book, in the order in which it is read."""
    folder, members, order = root.rpartition("/")[0], dict[str, str](), list[str]()

    def start(tag: str, attributes: dict[str, Any]) -> None:
        if tag == "item":
            members[attributes.get("id", "")] = joined(folder, unquote(attributes.get("href", "")))
        elif tag == "itemref":
            order.append(attributes.get("idref", ""))

    package.parse(root, start)
    return [members[name] for name in order if name in members]
