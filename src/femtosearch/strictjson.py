"""JSON that somebody else made: a key that an object has twice is an error, not the last one's value."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from femtosearch.errors import CheckpointError


def parse_json(path: Path | str, content: bytes, what: str = "") -> Any:
    """Parse `what` of the file at `path`. Raises CheckpointError if it is not JSON, or says a thing twice."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise CheckpointError(f"{path}: {what}the key {twice!r} is there twice; which one counts?")
        return found

    try:
        return json.loads(content, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: {what}not valid JSON: {error}") from error
