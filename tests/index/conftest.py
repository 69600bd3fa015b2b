"""What the tests of indexes share."""

import pytest

from femtosearch.index import search

SCORES = {"test_hybrid", "test_explain"}  # modules that look at how scores are made


@pytest.fixture(autouse=True)
def plain_scores(request, monkeypatch):
    """Scores are MaxSim, which a few lines of numpy can check, where a test does not say otherwise."""
    if request.module.__name__.rpartition(".")[2] not in SCORES:
        monkeypatch.setattr(search, "WEIGHT", 0.0)
        monkeypatch.setattr(search, "PENALTY", 0.0)
