"""The modules of a model folder by its modules.json, and the library whose layout the folder has."""

from __future__ import annotations

from reprlib import repr as short
from typing import Any, Literal

from femtosearch.errors import CheckpointError
from femtosearch.frozen import frozen
from femtosearch.model.checkpoint.files import Files

Layout = Literal["PyLate", "Sentence Transformers", "Stanford ColBERT", "plain backbone"]
SETTINGS = "config_sentence_transformers.json"
MODULES = "modules.json"
# The modules' classes by the last part of their names, in the order in which they may follow one another.
# A Pooling makes one vector of a text; it is ignored in a late-interaction model.
STEPS = {
    "Transformer": 0, "Pooling": 1, "Dense": 1, "MultiVectorMask": 2, "Normalize": 2,
    "HierarchicalTokenPooling": 3,
}  # fmt: skip
MOST_MODULES = 64
LIBRARIES = ("sentence_transformers", "pylate")


@frozen
class Modules:
    """Folders inside the model folder, each "" or ending in a slash; None for a module that is not there."""

    layout: Layout
    backbone: str = ""
    dense: tuple[str, ...] = ()
    mask: str | None = None
    pooling: str | None = None


def read_modules(files: Files) -> Modules:
    """Find the folder's modules. Raises CheckpointError if modules.json is damaged or asks for code."""
    settings = files.object_if_any(SETTINGS)
    stanford = "HF_ColBERT" in _architectures(files)
    if not files.has(MODULES):
        dense = ("1_Dense/",) if files.has("1_Dense/config.json") and not stanford else ()
        return Modules("Stanford ColBERT" if stanford else "plain backbone", dense=dense)
    steps = _steps(files)
    folders: dict[str, list[str]] = {kind: [] for kind in STEPS}
    for kind, at in steps:
        folders[kind].append(at)
    path = files.folder / MODULES
    if len(folders["Transformer"]) != 1:
        raise CheckpointError(
            f"{path}: expected one module of type Transformer, found {len(folders['Transformer']) or 'none'}"
        )
    layout: Layout = "PyLate"
    if _is_native(path, settings):
        layout = "Sentence Transformers"
        _check_native(files, folders)
    elif stanford and not folders["Dense"]:
        layout = "Stanford ColBERT"
    return Modules(
        layout,
        folders["Transformer"][0],
        tuple(folders["Dense"]),
        next(iter(folders["MultiVectorMask"]), None),
        next(iter(folders["HierarchicalTokenPooling"]), None),
    )


def _architectures(files: Files) -> list[Any]:
    names = files.object_if_any("config.json").get("architectures") or []
    if not isinstance(names, list):
        raise CheckpointError(
            f"{files.folder / 'config.json'}: expected architectures to be a list, found {short(names)}"
        )
    return names


def _steps(files: Files) -> list[tuple[str, str]]:
    """Every module's class and folder, in order."""
    path, entries = files.folder / MODULES, files.json(MODULES)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise CheckpointError(f"{path}: expected a list of modules")
    if len(entries) > MOST_MODULES:
        raise CheckpointError(f"{path}: expected at most {MOST_MODULES} modules, found {len(entries):,}")
    steps = [(_kind(str(path), entry), files.module(MODULES, entry.get("path"))) for entry in entries]
    holders = [at for kind, at in steps if kind in ("Transformer", "Dense")]
    twice = [at for at in holders if holders.count(at) > 1]
    if twice:
        raise CheckpointError(f"{path}: two modules have the path {twice[0][:-1]!r}; each needs its own")
    order = [STEPS[kind] for kind, _ in steps]
    if order != sorted(order):
        names = ", ".join(kind for kind, _ in steps)
        raise CheckpointError(f"{path}: expected modules in the order {', '.join(STEPS)}; found {names}")
    return steps


def _kind(path: str, entry: dict[str, Any]) -> str:
    name = str(entry.get("type"))
    library, kind = name.split(".", 1)[0], name.rsplit(".", 1)[-1]
    if library not in LIBRARIES:
        raise CheckpointError(
            f"{path}: module {name!r} is code of the model folder's own, which is never run; known are the "
            f"classes of {' and '.join(LIBRARIES)}: {', '.join(STEPS)}"
        )
    if kind not in STEPS:
        raise CheckpointError(f"{path}: module {kind!r} is not known; known: {', '.join(STEPS)}")
    return kind


def _is_native(path: Any, settings: dict[str, Any]) -> bool:
    """Whether the folder is a save of Sentence Transformers' MultiVectorEncoder."""
    kind = settings.get("model_type")
    if kind not in (None, "ColBERT", "SentenceTransformer", "MultiVectorEncoder"):
        raise CheckpointError(
            f"{path.parent / SETTINGS}: model_type {kind!r} gives no vector per token; known: ColBERT, "
            "MultiVectorEncoder, SentenceTransformer"
        )
    return kind == "MultiVectorEncoder"


def _check_native(files: Files, folders: dict[str, list[str]]) -> None:
    path = files.folder / MODULES
    if folders["Pooling"]:
        raise CheckpointError(f"{path}: a MultiVectorEncoder with a Pooling gives no vector per token")
    inputs = [files.object_if_any(at + "config.json").get("module_input_name") for at in folders["Normalize"]]
    if "token_embeddings" not in inputs:
        raise CheckpointError(
            f"{path}: expected a Normalize of token_embeddings, found none; rows are unit length here: "
            'append Normalize(module_input_name="token_embeddings") to the model and save it again'
        )
