"""Weights of queries' rows: what is computed, who applies them, and what a bad file says."""

import pickle

import numpy as np
import pytest

from femtosearch import fde, maxsim
from femtosearch.errors import CheckpointError
from femtosearch.index.index import Index
from femtosearch.model.checkpoint.query_weights import QUERY_WEIGHTS, QueryWeights, query_weight_bytes
from femtosearch.model.model import Model
from femtosearch.model.weighting import Weighting
from femtosearch.tensors import tensor_bytes
from femtosearch.types import Rows

from ..tiny import write_tiny_model

QUERIES = ["red moon", "the fast dog ran", "a"]


def network(dims, hidden=3, seed=4):
    rng = np.random.default_rng(seed)
    shapes = [(hidden, dims), (hidden,), (1, hidden), (1,)]
    arrays = [rng.normal(size=shape).astype(np.float16).astype(np.float32) * 2 for shape in shapes]
    return QueryWeights(*arrays, np.float32([1.5]))


@pytest.fixture
def folder(tmp_path):
    folder = write_tiny_model(tmp_path / "tiny")
    (folder / QUERY_WEIGHTS).write_bytes(query_weight_bytes(network(Model.load(folder).dims)))
    return folder


def by_numpy(weights, rows):
    """The formula of the docstring, in float64, with a mean of 1."""
    hidden = np.maximum(rows.astype(float) @ weights.inner.T + weights.inner_bias, 0)
    counts = np.log1p(np.exp(hidden @ weights.outer[0] + weights.outer_bias[0]))
    counts[0] *= weights.first[0]
    return counts / counts.mean()


def test_weights_are_the_formulas_and_the_same_in_any_company():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(30, 8)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    weights = network(8)
    texts = Rows(rows, np.array([0, 12, 12, 13, 30]))
    together = Weighting(weights).of(texts)
    expected = [by_numpy(weights, text) for text in texts if len(text)]
    np.testing.assert_allclose(together, np.concatenate(expected), rtol=1e-5)
    assert together[12] == 1 and together.std() > 0.1
    alone = Weighting(weights).of(Rows(rows[13:].copy(), np.array([0, 17])), threads=1)
    assert (together[13:] == alone).all()


def test_queries_are_as_long_as_they_weigh_by_every_road_and_documents_are_not(folder):
    model = Model.load(folder)
    plain = model.unweighted()
    assert model.weighs and not plain.weighs and model.fingerprint == plain.fingerprint
    rows, unit = model.encode_queries(QUERIES), plain.encode_queries(QUERIES)
    lengths = np.linalg.norm(rows.rows, axis=1)
    assert lengths.std() > 0.05
    np.testing.assert_allclose(rows.rows, unit.rows * lengths[:, None], atol=1e-6)
    np.testing.assert_allclose([np.linalg.norm(text, axis=1).mean() for text in rows], 1, rtol=1e-5)
    assert (model.encode_query_pieces(QUERIES).rows.rows == rows.rows).all()
    assert (model.token_rows(QUERIES[1], query=True)[0] == rows[1]).all()
    assert (model.encode_documents(QUERIES).rows == plain.encode_documents(QUERIES).rows).all()
    assert pickle.loads(pickle.dumps(model)).weighs and not pickle.loads(pickle.dumps(plain)).weighs


def test_an_index_ranks_by_them_and_need_not_be_made_anew(folder, tmp_path):
    model = Model.load(folder)
    texts = ["red dog", "moon ran fast", "the a the", "dog moon"]
    with Index(tmp_path / "index", model=model.unweighted()) as index:
        index.add(texts)
    with Index(tmp_path / "index", model=model) as index:
        hits = index.search("the fast dog ran", k=4, mode="maxsim", hybrid=0)
        explained = index.search("the fast dog ran", k=1, mode="maxsim", hybrid=0, explain=True)[0]
    scores = maxsim(model.encode_queries(["the fast dog ran"]), model.encode_documents(texts))[0]
    np.testing.assert_allclose([hit.score for hit in hits], np.sort(scores)[::-1], atol=0.05)
    assert explained.score == hits[0].score


def test_they_are_saved_and_other_libraries_ways_have_none(folder, tmp_path):
    model = Model.load(folder)
    model.save(tmp_path / "copy")
    copy = Model.load(tmp_path / "copy")
    assert (copy.encode_queries(QUERIES).rows == model.encode_queries(QUERIES).rows).all()
    assert any("weigh" in caveat for caveat in model.caveats)
    assert not Model.load(folder, conventions="pylate").weighs
    assert Model.load(folder, conventions=model.conventions).weighs


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("outer"), "expected"),
        (lambda tensors: tensors.update(inner=tensors["inner"][:, 1:]), "found"),
        (lambda tensors: tensors.update(inner=tensors["inner"][0]), "found"),
        (lambda tensors: tensors["outer"].fill(np.nan), "outer to be finite"),
        (lambda tensors: tensors["first"].fill(0), "first to be above 0"),
        (lambda tensors: tensors.update(more=tensors["outer"]), "found"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_name(folder, change, message):
    tensors = {name: array.copy() for name, array in network(Model.load(folder).dims).tensors.items()}
    change(tensors)
    (folder / QUERY_WEIGHTS).write_bytes(tensor_bytes(tensors))
    with pytest.raises(CheckpointError, match=f"{QUERY_WEIGHTS}.*{message}"):
        Model.load(folder)


def test_a_learned_fde_counts_a_row_as_often_as_it_weighs():
    lemur = Model.load("femto").fde
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(3, lemur.features.dims)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    repeated = lemur.queries(Rows(rows[[0, 0, 1, 2, 2, 2]], np.array([0, 6])), numbers=64)
    weighted = lemur.queries(Rows(rows * np.float32([[2], [1], [3]]), np.array([0, 3])), numbers=64)
    np.testing.assert_allclose(weighted, repeated, atol=1e-3 * np.abs(repeated).max())
    assert isinstance(lemur, fde.Lemur)
