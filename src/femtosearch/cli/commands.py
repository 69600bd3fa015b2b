"""What each command does. A function has the name of its command, takes its options and prints its results.

Results go to standard output; what is said beside them goes to standard error, and --quiet leaves it out.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from femtosearch.cli.output import write_json, write_line, write_note
from femtosearch.cli.show import count, hit_lines, size
from femtosearch.disk import whole_file
from femtosearch.errors import FdeError, QueryError
from femtosearch.fde import described
from femtosearch.index.index import Index
from femtosearch.index.rerank import rerank as order
from femtosearch.index.stats import describe
from femtosearch.model.model import Model
from femtosearch.progress import Progress, duration
from femtosearch.read import Reading, read
from femtosearch.read.lines import STDIN, numbered_lines
from femtosearch.types import Document, Hit

CHUNK_DOCUMENTS = 10_000  # of one commit
CHUNK_CHARACTERS = 1 << 24
SHOWN = 5  # of the things that were skipped


@dataclass(frozen=True, slots=True)
class Chunk:
    """What is committed at a time, and what part of all input it is, `start` to `end` of 1, if known."""

    documents: list[Document]
    start: float | None = None
    end: float | None = None


def index(options: argparse.Namespace) -> None:
    """Read, add and commit chunk by chunk: what was committed stays, whatever stops the rest."""
    reading = read(
        options.path,
        text_column=options.text_column,
        id_column=options.id_column,
        stdin_kind=options.stdin,
        strict=options.strict,
    )
    chunks = _chunks(reading)
    first = next(chunks, Chunk([]))  # before the folder is made: a wrong file leaves none behind
    done = 0
    with Progress(quiet=options.quiet) as progress, _open(options) as store:
        try:
            for chunk in itertools.chain([first], chunks):
                store.add(chunk.documents, threads=options.threads, progress=_reporter(progress, chunk, done))
                done += len(chunk.documents)
        except (Exception, KeyboardInterrupt):
            if done:
                show_note(options, f"added {count(done, 'document')} to {options.folder} before this")
            raise
        seconds, stats = progress.seconds, asdict(store.stats())
    _show_indexed(options, done, seconds, stats, reading)


def search(options: argparse.Namespace) -> None:
    """Search an index that is there; a folder that is not is never made."""
    check_index(options.folder)
    several = options.query == STDIN
    queries = (text for _, text in numbered_lines(STDIN, "queries")) if several else [options.query]
    with _open(options) as store:
        for query in queries:
            hits = store.search(query, **_how(options))
            if several and not options.json:
                write_line(f"? {query}")
            _show_hits(options, query, hits)
            if not hits:
                holds = f"{options.folder} holds {count(len(store), 'document')}"
                passing = f", {store.count(options.where):,} of which pass" if options.where else ""
                show_note(options, f"nothing found: {holds}{passing}")
            sys.stdout.flush()  # whoever asks one query after the other waits for each answer


def _how(options: argparse.Namespace) -> dict[str, Any]:
    """What the flags of a search are to `Index.search`."""
    names = ("k", "mode", "candidates", "recall", "where", "min_score", "per")
    return {name: getattr(options, name) for name in names}


def rerank(options: argparse.Namespace) -> None:
    """Order the lines of standard input; a document's id is the number of its line."""
    documents = [Document(str(number), text) for number, text in numbered_lines(STDIN, "documents")]
    if not documents:
        raise QueryError("expected documents on standard input, one a line, found none")
    hits = order(_model(options), options.query, documents, k=options.k)
    _show_hits(options, options.query, hits)


def encode(options: argparse.Namespace) -> None:
    """Texts -> rows, into a file or as JSON."""
    if not (options.out or options.json):
        raise QueryError("expected --out FILE or --json, found neither: say where the rows shall go")
    texts = options.text or [text for _, text in numbered_lines(STDIN, "texts")]
    model = _model(options)
    make = model.encode_queries if options.query else model.encode_documents
    rows = make(texts, threads=options.threads)
    if options.out:
        with whole_file(Path(options.out)) as file:
            np.savez(file, rows=rows.rows, starts=rows.starts)
        show_note(options, f"{count(len(texts), 'text')}, {count(len(rows.rows), 'row')} -> {options.out}")
    if options.json:
        for text, vectors in zip(texts, rows, strict=True):
            # str() of a float32 is the shortest text that reads back as the same float32.
            write_json({"text": text, "rows": [[float(str(x)) for x in row] for row in vectors]})


