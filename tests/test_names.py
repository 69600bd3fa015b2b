"""Names say what a thing is, and functions and files are short enough to be read at once."""

import ast
from functools import cache
from pathlib import Path

import pytest

import femtosearch

PACKAGE = Path(femtosearch.__file__).parent
FILES = sorted(path for path in PACKAGE.rglob("*.py") if "builtin" not in path.parts)
GENERIC = {  # words that could stand for anything
    "found", "said", "one", "part", "parts", "whole", "some", "rest", "other", "others", "given", "wanted",
    "kept", "made", "known", "own", "held", "thing", "things", "done", "taken", "left", "both", "each",
    "here", "there", "same", "told", "several", "asked",
}  # fmt: skip
BUDGET = 0.0055  # of all assignments
MOST_LINES = {"file": 410, "function": 40}


@cache
def nodes(path):
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def assigned(path):
    return [node.id for node in nodes(path) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]


@pytest.mark.slow
def test_generic_names_are_rare():
    names = [name for path in FILES for name in assigned(path)]
    assert sum(name in GENERIC for name in names) < BUDGET * len(names)


def lines_without_docstring(function):
    lines = function.end_lineno - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is not None:
        lines -= first.end_lineno - first.lineno + 1
    return lines


@pytest.mark.slow
def test_functions_and_files_are_short():
    functions = {
        f"{path.relative_to(PACKAGE)}:{node.name}": lines_without_docstring(node)
        for path in FILES
        for node in nodes(path)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }
    assert [name for name, lines in functions.items() if lines > MOST_LINES["function"]] == []
    lengths = {
        str(path.relative_to(PACKAGE)): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES
    }
    assert [name for name, lines in lengths.items() if lines > MOST_LINES["file"]] == []
