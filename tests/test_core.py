"""The native kernels against numpy: every instruction set, every small size, and what must be refused."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from femtosearch import _core, reference
from femtosearch.errors import FemtosearchError, ShapeError

SIZES = [0, 1, 2, 5, 7, 13, 100]


def random_rows(seed, count, dims):
    rows = np.random.default_rng(seed).normal(size=(count, dims)).astype(np.float32)
    return reference.normalise(rows).astype(np.float32)


def ends(lengths):
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def test_kernels_are_listed_best_first_and_the_best_is_in_use():
    assert _core.kernels()[-1] == "baseline"
    if "FEMTOSEARCH_KERNEL" not in os.environ:
        assert _core.kernel() == _core.kernels()[0]


def test_use_refuses_an_unknown_kernel():
    before = _core.kernel()
    with pytest.raises(FemtosearchError, match=r"kernel: expected one of .*baseline, found mmx"):
        _core.use("mmx")
    assert _core.kernel() == before


def in_child(*arguments, kernel):
    """What Python says, and how it ends, with another kernel in the environment."""
    environment = os.environ | {"FEMTOSEARCH_KERNEL": kernel}
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_the_environment_chooses_the_kernel():
    code = "from femtosearch import _core; print(_core.kernel())"
    assert in_child("-c", code, kernel="baseline").stdout.strip() == "baseline"
    assert in_child("-c", code, kernel="").stdout.strip() == _core.kernels()[0]


def test_an_unknown_kernel_in_the_environment_is_refused_by_all_that_would_use_it():
    code = """
import numpy as np, femtosearch as fs
from femtosearch import _core
rows, starts = np.eye(3, dtype="f4"), np.array([0, 3])
blocks, scales = _core.quantise(rows)
for use in (
    fs.Model.load,
    _core.kernel,
    lambda: fs.maxsim(fs.Rows(rows, starts), fs.Rows(rows, starts)),
    lambda: _core.maxsim_codes(rows, [(blocks, scales, starts, None, 8)]),
):
    try:
        use()
    except fs.FemtosearchError as error:
        print(error)
