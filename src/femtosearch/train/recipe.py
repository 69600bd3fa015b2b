"""A training recipe: a TOML file -> frozen dataclasses. An unknown key is an error; so is a stage that could
not run.
"""

from __future__ import annotations

import dataclasses
import json
import tomllib
import types
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from femtosearch.errors import RecipeError

MOST = 1 << 63  # what a number is below: seeds and steps are of 64 bits
STAGES = ("pretrain", "project", "tokens", "distil", "contrast")
SHAPE_KEYS = ("code_width", "hidden_size", "layers", "heads", "intermediate_size", "positions", "tokenizer")


@dataclass(frozen=True, slots=True)
class ModelShape:
    """The student: a bert_hash of this shape, or with code_width 0 a plain bert, and one Dense to `dims`.

    tokenizer: a folder with a tokenizer.json, or `package:NAME/folder`; none: the teacher's.
    query_length, document_length: 0 means what the `start` folder says, or else 128 and 300.
    expand_queries: pad queries with [MASK] to query_length and keep those rows, as PyLate does.
    skiplist: drop documents' rows of punctuation. special_rows: keep those of [CLS] and [SEP].
    start_table: start the token table from the teacher's vectors. table_bytes: after stage `tokens` the table
    is product-quantised to so many bytes a token, and the model is written with int8 matrices; 0: float32.
    """

    name: str = "model"
    tokenizer: str = ""
    code_width: int = 0
    hidden_size: int = 50
    layers: int = 2
    heads: int = 2
    intermediate_size: int = 200
    positions: int = 512
    dims: int = 50
    query_length: int = 0
    document_length: int = 0
    expand_queries: bool = False
    skiplist: bool = True
    special_rows: bool = True
    start_table: bool = True
    table_bytes: int = 0


@dataclass(frozen=True, slots=True)
class TeacherSource:
    """kind: what scores come from. `tokens` MaxSim of a bert's token vectors; `pooled` its mean vectors;
    `cross-encoder` any of Sentence Transformers; `scores` those that the data hold.

    source: a model folder, `package:NAME/folder` inside an installed Python package, or `hub:OWNER/NAME`.
    dims: principal directions of the token vectors that are cached; length: tokens of a text.
    """

    kind: Literal["tokens", "pooled", "cross-encoder", "scores"] = "tokens"
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
class ScoredSource:
    """Queries, documents and a teacher's scores, in the schema of lightonai/ms-marco-en-bge-gemma.

    source: a folder of the data folder with the tables `queries`, `documents` and `table`, each a .jsonl
    (plain, .gz, .xz) or a .parquet; or `hub:OWNER/NAME`. take: the table's first rows (0: all); ways: the
    first documents of each row.
    """

    source: str
    table: str = "train"
    take: int = 0
    ways: int = 32


@dataclass(frozen=True, slots=True)
class Data:
    """pairs: JSON lines of {"query", "positive"[, "negatives"]}; texts: one paragraph a line. Plain, .gz or
    .xz.

    exclude: globs of BEIR files whose texts must not be trained on: a training text that shares a run of
    words with them is dropped. keywords: share of pairs that get a second query of two to four of the first
    one's words.
    """

    pairs: tuple[Source, ...] = ()
    texts: tuple[Source, ...] = ()
    scores: ScoredSource | None = None
    exclude: tuple[str, ...] = ()
    keywords: float = 0.25
    hold_out: int = 400


@dataclass(frozen=True, slots=True)
class Rates:
    """How a stage learns. table_rate multiplies the token table's learning rate; warm_up is a share of the
    steps; half computes in fp16 where there is a GPU.
    """

    learning_rate: float = 1e-3
    table_rate: float = 1.0
    warm_up: float = 0.05
    schedule: Literal["cosine", "linear"] = "cosine"
    weight_decay: float = 0.01
    half: bool = False


@dataclass(frozen=True, slots=True)
class Mined(Rates):
    """A stage with hard negatives: the passages nearest to the right one by the teacher's mean vectors; those
    that the student itself finds; BM25's; or those in the data.

    For "model": every mine_every steps the coming steps' queries search mine_from passages (0: all), by
    MaxSim or by the mean of their rows.
    """

    negatives: Literal["teacher", "model", "bm25", "data", "none"] = "teacher"
    mine_every: int = 500
    mine_from: int = 20000
    mine_by: Literal["maxsim", "mean"] = "maxsim"


@dataclass(frozen=True, slots=True)
class PretrainStage(Rates):
    """Masked-language modelling from scratch. masked: the share of tokens to be guessed."""

    epochs: float = 1.0
    batch_tokens: int = 8192
    masked: float = 0.15


@dataclass(frozen=True, slots=True)
class PoolStage(Mined):
    """A stage that learns the scores of a teacher that scores cheaply.

    A step's passages are `clusters` seeds with their `near` nearest each, and `random` others; its queries
    are one of each passage's. teacher_scale sharpens the teacher's scores. pooled_weight adds to a token
    teacher's MaxSim that many times the cosine of its mean vectors, times the query's rows. normalise =
    "min-max" scales both sides' scores of a query to [0, 1].
    """

    steps: int = 4000
    clusters: int = 2
    near: int = 24
    random: int = 14
    teacher_scale: float = 2.0
    pooled_weight: float = 0.0
    normalise: Literal["none", "min-max"] = "none"


