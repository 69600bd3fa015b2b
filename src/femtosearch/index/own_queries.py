"""Queries made of an index's own texts, for measuring it where nobody has written down what is asked.

A stretch of two to eight words of a text stands for a query. Short queries are the hard ones for an FDE, and
stretches of that length need about as many candidates as they do (docs/fde.md).
"""

from __future__ import annotations

import numpy as np

from femtosearch.index.catalog import Catalog
from femtosearch.index.snapshot import Snapshot

COUNT = 200  # queries
LEAST_WORDS, MOST_WORDS = 2, 8
_WORD = 16  # characters of a word at most; text without blanks is cut into such words
_BEGINNING = 100_000  # characters of a text, in which the stretch lies


def own_queries(catalog: Catalog, snapshot: Snapshot, count: int = COUNT, seed: int = 0) -> list[str]:
    """A stretch of each of so many documents, chosen at random; fewer where there are fewer documents.

    The same index and seed give the same queries. Raises StoreError.
    """
    random = np.random.Generator(np.random.PCG64(seed))
    chosen = random.permutation(snapshot.keys)[:count]
    documents = catalog.fetch([int(key) for key in chosen])
    texts = [documents[key].text for key in map(int, chosen) if key in documents]
    return [stretch(text[:_BEGINNING], random) for text in texts]


def stretch(text: str, random: np.random.Generator) -> str:
    """Two to eight words of a text that stand side by side; all of a shorter text.

    >>> stretch("all of it", np.random.default_rng(0)) in ("all of", "of it", "all of it")
    True
    """
    words = [word[at : at + _WORD] for word in text.split() for at in range(0, len(word), _WORD)]
    count = int(random.integers(LEAST_WORDS, MOST_WORDS, endpoint=True))
    begin = int(random.integers(0, max(1, len(words) - count + 1)))
    return " ".join(words[begin : begin + count])
