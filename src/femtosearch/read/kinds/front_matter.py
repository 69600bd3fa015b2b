"""Front matter, as Markdown has it: facts before the text, of YAML or TOML."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

from femtosearch.read.records import without_surrogates

_MOST_LINES = 500
_KEY = re.compile(r"""("[^"]*"|'[^']*'|[\w.$@/+ -]+?)[ \t]*:(?:[ \t]+(.*))?$""")
_BLOCK = re.compile(r"[|>][-+\d]*$")  # behind a key whose value is the lines below
_PIECE = re.compile(r"""\s*("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^,]+)\s*(?:,|$)""")  # of a list in brackets
_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,15})(\.\d+)?$")


def front_matter(text: str) -> tuple[dict[str, Any], int]:
    """The front matter of a text as metadata, and where the text goes on after it.

    It is YAML between lines of ---, as far as lines of `key: value` and lists go, or TOML between +++.
    """
    fence = text[:3]
    lines = text.split("\n", _MOST_LINES)
    if fence not in ("---", "+++") or lines[0].rstrip() != fence:
        return {}, 0
    ends = ("---", "...") if fence == "---" else ("+++",)
    end = next((n for n, line in enumerate(lines[1:], 1) if line.rstrip() in ends), None)
    if end is None:
        return {}, 0
    inside = lines[1:end]
    matter = _toml(inside) if fence == "+++" else _yaml(inside)
    if matter is None:
        return {}, 0
    return matter, min(len(text), sum(len(line) + 1 for line in lines[: end + 1]))


def _toml(lines: list[str]) -> dict[str, Any] | None:
    try:
        matter = tomllib.loads("\n".join(lines))
        return dict(json.loads(json.dumps(matter, default=str, allow_nan=False)))
    except (ValueError, RecursionError):
        return None


def _yaml(lines: list[str]) -> dict[str, Any] | None:
    """Lines of `key: value`; None where there is something else, and so no front matter."""
    matter: dict[str, Any] = {}
    key: str | None = None
    begun = ""  # what is behind the key, and goes on in the lines below
    for line in lines:
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        is_below = line[0].isspace() or stripped.startswith("- ")
        match = None if is_below else _KEY.match(line)
        if match:
            key, begun = match[1].strip("\"' "), (match[2] or "").strip()
            matter[key] = "" if _BLOCK.match(begun) else _scalar(begun)
        elif key is None or not is_below:
            return None
        elif begun and not _BLOCK.match(begun):
            begun = f"{begun} {stripped}"
            matter[key] = _scalar(begun)
        else:
            matter[key] = _continued(matter[key], stripped, " " if begun[:1] == ">" else "\n")
    stated = {key: value for key, value in matter.items() if value not in ("", [])}
    return stated if matter or not lines else None


def _continued(value: Any, line: str, end: str) -> Any:
    """A value with a further line of it: of a list, of a block of text, or of what is nested, as text."""
    if (line.startswith("- ") and value in ("", [])) or isinstance(value, list):
        return [*value, _scalar(line.removeprefix("- ").strip())]
    return f"{value}{end}{line}" if value else line


def _scalar(text: str) -> Any:
    """A value of one line."""
    bare = re.sub(r"(^|\s)#.*$", "", text).strip()
    for quoted in (text, bare):
        if quoted[:1] in ("'", '"') and quoted[-1:] == quoted[:1] and len(quoted) > 1:
            return _unquoted(quoted)
    text = bare
    if text.startswith("[") and text.endswith("]"):
        return [_scalar(piece.strip()) for piece in _PIECE.findall(text[1:-1]) if piece.strip()]
    if text in ("true", "false"):
        return text == "true"
    if match := _NUMBER.match(text):
        return float(text) if match[1] else int(text)
    return text


def _unquoted(text: str) -> str:
    """What stands in quotes: in double ones with escapes, as JSON has them."""
    if text[0] == "'":
        return text[1:-1].replace("''", "'")
    try:
        return str(without_surrogates(json.loads(text)))
    except ValueError:
        return text[1:-1].replace('\\"', '"')
