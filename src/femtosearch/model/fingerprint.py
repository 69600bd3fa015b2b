"""The fingerprint of a model: a digest of all that the rows of its documents depend on."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np

from femtosearch.disk import blake2b
from femtosearch.model.checkpoint import LINEAR, Checkpoint
from femtosearch.model.checkpoint.query_weights import QUERY_WEIGHTS
from femtosearch.types import BertConfig, Conventions, OtherConfig

# The fingerprints of megabyte and femto, by a digest of their files, which is faster: these have an eighth of
# the numbers' bytes. A test checks them. For other models all numbers are digested.
KNOWN = {
    "2203bc5e07b769ae6b76411a26619006": "00a5fc55a2e47aa5d820d3f7e5788ddb1299982a4858c19fb87be4011a9f7fb4",
    "4e8ef3bdb7c4a1e54093480244d82e43": "a450be09b82d143d3deac1512f7b7aed7658118dc1a984f658a3604f7cd1417d",
}
_READ = (".json", ".safetensors")  # the suffixes of the files that a model is read from
_BESIDE = ("fde.safetensors", QUERY_WEIGHTS)  # files on which no document's rows depend


def fingerprint_of(checkpoint: Checkpoint) -> str:
    """A digest of all that the rows of documents depend on, except the engine and its precision."""
    import hashlib

    digest = hashlib.sha256(spelled(checkpoint.config, checkpoint.conventions).encode())
    digest.update(checkpoint.tokenizer.read_bytes())
    for name in sorted(checkpoint.weights):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(checkpoint.weights[name]).data)
    for dense in checkpoint.modules:
        digest.update(dense.weight.tobytes())
        digest.update(b"none" if dense.bias is None else dense.bias.tobytes())
        if dense.use_residual:
            digest.update(b"residual" if dense.residual is None else dense.residual.tobytes())
        if dense.activation != LINEAR:
            digest.update(dense.activation.encode())
    return digest.hexdigest()


def spelled(config: BertConfig | OtherConfig, conventions: Conventions) -> str:
    """The config and the conventions as text, as version 0.1.0 wrote it: fields that were added later are
    left out where they have their default, so that fingerprints of older models stay the same.
    """
    if isinstance(config, OtherConfig):
        return repr((config, conventions))
    texts = []
    for value, since in ((config, "norm_epsilon"), (conventions, "skiplist")):
        names = [field.name for field in fields(value)]
        first = names[: names.index(since) + 1]
        later = [field.name for field in fields(value) if field.default != getattr(value, field.name)]
        settings = [f"{name}={getattr(value, name)!r}" for name in names if name in first or name in later]
        texts.append(f"{type(value).__name__}({', '.join(settings)})")
    return f"({', '.join(texts)})"


def known_fingerprint(checkpoint: Checkpoint) -> str | None:
    """The fingerprint of an unchanged built-in model, by a digest of its files; None for others. The
    checkpoint must be as its folder's files say. Raises OSError.
    """
    return KNOWN.get(digest_of(checkpoint.folder, spelled(checkpoint.config, checkpoint.conventions)))


def digest_of(folder: Path, settings: str) -> str:
    """A digest of the files in a model's folder that determine its fingerprint. Raises OSError.

    settings:  the result of `spelled`.
    """
    digest = blake2b(settings.encode(), digest_size=16)
    for path in sorted(folder.rglob("*")):
        if path.suffix in _READ and path.name not in _BESIDE:
            content = path.read_bytes()
            digest.update(f"\0{path.relative_to(folder).as_posix()} {len(content)}\0".encode())
            digest.update(content)
    return digest.hexdigest()
