"""Operations on rising keys of documents."""

from __future__ import annotations

import numpy as np


def positions(keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The place of each value, [M] int64, among keys, [K] int64, rising and distinct; for a value that is not
    among them the place where it would be inserted: [M] int64.
    """
    if len(keys) and keys[-1] - keys[0] == len(keys) - 1:  # no gap, as where nothing was ever taken out
        return np.asarray(np.clip(values - keys[0], 0, len(keys)))
    return np.searchsorted(keys, values)


def contains(keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Which values, [M] int64, are among keys, [K] int64, rising and distinct: [M] bool."""
    if not len(keys):
        return np.zeros(len(values), bool)
    places = positions(keys, values)
    return np.asarray(keys[np.minimum(places, len(keys) - 1)] == values)


def between(values: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """The values, rising, that lie between the first key and the last, both included."""
    if not len(keys) or not len(values):
        return values[:0]
    return values[np.searchsorted(values, keys[0]) : np.searchsorted(values, keys[-1], side="right")]
