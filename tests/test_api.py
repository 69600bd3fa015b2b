"""The public surface, pinned: a name appears or goes only on purpose."""

import subprocess
import sys

import pytest

import femtosearch
from femtosearch import errors

NAMES = [
    "BertConfig", "CheckpointError", "Conventions", "CorruptError", "Coverage", "Document", "DocumentError",
    "FdeError", "FdeMismatchError", "FemtosearchError", "Hit", "Index", "LockedError", "MissingExtraError",
    "Model", "ModelMismatchError", "Passages", "QueryError", "ReadError", "RecipeError", "Rows",
    "ServerError", "ShapeError", "StoreError", "UnknownQueryWarning", "connect", "connect_async", "evaluate",
    "fde", "maxsim", "rerank",
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
    raised = found - {"UnknownQueryWarning"}
    assert all(issubclass(getattr(errors, name), errors.FemtosearchError) for name in raised)


@pytest.fixture(scope="module")
def femto():
    return femtosearch.Model.load("femto")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model: femtosearch.Model.load(5), "expected the path of a file or folder, found int"),
        (
            lambda model: femtosearch.Model.load("femto", pool_factor="x"),
            "pool_factor should be a number .* found 'x'",
        ),
        (lambda model: model.encode_queries(None), "expected a list of texts, found NoneType"),
        (lambda model: model.encode_documents(5), "expected a list of texts, found int"),
        (lambda model: model.encode_passages(None), "expected a list of texts, found NoneType"),
        (lambda model: model.encode_documents(["a"], threads=1.5), "threads: expected a whole number"),
        (lambda model: model.encode_documents(["a"], threads=1 << 40), "threads: expected a whole number"),
        (lambda model: model.save(None), "expected the path of a file or folder, found NoneType"),
        (lambda model: model.save_onnx(5), "expected the path of a file or folder, found int"),
        (
            lambda model: femtosearch.evaluate(5, model),
            "sources: expected a folder or a list of them, found int",
        ),
        (lambda model: femtosearch.Index(5), "folder: expected a path or None"),
        (lambda model: femtosearch.Index(model=model).set_fde(5), "fde: expected an Fde"),
        (
            lambda model: femtosearch.Index(model=model).calibrate(3),
            "queries: expected an iterable of queries",
        ),
        (
            lambda model: femtosearch.Index(model=model).calibrate("a b"),
            "queries: expected an iterable of queries",
        ),
        (lambda model: femtosearch.Index(model=model, timeout="x"), "timeout: expected a number of seconds"),
    ],
)
def test_what_makes_no_sense_is_an_error_of_ours(femto, call, message):
    with pytest.raises(femtosearch.FemtosearchError, match=message):
        call(femto)
