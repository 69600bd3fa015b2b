import itertools

import numpy as np
import pytest

from femtosearch.model.pooling import clusters, pool
from femtosearch.types import Rows


def unit_rows(count, dims=6, seed=0):
    rows = np.random.default_rng(seed).normal(size=(count, dims)).astype("f4")
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def distances(rows):
    return np.clip(1 - rows @ rows.T, 0, 2)


def ward(squares, wanted):
    """The same by the definition: the two clusters that are nearest become one, again and again."""
    sets = {n: [n] for n in range(len(squares))}
    near = {frozenset(pair): squares[pair] for pair in itertools.combinations(sets, 2)}
    while len(sets) > wanted:
        one, other = sorted(min(near, key=near.get))
        height, sizes = near[frozenset((one, other))], {n: len(members) for n, members in sets.items()}
        sets[one] += sets.pop(other)
        for n in sets:
            if n != one:
                a, b, c = sizes[n], sizes[one], sizes[other]
                far = (a + b) * near[frozenset((n, one))] + (a + c) * near.pop(frozenset((n, other)))
                near[frozenset((n, one))] = (far - a * height) / (a + b + c)
        del near[frozenset((one, other))]
    return sorted(map(sorted, sets.values()))


@pytest.mark.parametrize(("count", "wanted"), [(2, 1), (3, 2), (3, 1), (7, 3), (13, 12), (40, 20), (40, 1)])
@pytest.mark.parametrize("seed", range(4))
def test_clusters_are_wards(count, wanted, seed):
    apart = distances(unit_rows(count, seed=seed))
    labels = clusters(apart, wanted)
    assert sorted(set(labels.tolist())) == list(range(wanted))
    found = sorted(np.flatnonzero(labels == label).tolist() for label in range(wanted))
    assert found == ward(np.square(apart, dtype="f8"), wanted)


# labels of scipy 1.17's fcluster(linkage(condensed, "ward"), wanted, "maxclust") - 1
SCIPY = {
    (9, 4): [0, 3, 2, 2, 1, 3, 2, 3, 0],
    (14, 6): [1, 5, 0, 2, 5, 1, 0, 1, 0, 1, 2, 4, 4, 3],
    (14, 13): [3, 11, 2, 7, 12, 4, 0, 5, 1, 6, 7, 9, 10, 8],
}


@pytest.mark.parametrize(("count", "wanted"), SCIPY)
def test_clusters_are_numbered_as_scipy_numbers_them(count, wanted):
    assert clusters(distances(unit_rows(count, seed=count)), wanted).tolist() == SCIPY[count, wanted]


def test_a_texts_rows_become_their_clusters_means_behind_the_protected_ones():
    rows = unit_rows(23)
    pooled = pool(Rows(rows, np.array([0, 11, 11, 12, 23])), 2, 1)
    assert np.diff(pooled.starts).tolist() == [6, 0, 1, 6]
    assert pooled.rows.dtype == np.float32
    assert np.array_equal(pooled[0][0], rows[0])
    assert np.array_equal(pooled[2], rows[11:12])
    labels = clusters(distances(rows[1:11]), 5)
    means = [rows[1:11][labels == label].mean(axis=0) for label in range(5)]
    np.testing.assert_allclose(pooled[0][1:], means, atol=1e-6)
    np.testing.assert_allclose(pool(Rows(rows, np.array([0, 11, 11, 12, 23])), 2)[3], pooled[3])


def test_pools_are_unit_length_if_that_is_asked_for():
    rows = Rows(unit_rows(20), np.array([0, 20]))
    assert np.linalg.norm(pool(rows, 3).rows, axis=1).min() < 0.99
    np.testing.assert_allclose(np.linalg.norm(pool(rows, 3, unit=True).rows, axis=1), 1, atol=1e-6)


def test_a_factor_between_whole_numbers_and_protected_rows_count():
    rows = Rows(unit_rows(20), np.array([0, 20]))
    assert [len(pool(rows, factor, 0).rows) for factor in (1, 1.5, 2, 3, 1000)] == [20, 13, 10, 6, 1]
    assert len(pool(rows, 2, 8).rows) == 8 + 6
    assert len(pool(rows, 2, 30).rows) == 20


def test_rows_that_are_the_same_are_one_cluster():
    rows = np.repeat(unit_rows(2), 6, axis=0)
    labels = clusters(distances(rows), 2)
    assert labels[:6].tolist() == [labels[0]] * 6
    assert labels[6:].tolist() == [labels[6]] * 6


def test_no_texts_are_no_rows():
    assert pool(Rows(np.zeros((0, 6), "f4"), np.zeros(1, "i8")), 2).rows.shape == (0, 6)
