"""Checkpoint -> a model folder that femtosearch, PyLate, Sentence Transformers and txtai load.

It is laid out as PyLate's are, which Sentence Transformers and txtai read too. A bert_hash needs code that
transformers does not have: the folder carries ours, and its readers run it with trust_remote_code=True.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from femtosearch.disk import whole_folder
from femtosearch.errors import CheckpointError
from femtosearch.model.checkpoint import (
    CONFIG_KEYS,
    CONVENTION_KEYS,
    LINEAR,
    OUR_KEYS,
    OURS,
    Checkpoint,
    Dense,
    expected_shapes,
)
from femtosearch.model.checkpoint.files import Files
from femtosearch.model.checkpoint.query_weights import QUERY_WEIGHTS, query_weight_bytes
from femtosearch.model.checkpoint.tokenizer import TokenizerFile, read_tokenizer
from femtosearch.tensors import write_tensors
from femtosearch.types import BertConfig, Conventions, OtherConfig

MODULES = "sentence_transformers.models"
DENSE_TYPE = "pylate.models.Dense.Dense"
DEFAULTS = Conventions()
PROJECTIONS = "embeddings.word_embeddings.projections"
CODE = Path(__file__).parents[1] / "builtin" / "modeling_bert_hash.py"
ARCHITECTURES = {"bert": "BertModel", "bert_hash": "BertHashModel"}
SPECIAL_TOKENS = {
    "unk_token": ("[UNK]", "<unk>"),
    "sep_token": ("[SEP]", "</s>"),
    "pad_token": ("[PAD]", "<pad>"),
    "cls_token": ("[CLS]", "<s>"),
    "mask_token": ("[MASK]", "<mask>"),
}


@contextmanager
def new_files(folder: Path) -> Iterator[Path]:
    """Give a temporary folder to write to, as `whole_folder` does. Raises CheckpointError if the disk
    refuses, or if a name in `folder` is taken.
    """
    try:
        with whole_folder(folder) as partial:
            yield partial
    except OSError as error:
        place = error.filename if isinstance(error, FileExistsError) else folder
        raise CheckpointError(f"{place}: cannot be written: {error.strerror}") from error


def check_new(folder: Path) -> None:
    """Raise CheckpointError unless the folder is new or empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CheckpointError(
            f"{folder}: expected a new or empty folder, found something in it; choose another"
        )


def caveats(checkpoint: Checkpoint) -> list[str]:
    """How the results of other libraries differ with the folder that is written, a sentence each."""
    caveats = []
    if later := _later(checkpoint.conventions):
        caveats.append(f"other libraries do not read these conventions of it: {', '.join(later)}")
    if checkpoint.query_weights is not None:
        caveats.append("other libraries do not weigh the rows of its queries")
    if len(checkpoint.modules) > 1:
        caveats.append("txtai centres the rows of a model with several Dense modules: fold them into one")
    if any(dense.bias is not None or dense.activation != LINEAR for dense in checkpoint.modules):
        caveats.append("txtai leaves out the bias and the activation of a Dense")
    return caveats


def folded(checkpoint: Checkpoint) -> Checkpoint:
    """The same model with one Dense instead of several. Raises CheckpointError if one is not linear."""
    activation = next((dense.activation for dense in checkpoint.modules if dense.activation != LINEAR), "")
    if activation:
        raise CheckpointError(
            f"{checkpoint.folder}: Dense modules with an activation ({activation}) cannot be folded "
            "into one; save them as they are"
        )
    return replace(checkpoint, layers=())


def write_checkpoint(checkpoint: Checkpoint, folder: Path) -> None:
    """Write all files of a model folder, made if absent. After an error the caller removes what was
    written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    modules = [{"idx": 0, "name": "0", "path": "", "type": f"{MODULES}.Transformer"}]
    for number, dense in enumerate(checkpoint.modules, 1):
        _write_dense(folder / f"{number}_Dense", dense)
        modules.append({"idx": number, "name": str(number), "path": f"{number}_Dense", "type": DENSE_TYPE})
    _write_json(folder / "modules.json", modules)
    _write_json(folder / "config.json", backbone_settings(checkpoint))
    _write_json(folder / "config_sentence_transformers.json", _convention_settings(checkpoint))
    length = checkpoint.conventions.document_length - 1
    _write_json(folder / "sentence_bert_config.json", {"max_seq_length": length, "do_lower_case": False})
    _write_tokenizer(checkpoint, folder)
    _write_weights(checkpoint, folder)
    if checkpoint.query_weights is not None:
        (folder / QUERY_WEIGHTS).write_bytes(query_weight_bytes(checkpoint.query_weights))
    card = Files(checkpoint.folder).path("README.md")
    if card.is_file() and not (folder / "README.md").exists():
        shutil.copyfile(card, folder / "README.md")


def backbone_settings(checkpoint: Checkpoint) -> dict[str, Any]:
    """The backbone's config.json, as transformers reads it."""
    config = checkpoint.config
    if isinstance(config, OtherConfig):
        return dict(config.settings)
    kind = config.architecture
    settings: dict[str, Any] = {"model_type": kind, "architectures": [ARCHITECTURES[kind]]}
    settings |= {key: getattr(config, name) for key, name in CONFIG_KEYS.items()}
    settings |= {"type_vocab_size": config.types, "layer_norm_eps": config.norm_epsilon, "hidden_act": "gelu"}
    if config.code_width is None:
        return settings
    biased = f"{PROJECTIONS}.bias" in checkpoint.weights
    classes = {"AutoConfig": f"{CODE.stem}.BertHashConfig", "AutoModel": f"{CODE.stem}.BertHashModel"}
    return settings | {
        "projections": config.code_width,
        "projections_bias": biased,
        "auto_map": classes,
    }


