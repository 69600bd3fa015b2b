"""A collection's files: BEIR's folder, NanoBEIR's, TREC's qrels; plain, gzipped or parquet."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from femtosearch.errors import ReadError, missing_extra
from femtosearch.evaluation.collection import Collection, Judgement, collect, judgement
from femtosearch.read.lines import file_lines
from femtosearch.read.records import Record, json_records

SUBSETS = ("corpus", "queries", "qrels")
SHARD = re.compile(r"(?P<split>.+?)(-\d{5}-of-\d{5})?\.(jsonl(\.gz)?|parquet)")
# What a header of qrels calls its columns, in small letters, with hyphens for blanks and underscores.
QUERY = frozenset(["query-id", "queryid", "qid", "query", "topic"])
DOCUMENT = frozenset(["corpus-id", "doc-id", "docid", "document-id", "document", "doc", "pid", "passage-id"])
GRADE = frozenset(["score", "grade", "relevance", "rel", "label"])


def is_beir(folder: Path) -> bool:
    """Whether a folder has corpus.jsonl, plain or gzipped."""
    return _present(folder / "corpus.jsonl") is not None


def is_nano(folder: Path) -> bool:
    """Whether a folder has NanoBEIR's layout: folders corpus, queries and qrels with a file a set."""
    return all((folder / subset).is_dir() for subset in SUBSETS) and not is_beir(folder)


def read_beir(folder: Path, split: str | None = None) -> Collection:
    """Read corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv, each also with .gz.

    split:  None takes test if it is there, else the only one. Raises ReadError.
    """
    qrels = _qrels_file(folder, split)
    return collect(
        folder.resolve().name,
        _records(_required(folder, "corpus.jsonl")),
        _records(_required(folder, "queries.jsonl")),
        _qrels(qrels),
    )


def read_nano(folder: Path, split: str | None = None) -> list[Collection]:
    """Read the sets of NanoBEIR's layout: corpus/SET.jsonl, .jsonl.gz or .parquet, or shards of one; queries
    and qrels alike.

    In the older layout, a folder a set, the only split is `train`, and the set has its folder's name.
    """
    files = {subset: _shards(folder / subset) for subset in SUBSETS}
    names = [name for name in files["corpus"] if split in (None, name)]
    if not names:
        listed = ", ".join(files["corpus"]) or "none"
        raise ReadError(f"{folder / 'corpus'}: expected {split or 'a file a set'}, found {listed}")
    collections = []
    for name in names:
        for subset in SUBSETS:
            if name not in files[subset]:
                raise ReadError(
                    f"{folder / subset}: expected a file for {name}, found {', '.join(files[subset])}"
                )
        rows = [_rows(files[subset][name]) for subset in SUBSETS]
        collections.append(collect(folder.resolve().name if names == ["train"] else name, *rows))
    return collections


def _present(path: Path) -> Path | None:
    """The file, or else the file with .gz after its name; None if neither is there."""
    return next((file for file in (path, path.with_name(path.name + ".gz")) if file.is_file()), None)


def _required(folder: Path, name: str) -> Path:
    path = _present(folder / name)
    if path is None:
        raise ReadError(
            f"{folder}: expected a BEIR folder with corpus.jsonl, queries.jsonl and qrels/, found no {name}"
        )
    return path


def _qrels_file(folder: Path, split: str | None) -> Path:
    """qrels/SPLIT.tsv, or .txt, .qrels or .trec; or a file qrels.* beside the corpus, which has no split."""
    files = [
        path for path in sorted(folder.glob("qrels/*")) if path.is_file() and not path.name.startswith(".")
    ]
    splits = {path.name.split(".")[0]: path for path in files}
    lone = [path for path in sorted(folder.glob("qrels.*")) if path.is_file()]
    if not splits and split is None and len(lone) == 1:
        return lone[0]
    if not files and not lone:
        missing = "no file in" if (folder / "qrels").is_dir() else "no folder"
        raise ReadError(f"{folder}: expected judgements in qrels/test.tsv, found {missing} qrels")
    chosen = split or ("test" if "test" in splits or len(splits) != 1 else next(iter(splits)))
    if chosen not in splits:
        listed = ", ".join(splits) or "none"
        raise ReadError(
            f"{folder / 'qrels'}: expected a split {chosen}, found {listed}; choose one with split (--split)"
        )
    return splits[chosen]


def _records(path: Path) -> Iterator[tuple[str, Record]]:
    for number, record in json_records(file_lines(path)):
        yield f"{path}:{number}", record


def _qrels(path: Path) -> Iterator[tuple[str, list[Judgement]]]:
    """The rows of qrels: the columns that a header names or, where it names none, BEIR's (query, document,
    grade) or TREC's (query, 0, document, grade).
    """
    named: list[int] | None = None
    for number, line in enumerate(file_lines(path), 1):
        cells = [cell.strip() for cell in line.split("\t")] if "\t" in line else line.split()
        if not any(cells):
            continue
        if number == 1 and _is_header(cells):
            named = _named_columns(cells)
        else:
            where = f"{path}:{number}"
            yield where, [judgement(where, *_judged(where, cells, named))]


def _is_header(cells: list[str]) -> bool:
    if _named_columns(cells) is not None or _plain(cells[0]) in QUERY:
        return True
    if len(cells) == 2:
        return False
    try:
        float(cells[-1])
    except ValueError:
        return True
    return False


def _named_columns(header: list[str]) -> list[int] | None:
    """The places of query, document and, if there is one, grade; None if a header does not name them."""
    names = [_plain(cell) for cell in header]
    places = [
        next((place for place, name in enumerate(names) if name in called), None)
        for called in (QUERY, DOCUMENT, GRADE)
    ]
    if places[0] is None or places[1] is None:
        return None
    return [place for place in places if place is not None]


def _plain(name: str) -> str:
    return name.lower().replace("_", "-").replace(" ", "-")


def _judged(where: str, cells: list[str], named: list[int] | None) -> list[str]:
    """The query, the document and the grade of a row; 1 where it has no grade. Raises ReadError."""
    if named is None and len(cells) not in (2, 3, 4):
        raise ReadError(
            f"{where}: expected query, document and grade, or TREC's four columns, found a row "
            f"of {len(cells)}"
        )
    if named is not None and len(cells) <= max(named[:2]):
        raise ReadError(f"{where}: expected the columns of the header, found a row of {len(cells)}")
    places = named or {2: [0, 1], 3: [0, 1, 2], 4: [0, 2, 3]}[len(cells)]
    return [*(cells[place] for place in places if place < len(cells)), "1"][:3]


def _shards(folder: Path) -> dict[str, list[Path]]:
    shards: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if matched := SHARD.fullmatch(path.name):
            shards.setdefault(matched["split"], []).append(path)
    return shards


def _rows(paths: Iterable[Path]) -> Iterator[tuple[str, Record]]:
    for path in paths:
        if path.suffix != ".parquet":
            yield from _records(path)
            continue
        yield from ((f"{path}:{number}", row) for number, row in enumerate(_parquet_rows(path), 1))


def _parquet_rows(path: Path) -> list[Record]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import read_table
    except ImportError as error:
        raise missing_extra("Parquet", "pyarrow", "evaluate") from error
    try:
        rows: list[Record] = read_table(path).to_pylist()
    except (ArrowException, OSError, ValueError) as error:
        raise ReadError(f"{path}: expected a Parquet file, found a broken one ({error})") from error
    return rows
