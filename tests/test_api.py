"""The public surface, pinned: a name appears or goes only on purpose."""

import femtosearch
from femtosearch import errors

NAMES = [
    "BertConfig", "CheckpointError", "Conventions", "CorruptError", "Document", "DocumentError", "FdeError",
    "FdeMismatch", "FemtosearchError", "Hit", "Index", "LockedError", "MissingExtra", "Model",
    "ModelMismatch", "Passages", "QueryError", "ReadError", "RecipeError", "Rows", "ShapeError",
    "StoreError", "evaluate", "fde", "maxsim", "rerank",
]  # fmt: skip


def test_the_public_names():
    assert femtosearch.__all__ == NAMES
    assert all(hasattr(femtosearch, name) for name in NAMES)


def test_every_error_has_one_root_and_is_public():
    found = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert found <= set(NAMES)
    assert all(issubclass(getattr(errors, name), errors.FemtosearchError) for name in found)
