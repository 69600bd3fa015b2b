"""Collections of Qdrant: on a server, in a folder of qdrant-client's local mode, or in one of Qdrant Edge."""

from __future__ import annotations

import math
import os
import shutil
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from femtosearch.errors import MissingExtraError, QueryError, ServerError, missing_extra
from femtosearch.server.cluster.storage import raised_as

FINDS, RANKS = "fde", "rows"  # the vector that finds passages, and the rows that rank them
SCHEMES = ("qdrant:", "qdrant-edge:")
TIMEOUT = 60.0  # seconds to wait for an answer
_COLLECTION = "femtosearch"
_EF = 128  # of the graph, at least
_PAGE = 256


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """A passage as Qdrant keeps it.

    fde:   [F] float32; rows: [T, D] float32; both None for a document without a word.
    """

    id: str
    payload: dict[str, Any]
    fde: np.ndarray | None = None
    rows: np.ndarray | None = None

    @property
    def vectors(self) -> dict[str, Any]:
        """The vectors by their names."""
        if self.fde is None or self.rows is None:
            return {}
        return {FINDS: self.fde.tolist(), RANKS: self.rows.tolist()}


@dataclass(frozen=True, slots=True, eq=False)
class PointQuery:
    """A query: the FDE selects candidates, and the rows rank them. One of the two may be missing."""

    fde: np.ndarray | None
    rows: np.ndarray | None
    candidates: int


