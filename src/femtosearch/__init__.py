"""Late-interaction search with a one-megabyte model, without torch."""

import femtosearch.fde as fde
from femtosearch.errors import (
    CheckpointError,
    CorruptError,
    DocumentError,
    FdeError,
    FdeMismatch,
    FemtosearchError,
    LockedError,
    MissingExtra,
    ModelMismatch,
    QueryError,
    ReadError,
    RecipeError,
    ShapeError,
    StoreError,
)
from femtosearch.evaluate import evaluate
from femtosearch.index import Index
from femtosearch.maxsim import maxsim
from femtosearch.model import Model
from femtosearch.rerank import rerank
from femtosearch.types import BertConfig, Conventions, Document, Hit, Passages, Rows

__all__ = [
    "BertConfig", "CheckpointError", "Conventions", "CorruptError", "Document", "DocumentError", "FdeError",
    "FdeMismatch", "FemtosearchError", "Hit", "Index", "LockedError", "MissingExtra", "Model",
    "ModelMismatch", "Passages", "QueryError", "ReadError", "RecipeError", "Rows", "ShapeError",
    "StoreError", "evaluate", "fde", "maxsim", "rerank",
]  # fmt: skip
