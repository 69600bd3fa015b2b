import json

import pytest

from femtosearch.index.index import Index
from femtosearch.model.model import Model
from femtosearch.read import read
from femtosearch.server.cluster.build import build

SHARDS = 3
TEXT = (
    "boundary layer flow over a flat plate in shear heat transfer shock wave wing body supersonic pressure "
    "lift drag jet nozzle turbulent laminar cylinder blunt nose panel flutter creep buckling shell"
)
WORDS = TEXT.split()
QUERIES = [
    "heat transfer of a blunt nose",
    '"boundary layer" over a wing',
    "creep buckling shell",
    '"shock wave" "heat transfer"',
    "the of",
    "flutter",
    "\u201cboundary layer\u201d over a \ufb02at wi\xadng",
    " ".join(WORDS[number * 5 % len(WORDS)] for number in range(90)),  # asked in pieces
]


def text_of(number):
    """A text that has words of its own, and is long where its number says so."""
    length = 9 + number % 7 if number % 6 else 260
    return " ".join(WORDS[(number * 7 + at * at + at) % len(WORDS)] for at in range(length))


def write_lines(path, numbers, more=""):
    lines = [
        {
            "id": f"d{number}",
            "text": text_of(number) + more,
            "author": f"a{number % 5}",
            "year": 2000 + number % 9,
        }
        for number in numbers
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture(scope="session")
def model():
    return Model.load("femto")


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """A folder with two files, in one of which a document of the other is again."""
    folder = tmp_path_factory.mktemp("corpus")
    write_lines(folder / "a.jsonl", range(60))
    write_lines(folder / "b.jsonl", range(50, 90), " again")
    return folder


@pytest.fixture(scope="session")
def single(corpus, model):
    """One index of all documents."""
    index = Index(model=model)
    index.add(read([corpus]))
    return index


@pytest.fixture(scope="session")
def built(corpus, tmp_path_factory):
    """The same documents in shards; tests that change it copy it first."""
    out = tmp_path_factory.mktemp("built") / "out"
    build([corpus], out, shards=SHARDS, address="here", model="femto")
    return out
