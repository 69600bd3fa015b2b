"""The files that documents are exported to and imported from: their kinds, and the header that names
the model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from femtosearch.errors import StoreError, missing_extra
from femtosearch.index.schema import Origin

KINDS = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz", ".parquet")
HEADER = "femtosearch"  # the key of the line, or the metadata, that names the model


def kind_of(path: Path) -> str:
    """The kind of a file, one of KINDS, by its name. Raises StoreError."""
    for kind in KINDS:
        if path.name.lower().endswith(kind):
            return kind
    raise StoreError(f"{path}: expected a name that ends with one of {', '.join(KINDS)}")


def header_of(origin: Origin, bits: int) -> dict[str, Any]:
    """The header of a file with rows: the model, D, and how many bits a number has (femtosearch 0.1 knows
    only 8, which is left out).
    """
    header = {"model": origin.name, "fingerprint": origin.fingerprint, "dims": origin.dims}
    return header if bits == 8 else {**header, "bits": bits}


def bits_of(header: object, origin: Origin) -> int | None:
    """How many bits a number of a file's rows has, by its header; None if the rows are another model's."""
    return next((bits for bits in (8, 4) if header == header_of(origin, bits)), None)


def parquet() -> Any:
    """Import pyarrow. Raises MissingExtraError."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise missing_extra("Parquet", "pyarrow", "files") from None
    return pyarrow
