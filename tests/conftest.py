"""What tests of several modules need."""

import io
import os
import sys
import tempfile
from importlib.util import find_spec

import pytest

from femtosearch import _core

from .chromium import browser  # noqa: F401 a fixture of the tests of both pages
from .passed import pytest_addoption, pytest_configure  # noqa: F401 the option --passed

HAS_TORCH = find_spec("torch") is not None
HAS_SERVER = all(map(find_spec, ("fastapi", "uvicorn", "prometheus_client")))
if "PYTEST_XDIST_WORKER" not in os.environ:  # a worker takes over what the first process has
    CACHE = tempfile.TemporaryDirectory(prefix="femtosearch-tests-")
    os.environ["FEMTOSEARCH_CACHE"] = CACHE.name  # a run solves for an FDE's factor once, and leaves nothing
os.environ.pop("FEMTOSEARCH_NO_CACHE", None)
collect_ignore = ([] if HAS_TORCH else ["train"]) + ([] if HAS_SERVER else ["server"])  # which need it


def pytest_report_header():
    return None if HAS_TORCH else "without torch, so without tests/train: `make dev-all` installs it"


@pytest.fixture(params=_core.kernels())
def kernel(request):
    """Each instruction set of this processor in turn."""
    before = _core.kernel()
    _core.use(request.param)
    yield request.param
    _core.use(before)


@pytest.fixture
def stdin(monkeypatch):
    """stdin(content) puts bytes on standard input, and returns the stream."""

    def feed(content):
        stream = io.TextIOWrapper(io.BufferedReader(io.BytesIO(content)))
        monkeypatch.setattr(sys, "stdin", stream)
        return stream

    return feed
