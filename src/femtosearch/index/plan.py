"""A search's plan: how many passages are candidates, what finds them, and what scores them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from femtosearch.codes import HEAD
from femtosearch.errors import QueryError
from femtosearch.frozen import frozen
from femtosearch.index import cost
from femtosearch.index.request import Request

if TYPE_CHECKING:
    from femtosearch.fde import Fde

CANDIDATES = 100  # with an FDE that is not calibrated
RECALL = 0.99  # with a calibrated FDE
SCORED = 0.25  # the share of a calibration's candidates that is usually scored, if all numbers are scanned
MORE = 4  # times as many candidates as the calibration says, if a coarse scan selects them first
SCORED_GROWTH = 0.4  # if n times fewer numbers are scanned, the share that is scored grows by this power of n


@frozen
class Extent:
    """How much is searched: how many passages, of how many documents, with how many rows of D `dims`.

    has_fde:          whether the index has an FDE.
    has_stored_fdes:  whether all passages have their FDEs on the disk; if not, `auto` does without.
    has_split_fdes:   whether the first numbers of these lie apart from the others.
    """

    dims: int
    rows: int
    passages: int
    has_fde: bool
    has_stored_fdes: bool = True
    documents: int = 0
    has_split_fdes: bool = False


@frozen
class Plan:
    """How one query is answered.

    mode:        "maxsim", "rerank" or "fde".
    candidates:  how many passages "rerank" scores, at most.
    prefix:      how many first numbers of the FDE select them; None for all.
    documents:   how many documents the candidates must belong to, at least.
    most_missed: how many of the best documents may be missed, by expectation, when scoring stops before all
                 candidates are scored; 0: all are scored.
    coarse:      how many passages a coarse scan of the first 128 numbers selects, among which all numbers
                 select the candidates; 0: there is no such step.
    """

    mode: str
    candidates: int = 0
    prefix: int | None = None
    documents: int = 0
    most_missed: float = 0.0
    coarse: int = 0


def choose(request: Request, query_rows: int, extent: Extent, fde: Callable[[], Fde]) -> Plan:
    """The plan for a query of Q rows.

    `auto` is MaxSim over all passages while that takes 10 ms at most by prediction, or no FDEs are stored. To
    re-rank all passages is the same as MaxSim. A calibrated FDE is scanned as far as gives the fastest search
    of the recall that is asked for.

    fde:  gives the FDE of the index; called only if the plan depends on it, since it may have to be loaded.
    Raises QueryError if the mode needs an FDE, or `recall` a calibration, that the index does not have.
    """
    if request.mode in ("rerank", "fde") and not extent.has_fde:
        raise QueryError(
            f"mode: {request.mode!r} needs an FDE and this index has none: use mode='maxsim', or give it one "
            "with set_fde (femtosearch compact FOLDER --fde auto)"
        )
    if request.mode == "fde":
        return Plan("fde")
    if request.mode == "maxsim" or not extent.has_fde:
        return Plan("maxsim")
    fast = request.mode == "auto" and _is_fast(query_rows, extent)
    if fast and request.recall is None:
        return Plan("maxsim")
    plan = _reranking(request, query_rows, extent, fde())
    if fast or plan.candidates >= extent.passages:
        return Plan("maxsim")
    return plan if request.candidates else replace(plan, documents=min(request.k, extent.documents))


def _is_fast(query_rows: int, extent: Extent) -> bool:
    seconds = cost.maxsim_seconds(query_rows, extent.dims, extent.rows)
    return not extent.has_stored_fdes or seconds <= cost.PATIENCE


def _reranking(request: Request, query_rows: int, extent: Extent, fde: Fde) -> Plan:
    """The fastest plan that re-ranks: how many candidates, and by how many numbers of the FDE."""
    calibration = fde.calibration
    if calibration is None and request.recall is not None:
        raise QueryError(
            "recall: the FDE of this index is not calibrated: measure it with index.calibrate() "
            "(femtosearch calibrate FOLDER), or say how many candidates"
        )
    if calibration is None or request.candidates is not None:
        return Plan("rerank", max(request.candidates or CANDIDATES, request.k))
    recall = RECALL if request.recall is None else request.recall
    missed = (1 - recall) / 2 * min(request.k, extent.documents)  # the other half is the calibration's

    def planned(prefix: int) -> Plan:
        count = calibration.count(prefix, recall, extent.passages)
        return Plan("rerank", _candidates(count, request.k, extent.passages), prefix, most_missed=missed)

    plans = [planned(prefix) for prefix in calibration.prefixes]
    if extent.has_split_fdes and HEAD in calibration.prefixes[1:]:
        steps = _in_steps(plans[0], planned(HEAD).candidates)
        plans += [steps] if steps.candidates < extent.passages else []
    numbers = calibration.prefixes[0]
    return min(plans, key=lambda plan: _seconds(plan, query_rows, extent, fde.code_bits, numbers))


def _in_steps(plan: Plan, coarse: int) -> Plan:
    """The plan with a coarse scan before that of all numbers. It has four times the candidates, for queries
    that need more than most; usually only few of them are scored.
    """
    return replace(plan, candidates=min(MORE * plan.candidates, coarse), coarse=coarse)


def _seconds(plan: Plan, query_rows: int, extent: Extent, bits: int, numbers: int) -> float:
    """How many seconds a search after a plan takes, by prediction. numbers: of an FDE."""
    prefix = HEAD if plan.coarse else plan.prefix or numbers
    seconds = cost.scan_seconds(prefix, bits, extent.passages) + cost.rest_seconds(plan.coarse, numbers, bits)
    scored = usually_scored(plan, numbers)
    rows = scored * extent.rows // max(1, extent.passages)
    return seconds + cost.rescoring_seconds(query_rows, extent.dims, rows, scored)


def usually_scored(plan: Plan, numbers: int) -> int:
    """How many of a plan's candidates are usually scored, with a calibrated FDE of so many numbers."""
    candidates = plan.candidates // MORE if plan.coarse else plan.candidates
    share = (plan.prefix or numbers) / numbers
    return int(candidates * min(1.0, SCORED / share**SCORED_GROWTH))


def _candidates(count: int, k: int, passages: int) -> int:
    """How many candidates find the k best passages, if `count` find the ten best: for k above 10 in
    proportion.
    """
    from femtosearch.fde.calibration import BEST

    scaled = -(-count * k // BEST) if k > BEST else count
    return min(passages, max(k, scaled))
