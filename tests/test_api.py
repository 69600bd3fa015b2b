"""The public surface, pinned: a name appears or goes only on purpose."""

import subprocess
import sys

import pytest

import femtosearch
from femtosearch import errors

NAMES = [
    "BertConfig", "CheckpointError", "Conventions", "CorruptError", "Document", "DocumentError", "FdeError",
    "FdeMismatch", "FemtosearchError", "Hit", "Index", "LockedError", "MissingExtra", "Model",
    "ModelMismatch", "Passages", "QueryError", "ReadError", "RecipeError", "Rows", "ShapeError",
    "StoreError", "evaluate", "fde", "maxsim", "rerank",
]  # fmt: skip


def test_the_public_names():
    assert femtosearch.__all__ == NAMES
    assert all(hasattr(femtosearch, name) for name in NAMES)


def test_evaluate_is_loaded_when_it_is_used():
    code = (
        "import sys, femtosearch as fs\n"
        "loaded = 'femtosearch.evaluation' in sys.modules\n"
        "assert 'evaluate' in dir(fs)\n"
        "import femtosearch.evaluation as module\n"
        "from femtosearch import *\n"
        "print(loaded, fs.evaluate is module.evaluate is evaluate, type(module).__name__)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "True", "module"]


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'femtosearch' has no attribute 'evaluates'"):
        femtosearch.evaluates  # noqa: B018


def test_every_error_has_one_root_and_is_public():
    found = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert found <= set(NAMES)
    assert all(issubclass(getattr(errors, name), errors.FemtosearchError) for name in found)