"""
    known = ", ".join(_core.kernels())
    said = f"FEMTOSEARCH_KERNEL: expected one of {known}, found mmx"
    result = in_child("-c", code, kernel="mmx")
    assert result.stdout.splitlines() == [said] * 4, result.stderr


def test_an_unknown_kernel_in_the_environment_ends_the_command_line_with_one_line():
    result = in_child("-m", "femtosearch", "info", kernel="mmx")
    assert result.returncode and result.stderr.count("\n") == 1
    assert "FEMTOSEARCH_KERNEL: expected one of" in result.stderr


@pytest.mark.parametrize("count", [0, 1, 2, 5, 7, 13, 33, 100])
def test_maxsim_is_the_reference(kernel, count):
    for dims in (1, 2, 5, 7, 13, 50, 128):
        query, starts = random_rows(1, count, dims), ends(SIZES)
        rows = random_rows(2, starts[-1], dims)
        expected = reference.maxsim(query, rows, starts)
        assert expected[0] == -np.inf
        scores = _core.maxsim(query, rows, starts)
        np.testing.assert_allclose(
            scores, expected, rtol=0, atol=1e-6 * max(count, 1), err_msg=f"{dims} dims"
        )


def test_maxsim_of_nothing(kernel):
    rows = random_rows(0, 3, 4)
    assert _core.maxsim(rows, rows[:0], np.zeros(1, np.int64)).shape == (0,)
    assert _core.maxsim(rows, rows[:0], np.zeros(3, np.int64)).tolist() == [-np.inf, -np.inf]
    assert _core.maxsim(rows[:0], rows, ends([0, 3])).tolist() == [-np.inf, 0.0]


def test_a_score_depends_on_its_document_alone(kernel):
    query, starts = random_rows(1, 32, 50), ends(np.random.default_rng(3).integers(0, 40, 300))
    rows = random_rows(2, starts[-1], 50)
    together = _core.maxsim(query, rows, starts, 1)
    for threads in (0, 2, 3, 64):
        assert _core.maxsim(query, rows, starts, threads).tobytes() == together.tobytes()
    for n in range(0, 300, 17):
        alone = rows[starts[n] : starts[n + 1]].copy()
        assert _core.maxsim(query, alone, ends([len(alone)]))[0] == together[n]


def test_read_only_arrays_are_borrowed(kernel):
    rows, starts = random_rows(1, 3, 4), ends([3])
    rows.flags.writeable = starts.flags.writeable = False
    assert np.isclose(_core.maxsim(rows, rows, starts)[0], 3)


EYE, STARTS = np.eye(3, dtype=np.float32), ends([1, 2])
MISALIGNED = np.frombuffer(b"\0" * 37, np.float32, 9, offset=1).reshape(3, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((EYE.astype("f8"), EYE, STARTS), r"query: expected float32 \[\*, \*\] .*found float64 \[3, 3\]"),
        ((EYE[0], EYE, STARTS), r"query: expected float32 \[\*, \*\] in C order, found float32 \[3\]"),
        ((EYE[:, :0], EYE[:, :0], STARTS), "dims of query: expected 1 to 65536, found 0"),
        ((EYE, EYE[:, :2].copy(), STARTS), r"rows: expected float32 \[\*, 3\] .* found float32 \[3, 2\]"),
        ((EYE, EYE[::-1], STARTS), "rows: expected .* in C order"),
        ((EYE, EYE.T[:2].T, STARTS), "rows: expected"),
        ((EYE, None, STARTS), "rows: expected .* found NoneType"),
        ((EYE, EYE, STARTS.astype("i4")), r"starts: expected int64 \[\*\] in C order, found int32 \[3\]"),
        ((EYE, EYE, STARTS[:0]), "starts: expected at least one number"),
        ((EYE, EYE, np.array([0, 4])), "the end of starts: expected the 3 rows, found 4"),
        ((EYE, EYE, np.array([0, 2])), "the end of starts: expected the 3 rows, found 2"),
        ((EYE, EYE, np.array([1, 3])), r"starts\[0\]: expected 0, found 1"),
        ((EYE, EYE, np.array([0, 5, 3])), r"starts\[2\]: expected at least 5, found 3"),
        ((EYE, EYE, np.array([0, -(2**62), 3])), r"starts\[1\]: expected at least 0"),
        ((EYE, EYE, STARTS, 1.5), "threads: expected a whole number from 0 to 2147483647, found 1.5"),
        ((EYE, EYE, STARTS, 1 << 40), "threads: expected a whole number .* found 1099511627776"),
        ((EYE, EYE, STARTS, True), "threads: expected a whole number .* found True"),
        ((MISALIGNED, EYE, STARTS), "query: expected an aligned array, found one that begins between"),
        ((EYE, EYE, STARTS, -1), "threads: expected a whole number from 0 to 2147483647, found -1"),
    ],
)
def test_maxsim_refuses(arguments, message):
    with pytest.raises(ShapeError, match=message):
        _core.maxsim(*arguments)


def test_check_starts():
    _core.check_starts(STARTS, 3)
    with pytest.raises(ShapeError, match="the end of starts"):
        _core.check_starts(STARTS, 4)


SHORT_OF_MEMORY = """
import resource
import numpy as np
from femtosearch import _core

anchors = _core.Anchors(np.eye(64, dtype=np.float32))
rows = np.zeros((800_000, 64), np.float32)
starts = np.array([0, 400_000, 800_000])
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (20 << 20),) * 2)
try:
    anchors.maxima(rows, starts, 2)
except MemoryError:
    print("MemoryError")
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
@pytest.mark.skipif("libasan" in os.environ.get("LD_PRELOAD", ""), reason="the sanitiser ends the process")
def test_memory_that_runs_out_in_a_thread_is_an_error():
    child = subprocess.run([sys.executable, "-c", SHORT_OF_MEMORY], capture_output=True, text=True)
    assert (child.returncode, child.stdout) == (0, "MemoryError\n"), child.stderr
