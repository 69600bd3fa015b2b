"""A search's plan: which passages are candidates, and what scores them."""

from __future__ import annotations

import operator
import os
from dataclasses import dataclass

from femtosearch import _core
from femtosearch.codes import GROUP
from femtosearch.errors import QueryError

MODES = ("auto", "maxsim", "rerank", "fde")
CANDIDATES = 100
PATIENCE = 0.020  # seconds that `auto` allows MaxSim over all passages
# Seconds that one core takes for four dims of one row and one query row (`python -m benchmarks kernels`),
# written down so that a machine plans a query alike every time.
_STEP = {"avx512": 2.0e-11, "avx2": 5.8e-11, "baseline": 2.2e-10}


@dataclass(frozen=True, slots=True)
class Request:
    """What a caller asked for, checked."""

    texts: list[str]
    k: int
    mode: str
    candidates: int


def check(texts: object, k: object, mode: object, candidates: object) -> Request:
    """Raises QueryError."""
    if not isinstance(texts, (list, tuple)):
        raise QueryError(f"query: expected a string or a list of strings, found {type(texts).__name__}")
    for position, text in enumerate(texts):
        where = f"query {position}" if len(texts) > 1 else "query"
        if not isinstance(text, str):
            raise QueryError(f"{where}: expected a string, found {type(text).__name__}")
        if not text.strip():
            raise QueryError(f"{where}: it is empty; a query needs at least one word")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise QueryError(f"{where}: a lone surrogate at character {error.start}") from None
    if not isinstance(mode, str) or mode not in MODES:
        raise QueryError(f"mode: expected one of {', '.join(MODES)}, found {mode!r}")
    return Request(list(texts), _count("k", k), mode, _count("candidates", candidates))


def choose(request: Request, query_rows: int, dims: int, rows: int, passages: int, fde: bool) -> str:
    """The mode of one query: "maxsim", "rerank" or "fde".

    query_rows:      Q, of rows of D `dims`.
    rows, passages:  how many are searched.
    fde:             whether the passages have FDEs.

    `auto` is MaxSim over all passages while that takes 20 ms at most by prediction, or there are no FDEs. To
    re-rank all passages is the same as MaxSim. Raises QueryError where a mode needs FDEs and there are none.
    """
    mode = request.mode
    if mode in ("rerank", "fde") and not fde:
        raise QueryError(
            f"mode: {mode!r} needs an FDE and this index has none: use mode='maxsim', or give it one with "
            "set_fde (femtosearch compact FOLDER --fde muvera)"
        )
    if mode == "auto":
        mode = "rerank" if fde and seconds(query_rows, dims, rows) > PATIENCE else "maxsim"
    return "maxsim" if mode == "rerank" and request.candidates >= passages else mode


def seconds(query_rows: int, dims: int, rows: int) -> float:
    """How long MaxSim over int8 rows takes on this machine, by prediction."""
    padded = -(-query_rows // 4) * 4
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return _STEP[_core.kernel()] * padded * -(-dims // GROUP) * rows / cores


def _count(name: str, value: object) -> int:
    try:
        count = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        count = 0
    if isinstance(value, bool) or count < 1:
        raise QueryError(f"{name}: expected a whole number of 1 or more, found {value!r}")
    return count
