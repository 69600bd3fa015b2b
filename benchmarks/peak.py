"""What one core can do: the floor under every time."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.machine import thread_seconds


def multiply_adds_per_second() -> dict[str, float]:
    """`registers`: multiply-adds that touch no memory, where a C++ compiler is found; `sgemm`: numpy's matrix
    product, on all the cores that this process may use.
    """
    n = 768
    a = np.random.default_rng(0).standard_normal((n, n), np.float32)
    rates = {"sgemm": n**3 / min(thread_seconds(lambda: a @ a) for _ in range(25))}
    compiler = shutil.which("c++")
    if compiler:
        rates["registers"] = _compiled(compiler)
    return rates


def _compiled(compiler: str) -> float:
    with tempfile.TemporaryDirectory() as place:
        program = str(Path(place) / "peak")
        source = str(Path(__file__).with_suffix(".cc"))
        flags = ["-std=c++17", "-O3", "-march=native", "-ffp-contract=fast"]
        subprocess.run([compiler, *flags, source, "-o", program], check=True)
        return float(subprocess.run([program], check=True, capture_output=True, text=True).stdout)
