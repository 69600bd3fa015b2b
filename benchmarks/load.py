"""A server under load, and txtai's API beside it: the same documents, model folder and questions.

python -m benchmarks.load COLLECTION --seconds 60 --connections 16 --txtai PYTHON --out FILE.json

COLLECTION is a folder in BEIR's layout; `--pad DATA --documents N` adds passages of DATA/text to it until
there are N. The connections ask without a pause, and one request in twenty stores a document (txtai stores
in two calls, which count as one request). `--rounds` turns of that many seconds are taken, turn and turn
about, on the loopback; then every query is asked once, for the quality of the answers. `--dense FOLDER`
gives txtai another model, such as all-MiniLM-L6-v2, which is its default.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from benchmarks.machine import machine
from benchmarks.passages import passages
from femtosearch.evaluation.measures import measure
from femtosearch.index.index import Index
from femtosearch.model.model import Model

CONFIG = (
    "writable: true\nembeddings:\n  path: {model}\n  content: true\n  vectors: {{trust_remote_code: true}}\n"
)
MODEL = "femto"
STORED = 20  # one request in so many stores a document


@dataclass(frozen=True, slots=True)
class Turn:
    """The seconds that each answered request took, and how often each error came."""

    seconds: list[float]
    errors: dict[str, int]

    @classmethod
    def of(cls, turns: Iterable[Turn]) -> Turn:
        """Several as one."""
        seconds: list[float] = []
        errors: Counter[str] = Counter()
        for turn in turns:
            seconds += turn.seconds
            errors.update(turn.errors)
        return cls(seconds, dict(errors))


def main() -> None:
    """Measure ours and, if a Python with txtai is named, txtai's."""
    options = _options()
    folder, before = Path(options.collection), machine()
    documents = _documents(folder, options)
    queries = {entry["_id"]: entry["text"] for entry in _lines(folder / "queries.jsonl")}
    relevant = _relevant(folder / "qrels" / "test.tsv")
    queries = {name: text for name, text in queries.items() if name in relevant}
    facts: dict[str, Any] = {"benchmark": "load", "collection": folder.name, "documents": len(documents)}
    facts |= {"machine": before, "seconds": options.seconds, "rounds": options.rounds}
    facts |= {"connections": options.connections, "dense": bool(options.dense)}
    with ExitStack() as stack:
        servers = {}
        for api in ["femtosearch", "txtai"] if options.txtai else ["femtosearch"]:
            place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            start = time.monotonic()
            opened = _ours(documents, place) if api == "femtosearch" else _txtai(options, documents, place)
            servers[api] = stack.enter_context(opened)
            facts[api] = {"build_seconds": round(time.monotonic() - start, 1)}
        turns: dict[str, list[Turn]] = {api: [] for api in servers}
        for _ in range(options.rounds):
            for api, (port, _process) in servers.items():
                turns[api].append(_turn(api, port, [*queries.values()], options))
        for api, (port, process) in servers.items():
            facts[api] |= _summary(turns[api], options.seconds)
            facts[api] |= {
                "peak_memory_mb": _peak(process.pid),
                "ndcg@10": _quality(api, port, queries, relevant),
            }
    text = json.dumps(facts, indent=1)
    print(text)
    if options.out:
        Path(options.out).write_text(text + "\n", encoding="utf-8")


