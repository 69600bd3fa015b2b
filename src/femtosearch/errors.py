"""Every error that femtosearch raises on purpose.

    FemtosearchError
    ├── CheckpointError    a model folder is missing a file, is damaged, or says what it cannot mean
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
    └── MissingExtraError       an optional dependency is not installed

A message says what was expected, what was found and what to do.

    UnknownQueryWarning    a query finds nothing, for the model knows no word of it
"""


class UnknownQueryWarning(UserWarning):
    """A query finds nothing by meaning, for the model knows no word of it."""


class FemtosearchError(Exception):
    """The base of every error that femtosearch raises on purpose."""


class CheckpointError(FemtosearchError):
    """A model folder is missing a file, is damaged, or says what it cannot mean."""


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
