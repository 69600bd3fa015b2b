"""The commands. A function has the name of its command, takes its options and prints its results.

Results go to standard output; notes go to standard error, and --quiet leaves them out.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from femtosearch.cli.explaining import explanation_lines, note_coverage
from femtosearch.cli.opening import check_index, load_model, named_fde, open_index
from femtosearch.cli.output import show_note, show_result, write_json, write_line
from femtosearch.cli.show import count, hit_facts, hit_lines, size
from femtosearch.disk import whole_file
from femtosearch.errors import CheckpointError, FdeError, QueryError
from femtosearch.index.index import Index
from femtosearch.index.store import holds_index
from femtosearch.model.model import Model, built_in
from femtosearch.read.paths import STDIN, printable
from femtosearch.types import Coverage, Document, Hit

SEARCH_OPTIONS = (
    "k", "mode", "candidates", "recall", "where", "min_score", "per", "hybrid", "length_penalty", "explain"
)  # fmt: skip


def search(options: argparse.Namespace) -> None:
    """Search an existing index; one is never made."""
    check_index(options.folder)
    with open_index(options) as store:
        for hits in search_each(options, store, spots=True, fold=options.fold):
            if not hits and not options.quiet:  # the counts may take a while
                show_note(options, f"nothing found: {options.folder} holds {_holdings(store, options.where)}")


def search_each(options: argparse.Namespace, index: Any, **further: Any) -> Iterator[list[Hit]]:
    """Search for the query, or for each line of standard input; show the hits, and yield them.

    index:    the index, or that of a cluster.
    further:  options of its `search` that not every index has.
    """
    from femtosearch.read.lines import numbered_lines

    reads_lines = options.query == STDIN
    queries = (text for _, text in numbered_lines(STDIN, "queries")) if reads_lines else [options.query]
    for query in queries:
        hits = index.search(query, **search_options(options), **further)
        if reads_lines and not options.json:
            write_line(f"? {query}")
        coverage = index.coverage(query)
        _show_hits(options, query, hits, coverage)
        note_coverage(options, coverage)
        yield hits
        sys.stdout.flush()  # a program that sends one query after the other waits for each answer


def _holdings(index: Index, where: Any) -> str:
    """How many documents an index holds and, if there is a filter, how many pass, and why none does."""
    documents = count(len(index), "document")
    if not where:
        return documents
    from femtosearch.cli.filters import why_nothing_passes

    passing = index.count(where)
    reason = why_nothing_passes(index, where) if not passing else ""
    return f"{documents}, {passing:,} of which pass" + (f" ({reason})" if reason else "")


def search_options(options: argparse.Namespace) -> dict[str, Any]:
    """The arguments of `Index.search` that the flags of a search stand for."""
    return {name: getattr(options, name) for name in SEARCH_OPTIONS}


def rerank(options: argparse.Namespace) -> None:
    """Order the lines of standard input; a document's id is the number of its line."""
    from femtosearch.index.rerank import rerank as order
    from femtosearch.read.lines import numbered_lines

    documents = [Document(str(number), text) for number, text in numbered_lines(STDIN, "documents")]
    if not documents:
        raise QueryError("expected documents on standard input, one a line, found none: say < FILE")
    model = load_model(options)
    coverage = model.coverage(options.query)
    _show_hits(options, options.query, order(model, options.query, documents, k=options.k), coverage)
    note_coverage(options, coverage)


def encode(options: argparse.Namespace) -> None:
    """Texts -> rows, into a file or as JSON."""
    from femtosearch.read.lines import numbered_lines

    if not (options.out or options.json):
        raise QueryError("expected --out FILE or --json, found neither: say where to write the rows")
    texts = options.text or [text for _, text in numbered_lines(STDIN, "texts")]
    model = load_model(options)
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
    from femtosearch.index.stats import describe, describe_sources

    facts: dict[str, Any] = {"version": version(), "kernel": _core.kernel(), "kernels": _core.kernels()}
    if options.folder and holds_index(options.folder):
        facts["index"] = {"folder": options.folder, **asdict(describe(options.folder))}
        facts["sources"] = [asdict(source) for source in describe_sources(options.folder)]
    else:
        facts["model"] = _about_model(_model_of(options))
    if options.json:
        write_json(facts)
    else:
        sources = facts.pop("sources", [])
        _print_table(facts)
        for source in sources:
            counts = f"{count(source['files'], 'file')}, {count(source['documents'], 'document')}"
            write_line(f"source {printable(source['path'])}  {counts}")


