"""What txtai computes. Run it where txtai is installed:

HF_HUB_OFFLINE=1 python tests/golden/make_txtai.py
    write txtai/
HF_HUB_OFFLINE=1 python tests/golden/make_txtai.py OUT MODEL...
    write what it computes with these folders to OUT
"""

import sys
from pathlib import Path

import numpy as np
import torch
from arrays import DOCUMENTS, HERE, MODELS, QUERIES, TEXTS, Said, answer, write_golden
from txtai import Embeddings
from txtai.pipeline import Reranker, Similarity

torch.set_num_threads(1)
PACKAGES = ("txtai", "transformers", "tokenizers", "torch", "numpy")
# txtai leaves out the bias of a Dense, and finds no 1_Dense without modules.json: the other folders.
READS = (
    "pylate",
    "pylate-half",
    "pylate-sharded",
    "stanford",
    "sentence-transformers",
    "sentence-transformers-attended",
)
OPTIONS = {"trust_remote_code": True}


def main() -> None:
    """Write the golden files, or what is asked for."""
    if answer(say, PACKAGES, sys.argv[1:]):
        return
    write_golden(HERE / "txtai", {name: say(MODELS / name) for name in READS}, PACKAGES)


def say(folder: Path) -> Said:
    """Rows and the orders of reranking of a model folder, computed in float32."""
    similarity = Similarity(path=str(folder), lateencode=True, gpu=False, vectors=OPTIONS)
    similarity.lateencoder.model.float()
    said = Said()
    for kind, category in (("query", "query"), ("document", "data")):
        padded = similarity.encode(TEXTS, category).numpy()
        said.rows[kind] = [rows[np.abs(rows).sum(axis=1) > 0] for rows in padded]
    embeddings = Embeddings(path=str(folder), gpu=False, content=True, vectors=OPTIONS)
    embeddings.model.model.float()
    embeddings.index(DOCUMENTS)
    reranker = Reranker(embeddings, similarity)
    for query in QUERIES:
        hits = reranker(query, limit=len(DOCUMENTS))
        said.orders.append([(int(hit["id"]), hit["score"]) for hit in hits])
    return said


if __name__ == "__main__":
    main()
