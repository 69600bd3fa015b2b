"""Zip files of XML, as office programs write them, read within limits: a few kilobytes may say that they are
petabytes, and XML may name itself without an end.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from typing import IO
from xml.parsers import expat

MOST_MEMBERS = 20_000
MOST_BYTES = 1 << 26  # of one member
MOST_TOTAL = 1 << 28  # of all that is read
_LEAST_RATIO = 200  # of bytes to compressed bytes, from which on a large member is a bomb
_LARGE = 1 << 23
_OLE = b"\xd0\xcf\x11\xe0"


class PackageError(ValueError):
    """A file that is no such package, or is not to be read."""


class Package:
    """The members of a zip file. Raises PackageError for what is none, is encrypted or too large."""

    def __init__(self, stream: IO[bytes]) -> None:
        if stream.read(4) == _OLE:
            raise PackageError("encrypted, or of an old Office: save it anew, without a password")
        stream.seek(0)
        try:
            self._zip = zipfile.ZipFile(stream)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise PackageError(f"damaged: {error}") from error
        self.names = set(self._zip.namelist())
        self._total = 0
        if len(self.names) > MOST_MEMBERS:
            raise PackageError(f"expected at most {MOST_MEMBERS:,} members, found {len(self.names):,}")

    def read(self, name: str) -> bytes:
        """The bytes of a member."""
        try:
            entry = self._zip.getinfo(name)
        except KeyError as error:
            raise PackageError(f"damaged: expected {name!r}, found none") from error
        if entry.flag_bits & 1:
            raise PackageError("encrypted: save it without a password")
        if entry.file_size > _LARGE and entry.file_size > _LEAST_RATIO * max(1, entry.compress_size):
            raise PackageError(f"a zip bomb: {name!r} says that it has {entry.file_size:,} bytes")
        try:
            with self._zip.open(entry) as member:
                content = member.read(MOST_BYTES + 1)
        except (zipfile.BadZipFile, OSError, EOFError, zlib.error, RuntimeError) as error:
            raise PackageError(f"damaged: {name!r}: {error}") from error
        self._total += len(content)
        if len(content) > MOST_BYTES or self._total > MOST_TOTAL:
            raise PackageError(
                f"too large: more than {MOST_BYTES:,} bytes of {name!r}, or {MOST_TOTAL:,} in all"
            )
        return content

    def parse(
        self,
        name: str,
        start: Callable[[str, dict[str, str]], object],
        end: Callable[[str], object] = lambda _: None,
        words: Callable[[str], object] = lambda _: None,
    ) -> None:
        """Read a member as XML, without building a tree of it.

        start, end:  called with the local name of each element, and its attributes by local name.
        words:       called with text.
        """
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = lambda tag, attributes: start(
            _local(tag), {**attributes, **{_local(key): value for key, value in attributes.items()}}
        )
        parser.EndElementHandler = lambda tag: end(_local(tag))
        parser.CharacterDataHandler = words
        parser.EntityDeclHandler = _refuse  # of which a few lines can make gigabytes
        try:
            parser.Parse(self.read(name), True)
        except expat.ExpatError as error:
            raise PackageError(f"damaged: {name!r}: {error}") from error

    def stated(self, name: str, tags: dict[str, str]) -> dict[str, str]:
        """The text of elements of a member, each under another name, with commas between those of one name;
        none if there is no such member.
        """
        facts: dict[str, list[str]] = {}
        current = ""

        def start(tag: str, _: dict[str, str]) -> None:
            nonlocal current
            current = tags.get(tag, "")
            if current:
                facts.setdefault(current, []).append("")

        def words(text: str) -> None:
            if current:
                facts[current][-1] = (facts[current][-1] + text)[:10_000]

        def end(_: str) -> None:
            nonlocal current
            current = ""

        if name in self.names:
            self.parse(name, start, end, words)
        flowed = {
            key: dict.fromkeys(" ".join(text.split()) for text in texts) for key, texts in facts.items()
        }
        return {key: ", ".join(filter(None, texts)) for key, texts in flowed.items() if any(texts)}

    def links(self, name: str) -> dict[str, str]:
        """What the relations of a member lead to, by their ids."""
        folder, _, base = name.rpartition("/")
        relations = f"{folder}/_rels/{base}.rels" if folder else f"_rels/{base}.rels"
        targets: dict[str, str] = {}

        def start(tag: str, attributes: dict[str, str]) -> None:
            if tag == "Relationship" and attributes.get("TargetMode") != "External":
                targets[attributes.get("Id", "")] = joined(folder, attributes.get("Target", ""))

        if relations in self.names:
            self.parse(relations, start)
        return targets


def joined(folder: str, target: str) -> str:
    """The name of a member as another one, in a folder, names it."""
    steps = [] if target.startswith("/") else [step for step in folder.split("/") if step]
    for step in target.split("/"):
        if step == "..":
            steps = steps[:-1]
        elif step not in ("", "."):
            steps.append(step)
    return "/".join(steps)


def _local(name: str) -> str:
    return name.rpartition(":")[2]


def _refuse(*_: object) -> None:
    raise PackageError("XML that declares entities, which no office program writes: not read")
