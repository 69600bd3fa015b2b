"""A training recipe: a TOML file -> frozen dataclasses. An unknown key is an error."""

from __future__ import annotations

import dataclasses
import tomllib
import types
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args, get_type_hints

from femtosearch.errors import RecipeError


@dataclass(frozen=True, slots=True)
class ModelShape:
    """The student: a bert_hash of this shape and one Dense to `dims`."""

    name: str = "femto"
    code_width: int = 5
    hidden_size: int = 50
    layers: int = 2
    heads: int = 2
    intermediate_size: int = 200
    positions: int = 512
    dims: int = 50
    query_length: int = 128
    document_length: int = 300


@dataclass(frozen=True, slots=True)
class TeacherSource:
    """source: a model folder, or `package:NAME/folder` for one inside an installed Python package.

    dims: principal directions of the teacher's token vectors that are cached; length: tokens of a text.
    """

    source: str = ""
    dims: int = 128
    length: int = 300
    batch_tokens: int = 4096


@dataclass(frozen=True, slots=True)
class Source:
    """A file of the data folder and how many of its lines to take (0: all)."""

    file: str
    take: int = 0


@dataclass(frozen=True, slots=True)
class Data:
    """pairs: JSON lines of {"query", "positive"}; texts: one paragraph a line. Plain, .gz or .xz.

    exclude: globs of BEIR files whose texts must not be trained on: a training text that shares a run of
    words with them is dropped. keywords: share of pairs that get a second query of two to four of the first
    one's words.
    """

    pairs: tuple[Source, ...] = ()
    texts: tuple[Source, ...] = ()
    exclude: tuple[str, ...] = ()
    keywords: float = 0.25
    hold_out: int = 400


@dataclass(frozen=True, slots=True)
class TokensStage:
    """Regression of the teacher's projected token vectors. table_rate multiplies the token table's learning
    rate.
    """

    epochs: float = 4.0
    batch_tokens: int = 8192
    learning_rate: float = 3e-3
    table_rate: float = 3.0


@dataclass(frozen=True, slots=True)
class DistilStage:
    """KL divergence to the teacher's MaxSim. A step's passages are `clusters` seeds with their `near`
    nearest each, and `random` others; its queries are one of each passage's. teacher_scale sharpens the
    teacher's scores.
    """

    steps: int = 4000
    clusters: int = 2
    near: int = 24
    random: int = 14
    learning_rate: float = 1e-3
    table_rate: float = 2.0
    teacher_scale: float = 2.0
    token_weight: float = 0.5


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that a training run depends on, but for the data folder."""

    model: ModelShape = field(default_factory=ModelShape)
    teacher: TeacherSource = field(default_factory=TeacherSource)
    data: Data = field(default_factory=Data)
    tokens: TokensStage = field(default_factory=TokensStage)
    distil: DistilStage = field(default_factory=DistilStage)
    seed: int = 1


def read_recipe(path: str | Path) -> Recipe:
    """Read a recipe. Raises RecipeError naming the file, the key, and what is known."""
    path = Path(path)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not valid TOML: {error}") from error
    return _build(Recipe, table, str(path))


def _build(kind: type, table: Any, where: str) -> Any:
    if not isinstance(table, dict):
        raise RecipeError(f"{where}: expected a table, found {table!r}")
    hints = get_type_hints(kind)
    unknown = sorted(set(table) - set(hints))
    if unknown:
        raise RecipeError(f"{where}: unknown key {unknown[0]!r}; known: {', '.join(hints)}")
    missing = [f.name for f in dataclasses.fields(kind) if _required(f) and f.name not in table]
    if missing:
        raise RecipeError(f"{where}: missing key {missing[0]!r}")
    return kind(**{key: _value(hints[key], value, f"{where}: {key}") for key, value in table.items()})


def _required(entry: dataclasses.Field[Any]) -> bool:
    return entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING


def _value(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return _build(hint, value, where)  # type: ignore[arg-type]
    if isinstance(hint, types.GenericAlias):
        if not isinstance(value, list):
            raise RecipeError(f"{where}: expected a list, found {value!r}")
        return tuple(_value(get_args(hint)[0], item, where) for item in value)
    if hint is float and type(value) is int:
        value = float(value)
    if type(value) is not hint:
        raise RecipeError(f"{where}: expected {hint.__name__}, found {value!r}")
    if hint in (int, float) and value < 0:
        raise RecipeError(f"{where}: expected a number of at least 0, found {value!r}")
    return value
