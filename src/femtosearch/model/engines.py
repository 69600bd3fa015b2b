"""The engines that compute rows: the native one, and torch for other architectures."""

from __future__ import annotations

import importlib
from typing import Any, cast

from femtosearch.errors import CheckpointError, FemtosearchError, missing_extra
from femtosearch.model.checkpoint import Checkpoint
from femtosearch.model.encoder import Encoder
from femtosearch.types import BertConfig, Precision


def encoder_of(checkpoint: Checkpoint, engine: str, precision: str) -> Any:
    """The encoder of an engine: `Encoder`, or an object with its attributes and methods."""
    if precision not in ("float32", "int8"):
        raise FemtosearchError(f"expected precision 'float32' or 'int8', found {precision!r}")
    if engine == "torch":
        if precision == "int8":
            raise FemtosearchError("the torch engine computes in float32; load without precision='int8'")
        return _torch_engine().TorchEncoder(checkpoint)
    if engine != "native":
        raise FemtosearchError(f"expected engine 'native' or 'torch', found {engine!r}")
    if checkpoint.unfit:
        raise CheckpointError(
            f"{checkpoint.unfit}; load it with engine='torch' (pip install 'femtosearch[torch]')"
        )
    config, number = cast(BertConfig, checkpoint.config), cast(Precision, precision)
    return Encoder(config, checkpoint.weights, checkpoint.dense, precision=number)


def _torch_engine() -> Any:
    try:
        return importlib.import_module("femtosearch.model.torch_engine")
    except ImportError as error:
        if (error.name or "").startswith("femtosearch"):
            raise
        raise missing_extra("the torch engine", error.name, "torch") from error
