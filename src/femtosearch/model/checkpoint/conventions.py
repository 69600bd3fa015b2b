"""Conventions of a checkpoint: those that its files state, and the defaults of a library for the others.

Every layout states some conventions in files of its own. A preset is one library's way of reading a folder;
it supplies the others. The semantics are those of PyLate 1.6, Sentence Transformers 6.2 and txtai 9.14.
"""

from __future__ import annotations

import math
from dataclasses import fields
from pathlib import Path
from reprlib import repr as short
from typing import Any, NamedTuple

from femtosearch.errors import CheckpointError
from femtosearch.model.checkpoint.files import Files
from femtosearch.model.checkpoint.modules import SETTINGS, Modules
from femtosearch.model.checkpoint.tokenizer import read_tokenizer
from femtosearch.types import BertConfig, Conventions, OtherConfig

# config_sentence_transformers.json's keys, as PyLate writes them -> our names
CONVENTION_KEYS: dict[str, tuple[str, type]] = {
    "query_prefix": ("query_prefix", str),
    "document_prefix": ("document_prefix", str),
    "query_length": ("query_length", int),
    "document_length": ("document_length", int),
    "do_query_expansion": ("expand_queries", bool),
    "attend_to_expansion_tokens": ("attend_to_expansion", bool),
    "skiplist_words": ("skiplist", list),
}
# Conventions that PyLate does not have stand under this key of the same file, by our names.
OURS = "femtosearch"
OUR_KEYS: dict[str, type] = {
    "prefix_as": str, "expansion_length": int, "expansion_token": str, "skip_unknown": bool,
    "skip_in_queries": bool, "pool_factor": float, "protected_tokens": int, "unit_pools": bool,
    "prune_above": float, "scoring": str, "query_skiplist": list, "query_pieces": int,
}  # fmt: skip
STANFORD_SETTINGS = "artifact.metadata"
TOKENIZER = "tokenizer.json"
TOKENIZER_SETTINGS = "tokenizer_config.json"
TRANSFORMER_SETTINGS = "sentence_bert_config.json"
PRESETS = ("pylate", "sentence-transformers", "txtai")
DEFAULT = "default of "
LEAST_LENGTH = 4
KINDS = {str: "a text", int: "a whole number", bool: "true or false", tuple: "a list of texts"}


class Setting(NamedTuple):
    """The value of a convention. where: the file and key that it was read from, or whose default it is."""

    value: Any
    where: str


Settings = dict[str, Setting]  # by the names of Conventions' fields


def read_conventions(
    files: Files, modules: Modules, config: BertConfig | OtherConfig, preset: str | None
) -> tuple[Conventions, dict[str, str]]:
    """Read the conventions of a model folder, and where each comes from.

    preset:  one of PRESETS, to read the folder as that library does; None to read it as it was made for.
    Raises CheckpointError for a setting of a wrong type or value, and for an unknown preset.
    """
    if preset not in (None, *PRESETS):
        raise CheckpointError(f"conventions {preset!r} are not known; known: {', '.join(PRESETS)}")
    native = modules.layout == "Sentence Transformers"
    way = preset or ("sentence-transformers" if native else "pylate")
    if native and way != "txtai":
        stated = _native_settings(files, modules)
    elif modules.layout == "Stanford ColBERT":
        stated = _stanford_settings(files)
        if preset == "pylate":  # which does not read mask_punctuation
            stated.pop("skiplist", None)
    else:
        stated = _pylate_settings(files)
        if way == "sentence-transformers":
            stated |= _prompted(files, stated)
    if preset is None:
        stated |= _our_settings(files)
    limit = _limit(files, modules, config, way)
    mask = _mask_token(files)
    if way == "txtai":
        stated = _txtai(limit) | mask | stated | TXTAI
    elif way == "sentence-transformers":
        stated = _sentence_transformers(modules, stated, limit) | mask | stated
    else:
        stated = _pylate(modules) | mask | stated
    for name in ("query_prefix", "document_prefix"):
        prefix, where = stated[name]
        if where.startswith(DEFAULT) and way == "pylate" and not _has_token(files, modules, prefix):
            stated[name] = Setting("", f"{TOKENIZER}: no token {prefix!r}")
    for name in ("query_length", "document_length"):
        if stated[name].where.startswith(DEFAULT) and stated[name].value > config.positions:
            stated[name] = Setting(config.positions, "config.json: max_position_embeddings")
    conventions = Conventions(**{name: value for name, (value, _) in stated.items()})
    check_conventions(str(files.folder), conventions)
    return conventions, {field.name: stated[field.name].where for field in fields(Conventions)}


