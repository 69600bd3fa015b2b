"""A model as an ONNX graph, with what a browser or another runtime has to know beside it.

The graph turns token ids into unit rows. The JSON file says the rest: how a text becomes token ids, and whose
rows are kept. docs/export.md has both, and a reader of twenty lines.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from femtosearch.errors import CheckpointError, missing_extra
from femtosearch.model.checkpoint import Checkpoint
from femtosearch.model.checkpoint.write import check_new, new_files
from femtosearch.model.tokenizer import Prefix, Tokenizer

FORMAT = 1
LARGEST = 2_000_000_000  # bytes of a graph in one file: protobuf's limit is 2 GiB


def write_onnx(checkpoint: Checkpoint, tokenizer: Tokenizer, target: Path) -> None:
    """Write the graph to `target`, whole or not at all: FILE.onnx, beside which FILE.json is written, or a
    new or empty folder, which gets model.onnx, model.json and tokenizer.json.

    Raises MissingExtraError without the extra [onnx]; CheckpointError for a model that has no such graph, a
    name that is taken, and what the disk refuses.
    """
    to_file = target.suffix == ".onnx"
    if not to_file:
        check_new(target)
    content = _graph(checkpoint)
    stem = target.stem if to_file else "model"
    with new_files(target.parent if to_file else target) as partial:
        (partial / f"{stem}.onnx").write_bytes(content)
        description = json.dumps(_beside(checkpoint, tokenizer), indent=2, ensure_ascii=False)
        (partial / f"{stem}.json").write_text(description + "\n", encoding="utf-8", newline="\n")
        if not to_file:
            tokenizer.save(partial / "tokenizer.json")


def _beside(checkpoint: Checkpoint, tokenizer: Tokenizer) -> dict[str, Any]:
    """What has to be known beside the graph: how a text becomes token ids, and whose rows are kept."""
    conventions = tokenizer.conventions
    skipped = np.flatnonzero(tokenizer.skipped).tolist()
    expand_to = (conventions.expansion_length or conventions.query_length) * conventions.expand_queries
    query = {
        "without_ids": np.flatnonzero(tokenizer.dropped).tolist(),
        "skip_ids": skipped if conventions.skip_in_queries else [],
        "expand_to": expand_to,
        "expand_id": max(0, tokenizer.mask),
        "expand_attended": conventions.attend_to_expansion,
    }
    weights = checkpoint.query_weights
    query["weights"] = weights and {name: array.tolist() for name, array in weights.tensors.items()}
    document: dict[str, Any] = {"without_ids": [], "skip_ids": skipped}
    document |= {"expand_to": 0, "expand_id": 0, "expand_attended": False, "weights": None}
    return {
        "format": FORMAT,
        "dims": len(checkpoint.dense[-1][0]) if checkpoint.dense else checkpoint.config.hidden_size,
        "positions": checkpoint.config.positions,
        "query": _start(tokenizer.query) | query,
        "document": _start(tokenizer.document) | document,
        "pool_factor": conventions.pool_factor,
        "scoring": conventions.scoring,
    }


def _start(prefix: Prefix) -> dict[str, Any]:
    ids = [] if prefix.text else list(prefix.ids)
    return {"prefix_ids": ids, "prefix_text": prefix.text, "length": prefix.length}


def _graph(checkpoint: Checkpoint) -> bytes:
    """The graph as bytes."""
    if checkpoint.unfit:
        raise CheckpointError(f"{checkpoint.unfit}; an ONNX graph has the native engine's architectures only")
    size = sum(array.nbytes for array in checkpoint.weights.values())
    if size > LARGEST:
        raise CheckpointError(
            f"{checkpoint.folder}: expected weights of at most {LARGEST:,} bytes, which an ONNX file can "
            f"hold, found {size:,}"
        )
    try:
        graph = import_module("femtosearch.model.onnx_graph").graph
    except ImportError as error:
        if (error.name or "").startswith("femtosearch"):
            raise
        raise missing_extra("an ONNX export", error.name, "onnx") from error
    from importlib import metadata  # slow to import, and seldom needed

    content: bytes = graph(checkpoint, metadata.version("femtosearch")).SerializeToString()
    return content
