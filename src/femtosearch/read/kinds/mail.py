"""Mail: a message is a document; an mbox has one for each of its messages."""

from __future__ import annotations

import codecs
import email
import email.policy
import itertools
import re
from collections.abc import Iterator
from email.message import Message

from femtosearch.index.documents import titled
from femtosearch.read.content import Content
from femtosearch.read.encodings import NotTextError, encoding_of, known_encoding
from femtosearch.read.entries import Entry, Fault
from femtosearch.read.kinds.html import page_entry

MOST_BYTES = 1 << 26  # of a message
_HEADER = re.compile(rb">?[!-9;-~]+[ \t]*:|>?From ")
_FIELDS = {"from": "from", "to": "to", "cc": "cc", "date": "date"}


def entries(content: Content) -> Iterator[Entry | Fault]:
    """The messages of a file."""
    if content.file.kind == "mail":
        message = content.binary().read(MOST_BYTES + 1)
        yield _entry(message, None)
        return
    for number, message in zip(itertools.count(1), _messages(content), strict=False):
        yield _entry(message, number)


def _messages(content: Content) -> Iterator[bytes]:
    """The messages of an mbox: a line that begins with `From `, after an empty line and before a header,
    begins one.
    """
    lines: list[bytes] = []
    size, after_blank = 0, True
    stream = content.binary()
    line = stream.readline(1 << 20)
    while line:
        following = stream.readline(1 << 20)
        if line.startswith(b"From ") and after_blank and _HEADER.match(following):
            if lines:
                yield b"".join(lines)
            lines, size = [], 0
        elif size <= MOST_BYTES:
            lines.append(line[1:] if line.startswith(b">From ") else line)
            size += len(line)
        after_blank = not line.strip()
        line = following
    if lines:
        yield b"".join(lines)


def _entry(raw: bytes, number: int | None) -> Entry | Fault:
    if len(raw) > MOST_BYTES:
        return Fault(f"expected a message of at most {MOST_BYTES:,} bytes", number)
    try:
        message = email.message_from_bytes(raw.removeprefix(codecs.BOM_UTF8), policy=email.policy.default)
        headers = {name: _header(message, name) for name in _FIELDS}
        subject, body = _header(message, "subject"), _body(message)
    except Exception as error:  # the parser raises many kinds of them for a message that is broken
        return Fault(f"expected a message, found a broken one ({type(error).__name__}: {error})", number)
    if not any(headers.values()) and not subject:
        return Fault("expected a message, found text without headers", number)
    metadata = {_FIELDS[name]: value for name, value in headers.items() if value}
    if subject:
        metadata["title"] = subject
    key = "" if number is None else _header(message, "message-id") or f"message {number}"
    marks = [(0, {"row": number})] if number is not None else []
    return Entry(titled(subject, f"\n\n{body}".rstrip() if body else ""), metadata, None, number, key, marks)


def _header(message: Message, name: str) -> str:
    """A header on one line; a broken one as it is."""
    try:
        value = str(message.get(name, ""))
    except Exception:  # of a header that its own parser does not understand
        value = next((str(raw) for key, raw in message.raw_items() if key.lower() == name), "")
    return " ".join(value.encode("utf-8", "replace").decode().split())


def _body(message: Message) -> str:
    """The text of a message, of messages within it too, and the names of what is attached."""
    texts, names = list[str](), list[str]()
    for leaf in _parts(message):
        name = leaf.get_filename()
        texts.append(_text(leaf))
        names += [f"\n[{name}]"] if name else []
    return "\n\n".join(text.strip("\n") for text in texts if text.strip()) + "".join(names)


def _parts(message: Message) -> list[Message]:
    """What a message is made of; of what says the same in several ways the plainest that says something."""
    if message.get_content_maintype() != "multipart" or not message.is_multipart():
        return [message]
    inner = [_parts(member) for member in _members(message)]
    if message.get_content_type() == "multipart/alternative":
        for kind in ("text/plain", "text/html"):
            for leaves in inner:
                if any(leaf.get_content_type() == kind and _text(leaf).strip() for leaf in leaves):
                    return leaves
    return list(itertools.chain.from_iterable(inner))


def _members(message: Message) -> list[Message]:
    """The messages or parts right inside of one."""
    payload = message.get_payload()
    return [member for member in payload if isinstance(member, Message)] if isinstance(payload, list) else []


def _text(part: Message) -> str:
    """The text of a part; of a message within another also what it is about."""
    kind, main = part.get_content_type(), part.get_content_maintype()
    if main == "message":
        return "\n\n".join(
            titled(_header(inner, "subject"), f"\n\n{_body(inner)}") for inner in _members(part)
        )
    if main not in ("text", "multipart") or part.get_content_disposition() == "attachment":
        return ""
    return page_entry(_content(part), counts_lines=False).text if kind == "text/html" else _content(part)


def _content(message: Message) -> str:
    """The text of a part, in the encoding that it states or, where that is none, in what it looks like."""
    raw = message.get_payload(decode=True)
    content = raw if isinstance(raw, bytes) else b""
    name = message.get_content_charset("us-ascii")  # which is stated of text that is not, too
    text = content.decode(
        (None if name == "us-ascii" else known_encoding(name)) or _looks_like(content), "replace"
    )
    text = text.replace("\r\n", "\n").encode("utf-8", "replace").decode()
    if str(message.get_param("format", "")).lower() == "flowed":
        text = _flowed(text, deletes_blank=str(message.get_param("delsp", "")).lower() == "yes")
    return text


def _looks_like(content: bytes) -> str:
    """The name of the encoding that bytes seem to be in."""
    try:
        return encoding_of(content, is_whole=True).name
    except NotTextError:
        return "utf-8"


def _flowed(text: str, *, deletes_blank: bool) -> str:
    """Text in which a line that ends in a blank goes on in the next, as format=flowed has it (RFC 3676).

    deletes_blank:  that blank is no part of the text.
    """
    lines, goes_on, depth = list[str](), False, 0
    for line in text.split("\n"):
        words = line.lstrip(">")
        quotes = len(line) - len(words)
        words = words.removeprefix(" ")
        if goes_on and quotes == depth and words != "-- ":
            lines[-1] += words
        else:
            lines.append((">" * quotes + " " if quotes else "") + words)
        goes_on, depth = words.endswith(" ") and words != "-- ", quotes
        if goes_on and deletes_blank:
            lines[-1] = lines[-1][:-1]
    return "\n".join(lines)
