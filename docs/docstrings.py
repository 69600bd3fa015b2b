"""Docstrings as Markdown: lists of arguments, and examples, as the API page shows them.

A docstring here has lines such as "k:  how many hits", indented where they go on, and examples after ">>>".
mkdocstrings loads this file as an extension of griffe.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import griffe

ARGUMENT = re.compile(r"([a-z_][\w.]*(?:, [a-z_.]\w*)*):\s+(\S.*)")


class Docstrings(griffe.Extension):
    """Rewrites every docstring when its object has been read."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = markdown(obj.docstring.value)


def markdown(docstring: str) -> str:
    """The docstring with its arguments as a list and its examples as code.

    >>> markdown("Adds.\\n\\nk:  how many;\\n    at least 1\\nRaises ShapeError.")
    'Adds.\\n\\n\\n* **k**: how many; at least 1\\n\\nRaises ShapeError.'
    """
    text = docstring.strip().replace("][", "]\\[")  # two indices, and no reference of Markdown's
    text = re.sub(r"^(?!>>> )(.*)\n(?=>>> )", r"\1\n\n", text, flags=re.MULTILINE)
    return "\n\n".join(map(_block, re.split(r"\n\s*\n", text)))


def _block(text: str) -> str:
    lines = text.split("\n")
    if text.startswith(">>> "):
        return f"```pycon\n{text}\n```"
    if text.startswith("    "):
        return text if "├" not in text else f"```text\n{text}\n```"
    return "\n".join(_listed(lines))


def _listed(lines: list[str]) -> Iterator[str]:
    """Lines, with arguments as items of a list, each on one line."""
    items: list[str] = []
    for line in lines:
        argument = ARGUMENT.fullmatch(line)
        if argument:
            items.append(f"* **{argument[1]}**: {argument[2]}")
        elif items and line.startswith(" "):
            items[-1] += f" {line.strip()}"
        else:
            yield from _closed(items)
            yield line
    yield from _closed(items)


def _closed(items: list[str]) -> Iterator[str]:
    """The items so far, between blank lines, as Markdown wants a list."""
    if items:
        yield from ("", *items, "")
    items.clear()
