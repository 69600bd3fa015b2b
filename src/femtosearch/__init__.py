"""Late-interaction search with a one-megabyte model, without torch.

A name is imported when it is first used: who only asks for the version or the help does not wait for numpy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
        UnknownQueryWarning,
    )
    from femtosearch.evaluation import evaluate
    from femtosearch.index.index import Index
    from femtosearch.index.rerank import rerank
    from femtosearch.model.model import Model
    from femtosearch.scoring import maxsim
    from femtosearch.server.async_client import connect_async
    from femtosearch.server.client import connect
    from femtosearch.types import BertConfig, Conventions, Coverage, Document, Hit, Passages, Rows

__all__ = [
    "BertConfig", "CheckpointError", "Conventions", "CorruptError", "Coverage", "Document", "DocumentError",
    "FdeError", "FdeMismatchError", "FemtosearchError", "Hit", "Index", "LockedError", "MissingExtraError",
    "Model", "ModelMismatchError", "Passages", "QueryError", "ReadError", "RecipeError", "Rows",
    "ServerError", "ShapeError", "StoreError", "UnknownQueryWarning", "connect", "connect_async", "evaluate",
    "fde", "maxsim", "rerank",
]  # fmt: skip

MODULES = {  # where names come from, the errors aside
    **dict.fromkeys(
        ("BertConfig", "Conventions", "Coverage", "Document", "Hit", "Passages", "Rows"), "types"
    ),
    "Index": "index.index",
    "Model": "model.model",
    "connect": "server.client",
    "connect_async": "server.async_client",
    "evaluate": "evaluation",
    "maxsim": "scoring",
    "rerank": "index.rerank",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return globals().setdefault(name, import_module("importlib.metadata").version("femtosearch"))
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "fde":
        return import_module("femtosearch.fde")
    module = import_module(f"femtosearch.{MODULES.get(name, 'errors')}")
    return globals().setdefault(name, getattr(module, name))


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
