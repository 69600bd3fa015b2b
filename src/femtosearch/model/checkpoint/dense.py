"""Dense modules: layers on top of the backbone, which together are one affine map if they are linear."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from femtosearch.errors import CheckpointError
from femtosearch.frozen import frozen
from femtosearch.model.checkpoint.files import Files
from femtosearch.model.checkpoint.shards import WEIGHTS, read_weights

Affine = tuple[np.ndarray, np.ndarray | None]

LINEAR = "Identity"
MOST_DIMS = 8192  # numbers that a Dense takes or gives
ACTIVATIONS = (LINEAR, "ELU", "GELU", "LeakyReLU", "Mish", "ReLU", "SiLU", "Sigmoid", "Softplus", "Tanh")


@frozen(eq=False)
class Dense:
    """y = activation(weight · x + bias); with `use_residual` + x, or + residual · x where the sizes differ.

    weight:     [out, in] float32.
    bias:       [out] float32, or None.
    residual:   [out, in] float32, or None.
    activation: one of ACTIVATIONS, by torch.nn's names. Source: PyLate's and Sentence Transformers' Dense.
    """

    weight: np.ndarray
    bias: np.ndarray | None = None
    use_residual: bool = False
    residual: np.ndarray | None = None
    activation: str = LINEAR

    @property
    def parts(self) -> tuple[np.ndarray, ...]:
        """The arrays of the module: weight, bias and residual, as far as it has them."""
        return tuple(array for array in (self.weight, self.bias, self.residual) if array is not None)


def fold(layers: Sequence[Dense]) -> tuple[Affine, ...]:
    """Linear layers as one (weight [out, in], bias [out] or None), float32; () if there are none.

    A single layer without a residual is itself, bit for bit; several are multiplied in float64. Raises
    CheckpointError if their product is too large.
    """
    if not layers:
        return ()
    if len(layers) == 1 and not layers[0].use_residual:
        return ((layers[0].weight, layers[0].bias),)
    weight = np.eye(layers[0].weight.shape[1])
    bias = np.zeros(len(weight))
    for layer in layers:
        slope = layer.weight.astype(np.float64)
        if layer.use_residual:
            slope += np.eye(len(slope)) if layer.residual is None else layer.residual
        weight = slope @ weight
        bias = slope @ bias + (0.0 if layer.bias is None else layer.bias)
    biased = any(layer.bias is not None for layer in layers)
    with np.errstate(over="ignore"):
        product, offset = weight.astype(np.float32), bias.astype(np.float32)
    if not (np.isfinite(product).all() and np.isfinite(offset).all()):
        raise CheckpointError(
            "the product of the Dense modules is too large for float32; the model is damaged"
        )
    return ((product, offset if biased else None),)


def read_dense(files: Files, at: str, *, native: bool) -> Dense:
    """The Dense module in the folder `at`. Raises CheckpointError for an activation that is not known.

    native: Sentence Transformers' own layout, where a Dense says what it is applied to.
    """
    path, settings = files.folder / at / "config.json", files.object(at + "config.json")
    source = settings.get("module_input_name", "sentence_embedding")
    target = settings.get("module_output_name") or source
    if native and (source, target) != ("token_embeddings", "token_embeddings"):
        raise CheckpointError(
            f"{path}: expected a Dense from and to token_embeddings, found {source!r} to {target!r}"
        )
    use_residual = settings.get("use_residual") or False
    if type(use_residual) is not bool:
        raise CheckpointError(f"{path}: expected use_residual to be bool, found {use_residual!r}")
    tensors = read_weights(files, at)
    dense = Dense(
        tensors.get("linear.weight", np.zeros(0, np.float32)),
        tensors.get("linear.bias"),
        use_residual,
        tensors.get("residual.weight") if use_residual else None,
        _activation(str(path), settings, native),
    )
    _check_shapes(str(files.folder / at / WEIGHTS), dense)
    return dense


def stanford_dense(path: str, weight: np.ndarray | None) -> Dense:
    """Stanford ColBERT's projection, which lies among the backbone's tensors."""
    dense = Dense(np.zeros(0, np.float32) if weight is None else weight)
    _check_shapes(path, dense)
    return dense


def check_chain(folder: str, hidden_size: int, layers: Sequence[Dense]) -> None:
    """Raise CheckpointError unless each layer takes as many numbers as the one before gives."""
    width = hidden_size
    for number, layer in enumerate(layers, 1):
        if layer.weight.shape[1] != width:
            raise CheckpointError(
                f"{folder}: Dense {number} takes {layer.weight.shape[1]} dims, what comes before gives "
                f"{width}"
            )
        width = len(layer.weight)


def _activation(path: str, settings: dict[str, Any], native: bool) -> str:
    silent = "torch.nn.Tanh" if native else "torch.nn.Identity"
    activation = str(settings.get("activation_function", silent))
    name = activation.rsplit(".", 1)[-1]
    if not activation.startswith("torch.nn.") or name not in ACTIVATIONS:
        raise CheckpointError(
            f"{path}: activation {activation!r} is not known; known of torch.nn: {', '.join(ACTIVATIONS)}"
        )
    return name


def _check_shapes(path: str, dense: Dense) -> None:
    if max(dense.weight.shape, default=0) > MOST_DIMS:
        raise CheckpointError(
            f"{path}: expected a linear.weight from and to at most {MOST_DIMS:,} numbers, found "
            f"{_shape(dense.weight)}"
        )
    if dense.weight.ndim != 2 or 0 in dense.weight.shape:
        raise CheckpointError(f"{path}: expected linear.weight [out, in], found {_shape(dense.weight)}")
    if dense.bias is not None and dense.bias.shape != dense.weight.shape[:1]:
        raise CheckpointError(
            f"{path}: expected linear.bias [{len(dense.weight)}], found {_shape(dense.bias)}"
        )
    square = dense.weight.shape[0] == dense.weight.shape[1]
    if not dense.use_residual:
        return
    if square != (dense.residual is None) or (
        dense.residual is not None and dense.residual.shape != dense.weight.shape
    ):
        raise CheckpointError(
            f"{path}: use_residual needs residual.weight of linear.weight's shape {_shape(dense.weight)}, or "
            f"none if that is square; found {'none' if dense.residual is None else _shape(dense.residual)}"
        )


def _shape(array: np.ndarray) -> str:
    return str(list(array.shape)) if array.size else "none"
