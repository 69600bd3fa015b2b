"""Keys of documents, in rising order."""

from __future__ import annotations

import numpy as np


def contains(keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Which values, [M] bool, are among keys, [K] int64, rising."""
    if not len(keys):
        return np.zeros(len(values), bool)
    places = np.searchsorted(keys, values)
    return np.asarray(keys[np.minimum(places, len(keys) - 1)] == values)


def between(values: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """The values, rising, from the first of some keys to the last."""
    if not len(keys) or not len(values):
        return values[:0]
    return values[np.searchsorted(values, keys[0]) : np.searchsorted(values, keys[-1], side="right")]
