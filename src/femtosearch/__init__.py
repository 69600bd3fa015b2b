"""Late-interaction search with a one-megabyte model, without torch."""

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

__all__ = [
    "BertConfig", "CheckpointError", "Conventions", "CorruptError", "Document", "DocumentError", "FdeError",
    "FdeMismatchError", "FemtosearchError", "Hit", "Index", "LockedError", "MissingExtraError", "Model",
    "ModelMismatchError", "Passages", "QueryError", "ReadError", "RecipeError", "Rows", "ShapeError",
    "StoreError", "evaluate", "fde", "maxsim", "rerank",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """`evaluate` is imported when it is first used: whoever only searches does not wait for it."""
    if name != "evaluate":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from femtosearch.evaluation import evaluate

    return globals().setdefault(name, evaluate)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