class Collection(Protocol):
    """A collection of Qdrant. Methods raise ServerError."""

    place: str

    def check_condition(self, condition: Any) -> None:
        """Raise QueryError for what is no Filter of the package."""

    def exists(self) -> bool:
        """Whether it is there."""

    def create(self, numbers: int, dims: int) -> None:
        """Make it, for FDEs of so many numbers and rows of D dims."""

    def drop(self) -> None:
        """Remove it, which was just made."""

    def put(self, points: Sequence[Point]) -> None:
        """Store points."""

    def best(self, point_query: PointQuery, k: int, condition: Any) -> list[tuple[dict[str, Any], float]]:
        """The payload and the score of the best passage of each of the k best documents."""

    def payloads(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The payloads of points, by their ids; unknown ids are left out."""

    def count(self, condition: Any) -> int:
        """How many documents there are, or pass a condition."""

    def first_passages(self, condition: Any) -> Iterator[dict[str, Any]]:
        """The payloads of all documents' first passages, or of those that pass a condition."""

    def close(self) -> None:
        """Close the connection."""


def collection_at(address: str, key: str | None = None, timeout: float = TIMEOUT) -> Collection:
    """The collection at qdrant:URL#NAME, qdrant:FOLDER#NAME or qdrant-edge:FOLDER. Raises ServerError,
    MissingExtraError.
    """
    scheme = next((scheme for scheme in SCHEMES if address.startswith(scheme)), None)
    location, _, name = address.removeprefix(scheme or "").partition("#")
    if scheme is None or not location or "\0" in address or (scheme == "qdrant-edge:" and name):
        raise ServerError(
            f"expected qdrant:URL, qdrant:FOLDER, either with #NAME, or qdrant-edge:FOLDER, found "
            f"{address[:200]!r}"
        )
    if scheme == "qdrant-edge:":
        return _Edge(_module("qdrant_edge", "qdrant-edge-py"), location)
    package = _module("qdrant_client", "qdrant-client")
    return _Client(package, location, name or _COLLECTION, key or os.environ.get("QDRANT_API_KEY"), timeout)


class _Opened(ABC):
    """The common part of collections: to read documents page by page, and to close."""

    _opened: Any = None
    _closed = False
    _package: Any
    _filter: type

    def check_condition(self, condition: Any) -> None:
        """Raise QueryError for what is no Filter of the package."""
        if condition is not None and not isinstance(condition, self._filter):
            kind = type(condition).__name__
            raise QueryError(f"filter: expected a Filter of {self._package.__name__}, found {kind}")

    def check_open(self) -> None:
        """Raise ServerError once it is closed."""
        if self._closed:
            raise ServerError("the connection is closed: connect again")

    def first_passages(self, condition: Any) -> Iterator[dict[str, Any]]:
        records, offset = self._page(condition, None)
        yield from (record.payload for record in records)
        while offset is not None:
            records, offset = self._page(condition, offset)
            yield from (record.payload for record in records)

    def close(self) -> None:
        self._closed = True
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    @abstractmethod
    def _page(self, condition: Any, offset: Any) -> tuple[list[Any], Any]:
        """Points that are a document's first passage, and where the next page begins; None after the last."""


class _Client(_Opened):
    """A collection by qdrant-client."""

    def __init__(self, package: Any, location: str, name: str, key: str | None, timeout: float) -> None:
        self.place, self._name, self._models = f"qdrant:{location}#{name}", name, package.models
        self._key, self._timeout = key, math.ceil(timeout)
        self._folder = None if "://" in location else Path(location)
        self._package, self._location, self._filter = package, location, package.models.Filter

    @property
    def _client(self) -> Any:
        self.check_open()
        if self._opened is None:
            with self._as_server_error():
                if self._folder is not None:
                    self._opened = self._package.QdrantClient(path=os.fspath(self._folder))
                else:
                    self._opened = self._package.QdrantClient(
                        url=self._location,
                        api_key=self._key,
                        timeout=self._timeout,
                        check_compatibility=False,
                    )
        return self._opened

    def exists(self) -> bool:
        if self._folder is not None and not (self._folder / "meta.json").exists():
            return False  # which the client would make
        with self._as_server_error():
            return bool(self._client.collection_exists(self._name))

    def create(self, numbers: int, dims: int) -> None:
        models = self._models
        multivector = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
        ranks = models.VectorParams(
            size=dims,
            distance=models.Distance.DOT,
            multivector_config=multivector,
            hnsw_config=models.HnswConfigDiff(
                m=0
            ),  # they rank what was found; a graph of them is never asked
        )
        finds = models.VectorParams(size=numbers, distance=models.Distance.DOT)
        if (
            self._folder is not None
            and not (self._folder / "meta.json").exists()
            and _holds_some(self._folder)
        ):
            raise ServerError(
                f"{self.place}: expected a new or empty folder, or Qdrant's, found files in it: choose "
                "another"
            )
        with self._as_server_error():
            self._client.create_collection(self._name, vectors_config={FINDS: finds, RANKS: ranks})
            if self._folder is None:
                for field, kind in (("id", "keyword"), ("number", "integer")):
                    self._client.create_payload_index(self._name, field, kind)

    def drop(self) -> None:
        with self._as_server_error():
            self._client.delete_collection(self._name)

    def put(self, points: Sequence[Point]) -> None:
        structs = [
            self._models.PointStruct(id=point.id, vector=point.vectors, payload=point.payload)
            for point in points
        ]
        with self._as_server_error():
            self._client.upsert(self._name, structs, wait=True)

    def best(self, point_query: PointQuery, k: int, condition: Any) -> list[tuple[dict[str, Any], float]]:
        models = self._models
        query, using, prefetch = point_query.rows, RANKS, None
        params = models.SearchParams(hnsw_ef=max(_EF, point_query.candidates))
        if query is None:
            query, using = point_query.fde, FINDS
        elif point_query.fde is not None:
            prefetch = models.Prefetch(
                query=point_query.fde.tolist(),
                using=FINDS,
                limit=point_query.candidates,
                filter=condition,
                params=params,
            )
        assert query is not None
        with self._as_server_error():
            groups = self._client.query_points_groups(
                self._name,
                group_by="id",
                query=query.tolist(),
                using=using,
                prefetch=prefetch,
                query_filter=condition,
                search_params=params,
                limit=k,
                group_size=1,
                with_payload=True,
            ).groups
        return [(group.hits[0].payload, group.hits[0].score) for group in groups if group.hits]

    def payloads(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        with self._as_server_error():
            records = self._client.retrieve(self._name, list(ids), with_payload=True)
        return {str(record.id): record.payload or {} for record in records}

    def count(self, condition: Any) -> int:
        with self._as_server_error():
            return int(self._client.count(self._name, self._first(condition), exact=True).count)

    def _page(self, condition: Any, offset: Any) -> tuple[list[Any], Any]:
        with self._as_server_error():
            page: tuple[list[Any], Any] = self._client.scroll(
                self._name, self._first(condition), limit=_PAGE, offset=offset, with_payload=True
            )
        return page

    def _first(self, condition: Any) -> Any:
        models = self._models
        first = models.FieldCondition(key="number", match=models.MatchValue(value=0))
        return models.Filter(must=[first, *([condition] if condition is not None else [])])

    @contextmanager
    def _as_server_error(self) -> Iterator[None]:
        with raised_as(ServerError, self.place), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield


class _Edge(_Opened):
    """A shard of Qdrant Edge, in this process."""

    def __init__(self, package: Any, location: str) -> None:
        self.place, self._package, self._folder = f"qdrant-edge:{location}", package, Path(location)
        self._filter = package.Filter

    @property
    def _shard(self) -> Any:
        self.check_open()
        if self._opened is None:
            with raised_as(ServerError, self.place):
                self._opened = self._package.EdgeShard.load(os.fspath(self._folder))
        return self._opened

    def exists(self) -> bool:
        return _holds_some(self._folder)

    def create(self, numbers: int, dims: int) -> None:
        edge = self._package
        multivector = edge.MultiVectorConfig(comparator=edge.MultiVectorComparator.MaxSim)
        ranks = edge.EdgeVectorParams(size=dims, distance=edge.Distance.Dot, multivector_config=multivector)
        finds = edge.EdgeVectorParams(size=numbers, distance=edge.Distance.Dot)
        with raised_as(ServerError, self.place):
            self._folder.mkdir(parents=True, exist_ok=True)
            config = edge.EdgeConfig(vectors={FINDS: finds, RANKS: ranks})
            self._opened = edge.EdgeShard.create(os.fspath(self._folder), config)

    def drop(self) -> None:
        self.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def put(self, points: Sequence[Point]) -> None:
        edge = self._package
        structs = [edge.Point(id=point.id, vector=point.vectors, payload=point.payload) for point in points]
        with raised_as(ServerError, self.place):
            self._shard.update(edge.UpdateOperation.upsert_points(structs))
            self._shard.flush()

    def best(self, point_query: PointQuery, k: int, condition: Any) -> list[tuple[dict[str, Any], float]]:
        limit = 4 * k
        while True:
            points = self._points(point_query, limit, condition)
            best: dict[str, tuple[dict[str, Any], float]] = {}
            for point in points:
                best.setdefault(point.payload["id"], (point.payload, point.score))
            if len(best) >= k or len(points) < limit:
                return list(best.values())[:k]
            limit *= 4

    def _points(self, point_query: PointQuery, limit: int, condition: Any) -> list[Any]:
        edge = self._package
        finds = None if point_query.fde is None else edge.Query.Nearest(point_query.fde.tolist(), using=FINDS)
        query, prefetches = finds, []
        if point_query.rows is not None:
            query = edge.Query.Nearest(point_query.rows.tolist(), using=RANKS)
            if finds is not None:
                prefetches = [edge.Prefetch(limit=point_query.candidates, query=finds, filter=condition)]
        request = edge.QueryRequest(
            limit=limit, query=query, prefetches=prefetches, with_payload=True, filter=condition
        )
        with raised_as(ServerError, self.place):
            return list(self._shard.query(request))

    def payloads(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        with raised_as(ServerError, self.place):
            records = self._shard.retrieve(list(ids), True, False)
        return {str(record.id): record.payload or {} for record in records}

    def count(self, condition: Any) -> int:
        with raised_as(ServerError, self.place):
            return int(
                self._shard.count(self._package.CountRequest(exact=True, filter=self._first(condition)))
            )

    def _page(self, condition: Any, offset: Any) -> tuple[list[Any], Any]:
        request = self._package.ScrollRequest(
            offset=offset, limit=_PAGE, filter=self._first(condition), with_payload=True
        )
        with raised_as(ServerError, self.place):
            page: tuple[list[Any], Any] = self._shard.scroll(request)
        return page

    def _first(self, condition: Any) -> Any:
        edge = self._package
        first = edge.FieldCondition(key="number", match=edge.MatchValue(0))
        return edge.Filter(must=[first, *([condition] if condition is not None else [])])


def _holds_some(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _module(name: str, package: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        if package == "qdrant-edge-py":  # which is in no extra
            raise MissingExtraError(f"Qdrant Edge needs {package}: pip install {package}") from None
        raise missing_extra("Qdrant", package, "qdrant") from None


def text_field(payload: Mapping[str, Any], name: str) -> str:
    """A text of a payload, which anyone may have changed. Raises ServerError."""
    text = payload.get(name)
    if not isinstance(text, str):
        raise ServerError(f"payload: expected a text under {name!r}, found {str(text)[:80]!r}: export again")
    return text
