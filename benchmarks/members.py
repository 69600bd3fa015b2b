"""Random-weight checkpoints of the family's sizes: each is read from a folder, indexes and searches."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.checkpoints import SIZES, random_checkpoint
from benchmarks.encode import Row
from benchmarks.judged import texts
from benchmarks.machine import about, in_child, seconds
from femtosearch.index.index import Index
from femtosearch.model.checkpoint import Checkpoint
from femtosearch.model.checkpoint.write import write_checkpoint
from femtosearch.model.model import BUILT_INS, DEFAULT, Model
from femtosearch.tensors import read_tensors, write_tensors
from femtosearch.types import Conventions

STANFORD = ("base",)  # laid out as Stanford ColBERT's; the others as PyLate's
QUERIES = 10


def measure(data: Path, names: list[str], limit: int) -> tuple[dict[str, Any], list[Row]]:
    """The results, and the rows of a table."""
    members = {name: in_child(_measure, data, name, limit) for name in names}
    rows: list[Row] = []
    for name, value in members.items():
        rows.append((f"{name}: {limit} documents indexed, seconds", value["index_seconds"], value["layout"]))
        rows.append((f"{name}: a query, milliseconds", value["query_milliseconds"], ""))
    return {"documents": limit, "members": members}, rows


def _measure(data: Path, name: str, limit: int) -> dict[str, Any]:
    """A folder is written, loaded, indexes and answers; a document's own words have to find it."""
    documents = texts(data, limit)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / name
        write(folder, name)
        model = Model.load(folder)
        with Index(Path(place) / "index", model=model) as index:
            taken = seconds(index.add, documents)
            queries = [" ".join(text.split()[:12]) for text in documents[:QUERIES]]
            asked = seconds(lambda: [index.search(query, k=10) for query in queries])
            first = [hits[0].text for hits in index.search(queries, k=1)]
            own_first = sum(hit == document for hit, document in zip(first, documents[:QUERIES], strict=True))
            return {
                "model": about(model),
                "layout": "Stanford ColBERT" if name in STANFORD else "PyLate",
                "index_seconds": taken,
                "query_milliseconds": 1000 * asked / QUERIES,
                "found_by_their_first_words": own_first,
                "asked": QUERIES,
            }


def write(folder: Path, name: str) -> None:
    """A model folder with random weights and the built-in model's tokenizer."""
    tokenizer = BUILT_INS / DEFAULT / "tokenizer.json"
    config = replace(SIZES[name].config, vocab_size=Model.load().config.vocab_size)
    weights, dense = random_checkpoint(replace(SIZES[name], config=config))
    conventions = Conventions()
    write_checkpoint(Checkpoint(folder, config, weights, tuple(dense), conventions, tokenizer), folder)
    if name in STANFORD:
        _lay_out_as_stanford(folder, dense[0][0], conventions)


def _lay_out_as_stanford(folder: Path, projection: np.ndarray, conventions: Conventions) -> None:
    weights = {f"bert.{name}": array for name, array in read_tensors(folder / "model.safetensors").items()}
    write_tensors(folder / "model.safetensors", weights | {"linear.weight": projection})
    shutil.rmtree(folder / "1_Dense")
    for name in ("modules.json", "config_sentence_transformers.json", "sentence_bert_config.json"):
        (folder / name).unlink()
    settings = json.loads((folder / "config.json").read_text()) | {"architectures": ["HF_ColBERT"]}
    (folder / "config.json").write_text(json.dumps(settings))
    metadata = {
        "query_token_id": "[unused0]",
        "doc_token_id": "[unused1]",
        "query_maxlen": conventions.query_length,
        "doc_maxlen": conventions.document_length,
        "mask_punctuation": True,
        "attend_to_mask_tokens": False,
        "dim": len(projection),
    }
    (folder / "artifact.metadata").write_text(json.dumps(metadata))
