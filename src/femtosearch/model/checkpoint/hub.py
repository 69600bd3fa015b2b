"""Models by their name on the Hugging Face Hub: OWNER/NAME -> a folder of its cache."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from femtosearch.errors import CheckpointError, MissingExtraError
from femtosearch.model.checkpoint.files import Files

SETTINGS = [
    "modules.json", "config.json", "config_sentence_transformers.json", "sentence_bert_config.json",
    "artifact.metadata", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
]  # fmt: skip
WEIGHTS = ["model.safetensors", "model.safetensors.index.json", "model-*-of-*.safetensors"]
NAME = r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*"


def locate(source: str | Path, revision: str | None = None) -> Path:
    """The folder of a model: the path itself, or for OWNER/NAME on the Hub the folder in the Hub's cache.

    A local folder of that name goes first. Only files that a model is read from are fetched, no pickles and
    no code. Files in the Hub's cache are not fetched again; without a connection, or with HF_HUB_OFFLINE=1,
    only these are used.
    Raises CheckpointError if the Hub does not give it, MissingExtraError without huggingface_hub.
    """
    if Path(source).exists() or isinstance(source, Path) or not re.fullmatch(NAME, source):
        if revision is not None:
            raise CheckpointError(f"{source}: a revision is of a model on the Hub, this is a folder's path")
        return Path(source)
    folder = _fetch(
        source, revision, [*SETTINGS, *(f"1_Dense/{name}" for name in ("config.json", WEIGHTS[0]))]
    )
    # The commit that the first answer came from, so that all files are of one
    return _fetch(source, folder.name, [*SETTINGS, *_needed(folder)])


def is_absent(folder: Path) -> bool:
    """Whether nothing exists at a path; a path that cannot be examined counts as existing."""
    try:
        folder.lstat()
    except FileNotFoundError:
        return True
    except (OSError, ValueError):
        pass
    return False


def repository(folder: Path) -> str | None:
    """The name OWNER/NAME of a folder in the Hub's cache; None for any other folder."""
    folder = folder.resolve()
    if folder.parent.name != "snapshots" or not folder.parent.parent.name.startswith("models--"):
        return None
    return folder.parent.parent.name.removeprefix("models--").replace("--", "/", 1)


def _needed(folder: Path) -> list[str]:
    """The files of the modules, beside the settings in the folder itself."""
    files = Files(folder)
    if not files.has("modules.json"):
        return [*WEIGHTS, "1_Dense/config.json", "1_Dense/model.safetensors"]
    entries: Any = files.json("modules.json")
    paths = (
        [entry.get("path") for entry in entries if isinstance(entry, dict)]
        if isinstance(entries, list)
        else []
    )
    return [files.module("modules.json", path) + name for path in paths for name in (*SETTINGS, *WEIGHTS)]


def _fetch(name: str, revision: str | None, patterns: list[str]) -> Path:
    try:
        import huggingface_hub
    except ImportError:
        raise MissingExtraError(
            f"{name!r} is no folder; to fetch a model from the Hub, pip install 'femtosearch[hub]'"
        ) from None
    try:
        return Path(huggingface_hub.snapshot_download(name, revision=revision, allow_patterns=patterns))
    except Exception as error:  # of many kinds: no connection, no such name, no right to it
        at = f" at revision {revision!r}" if revision else ""
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"{name!r} is no folder here, and the Hub did not give it{at}: {type(error).__name__}: {reason}; "
            "check the name and the connection; what was fetched once is found without one"
        ) from error
