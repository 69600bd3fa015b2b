"""What tests of evaluation need."""

import pytest

from femtosearch.model.model import Model

from ..tiny import write_tiny_model
from .collections import write_beir


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny", layer_spread=0.02)


@pytest.fixture(scope="session")
def tiny(tiny_folder):
    return Model.load(tiny_folder)


@pytest.fixture
def beir(tmp_path):
    return write_beir(tmp_path / "toy")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Nothing is written outside of the test's folder."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("FEMTOSEARCH_CACHE", str(folder))
    monkeypatch.delenv("FEMTOSEARCH_COLLECTIONS", raising=False)
    return folder
