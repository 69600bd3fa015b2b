"""A model folder of any known layout -> Checkpoint: weights, shape, conventions and tokenizer, with no code
run.

Layouts read: PyLate's (modules.json, 1_Dense, config_sentence_transformers.json), which is also ours, and a
plain backbone folder (config.json, model.safetensors, tokenizer.json). Only safetensors are read, never
pickle.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from femtosearch.errors import CheckpointError
from femtosearch.packed import unpacked
from femtosearch.tensors import read_tensors
from femtosearch.types import BertConfig, Conventions

Dense = tuple[np.ndarray, np.ndarray | None]

# config_sentence_transformers.json's keys, as PyLate writes them -> our names
CONVENTION_KEYS: dict[str, tuple[str, type]] = {
    "query_prefix": ("query_prefix", str),
    "document_prefix": ("document_prefix", str),
    "query_length": ("query_length", int),
    "document_length": ("document_length", int),
    "do_query_expansion": ("expand_queries", bool),
    "attend_to_expansion_tokens": ("attend_to_expansion", bool),
    "skiplist_words": ("skiplist", list),
}
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


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a model folder holds. `dense`: (weight [out, in], bias [out] or None), applied in order."""

    folder: Path
    config: BertConfig
    weights: dict[str, np.ndarray]
    dense: tuple[Dense, ...]
    conventions: Conventions
    tokenizer: Path


def read_checkpoint(folder: str | Path) -> Checkpoint:
    """Read a model folder. Raises CheckpointError: what was expected, what was found, what to do."""
    folder = Path(folder)
    if not folder.is_dir():
        raise CheckpointError(
            f"{folder}: expected a model folder, found {'a file' if folder.exists() else 'nothing'}"
        )
    backbone, dense_folders = _modules(folder)
    config_path = backbone / "config.json"
    settings = _read_object(config_path)
    weights = _weights(backbone)
    config = _bert_config(config_path, settings, weights)
    _check_shapes(backbone, config, weights)
    dense = tuple(_dense(path) for path in dense_folders)
    _check_dense(folder, config, dense)
    tokenizer = next(
        (at / "tokenizer.json" for at in (backbone, folder) if (at / "tokenizer.json").is_file()), None
    )
    if tokenizer is None:
        raise CheckpointError(
            f"{folder}: expected tokenizer.json, found none; save the model with a fast tokenizer"
        )
    return Checkpoint(folder, config, weights, dense, _conventions(folder), tokenizer)


def _modules(folder: Path) -> tuple[Path, list[Path]]:
    """The backbone's folder and the Dense folders, from modules.json if there is one."""
    path = folder / "modules.json"
    if not path.is_file():
        return folder, [folder / "1_Dense"] if (folder / "1_Dense").is_dir() else []
    entries = _read_json(path)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise CheckpointError(f"{path}: expected a list of modules")
    backbone, dense = None, []
    for entry in entries:
        kind, at = str(entry.get("type", "")).rsplit(".", 1)[-1], _inside(path, folder, entry.get("path"))
        if kind == "Transformer":
            backbone = at
        elif kind == "Dense":
            dense.append(at)
        elif kind not in ("Normalize", "Pooling"):
            raise CheckpointError(
                f"{path}: module {kind!r} is not known; known: Transformer, Dense, Normalize, Pooling"
            )
    if backbone is None:
        raise CheckpointError(f"{path}: expected a module of type Transformer, found none")
    return backbone, dense


def _inside(source: Path, folder: Path, relative: Any) -> Path:
    """folder/relative, refused when it leaves the folder."""
    if (
        not isinstance(relative, str)
        or "\0" in relative
        or Path(relative).is_absolute()
        or ".." in Path(relative).parts
    ):
        raise CheckpointError(
            f"{source}: a module's path should stay inside the model folder, found {relative!r}"
        )
    return folder / relative


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise CheckpointError(f"{path}: missing; the model folder is not complete") from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not valid JSON: {error}") from error


def _read_object(path: Path) -> dict[str, Any]:
    value = _read_json(path)
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: expected a JSON object, found {type(value).__name__}")
    return value


