"""Token pruning: which rows go, on every instruction set, and what a search sees of it."""

from dataclasses import replace

import numpy as np
import pytest

from femtosearch import _core, reference
from femtosearch.errors import CheckpointError, ShapeError
from femtosearch.index.index import Index
from femtosearch.model.model import Model
from femtosearch.model.pruning import distinct, prune
from femtosearch.types import Rows

REPEATED = "the wing of a plane. " * 30 + "One more thing: an engine."


def near_rows(lengths, dims, seed=1):
    """Unit rows, many of them near one another."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(9, dims))
    rows = centres[rng.integers(0, 9, sum(lengths))] + 0.4 * rng.normal(size=(sum(lengths), dims))
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Rows(reference.normalise(rows).astype(np.float32), starts)


@pytest.mark.parametrize("dims", [1, 3, 50, 64])
@pytest.mark.parametrize("most", [0.0, 0.5, 0.9])
def test_what_is_kept_is_the_references(kernel, dims, most):
    rows = near_rows([0, 1, 5, 64, 65, 300, 0, 17], dims)
    for framing in ((0, 0), (2, 1), (7, 7)):
        keep = _core.distinct(rows.rows, rows.starts, most, *framing)
        assert (keep == reference.distinct(rows.rows, rows.starts, most, *framing)).all()
    assert dims == 1 or 0 < _core.distinct(rows.rows, rows.starts, most).mean() < 1


def test_threads_and_company_change_nothing():
    rows = near_rows([40] * 50, 16)
    keep = distinct(rows, 0.8, threads=1)
    assert (distinct(rows, 0.8, threads=2) == keep).all()
    alone = Rows(rows[7], np.array([0, 40]))
    assert (distinct(alone, 0.8) == keep[280:320]).all()


def test_no_row_that_goes_is_far_from_all_that_stay():
    rows, above = near_rows([200, 30], 24), 0.85
    pruned = prune(rows, above)
    assert len(pruned) == 2 and len(pruned.rows) < len(rows.rows)
    for before, after in zip(rows, pruned, strict=True):
        products = before @ after.T
        assert (products.max(axis=1) > above - 1e-6).all()
        between = after @ after.T - np.eye(len(after))
        assert between.max() <= above + 1e-6


def test_a_text_without_rows_and_a_limit_of_one():
    rows = near_rows([0, 3, 0], 8)
    assert np.diff(prune(rows, 0.0).starts).tolist()[::2] == [0, 0]
    assert prune(rows, 1.0) is rows and distinct(rows, 1.0).all()


def test_framing_rows_stay_though_they_are_alike():
    rows = Rows(np.tile(np.float32([1, 0]), (9, 1)), np.array([0, 9]))
    assert distinct(rows, 0.5).tolist() == [True] + [False] * 8
    assert distinct(rows, 0.5, (2, 1)).tolist() == [True] * 3 + [False] * 5 + [True]
    assert distinct(rows, 0.5, (9, 9)).all()


@pytest.mark.parametrize("most", [-0.1, np.nan])
def test_a_limit_below_zero_is_refused(most):
    rows = near_rows([3], 8)
    with pytest.raises(ShapeError, match="most: expected a product of at least 0"):
        _core.distinct(rows.rows, rows.starts, most)


@pytest.mark.parametrize("above", [-0.1, 1.5, "x", True])
def test_a_convention_that_makes_no_sense_is_refused(above):
    with pytest.raises(CheckpointError, match=r"prune_above should be a number from 0 to 1, found"):
        Model.load("femto", prune_above=above)


@pytest.mark.parametrize("name", ["megabyte", "femto"])
def test_the_built_in_models_prune_passages_but_not_documents(name):
    pruning, whole = Model.load(name), Model.load(name, prune_above=1.0)
    assert pruning.conventions == replace(whole.conventions, prune_above=0.9)
    ours, all_rows = pruning.encode_documents([REPEATED]), whole.encode_documents([REPEATED])
    assert (ours.rows == all_rows.rows).all()
    passages = pruning.encode_passages([REPEATED]).rows
    assert len(passages.rows) < 0.5 * len(whole.encode_passages([REPEATED]).rows.rows)
    assert pruning.fingerprint != whole.fingerprint
    rows, spans = pruning.passage_rows(REPEATED)
    assert (rows == passages.rows).all() and len(spans) == len(rows)
    assert (pruning.token_rows(REPEATED)[0] == ours.rows).all()


def test_an_explanation_knows_only_the_rows_that_are_there():
    model = Model.load()
    with Index(model=model, fde=None) as index:
        index.add([{"id": "plane", "text": REPEATED}])
        (hit,) = index.search("wings of planes", explain=True)
    tokens = hit.explanation.tokens
    assert sum(match.weight * match.similarity for match in tokens) == pytest.approx(hit.maxsim, abs=0.05)
    rows = model.encode_passages([REPEATED]).rows
    exact = reference.maxsim(model.encode_queries(["wings of planes"]).rows, rows.rows, rows.starts)[0]
    assert sum(match.weight * match.similarity for match in tokens) == pytest.approx(float(exact), abs=1e-4)
