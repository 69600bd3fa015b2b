"""The definitions of source code by tree-sitter's grammars: what `code_process` runs in a process of its own.

A line of standard input is a JSON object with a grammar and a text; one of standard output says at which
characters the text's definitions begin, how deep they are, and their names; and where the text did not parse.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from functools import cache
from typing import Any

from femtosearch.read.kinds.code_grammars import DEEPEST, FLAT, MOST_DEFINITIONS, Definition, definitions_of
from femtosearch.system import bound

MOST_MEMORY = 2 << 30  # bytes
IDLE_SECONDS = 60.0  # after which the process ends by itself

_FUNCTIONS = frozenset(
    {
        "arrow_function",
        "function_expression",
        "function",
        "generator_function",
        "function_definition",
        "class",
    }
)
_BODIES = frozenset({"struct_specifier", "union_specifier", "enum_specifier"})  # which count with a body
_WRAPPERS = frozenset({"expression_list", "ErrorUnionExpr", "SuffixExpr", "parenthesized_expression"})
_INWARD = frozenset(  # a name is the first thing in it
    {
        "parenthesized_declarator", "reference_declarator", "signature", "where_expression",
        "call_expression", "typed_expression", "arguments", "binary_operator", "call", "module_binding",
        "class_binding", "let_binding",
    }
)  # fmt: skip
_STATEMENTS = frozenset(  # whose last name is that of what they begin
    {
        "module_statement", "submodule_statement", "program_statement", "subroutine_statement",
        "function_statement", "derived_type_statement",
    }
)  # fmt: skip
_LEADS = frozenset(  # which stand before a definition and belong to it
    {
        "comment", "line_comment", "block_comment", "documentation_comment", "haddock", "attribute_item",
        "attribute_list", "annotation", "marker_annotation", "decorator", "attribute", "multiline_comment",
        "template_parameter_list",
    }
)  # fmt: skip
_ELIXIR = frozenset(
    {"defmodule", "def", "defp", "defmacro", "defmacrop", "defprotocol", "defimpl", "defguard", "defdelegate"}
)
_CLEAN = frozenset("@:<>.-_ \t")  # what may stand in the line before a definition and be of it


def main() -> None:
    """Answer line by line, until nobody asks any more."""
    bound("RLIMIT_AS", MOST_MEMORY)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asks ends first, and standard input with it
    while line := _next_line():
        asked = json.loads(line)
        try:
            answer = definitions(asked["grammar"], asked["text"])
        except (MemoryError, LookupError, ValueError, RuntimeError):
            answer = None
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _next_line() -> str:
    """What is asked next; where nothing is for a minute, this process ends."""
    idle = threading.Timer(IDLE_SECONDS, lambda: os._exit(0))
    idle.daemon = True
    idle.start()
    try:
        return sys.stdin.readline()
    finally:
        idle.cancel()


def definitions(grammar: str, text: str) -> dict[str, Any]:
    """The definitions of a text as [begin, level, name, line], and [begin, end] of what did not parse, in
    characters; a definition's line begins after the comments before it.
    """
    from tree_sitter import Parser, QueryCursor

    source = text.encode("utf-8", "replace")
    language, query, kinds = _query(grammar)
    root = Parser(language).parse(source).root_node
    captures = QueryCursor(query).captures(root)
    leads = [node for node in captures.get("lead", []) if _is_lead(node, source)]
    places = _Places(source, leads)
    headings = _headings(_nodes(captures, kinds), places)
    errors = [[node.start_byte, node.end_byte] for node in captures.get("error", [])]
    places_in_bytes = [place for begin, _, _, line in headings for place in (begin, line)]
    in_characters = _characters(source, places_in_bytes + [place for error in errors for place in error])
    return {
        "definitions": [
            [in_characters[begin], level, name, in_characters[line]] for begin, level, name, line in headings
        ],
        "errors": [[in_characters[begin], in_characters[end]] for begin, end in errors],
    }


@cache
def _query(grammar: str) -> tuple[Any, Any, dict[str, Definition]]:
    """A grammar's language, the query for its definitions, and these by the names of the captures."""
    import tree_sitter_language_pack
    from tree_sitter import Query

    pack: Any = tree_sitter_language_pack  # which lists the names that it takes
    language = pack.get_language(grammar)

    def has(kind: str) -> bool:
        return language.id_for_node_kind(kind, True) is not None

    kinds, patterns = dict[str, Definition](), ["(ERROR) @error"]
    patterns += [f"({kind}) @lead" for kind in sorted(_LEADS) if has(kind)]
    if grammar == "elixir":
        patterns.append("(unary_operator) @lead")
    for number, definition in enumerate(definitions_of(grammar)):
        if has(definition.kind) and (not definition.parent or has(definition.parent)):
            kinds[f"d{number}"] = definition
            node = f"({definition.kind}) @d{number}"
            patterns.append(f"({definition.parent} {node})" if definition.parent else node)
    return language, Query(language, "\n".join(patterns)), kinds


