"""`_core.pyi` says what the native core has: names, parameters, their order and their defaults.

mypy's stubtest knows no functions of nanobind, so what they say of themselves is compared here.
"""

import ast
import re
from pathlib import Path

import femtosearch
from femtosearch import _core

STUB = ast.parse((Path(femtosearch.__file__).parent / "_core.pyi").read_text(encoding="utf-8"))


def in_stub(body, prefix=""):
    """name -> [(parameter, default or the empty string)] of functions; of properties an empty list."""
    entries = {}
    for node in body:
        if isinstance(node, ast.ClassDef):
            entries |= in_stub(node.body, f"{node.name}.")
        elif isinstance(node, ast.FunctionDef):
            arguments = node.args.args
            defaults = [""] * (len(arguments) - len(node.args.defaults))
            defaults += [ast.unparse(default) for default in node.args.defaults]
            names = [argument.arg for argument in arguments]
            pairs = list(zip(names, defaults, strict=True))
            entries[prefix + node.name] = [] if node.decorator_list else pairs
    return entries


def in_core(owner, prefix=""):
    entries = {}
    for name, value in vars(owner).items():
        if isinstance(value, type):
            entries |= in_core(value, f"{name}.")
        elif isinstance(value, property):
            entries[prefix + name] = []
        elif hasattr(value, "__nb_signature__"):
            [(text, _, defaults)] = value.__nb_signature__
            parameters = re.findall(r"(\w+)(?::[^,()]*?)?(?: = \\(\d+))?(?=[,)])", text.split("->")[0])
            entries[prefix + name] = [(n, repr(defaults[int(at)]) if at else "") for n, at in parameters]
    return entries


def test_the_stub_is_the_core():
    assert in_core(_core) == in_stub(STUB.body)
