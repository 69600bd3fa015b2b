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
HEADERS = {"query-id", "query_id", "qid", "query", "topic"}  # first words of a header row without a score


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
    """The rows of qrels: BEIR's (query, document, grade; with or without a header) or TREC's (query, 0,
    document, grade).
    """
    for number, line in enumerate(file_lines(path), 1):
        where = f"{path}:{number}"
        cells = [cell.strip() for cell in line.split("\t")] if "\t" in line else line.split()
        if not any(cells) or (number == 1 and _is_header(cells)):
            continue
        if len(cells) not in (2, 3, 4):
            raise ReadError(
                f"{where}: expected query, document and grade, or TREC's four columns, found "
                f"{len(cells)} cells"
            )
        grade = cells[-1] if len(cells) > 2 else "1"
        document = cells[2] if len(cells) == 4 else cells[1]
        yield where, [judgement(where, cells[0], document, grade)]


def _is_header(cells: list[str]) -> bool:
    if len(cells) == 2:
        return cells[0].lower() in HEADERS
    try:
        float(cells[-1])
    except ValueError:
        return True
    return False


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