def _weights(folder: Path) -> dict[str, np.ndarray]:
    """The backbone's float tensors under Hugging Face's names, without `bert.`, LayerNorm as weight/bias."""
    path = folder / "model.safetensors"
    if not path.is_file():
        pickled = folder / "pytorch_model.bin"
        found = "pytorch_model.bin, a pickle, which can run code" if pickled.exists() else "no weights"
        raise CheckpointError(
            f"{path}: expected safetensors, found {found}; re-save the model as safetensors"
        )
    weights = {}
    for name, tensor in unpacked(path, read_tensors(path)).items():
        if tensor.dtype != np.float32:
            continue  # position_ids and other buffers
        if not np.isfinite(tensor).all():
            raise CheckpointError(
                f"{path}: tensor {name!r} holds NaN or infinity; the training that made it failed"
            )
        weights[_plain_name(name)] = tensor
    return weights


def _plain_name(name: str) -> str:
    name = name.removeprefix("bert.").removeprefix("model.")
    for old, new in (("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")):
        if name.endswith(old):
            return name.removesuffix(old) + new
    return name


def _bert_config(path: Path, settings: dict[str, Any], weights: dict[str, np.ndarray]) -> BertConfig:
    kind = settings.get("model_type")
    if kind not in ("bert", "bert_hash"):
        raise CheckpointError(
            f"{path}: model_type {kind!r} is not known to the native engine; known: bert, bert_hash"
        )
    if settings.get("hidden_act", "gelu") != "gelu":
        raise CheckpointError(f"{path}: hidden_act {settings['hidden_act']!r} is not known; known: gelu")
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
            f"{path}: type_vocab_size {types!r} or layer_norm_eps {epsilon!r} is not a sane number"
        )
    table = weights.get(HASH_TABLE)
    width = int(table.shape[1]) if kind == "bert_hash" and table is not None and table.ndim == 2 else None
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
    shapes |= {f"embeddings.LayerNorm.{part}": (hidden,) for part in ("weight", "bias")}
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
            shapes |= {f"{at}{name}.{part}": (hidden,) for part in ("weight", "bias")}
    return shapes


def _check_shapes(folder: Path, config: BertConfig, weights: dict[str, np.ndarray]) -> None:
    for name, shape in expected_shapes(config).items():
        if name not in weights:
            raise CheckpointError(f"{folder / 'model.safetensors'}: expected a tensor {name!r}, found none")
        if weights[name].shape != shape:
            raise CheckpointError(
                f"{folder / 'model.safetensors'}: {name!r} should have shape {list(shape)} by config.json, "
                f"found {list(weights[name].shape)}"
            )


def _dense(folder: Path) -> Dense:
    settings = _read_object(folder / "config.json")
    activation = str(settings.get("activation_function", "torch.nn.modules.linear.Identity"))
    if activation.rsplit(".", 1)[-1] != "Identity":
        raise CheckpointError(
            f"{folder / 'config.json'}: activation {activation!r} is not known; known: Identity"
        )
    if settings.get("use_residual"):
        raise CheckpointError(f"{folder / 'config.json'}: a residual Dense is not known to the native engine")
    path = folder / "model.safetensors"
    tensors = {name: tensor for name, tensor in read_tensors(path).items() if tensor.dtype == np.float32}
    weight, bias = tensors.get("linear.weight"), tensors.get("linear.bias")
    if weight is None or weight.ndim != 2 or (bias is not None and bias.shape != weight.shape[:1]):
        raise CheckpointError(f"{path}: expected linear.weight [out, in] and, if any, linear.bias [out]")
    if not all(np.isfinite(tensor).all() for tensor in tensors.values()):
        raise CheckpointError(f"{path}: holds NaN or infinity; the training that made it failed")
    return weight, bias


def _check_dense(folder: Path, config: BertConfig, dense: tuple[Dense, ...]) -> None:
    width = config.hidden_size
    for number, (weight, _) in enumerate(dense, 1):
        if weight.shape[1] != width:
            raise CheckpointError(
                f"{folder}: Dense {number} takes {weight.shape[1]} dims, what comes before gives {width}"
            )
        width = weight.shape[0]


def _conventions(folder: Path) -> Conventions:
    path = folder / "config_sentence_transformers.json"
    settings = _read_object(path) if path.is_file() else {}
    found: dict[str, Any] = {}
    for key, (name, kind) in CONVENTION_KEYS.items():
        value = settings.get(key)
        if value is None:
            continue
        words = value if isinstance(value, list) else []
        if type(value) is not kind or not all(isinstance(word, str) for word in words):
            raise CheckpointError(f"{path}: expected {key} to be {kind.__name__}, found {value!r}")
        found[name] = tuple(words) if kind is list else value
    conventions = Conventions(**found)
    if min(conventions.query_length, conventions.document_length) < 4:
        raise CheckpointError(f"{path}: query_length and document_length should be at least 4")
    return conventions
