"""The config.json of a backbone of another architecture than BERT: its sizes, and the settings that
are kept.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from femtosearch.errors import CheckpointError
from femtosearch.types import OtherConfig

# The keys that architectures have for the same thing.
VOCABULARY = ("vocab_size", "n_vocab")
HIDDEN = ("hidden_size", "dim", "d_model", "n_embd")
POSITIONS = ("max_position_embeddings", "n_positions", "max_seq_len")
LAYERS = ("num_hidden_layers", "n_layers", "num_layers", "n_layer")
LARGEST, MOST_LAYERS = 1 << 24, 1000
UNLIMITED = 1 << 24  # positions, where they are computed and no table holds them
# RoBERTa's kind counts positions from the padding's id on.
AFTER_PADDING = (
    "roberta",
    "xlm-roberta",
    "xlm-roberta-xl",
    "camembert",
    "longformer",
    "mpnet",
    "data2vec-text",
)
# What would bring code, tensors of another kind or files of another place; numbers are float32 here.
REFUSED = (
    "auto_map",
    "attn_implementation",
    "quantization_config",
    "dtype",
    "torch_dtype",
    "reference_compile",
)


def other_config(path: Path, settings: dict[str, Any]) -> OtherConfig:
    """Read the config.json of another architecture. Raises CheckpointError for impossible sizes."""
    kind = settings.get("model_type")
    if not isinstance(kind, str) or not kind:
        raise CheckpointError(f"{path}: expected a model_type, found {kind!r}")
    positions = _size(path, settings, POSITIONS, LARGEST, UNLIMITED)
    if kind in AFTER_PADDING:
        padding = settings.get("pad_token_id", 1)
        positions -= 1 + (padding if type(padding) is int else 0)
        if not 1 <= positions <= LARGEST:
            raise CheckpointError(f"{path}: pad_token_id {padding!r} leaves {positions:,} positions")
    _size(path, settings, LAYERS, MOST_LAYERS, 1)
    return OtherConfig(
        _harmless(settings),
        _size(path, settings, VOCABULARY, LARGEST),
        _size(path, settings, HIDDEN, LARGEST),
        positions,
    )


def _harmless(settings: Any) -> Any:
    """The settings, also inside nested ones, without refused keys and without transformers' private keys."""
    if not isinstance(settings, dict):
        return settings
    return {
        key: _harmless(value)
        for key, value in settings.items()
        if key not in REFUSED and not key.startswith("_")
    }


def _size(path: Path, settings: dict[str, Any], keys: tuple[str, ...], most: int, silent: int = 0) -> int:
    key = next((key for key in keys if settings.get(key) is not None), None)
    value = silent if key is None else settings[key]
    if type(value) is not int or not 1 <= value <= most:
        raise CheckpointError(
            f"{path}: expected {key or keys[0]} to be from 1 to {most:,}, found {value or 'none'!r}"
        )
    return value
