"""Make the golden vectors of fde.preset, by the peer itself, in an environment of the peer's own:

    python tests/golden/make_fde.py txtai|fastembed

It writes tests/golden/fde/<peer>.npz: `rows` [T, 10], `starts` [N+1], `parameters` (repetitions, bits,
projection, seed), and for each of those, by its place, `queries_<place>` and `documents_<place>` [N, F].
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
LENGTHS = (1, 2, 5, 7, 13, 40)
DIMS = 10
PARAMETERS = ((20, 5, 4, 42), (3, 3, 10, 7), (2, 6, 8, 1))  # the second: as many numbers as a row has


def txtai(rows: list[np.ndarray], repetitions: int, bits: int, projection: int, seed: int) -> tuple:
    from txtai.models.pooling.muvera import Muvera

    muvera = Muvera(repetitions, bits, projection, seed)
    return muvera(rows, "query"), muvera(rows, "data")


def fastembed(rows: list[np.ndarray], repetitions: int, bits: int, projection: int, seed: int) -> tuple:
    from fastembed.postprocess import Muvera

    muvera = Muvera(DIMS, bits, projection, repetitions, seed)
    return [muvera.process_query(text) for text in rows], [muvera.process_document(text) for text in rows]


def main() -> None:
    peer = {"txtai": txtai, "fastembed": fastembed}[sys.argv[1]]
    rows = np.random.default_rng(5).standard_normal((sum(LENGTHS), DIMS)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    starts = np.cumsum([0, *LENGTHS])
    made = {"rows": rows, "starts": starts, "parameters": np.array(PARAMETERS)}
    for place, parameters in enumerate(PARAMETERS):
        queries, documents = peer(np.split(rows, starts[1:-1]), *parameters)
        made[f"queries_{place}"] = np.array(queries, np.float32)
        made[f"documents_{place}"] = np.array(documents, np.float32)
    np.savez_compressed(HERE / "fde" / f"{sys.argv[1]}.npz", version=version(sys.argv[1]), **made)


if __name__ == "__main__":
    main()
