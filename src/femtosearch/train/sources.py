"""Where a recipe's models, files and tables are: folders, installed packages, the Hub; text, JSON lines and
parquet.
"""

from __future__ import annotations

import gzip
import importlib
import importlib.util
import json
import lzma
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

from femtosearch.errors import MissingExtraError, RecipeError
from femtosearch.model.checkpoint import hub
from femtosearch.model.model import BUILT_INS, built_in
from femtosearch.read.lines import TooLongError, limited_lines, text_stream
from femtosearch.read.records import ESCAPED_SURROGATE, without_surrogates

OPENERS = {".gz": gzip.open, ".xz": lzma.open}
CROSS_ENCODER = 'the teacher\'s kind is "cross-encoder"'  # why Sentence Transformers is needed
TABLE_ENDINGS = (".jsonl", ".jsonl.gz", ".jsonl.xz", ".parquet")


def locate(source: str) -> Path:
    """A folder, a built-in model's name, `package:NAME/folder` inside an installed package, or
    `hub:OWNER/NAME` -> its path.
    """
    if source.startswith("hub:"):
        return hub.locate(source.removeprefix("hub:"))
    if not source.startswith("package:"):
        is_name = source in built_in() and not Path(source).exists()
        return BUILT_INS / source if is_name else Path(source)
    package, _, folder = source.removeprefix("package:").partition("/")
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):  # a part of a name with dots is no package; the name is empty
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise RecipeError(f"{source!r}: no package {package!r}; pip install {package.replace('_', '-')}")
    places = [Path(place) / folder for place in spec.submodule_search_locations]  # two, where it is editable
    return next((place for place in places if place.exists()), places[0])


def extra(module: str, why: str) -> ModuleType:
    """Import a module of the extra [teachers]. Raises MissingExtraError with a command."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise MissingExtraError(
            f"{why}, which needs {module}; it is not installed: pip install 'femtosearch[teachers]'"
        ) from None


def lines(path: Path) -> Iterator[str]:
    """The lines of a UTF-8 text, stripped, empty ones left out; .gz and .xz are read too."""
    number = 0
    try:
        with _open(path) as raw, text_stream(raw, zipped=False, errors="strict") as stream:
            for line in limited_lines(stream):
                number += 1
                if not line.isspace():
                    yield line.strip()
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: not UTF-8 after line {number}: {error}; convert it") from error
    except (lzma.LZMAError, gzip.BadGzipFile, EOFError, TooLongError) as error:
        raise RecipeError(f"{path}: damaged after line {number}: {error}; fetch it again") from error
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}; is the data folder right?") from error


def table(source: str, name: str, folder: Path) -> Iterator[dict[str, Any]]:
    """The rows of a table: of `hub:OWNER/NAME`, or of a file `name` + .jsonl[.gz|.xz] or .parquet in
    folder/source.
    """
    path = _table_file(source, name, folder)
    if path is None:
        yield from _hub_rows(source, name)
    else:
        yield from _parquet_rows(path) if path.suffix == ".parquet" else objects(path)


def check_table(source: str, name: str, folder: Path) -> None:
    """Raises RecipeError if a table is not there, MissingExtraError if something is missing to read it."""
    path = _table_file(source, name, folder)
    if path is None:
        extra("datasets", f"{source!r} is on the Hub")
    elif path.suffix == ".parquet":
        extra("pyarrow.parquet", f"{path} is a parquet file")


def _table_file(source: str, name: str, folder: Path) -> Path | None:
    """The file of a table; None if it is on the Hub. Raises RecipeError if it is not there."""
    if source.startswith("hub:"):
        return None
    candidates = [folder / source / (name + ending) for ending in TABLE_ENDINGS]
    path = next((path for path in candidates if path.is_file()), None)
    if path is None:
        raise RecipeError(
            f"{folder / source}: no table {name!r}; expected {name} + {' or '.join(TABLE_ENDINGS)}"
        )
    return path


def objects(path: Path) -> Iterator[dict[str, Any]]:
    """The JSON objects of a file of lines."""
    for number, line in enumerate(lines(path), 1):
        row = json_value(line)
        if not isinstance(row, dict):
            raise RecipeError(f"{path}:{number}: expected a JSON object, found {line[:80]!r}")
        yield row


def json_value(line: str) -> Any:
    """The value of a line of JSON, with U+FFFD for half of a surrogate pair; None for what is no JSON."""
    try:
        value = json.loads(line)
        return without_surrogates(value) if ESCAPED_SURROGATE.search(line) else value
    except (ValueError, RecursionError):
        return None


def _open(path: Path) -> BinaryIO:
    opener: Any = OPENERS.get(path.suffix, open)
    file: BinaryIO = opener(path, "rb")
    return file


def _parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    parquet = extra("pyarrow.parquet", f"{path} is a parquet file")
    try:
        for batch in parquet.ParquetFile(path).iter_batches():
            yield from batch.to_pylist()
    except (OSError, ValueError) as error:  # pyarrow's errors are of these kinds
        raise RecipeError(f"{path}: not a parquet file that can be read: {error}") from error


def _hub_rows(source: str, name: str) -> Iterator[dict[str, Any]]:
    datasets = extra("datasets", f"{source!r} is on the Hub")
    try:
        rows = datasets.load_dataset(source.removeprefix("hub:"), name, split="train", streaming=True)
    except Exception as error:  # of many kinds: no network, no such name, no such table
        raise RecipeError(f"{source!r}: the Hub did not give its table {name!r}: {error}") from error
    yield from rows
