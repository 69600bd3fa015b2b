"""What an index of `Embeddings` is loaded with: a small file of JSON beside it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from femtosearch import system
from femtosearch.disk import check_regular, write_whole
from femtosearch.errors import CorruptError

NAME, MOST_BYTES, MOST_PATH = "embeddings.json", 64 << 10, 4096
FLAGS = frozenset(["content", "hybrid"])


def write_configuration(folder: Path, config: Mapping[str, Any]) -> None:
    """Write what decides over answers: content, hybrid, and the model's path where it has one. What says how
    txtai computes stays with its process. Raises OSError.
    """
    entries: dict[str, Any] = {name: bool(config.get(name)) for name in sorted(FLAGS)}
    path = config.get("path")
    if path is not None:
        entries["path"] = os.fsdecode(path)
    write_whole(folder / NAME, json.dumps(entries, ensure_ascii=True).encode())


def read_configuration(folder: Path) -> dict[str, Any]:
    """What was written; an index that has none gives an empty one. Raises CorruptError, StoreError, for the
    file may be a stranger's.
    """
    place = folder / NAME
    if not check_regular(place):
        return {}
    with open(os.open(place, system.READING), "rb") as file:
        check_regular(place, os.fstat(file.fileno()))
        content = file.read(MOST_BYTES + 1)
    try:
        config = json.loads(content) if len(content) <= MOST_BYTES else None
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict) or not all(_is_known(*entry) for entry in config.items()):
        raise CorruptError(
            f"{place}: expected JSON of content and hybrid, true or false, and a path: restore a copy of the "
            "index, or remove the file and say them to Embeddings"
        )
    return config


def _is_known(name: str, value: object) -> bool:
    """Whether an entry is one that is written."""
    if name == "path":
        return isinstance(value, str) and 0 < len(value) <= MOST_PATH and value.isprintable()
    return name in FLAGS and isinstance(value, bool)
