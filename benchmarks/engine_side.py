"""One engine's turn of `engines`, run by the Python of that engine's environment: an index of texts on the
disk, and the ten best of each query.

python engine_side.py ENGINE JOB.json OUT.json
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

K = 10
WARM = 64  # texts that are indexed first, and do not count: models are loaded then

Documents = list[tuple[str, str]]  # ids and texts
Engine = tuple[Callable[[Documents], None], Callable[[str], list[str]]]  # builds an index, and asks it


def main() -> None:
    """Build, ask, and write what it took."""
    name, job, out = sys.argv[1:]
    told = json.loads(Path(job).read_text(encoding="utf-8"))
    engine, packages = ENGINES[name]
    place = Path(told["place"])
    documents = [(name, text) for name, text in told["documents"]]
    build, ask = engine(told["model"], place)
    build(documents[:WARM])
    for query in told["queries"][:3]:
        ask(query)
    start = time.perf_counter()
    build(documents)
    spent = time.perf_counter() - start
    rankings, seconds = [], []
    for query in told["queries"]:
        start = time.perf_counter()
        rankings.append([str(name) for name in ask(query)])
        seconds.append(time.perf_counter() - start)
    size = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
    answer = {"index_seconds": spent, "query_seconds": seconds, "rankings": rankings, "bytes": size}
    answer["versions"] = {package: version(package) for package in packages}
    Path(out).write_text(json.dumps(answer), encoding="utf-8")


def femtosearch(model: str, place: Path, **options: Any) -> Engine:
    """An index as it comes: MaxSim and BM25, and an FDE where a search would use it."""
    import shutil

    import femtosearch as fs

    loaded = fs.Model.load(model)
    opened: list[fs.Index] = []

    def build(documents: Documents) -> None:
        while opened:
            opened.pop().close()
        shutil.rmtree(place / "index", ignore_errors=True)
        opened.append(fs.Index(place / "index", model=loaded))
        opened[0].add({"id": name, "text": text} for name, text in documents)

    return build, lambda query: [hit.id for hit in opened[0].search(query, k=K, **options)]


def femtosearch_maxsim(model: str, place: Path) -> Engine:
    """The same, asked for MaxSim alone."""
    return femtosearch(model, place, hybrid=0)


def txtai(model: str, place: Path) -> Engine:
    """Embeddings with content, as the model's card has it: MUVERA's vectors, and no reranking."""
    return _txtai(model, place, reranks=False)


def txtai_reranked(model: str, place: Path) -> Engine:
    """The same, with the card's reranker over its candidates."""
    return _txtai(model, place, reranks=True)


def _txtai(model: str, place: Path, *, reranks: bool) -> Engine:
    from txtai import Embeddings
    from txtai.pipeline import Reranker, Similarity

    options = {"trust_remote_code": True}
    embeddings = Embeddings(path=model, gpu=False, content=True, vectors=options)
    reranker = None
    if reranks:
        similarity = Similarity(path=model, lateencode=True, gpu=False, vectors=options)
        reranker = Reranker(embeddings, similarity)

    def build(documents: Documents) -> None:
        embeddings.index(documents)
        embeddings.save(str(place / "index"))

    def ask(query: str) -> list[str]:
        hits = reranker(query, limit=K) if reranker else embeddings.search(query, K)
        return [hit["id"] for hit in hits]

    return build, ask


def pylate(model: str, place: Path) -> Engine:
    """PyLate's ColBERT over its PLAID index, which is fast-plaid's."""
    from pylate import indexes, models, retrieve

    encoder = models.ColBERT(model, device="cpu", trust_remote_code=True)
    retrievers: list[Any] = []

    def build(documents: Documents) -> None:
        index = indexes.PLAID(str(place / "index"), "plaid", override=True, show_progress=False, device="cpu")
        rows = encoder.encode([text for _, text in documents], is_query=False, show_progress_bar=False)
        index.add_documents(documents_ids=[name for name, _ in documents], documents_embeddings=rows)
        retrievers[:] = [retrieve.ColBERT(index=index)]

    def ask(query: str) -> list[str]:
        rows = encoder.encode([query], is_query=True, show_progress_bar=False)
        return [hit["id"] for hit in retrievers[0].retrieve(queries_embeddings=rows, k=K)[0]]

    return build, ask


def sentence_transformers(model: str, place: Path) -> Engine:
    """MultiVectorEncoder: rows in memory, all of them compared; it stores nothing."""
    import torch
    from sentence_transformers import MultiVectorEncoder

    encoder = MultiVectorEncoder(
        model, device="cpu", trust_remote_code=True, model_kwargs={"dtype": torch.float32}
    )
    stored: list[Any] = []

    def build(documents: Documents) -> None:
        rows = encoder.encode_document([text for _, text in documents], show_progress_bar=False)
        stored[:] = [[name for name, _ in documents], rows]

    def ask(query: str) -> list[str]:
        names, rows = stored
        scores = encoder.similarity(encoder.encode_query([query]), rows)[0]
        return [names[n] for n in torch.topk(scores, min(K, len(names))).indices.tolist()]

    return build, ask


def bm25s(model: str, place: Path) -> Engine:
    """BM25 alone, in memory and saved: what words give without a model."""
    import bm25s as library
    import Stemmer

    stemmer = Stemmer.Stemmer("english")
    stored: list[Any] = []

    def tokens(texts: list[str]) -> Any:
        return library.tokenize(texts, stopwords="en", stemmer=stemmer, show_progress=False)

    def build(documents: Documents) -> None:
        index = library.BM25()
        index.index(tokens([text for _, text in documents]), show_progress=False)
        index.save(str(place / "index"))
        stored[:] = [[name for name, _ in documents], index]

    def ask(query: str) -> list[str]:
        names, index = stored
        best, _ = index.retrieve(tokens([query]), k=min(K, len(names)), show_progress=False)
        return [names[n] for n in best[0].tolist()]

    return build, ask


ENGINES = {
    "femtosearch": (femtosearch, ["femtosearch", "numpy"]),
    "femtosearch-maxsim": (femtosearch_maxsim, ["femtosearch", "numpy"]),
    "txtai": (txtai, ["txtai", "transformers", "torch"]),
    "txtai-reranked": (txtai_reranked, ["txtai", "transformers", "torch"]),
    "pylate": (pylate, ["pylate", "fast-plaid", "sentence-transformers", "transformers", "torch"]),
    "sentence-transformers": (sentence_transformers, ["sentence-transformers", "transformers", "torch"]),
    "bm25s": (bm25s, ["bm25s", "PyStemmer"]),
}

if __name__ == "__main__":
    main()
