"""Late-interaction search with a one-megabyte model, without torch."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import femtosearch.fde as fde
from femtosearch.errors import (
    CheckpointError,
    CorruptError,
    DocumentError,
    FdeError,
    FdeMismatchError,
    FemtosearchError,
    LockedError,
    MissingExtraError,
    ModelMismatchError,
    QueryError,
    ReadError,
    RecipeError,
    ServerError,
    ShapeError,
    StoreError,
)
from femtosearch.index.index import Index
from femtosearch.index.rerank import rerank
from femtosearch.model.model import Model
from femtosearch.scoring import maxsim
from femtosearch.types import BertConfig, Conventions, Document, Hit, Passages, Rows

if TYPE_CHECKING:
    from femtosearch.evaluation import evaluate
    from femtosearch.server.client import connect, connect_async

__all__ = [
    "BertConfig", "CheckpointError", "Conventions", "CorruptError", "Document", "DocumentError", "FdeError",
    "FdeMismatchError", "FemtosearchError", "Hit", "Index", "LockedError", "MissingExtraError", "Model",
    "ModelMismatchError", "Passages", "QueryError", "ReadError", "RecipeError", "Rows", "ServerError",
    "ShapeError", "StoreError", "connect", "connect_async", "evaluate", "fde", "maxsim", "rerank",
]  # fmt: skip


LATER = {
    "connect": "femtosearch.server.client",
    "connect_async": "femtosearch.server.client",
    "evaluate": "femtosearch.evaluation",
}  # what is imported when it is first used: whoever only searches does not wait for it


def __getattr__(name: str) -> Any:
    if name not in LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return globals().setdefault(name, getattr(import_module(LATER[name]), name))


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
