"""Checkpoint -> a model folder in PyLate's layout, which is also ours."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from femtosearch.checkpoint import CONFIG_KEYS, CONVENTION_KEYS, Checkpoint, expected_shapes
from femtosearch.tensors import write_tensors

MODULES = "sentence_transformers.models"
DENSE_TYPE = "pylate.models.Dense.Dense"


def write_checkpoint(checkpoint: Checkpoint, folder: Path) -> None:
    """Write every file of a folder, made if absent. What an error leaves behind is the caller's to remove."""
    folder.mkdir(parents=True, exist_ok=True)
    modules = [{"idx": 0, "name": "0", "path": "", "type": f"{MODULES}.Transformer"}]
    for number, (weight, bias) in enumerate(checkpoint.dense, 1):
        _write_dense(folder / f"{number}_Dense", weight, bias)
        modules.append({"idx": number, "name": str(number), "path": f"{number}_Dense", "type": DENSE_TYPE})
    _write_json(folder / "modules.json", modules)
    _write_json(folder / "config.json", _bert_settings(checkpoint))
    _write_json(folder / "config_sentence_transformers.json", _convention_settings(checkpoint))
    _write_json(
        folder / "sentence_bert_config.json",
        {"max_seq_length": checkpoint.conventions.document_length - 1, "do_lower_case": False},
    )
    tokenizer = folder / "tokenizer.json"
    if checkpoint.tokenizer.resolve() != tokenizer.resolve():
        shutil.copyfile(checkpoint.tokenizer, tokenizer)
    names = [*expected_shapes(checkpoint.config)]
    names += [name for name in checkpoint.weights if name not in names]
    write_tensors(folder / "model.safetensors", {name: checkpoint.weights[name] for name in names})


def _write_dense(folder: Path, weight: Any, bias: Any) -> None:
    folder.mkdir(exist_ok=True)
    settings = {
        "in_features": weight.shape[1],
        "out_features": weight.shape[0],
        "bias": bias is not None,
        "activation_function": "torch.nn.modules.linear.Identity",
        "use_residual": False,
    }
    _write_json(folder / "config.json", settings)
    tensors = {"linear.weight": weight} | ({} if bias is None else {"linear.bias": bias})
    write_tensors(folder / "model.safetensors", tensors)


def _bert_settings(checkpoint: Checkpoint) -> dict[str, Any]:
    config = checkpoint.config
    kind = "bert" if config.code_width is None else "bert_hash"
    settings: dict[str, Any] = {"model_type": kind}
    settings |= {key: getattr(config, name) for key, name in CONFIG_KEYS.items()}
    settings |= {"type_vocab_size": config.types, "layer_norm_eps": config.norm_epsilon, "hidden_act": "gelu"}
    return settings | ({} if config.code_width is None else {"projections": config.code_width})


def _convention_settings(checkpoint: Checkpoint) -> dict[str, Any]:
    settings: dict[str, Any] = {"similarity_fn_name": "MaxSim"}
    for key, (name, kind) in CONVENTION_KEYS.items():
        value = getattr(checkpoint.conventions, name)
        settings[key] = list(value) if kind is list else value
    return settings


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
