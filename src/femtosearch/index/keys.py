"""Keys of documents, in rising order."""

from __future__ import annotations

import numpy as np


def positions(keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Where each value, [M] int64, is among keys, [K] int64, rising and each once, or would be: [M] int64."""
    if len(keys) and keys[-1] - keys[0] == len(keys) - 1:  # no gap, as where nothing was ever taken out
        return np.asarray(np.clip(values - keys[0], 0, len(keys)))
    return np.searchsorted(keys, values)


def contains(keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Which values, [M] bool, are among keys, [K] int64, rising and each once."""
    if not len(keys):
        return np.zeros(len(values), bool)
    places = positions(keys, values)
    return np.asarray(keys[np.minimum(places, len(keys) - 1)] == values)


def between(values: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """The values, rising, from the first of some keys to the last."""
    if not len(keys) or not len(values):
        return values[:0]
    return values[np.searchsorted(values, keys[0]) : np.searchsorted(values, keys[-1], side="right")]
