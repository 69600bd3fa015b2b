import pytest

from femtosearch.compat.cross_encoder import CrossEncoder
from femtosearch.index.index import Index

TEXTS = {"cat": "the cat sat on the mat", "dog": "the dog ran fast", "moon": "a red moon at night"}


@pytest.fixture(scope="module")
def index():
    with Index(model="femto") as index:
        index.add([{"id": name, "text": text, "length": len(text)} for name, text in TEXTS.items()])
        yield index


@pytest.fixture(scope="module")
def encoder():
    return CrossEncoder("femto")
