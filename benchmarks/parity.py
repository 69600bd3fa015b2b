"""What PyLate, Sentence Transformers and txtai compute, against femtosearch: the largest differences."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import snippets
from femtosearch.errors import CheckpointError
from femtosearch.index.rerank import rerank
from femtosearch.model.model import BUILT_INS, DEFAULT, Model
from femtosearch.types import Conventions, Rows
from tests.golden.arrays import DOCUMENTS, MODELS, QUERIES, TEXTS

ROOT = Path(__file__).parent.parent
SCRIPTS = ROOT / "tests" / "golden"
PEERS = {"pylate": "PyLate", "sentence-transformers": "Sentence Transformers", "txtai": "txtai"}
LAYOUTS = {
    "built-in": "the built-in model, saved",
    "pylate": "PyLate",
    "pylate-dense": "PyLate, three Dense: bias, residual",
    "pylate-half": "PyLate, float16, no prefixes, no expansion",
    "pylate-sharded": "PyLate, bfloat16, in shards",
    "sentence-transformers": "Sentence Transformers",
    "sentence-transformers-attended": "Sentence Transformers, expansion attended",
    "sentence-transformers-text": "Sentence Transformers, prompts of text",
    "sentence-transformers-pooled": "Sentence Transformers, pooled",
    "stanford": "Stanford ColBERT",
    "backbone": "plain backbone and 1_Dense",
}
SAID = Conventions(  # what make_pylate.py says of a backbone that says nothing
    query_prefix="[unused0]", document_prefix="[unused1]", query_length=12, document_length=24
)
TABLES = {"read": "The folder as it is", "saved": "The folder as femtosearch saves it"}
Row = tuple[str, float, str]


@dataclass
class Cell:
    """How far femtosearch is from one peer on one model. `error` is why the peer gave nothing, `refused` why
    femtosearch did.
    """

    differences: dict[str, float] = field(default_factory=dict)
    counts_differ: list[str] = field(default_factory=list)
    orders_equal: bool = True
    error: str = ""
    refused: str = ""

    @property
    def worst(self) -> float:
        """The largest difference; NaN if there is none to speak of."""
        return max(self.differences.values(), default=float("nan"))

    def __str__(self) -> str:
        if self.error:
            return "not read"
        if self.refused:
            return "refused"
        if self.counts_differ:
            return f"{', '.join(self.counts_differ)}: other rows kept"
        worst = f"{self.worst:.0e}"
        return worst if self.orders_equal else f"{worst}, other order"


def measure(pythons: Mapping[str, str], doc: Path | None) -> tuple[dict[str, Any], list[Row]]:
    """The results, and the rows of a table. pythons: of each peer's environment, by PEERS' names."""
    results: dict[str, Any] = {"texts": len(TEXTS), "versions": {}}
    cells: dict[str, dict[str, dict[str, Cell]]] = {table: {} for table in TABLES}
    with tempfile.TemporaryDirectory() as place:
        folders = _folders(Path(place))
        for peer, python in pythons.items():
            for table, named in folders.items():
                answer = _ask(peer, python, Path(place) / f"{peer}-{table}", named.values())
                results["versions"][peer] = answer["versions"]
                cells[table][peer] = {name: _cell(peer, name, named[name], answer) for name in named}
    results["snippets"] = snippets.check(pythons, sys.executable)
    if doc is not None:
        _write_tables(doc, cells, results["versions"])
    rows: list[Row] = []
    for table, by in cells.items():
        for peer, of in by.items():
            results.setdefault(table, {})[peer] = {name: vars(cell) for name, cell in of.items()}
            rows += [
                (f"{table}: {PEERS[peer]}, {LAYOUTS[name]}", cell.worst, str(cell))
                for name, cell in of.items()
            ]
    return results, rows


def _folders(place: Path) -> dict[str, dict[str, Path]]:
    """Every model's folder, and the folder that femtosearch saves of it."""
    read = {name: MODELS / name for name in LAYOUTS if name != "built-in"}
    saved = {}
    for name in LAYOUTS:
        saved[name] = place / name
        _load(read.get(name, BUILT_INS / DEFAULT), name, None).save(saved[name])
    return {"read": read, "saved": saved}