def info(options: argparse.Namespace) -> None:
    """Version, kernel, and what is in a folder."""
    from femtosearch import _core
    from femtosearch.cli.arguments import version

    facts: dict[str, Any] = {"version": version(), "kernel": _core.kernel(), "kernels": _core.kernels()}
    if options.folder and _is_index(options.folder):
        facts["index"] = {"folder": options.folder, **asdict(describe(options.folder))}
    else:
        facts["model"] = _about_model(_model(options, options.folder))
    if options.json:
        write_json(facts)
    else:
        _print_table(facts)


def export(options: argparse.Namespace) -> None:
    """Write a model as a folder that other libraries load, or as an ONNX graph."""
    model, target = _model(options), Path(options.target)
    if options.onnx:
        model.save_onnx(target)
    else:
        model.save(target, fold_dense=options.fold_dense)
        for caveat in Model.load(target, engine=options.engine).caveats:
            show_note(options, caveat)
    written = [target, target.with_suffix(".json")] if target.suffix == ".onnx" else [*target.rglob("*")]
    files = sorted(path for path in written if path.is_file())
    total = sum(path.stat().st_size for path in files)
    if options.json:
        write_json({"files": [os.fspath(path) for path in files], "bytes": total})
    else:
        show_result(options, f"wrote {model.name} to {target}: {count(len(files), 'file')}, {size(total)}")


def compact(options: argparse.Namespace) -> None:
    """Rewrite an index without what deletes and replacements left behind."""
    check_index(options.folder)
    with _open(options) if options.fde == "auto" else Index(options.folder) as store:
        before = store.stats().bytes
        if options.fde:
            store.set_fde(_named_fde(options))
        store.compact()
    after = describe(options.folder).bytes
    if options.json:
        write_json({"bytes_before": before, "bytes": after})
    else:
        show_result(options, f"{options.folder}: {size(before)} before, {size(after)} now")


def check(options: argparse.Namespace) -> int:
    """Look for damage in an index; the exit code is 1 if there is any."""
    check_index(options.folder)
    with Index(options.folder) as store:
        damage = store.verify()
        documents = len(store)
    if options.json:
        write_json({"documents": documents, "damage": [asdict(item) for item in damage]})
    else:
        for item in damage:
            write_line(f"{item.place}: {item.message}")
        if not damage:
            show_result(options, f"{options.folder}: {count(documents, 'document')}, no damage")
    return 1 if damage else 0


def calibrate(options: argparse.Namespace) -> None:
    """Measure how many candidates an index's FDE needs."""
    check_index(options.folder)
    queries = [text for _, text in numbered_lines(options.queries, "queries")]
    with _open(options) as store:
        calibration = store.calibrate(queries)
        passages = store.stats().passages
    counts = {
        recall: calibration.count(calibration.prefixes[0], recall, passages) for recall in calibration.recalls
    }
    if options.json:
        write_json({"passages": passages, "queries": len(queries), "calibration": calibration.spec()})
    else:
        for recall, number in counts.items():
            show_result(options, f"recall {recall:<5}  {count(number, 'candidate')} of {passages:,}")


def _model(options: argparse.Namespace, source: str | Path | None = None) -> Model:
    return Model.load(
        source or getattr(options, "model", None),
        conventions=options.conventions,
        engine=options.engine,
        pool_factor=options.pool_factor,
        revision=options.revision,
    )


def _open(options: argparse.Namespace) -> Index:
    """The index in the folder; its model is loaded by name unless an option says how it is to be used."""
    chosen = options.model or options.conventions or options.pool_factor or options.revision
    model = _model(options) if chosen or options.engine != "native" else None
    return Index(options.folder, model=model, fde=_named_fde(options))


def _named_fde(options: argparse.Namespace) -> str | None:
    name = getattr(options, "fde", "auto")
    return None if name == "none" else name


def _is_index(folder: str) -> bool:
    return Path(folder, "catalog.db").exists()


def check_index(folder: str) -> None:
    if not _is_index(folder):
        describe(folder)  # which raises, and says why