def _nodes(captures: dict[str, Any], kinds: dict[str, Definition]) -> list[tuple[Any, Definition]]:
    """The nodes that are definitions, in the order in which they begin, what is around others first."""
    pairs = [(node, definition) for name, definition in kinds.items() for node in captures.get(name, [])]
    return sorted(pairs, key=lambda pair: (pair[0].start_byte, -pair[0].end_byte))


def _headings(nodes: list[tuple[Any, Definition]], places: _Places) -> list[tuple[int, int, str, int]]:
    """Where each definition begins, its level from 1, its name, and where its line begins."""
    headings: list[tuple[int, int, str, int]] = []
    ends: list[int] = []
    below = 0  # of a namespace or package that goes on to the end of the file
    for node, definition in nodes:
        while ends and ends[-1] <= node.start_byte:
            ends.pop()
        name = _name(node, definition, places)
        if name is None or len(ends) + below >= DEEPEST:
            continue
        if node.type in FLAT and not _has_body(node):
            below = level = 1
        else:
            level = len(ends) + 1 + (0 if node.type in FLAT else below)
            ends.append(node.end_byte)
        if headings and headings[-1][1:3] == (level, name):
            continue  # another clause of the same function
        headings.append((places.begin(node), level, name, places.line(node)))
        if len(headings) >= MOST_DEFINITIONS:
            break
    return headings


def _has_body(node: Any) -> bool:
    return any(child.type in ("block", "declaration_list", "compound_statement") for child in node.children)


def _name(node: Any, definition: Definition, places: _Places) -> str | None:
    """What a definition is called; None where the node is none."""
    if definition.needs and node.child_by_field_name(definition.needs) is None:
        return None
    if definition.names == ("def",):
        return _lisp_name(node, places)
    name = next(filter(None, (_child(node, where) for where in definition.names)), None)
    if definition.value:
        if name is None or not _is_function(_child(node, definition.value)):
            return None
        return places.text(name.start_byte, name.end_byte)
    if definition.kind == "value_definition" and not _binds_function(name):
        return None
    if name is None:
        return places.first_words(node) if not definition.names else None
    return places.head(node, _innermost(name).end_byte)


def _child(node: Any, where: str) -> Any:
    """A child: of a field, or, after a dot, the first of a type."""
    if not where.startswith("."):
        return node.child_by_field_name(where)
    return next((child for child in node.named_children if child.type == where[1:]), None)


def _innermost(name: Any) -> Any:
    """The name itself, inside of declarators, signatures and calls."""
    while True:
        inner = name.child_by_field_name("declarator")
        if inner is None and name.type in _STATEMENTS:
            inner = next((child for child in name.named_children if child.type.endswith("name")), None)
        if inner is None and name.type in _INWARD:
            inner = next(iter(name.named_children), None)
        if inner is None:
            return name
        name = inner


def _is_function(value: Any) -> bool:
    """Whether the right side of an assignment is a function, a class or a structure."""
    while value is not None and value.type in _WRAPPERS:
        value = next(iter(value.named_children), None)
    if value is None:
        return False
    if value.type in _BODIES:
        return value.child_by_field_name("body") is not None
    return value.type in _FUNCTIONS or value.type == "ContainerDecl"


def _binds_function(binding: Any) -> bool:
    """Whether a `let` of OCaml binds a function."""
    kinds = [] if binding is None else [child.type for child in binding.named_children]
    return any(kind in ("parameter", "fun_expression", "function_expression") for kind in kinds)


