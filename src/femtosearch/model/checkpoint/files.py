"""Reading files of a model folder that somebody else made: only regular files inside the folder are read, up
to a limit of size for each kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from reprlib import repr as short
from typing import Any

from femtosearch.errors import CheckpointError
from femtosearch.tensors import JSON_LIMIT, parse_json, read_limited


class Files:
    """A model folder. Its files are named by their path inside it, with slashes.

    A symbolic link may lead to another place in the folder and, in the Hub's cache, to the repository's own
    blobs. Raises CheckpointError if there is no folder.
    """

    def __init__(self, folder: Path) -> None:
        with _readable(folder):
            if not folder.is_dir():
                present = "a file" if folder.exists() else "nothing"
                raise CheckpointError(f"{folder}: expected a model folder, found {present}")
        self.folder = folder
        root = folder.resolve()
        self._roots = [root]
        if root.parent.name == "snapshots":
            self._roots.append(root.parent.parent / "blobs")

    def has(self, name: str) -> bool:
        """Whether the file, or folder, is there. Raises CheckpointError if it is outside."""
        path = self.path(name)
        with _readable(path):
            return path.exists()

    def path(self, name: str) -> Path:
        """The path of a file, which need not exist. Raises CheckpointError if it is outside the folder."""
        path = self.folder / name
        try:
            real = path.resolve()
        except (OSError, RuntimeError):
            raise CheckpointError(f"{path}: a symbolic link that leads round in a circle") from None
        if not any(real.is_relative_to(root) for root in self._roots):
            raise CheckpointError(
                f"{path}: a symbolic link that leaves the model folder, to {real}; copy the file instead"
            )
        return path

    def module(self, source: str, path: Any) -> str:
        """A module's folder, as the file `source` names it. Raises CheckpointError if that is outside."""
        plain = isinstance(path, str) and "\0" not in path and not PureWindowsPath(path).anchor
        if not plain or ".." in PurePosixPath(path).parts or PurePosixPath(path).is_absolute():
            raise CheckpointError(
                f"{self.folder / source}: a module's path should stay inside the model folder, found "
                f"{short(path)}"
            )
        name = str(PurePosixPath(path))
        self.path(name)
        return "" if name == "." else name + "/"

    def read(self, name: str, limit: int) -> bytes:
        """A file's content. Raises CheckpointError if it is missing, or larger than `limit` bytes."""
        return read_limited(self.path(name), limit)

    def json(self, name: str) -> Any:
        """A JSON file's content, of at most 4 MiB. Raises CheckpointError if it is missing or is not JSON."""
        return parse_json(self.folder / name, self.read(name, JSON_LIMIT))

    def object(self, name: str) -> dict[str, Any]:
        """A JSON file's content. Raises CheckpointError, also if it is not an object."""
        value = self.json(name)
        if not isinstance(value, dict):
            raise CheckpointError(
                f"{self.folder / name}: expected a JSON object, found {type(value).__name__}"
            )
        return value

    def object_if_any(self, name: str) -> dict[str, Any]:
        """The object in a JSON file; an empty one if there is no such file."""
        return self.object(name) if self.has(name) else {}


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn an error of the file system, such as a name that is too long, into a CheckpointError."""
    try:
        yield
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
