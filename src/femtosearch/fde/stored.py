"""FDEs as bytes: a safetensors file whose metadata says, as JSON, of what kind and what parameters it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol
from weakref import WeakValueDictionary

import numpy as np

from femtosearch.disk import blake2b
from femtosearch.errors import CheckpointError, FdeError, ShapeError
from femtosearch.fde.calibration import Calibration
from femtosearch.fde.lemur import Lemur
from femtosearch.fde.muvera import Muvera
from femtosearch.tensors import parse_json, parse_tensors, tensor_bytes
from femtosearch.types import Rows


class Fde(Protocol):
    """A fixed-dimensional encoding: it turns the rows of a text into one vector. `Muvera` and `Lemur` are
    such.

    kind:   the name under which it is stored.
    model:  the fingerprint of the only model that it fits, or None if it fits all.
    code_bits:  how many bits a number of a passage's FDE has in an index: 8, 4 or 2.
    spec:   its parameters as JSON: two of one kind with equal specs give equal vectors.
    calibration:  how many candidates it needs, where that was measured; a field of a dataclass.
    """

    @property
    def kind(self) -> str: ...
    @property
    def model(self) -> str | None: ...
    @property
    def code_bits(self) -> int: ...
    @property
    def calibration(self) -> Calibration | None: ...
    def size(self, dims: int) -> int: ...
    def queries(self, rows: Rows, *, numbers: int | None = None, threads: int = 0) -> np.ndarray: ...
    def documents(self, rows: Rows, *, threads: int = 0) -> np.ndarray: ...
    def spec(self) -> dict[str, Any]: ...
    def tensors(self, dims: int) -> dict[str, np.ndarray]: ...


Restore = Callable[[Mapping[str, Any], Mapping[str, np.ndarray]], Fde]
KINDS: dict[str, Restore] = {Muvera.kind: Muvera.restore, Lemur.kind: Lemur.restore}
_IN_USE: WeakValueDictionary[bytes, Fde] = WeakValueDictionary()  # by a digest of the file


def calibrated(fde: Fde, calibration: Calibration | None) -> Fde:
    """The same FDE with another calibration, or none."""
    copy: Fde = replace(fde, calibration=calibration)  # type: ignore[type-var]
    return copy


def described(fde: Fde, size: int) -> dict[str, Any]:
    """Describe an FDE of F = `size` dims for a person: its kind, dims, parameters, and `calibrated`, on how
    many passages it was calibrated (None if it was not).
    """
    measured = None if fde.calibration is None else fde.calibration.measured
    return {"kind": fde.kind, "dims": size, **fde.spec(), "calibrated": measured}


def store_fde(fde: Fde, dims: int) -> bytes:
    """Write an FDE for rows of D dims to the bytes of a safetensors file. Raises FdeError."""
    description = {"kind": fde.kind, "spec": fde.spec()}
    if fde.calibration is not None:
        description["calibration"] = fde.calibration.spec()
    return tensor_bytes(fde.tensors(dims), {"fde": json.dumps(description, sort_keys=True)})


def restore_fde(data: bytes, place: str) -> Fde:
    """Read an FDE from the bytes of such a file, which somebody else may have made. Equal bytes give the same
    object while it is in use, because an FDE keeps what it has derived. Raises FdeError, naming `place`.
    """
    digest = blake2b(data, digest_size=16).digest()
    if (fde_in_use := _IN_USE.get(digest)) is not None:
        return fde_in_use
    fde = _IN_USE[digest] = _restored(data, place)
    return fde


def _restored(data: bytes, place: str) -> Fde:
    try:
        tensors, metadata = parse_tensors(data, place)
        stored = parse_json(place, metadata["fde"].encode(), "in its metadata, ")
        kind, spec, calibration = stored["kind"], dict(stored["spec"]), stored.get("calibration")
        restore = KINDS[kind]
    except CheckpointError as error:
        raise FdeError(f"{error}") from error
    except (KeyError, TypeError, ValueError, AttributeError):
        raise FdeError(f"{place}: no FDE of a known kind ({', '.join(KINDS)}): upgrade") from None
    try:
        # Numbers that are not finite are refused afterwards, or do not fit the digest.
        with np.errstate(over="ignore", invalid="ignore"):
            fde = restore(spec, tensors)
        return fde if calibration is None else calibrated(fde, Calibration.restore(calibration))
    except (FdeError, ShapeError) as error:
        raise FdeError(f"{place}: {error}") from error
