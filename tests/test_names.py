"""Names say what a thing is: words that could stand for anything are rare."""

import ast
from pathlib import Path

import femtosearch

PACKAGE = Path(femtosearch.__file__).parent
GENERIC = frozenset(
    [
        "found",
        "said",
        "one",
        "part",
        "parts",
        "whole",
        "some",
        "rest",
        "other",
        "others",
        "given",
        "wanted",
        "kept",
        "made",
        "known",
        "own",
        "held",
        "thing",
        "things",
        "done",
        "taken",
        "left",
    ]
)
BUDGET = 0.02  # of all assignments


def assigned(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    ]


def test_generic_names_are_rare():
    names = [name for path in PACKAGE.rglob("*.py") if "builtin" not in path.parts for name in assigned(path)]
    assert sum(name in GENERIC for name in names) < BUDGET * len(names)
