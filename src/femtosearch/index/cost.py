"""Predictions of how long a search takes on this machine, and from which size on an index needs FDEs."""

from __future__ import annotations

from femtosearch import _core
from femtosearch.codes import GROUP
from femtosearch.system import cores

PATIENCE = 0.010  # seconds that `auto` allows for MaxSim over all passages
QUERY_ROWS = 16  # of a typical query
# Seconds that one core takes for four dims of one row and one query row (`python -m benchmarks kernels`),
# written down so that a machine plans a query alike every time.
_STEP = {"avx512": 2.5e-11, "avx2": 5.8e-11, "baseline": 2.2e-10}
_SLOWEST = max(_STEP.values())
_BYTE = 3.5e-11  # seconds to scan one byte of FDEs, on all cores: memory sets the pace
_REST = 1.7e-10  # seconds that one core takes for one byte of an FDE that is read out of order
_FAR = 1.2e-6  # seconds that one core waits for the rows of a passage that is read out of order


def maxsim_seconds(query_rows: int, dims: int, rows: int) -> float:
    """How many seconds MaxSim over coded rows takes, of 8 or 4 bits."""
    padded = -(-query_rows // 4) * 4
    return _STEP.get(_core.kernel(), _SLOWEST) * padded * -(-dims // GROUP) * rows / cores()


def rescoring_seconds(query_rows: int, dims: int, rows: int, passages: int) -> float:
    """How many seconds MaxSim takes with the rows of passages that lie scattered over the index."""
    return maxsim_seconds(query_rows, dims, rows) + _FAR * passages / cores()


def scan_seconds(numbers: int, bits: int, passages: int) -> float:
    """How many seconds it takes to scan the first numbers of all FDEs."""
    return _BYTE * bits / 8 * numbers * passages


def rest_seconds(passages: int, numbers: int, bits: int) -> float:
    """How many seconds it takes to read all numbers of FDEs that lie scattered over the index."""
    return _REST * bits / 8 * numbers * passages / cores()


def needs_fdes(dims: int, rows: int) -> bool:
    """Whether an index of so many rows is so large that a search would use FDEs."""
    return maxsim_seconds(QUERY_ROWS, dims, rows) > PATIENCE