def check_conventions(source: str, conventions: Conventions) -> None:
    """Raise CheckpointError, which names the source, for conventions with impossible values."""
    if wrong := _mistyped(conventions):
        raise CheckpointError(f"{source}: {wrong}")
    lengths = [conventions.query_length, conventions.document_length]
    lengths += [] if conventions.expansion_length is None else [conventions.expansion_length]
    if min(lengths) < LEAST_LENGTH:
        wrong = f"query_length, document_length and expansion_length should be at least {LEAST_LENGTH}"
    elif (conventions.expansion_length or 0) > conventions.query_length:
        wrong = f"expansion_length should be at most query_length, {conventions.query_length}"
    elif conventions.prefix_as not in ("token", "marker", "text"):
        wrong = f"prefix_as should be token, marker or text, found {conventions.prefix_as!r}"
    elif conventions.scoring not in ("sum", "mean"):
        wrong = f"scoring should be sum or mean, found {conventions.scoring!r}"
    elif not _is_number(conventions.pool_factor) or not 1 <= conventions.pool_factor < math.inf:
        wrong = f"pool_factor should be a number from 1 up, found {conventions.pool_factor!r}"
    elif not _is_number(conventions.prune_above) or not 0 <= conventions.prune_above <= 1:
        wrong = f"prune_above should be a number from 0 to 1, found {conventions.prune_above!r}"
    elif conventions.protected_tokens < 0:
        wrong = f"protected_tokens should be at least 0, found {conventions.protected_tokens}"
    elif conventions.query_pieces < 1:
        wrong = f"query_pieces should be at least 1, found {conventions.query_pieces}"
    if wrong:
        raise CheckpointError(f"{source}: {wrong}")


def _mistyped(conventions: Conventions) -> str | None:
    """What is said of the first convention of a wrong type; None if all are right. Those whose range
    is checked are left out.
    """
    for field in fields(Conventions):
        value, kind = getattr(conventions, field.name), type(field.default)
        if kind is float or (field.default is None and value is None):
            continue
        kind = int if field.default is None else kind
        if not _is_of(kind, value):
            return f"{field.name} should be {KINDS[kind]}, found {short(value)}"
    return None


def _is_of(kind: type, value: object) -> bool:
    if kind is tuple:
        return isinstance(value, (tuple, list)) and all(isinstance(word, str) for word in value)
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


class Reader:
    """Reads settings of one JSON file: each is checked, and returned with the place that it was read from."""

    def __init__(self, files: Files, name: str, inside: str = "") -> None:
        settings = files.object_if_any(name)
        self.path, self.name = files.folder / name, f"{name}: {inside}" if inside else f"{name}: "
        self.settings: Any = settings if not inside else settings.get(inside.removesuffix(".")) or {}
        if not isinstance(self.settings, dict):
            raise CheckpointError(f"{self.path}: expected {inside[:-1]} to be an object")

    def __call__(self, key: str, kind: type) -> Setting | None:
        """The key's value; None if it is not there or null. A list has to be of strings."""
        value = self.settings.get(key)
        if value is None:
            return None
        fits = type(value) is kind or (kind is float and type(value) is int)
        if fits and kind is list:
            fits = all(isinstance(word, str) for word in value)
        if not fits:
            raise CheckpointError(f"{self.path}: expected {key} to be {kind.__name__}, found {short(value)}")
        return Setting(tuple(value) if kind is list else value, self.name + key)


def _present(settings: dict[str, Setting | None]) -> Settings:
    return {name: value for name, value in settings.items() if value is not None}


def _pylate_settings(files: Files) -> Settings:
    read = Reader(files, SETTINGS)
    stated = _present({name: read(key, kind) for key, (name, kind) in CONVENTION_KEYS.items()})
    return stated | _scoring(read)