def _model_of(options: argparse.Namespace) -> Any:
    try:
        return load_model(options, options.folder)
    except CheckpointError as error:
        folder = options.folder or ""
        if os.path.lexists(folder) or "/" in folder:  # of a Hub's repository the error says more
            raise
        expected = f"an index, a model folder or one of {', '.join(built_in())}"
        raise CheckpointError(f"{folder}: expected {expected}; found nothing there") from error


def export(options: argparse.Namespace) -> None:
    """Write an index's documents, or a site that searches them; or a model, as a folder that other libraries
    load, or as an ONNX graph.
    """
    from femtosearch.cli.database import export_documents, export_site, export_to

    if options.to is not None:
        export_to(options)
        return
    if options.web:
        export_site(options)
        return
    if options.title is not None or options.link is not None or options.whole_rows:
        raise QueryError("--title, --link and --whole-rows: expected --web, whose site has them")
    if options.model and holds_index(options.model):
        export_documents(options)
        return
    if options.vectors or options.where:
        raise QueryError(
            f"expected an index for --vectors and --where, found {options.model or 'a model'}: name an "
            "index, or leave them out"
        )
    model, target = load_model(options), Path(options.target)
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
    from femtosearch.index.stats import describe

    check_index(options.folder)
    with open_index(options) if options.fde == "auto" else Index(options.folder) as store:
        before = store.stats().bytes
        if options.fde:
            store.set_fde(named_fde(options))
        if options.bits is not None:
            store.set_rows(bits=options.bits)
        if options.keys is not None:
            store.set_keys(filter(None, options.keys.split(",")))
        if options.words is not None:
            store.set_words(options.words)
        store.compact()
    after = describe(options.folder).bytes
    if options.json:
        write_json({"bytes_before": before, "bytes": after})
    else:
        show_result(options, f"{options.folder}: {size(before)} before, {size(after)} now")


def calibrate(options: argparse.Namespace) -> None:
    """Measure how many candidates an index's FDE needs."""
    from femtosearch.read.lines import numbered_lines

    check_index(options.folder)
    queries = None
    if options.queries is not None:
        queries = [text for _, text in numbered_lines(options.queries, "queries")]
    with open_index(options) as store:
        calibration = store.calibrate(queries)
        passages = store.stats().passages
    counts = {
        recall: calibration.count(calibration.prefixes[0], recall, passages) for recall in calibration.recalls
    }
    if options.json:
        asked = None if queries is None else len(queries)
        write_json({"passages": passages, "queries": asked, "calibration": calibration.spec()})
    else:
        for recall, number in counts.items():
            show_result(options, f"recall {recall:<5}  {count(number, 'candidate')} of {passages:,}")


def _show_hits(
    options: argparse.Namespace, query: str, hits: Sequence[Hit], coverage: Coverage | None = None
) -> None:
    """Hits for people, or as JSON."""
    unknown = coverage.unknown if coverage is not None else ()
    for rank, hit in enumerate(hits, 1):
        if options.json:
            write_json(hit_facts(query, rank, hit, unknown, whole=getattr(options, "text", False)))
        else:
            for line in (*hit_lines(rank, hit, query, sys.stdout), *explanation_lines(hit, sys.stdout)):
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
        "precision": model.precision,
        "parameters": model.parameters,
        "bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
        "fingerprint": model.fingerprint,
        "fde": _about_fde(model),
        "conventions": asdict(model.conventions),
        "origins": dict(model.origins),
    }


def _about_fde(model: Model) -> dict[str, Any] | str | None:
    """A description of the model's FDE; if the FDE is damaged, what is wrong, since rows do not need it."""
    from femtosearch.fde import described

    try:
        return None if model.fde is None else described(model.fde, model.fde.size(model.dims))
    except FdeError as error:
        return str(error)


def _print_table(facts: dict[str, Any], indent: str = "", origins: Mapping[str, str] | None = None) -> None:
    """Print names and values in two columns, and where a value was read; inner mappings are indented."""
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        if name == "origins":
            continue
        if isinstance(value, dict):
            write_line(f"{indent}{name}")
            _print_table(value, indent + "  ", facts.get("origins"))
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