def _chunks(reading: Reading) -> Iterator[Chunk]:
    documents: list[Document] = []
    characters, start = 0, reading.fraction
    for document in reading:
        documents.append(document)
        characters += len(document.text)
        if len(documents) == CHUNK_DOCUMENTS or characters >= CHUNK_CHARACTERS:
            yield Chunk(documents, start, reading.fraction)
            documents, characters, start = [], 0, reading.fraction
    if documents:
        yield Chunk(documents, start, reading.fraction)


def _reporter(progress: Progress, chunk: Chunk, before: int) -> Callable[[int], None]:
    """What to call with the number of documents of the chunk that are done."""

    def report(done: int) -> None:
        fraction = None
        if chunk.start is not None and chunk.end is not None:
            fraction = chunk.start + (chunk.end - chunk.start) * done / len(chunk.documents)
        progress.update("indexing", before + done, share=fraction, unit="documents")

    return report


def _show_indexed(
    options: argparse.Namespace, done: int, seconds: float, stats: dict[str, Any], reading: Reading
) -> None:
    skipped = [asdict(skipped) for skipped in reading.skipped]
    if options.json:
        facts = {
            "documents": done,
            "seconds": round(seconds, 3),
            "skipped": skipped,
            "unknown": reading.unknown,
        }
        write_json({**facts, "index": stats})
        return
    for item in skipped[:SHOWN]:
        show_note(options, f"skipped: {item['where']}: {item['reason']}")
    if len(skipped) > SHOWN:
        show_note(
            options, f"skipped: {len(skipped) - SHOWN:,} more; --json lists them, --strict fails at the first"
        )
    if reading.unknown:
        show_note(options, f"left out: {count(reading.unknown, 'file')} of a kind that is not read")
    rate = done / seconds if seconds else 0.0
    took = f"indexed {count(done, 'document')} in {duration(seconds)}, {rate:,.0f} documents/s"
    passages = count(stats["passages"], "passage")
    holds = f"{count(stats['documents'], 'document')} ({passages}), {size(stats['bytes'])}"
    show_result(options, f"{took}; {options.folder} holds {holds}")


def _show_hits(options: argparse.Namespace, query: str, hits: Sequence[Hit]) -> None:
    for rank, hit in enumerate(hits, 1):
        if options.json:
            score = hit.score if math.isfinite(hit.score) else None  # of a document without a word
            write_json({"query": query, "rank": rank, **asdict(hit), "score": score})
        else:
            for line in hit_lines(rank, hit, query, sys.stdout):
                print(line)


def _about_model(model: Model) -> dict[str, Any]:
    folder = Path(model.source)
    return {
        "name": model.name,
        "folder": os.fspath(folder),
        "layout": model.layout,
        "architecture": model.config.architecture,
        **asdict(model.config),
        "dims": model.dims,
        "parameters": model.parameters,
        "bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
        "fingerprint": model.fingerprint,
        "fde": _about_fde(model),
        "conventions": asdict(model.conventions),
        "origins": dict(model.origins),
    }


def _about_fde(model: Model) -> dict[str, Any] | str | None:
    """The model's own FDE, or what is wrong with it, which does not keep the model from encoding."""
    try:
        return None if model.fde is None else described(model.fde, model.fde.size(model.dims))
    except FdeError as error:
        return str(error)


def _print_table(said: dict[str, Any], indent: str = "", origins: Mapping[str, str] | None = None) -> None:
    """Names and values in two columns, and where a value was read; what is inside one another further in."""
    width = max(len(name) for name in said)
    for name, value in said.items():
        if name == "origins":
            continue
        if isinstance(value, dict):
            write_line(f"{indent}{name}")
            _print_table(value, indent + "  ", said.get("origins"))
        else:
            where = f"  ({origins[name]})" if origins and name in origins else ""
            write_line(f"{indent}{name:<{width}}  {_readable(name, value)}{where}")


def _readable(name: str, value: Any) -> str:
    if name == "bytes":
        return f"{value:,} ({size(value)})"
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value)) or "none"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    return f"{value:,}" if isinstance(value, int) else repr(value) if "prefix" in name else str(value)


def show_result(options: argparse.Namespace, line: str) -> None:
    if not options.quiet:
        write_line(line)


def show_note(options: argparse.Namespace, line: str) -> None:
    if not options.quiet:
        write_note(line)
