"""Every example in the package's docstrings runs."""

import doctest
import importlib
import pkgutil

import pytest

import femtosearch

MODULES = [
    module.name
    for module in pkgutil.walk_packages(femtosearch.__path__, "femtosearch.")
    if not module.name.endswith(("__main__", "_core"))
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0
