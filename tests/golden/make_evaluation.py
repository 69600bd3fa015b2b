"""Made-up collections, and what the peers' own evaluators give on them.

python tests/golden/make_evaluation.py collections
    write evaluation/nano (NanoBEIR's layout, 13 sets) and evaluation/beir
HF_HUB_OFFLINE=1 python tests/golden/make_evaluation.py PEER
    write evaluation/PEER.json, where PEER is installed: sentence-transformers, pylate or txtai (with
    pytrec-eval-terrier), whose evaluator reads those collections in the place of the Hub's; or beir (with
    femtosearch), whose loader and evaluator get femtosearch's exact scores of all documents
"""

import csv
import json
import random
import sys
from pathlib import Path

from seeds import WORDS

HERE = Path(__file__).parent / "evaluation"
MODEL = Path(__file__).parent / "models" / "pylate"
SETS = (
    "ClimateFEVER", "DBPedia", "FEVER", "FiQA2018", "HotpotQA", "MSMARCO", "NFCorpus", "NQ", "QuoraRetrieval",
    "SCIDOCS", "ArguAna", "SciFact", "Touche2020",
)  # fmt: skip
NANO = {name: f"Nano{name}" for name in SETS}
TOPK = 10  # of txtai's benchmark script


def make_collections() -> None:
    """Texts of the golden checkpoints' words; a document without text, judged; grades of 0, 2 and below 0."""
    rng = random.Random(7)
    for name in NANO.values():
        corpus = [*_texts(rng, "d", 24, 3, 20), {"_id": "d-empty", "text": ""}]
        queries = [*_texts(rng, "q", 6, 1, 5), {"_id": "q-alone", "text": "moon"}]
        qrels = [
            {"query-id": query["_id"], "corpus-id": document["_id"]}
            for query in queries[:6]
            for document in rng.sample(corpus, rng.randint(1, 4))
        ]
        for part, rows in (("corpus", corpus), ("queries", queries), ("qrels", qrels)):
            _write(HERE / "nano" / part / f"{name}.jsonl", rows)
    corpus = _texts(rng, "", 40, 3, 20)
    for row in corpus:
        row["title"] = _words(rng, 2) if rng.random() < 0.7 else ""
    queries = _texts(rng, "", 12, 1, 5)  # whose ids are documents' too
    _write(HERE / "beir" / "corpus.jsonl", [*corpus, {"_id": "bare", "title": "", "text": ""}])
    _write(HERE / "beir" / "queries.jsonl", queries)
    lines = ["query-id\tcorpus-id\tscore"]
    for query in queries[:10]:
        for document in rng.sample(corpus, 5):
            lines.append(f"{query['_id']}\t{document['_id']}\t{rng.choice([0, 1, 1, 2])}")
    lines.append(f"{queries[10]['_id']}\t{corpus[0]['_id']}\t0")  # nothing relevant
    (HERE / "beir" / "qrels").mkdir(parents=True, exist_ok=True)
    (HERE / "beir" / "qrels" / "test.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def say_sentence_transformers() -> dict[str, float]:
    """NanoBEIREvaluator, of all 13 sets and their mean."""
    import datasets
    from make_sentence_transformers import load
    from sentence_transformers.multi_vector_encoder.evaluation import MultiVectorNanoBEIREvaluator

    datasets.load_dataset = lambda _, part, split: _rows(HERE / "nano" / part / f"{split}.jsonl")
    evaluator = MultiVectorNanoBEIREvaluator(dataset_names=[name.lower() for name in SETS])
    return {key: float(value) for key, value in evaluator(load(MODEL)).items()}


def say_pylate() -> dict[str, float]:
    """NanoBEIREvaluator, which reads a repository a set."""
    import datasets
    from make_pylate import load
    from pylate.evaluation import NanoBEIREvaluator

    datasets.load_dataset = lambda path, part, split: _rows(
        HERE / "nano" / part / f"{path.rpartition('/')[2]}.jsonl"
    )
    evaluator = NanoBEIREvaluator(dataset_names=[name.lower() for name in SETS])
    return {key: float(value) for key, value in evaluator(load(MODEL)).items()}


def say_txtai() -> dict[str, float]:
    """By the rules of txtai's examples/benchmarks.py: its rows, its filter, trec_eval; Reranker scores."""
    import numpy as np
    from make_txtai import OPTIONS
    from pytrec_eval import RelevanceEvaluator
    from txtai import Embeddings
    from txtai.pipeline import Reranker, Similarity

    rows = []
    for row in _rows(HERE / "beir" / "corpus.jsonl"):
        text = f"{row['title']}. {row['text']}" if row["title"] else row["text"]
        if text:
            rows.append((row["_id"], text, None))
    similarity = Similarity(path=str(MODEL), lateencode=True, gpu=False, vectors=OPTIONS)
    similarity.lateencoder.model.float()
    embeddings = Embeddings(path=str(MODEL), gpu=False, content=True, vectors=OPTIONS)
    embeddings.model.model.float()
    embeddings.index(rows)
    reranker, results = Reranker(embeddings, similarity), {}
    for query in _rows(HERE / "beir" / "queries.jsonl"):
        hits = reranker(query["text"], limit=len(rows))
        results[query["_id"]] = dict(
            [(hit["id"], float(hit["score"])) for hit in hits if hit["id"] != query["_id"]][:TOPK]
        )
    judged: dict[str, dict[str, int]] = {}
    with open(HERE / "beir" / "qrels" / "test.tsv", encoding="utf-8") as file:
        for query, document, grade in list(csv.reader(file, delimiter="\t"))[1:]:
            judged.setdefault(query, {})[document] = int(grade)
    evaluator = RelevanceEvaluator(judged, {f"ndcg_cut.{TOPK}", f"recall.{TOPK}", f"P.{TOPK}"})
    found = evaluator.evaluate(results).values()
    return {name: float(np.mean([values[name] for values in found])) for name in next(iter(found))}


def say_beir() -> dict[str, float]:
    """GenericDataLoader and EvaluateRetrieval.evaluate decide which queries and documents count."""
    from beir.datasets.data_loader import GenericDataLoader
    from beir.retrieval.evaluation import EvaluateRetrieval

    from femtosearch import Model, maxsim

    corpus, queries, judged = GenericDataLoader(str(HERE / "beir")).load(split="test")
    model = Model.load(MODEL, conventions="pylate")
    texts = [f"{row['title']} {row['text']}".strip() for row in corpus.values()]
    scores = maxsim(model.encode_queries(list(queries.values())), model.encode_documents(texts))
    results = {
        query: {name: float(score) for name, score in zip(corpus, row, strict=True) if score > float("-inf")}
        for query, row in zip(queries, scores, strict=True)
    }
    cuts = [1, 3, 5, 10, 100]
    groups = EvaluateRetrieval.evaluate(judged, results, cuts)  # which takes out a query's own document
    mrr = EvaluateRetrieval.evaluate_custom(judged, results, [10], metric="mrr")
    return {name: float(value) for group in (*groups, mrr) for name, value in group.items()}


PEERS = {
    "sentence-transformers": say_sentence_transformers,
    "pylate": say_pylate,
    "txtai": say_txtai,
    "beir": say_beir,
}


def _words(rng: random.Random, count: int) -> str:
    return " ".join(rng.choice([*WORDS[:-1], *"abcdefghij"]) for _ in range(count))


def _texts(rng: random.Random, prefix: str, count: int, least: int, most: int) -> list[dict[str, str]]:
    return [
        {"_id": f"{prefix}{n}", "text": _words(rng, rng.randint(least, most))} for n in range(1, count + 1)
    ]


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


class Table(list):
    """Rows that say their columns, as a data set does."""

    @property
    def column_names(self) -> list[str]:
        return list(self[0])


def _rows(path: Path) -> Table:
    return Table(json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())


if __name__ == "__main__":
    if sys.argv[1:] == ["collections"]:
        make_collections()
    else:
        said = PEERS[sys.argv[1]]()
        text = json.dumps(dict(sorted(said.items())), indent=1)
        (HERE / f"{sys.argv[1]}.json").write_text(text + "\n", encoding="utf-8")