@dataclass(frozen=True, slots=True)
class ProjectStage(PoolStage):
    """Which `dims` directions of the teacher's vectors rank as all of them do: a linear map, learned by KL
    divergence.
    """

    learning_rate: float = 3e-3
    steps: int = 600


@dataclass(frozen=True, slots=True)
class TokensStage(Rates):
    """Regression of the teacher's projected token vectors."""

    learning_rate: float = 3e-3
    table_rate: float = 3.0
    epochs: float = 4.0
    batch_tokens: int = 8192


@dataclass(frozen=True, slots=True)
class DistilStage(PoolStage):
    """KL divergence to a teacher's scores.

    With a `tokens` or `pooled` teacher a step is drawn as PoolStage says. With a `cross-encoder` a step is
    `batch` queries, each with its own passage, `near` hard and `random` others. With `scores` it is `batch`
    rows, for `epochs`. teacher: another one than the recipe's.
    """

    table_rate: float = 2.0
    epochs: float = 1.0
    batch: int = 32
    token_weight: float = 0.5
    teacher: TeacherSource | None = None


@dataclass(frozen=True, slots=True)
class ContrastStage(Mined):
    """InfoNCE on labelled pairs: a step's `batch` queries against all its passages and `hard` negatives each.

    chunk_tokens: what is encoded at a time; a batch may be far larger than what fits in memory at once.
    """

    learning_rate: float = 3e-4
    negatives: Literal["teacher", "model", "bm25", "data", "none"] = "none"
    steps: int = 1000
    batch: int = 128
    hard: int = 1
    temperature: float = 1.0
    chunk_tokens: int = 8192


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that a training run depends on, but for the data folder. A stage runs if it has a table.

    start: a model folder to start from, a built-in model's name, `package:` and `hub:` too; none: from
    scratch.
    """

    model: ModelShape = field(default_factory=ModelShape)
    teacher: TeacherSource = field(default_factory=TeacherSource)
    data: Data = field(default_factory=Data)
    pretrain: PretrainStage | None = None
    project: ProjectStage | None = None
    tokens: TokensStage | None = None
    distil: DistilStage | None = None
    contrast: ContrastStage | None = None
    start: str = ""
    seed: int = 1

    @property
    def distil_teacher(self) -> TeacherSource:
        """The teacher whose scores `distil` learns."""
        return (self.distil and self.distil.teacher) or self.teacher

    @property
    def negatives(self) -> set[str]:
        """The kinds of hard negatives that its stages ask for; scores in the data bring their own."""
        scored = self.distil_teacher.kind == "scores"
        stages = [self.contrast, self.project, None if scored else self.distil]
        return {stage.negatives for stage in stages if stage}

    def json(self) -> str:
        """The same text for the same recipe: what a run folder is told by."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)


def read_recipe(path: str | Path, *, gpu: bool = False) -> Recipe:
    """Read a recipe. `like = "other.toml"`, beside it, gives what the recipe itself does not say, key by key.

    gpu: whether the tables below `[gpu]` count too, in place of what the recipe says elsewhere.
    Raises RecipeError naming the file, the key, and what is known.
    """
    path = Path(path)
    table = _read(path)
    like = table.pop("like", None)
    return recipe_of(
        table if like is None else merged(_read(path.parent / str(like)), table), str(path), gpu=gpu
    )


def recipe_of(table: dict[str, Any], where: str, *, gpu: bool = False) -> Recipe:
    """A recipe from what its TOML file says; `where` it is from is for errors. gpu: see read_recipe."""
    more = table.get("gpu", {})
    _build(Recipe, more, f"{where}: gpu")  # a mistake there is told on any machine
    table = {key: value for key, value in table.items() if key != "gpu"}
    if gpu:
        table = merged(table, more)
    recipe = _build(Recipe, table, where)
    stated = [key for key in SHAPE_KEYS if key in table.get("model", {})]
    if recipe.start and stated:
        raise RecipeError(f"{where}: model: the start folder gives {stated[0]!r}; remove that key")
    return recipe


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The keys of both; tables are merged, for all else the other counts."""
    shared = {
        key for key in base.keys() & changes if isinstance(base[key], dict) and isinstance(changes[key], dict)
    }
    return base | changes | {key: base[key] | changes[key] for key in shared}


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not valid TOML: {error}") from error


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
    if isinstance(hint, types.UnionType):  # a table that may be absent
        hint = get_args(hint)[0]
    if dataclasses.is_dataclass(hint):
        return _build(hint, value, where)  # type: ignore[arg-type]
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise RecipeError(f"{where}: expected one of {', '.join(get_args(hint))}; found {value!r}")
        return value
    if isinstance(hint, types.GenericAlias):
        if not isinstance(value, list):
            raise RecipeError(f"{where}: expected a list, found {value!r}")
        return tuple(_value(get_args(hint)[0], item, where) for item in value)
    if hint is float and type(value) is int:
        value = float(value)
    if type(value) is not hint:
        raise RecipeError(f"{where}: expected {hint.__name__}, found {value!r}")
    if hint in (int, float) and not 0 <= value < MOST:
        raise RecipeError(f"{where}: expected a number of at least 0 and below 2^63, found {value!r}")
    return value
