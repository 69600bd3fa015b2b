"""The files of a model folder that somebody else made: none is read from outside it, no JSON is read twice
over.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from femtosearch.errors import CheckpointError
from femtosearch.tensors import parse_json


class Files:
    """A model folder. Its files are named by their path inside it, with slashes.

    A symbolic link may lead to another place in the folder and, in the Hub's cache, to the repository's own
    blobs. Raises CheckpointError if there is no folder.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            found = "a file" if folder.exists() else "nothing"
            raise CheckpointError(f"{folder}: expected a model folder, found {found}")
        self.folder = folder
        root = folder.resolve()
        self._roots = [root]
        if root.parent.name == "snapshots":
            self._roots.append(root.parent.parent / "blobs")

    def has(self, name: str) -> bool:
        """Whether the file, or folder, is there. Raises CheckpointError if it is outside."""
        return self.path(name).exists()

    def path(self, name: str) -> Path:
        """Where a file is, or would be. Raises CheckpointError if it is outside."""
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
                f"{self.folder / source}: a module's path should stay inside the model folder, found {path!r}"
            )
        name = str(PurePosixPath(path))
        self.path(name)
        return "" if name == "." else name + "/"

    def json(self, name: str) -> Any:
        """A JSON file's content. Raises CheckpointError if it is missing or says a thing twice."""
        path = self.path(name)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            raise CheckpointError(f"{path}: missing; the model folder is not complete") from None
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
        return parse_json(path, content)

    def object(self, name: str) -> dict[str, Any]:
        """A JSON file's content, which has to be an object."""
        value = self.json(name)
        if not isinstance(value, dict):
            raise CheckpointError(
                f"{self.folder / name}: expected a JSON object, found {type(value).__name__}"
            )
        return value

    def object_if_any(self, name: str) -> dict[str, Any]:
        """The same; empty if there is no such file."""
        return self.object(name) if self.has(name) else {}
