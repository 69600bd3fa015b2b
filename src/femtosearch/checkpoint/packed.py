"""Weights in fewer bytes, as a model folder of ours may hold them -> float32.

A table NAME may be kept by product quantisation: NAME.codes, [V, M] uint8, and NAME.books, [M, K, d] (float16
or float32): row v is books[0, codes[v, 0]], books[1, codes[v, 1]], ... end to end, M d numbers. A matrix NAME
may be kept as NAME.int8, [out, in], and NAME.scale, [out]. Source: Jegou et al., Product Quantization for
Nearest Neighbor Search, TPAMI 2011.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from femtosearch.errors import CheckpointError

CODES, BOOKS, INT8, SCALE = ".codes", ".books", ".int8", ".scale"


def unpacked(path: Path, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors of the file at `path`, each packed one as the float32 tensor that it stands for.

    Raises CheckpointError if a part is missing, or the parts do not fit one another.
    """
    whole: dict[str, np.ndarray] = {}
    for name, tensor in tensors.items():
        if name.endswith(CODES):
            name = name.removesuffix(CODES)
            tensor = _table(path, name, tensor, tensors.get(name + BOOKS))
        elif name.endswith(INT8):
            name = name.removesuffix(INT8)
            tensor = _matrix(path, name, tensor, tensors.get(name + SCALE))
        elif name.endswith((BOOKS, SCALE)):
            continue
        if name in whole:
            raise CheckpointError(f"{path}: {name!r} is there twice, packed and whole")
        whole[name] = tensor
    return whole


def packed(
    tensors: dict[str, np.ndarray], tables: dict[str, tuple[np.ndarray, np.ndarray]]
) -> dict[str, np.ndarray]:
    """What to write for float32 tensors: those that `tables` names as their (codes, books), float16; other
    matrices in int8; vectors as they are. unpacked() gives all of them, nearly, back.
    """
    parts: dict[str, np.ndarray] = {}
    for name, tensor in tensors.items():
        if name in tables:
            codes, books = tables[name]
            parts |= {name + CODES: codes, name + BOOKS: books.astype(np.float16)}
        elif tensor.ndim == 2:
            codes, scale = int8_matrix(tensor)
            parts |= {name + INT8: codes, name + SCALE: scale}
        else:
            parts[name] = tensor
    return parts


def int8_matrix(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[out, in] float32 -> ([out, in] int8, [out] float32 scales): each row's largest number becomes 127."""
    scale = np.abs(matrix).max(1) / 127
    safe = np.where(scale > 0, scale, 1)
    return np.rint(matrix / safe[:, None]).astype(np.int8), scale.astype(np.float32)


def _table(path: Path, name: str, codes: np.ndarray, books: np.ndarray | None) -> np.ndarray:
    if (
        books is None or codes.dtype != np.uint8 or codes.ndim != 2
        or books.dtype != np.float32 or books.ndim != 3
        or len(books) != codes.shape[1] or codes.max(initial=0) >= books.shape[1]
    ):  # fmt: skip
        found = "none" if books is None else f"{books.dtype} {list(books.shape)}"
        raise CheckpointError(
            f"{path}: {name + CODES!r}, {codes.dtype} {list(codes.shape)}, should be uint8 [V, M] and needs "
            f"{name + BOOKS!r}, floats [M, K, d] with every code below K; found {found}"
        )
    return np.concatenate([book[code] for book, code in zip(books, codes.T, strict=True)], axis=1)


def _matrix(path: Path, name: str, codes: np.ndarray, scale: np.ndarray | None) -> np.ndarray:
    if (
        scale is None or codes.dtype != np.int8 or codes.ndim != 2
        or scale.dtype != np.float32 or scale.shape != codes.shape[:1]
    ):  # fmt: skip
        found = "none" if scale is None else f"{scale.dtype} {list(scale.shape)}"
        raise CheckpointError(
            f"{path}: {name + INT8!r}, {codes.dtype} {list(codes.shape)}, should be int8 [out, in] and needs "
            f"{name + SCALE!r}, floats [out]; found {found}"
        )
    return codes.astype(np.float32) * scale[:, None]
