"""Source code: a file is a document, cut at functions and classes; a hit says in which it is.

Python is parsed by itself, other languages by tree-sitter's grammars where the extra [code] is installed;
without it, and where a text does not parse, a definition is a line that looks like the first one of it.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import PurePath

from femtosearch.read.content import Content
from femtosearch.read.entries import Entry
from femtosearch.read.kinds import LANGUAGES, code_grammars
from femtosearch.read.kinds.code_process import parsed
from femtosearch.read.kinds.headings import Heading, cuts_at, heading_marks

_MOST_PARSED = 1 << 21  # characters that are parsed

_WORDS = (
    "def|class|function|func|fn|fun|struct|impl|interface|type|enum|trait|module|mod|namespace|sub|proc|procedure|"
    "protocol|extension|object|record|package|union|macro|defmodule|defp|defmacro|defn|defun|program|subroutine"
)
_BEFORE = (
    "export|default|async|pub|public|private|protected|internal|static|final|abstract|virtual|override|inline|extern|"
    "unsafe|const|open|sealed|data|case|local|declare|partial|suspend|pure|recursive"
)
_DEFINITION = re.compile(
    rf"(?P<indent>[ \t]*)\(?(?:(?:{_BEFORE})(?:\([^)]*\))?\s+)*(?:{_WORDS})\b\*?\s*(?:\([^)]*\)\s*)?"
    r"(?P<name>[\w$:.<>~!?-]*)",
    re.IGNORECASE,
)
_TYPED = re.compile(
    r"(?P<name>(?:[\w:<>,*&~\[\]]+\s+)+[*&]*[\w:~]+)\s*\([^;]*$"
)  # as C and Java begin a function
_ASSIGNED = re.compile(
    r"(?:export\s+)?(?:const|let|var)\s+(?P<name>[\w$]+)\s*=\s*(?:async\s*)?(?:function\b|\(|\w+\s*=>)"
)
_SHELL = re.compile(r"(?P<name>[\w-]+)\s*\(\)\s*\{?")
_NO_NAME = frozenset(
    {"if", "for", "while", "switch", "return", "else", "catch", "do", "case", "throw", "new"}
)
_STATEMENTS = _NO_NAME - {"case", "do", "new"}  # which a text that does not parse has for names


def entries(content: Content) -> Iterator[Entry]:
    """The one document of a file of source code."""
    text = content.text()
    extension = PurePath(content.file.path.removesuffix(".gz")).suffix.lower()
    language = LANGUAGES.get(extension, "")
    definitions = _definitions(text, language, extension)
    starts = [definition.start for definition in definitions]
    metadata = {"language": language} if language else {}
    yield Entry(
        text, metadata, marks=heading_marks(text, definitions), cuts=cuts_at(text, starts), splits_words=True
    )


def _definitions(text: str, language: str, extension: str) -> list[Heading]:
    """The functions and classes of a text, with what they are in: as many as `code_grammars` says at most."""
    definitions = _all_definitions(text, language, extension)
    shallow = (definition for definition in definitions if definition.level <= code_grammars.DEEPEST)
    return list(islice(shallow, code_grammars.MOST_DEFINITIONS))


def _all_definitions(text: str, language: str, extension: str) -> Iterable[Heading]:
    if len(text) <= _MOST_PARSED:
        definitions = _python(text) if language == "python" else None
        if definitions is None:
            definitions = _by_grammar(text, language, extension)
        if definitions is not None:
            return definitions
    return _by_lines(text)


def _by_grammar(text: str, language: str, extension: str) -> list[Heading] | None:
    """The same by a grammar, and by lines where that did not understand the text; None without a grammar."""
    grammar = code_grammars.grammar_of(language, extension, text) if code_grammars.has_grammars() else None
    by_grammar = parsed(grammar, text) if grammar else None
    if by_grammar is None:
        return None
    by_lines, errors, end = list[Heading](), sorted(by_grammar.errors, reverse=True), 0
    for heading in _by_lines(text) if errors else ():
        line_end = text.find("\n", heading.start)
        while errors and errors[-1][0] <= (len(text) if line_end < 0 else line_end):
            end = max(end, errors.pop()[1])
        if heading.start < end and heading.start not in by_grammar.lines:
            by_lines.append(heading)
    headings = sorted([*by_grammar.headings, *by_lines])
    return [heading for heading in headings if heading.text.split()[0] not in _STATEMENTS]


def _python(text: str) -> list[Heading] | None:
    """The functions and classes of Python; None where it cannot be parsed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
        lines = [0]
        for line in text.split("\n"):
            lines.append(lines[-1] + len(line) + 1)
        return sorted(_in_tree(tree, lines))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _in_tree(tree: ast.AST, lines: list[int]) -> Iterator[Heading]:
    waiting: list[tuple[ast.AST, int]] = [(tree, 0)]
    while waiting:
        node, level = waiting.pop()
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                first = min([child.lineno, *(decorator.lineno for decorator in child.decorator_list)])
                word = "class" if isinstance(child, ast.ClassDef) else "def"
                yield Heading(lines[first - 1], level + 1, f"{word} {child.name}")
                waiting.append((child, level + 1))
            elif not isinstance(child, ast.expr):
                waiting.append((child, level))


def _by_lines(text: str) -> Iterator[Heading]:
    """What looks like the first line of a function or class; how far it is indented is its level."""
    offset, indents = 0, list[int]()
    for line in text.split("\n"):
        start, offset = offset, offset + len(line) + 1
        if len(line) > 500 or not line.strip() or line.lstrip()[0] in "#/*\"'`;-":
            continue
        name = _name(line)
        if name is None:
            continue
        indent = len(line) - len(line.lstrip())
        while indents and indents[-1] >= indent:
            indents.pop()
        indents.append(indent)
        yield Heading(start, len(indents), name[:100])


def _name(line: str) -> str | None:
    """What a line defines, or None."""
    match = _DEFINITION.match(line)
    if match and match["name"]:
        return " ".join(line[len(match["indent"]) : match.end("name")].split())
    indented = line[:1].isspace()
    match = _ASSIGNED.match(line) or (None if indented else _SHELL.match(line) or _TYPED.match(line))
    if match is None or match["name"].split()[0] in _NO_NAME:
        return None
    return " ".join(match["name"].split())
