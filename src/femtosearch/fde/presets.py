"""The named MUVERAs: the paper's, and those of other libraries."""

from __future__ import annotations

from dataclasses import replace

from femtosearch.errors import FdeError
from femtosearch.fde.muvera import Muvera

PRESETS = {
    "muvera": Muvera(20, 5, 16, fill=False, seed=42),
    "txtai": Muvera(20, 5, 16, fill=False, seed=42, variant="txtai"),
    "fastembed": Muvera(20, 5, 16, fill=True, seed=42, variant="fastembed"),
}


def preset(name: str) -> Muvera:
    """A MUVERA by name, all of 20 · 2^5 · 16 = 10,240 numbers. Raises FdeError for another name.

    muvera:     the paper's, without fill: more of MaxSim's best are among its candidates (docs/fde.md).
    txtai:      the vectors of txtai 9.14's `Muvera`, without fill. txtai's embeddings divide them by their
                length afterwards, on both sides, which changes the order of documents; nothing here does.
    fastembed:  the vectors of fastembed 0.9.1's `Muvera`, with its fill.
    """
    if name not in PRESETS:
        raise FdeError(f"fde: expected one of {', '.join(PRESETS)}, or a Muvera, found {name!r}")
    return replace(PRESETS[name])  # one of its own, so that nothing native outlives its user