def _prompted(files: Files, stated: Settings) -> Settings:
    """Prefixes with the prompts behind them, as Sentence Transformers joins them where there are both."""
    prompts = Reader(files, SETTINGS, "prompts.")
    joined = {}
    for name, key in (("query_prefix", "query"), ("document_prefix", "document")):
        prefix, prompt = stated.get(name, Setting("", "")), prompts(key, str)
        if prompt and prompt.value.removeprefix(prefix.value):
            text = prefix.value + prompt.value.removeprefix(prefix.value)
            joined[name] = Setting(text, ", ".join(filter(None, [prefix.where, prompt.where])))
    return joined


def _our_settings(files: Files) -> Settings:
    read = Reader(files, SETTINGS, OURS + ".")
    if unknown := sorted(read.settings.keys() - OUR_KEYS.keys()):
        raise CheckpointError(
            f"{read.path}: {OURS}.{unknown[0]} is not known; a newer femtosearch may have written it"
        )
    return _present({key: read(key, kind) for key, kind in OUR_KEYS.items()})


def _scoring(read: Reader) -> Settings:
    similarity = read("similarity_fn_name", str)
    return (
        {"scoring": Setting("mean", similarity.where)}
        if similarity and similarity.value == "meanmaxsim"
        else {}
    )


def _stanford_settings(files: Files) -> Settings:
    read = Reader(files, STANFORD_SETTINGS)
    punctuation = read("mask_punctuation", bool)
    skiplist = PYLATE.skiplist if punctuation and punctuation.value else ()
    return _present(
        {
            "query_prefix": read("query_token_id", str),
            "document_prefix": read("doc_token_id", str),
            "query_length": read("query_maxlen", int),
            "document_length": read("doc_maxlen", int),
            "attend_to_expansion": read("attend_to_mask_tokens", bool),
            "skiplist": Setting(skiplist, punctuation.where) if punctuation else None,
        }
    )


def _native_settings(files: Files, modules: Modules) -> Settings:
    """The conventions that a save of Sentence Transformers' MultiVectorEncoder states."""
    prompts, read = Reader(files, SETTINGS, "prompts."), Reader(files, SETTINGS)
    name = modules.backbone + TRANSFORMER_SETTINGS
    lengths, expansion = Reader(files, name), Reader(files, name, "query_expansion.")
    stated: dict[str, Setting | None] = {
        "query_prefix": prompts("query", str),
        "document_prefix": prompts("document", str),
        "query_length": lengths("query_length", int),
        "document_length": lengths("document_length", int),
    }
    strategy = expansion("strategy", str)
    if strategy:
        stated |= _expansion(expansion, strategy, modules)
    return _present(stated) | _scoring(read) | _mask_module(files, modules) | _pooling(files, modules)


def _expansion(read: Reader, strategy: Setting, modules: Modules) -> dict[str, Setting | None]:
    length = read("length", int)
    if strategy.value not in ("fixed", "min") or length is None:
        raise CheckpointError(
            f"{read.path}: query_expansion needs a length and a strategy, fixed or min; found "
            f"{short(read.settings)}"
        )
    if modules.mask is None:
        raise CheckpointError(
            f"{read.path}: query_expansion needs a MultiVectorMask in modules.json, found none"
        )
    stated = {
        "expand_queries": Setting(True, strategy.where),
        "attend_to_expansion": read("attend", bool),
        "expansion_token": read("token", str),
    }
    return stated | {"query_length" if strategy.value == "fixed" else "expansion_length": length}


def _mask_module(files: Files, modules: Modules) -> Settings:
    if modules.mask is None:
        return {}
    read = Reader(files, modules.mask + "config.json")
    if read.settings.get("keep_only_token_ids"):
        raise CheckpointError(f"{read.path}: keep_only_token_ids is for images, which are not known")
    tasks = read("skiplist_tasks", list) or Setting(("document",), "")
    words = read("skiplist_words", list)
    if words and words.value and "document" not in tasks.value:
        raise CheckpointError(
            f"{read.path}: expected a skiplist for documents, or both, found skiplist_tasks {tasks.value}"
        )
    in_queries = Setting(True, tasks.where) if "query" in tasks.value else None
    return _present({"skiplist": words, "skip_in_queries": in_queries})


