"""A model as a page reads it: weights in the fewest bytes that give the same numbers, and the tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from femtosearch.errors import CheckpointError
from femtosearch.index.index import Index
from femtosearch.model.checkpoint import Checkpoint, read_checkpoint
from femtosearch.model.checkpoint.backbone import HASH_TABLE, WORD_TABLE
from femtosearch.model.checkpoint.packed import BOOKS, CODES, INT8, SCALE
from femtosearch.model.checkpoint.shards import WEIGHTS
from femtosearch.model.checkpoint.tokenizer import read_tokenizer
from femtosearch.model.fingerprint import fingerprint_of
from femtosearch.model.model import Model
from femtosearch.model.tokenizer import Prefix, Tokenizer
from femtosearch.model.wordpiece import WordPieceSettings, wordpiece_settings
from femtosearch.tensors import read_tensors
from femtosearch.types import BertConfig, Conventions
from femtosearch.web.bundle import Bundle

_EMBEDDINGS = "embeddings."
_PROJECTION = "embeddings.word_embeddings.projections"
_LAYER = (  # in the order in which native/web/web.cc takes them
    "attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense",
    "attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm",
)  # fmt: skip


def model_of(index: Index) -> Model:
    """The model of an index. Raises CheckpointError for one that is no Model."""
    model = index.model
    if not isinstance(model, Model):
        raise CheckpointError(f"a page needs a Model of femtosearch, found {type(model).__name__}")
    return model


def model_header(model: Model, bundle: Bundle) -> dict[str, Any]:
    """What the page has to know of the model that an index was made with; its arrays go into the bundle.

    Raises CheckpointError for a model that the native engine does not compute, or with another tokenizer than
    BERT's.
    """
    checkpoint = read_checkpoint(model.source, model.conventions)
    settings = _fitting(checkpoint, model)
    config: Any = checkpoint.config
    tokenizer = Tokenizer(checkpoint.tokenizer, checkpoint.conventions, config)
    dense = [weight.shape[0] for weight, _ in checkpoint.dense]
    return {
        "name": model.name,
        "fingerprint": model.fingerprint,
        "dims": model.dims,
        "sizes": [*_sizes(config), len(dense), *dense],
        "epsilon": config.norm_epsilon,
        "weights": _weights(checkpoint, config, bundle),
        "tokenizer": _tokenizer(settings, tokenizer, bundle),
        "queries": _queries(tokenizer),
        "query_weights": _query_weights(model),
        "documents": _documents(tokenizer),
    }


def _fitting(checkpoint: Checkpoint, model: Model) -> WordPieceSettings:
    """What the tokenizer.json says. Raises CheckpointError for what a page cannot do."""
    place = checkpoint.folder
    if checkpoint.unfit or not isinstance(checkpoint.config, BertConfig):
        reason = checkpoint.unfit or f"{place}: {checkpoint.config.architecture}"
        raise CheckpointError(f"a page needs a model of the native engine, bert or bert_hash; {reason}")
    if fingerprint_of(checkpoint) != model.fingerprint:
        raise CheckpointError(f"{place}: the model has changed since it was loaded: open the index again")
    settings = wordpiece_settings(read_tokenizer(checkpoint.tokenizer))
    if settings is None or len(settings.first) != 1 or len(settings.last) != 1:
        raise CheckpointError(f"{checkpoint.tokenizer}: a page needs BERT's tokenizer (WordPiece)")
    return settings


def _sizes(config: BertConfig) -> list[int]:
    return [
        config.vocab_size, config.hidden_size, config.layers, config.heads, config.intermediate_size,
        config.positions, config.code_width or 0,
    ]  # fmt: skip


def _weights(checkpoint: Checkpoint, config: BertConfig, bundle: Bundle) -> list[Any]:
    weights, packed = checkpoint.weights, _packed(checkpoint.folder)
    tensors: list[Any] = []

    def linear(name: str, rows: int) -> None:
        tensors.append(_tensor(name + ".weight", weights, packed, bundle))
        bias = weights.get(name + ".bias")
        tensors.append(["zeros", rows] if bias is None else _numbers(bias, bundle))

    hidden, inner = config.hidden_size, config.intermediate_size
    tensors.append(_tensor(WORD_TABLE if config.code_width is None else HASH_TABLE, weights, packed, bundle))
    if config.code_width is not None:
        linear(_PROJECTION, hidden)
    tensors.append(_tensor(_EMBEDDINGS + "position_embeddings.weight", weights, packed, bundle))
    tensors.append(_numbers(weights[_EMBEDDINGS + "token_type_embeddings.weight"][0], bundle))
    linear(_EMBEDDINGS + "LayerNorm", hidden)
    for layer in range(config.layers):
        for name in _LAYER:
            linear(f"encoder.layer.{layer}.{name}", inner if name == "intermediate.dense" else hidden)
    for weight, bias in checkpoint.dense:
        tensors.append(_numbers(weight, bundle))
        tensors.append(["zeros", len(weight)] if bias is None else _numbers(bias, bundle))
    return tensors


def _packed(folder: Path) -> Mapping[str, np.ndarray]:
    """The tensors of the model's file as they lie there; none where they lie in several files."""
    path = folder / WEIGHTS
    return read_tensors(path) if path.is_file() else {}