def _load(folder: Path, name: str, conventions: str | None, **options: Any) -> Model:
    plain = name == "backbone" and folder.parent == MODELS
    return Model.load(
        folder,
        conventions=SAID if plain and conventions != "sentence-transformers" else conventions,
        **options,
    )


def _ask(peer: str, python: str, out: Path, folders: Any) -> dict[str, Any]:
    """Run a peer's script: what it says, and its arrays by model under "arrays"."""
    script = SCRIPTS / f"make_{peer.replace('-', '_')}.py"
    command = [python, str(script), str(out), *map(str, folders)]
    offline = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run(command, check=True, env=offline, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    answer = json.loads((out / "peer.json").read_text())
    return answer | {"arrays": {path.stem: dict(np.load(path)) for path in out.glob("*.npz")}}


def _cell(peer: str, name: str, folder: Path, answer: dict[str, Any]) -> Cell:
    if name in answer["errors"]:
        return Cell(error=answer["errors"][name])
    cell, arrays = Cell(), answer["arrays"][name]
    try:
        model = _load(folder, name, peer)
    except CheckpointError as error:
        return Cell(refused=str(error))
    computed: dict[str, Callable[[], Rows]] = {
        "query": lambda: model.encode_queries(TEXTS),
        "document": lambda: model.encode_documents(TEXTS),
        "pooled2": lambda: _load(folder, name, peer, pool_factor=2).encode_documents(TEXTS),
        "pooled3": lambda: _load(folder, name, peer, pool_factor=3).encode_documents(TEXTS),
    }
    for kind, rows in computed.items():
        if f"{kind}_rows" in arrays and not (kind.startswith("pooled") and model.conventions.pool_factor > 1):
            _compare(cell, kind, rows(), arrays)
    _compare_orders(cell, model, answer["orders"][name])
    return cell


def _compare(cell: Cell, kind: str, ours: Rows, arrays: dict[str, np.ndarray]) -> None:
    if not np.array_equal(ours.starts, arrays[f"{kind}_starts"]):
        cell.counts_differ.append(kind)
    else:
        cell.differences[kind] = float(np.abs(ours.rows - arrays[f"{kind}_rows"]).max())


def _compare_orders(cell: Cell, model: Model, orders: list[list[tuple[int, float]]]) -> None:
    for query, order in zip(QUERIES, orders, strict=True):
        numbers = sorted(number for number, _ in order)
        hits = rerank(model, query, [{"id": str(n), "text": DOCUMENTS[n]} for n in numbers])
        cell.orders_equal &= [int(hit.id) for hit in hits] == [number for number, _ in order]
        by_number = {int(hit.id): hit.score for hit in hits}
        worst = max(abs(by_number[number] - score) for number, score in order)
        cell.differences["score"] = max(worst, cell.differences.get("score", 0.0))


def _write_tables(doc: Path, cells: dict[str, dict[str, dict[str, Cell]]], versions: dict[str, Any]) -> None:
    """Put the tables where the document has its marks."""
    text = doc.read_text(encoding="utf-8")
    for table, by in cells.items():
        heads = [f"{PEERS[peer]} {versions[peer][peer]}" for peer in by]
        lines = ["| " + " | ".join([TABLES[table], *heads]) + " |", "| --- " * (len(heads) + 1) + "|"]
        for name in next(iter(by.values())):
            lines.append("| " + " | ".join([LAYOUTS[name], *(str(of[name]) for of in by.values())]) + " |")
        mark = f"<!-- parity: {table} -->"
        text = re.sub(f"{mark}.*?<!-- end -->", "\n".join([mark, *lines, "<!-- end -->"]), text, flags=re.S)
    doc.write_text(text, encoding="utf-8")