def _lisp_name(node: Any, places: _Places) -> str | None:
    """The name in a form `(def... name` of Clojure or in a call `def... name` of Elixir."""
    head, *tail = [child for child in node.named_children if child.type not in _LEADS][:2] or [None]
    if head is None or not tail:
        return None
    word = places.text(head.start_byte, head.end_byte)
    if node.type == "call":
        return places.head(node, _innermost(tail[0]).end_byte) if word in _ELIXIR else None
    is_definition = word.rpartition("/")[2].startswith("def") and tail[0].type == "sym_lit"
    return places.text(node.start_byte, tail[0].end_byte) if is_definition else None


def _is_lead(node: Any, source: bytes) -> bool:
    """Whether a comment or attribute begins its line, so that it may belong to what follows."""
    line = source.rfind(b"\n", 0, node.start_byte) + 1
    is_first = not source[line : node.start_byte].strip() or node.type == "template_parameter_list"
    return is_first and (node.type != "unary_operator" or source[node.start_byte :][:1] == b"@")


class _Places:
    """Where definitions begin in a source, and the words of their first lines."""

    def __init__(self, source: bytes, leads: list[Any]) -> None:
        self._source = source
        self._before = _runs(leads, source)

    def line(self, node: Any) -> int:
        """The first byte of a definition's line."""
        return self._source.rfind(b"\n", 0, node.start_byte) + 1

    def begin(self, node: Any) -> int:
        """The first byte of a definition's line, or of the comments and attributes right before it."""
        line = self.line(node)
        is_first = _is_clean(self._source[line : node.start_byte])
        return self._before.get(line, line) if is_first else int(node.start_byte)

    def head(self, node: Any, end: int) -> str:
        """The words of a definition from its beginning, without attributes, to the end of its name."""
        begin = _after_attributes(node)
        line = self._source.rfind(b"\n", 0, begin) + 1
        if begin == node.start_byte and _is_clean(self._source[line:begin]):
            begin = line
        return self.text(begin, end)

    def first_words(self, node: Any) -> str:
        """The words before the first bracket in the first line of a definition that has no name."""
        begin = _after_attributes(node)
        line = self._source.find(b"\n", begin, node.end_byte)
        words = self.text(begin, line if line > 0 else node.end_byte)
        return min((words.partition(bracket)[0] for bracket in "({:=;"), key=len).strip() or words[:20]

    def text(self, begin: int, end: int) -> str:
        """The words of some bytes, with a blank between two of them."""
        return " ".join(self._source[begin : min(end, begin + 400)].decode("utf-8", "replace").split())[:100]


def _after_attributes(node: Any) -> int:
    """Where a definition begins without its annotations."""
    begin = node.start_byte
    for child in node.children:
        inner = child.children if child.type == "modifiers" else [child]
        attributes = list(itertools.takewhile(lambda each: each.type in _LEADS, inner))
        if attributes:
            begin = attributes[-1].end_byte
        if len(attributes) < len(inner):
            break
    return int(begin)


def _runs(leads: list[Any], source: bytes) -> dict[int, int]:
    """Where comments and attributes that follow each other begin, by the line after the last of them."""
    runs: dict[int, int] = {}
    for node in sorted(leads, key=lambda lead: lead.start_byte):
        line = source.rfind(b"\n", 0, node.start_byte) + 1
        end = node.end_byte - 1 if source[node.end_byte - 1 : node.end_byte] == b"\n" else node.end_byte
        after = source.find(b"\n", end) + 1
        if after and not source[end : after - 1].strip():
            runs[after] = runs.get(line, line)
    return runs


def _is_clean(before: bytes) -> bool:
    """Whether what stands in a line before a definition is words of it, as `export default` is."""
    return all(character.isalnum() or character in _CLEAN for character in before.decode("utf-8", "replace"))


def _characters(source: bytes, places: list[int]) -> dict[int, int]:
    """Of places in bytes those in characters."""
    if source.isascii():
        return {place: place for place in places}
    return dict(_counted(source, sorted(set(places))))


def _counted(source: bytes, places: list[int]) -> Iterator[tuple[int, int]]:
    before = characters = 0
    for place in places:
        characters += len(source[before:place].decode("utf-8", "replace"))
        before = place
        yield place, characters


if __name__ == "__main__":
    main()