def _documents(folder: Path, options: argparse.Namespace) -> list[tuple[str, str]]:
    """The collection's documents, and passages of other text until there are enough."""
    documents = [
        (entry["_id"], f"{entry.get('title', '')} {entry['text']}".strip())
        for entry in _lines(folder / "corpus.jsonl")
    ]
    missing = max(0, options.documents - len(documents)) if options.pad else 0
    return documents + [
        (f"pad-{n}", text) for n, text in enumerate(passages(Path(options.pad or ""), missing))
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A server under load.")
    parser.add_argument("collection")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--pad", metavar="DATA", help="a folder with text/*.txt.xz")
    parser.add_argument("--documents", type=int, default=100_000, help="with --pad: how many in all")
    parser.add_argument("--dense", metavar="FOLDER", help="txtai's model in place of ours")
    parser.add_argument("--txtai", metavar="PYTHON", help="a Python that has txtai and its API")
    parser.add_argument("--out", metavar="FILE")
    return parser.parse_args()


@contextmanager
def _ours(documents: list[tuple[str, str]], place: Path) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    folder = place / "index"
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
    options: argparse.Namespace, documents: list[tuple[str, str]], place: Path
) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    model, config, port = place / "model", place / "app.yml", _free_port()
    if options.dense:
        model = Path(options.dense).resolve()
    else:
        Model.load(MODEL).save(model)
    config.write_text(CONFIG.format(model=model))
    environment = {**os.environ, "CONFIG": str(config), "HF_HUB_OFFLINE": "1"}
    command = [options.txtai, "-m", "uvicorn", "txtai.api:app", "--port", str(port), "--log-level", "error"]
    process = subprocess.Popen(command, env=environment, cwd=place, text=True)
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


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _until(port: int) -> None:
    """Wait until somebody listens."""
    for _ in range(600):
        try:
            return http.client.HTTPConnection("127.0.0.1", port).connect()
        except OSError:
            time.sleep(0.2)
    raise TimeoutError(f"nobody listens on {port}")


def _turn(api: str, port: int, texts: list[str], options: argparse.Namespace) -> Turn:
    """All connections for some seconds, in two processes."""
    half, began = max(1, options.connections // 2), time.time_ns()
    work = [(api, port, texts, options.seconds, half, f"{began}-{side}") for side in range(2)]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        return Turn.of(pool.starmap(_side, work))


def _summary(turns: list[Turn], seconds: float) -> dict[str, Any]:
    """Requests a second of each turn and of all, times and errors."""
    total = Turn.of(turns)
    p50, p95, p99 = np.percentile(np.array(total.seconds) * 1000, [50, 95, 99])
    return {
        "requests_per_second": round(len(total.seconds) / seconds / len(turns), 1),
        "of_each_round": [round(len(turn.seconds) / seconds, 1) for turn in turns],
        "ms": {"p50": round(p50, 1), "p95": round(p95, 1), "p99": round(p99, 1)},
        "errors": sum(total.errors.values()),
        "kinds_of_errors": total.errors,
    }


def _quality(api: str, port: int, queries: dict[str, str], relevant: Any) -> float:
    """nDCG@10 of the server's answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    ranking = {name: _ids(_ask(connection, *_search(api, text))) for name, text in queries.items()}
    values = measure(ranking, relevant)
    return round(float(np.mean([row["ndcg@10"] for row in values.values()])), 4)


def _side(api: str, port: int, texts: list[str], seconds: float, connections: int, name: str) -> Turn:
    """Connections in a process of their own."""
    end = time.monotonic() + seconds

    def ask(number: int) -> Turn:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        turn, n = Turn([], {}), number
        while time.monotonic() < end:
            n += 1
            requests = [_search(api, texts[(n * 31) % len(texts)])]
            if n % STORED == 0:
                requests = _store(api, f"new-{name}-{number}-{n}", texts[n % len(texts)])
            began = time.monotonic()
            try:
                for request in requests:
                    _ask(connection, *request)
                turn.seconds.append(time.monotonic() - began)
            except (OSError, http.client.HTTPException, ValueError) as error:
                kind = f"{type(error).__name__}: {error}"[:60]
                turn.errors[kind] = turn.errors.get(kind, 0) + 1
                connection.close()
        return turn

    with ThreadPoolExecutor(connections) as threads:
        return Turn.of(threads.map(ask, range(connections)))


def _search(api: str, text: str) -> tuple[str, str, Any]:
    if api == "femtosearch":
        return "POST", "/search", {"query": text, "k": 10, "text": "none"}
    return "GET", f"/search?query={quote(text)}&limit=10", None


def _store(api: str, name: str, text: str) -> list[tuple[str, str, Any]]:
    if api == "femtosearch":
        return [("POST", "/documents", {"documents": [{"id": name, "text": text}]})]
    return [("POST", "/add", [{"id": name, "text": text}]), ("GET", "/upsert", None)]


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
