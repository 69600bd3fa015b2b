"""txtai's `Embeddings`: an index with its ways of adding, asking and saving.

It ranks by MaxSim, where txtai ranks by one vector a text; a score is the mean of the query rows' best
products, as txtai's `Similarity` has it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from femtosearch.compat.options import several
from femtosearch.compat.txtai.configuration import read_configuration, write_configuration
from femtosearch.compat.txtai.sql import Row, run_sql
from femtosearch.compat.txtai.statement import is_sql
from femtosearch.disk import replace_folder
from femtosearch.errors import FemtosearchError, QueryError, StoreError
from femtosearch.index.index import Index
from femtosearch.index.json_values import json_scalar
from femtosearch.index.queries import encoded
from femtosearch.index.request import check_limit
from femtosearch.index.store import holds_index
from femtosearch.model.model import Model
from femtosearch.types import Document, Hit

# What says how txtai computes, and has nothing to say here.
NEUTRAL = frozenset(
    ["backend", "batch", "encodebatch", "format", "gpu", "method", "trust_remote_code", "vectors", "objects"]
)
MOST_HITS = (1 << 31) - 1
KEY, TAGS = "txtai.id", "txtai.tags"  # metadata: an id that was no string; tags


class Embeddings:
    """An embeddings database.

    config, options:  path, the model: a folder, a built-in one, a name on the Hub; None for the default one.
                      content: whether searches give texts. hybrid: whether words count, too; a score is
                      then the index's own. What says how txtai computes is passed over; anything else is
                      an error.
    Raises FemtosearchError, CheckpointError.
    """

    def __init__(self, config: Mapping[str, Any] | None = None, **options: Any) -> None:
        self.config = {**(config or {}), **options}
        unknown = self.config.keys() - NEUTRAL - {"path", "content", "hybrid"}
        if unknown:
            names = ", ".join(sorted(unknown))
            raise FemtosearchError(
                f"{names}: not supported here; expected path, content, hybrid and how txtai computes"
            )
        self._model: Model | None = None
        self._words: float | None = None  # the weight of words in a hybrid search
        self._next = 0  # the id of the next document that has none
        self._folder: Path | None = None
        self._index: Index | None = None

    @property
    def model(self) -> Model:
        """The model, read as txtai reads it."""
        if self._model is None:
            self._model = Model.load(self.config.get("path"), conventions="txtai")
        return self._model

    def index(self, documents: Iterable[Any], reindex: bool = False) -> None:
        """Make the index anew of documents: texts, mappings with a `text`, or tuples (id, one of these[,
        tags]). A document without an id is called by its number, from 0.
        """
        del reindex  # txtai would keep its own content: here the documents are given
        several("documents", documents)
        self.close()
        self._next = 0
        self.upsert(documents)

    def upsert(self, documents: Iterable[Any]) -> None:
        """Add documents, each in the place of one with the same id."""
        self._opened().add(self._documents(documents))

    def delete(self, ids: Iterable[Any]) -> list[Any]:
        """Take documents out, by their ids; those that were there."""
        store = self._opened()
        present = [name for name in several("ids", ids) if str(name) in store]
        store.delete([str(name) for name in present])
        return present

    def search(
        self,
        query: str,
        limit: int | None = None,
        weights: Any = None,
        index: Any = None,
        parameters: Mapping[str, Any] | None = None,
        graph: bool = False,
    ) -> list[Any]:
        """The best documents: {"id", "text", "score"} with content, else (id, score). The query is a text or,
        with content, SQL: select text, score from txtai where similar('a cat') and year > 2020 limit 3.

        Raises QueryError.
        """
        if index is not None or graph:
            raise QueryError("index and graph: not supported here: leave them out")
        self._weigh(weights)
        if not isinstance(query, str):
            raise QueryError(f"query: expected a string, found {type(query).__name__}")
        count = min(check_limit(limit or None) or 3, MOST_HITS)
        if self.config.get("content") and is_sql(query):
            return run_sql(query, count, parameters or {}, self._similar, self._everything)
        hits = self._similar(query, count)
        if not self.config.get("content"):
            return [(row.original, row.score) for row in hits]
        return [{"id": row.id, "text": row.text, "score": row.score} for row in hits]

    def batchsearch(
        self,
        queries: Sequence[str],
        limit: int | None = None,
        weights: Any = None,
        index: Any = None,
        parameters: Sequence[Mapping[str, Any]] | None = None,
        graph: bool = False,
    ) -> list[list[Any]]:
        """What `search` gives for each of several queries."""
        queries = list(several("queries", queries))
        values: Sequence[Mapping[str, Any]] = parameters or [{} for _ in queries]
        if len(values) != len(queries):
            raise QueryError(f"parameters: expected as many as queries, {len(queries)}, found {len(values)}")
        return [
            self.search(query, limit, weights, index, named, graph)
            for query, named in zip(queries, values, strict=True)
        ]

    def count(self) -> int:
        """How many documents there are."""
        return 0 if self._index is None else len(self._index)

    def exists(self, path: str | os.PathLike[str] | None = None) -> bool:
        """Whether an index is at a path; without one, whether this has one."""
        return self._index is not None if path is None else holds_index(path)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index and its configuration to a folder, in the place of one that is there. It is one of
        femtosearch's, not one of txtai's. Raises StoreError for a folder of other files.
        """
        target = Path(path)
        if target.exists() and not holds_index(target) and (target.is_file() or any(target.iterdir())):
            raise StoreError(f"{target}: expected a new folder, an empty one or an index: name another")
        folder = self._folder
        if self._index is None or folder is None:
            return
        self._index.close()
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            shutil.copytree(folder, draft, dirs_exist_ok=True)
            write_configuration(draft, self.config)
            replace_folder(draft, target)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
            self._index = Index(folder, model=self.model)

    def load(self, path: str | os.PathLike[str]) -> Embeddings:
        """Take the index in a folder and its configuration; the folder stays as it is whatever is added here.
        A path to a model that was given here goes first. Raises StoreError.
        """
        if not self.exists(path):
            raise StoreError(f"{os.fspath(path)}: there is no index here: `save` makes one")
        stored = read_configuration(Path(path))
        self.close()
        shutil.copytree(path, self._new_folder(), symlinks=True, dirs_exist_ok=True)
        if self.config.get("path") is not None:
            stored.pop("path", None)
        elif stored.get("path") is not None:
            self._model = None
        self.config |= stored
        numbers = [row.original for row in self._everything() if isinstance(row.original, int)]
        self._next = max(numbers, default=-1) + 1
        return self

    def close(self) -> None:
        """Let go of the index."""
        if self._index is not None:
            self._index.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._index = self._folder = None

    def __enter__(self) -> Embeddings:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # the interpreter may be half gone
            self.close()

    def _opened(self) -> Index:
        if self._index is None:
            is_new = self._folder is None
            self._index = Index(self._folder or self._new_folder(), model=self.model)
            if is_new:
                self._index.set_rows(bits=8)  # txtai's scores are of float32
        return self._index

    def _new_folder(self) -> Path:
        self._folder = Path(tempfile.mkdtemp(prefix="femtosearch-"))
        return self._folder

    def _documents(self, documents: Iterable[Any]) -> Iterator[Document]:
        for document in several("documents", documents):
            name, content, tags = _parts(document)
            if name is None:
                name, self._next = self._next, self._next + 1
            metadata = dict(content) if isinstance(content, Mapping) else {}
            text = metadata.pop("text", "") if isinstance(content, Mapping) else content
            metadata |= {} if isinstance(name, str) else {KEY: name}
            yield Document(str(name), text, {**metadata, TAGS: tags} if tags is not None else metadata)

    def _similar(self, query: str, limit: int) -> list[Row]:
        """The best documents, with the mean of the query rows' best products."""
        if not self.count():
            return []
        limit = min(limit, self.count())
        if self.config.get("hybrid"):
            return [_row(hit, hit.score) for hit in self._opened().search(query, k=limit, hybrid=self._words)]
        hits = self._opened().search(query, k=limit, hybrid=0.0, length_penalty=0.0)
        rows = max(1, len(encoded(self.model, [query])[0].rows))  # as the index asks
        return [_row(hit, hit.score / rows) for hit in hits]

    def _weigh(self, weights: Any) -> None:
        """Take txtai's weight of meaning, which leaves the rest to words. Raises QueryError."""
        if weights is not None and (not self.config.get("hybrid") or not isinstance(weights, (int, float))):
            raise QueryError("weights: expected a number, the weight of meaning, and hybrid=True")
        self._words = None if weights is None else 1.0 - float(weights)

    def _everything(self) -> Iterator[Row]:
        return map(_row, self._opened()) if self._folder is not None else iter(())


def _parts(document: Any) -> tuple[Any, Any, Any]:
    """(id, content, tags) of a document as txtai takes it."""
    if isinstance(document, Mapping) and isinstance(document.get("id"), (str, int)):
        content = {key: field for key, field in document.items() if key not in ("id", "tags")}
        return document["id"], content, document.get("tags")
    if not isinstance(document, tuple):
        return None, document, None
    if len(document) not in (2, 3):
        raise QueryError(f"a document: expected (id, text) or (id, text, tags), found {len(document)} parts")
    name, content = json_scalar(document[0]), document[1]
    if not isinstance(name, (str, int)) or isinstance(name, bool):
        raise QueryError(f"a document's id: expected a string or a whole number, found {name!r}"[:200])
    return name, content, document[2] if len(document) == 3 else None


def _row(document: Document | Hit, score: float | None = None) -> Row:
    fields = dict(document.metadata)
    original, tags = fields.pop(KEY, document.id), fields.pop(TAGS, None)
    return Row(document.id, original, document.text, tags, fields, score)