def _write_weights(checkpoint: Checkpoint, folder: Path) -> None:
    """The tensors, what the encoder reads first, and the code that transformers needs with a bert_hash."""
    config, weights = checkpoint.config, checkpoint.weights
    names = [*expected_shapes(config)] if isinstance(config, BertConfig) else []
    names += [name for name in weights if name not in names]
    write_tensors(folder / "model.safetensors", {name: weights[name] for name in names})
    if isinstance(config, BertConfig) and config.code_width is not None:
        shutil.copyfile(CODE, folder / CODE.name)


def _write_dense(folder: Path, dense: Dense) -> None:
    folder.mkdir(exist_ok=True)
    module = "linear" if dense.activation == LINEAR else "activation"
    settings = {
        "in_features": dense.weight.shape[1],
        "out_features": dense.weight.shape[0],
        "bias": dense.bias is not None,
        "activation_function": f"torch.nn.modules.{module}.{dense.activation}",
        "use_residual": dense.use_residual,
    }
    _write_json(folder / "config.json", settings)
    arrays = {"linear.weight": dense.weight, "linear.bias": dense.bias, "residual.weight": dense.residual}
    tensors = {name: array for name, array in arrays.items() if array is not None}
    write_tensors(folder / "model.safetensors", tensors)


def _write_tokenizer(checkpoint: Checkpoint, folder: Path) -> None:
    """Write tokenizer.json, with each prefix as an added token, and tokenizer_config.json for transformers.
    Sentence Transformers and txtai put the prefix before the text instead of inserting its id, so the
    tokenizer has to find it there.
    """
    tokenizer = read_tokenizer(checkpoint.tokenizer)
    hidden = {}
    if checkpoint.conventions.prefix_as == "token":  # a prefix that is text stays text
        hidden = _hidden(tokenizer, checkpoint.conventions)
    target = folder / "tokenizer.json"
    if hidden:
        target.write_text(json.dumps(tokenizer.with_added(hidden), ensure_ascii=False), encoding="utf-8")
    elif checkpoint.tokenizer.resolve() != target.resolve():
        shutil.copyfile(checkpoint.tokenizer, target)
    settings: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast"}
    settings["model_max_length"] = checkpoint.config.positions
    if "type_vocab_size" not in backbone_settings(checkpoint):
        settings["model_input_names"] = ["input_ids", "attention_mask"]
    for role, names in SPECIAL_TOKENS.items():
        present = [name for name in names if tokenizer.has_token(name)]
        settings |= {role: present[0]} if present else {}
    _write_json(folder / "tokenizer_config.json", settings)


def _hidden(tokenizer: TokenizerFile, conventions: Conventions) -> dict[str, int]:
    """The prefixes, with their ids, that are in the vocabulary but are no added tokens."""
    vocabulary, added = tokenizer.model["vocab"], {entry["content"] for entry in tokenizer.added}
    prefixes = (conventions.query_prefix, conventions.document_prefix)
    ids = vocabulary if isinstance(vocabulary, Mapping) else {}
    return {prefix: ids[prefix] for prefix in prefixes if prefix in ids and prefix not in added}


def _convention_settings(checkpoint: Checkpoint) -> dict[str, Any]:
    settings: dict[str, Any] = {"model_type": "ColBERT", "similarity_fn_name": "MaxSim"}
    for key, (name, kind) in CONVENTION_KEYS.items():
        value = getattr(checkpoint.conventions, name)
        settings[key] = list(value) if kind is list else value
    later = _later(checkpoint.conventions)
    return settings | ({OURS: later} if later else {})


def _later(conventions: Conventions) -> dict[str, Any]:
    """The conventions that PyLate's files cannot state, if they differ from PyLate's behaviour."""
    stated = {name: getattr(conventions, name) for name in OUR_KEYS}
    return {name: value for name, value in stated.items() if value != getattr(DEFAULTS, name)}


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8", newline="\n")
