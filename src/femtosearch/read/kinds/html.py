"""HTML: a page is a document; its title, its headings, its text without markup, scripts and styles."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser

from femtosearch.read.content import Content
from femtosearch.read.entries import Entry, Mark
from femtosearch.read.kinds.headings import Heading, cuts_at, paths, with_title

_HIDDEN = frozenset({"script", "style", "template", "noscript", "svg", "math", "iframe", "object", "head"})
_BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "body", "br", "button", "caption", "center", "dd",
    "details", "dialog", "dir", "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form",
    "frame", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hgroup", "hr", "html", "legend", "li",
    "main", "menu", "nav", "noframes", "ol", "optgroup", "option", "p", "pre", "search", "section",
    "select", "summary", "table", "tbody", "td", "textarea", "tfoot", "th", "thead", "tr", "ul",
})  # fmt: skip
_IN_HEAD = frozenset({
    "base", "basefont", "bgsound", "head", "html", "link", "meta", "noscript", "script", "style", "template",
    "title",
})  # fmt: skip
_DRAWN = frozenset({"svg", "math"})  # which a block ends
_LEVELS = {f"h{level}": level for level in range(1, 7)}


def entries(content: Content) -> Iterator[Entry]:
    """The one document of a page."""
    yield page_entry(content.text(), counts_lines=True)


def page_entry(markup: str, *, counts_lines: bool) -> Entry:
    """A page as a document.

    counts_lines:  its marks say the lines of the markup.
    """
    page = _Page()
    page.feed(markup)
    page.close()
    text, marks = page.text(), page.marks(counts_lines)
    entry = Entry(
        text, page.metadata, marks=marks, cuts=cuts_at(text, [start.start for start in page.headings])
    )
    title = " ".join(page.title.split()) or next((heading.text for heading in page.headings), "")
    return with_title(entry, title) if title else entry


class _Page(HTMLParser):
    """What is said on a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._pieces: list[str] = []
        self._length = 0
        self._lines: list[tuple[int, int, str]] = []  # offsets in the text, lines of the markup, which marks
        self._hidden: list[str] = []
        self._preformatted = 0
        self._heading: tuple[int, int, int] | None = None  # its offset, its first piece and its level
        self._in_title = False
        self.headings: list[Heading] = []
        self.title = ""
        self.metadata: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "meta":
            self._note_meta(dict(attrs))
        if tag == "title" and not self.title and "svg" not in self._hidden:
            self._in_title = True
        self._end_what_is_open(tag)
        if tag in _HIDDEN:
            self._hidden.append(tag)
        elif tag == "body":
            self._hidden = []
        if tag in _BLOCKS:
            self._break()
        self._preformatted += tag == "pre"
        if tag in _LEVELS:
            self._end_heading()
            self._heading = (self._length, len(self._pieces), _LEVELS[tag])

    def handle_endtag(self, tag: str) -> None:
        if tag == "title":
            self._in_title = False
        if tag in self._hidden:
            del self._hidden[self._hidden.index(tag) :]
        if tag in _LEVELS:
            self._end_heading()
        if tag in _BLOCKS:
            self._break()
        self._preformatted -= tag == "pre" and self._preformatted > 0

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title += data
            return
        if self._hidden == ["head"] and data.strip():
            self._hidden = []
        if self._hidden:
            return
        line = self.getpos()[0]
        if self._preformatted:
            self._add(data, line, "lines")
            return
        for number, words in enumerate(data.split("\n"), line):
            if number > line and not self._ends_blank():
                self._add(" ", number - 1)
            self._add(_flowed(words, self._ends_blank()), number)

    def text(self) -> str:
        return "".join(self._pieces).rstrip()

    def marks(self, counts_lines: bool) -> list[Mark]:
        """Where lines and headings begin."""
        by_offset: dict[int, dict[str, object]] = {}
        if counts_lines:
            for offset, line, mark in self._lines:
                by_offset.setdefault(offset, {mark: line})
        for start, path in paths(self.headings):
            by_offset[start] = {**by_offset.get(start, {}), "heading": path}
        return _with_last(sorted(by_offset.items()))

    def _note_meta(self, attributes: dict[str, str | None]) -> None:
        name, stated = (attributes.get("name") or "").lower(), attributes.get("content") or ""
        if name in ("author", "description", "keywords", "date") and stated.strip():
            self.metadata[name] = stated.strip()[:10_000]

    def _end_what_is_open(self, tag: str) -> None:
        """End what a tag ends that no end tag did: a head, and a drawing."""
        if self._hidden == ["head"] and tag not in _IN_HEAD:
            self._hidden = []
        drawn = next((at for at, name in enumerate(self._hidden) if name in _DRAWN), None)
        if drawn is not None and tag in _BLOCKS:
            del self._hidden[drawn:]

    def _end_heading(self) -> None:
        if self._heading is None:
            return
        start, first, level = self._heading
        words = " ".join("".join(self._pieces[first:]).split())
        if words:
            self.headings.append(Heading(start, level, words))
        self._heading = None

    def _add(self, text: str, line: int, mark: str = "line") -> None:
        """Text at a line of the markup; the mark is "lines" where the text has its lines from there on."""
        if text:
            self._lines.append((self._length, line, mark))
            self._pieces.append(text)
            self._length += len(text)

    def _break(self) -> None:
        if self._hidden:
            return
        if self._pieces and not self._pieces[-1].endswith("\n"):
            if self._pieces[-1].endswith(" "):
                stripped = self._pieces[-1].rstrip(" ")
                self._length -= len(self._pieces[-1]) - len(stripped)
                self._pieces[-1] = stripped
            self._pieces.append("\n")
            self._length += 1

    def _ends_blank(self) -> bool:
        return not self._pieces or self._pieces[-1][-1:].isspace()


def _flowed(data: str, after_blank: bool) -> str:
    """Text in which every run of blanks is one; none at the beginning where there is one already."""
    words = " ".join(data.split())
    before = " " if data[:1].isspace() and not after_blank else ""
    after = " " if data[-1:].isspace() and words else ""
    return before + words + after if words else before


def _with_last(marks: list[tuple[int, dict[str, object]]]) -> list[Mark]:
    """Marks of which each says all that was last said: a line mark has the heading of before."""
    merged: list[Mark] = []
    merged_facts: dict[str, object] = {}
    for offset, facts in marks:
        if "line" in facts or "lines" in facts:
            merged_facts = {name: fact for name, fact in merged_facts.items() if name == "heading"}
        merged_facts = {**merged_facts, **facts}
        if not merged or merged[-1][1] != merged_facts:
            merged.append((offset, merged_facts))
    return merged
