"""The backbone: a BERT's shape and its tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from femtosearch.errors import CheckpointError
from femtosearch.frozen import frozen
from femtosearch.model.checkpoint.files import Files
from femtosearch.model.checkpoint.other import other_config
from femtosearch.model.checkpoint.shards import WEIGHTS, read_weights
from femtosearch.types import BertConfig, OtherConfig

CONFIG_KEYS = {
    "vocab_size": "vocab_size",
    "hidden_size": "hidden_size",
    "num_hidden_layers": "layers",
    "num_attention_heads": "heads",
    "intermediate_size": "intermediate_size",
    "max_position_embeddings": "positions",
}
SIZE_LIMIT = 1 << 24
SIZE_LIMITS = {"layers": 1000}
HASH_TABLE = "embeddings.word_embeddings.embeddings.weight"
WORD_TABLE = "embeddings.word_embeddings.weight"
# What a setting has to be, if it is there, for the encoder to compute what the authors' code does.
ONLY: dict[str, tuple[Any, ...]] = {
    "hidden_act": ("gelu",),
    "position_embedding_type": ("absolute", None),
    "is_decoder": (False, None),
    "add_cross_attention": (False, None),
    "pruned_heads": ({}, None),
}


@frozen(eq=False)
class Backbone:
    """The backbone of a model folder.

    config:     its shape.
    weights:    its tensors; those of a BERT by Hugging Face's names without `bert.`.
    projection: the projection of Stanford ColBERT, [out, in] float32, if it is among the tensors.
    unfit:      why the native engine cannot compute it; "" if it can.
    """

    config: BertConfig | OtherConfig
    weights: dict[str, np.ndarray]
    projection: np.ndarray | None
    unfit: str


def read_backbone(files: Files, at: str) -> Backbone:
    """The backbone in the folder `at`. Raises CheckpointError for one that makes no sense."""
    settings, path = files.object(at + "config.json"), files.folder / at / "config.json"
    weights, unfit = read_weights(files, at), _unfit(path, settings)
    projection = weights.pop("linear.weight", None)
    if unfit:
        return Backbone(other_config(path, settings), weights, projection, unfit)
    weights = _plainly_named(files.folder / at / WEIGHTS, weights)
    config = _bert_config(path, settings, weights)
    _check_shapes(files.folder / at / WEIGHTS, config, weights)
    return Backbone(config, weights, projection, "")


def _unfit(path: Path, settings: dict[str, Any]) -> str:
    """The first setting that the native engine does not support, as a message; "" if it supports all."""
    kind = settings.get("model_type")
    if kind not in ("bert", "bert_hash"):
        return f"{path}: model_type {kind!r} is not known to the native engine; known: bert, bert_hash"
    for key, allowed in ONLY.items():
        if settings.get(key, allowed[0]) not in allowed:
            return f"{path}: {key} {settings[key]!r} is not known to the native engine; known: {allowed[0]!r}"
    return ""


def _plainly_named(path: Path, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    weights: dict[str, np.ndarray] = {}
    for name, tensor in tensors.items():
        plain = _plain_name(name)
        if plain in weights:
            raise CheckpointError(f"{path}: two tensors are {plain!r}, one of them by the name {name!r}")
        weights[plain] = tensor
    return weights


def _plain_name(name: str) -> str:
    name = name.removeprefix("bert.").removeprefix("model.")
    for old, new in (("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")):
        if name.endswith(old):
            return name.removesuffix(old) + new
    return name


def _bert_config(path: Path, settings: dict[str, Any], weights: dict[str, np.ndarray]) -> BertConfig:
    sizes = {}
    for key, name in CONFIG_KEYS.items():
        value = settings.get(key)
        if type(value) is not int or not 1 <= value <= SIZE_LIMITS.get(name, SIZE_LIMIT):
            raise CheckpointError(f"{path}: expected a positive integer {key}, found {value!r}")
        sizes[name] = value
    if sizes["hidden_size"] % sizes["heads"]:
        raise CheckpointError(
            f"{path}: hidden_size {sizes['hidden_size']} is no multiple of {sizes['heads']} heads"
        )
    types, epsilon = settings.get("type_vocab_size", 2), settings.get("layer_norm_eps", 1e-12)
    if type(types) is not int or types < 1 or not isinstance(epsilon, float | int) or not 0 <= epsilon < 1:
        raise CheckpointError(
            f"{path}: expected type_vocab_size to be 1 or more and layer_norm_eps from 0 to below 1, found "
            f"{types!r} and {epsilon!r}"
        )
    table = weights.get(HASH_TABLE)
    hashed = settings["model_type"] == "bert_hash"
    width = int(table.shape[1]) if hashed and table is not None and table.ndim == 2 else None
    return BertConfig(**sizes, types=types, code_width=width, norm_epsilon=float(epsilon))


def expected_shapes(config: BertConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor that the encoder reads, with its shape; the optional ones are left out."""
    hidden, wide = config.hidden_size, config.intermediate_size
    shapes: dict[str, tuple[int, ...]]
    if config.code_width is None:
        shapes = {WORD_TABLE: (config.vocab_size, hidden)}
    else:
        shapes = {
            HASH_TABLE: (config.vocab_size, config.code_width),
            "embeddings.word_embeddings.projections.weight": (hidden, config.code_width),
        }
    shapes["embeddings.position_embeddings.weight"] = (config.positions, hidden)
    shapes["embeddings.token_type_embeddings.weight"] = (config.types, hidden)
    shapes |= {f"embeddings.LayerNorm.{ending}": (hidden,) for ending in ("weight", "bias")}
    linears = {f"attention.self.{name}": (hidden, hidden) for name in ("query", "key", "value")}
    linears |= {
        "attention.output.dense": (hidden, hidden),
        "intermediate.dense": (wide, hidden),
        "output.dense": (hidden, wide),
    }
    for layer in range(config.layers):
        at = f"encoder.layer.{layer}."
        for name, shape in linears.items():
            shapes |= {f"{at}{name}.weight": shape, f"{at}{name}.bias": shape[:1]}
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes |= {f"{at}{name}.{ending}": (hidden,) for ending in ("weight", "bias")}
    return shapes


def _check_shapes(path: Path, config: BertConfig, weights: dict[str, np.ndarray]) -> None:
    for name, shape in expected_shapes(config).items():
        if name not in weights:
            raise CheckpointError(f"{path}: expected a tensor {name!r}, found none")
        if weights[name].shape != shape:
            raise CheckpointError(
                f"{path}: {name!r} should have shape {list(shape)} by config.json, "
                f"found {list(weights[name].shape)}"
            )
