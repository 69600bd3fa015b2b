"""Reading the tensors of a folder: from one safetensors file, or from several with an index."""

from __future__ import annotations

from reprlib import repr as short

import numpy as np

from femtosearch.errors import CheckpointError
from femtosearch.model.checkpoint.files import Files
from femtosearch.model.checkpoint.packed import unpacked
from femtosearch.tensors import read_tensors

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLE = "pytorch_model.bin"
_PIECE = 1 << 16  # numbers that are looked at together


def read_weights(files: Files, at: str = "") -> dict[str, np.ndarray]:
    """Every float tensor in the folder `at`, as float32, by its own name; integer tensors are buffers.

    Raises CheckpointError if there are none, they are not finite, or the index does not fit its files.
    """
    if files.has(at + WEIGHTS):
        tensors = read_tensors(files.path(at + WEIGHTS))
    elif files.has(at + INDEX):
        tensors = _read_shards(files, at)
    else:
        raise CheckpointError(_no_weights(files, at))
    tensors = unpacked(files.folder / at / WEIGHTS, tensors)
    weights = {name: tensor for name, tensor in tensors.items() if tensor.dtype == np.float32}
    for name, tensor in weights.items():
        if not _is_finite(tensor):
            raise CheckpointError(
                f"{files.folder / at / WEIGHTS}: tensor {name!r} holds NaN or infinity; the training that "
                "made it failed"
            )
    return weights


def _is_finite(tensor: np.ndarray) -> bool:
    flat = tensor.reshape(-1)
    return all(np.isfinite(flat[at : at + _PIECE]).all() for at in range(0, len(flat), _PIECE))


def _no_weights(files: Files, at: str) -> str:
    folder = files.folder / at
    problem = f"{folder / WEIGHTS}: expected safetensors, found "
    if not any(folder.glob("pytorch_model*.bin")):
        return problem + "no weights; the model folder is not complete"
    convert = (
        'python -c "import sys, pathlib, torch, femtosearch.tensors as f; found = torch.load(sys.argv[1], '
        "map_location='cpu', weights_only=True); f.write_tensors(pathlib.Path(sys.argv[2]), {n: t.float()"
        '.numpy() for n, t in found.items() if t.is_floating_point()})"'
    )
    return (
        f"{problem}{PICKLE}, a pickle, which can run code; make safetensors of it where torch is installed: "
        f"{convert} '{folder / PICKLE}' '{folder / WEIGHTS}'"
    )


def _read_shards(files: Files, at: str) -> dict[str, np.ndarray]:
    """The tensors of the index's files. Raises CheckpointError unless each file holds those that it says."""
    path = files.folder / at / INDEX
    shard_of = files.object(at + INDEX).get("weight_map")
    if not isinstance(shard_of, dict) or not shard_of:
        raise CheckpointError(
            f"{path}: expected a weight_map of tensors and their files, found {short(shard_of)}"
        )
    names_in: dict[str, set[str]] = {}
    for name, shard in shard_of.items():
        names_in.setdefault(str(shard), set()).add(name)
    tensors: dict[str, np.ndarray] = {}
    for shard, names in names_in.items():
        if not shard.endswith(".safetensors") or not set(shard).isdisjoint("/\\\0"):
            raise CheckpointError(
                f"{path}: expected the names of safetensors files beside it, found {shard!r}"
            )
        if not files.has(at + shard):
            raise CheckpointError(
                f"{path}: names {shard!r}, which is missing; the model folder is not complete"
            )
        in_shard = read_tensors(files.path(at + shard))
        if differing := sorted(names ^ in_shard.keys()):
            raise CheckpointError(
                f"{path}: says that {shard!r} holds {len(names)} tensors, it holds {len(in_shard)}; they "
                f"differ in {differing[0]!r}"
            )
        tensors |= in_shard
    return tensors
