"""Every example in the package's docstrings runs."""

import doctest
import importlib
import pkgutil

import pytest

import femtosearch
from femtosearch.errors import MissingExtraError

MODULES = [
    module.name
    for module in pkgutil.walk_packages(femtosearch.__path__, "femtosearch.")
    if not module.name.endswith(("__main__", "_core"))
]
EXTRAS = (
    "torch", "transformers", "onnx", "fastapi", "starlette", "pydantic", "uvicorn", "prometheus_client",
    "mcp", "haystack", "langchain_core", "llama_index",
)  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        if not isinstance(error, MissingExtraError) and (error.name or "").split(".")[0] not in EXTRAS:
            raise
        pytest.skip(f"{error}")
    assert doctest.testmod(module).failed == 0
