"""What a number was measured on, and processes that are given a number of cores."""

from __future__ import annotations

import multiprocessing
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from femtosearch import _core
from femtosearch.model.model import Model


def machine() -> dict[str, Any]:
    """The machine and the software. `load` says how busy others kept it when the measurement began."""
    return {
        "processor": _processor(),
        "cores": cores(),
        "system": platform.system(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        **{name: version(name) for name in ("femtosearch", "numpy", "tokenizers")},
        "commit": _commit(),
        "kernel": _core.kernel(),
    }


def about(model: Model) -> dict[str, Any]:
    """The model that was measured."""
    return {
        "name": model.name,
        "parameters": model.parameters,
        "dims": model.dims,
        "fingerprint": model.fingerprint,
    }


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_child(function: Callable[..., Any], *arguments: Any, cores: int | None = None) -> Any:
    """What a function returns in a fresh process that may use so many cores (all; on Linux only)."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, initializer=_take_cores, initargs=(cores,)) as pool:
        return pool.submit(function, *arguments).result()


def peak_memory() -> int:
    """The most bytes that this process ever held."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def seconds(function: Callable[..., object], *arguments: Any, **options: Any) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    function(*arguments, **options)
    return time.perf_counter() - start


def thread_seconds(function: Callable[[], object]) -> float:
    """This thread's own time on the core in a call, so that other processes do not count."""
    start = time.thread_time()
    function()
    return time.thread_time() - start


def best_and_median(values: list[float]) -> dict[str, float]:
    """Of rates: the highest is what the machine can do when nobody disturbs it."""
    return {"best": max(values), "median": median(values)}


def _take_cores(count: int | None) -> None:
    if count is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine()
    )


def _commit() -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip() or None
