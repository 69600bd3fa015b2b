"""Checkpoint: what a model folder holds, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, fields, replace
from pathlib import Path

import numpy as np

from femtosearch.errors import CheckpointError
from femtosearch.frozen import frozen
from femtosearch.model.checkpoint.backbone import read_backbone
from femtosearch.model.checkpoint.conventions import (
    STANFORD_SETTINGS,
    TRANSFORMER_SETTINGS,
    check_conventions,
    find_tokenizer,
    read_conventions,
)
from femtosearch.model.checkpoint.dense import (
    LINEAR,
    Affine,
    Dense,
    check_chain,
    fold,
    read_dense,
    stanford_dense,
)
from femtosearch.model.checkpoint.files import Files
from femtosearch.model.checkpoint.modules import Modules, read_modules
from femtosearch.model.checkpoint.query_weights import QueryWeights, read_query_weights
from femtosearch.model.checkpoint.shards import WEIGHTS
from femtosearch.model.checkpoint.tokenizer import TOKENIZER_LIMIT, read_tokenizer
from femtosearch.tensors import check_limited
from femtosearch.types import BertConfig, Conventions, OtherConfig


@frozen
class Checkpoint:
    """The content of a model folder.

    dense:   the Dense modules as one affine map, (weight [out, in], bias [out] or None); () without any.
    layers:  the Dense modules as the folder has them, in order; () if they are `dense` itself.
    layout:  the library whose layout the folder has.
    origins: for each convention the file and key that it was read from, or whose default it is.
    unfit:   why the native engine cannot compute it; "" if it can. If a Dense is the reason, `dense` is ().
    query_weights: the network that weighs the rows of queries; None if all count the same.
    """

    folder: Path
    config: BertConfig | OtherConfig
    weights: dict[str, np.ndarray]
    dense: tuple[Affine, ...]
    conventions: Conventions
    tokenizer: Path
    layers: tuple[Dense, ...] = ()
    layout: str = "PyLate"
    origins: Mapping[str, str] = field(default_factory=dict)
    unfit: str = ""
    query_weights: QueryWeights | None = None

    @property
    def modules(self) -> tuple[Dense, ...]:
        """The Dense modules, in order."""
        return self.layers or tuple(Dense(weight, bias) for weight, bias in self.dense)


def read_checkpoint(folder: str | Path, conventions: str | Conventions | None = None) -> Checkpoint:
    """Read a model folder, with its own conventions, a preset's, or those given. No preset weighs queries.

    Raises CheckpointError: what was expected, what was found, what to do.
    """
    if isinstance(conventions, Conventions):
        return with_conventions(read_checkpoint(folder), conventions)
    files = Files(Path(folder))
    modules = read_modules(files)
    backbone = read_backbone(files, modules.backbone)
    config = backbone.config
    layers = _dense_layers(files, modules, backbone.projection)
    check_chain(str(folder), config.hidden_size, layers)
    tokenizer = _tokenizer(files, modules)
    stated, origins = read_conventions(files, modules, config, conventions)
    activation = next((layer.activation for layer in layers if layer.activation != LINEAR), "")
    dims = len(layers[-1].weight) if layers else config.hidden_size
    weights = read_query_weights(files, dims) if conventions is None else None
    unfit = ""
    if activation:
        unfit = f"{folder}: a Dense with activation {activation} is not known to the native engine"
    return Checkpoint(
        files.folder, config, backbone.weights, () if activation else fold(layers), stated, tokenizer, layers,
        modules.layout, origins, backbone.unfit or unfit, weights,
    )  # fmt: skip


def with_conventions(checkpoint: Checkpoint, conventions: Conventions) -> Checkpoint:
    """The checkpoint with other conventions. Raises CheckpointError for impossible ones."""
    check_conventions("the conventions given", conventions)
    origins = {
        field.name: "given"
        if getattr(conventions, field.name) != getattr(checkpoint.conventions, field.name)
        else checkpoint.origins.get(field.name, "given")
        for field in fields(Conventions)
    }
    return replace(checkpoint, conventions=conventions, origins=origins)


def _dense_layers(files: Files, modules: Modules, projection: np.ndarray | None) -> tuple[Dense, ...]:
    if modules.layout == "Stanford ColBERT":
        path = files.folder / modules.backbone / WEIGHTS
        dense = stanford_dense(str(path), projection)
        dims = files.object_if_any(STANFORD_SETTINGS).get("dim")
        if dims not in (None, len(dense.weight)):
            raise CheckpointError(
                f"{path}: linear.weight gives {len(dense.weight)} dims, {STANFORD_SETTINGS} says dim {dims!r}"
            )
        return (dense,)
    native = modules.layout == "Sentence Transformers"
    return tuple(read_dense(files, at, native=native) for at in modules.dense)


def _tokenizer(files: Files, modules: Modules) -> Path:
    path = find_tokenizer(files, modules)
    if path is None:
        save = "t.AutoTokenizer.from_pretrained(sys.argv[1]).save_pretrained(sys.argv[1])"
        raise CheckpointError(
            f"{files.folder}: expected tokenizer.json, found none; where transformers is installed, run "
            f"python -c \"import sys, transformers as t; {save}\" '{files.folder}'"
        )
    check_limited(path, TOKENIZER_LIMIT)
    _check_lower_case(files, modules.backbone, path)
    return path


def _check_lower_case(files: Files, backbone: str, tokenizer: Path) -> None:
    """Raises CheckpointError if the folder asks for lower case and the tokenizer does not make it."""
    name = backbone + TRANSFORMER_SETTINGS
    if files.object_if_any(name).get("do_lower_case") and not read_tokenizer(tokenizer).lowers_case:
        raise CheckpointError(
            f"{files.folder / name}: do_lower_case asks for lower case, {tokenizer.name} does not make it; "
            "give the tokenizer a normalizer that does"
        )
