"""The storage of a cluster's index: a folder that all nodes see, or a bucket, by fsspec's URLs."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from femtosearch.disk import make_folder, refusal, whole_file
from femtosearch.errors import (
    CorruptError,
    FemtosearchError,
    LockedError,
    MissingExtraError,
    StoreError,
    missing_extra,
)
from femtosearch.index.lock import FolderLock
from femtosearch.server.cluster.manifest import FileFacts

_OBJECTS = frozenset(["s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oci", "oss"])
_PIECE = 1 << 20  # bytes that are read at a time
_LOCK = "build.lock"


class Storage(Protocol):
    """Files under one place, by their paths from there. Methods raise StoreError."""

    place: str

    def read(self, name: str) -> bytes | None:
        """The content of a file; None if there is none."""

    def write(self, name: str, content: bytes) -> None:
        """Write a file, or replace it: whole or not at all."""

    def size(self, name: str) -> int | None:
        """The size of a file in bytes; None if there is none."""

    def put(self, path: Path, name: str) -> None:
        """Copy a file of this machine into the storage, whole or not at all."""

    def fetch(self, name: str, path: Path) -> None:
        """Copy a file to this machine."""

    def remove(self, name: str) -> None:
        """Remove a folder with all that is in it, if it exists."""

    def folders(self, name: str = "") -> list[str]:
        """The names of the folders in a folder."""

    def alone(self) -> AbstractContextManager[None]:
        """Let one build write at a time, if the storage has locks. Raises LockedError."""


def is_url(place: str) -> bool:
    """Whether a place is a URL, and not a path of this machine."""
    return "://" in place


def storage_at(place: str | os.PathLike[str]) -> Storage:
    """The storage at a path or URL. Raises StoreError, MissingExtraError."""
    if not isinstance(place, (str, os.PathLike)):
        raise StoreError(f"place: expected a path or URL, found {type(place).__name__}")
    place = os.fspath(place)
    if not place or "\0" in place:
        raise StoreError(f"expected a folder or URL, found {place!r}")
    place = local_path(place)
    return Bucket(place.rstrip("/")) if is_url(place) else Folder(place)


def local_path(place: str) -> str:
    """The path that a file:// URL names; any other place is returned unchanged."""
    if not place.startswith("file://"):
        return place
    path = place.removeprefix("file://")
    return path[1:] if os.path.splitdrive(path[1:])[0] else path  # file:///C:/notes


class Folder:
    """A folder, which every node must see under the same path."""

    def __init__(self, place: str) -> None:
        self.place = os.path.abspath(place)

    def path(self, name: str) -> Path:
        """Where a file is."""
        return Path(self.place, name)

    def read(self, name: str) -> bytes | None:
        with _as_store_error(self.place):
            try:
                return self.path(name).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def size(self, name: str) -> int | None:
        with _as_store_error(self.place):
            try:
                return self.path(name).stat().st_size
            except (FileNotFoundError, NotADirectoryError):
                return None

    def write(self, name: str, content: bytes) -> None:
        with _as_store_error(self.place), self._writing(name) as file:
            file.write(content)

    def put(self, path: Path, name: str) -> None:
        with _as_store_error(self.place), open(path, "rb") as source, self._writing(name) as file:
            shutil.copyfileobj(source, file, _PIECE)

    def fetch(self, name: str, path: Path) -> None:
        with _as_store_error(self.place):
            shutil.copyfile(self.path(name), path)

    def remove(self, name: str) -> None:
        shutil.rmtree(self.path(name), ignore_errors=True)

    def folders(self, name: str = "") -> list[str]:
        with _as_store_error(self.place):
            root = self.path(name)
            return sorted(entry.name for entry in root.iterdir() if entry.is_dir()) if root.is_dir() else []

    @contextmanager
    def alone(self) -> Iterator[None]:
        with _as_store_error(self.place):
            make_folder(Path(self.place))
        with ExitStack() as stack:
            try:
                stack.enter_context(FolderLock(Path(self.place, _LOCK)).hold(0.0))
            except LockedError:
                raise
            except StoreError:  # a file system without locks
                pass
            yield

    @contextmanager
    def _writing(self, name: str) -> Iterator[Any]:
        path = self.path(name)
        make_folder(path.parent)
        with whole_file(path) as file:
            yield file


