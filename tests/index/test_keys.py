"""Keys in rising order, with and without gaps."""

import numpy as np
import pytest

from femtosearch.index.keys import contains, positions


@pytest.mark.parametrize("keys", [[], [7], [3, 4, 5, 6], [3, 4, 6, 9], [-2, -1, 0, 1]])
def test_where_a_key_is_and_whether(keys):
    rising, values = np.array(keys, np.int64), np.array([5, -3, 3, 100, 9, 4, 0, 7, 3], np.int64)
    assert contains(rising, values).tolist() == [value in keys for value in values.tolist()]
    assert positions(rising, values).tolist() == np.searchsorted(rising, values).tolist()
    assert positions(rising, values[:0]).shape == (0,)
