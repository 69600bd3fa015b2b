"""femtosearch and PyLate on the same checkpoint, documents and machine: documents/s, text to rows."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import judged
from benchmarks.encode import Row
from benchmarks.machine import about, best_and_median, in_child, seconds
from benchmarks.sides import run_side
from femtosearch.model.model import Model


def measure(
    data: Path, source: str | None, runs: int, python: str, limit: int
) -> tuple[dict[str, Any], list[Row]]:
    """The results, and the rows of a table. `python`: of an environment in which PyLate is installed."""
    texts = judged.texts(data, limit)
    model = Model.load(source)
    with tempfile.TemporaryDirectory() as place:
        before = in_child(_rates, texts, source, runs)
        model.save(Path(place) / "model")
        theirs, rows, starts = _pylate(texts, Path(place) / "model", runs, python, Path(place))
        after = in_child(_rates, texts, source, runs)
    ours = best_and_median(before + after)
    pylate = max(
        (best_and_median(rates) for rates in theirs["rates"].values()), key=lambda rate: rate["best"]
    )
    mine = model.encode_documents(texts)
    agree = np.array_equal(mine.starts, starts)
    results = {
        "model": about(model),
        "documents": len(texts),
        "femtosearch_documents_per_second": ours,
        "pylate_documents_per_second": {**pylate, "by_batch_size": theirs["rates"]},
        "ratio": {name: ours[name] / pylate[name] for name in ("best", "median")},
        "same_rows_kept": bool(agree),
        "largest_difference": float(np.abs(mine.rows - rows).max()) if agree else None,
        "versions": theirs["versions"],
    }
    return results, [
        ("femtosearch: documents/s, best", ours["best"], ""),
        ("femtosearch: documents/s, median", ours["median"], ""),
        ("PyLate: documents/s, best", pylate["best"], ""),
        ("PyLate: documents/s, median", pylate["median"], ""),
        ("ratio of the best", results["ratio"]["best"], "x"),
        ("ratio of the medians", results["ratio"]["median"], "x"),
        (
            "largest difference of a row's number",
            results["largest_difference"] if agree else float("nan"),
            "",
        ),
    ]


def _rates(texts: list[str], source: str | None, runs: int) -> list[float]:
    model = Model.load(source)
    model.encode_documents(texts[:64])
    return [len(texts) / seconds(model.encode_documents, texts) for _ in range(runs)]


def _pylate(
    texts: list[str], folder: Path, runs: int, python: str, place: Path
) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """What PyLate says of itself, and its rows and starts."""
    (place / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
    arguments = folder, place / "texts.json", place / "out.npz", runs
    run_side("PyLate", python, "pylate_side.py", *arguments, place=place)
    with np.load(place / "out.npz", allow_pickle=False) as arrays:
        return json.loads(str(arrays["said"])), arrays["rows"], arrays["starts"]
