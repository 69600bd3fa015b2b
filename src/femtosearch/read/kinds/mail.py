"""Mail: a message is a document; an mbox has one for each of its messages."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator
from email.message import EmailMessage, Message
from itertools import count

from femtosearch.index.documents import titled
from femtosearch.read.content import Content
from femtosearch.read.entries import Entry, Fault
from femtosearch.read.kinds.html import page_entry

MOST_BYTES = 1 << 26  # of a message
_FIELDS = {"from": "from", "to": "to", "cc": "cc", "date": "date"}


def entries(content: Content) -> Iterator[Entry | Fault]:
    """The messages of a file."""
    if content.file.kind == "mail":
        message = content.binary().read(MOST_BYTES + 1)
        yield _entry(message, None)
        return
    for number, message in zip(count(1), _messages(content), strict=False):
        yield _entry(message, number)


def _messages(content: Content) -> Iterator[bytes]:
    """The messages of an mbox: a line that begins with `From ` after an empty line begins one."""
    lines: list[bytes] = []
    size, after_blank = 0, True
    stream = content.binary()
    while line := stream.readline(1 << 20):
        if line.startswith(b"From ") and after_blank:
            if lines:
                yield b"".join(lines)
            lines, size = [], 0
        elif size <= MOST_BYTES:
            lines.append(line[1:] if line.startswith(b">From ") else line)
            size += len(line)
        after_blank = not line.strip()
    if lines:
        yield b"".join(lines)


def _entry(raw: bytes, number: int | None) -> Entry | Fault:
    if len(raw) > MOST_BYTES:
        return Fault(f"expected a message of at most {MOST_BYTES:,} bytes", number)
    try:
        message = email.message_from_bytes(raw, policy=email.policy.default)
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
    """The text of a message: what is plain, else what is HTML, and the names of what is attached."""
    assert isinstance(message, EmailMessage)
    body = message.get_body(("plain", "html"))
    text = "" if body is None else _content(body)
    if body is not None and body.get_content_type() == "text/html":
        text = page_entry(text, counts_lines=False).text
    names = [name for attached in message.iter_attachments() if (name := attached.get_filename())]
    return text.rstrip() + "".join(f"\n[{name}]" for name in names)


def _content(message: Message) -> str:
    """The text of a part, in the encoding that it states or, where that is none, in UTF-8."""
    raw = message.get_payload(decode=True)
    content = raw if isinstance(raw, bytes) else b""
    try:
        text = content.decode(message.get_content_charset("utf-8"), "replace")
    except LookupError:
        text = content.decode("utf-8", "replace")
    return text.replace("\r\n", "\n").encode("utf-8", "replace").decode()
