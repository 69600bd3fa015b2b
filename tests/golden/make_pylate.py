"""Makes tests/golden/pylate: what PyLate computes on a tiny random checkpoint.

Run it where PyLate is installed:

    pip install pylate && python tests/golden/make_pylate.py

The checkpoint itself (tests/golden/pylate/model) was written by tests/tiny.py with seed 7, as a plain `bert`,
which needs no remote code. The arrays in pylate.npz are stored with the versions that made them.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
from pylate import models

HERE = Path(__file__).parent / "pylate"
TEXTS = json.loads((HERE / "texts.json").read_text(encoding="utf-8"))


def flat(rows: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    starts = np.concatenate([[0], np.cumsum([len(each) for each in rows])])
    return np.concatenate(rows).astype(np.float32), starts.astype(np.int64)


def main() -> None:
    arrays = {}
    for name, settings in {
        "expanded": {},
        "attended": {"attend_to_expansion_tokens": True},
        "plain": {"do_query_expansion": False},
    }.items():
        model = models.ColBERT(str(HERE / "model"), device="cpu", **settings)
        for kind in ("query", "document"):
            rows = model.encode(TEXTS, is_query=kind == "query", show_progress_bar=False)
            arrays[f"{name}_{kind}_rows"], arrays[f"{name}_{kind}_starts"] = flat(rows)
    names = ("pylate", "sentence-transformers", "transformers", "torch")
    versions = json.dumps({name: version(name) for name in names} | {"python": sys.version.split()[0]})
    np.savez_compressed(HERE / "pylate.npz", versions=np.array(versions), **arrays)


if __name__ == "__main__":
    main()
