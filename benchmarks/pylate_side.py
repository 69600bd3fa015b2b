"""PyLate's half of `peers`, run by another Python: encode texts, write rows and rates.

python pylate_side.py MODEL TEXTS.json OUT.npz RUNS
"""

import json
import sys
import time
from importlib.metadata import version

import numpy as np
from pylate import models

BATCHES = (32, 128)  # PyLate's default, and a larger one; the better counts


def main() -> None:
    """Encode as documents, RUNS times a batch size, after one short warm-up."""
    folder, texts, out, runs = sys.argv[1:]
    with open(texts, encoding="utf-8") as file:
        documents = json.load(file)
    model = models.ColBERT(folder, device="cpu", trust_remote_code=True)
    options = {"is_query": False, "show_progress_bar": False, "convert_to_numpy": True}
    model.encode(documents[:64], **options)
    rates: dict[str, list[float]] = {}
    for batch in BATCHES:
        for _ in range(int(runs)):
            start = time.perf_counter()
            rows = model.encode(documents, batch_size=batch, **options)
            rates.setdefault(str(batch), []).append(len(documents) / (time.perf_counter() - start))
    versions = {name: version(name) for name in ("pylate", "sentence-transformers", "transformers", "torch")}
    starts = np.concatenate([[0], np.cumsum([len(each) for each in rows])])
    said = json.dumps({"rates": rates, "versions": versions})
    np.savez(out, rows=np.concatenate(rows).astype(np.float32), starts=starts, said=np.array(said))


if __name__ == "__main__":
    main()
