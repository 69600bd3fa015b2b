"""A server under load, and txtai's API beside it: the same documents, model folder and questions.

python -m benchmarks.load COLLECTION --seconds 60 --connections 16 --txtai PYTHON --out FILE.json

COLLECTION is a folder in BEIR's layout. The connections ask without a pause, and one request in twenty
stores a document (ours alone: txtai's API stores in two calls, of which one is for all who write). All of it
is on the loopback, for a bounded time; then every query is asked once, for the quality of the answers.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from benchmarks.machine import machine
from femtosearch.evaluation.measures import measure
from femtosearch.index.index import Index
from femtosearch.model.model import Model

CONFIG = (
    "writable: true\nembeddings:\n  path: {model}\n  content: true\n  vectors: {{trust_remote_code: true}}\n"
)
MODEL = "femto"
STORED = 20  # one request in so many stores a document


def main() -> None:
    """Measure ours and, if a Python with txtai is named, txtai's."""
    options = _options()
    folder = Path(options.collection)
    documents = [
        (entry["_id"], f"{entry.get('title', '')} {entry['text']}".strip())
        for entry in _lines(folder / "corpus.jsonl")
    ]
    queries = {entry["_id"]: entry["text"] for entry in _lines(folder / "queries.jsonl")}
    relevant = _relevant(folder / "qrels" / "test.tsv")
    queries = {name: text for name, text in queries.items() if name in relevant}
    facts: dict[str, Any] = {"benchmark": "load", "collection": folder.name, "documents": len(documents)}
    facts |= {"machine": machine(), "seconds": options.seconds, "connections": options.connections}
    with tempfile.TemporaryDirectory() as place, _ours(documents, place) as (port, process):
        facts["femtosearch"] = _measured(port, process, queries, relevant, options, "POST", stores=True)
    if options.txtai:
        with (
            tempfile.TemporaryDirectory() as place,
            _txtai(options.txtai, documents, place) as (port, process),
        ):
            facts["txtai"] = _measured(port, process, queries, relevant, options, "GET", stores=False)
    text = json.dumps(facts, indent=1)
    print(text)
    if options.out:
        Path(options.out).write_text(text + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A server under load.")
    parser.add_argument("collection")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--txtai", metavar="PYTHON", help="a Python that has txtai and its API")
    parser.add_argument("--out", metavar="FILE")
    return parser.parse_args()


@contextmanager
def _ours(documents: list[tuple[str, str]], place: str) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    folder = Path(place, "index")
    with Index(folder, model=MODEL) as index:
        index.add({"id": name, "text": text} for name, text in documents)
    command = [
        sys.executable,
        "-m",
        "femtosearch",
        "serve",
        str(folder),
        "--writable",
        "--quiet",
        "--port",
        "0",
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        yield int(re.search(r":(\d+)$", process.stderr.readline().strip())[1]), process  # type: ignore[index]
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def _txtai(
    python: str, documents: list[tuple[str, str]], place: str
) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    model, config, port = Path(place, "model"), Path(place, "app.yml"), 18765
    Model.load(MODEL).save(model)
    config.write_text(CONFIG.format(model=model))
    environment = {**os.environ, "CONFIG": str(config), "HF_HUB_OFFLINE": "1"}
    command = [python, "-m", "uvicorn", "txtai.api:app", "--port", str(port), "--log-level", "error"]
    process = subprocess.Popen(command, env=environment, text=True)
    try:
        _until(port)
        for at in range(0, len(documents), 500):
            batch = [{"id": name, "text": text} for name, text in documents[at : at + 500]]
            _ask(http.client.HTTPConnection("127.0.0.1", port), "POST", "/add", batch)
        _ask(http.client.HTTPConnection("127.0.0.1", port, timeout=3600), "GET", "/index", None)
        yield port, process
    finally:
        process.terminate()
        process.wait(30)


def _until(port: int) -> None:
    """Wait until somebody listens."""
    for _ in range(600):
        try:
            return http.client.HTTPConnection("127.0.0.1", port).connect()
        except OSError:
            time.sleep(0.2)
    raise TimeoutError(f"nobody listens on {port}")


def _measured(
    port: int,
    process: subprocess.Popen[str],
    queries: dict[str, str],
    relevant: Any,
    options: Any,
    method: str,
    *,
    stores: bool,
) -> dict[str, Any]:
    """Requests a second, times, errors, memory and nDCG@10 of a server."""
    texts = [*queries.values()]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        half = max(1, options.connections // 2)
        work = [(port, texts, options.seconds, half, method, stores, side) for side in range(2)]
        parts = pool.starmap(_side, work)
    times = np.concatenate([part[0] for part in parts]) * 1000
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    ranking = {name: _ids(_ask(connection, *_search(method, text))) for name, text in queries.items()}
    values = measure(ranking, relevant)
    p50, p95, p99 = np.percentile(times, [50, 95, 99])
    return {
        "requests_per_second": round(len(times) / options.seconds, 1),
        "ms": {"p50": round(p50, 1), "p95": round(p95, 1), "p99": round(p99, 1)},
        "errors": sum(part[1] for part in parts),
        "peak_memory_mb": _peak(process.pid),
        "ndcg@10": round(float(np.mean([row["ndcg@10"] for row in values.values()])), 4),
    }


def _side(
    port: int, texts: list[str], seconds: float, connections: int, method: str, stores: bool, side: int
) -> tuple[np.ndarray, int]:
    """Connections in a process of their own: seconds of each answer, and errors."""
    from concurrent.futures import ThreadPoolExecutor

    end = time.monotonic() + seconds

    def ask(number: int) -> tuple[list[float], int]:
        connection, times, errors, n = (
            http.client.HTTPConnection("127.0.0.1", port, timeout=60),
            [],
            0,
            number,
        )
        while time.monotonic() < end:
            n += 1
            request = _search(method, texts[(n * 31) % len(texts)])
            if stores and n % STORED == 0:
                document = {"id": f"new-{side}-{number}-{n}", "text": texts[n % len(texts)]}
                request = ("POST", "/documents", {"documents": [document]})
            began = time.monotonic()
            try:
                _ask(connection, *request)
            except (OSError, http.client.HTTPException, ValueError):
                errors += 1
                connection.close()
            times.append(time.monotonic() - began)
        return times, errors

    with ThreadPoolExecutor(connections) as threads:
        parts = [*threads.map(ask, range(connections))]
    return np.concatenate([part[0] for part in parts]), sum(part[1] for part in parts)


def _search(method: str, text: str) -> tuple[str, str, Any]:
    if method == "POST":
        return "POST", "/search", {"query": text, "k": 10, "text": "none"}
    return "GET", f"/search?query={quote(text)}&limit=10", None


def _ask(connection: http.client.HTTPConnection, method: str, path: str, body: Any) -> Any:
    content = None if body is None else json.dumps(body).encode()
    connection.request(method, path, content, {"Content-Type": "application/json"})
    response = connection.getresponse()
    answer = response.read()
    if response.status != 200:
        raise ValueError(f"{response.status}: {answer[:200]!r}")
    return json.loads(answer) if answer else None


def _ids(answer: Any) -> list[str]:
    hits = answer["hits"] if isinstance(answer, dict) else answer
    return [str(hit["id"]) for hit in hits if not str(hit["id"]).startswith("new-")]


def _peak(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) // 1000  # type: ignore[index]


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _relevant(path: Path) -> dict[str, dict[str, int]]:
    grades: dict[str, dict[str, int]] = {}
    for line in path.read_text(encoding="utf-8").splitlines()[1:]:
        query, document, grade = line.split("\t")
        if int(grade) > 0:
            grades.setdefault(query, {})[document] = int(grade)
    return grades


if __name__ == "__main__":
    main()
