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

CANDIDATES = 100  # of an FDE that is not calibrated
RECALL = 0.99  # of a calibrated one
SCORED = 0.25  # of a calibration's candidates, where all numbers of the FDE are scanned
MORE = 4  # times the candidates of a calibration, where the first numbers have found them
SCORED_GROWTH = 0.4  # power of how many times fewer numbers are scanned, by which that share grows


@frozen
class Extent:
    """How much is searched: passages, of so many documents, and their rows in all, of D `dims`.

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
    prefix:      how many numbers of the FDE find them; None for all.
    documents:   of how many documents they are at least, for there may be more passages than one of each.
    most_missed: of how many of the best documents it may be expected that they are missed, when scoring ends
                 before all candidates; 0: all are scored.
    coarse:      how many passages the first 128 numbers find, of which all numbers find the candidates; 0:
                 there is no such step.
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
    """How many candidates of how many numbers of the FDE."""
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
    """The plan by all numbers, but of so many passages that the first ones find. Few of the candidates are
    scored, so that a query that needs more than most may have them.
    """
    return replace(plan, candidates=min(MORE * plan.candidates, coarse), coarse=coarse)


def _seconds(plan: Plan, query_rows: int, extent: Extent, bits: int, numbers: int) -> float:
    """How long a search by a plan takes, by prediction. numbers: of an FDE."""
    prefix = HEAD if plan.coarse else plan.prefix or numbers
    seconds = cost.scan_seconds(prefix, bits, extent.passages) + cost.rest_seconds(plan.coarse, numbers, bits)
    scored = usually_scored(plan, numbers)
    rows = scored * extent.rows // max(1, extent.passages)
    return seconds + cost.rescoring_seconds(query_rows, extent.dims, rows, scored)


def usually_scored(plan: Plan, numbers: int) -> int:
    """How many of a plan's candidates are scored, by a calibrated FDE of so many numbers."""
    candidates = plan.candidates // MORE if plan.coarse else plan.candidates
    share = (plan.prefix or numbers) / numbers
    return int(candidates * min(1.0, SCORED / share**SCORED_GROWTH))


def _candidates(count: int, k: int, passages: int) -> int:
    """So many candidates find the ten best: how many find the k best, in the same proportion above ten."""
    from femtosearch.fde.calibration import BEST

    scaled = -(-count * k // BEST) if k > BEST else count
    return min(passages, max(k, scaled))
