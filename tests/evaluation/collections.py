"""Small judged collections on the disk."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

DOCUMENTS = {
    "d1": "the cat sat on a mat",
    "d2": "red moon at night",
    "d3": "a dog ran fast",
    "d4": "the cat ran on the moon",
}
QUERIES = {"q1": "cat on a mat", "q2": "red moon", "q3": "fast dog"}
QRELS = "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td4\t1\nq2\td2\t1\nq3\td3\t1\n"


def write_beir(
    folder: Path,
    documents: Mapping[str, str] = DOCUMENTS,
    queries: Mapping[str, str] = QUERIES,
    qrels: str = QRELS,
) -> Path:
    """corpus.jsonl, queries.jsonl and qrels/test.tsv."""
    write_lines(folder / "corpus.jsonl", ({"_id": n, "title": "", "text": t} for n, t in documents.items()))
    write_lines(folder / "queries.jsonl", ({"_id": n, "text": t} for n, t in queries.items()))
    (folder / "qrels").mkdir()
    (folder / "qrels" / "test.tsv").write_text(qrels, encoding="utf-8")
    return folder


def write_lines(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
