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
from femtosearch.evaluation import evaluate
from femtosearch.index.index import Index
from femtosearch.index.rerank import rerank
from femtosearch.model.model import Model
from femtosearch.scoring import maxsim
from femtosearch.types import BertConfig, Conventions, Document, Hit, Passages, Rows

__all__ = [
    "BertConfig", "CheckpointError", "Conventions", "CorruptError", "Document", "DocumentError", "FdeError",
    "FdeMismatch", "FemtosearchError", "Hit", "Index", "LockedError", "MissingExtra", "Model",
    "ModelMismatch", "Passages", "QueryError", "ReadError", "RecipeError", "Rows", "ShapeError",
    "StoreError", "evaluate", "fde", "maxsim", "rerank",
]  # fmt: skip