class Bucket:
    """What fsspec reaches, such as s3://bucket/folder. An object is there whole or not at all."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.files, self._root = filesystem(place)

    def read(self, name: str) -> bytes | None:
        with _as_store_error(self.place):
            self.files.invalidate_cache()
            try:
                content: bytes = self.files.cat_file(self._at(name))
            except FileNotFoundError:
                return None
            return content

    def size(self, name: str) -> int | None:
        with _as_store_error(self.place):
            self.files.invalidate_cache()
            try:
                return int(self.files.size(self._at(name)))
            except FileNotFoundError:
                return None

    def write(self, name: str, content: bytes) -> None:
        with _as_store_error(self.place):
            self._make_parent(name)
            self.files.pipe_file(self._at(name), content)

    def put(self, path: Path, name: str) -> None:
        with _as_store_error(self.place):
            self._make_parent(name)
            self.files.put_file(os.fspath(path), self._at(name))

    def fetch(self, name: str, path: Path) -> None:
        with _as_store_error(self.place):
            self.files.get_file(self._at(name), os.fspath(path))

    def remove(self, name: str) -> None:
        with _as_store_error(self.place):
            self.files.invalidate_cache()
            if self.files.exists(self._at(name)):
                self.files.rm(self._at(name), recursive=True)

    def folders(self, name: str = "") -> list[str]:
        root = self._at(name).rstrip("/")
        with _as_store_error(self.place):
            self.files.invalidate_cache()
            if not self.files.exists(root):
                return []
            entries = self.files.ls(root, detail=True)
        return sorted(PurePosixPath(entry["name"]).name for entry in entries if entry["type"] == "directory")

    def alone(self) -> AbstractContextManager[None]:
        return nullcontext()

    def _make_parent(self, name: str) -> None:
        """A store of objects has no folders, and would make a bucket; other file systems want them made."""
        if self.place.partition("://")[0] not in _OBJECTS:
            self.files.makedirs(self.files._parent(self._at(name)), exist_ok=True)

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}"


def filesystem(url: str) -> tuple[Any, str]:
    """fsspec's file system for a URL, and the path in it. Raises StoreError, MissingExtraError."""
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise missing_extra(url, "fsspec", "cluster") from None
    try:
        files, path = url_to_fs(url)
    except ImportError as error:
        raise MissingExtraError(f"{url}: {error}") from None
    except ValueError as error:
        raise StoreError(f"{url}: expected a path or URL such as s3://BUCKET/FOLDER: {error}") from None
    return files, str(path).rstrip("/")


def facts_of(path: Path) -> FileFacts:
    """The size and digest of a file. Raises OSError."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return FileFacts(path.stat().st_size, digest.hexdigest())


def check_facts(path: Path, facts: FileFacts, place: str) -> None:
    """Raise CorruptError for a file that is not the one that a manifest means."""
    try:
        size = path.stat().st_size
        actual = facts_of(path) if size == facts.bytes else FileFacts(size, "")
    except OSError as error:
        raise CorruptError(f"{place}: it cannot be read: {error.strerror or error}") from None
    if actual != facts:
        difference = "another size" if actual.bytes != facts.bytes else "other bytes"
        raise CorruptError(
            f"{place}: it has {difference} than the manifest says: remove it, and build the index again"
        )


@contextmanager
def raised_as(kind: type[FemtosearchError], place: str) -> Iterator[None]:
    """Turn every error in the block into one of a class: libraries of storages raise errors of many
    classes.
    """
    try:
        yield
    except FemtosearchError:
        raise
    except Exception as error:
        message = " ".join(str(error).split())[:300]
        raise kind(f"{place}: {type(error).__name__}: {message}") from error


@contextmanager
def _as_store_error(place: str) -> Iterator[None]:
    with raised_as(StoreError, place):
        try:
            yield
        except OSError as error:
            raise refusal(error, place) from error
