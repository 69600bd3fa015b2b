"""A search's plan: how many passages are candidates, what finds them, and what scores them."""

from __future__ import annotations

import operator
import os
from dataclasses import dataclass

from femtosearch import _core
from femtosearch.codes import GROUP
from femtosearch.errors import QueryError
from femtosearch.fde.calibration import BEST, Calibration

MODES = ("auto", "maxsim", "rerank", "fde")
CANDIDATES = 100  # of an FDE that is not calibrated
RECALL = 0.99  # of one that is
PATIENCE = 0.020  # seconds that `auto` allows MaxSim over all passages
# Seconds that one core takes for four dims of one row and one query row (`python -m benchmarks kernels`),
# written down so that a machine plans a query alike every time.
_STEP = {"avx512": 2.0e-11, "avx2": 5.8e-11, "baseline": 2.2e-10}
_BYTE = 2.0e-11  # seconds to scan one byte of FDEs, on all cores: memory sets the pace
_SCATTERED = 4.0  # how much longer rows take that lie here and there, and that have to be picked


@dataclass(frozen=True, slots=True)
class Request:
    """What a caller asked for, checked."""

    texts: list[str]
    k: int
    mode: str
    candidates: int | None = None
    recall: float | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """What is searched: passages, their rows in all, of D `dims`, whether they have FDEs, and the bits of an
    FDE's numbers.
    """

    dims: int
    rows: int
    passages: int
    fde: bool
    fde_bits: int = 8


@dataclass(frozen=True, slots=True)
class Plan:
    """How one query is answered.

    mode:        "maxsim", "rerank" or "fde".
    candidates:  how many passages "rerank" scores.
    prefix:      how many numbers of the FDE find them; None for all.
    """

    mode: str
    candidates: int = 0
    prefix: int | None = None


def check(texts: object, k: object, mode: object, candidates: object, recall: object) -> Request:
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
    if candidates is not None and recall is not None:
        raise QueryError("expected candidates or recall, found both: recall picks the number of candidates")
    count = None if candidates is None else _count("candidates", candidates)
    return Request(list(texts), _count("k", k), mode, count, None if recall is None else _share(recall))


def choose(request: Request, query_rows: int, held: Held, calibration: Calibration | None) -> Plan:
    """The plan of a query of Q rows, with the calibration of the FDE if it has one.

    `auto` is MaxSim over all passages while that takes 20 ms at most by prediction, or there are no FDEs. To
    re-rank all passages is the same as MaxSim. Of a calibrated FDE as many numbers are scanned as promise the
    fastest search of that recall. Raises QueryError where a mode needs FDEs and there are none, or a recall a
    calibration.
    """
    if request.mode in ("rerank", "fde") and not held.fde:
        raise QueryError(
            f"mode: {request.mode!r} needs an FDE and this index has none: use mode='maxsim', or give it one "
            "with set_fde (femtosearch compact FOLDER --fde auto)"
        )
    if request.mode == "fde":
        return Plan("fde")
    if request.mode == "maxsim" or not held.fde:
        return Plan("maxsim")
    plan = _reranking(request, query_rows, held, calibration)
    fast = request.mode == "auto" and seconds(query_rows, held.dims, held.rows) <= PATIENCE
    return Plan("maxsim") if fast or plan.candidates >= held.passages else plan


def seconds(query_rows: int, dims: int, rows: int) -> float:
    """How long MaxSim over int8 rows takes on this machine, by prediction."""
    padded = -(-query_rows // 4) * 4
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return _STEP[_core.kernel()] * padded * -(-dims // GROUP) * rows / cores


def _reranking(request: Request, query_rows: int, held: Held, calibration: Calibration | None) -> Plan:
    """How many candidates of how many numbers of the FDE."""
    recall = request.recall
    if calibration is None and recall is not None:
        raise QueryError(
            "recall: the FDE of this index is not calibrated: measure it with index.calibrate(queries) "
            "(femtosearch calibrate FOLDER QUERIES), or say how many candidates"
        )
    if calibration is None or request.candidates is not None:
        return Plan("rerank", max(request.candidates or CANDIDATES, request.k))
    plans = []
    for prefix in calibration.prefixes:
        count = calibration.count(prefix, RECALL if recall is None else recall, held.passages)
        count = min(
            held.passages, max(request.k, -(-count * request.k // BEST) if request.k > BEST else count)
        )
        rows = count * held.rows // max(1, held.passages)
        took = _BYTE * held.fde_bits / 8 * prefix * held.passages + _SCATTERED * seconds(
            query_rows, held.dims, rows
        )
        plans.append((took, Plan("rerank", count, prefix)))
    return min(plans, key=lambda item: item[0])[1]


def _share(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 1:
        raise QueryError(f"recall: expected a number above 0 and at most 1, found {value!r}")
    return float(value)


def _count(name: str, value: object) -> int:
    try:
        count = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        count = 0
    if isinstance(value, bool) or count < 1:
        raise QueryError(f"{name}: expected a whole number of 1 or more, found {value!r}")
    return count
