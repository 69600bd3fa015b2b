"""A search in a page alone, in Node: bytes, milliseconds, and how often its ten hits are the index's.

    python -m benchmarks.web docs DATA/medline DATA/cranfield --out benchmarks/results/web.json

Each folder is a BEIR folder, of which the first `--limit` documents are taken, or a folder of Markdown, which
is asked by its headings. Times are the processor's. `docs/web.md` has the table.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import tempfile
import time
import warnings
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.machine import machine
from femtosearch.index.index import Index
from femtosearch.types import Hit
from femtosearch.web.site import write_site

QUERIES = 100
ASK = """
const [site, questions] = process.argv.slice(1), fs = require("fs");
const FemtoSearch = require(site + "/search.js"), queries = JSON.parse(fs.readFileSync(questions, "utf8"));
const spent = () => process.cpuUsage().user / 1000;
function asked(engine, query) {
  const began = spent();
  let first = 0, last;
  for (last of engine.steps(query, 10)) first = first || spent() - began;
  const all = spent() - began, { hits } = last;
  return { first, all, ids: hits.map((hit) => hit.id), scores: hits.map((hit) => hit.score) };
}
const began = spent();
FemtoSearch.open(fs.readFileSync(site + "/search.bin")).then((engine) => {
  const opened = spent() - began, waiting = engine.waiting;
  const before = queries.map((query) => asked(engine, query)), left = engine.waiting, start = spent();
  engine.settle();
  const settled = left ? (spent() - start) / left : 0, after = queries.map((query) => asked(engine, query));
  process.stdout.write(JSON.stringify({ opened, waiting, left, settled, before, after }));
});
"""


def main() -> None:
    """Measure, print the table and, with --out, write everything as JSON."""
    warnings.simplefilter("ignore")
    options = _options()
    before, figures = machine(), []
    for folder in options.folder:
        with tempfile.TemporaryDirectory() as place, Index(Path(place) / "index") as index:
            queries = _fill(index, folder, options.limit)
            figures += [_figures(index, folder.name, queries, Path(place), whole) for whole in (False, True)]
    for entry in figures:
        print(json.dumps(entry))
    if options.out:
        report = {"benchmark": "web", "machine": before, "sites": figures}
        options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _fill(index: Index, folder: Path, limit: int) -> list[str]:
    """Add a folder's documents; the queries to ask."""
    if not (folder / "corpus.jsonl").is_file():
        pages = sorted(folder.rglob("*.md"))
        texts = [path.read_text(encoding="utf-8") for path in pages]
        index.add([{"id": str(path), "text": text} for path, text in zip(pages, texts, strict=True)])
        return [heading for text in texts for heading in re.findall(r"(?m)^##+ (.+)", text)][:QUERIES]
    with open(folder / "corpus.jsonl", encoding="utf-8") as lines:
        documents = map(json.loads, islice(lines, limit))
        index.add(
            [{"id": entry["_id"], "title": entry.get("title"), "text": entry["text"]} for entry in documents]
        )
    with open(folder / "queries.jsonl", encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in islice(lines, QUERIES)]


def _figures(index: Index, name: str, queries: list[str], place: Path, whole: bool) -> dict[str, Any]:
    site, questions = place / f"site-{whole}", place / "questions.json"
    start = time.process_time()
    written = write_site(index, site, whole_rows=whole)
    seconds = time.process_time() - start
    questions.write_text(json.dumps(queries), encoding="utf-8")
    command = ["node", "-e", ASK, str(site), str(questions)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=True)
    answers, native = json.loads(done.stdout), index.search(queries, mode="maxsim", hybrid=0)
    return {
        "name": name,
        "whole_rows": whole,
        "documents": written.documents,
        "passages": written.passages,
        "rows": index.stats().rows,
        "bytes": written.bytes,
        "export_seconds": round(seconds, 1),
        "open_milliseconds": round(answers["opened"]),
        "exact_milliseconds_a_passage": round(answers["settled"], 1),
        "exact_by_queries": answers["waiting"] - answers["left"],
        "queries": len(queries),
        **{when: _compared(answers[when], native) for when in ("before", "after")},
    }


def _compared(answers: list[dict[str, Any]], native: list[list[Hit]]) -> dict[str, Any]:
    pairs = list(zip(answers, native, strict=True))
    differences = [
        abs(score - hit.score)
        for answer, hits in pairs
        for name, score in zip(answer["ids"], answer["scores"], strict=True)
        for hit in hits
        if hit.id == name
    ]
    return {
        "same_order": sum(answer["ids"] == [hit.id for hit in hits] for answer, hits in pairs),
        "same_hits": sum(set(answer["ids"]) == {hit.id for hit in hits} for answer, hits in pairs),
        "largest_difference": max(differences, default=0.0),
        "first_milliseconds": round(median(answer["first"] for answer in answers), 1),
        "all_milliseconds": round(median(answer["all"] for answer in answers), 1),
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.web", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--limit", type=int, default=1000, metavar="N", help="documents (default: 1000)")
    parser.add_argument("--out", type=Path, metavar="FILE")
    return parser.parse_args()


if __name__ == "__main__":
    main()
