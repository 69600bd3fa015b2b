"""What the peers computed (golden/make_*.py) against ours: the same rows, as many, in the same order."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from femtosearch.index.rerank import rerank
from femtosearch.model.model import Model
from femtosearch.types import Conventions
from tests.golden.arrays import DOCUMENTS, FIXED, MODELS, QUERIES, TEXTS

GOLDEN = Path(__file__).parent / "golden"
PEERS = ("pylate", "sentence-transformers", "txtai")
CASES = [(peer, path.stem) for peer in PEERS for path in sorted((GOLDEN / peer).glob("*.npz"))]
POOLED = [case for case in CASES if "pooled2_rows" in np.load(GOLDEN / case[0] / f"{case[1]}.npz")]
LAYOUTS = {path.name for path in MODELS.iterdir()}
# A plain backbone says nothing, so make_pylate.py says it.
SAID = Conventions(query_prefix="[unused0]", document_prefix="[unused1]", query_length=12, document_length=24)
TOLERANCE = 1e-4


@cache
def load(peer, name):
    return Model.load(MODELS / name, conventions=SAID if (peer, name) == ("pylate", "backbone") else peer)


def test_every_model_has_arrays_of_sentence_transformers():
    assert {name for peer, name in CASES if peer == "sentence-transformers"} == LAYOUTS
    assert {peer for peer, _ in CASES} == set(PEERS)
    assert {peer for peer, _ in POOLED} == {"pylate", "sentence-transformers"}


@pytest.mark.parametrize("kind", ["query", "document"])
@pytest.mark.parametrize(("peer", "name"), CASES)
def test_rows_are_the_peers(peer, name, kind):
    golden = np.load(GOLDEN / peer / f"{name}.npz")
    model = load(peer, name)
    ours = (model.encode_queries if kind == "query" else model.encode_documents)(TEXTS)
    counts = np.diff(golden[f"{kind}_starts"])
    assert dict(enumerate(np.diff(ours.starts))) == dict(enumerate(counts))
    np.testing.assert_allclose(ours.rows, golden[f"{kind}_rows"] / FIXED, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize(("peer", "name"), POOLED)
def test_pooled_rows_are_the_peers(peer, name, factor):
    golden = np.load(GOLDEN / peer / f"{name}.npz")
    ours = Model.load(MODELS / name, conventions=peer, pool_factor=factor).encode_documents(TEXTS)
    assert ours.starts.tolist() == golden[f"pooled{factor}_starts"].tolist()
    np.testing.assert_allclose(ours.rows, golden[f"pooled{factor}_rows"] / FIXED, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(("peer", "name"), CASES)
def test_orders_are_the_peers(peer, name):
    """A score is a sum over query rows, each within the tolerance."""
    orders = json.loads((GOLDEN / peer / "peer.json").read_text())["orders"][name]
    model = load(peer, name)
    for query, order in zip(QUERIES, orders, strict=True):
        numbers = sorted(number for number, _ in order)
        hits = rerank(model, query, [{"id": str(n), "text": DOCUMENTS[n]} for n in numbers])
        assert [int(hit.id) for hit in hits] == [number for number, _ in order]
        np.testing.assert_allclose([hit.score for hit in hits], [s for _, s in order], rtol=0, atol=1e-4)
