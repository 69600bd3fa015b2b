"""What int8 gives and costs: tokens/s of one core by instruction set, and nDCG@10 of MaxSim, in both."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import judged
from benchmarks.machine import about, in_child, thread_seconds
from femtosearch import _core
from femtosearch.evaluation.evaluation import evaluate
from femtosearch.model.model import Model

Row = tuple[str, float, str]
PRECISIONS = ("float32", "int8")
DOCUMENTS = 600  # that are encoded for the speed


def measure(folders: list[Path], source: str | None, runs: int) -> tuple[dict[str, Any], list[Row]]:
    """The results, and the rows of a table."""
    speeds = in_child(_speeds, folders[0], source, runs, cores=1)
    quality = {folder.name: _ndcg(folder, source) for folder in folders}
    rows: list[Row] = []
    for kernel, speed in speeds.items():
        rows += [(f"{kernel}: {name}, tokens/s", speed[name], "") for name in PRECISIONS]
        rows.append((f"{kernel}: int8 is as fast as float32 times", speed["int8"] / speed["float32"], ""))
        rows.append((f"{kernel}: mean cosine of rows to float32's", speed["cosine"], ""))
    for name, scores in quality.items():
        rows += [(f"{name}: {precision}, nDCG@10", scores[precision], "") for precision in PRECISIONS]
    return {"model": about(Model.load(source)), "speeds": speeds, "ndcg@10": quality}, rows


def _speeds(folder: Path, source: str | None, runs: int) -> dict[str, dict[str, float]]:
    """By instruction set. Runs of both precisions alternate, and the best of each counts."""
    texts = judged.texts(folder, DOCUMENTS)
    speeds = {}
    for kernel in _core.kernels():
        _core.use(kernel)
        models = {precision: Model.load(source, precision=precision) for precision in PRECISIONS}
        tokens = models["int8"]._tokenizer.documents(texts)
        seconds = dict.fromkeys(PRECISIONS, np.inf)
        rows = {name: model._rows(tokens, 1).rows for name, model in models.items()}
        for _ in range(runs):
            for precision, model in models.items():
                spent = thread_seconds(partial(model._rows, tokens, 1))
                seconds[precision] = min(seconds[precision], spent)
        speeds[kernel] = {precision: len(tokens.ids) / best for precision, best in seconds.items()}
        speeds[kernel]["cosine"] = float((rows["float32"] * rows["int8"]).sum(axis=1).mean())
    return speeds


def _ndcg(folder: Path, source: str | None) -> dict[str, float]:
    scores = {}
    with tempfile.TemporaryDirectory() as cache:
        for precision in PRECISIONS:
            model = Model.load(source, precision=precision)
            evaluation = evaluate(folder, model, modes=["maxsim"], cache=cache)
            scores[precision] = evaluation.json()["means"]["maxsim"]["ndcg@10"]["mean"]
    return scores
