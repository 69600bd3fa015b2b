"""txtai's half of `fde`, run by another Python: FDEs of rows, and how long they take.

python txtai_side.py ROWS.npz OUT.npz RUNS
"""

import json
import sys
import time
from importlib.metadata import version

import numpy as np
from txtai.models.pooling.muvera import Muvera

BATCH = 32  # txtai's default


def main() -> None:
    """Encode as documents on one core, RUNS times after one that does not count; this process's own time."""
    import torch

    torch.set_num_threads(1)
    source, out, runs = sys.argv[1:]
    with np.load(source, allow_pickle=False) as arrays:
        texts = np.split(arrays["rows"], arrays["starts"][1:-1])
    muvera, seconds = Muvera(), []
    for _ in range(int(runs) + 1):
        start = time.process_time()
        parts = [muvera(texts[at : at + BATCH], "data") for at in range(0, len(texts), BATCH)]
        seconds.append(time.process_time() - start)
    said = {"version": version("txtai"), "seconds": seconds[1:]}
    np.savez(out, vectors=np.concatenate(parts), said=np.array(json.dumps(said)))


if __name__ == "__main__":
    main()