def _pooling(files: Files, modules: Modules) -> Settings:
    if modules.pooling is None:
        return {}
    read = Reader(files, modules.pooling + "config.json")
    tasks = read("tasks", list)
    if tasks and tasks.value != ("document",):
        raise CheckpointError(f"{read.path}: pooling of {tasks.value} is not known; known: document")
    return _present(
        {
            "pool_factor": read("pool_factor", float),
            "protected_tokens": read("num_protected_tokens", int),
            "unit_pools": read("normalize_embeddings", bool) or Setting(False, DEFAULT + "older pooling"),
        }
    )


def _limit(files: Files, modules: Modules, config: BertConfig | OtherConfig, way: str) -> Setting:
    """The length that texts are cut to if no length is stated."""
    tokenizer = Reader(files, TOKENIZER_SETTINGS)
    length = Reader(files, modules.backbone + TRANSFORMER_SETTINGS)("max_seq_length", int)
    if length is None or way == "txtai":
        longest = tokenizer.settings.get("model_max_length")
        length = Setting(longest, f"{TOKENIZER_SETTINGS}: model_max_length") if type(longest) is int else None
    if length is None or length.value > config.positions:
        return Setting(config.positions, "config.json: max_position_embeddings")
    return length


def _has_token(files: Files, modules: Modules, token: str) -> bool:
    path = find_tokenizer(files, modules)
    return path is not None and read_tokenizer(path).has_token(token)


def find_tokenizer(files: Files, modules: Modules) -> Path | None:
    """The tokenizer.json beside the backbone, or else in the model folder itself."""
    names = [at + TOKENIZER for at in (modules.backbone, "")]
    return next((files.path(name) for name in names if files.has(name)), None)


def _mask_token(files: Files) -> Settings:
    for name in (TOKENIZER_SETTINGS, "special_tokens_map.json"):
        token = files.object_if_any(name).get("mask_token")
        token = token.get("content") if isinstance(token, dict) else token
        if isinstance(token, str):
            return {"expansion_token": Setting(token, f"{name}: mask_token")}
    return {}


def _defaults(of: str, **changes: Any) -> Settings:
    return {field.name: Setting(changes.get(field.name, field.default), DEFAULT + of) for field in FIELDS}


def _pylate(modules: Modules) -> Settings:
    stanford = modules.layout == "Stanford ColBERT"
    prefixes = {"query_prefix": "[unused0]", "document_prefix": "[unused1]"} if stanford else {}
    return _defaults("PyLate", **prefixes)


def _txtai(limit: Setting) -> Settings:
    stated = _defaults("txtai", query_prefix="", document_prefix="")
    return stated | {"query_length": limit, "document_length": limit}


def _sentence_transformers(modules: Modules, stated: Settings, limit: Setting) -> Settings:
    """The defaults of Sentence Transformers. Prefixes in `stated` that come from older layouts are changed in
    place as it changes them.
    """
    native, stanford = modules.layout == "Sentence Transformers", modules.layout == "Stanford ColBERT"
    marked = stanford or (
        not native and bool(stated)
    )  # as a late-interaction model from before its own layout
    silent = _defaults(
        "Sentence Transformers",
        query_prefix="[unused0] " if stanford else "",
        document_prefix="[unused1] " if stanford else "",
        expand_queries=marked,
        skiplist=PYLATE.skiplist if marked else (),
        prefix_as="text" if native else "marker",
        skip_unknown=False,
        unit_pools=True,
    )
    for name in ("query_prefix", "document_prefix"):
        if stanford and name in stated:
            stated[name] = Setting(stated[name].value + " ", stated[name].where)
    expanding = stated.get("expand_queries", silent["expand_queries"]).value
    silent["document_length"] = limit
    if not (marked and expanding):
        silent["query_length"] = limit
    return silent


PYLATE = Conventions()
FIELDS = fields(Conventions)
TXTAI = {
    name: Setting(value, "txtai")
    for name, value in {
        "expand_queries": False, "attend_to_expansion": False, "skiplist": (), "prefix_as": "text",
        "scoring": "mean",
    }.items()
}  # fmt: skip
