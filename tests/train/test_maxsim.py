"""The three MaxSims agree with the definition, and the lean gradient with autograd's."""

import numpy as np
import pytest
import torch

from femtosearch.train.maxsim import FAR, flat_maxsim, maxsim, own_maxsim


@pytest.fixture
def texts():
    """queries [3, 5, 4], their mask, passages [2, 6, 4], which rows are kept."""
    rng = np.random.default_rng(0)
    queries, passages = rng.normal(size=(3, 5, 4)), rng.normal(size=(2, 6, 4))
    query_mask, kept = rng.random((3, 5)) < 0.7, rng.random((2, 6)) < 0.7
    return tuple(map(torch.from_numpy, (queries.astype("f4"), query_mask, passages.astype("f4"), kept)))


def test_torchs_maxsim_is_the_engines(texts):
    queries, query_mask, passages, kept = texts
    found = maxsim(*texts)
    for q in range(3):
        for p in range(2):
            expected = (queries[q][query_mask[q]] @ passages[p][kept[p]].T).amax(1).sum()
            assert float(found[q, p]) == pytest.approx(float(expected), abs=1e-5)


def test_flat_rows_give_the_same(texts):
    queries, query_mask, passages, kept = texts
    found = flat_maxsim(queries[query_mask], query_mask.sum(1), passages[kept], kept.sum(1).tolist())
    torch.testing.assert_close(found, maxsim(*texts))


def test_own_candidates_give_the_same(texts):
    queries, query_mask, passages, kept = texts
    found = own_maxsim(queries, query_mask, passages.expand(3, -1, -1, -1), kept.expand(3, -1, -1))
    torch.testing.assert_close(found, maxsim(*texts))
    empty = own_maxsim(queries, query_mask, passages.expand(3, -1, -1, -1), torch.zeros(3, 2, 6, dtype=bool))
    assert (empty <= FAR).all()


def test_the_lean_gradient_is_autograds(texts):
    queries, query_mask, passages, kept = texts
    weights = torch.randn(3, 2, generator=torch.Generator().manual_seed(0))
    plain = [queries.clone().requires_grad_(), passages.clone().requires_grad_()]
    (maxsim(plain[0], query_mask, plain[1], kept) * weights).sum().backward()
    lean = [queries.clone().requires_grad_(), passages.clone().requires_grad_()]
    scores = flat_maxsim(lean[0][query_mask], query_mask.sum(1), lean[1][kept], kept.sum(1).tolist())
    (scores * weights).sum().backward()
    for one, other in zip(plain, lean, strict=True):
        torch.testing.assert_close(one.grad, other.grad)