def _tensor(
    name: str, weights: Mapping[str, np.ndarray], packed: Mapping[str, np.ndarray], bundle: Bundle
) -> list[Any]:
    """A tensor: [kind, numbers, arrays...], as codes where the model's file has it so."""
    size = int(weights[name].size)
    if name + CODES in packed:
        books = packed[name + BOOKS]
        return ["table", size, bundle.put(packed[name + CODES]), _numbers(books, bundle), list(books.shape)]
    if name + INT8 in packed:
        return ["int8", size, bundle.put(packed[name + INT8]), _numbers(packed[name + SCALE], bundle)]
    return _numbers(weights[name], bundle)


def _numbers(array: np.ndarray, bundle: Bundle) -> list[Any]:
    """Floats, in half of the bytes where that is the same."""
    with np.errstate(over="ignore"):
        halves = array.astype(np.float16)
    if np.array_equal(halves.astype(np.float32), array):
        return ["half", int(array.size), bundle.put(halves)]
    return ["float", int(array.size), bundle.put(array.astype(np.float32))]


def _tokenizer(settings: WordPieceSettings, tokenizer: Tokenizer, bundle: Bundle) -> dict[str, Any]:
    ids = dict(settings.vocabulary) | dict(settings.added)
    tokens = [""] * (1 + max(settings.vocabulary.values()))
    for token, number in settings.vocabulary.items():
        if tokens[number] or not token or "\0" in token:
            raise CheckpointError(f"{tokenizer.path}: a page needs each token once, found {token!r} again")
        tokens[number] = token
    added = tokenizer.added
    return {
        "tokens": len(tokens),
        "vocabulary": bundle.put("".join(token + "\0" for token in tokens).encode()),
        "prefix": settings.prefix,
        "added": added,
        "settings": [
            *map(int, settings.steps), settings.unknown, settings.longest, len(added),
            *(ids[token] for token in added),
        ],
        "around": [settings.first[0], settings.last[0]],
    }  # fmt: skip


def _side(prefix: Prefix) -> dict[str, Any]:
    return {"length": prefix.length, "prefix": list(prefix.ids), "text": prefix.text}


def _queries(tokenizer: Tokenizer) -> dict[str, Any]:
    """How texts become tokens: see `Conventions`."""
    conventions: Conventions = tokenizer.conventions
    return {
        **_side(tokenizer.query),
        "unasked": np.flatnonzero(tokenizer.dropped).tolist(),
        "drops": bool(conventions.query_skiplist),
        "pieces": conventions.query_pieces,
        "skipped": np.flatnonzero(tokenizer.skipped).tolist() if conventions.skip_in_queries else [],
        "mask": tokenizer.mask,
        "expanded": conventions.expansion_length or conventions.query_length,
        "attends": conventions.attend_to_expansion,
    }


def _query_weights(model: Model) -> dict[str, Any] | None:
    weights = read_checkpoint(model.source).query_weights if model.weighs else None
    return None if weights is None else {name: array.tolist() for name, array in weights.tensors.items()}


def _documents(tokenizer: Tokenizer) -> dict[str, Any]:
    return {
        **_side(tokenizer.document),
        "skipped": np.flatnonzero(tokenizer.skipped).tolist(),
        "framing": list(tokenizer.framing),
        "prune_above": tokenizer.conventions.prune_above,
    }
