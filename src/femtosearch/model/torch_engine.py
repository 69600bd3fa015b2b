"""The torch engine: a backbone of any architecture that transformers knows. Needs the extra [torch].

transformers gets a configuration and tensors that were read and checked here, and never the model folder: no
code, no pickle and no name of another repository in the folder can reach it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional as F

from femtosearch.errors import CheckpointError, ShapeError
from femtosearch.model.builtin.modeling_bert_hash import BertHashConfig, BertHashModel
from femtosearch.model.checkpoint import Checkpoint, Dense
from femtosearch.model.checkpoint.write import backbone_settings

BATCH_TOKENS = 16_384  # of a batch, padding included
UNREAD = ("pooler.",)  # tensors that token vectors do not depend on


class TorchEncoder:
    """The encoder of the torch engine, with the methods of `encoder.Encoder`, in float32.

    Texts of similar length are computed together, padded, so a text's rows depend on the others by rounding.
    Raises CheckpointError if transformers does not know the architecture, or tensors are missing.
    """

    precision = "float32"

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._backbone = _backbone(checkpoint).eval()
        self._dense = nn.Sequential(*map(_Dense, checkpoint.modules)).eval()
        self._padding = self._backbone.config.pad_token_id or 0
        modules = checkpoint.modules
        self.dims = len(modules[-1].weight) if modules else checkpoint.config.hidden_size

    @property
    def kernel(self) -> str:
        """The library that computes, and its version."""
        return f"torch {torch.__version__}"

    def encode(
        self,
        ids: np.ndarray,
        starts: np.ndarray,
        attended: np.ndarray,
        keep: np.ndarray,
        threads: int = 0,
        out: np.ndarray | None = None,
    ) -> np.ndarray:
        """Unit rows of N texts, end to end, as `encoder.Encoder.encode` gives them."""
        shape = (int(keep.sum()), self.dims)
        rows = np.empty(shape, np.float32) if out is None else out
        if rows.shape != shape:
            raise ShapeError(f"expected out of shape {shape}, found {rows.shape}")
        row_of = np.cumsum(keep) - 1
        with torch.inference_mode(), _threads(threads):
            for texts in _batches(np.diff(starts)):
                places = starts[texts, None] + np.arange(np.diff(starts)[texts].max())
                inside = places < starts[texts + 1, None]
                places[~inside] = 0
                padded = np.where(inside, ids[places], self._padding)
                heeded = np.arange(places.shape[1]) < attended[texts, None]
                chosen = inside & keep[places]
                rows[row_of[places[chosen]]] = self._rows(padded, heeded, chosen)
        return rows

    def _rows(self, ids: np.ndarray, attended: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """ids, attended and chosen [n, t] -> unit rows of the chosen tokens."""
        mask = torch.from_numpy(attended.astype(np.int64))
        states = self._backbone(torch.from_numpy(ids.astype(np.int64)), attention_mask=mask)[0]
        rows: Tensor = F.normalize(self._dense(states[torch.from_numpy(chosen)]), dim=-1)
        return rows.numpy()


class _Dense(nn.Module):
    """A Dense module: activation(weight · x + bias), and the residual."""

    def __init__(self, dense: Dense) -> None:
        super().__init__()
        self.weight, self.bias, self.residual = map(_parameter, (dense.weight, dense.bias, dense.residual))
        self.use_residual = dense.use_residual
        self.activation = getattr(nn, dense.activation)()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.activation(F.linear(x, self.weight, self.bias))
        if not self.use_residual:
            return y
        return y + (x if self.residual is None else F.linear(x, self.residual))


def _parameter(array: np.ndarray | None) -> nn.Parameter | None:
    return None if array is None else nn.Parameter(torch.tensor(array), requires_grad=False)


def _backbone(checkpoint: Checkpoint) -> Any:
    """The backbone as a model of transformers. `except Exception`, because transformers raises errors of many
    classes.
    """
    tensors = {name: torch.tensor(array) for name, array in checkpoint.weights.items()}
    try:
        kind, config = _architecture(checkpoint)
        with _silence():
            model, report = kind.from_pretrained(
                None, config=config, state_dict=tensors, output_loading_info=True, dtype=torch.float32
            )
    except Exception as error:
        first = str(error).strip().split("\n", 1)[0]
        raise CheckpointError(
            f"{checkpoint.folder}: transformers {transformers.__version__} cannot load it: {first}"
        ) from error
    missing = sorted(name for name in report["missing_keys"] if not name.startswith(UNREAD))
    if missing:
        raise CheckpointError(
            f"{checkpoint.folder}: expected a tensor {missing[0]!r}, found none; {len(missing)} are missing"
        )
    return model


def _architecture(checkpoint: Checkpoint) -> tuple[Any, Any]:
    """The model's class and its configuration."""
    settings = backbone_settings(checkpoint)
    if "auto_map" in settings:
        del settings["auto_map"], settings["model_type"]
        return BertHashModel, BertHashConfig(**settings)
    config = transformers.AutoConfig.for_model(**settings)
    return transformers.MODEL_MAPPING[type(config)], config


def _batches(sizes: np.ndarray) -> Iterator[np.ndarray]:
    """Batches of texts, by their numbers, the longest first; texts without a token are left out."""
    order = np.argsort(-sizes, kind="stable")
    order = order[sizes[order] > 0]
    at = 0
    while at < len(order):
        count = max(1, BATCH_TOKENS // int(sizes[order[at]]))
        yield order[at : at + count]
        at += count


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _silence() -> Iterator[None]:
    """No progress bar and no report of unused tensors."""
    logging = transformers.utils.logging
    level, shown = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()
