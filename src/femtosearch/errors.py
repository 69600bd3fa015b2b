"""Every error that femtosearch raises on purpose, and checks of numbers and texts that many modules share.

    FemtosearchError
    ├── CheckpointError    a model folder lacks a file, is damaged, or has settings that contradict each other
    ├── ShapeError         an array has the wrong shape, dtype or order
    ├── DocumentError      a document cannot be stored: its id, its text or its metadata
    ├── FdeError           an FDE cannot be made: its parameters, or a file that holds one
    ├── QueryError         a query cannot be answered: its text, k or mode
    ├── StoreError         an index folder cannot be opened, read or written
    │   ├── LockedError    another process is writing
    │   ├── ModelMismatchError  the index was made with another model
    │   ├── FdeMismatchError    the index has another FDE, or none
    │   └── CorruptError   a file of the index is damaged
    ├── ReadError          a user's file cannot be read as documents
    ├── RecipeError        a training recipe or its data cannot be used
    ├── ServerError        a server cannot be reached, refuses, or does not answer as ours do
    └── MissingExtraError  an optional dependency is not installed

A message says what was expected, what was found and what to do.

    UnknownQueryWarning    a query finds nothing by meaning, because the model knows no word of it
"""

from __future__ import annotations

import math
from typing import TypeGuard


class UnknownQueryWarning(UserWarning):
    """A query finds nothing by meaning, because the model knows no word of it."""


class FemtosearchError(Exception):
    """The base of every error that femtosearch raises on purpose."""


class CheckpointError(FemtosearchError):
    """A model folder lacks a file, is damaged, or has settings that contradict each other."""


class ShapeError(FemtosearchError, ValueError):
    """An array has the wrong shape, dtype or order."""


class DocumentError(FemtosearchError, ValueError):
    """A document cannot be stored: its id, its text or its metadata."""


class FdeError(FemtosearchError, ValueError):
    """An FDE cannot be made: its parameters, or a file that holds one."""


class QueryError(FemtosearchError, ValueError):
    """A query cannot be answered: its text, k or mode."""


class StoreError(FemtosearchError):
    """An index folder cannot be opened, read or written."""


class LockedError(StoreError):
    """Another process is writing to the index."""


class ModelMismatchError(StoreError):
    """The index was made with another model."""


class FdeMismatchError(StoreError):
    """The index has another FDE, or none."""


class CorruptError(StoreError):
    """A file of the index is damaged."""


class ReadError(FemtosearchError):
    """A user's file cannot be read as documents."""


class RecipeError(FemtosearchError):
    """A training recipe, or the data that it names, cannot be used."""


class ServerError(FemtosearchError):
    """A server cannot be reached, refuses, or does not answer as one of ours."""


class MissingExtraError(FemtosearchError, ImportError):
    """An optional dependency is not installed; the message names the command that installs it."""


def is_number(value: object, least: float = -math.inf, most: float = math.inf) -> TypeGuard[float]:
    """Whether a value is a number from `least` to `most`. True, False and NaN are not numbers here."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= most


def is_whole(value: object, least: int, most: float = math.inf) -> TypeGuard[int]:
    """Whether a value is an int (not a bool, not numpy's) from `least` to `most`."""
    return isinstance(value, int) and is_number(value, least, most)


def whole_number(least: int, most: int | None = None) -> str:
    """The words by which a message names the whole numbers from `least` to `most`.

    >>> whole_number(1), whole_number(1, 1000)
    ('a whole number of 1 or more', 'a whole number from 1 to 1,000')
    """
    bounds = f"of {least:,} or more" if most is None else f"from {least:,} to {most:,}"
    return f"a whole number {bounds}"


def check_whole(
    kind: type[FemtosearchError], name: str, value: object, least: int, most: int | None = None
) -> int:
    """Return the value if it is a whole number from `least` to `most`; else raise an error of class `kind`,
    which says what was expected and what was found.

    name:  what the value is called in the message.

    >>> check_whole(QueryError, "k", 0, 1)
    Traceback (most recent call last):
    femtosearch.errors.QueryError: k: expected a whole number of 1 or more, found 0
    """
    if not is_whole(value, least, math.inf if most is None else most):
        raise kind(f"{name}: expected {whole_number(least, most)}, found {value!r}")
    return value


def utf8(kind: type[FemtosearchError], name: str, text: str) -> bytes:
    """Encode a text as UTF-8; raise an error of class `kind` if it has a lone surrogate.

    name:  what the text is called in the message.
    """
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise kind(
            f"{name} has a lone surrogate at character {error.start}: decode it with errors='replace'"
        ) from None


def missing_extra(feature: str, package: str | None, extra: str) -> MissingExtraError:
    """The error to raise where `feature` needs a package that is not installed, and that `extra` brings."""
    return MissingExtraError(
        f"{feature} needs {package}, which is not installed: pip install 'femtosearch[{extra}]' "
        f"(or '.[{extra}]' in a clone)"
    )
