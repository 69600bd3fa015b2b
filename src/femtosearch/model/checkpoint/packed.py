"""Packed weights: a model folder of ours may store weights in fewer bytes, which become float32 when read.

Nothing is unpacked before the sizes of its codes and books have been compared with a limit.

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
MOST_NUMBERS = 1 << 28  # of an unpacked table: 1 GiB
_ROWS = 2048  # of a table that are unpacked at a time
WIDEST_BOOK = 256  # numbers that one code stands for: an unpacked table is at most 1,024 times its codes


def unpacked(path: Path, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors of the file at `path`, where each packed one becomes the float32 tensor it stands for.

    Raises CheckpointError if codes lack their books or scales, do not fit them, or unpack to too much.
    """
    unpacked_tensors: dict[str, np.ndarray] = {}
    for name, tensor in tensors.items():
        if name.endswith(CODES):
            name = name.removesuffix(CODES)
            tensor = _table(path, name, tensor, tensors.get(name + BOOKS))
        elif name.endswith(INT8):
            name = name.removesuffix(INT8)
            tensor = _matrix(path, name, tensor, tensors.get(name + SCALE))
        elif name.endswith((BOOKS, SCALE)):
            continue
        if name in unpacked_tensors:
            raise CheckpointError(f"{path}: {name!r} is there twice, packed and not")
        unpacked_tensors[name] = tensor
    return unpacked_tensors


def packed(
    tensors: dict[str, np.ndarray], tables: dict[str, tuple[np.ndarray, np.ndarray]]
) -> dict[str, np.ndarray]:
    """Pack float32 tensors: those that `tables` names become their (codes [V, M], books [M, K, d] float16),
    other matrices become int8, vectors stay. `unpacked` gives all of them back, up to rounding.
    """
    packed_tensors: dict[str, np.ndarray] = {}
    for name, tensor in tensors.items():
        if name in tables:
            codes, books = tables[name]
            packed_tensors |= {name + CODES: codes, name + BOOKS: books.astype(np.float16)}
        elif tensor.ndim == 2:
            codes, scale = int8_matrix(tensor)
            packed_tensors |= {name + INT8: codes, name + SCALE: scale}
        else:
            packed_tensors[name] = tensor
    return packed_tensors


def int8_matrix(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[out, in] float32 -> ([out, in] int8, [out] float32 scales): each row's largest number becomes 127."""
    scale = np.abs(matrix).max(1) / 127
    safe = np.where(scale > 0, scale, 1)
    return np.rint(matrix / safe[:, None]).astype(np.int8), scale.astype(np.float32)


def _table(path: Path, name: str, codes: np.ndarray, books: np.ndarray | None) -> np.ndarray:
    if (
        books is None or codes.dtype != np.uint8 or codes.ndim != 2
        or books.dtype != np.float32 or books.ndim != 3
        or not len(books) == codes.shape[1] >= 1 or codes.max(initial=0) >= books.shape[1]
    ):  # fmt: skip
        shape = "none" if books is None else f"{books.dtype} {list(books.shape)}"
        raise CheckpointError(
            f"{path}: {name + CODES!r}, {codes.dtype} {list(codes.shape)}, should be uint8 [V, M] and needs "
            f"{name + BOOKS!r}, floats [M, K, d] with every code below K; found {shape}"
        )
    if not 1 <= books.shape[2] <= WIDEST_BOOK or codes.size * books.shape[2] > MOST_NUMBERS:
        raise CheckpointError(
            f"{path}: {name + CODES!r} {list(codes.shape)} and {name + BOOKS!r} {list(books.shape)} stand "
            f"for {codes.size * books.shape[2]:,} numbers; expected at most {MOST_NUMBERS:,}, and 1 to "
            f"{WIDEST_BOOK} of a code"
        )
    table = np.empty((len(codes), codes.shape[1] * books.shape[2]), books.dtype)
    # The numbers of a code are copied as one item, which touches little memory beside the table.
    item = np.dtype((np.void, books.dtype.itemsize * books.shape[2]))
    entries, flat = table.view(item), np.ascontiguousarray(books).reshape(-1).view(item)
    firsts = np.arange(codes.shape[1]) * books.shape[1]
    for at in range(0, len(codes), _ROWS):
        np.take(flat, codes[at : at + _ROWS] + firsts, out=entries[at : at + _ROWS], mode="clip")
    table.flags.writeable = False
    return table


def _matrix(path: Path, name: str, codes: np.ndarray, scale: np.ndarray | None) -> np.ndarray:
    if (
        scale is None or codes.dtype != np.int8 or codes.ndim != 2
        or scale.dtype != np.float32 or scale.shape != codes.shape[:1]
    ):  # fmt: skip
        shape = "none" if scale is None else f"{scale.dtype} {list(scale.shape)}"
        raise CheckpointError(
            f"{path}: {name + INT8!r}, {codes.dtype} {list(codes.shape)}, should be int8 [out, in] and needs "
            f"{name + SCALE!r}, floats [out]; found {shape}"
        )
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused where weights are read
        return codes.astype(np.float32) * scale[:, None]
