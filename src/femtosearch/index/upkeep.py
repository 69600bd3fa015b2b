"""Upkeep of an index: `Index` inherits how it is compacted, calibrated, checked, repaired, copied,
exported.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from femtosearch.errors import DocumentError, FdeError, QueryError, StoreError, check_whole
from femtosearch.index.contents import Contents, Where
from femtosearch.index.passage_encoder import AUTO, PassageEncoder, fitting_fde
from femtosearch.index.request import check_request
from femtosearch.index.snapshot import Snapshot
from femtosearch.index.snapshots import Snapshots
from femtosearch.types import Passages

if TYPE_CHECKING:
    from femtosearch.fde import Calibration, Fde
    from femtosearch.index.adopt import Adopted
    from femtosearch.index.check import Damage
    from femtosearch.index.encoding import Encoding
    from femtosearch.index.export import Handed
    from femtosearch.index.repair import Repair
    from femtosearch.index.stats import Stats

_MOST = 1_000_000  # documents of a batch, or threads
COLUMNS = {("id",), ("text",)}  # fields that are no metadata


class Upkeep(Contents):
    """What keeps an index safe and fast. `Index` is what a user makes."""

    folder: Path | None
    _snapshots: Snapshots

    @property
    @abstractmethod
    def model(self) -> PassageEncoder: ...

    @abstractmethod
    def _encode(self, threads: int) -> Callable[[list[str]], Passages]: ...

    def verify(self) -> list[Damage]:
        """Look for damage: read every checksum, and compare the catalogue with the segments.

        Returns what is wrong, file by file; an index that is whole gives an empty list. Raises StoreError if
        the index cannot be read at all.
        """
        from femtosearch.index.check import verify

        return verify(self._ready())

    def repair(self) -> Repair:
        """Mend the damage that `verify` finds, from the stored texts, in one commit.

        Segments that are damaged or missing are encoded anew, bit for bit as they were if they still say
        which passages they had. The tables of words and of declared fields are made anew. Damage that cannot
        be mended, such as a document whose text was changed, stays.

        Raises LockedError, StoreError.
        """
        from femtosearch.index.check import verify
        from femtosearch.index.repair import Repair, mend
        from femtosearch.index.writer import writing

        store = self._ready()
        if not verify(store):
            return Repair([], [])
        encode = self._encode(0)
        with writing(store) as commit:
            mended = mend(commit, encode, getattr(self.model, "fde", None))
        return Repair(mended, verify(store))

    def compact(self) -> None:
        """Rewrite segments without the passages of deleted and replaced documents, and join small segments.
        Raises LockedError, StoreError.
        """
        from femtosearch.index import rewrite
        from femtosearch.index.writer import writing

        with writing(self._ready()) as commit:
            rewrite.compact(commit)

    def set_fde(self, fde: Fde | str | None) -> None:
        """Replace the FDE of the index and of all passages; new FDEs are made from the stored rows.

        fde:  as for a new index; None removes the FDEs. All segments are rewritten, in one commit.
        Raises FdeError, FdeMismatchError, LockedError, StoreError.
        """
        from femtosearch.index import rewrite
        from femtosearch.index.writer import writing

        store = self._ready()
        chosen = fitting_fde(fde, store.origin, self.model if fde == AUTO else None)
        if chosen is None and fde is not None:
            raise FdeError(f"fde: the model {self.model.name!r} has none: name another, such as 'muvera'")
        with writing(store) as commit:
            rewrite.replace_fde(commit, chosen)

    def set_rows(self, *, bits: int) -> None:
        """Recode all rows with 8 or 4 bits a number.

        4 bits halve the bytes of the rows, and cost .0005 of nDCG@10 on the mean of six collections. Rows
        that go back to 8 bits keep the error of 4.

        All segments are rewritten, in one commit; FDEs stay as they are.
        Raises QueryError for other bits, LockedError, StoreError.
        """
        from femtosearch.index import rewrite
        from femtosearch.index.writer import writing

        if bits not in (8, 4) or isinstance(bits, bool):
            raise QueryError(f"bits: expected 8 or 4, found {bits!r}")
        with writing(self._ready()) as commit:
            if commit.row_bits != bits:
                rewrite.replace_rows(commit, bits)

    def set_words(self, wanted: bool = True) -> None:
        """Make the table of words, which hybrid search needs, from the stored texts; or remove it.

        wanted:  False removes it. New indexes have it. Raises LockedError, StoreError.
        """
        from femtosearch.index.writer import writing

        with writing(self._ready()) as commit:
            commit.transaction.set_words(bool(wanted))

    def calibrate(self, queries: Iterable[str] | None = None) -> Calibration:
        """Measure how many candidates the FDE needs for a stated recall, on all passages of this index, and
        store the result with it, for `search(recall=)`.

        queries:  typical queries, at least 20; hundreds are better. None: stretches of two to eight words of
                  200 of the documents. Each takes one MaxSim over all passages.
        Raises FdeError if there are too few queries or passages, QueryError, LockedError, StoreError.
        """
        from femtosearch.fde import calibrated
        from femtosearch.index.own_queries import own_queries
        from femtosearch.index.search import measure_fde
        from femtosearch.index.writer import writing

        store = self._ready()
        if isinstance(queries, str) or not isinstance(queries, (Iterable, type(None))):
            raise FdeError(f"queries: expected an iterable of queries, found {type(queries).__name__}")
        texts = None if queries is None else check_request([*queries]).texts

        def measured(snapshot: Snapshot) -> tuple[Encoding, Calibration]:
            asked = own_queries(store.catalog, snapshot) if texts is None else texts
            return measure_fde(snapshot, self.model.encode_queries(asked))

        encoding, calibration = self._snapshots.ask(measured)
        with writing(store) as commit:
            if commit.transaction.fde_digest() != encoding.digest:
                raise StoreError("the index was given another FDE while this one was measured: start again")
            commit.set_fde(calibrated(encoding.fde, calibration), commit.transaction.fde_when())
        return calibration

    def stats(self) -> Stats:
        """What the index holds. Raises StoreError."""
        from femtosearch.index.stats import stats

        store = self._ready()
        return self._snapshots.ask(lambda snapshot: stats(store, snapshot, self.folder))

    def set_keys(self, names: Iterable[str]) -> None:
        """Declare keys of the metadata whose values get indexes, so that filters on them need not read every
        document. They replace the keys that were declared before.

        names:  as in a filter, with dots between the keys of mappings; an empty list removes the indexes.
        Raises QueryError, LockedError, StoreError.
        """
        from femtosearch.index.where.tree import field_name, paths_of
        from femtosearch.index.writer import writing

        if isinstance(names, str) or not isinstance(names, Iterable):
            raise QueryError(f"keys: expected several names, found {type(names).__name__}")
        chosen = [field_name("keys", name) for name in names]
        paths = dict.fromkeys(path for name in chosen for path in paths_of(name) if path not in COLUMNS)
        with writing(self._ready()) as commit:
            commit.transaction.set_fields(paths)

    def keys(self) -> list[str]:
        """The declared keys. Raises StoreError."""
        from femtosearch.index.fields import declared

        return list(dict.fromkeys(".".join(path) for path in self._ready().catalog.ask(declared)))

    def export(
        self, path: str | os.PathLike[str], *, vectors: bool = False, where: Where | None = None
    ) -> int:
        """Write the documents, as of one moment, to a file, in the order in which they were added. Returns
        their number.

        path:     .jsonl (or .jsonl.gz), or .parquet, which needs the extra [files].
        vectors:  also write the rows of their passages, so that an index with the same model need not encode
                  them.
        where:    only documents that pass.
        Raises MissingExtraError, QueryError, StoreError.
        """
        from femtosearch.index.export import export
        from femtosearch.index.where import read_filter

        store, target = self._ready(), file_of(path)
        filter = read_filter(where)
        return self._snapshots.ask(
            lambda snapshot: export(store.catalog, snapshot, target, filter, vectors=vectors)
        )

    def hand_over(self, keep: Callable[[Handed], int], *, where: Where | None = None) -> int:
        """Call `keep` with the whole content of the index as of one moment, rows included, and return its
        result.

        where:  only documents that pass. Raises QueryError, StoreError, and the errors of `keep`.
        """
        from femtosearch.index.export import hand_over
        from femtosearch.index.where import read_filter

        store, filter = self._ready(), read_filter(where)
        return self._snapshots.ask(lambda snapshot: hand_over(store.catalog, snapshot, filter, keep))

    def import_file(
        self,
        path: str | os.PathLike[str],
        *,
        batch: int = 256,
        threads: int = 0,
        progress: Callable[[int], object] | None = None,
    ) -> Adopted:
        """Add the documents of a file that `export` wrote, all or none. Documents without rows, or with the
        rows of another model, are encoded.

        batch, threads, progress:  as for `add`.
        Raises DocumentError, MissingExtraError, LockedError, StoreError.
        """
        from femtosearch.index.adopt import adopt
        from femtosearch.index.writer import writing

        store, batch = self._ready(), count_of("batch", batch, 1)
        encode, source = self._encode(threads), file_of(path)
        with writing(store) as commit:
            return adopt(commit, source, encode, batch, progress)

    def snapshot(self, folder: str | os.PathLike[str]) -> int:
        """Write a copy of the index as of one moment. Returns how many bytes it has.

        folder:  absent or empty, and not inside the index's own folder. Other processes may write to the
                 index meanwhile. The copy is written whole or not at all. Raises StoreError.
        """
        from femtosearch.index.backup import check_target, copy_index

        store, target = self._ready(), folder_of(folder)
        if target is None:
            raise StoreError("snapshot: expected a folder, found None")
        check_target(target, self.folder)
        return self._snapshots.ask(lambda snapshot: copy_index(store.catalog, snapshot, target.absolute()))


def folder_of(folder: object) -> Path | None:
    """Check that an argument is the path of a folder or None. Raises StoreError."""
    if folder is not None and not isinstance(folder, (str, os.PathLike)):
        raise StoreError(f"folder: expected a path or None, found {type(folder).__name__}")
    return None if folder is None else Path(folder)


def file_of(path: object) -> Path:
    """Check that an argument is the path of a file. Raises StoreError."""
    if not isinstance(path, (str, os.PathLike)):
        raise StoreError(f"path: expected the path of a file, found {type(path).__name__}")
    return Path(path)


def count_of(name: str, value: object, least: int) -> int:
    """Check that an argument is a whole number from `least` to 1,000,000. Raises DocumentError."""
    return check_whole(DocumentError, name, value, least, _MOST)
