"""A model card's programs run with only the imports changed, and give what the peers give (golden)."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from femtosearch.model.model import Model
from tests.golden.make_card import DOCUMENTS, HERE, QUERIES

IMPORTS = {
    "import txtai\n": "import femtosearch.compat.txtai as txtai\n",
    "from txtai.pipeline import": "from femtosearch.compat.txtai.pipeline import",
    "from pylate import": "from femtosearch.compat.pylate import",
}
ROWS = 2e-3  # of a mean of products of rows that an index holds in one byte a number


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("card") / "femto"
    Model.load("femto").save(folder)
    return str(folder)


def answers(program, path):
    """What a program gives with our imports."""
    return run(Path(HERE, f"{program}.txt").read_text(encoding="utf-8"), path)


def run(text, path, **more):
    for theirs, ours in IMPORTS.items():
        text = text.replace(theirs, ours)
    assert "femtosearch.compat" in text
    names = {"path": path, "documents": DOCUMENTS, "queries": QUERIES, **more}
    exec(compile(text, "card", "exec"), names)
    return names["answers"]


def golden(program):
    return json.loads(Path(HERE, f"{program}.json").read_text(encoding="utf-8"))["answers"]


def compare(ours, theirs, tolerance):
    """The same order and ids; scores up to a tolerance."""
    assert [[row["id"] for row in rows] for rows in ours] == [[row["id"] for row in rows] for rows in theirs]
    for own, other in zip(ours, theirs, strict=True):
        for row, expected in zip(own, other, strict=True):
            assert row.keys() == expected.keys()
            assert math.isclose(row["score"], expected["score"], abs_tol=tolerance)


def test_the_embeddings_database(path):
    """The shape is txtai's; order and scores are its Similarity's, for ours ranks by MaxSim at once."""
    ours, theirs = answers("embeddings", path), golden("embeddings")
    assert all(row.keys() == theirs[0][0].keys() for rows in ours for row in rows)
    check_scores(ours, ROWS)
    assert [[row["id"] for row in rows] for rows in ours] == [
        [str(number) for number, _ in scores[:3]] for scores in golden("similarity")
    ]


def test_the_similarity_pipeline(path):
    for ours, theirs in zip(answers("similarity", path), golden("similarity"), strict=True):
        assert [number for number, _ in ours] == [number for number, _ in theirs]
        for (_, own), (_, expected) in zip(ours, theirs, strict=True):
            assert math.isclose(own, expected, abs_tol=1e-4)


def test_the_reranker(path):
    """txtai's search leaves out what has a cosine below 0, which ours finds and ranks."""
    ours, theirs = answers("reranker", path), golden("reranker")
    check_scores(ours, 1e-4)
    check_scores(theirs, 1e-6)
    assert [rows[0]["id"] for rows in ours] == [rows[0]["id"] for rows in theirs]
    for own, other in zip(ours, theirs, strict=True):
        assert own[0].keys() == other[0].keys()
        assert all(mine["score"] >= row["score"] - 1e-4 for mine, row in zip(own, other, strict=True))


def check_scores(answers, tolerance):
    """Whether the rows of each query have their texts, and the scores of txtai's Similarity."""
    for rows, scores in zip(answers, golden("similarity"), strict=True):
        known = {str(number): score for number, score in scores}
        for row in rows:
            assert math.isclose(row["score"], known[row["id"]], abs_tol=tolerance)
            assert row["text"] == DOCUMENTS[int(row["id"])]


def test_encode_and_rerank_by_hand(path):
    """PyLate pads all but the longest document with rows of zeros: with one such row ours has its scores."""
    program = Path(HERE, "pylate.txt").read_text(encoding="utf-8")
    padded = program.replace("reranked =", "documents_embeddings = padded(documents_embeddings)\nreranked =")
    compare(run(padded, path, padded=with_zeros), golden("pylate"), 1e-3)
    compare(answers("pylate", path), golden("pylate"), 0.2)


def with_zeros(lists):
    for documents in lists:
        longest = max(map(len, documents))
        for n, rows in enumerate(documents):
            if len(rows) < longest:
                documents[n] = np.vstack([rows, np.zeros((1, rows.shape[1]), np.float32)])
    return lists


def test_sql_of_the_common_kind(path):
    assert answers("sql", path) == golden("sql")
