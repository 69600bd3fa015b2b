"""Child processes that play a kind for some seconds: if one crashes or hangs, that is a fault too."""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from types import ModuleType

from torture import rounds
from torture.counts import Counts
from torture.shim import compiled

KINDS = ("kills", "faults", "powercuts", "interrupts", "together", "files")
GRACE = 120.0  # seconds that the last round of a slice may take beyond its time
_HOME = Path(__file__).resolve().parents[1]


def module_of(kind: str) -> ModuleType:
    """The module that plays a kind: `run(seconds, seed) -> Counts`; PRELOADED: whether it needs the shim.

    A kind may name another function of its module than `run`, after a colon.
    """
    return importlib.import_module(f"torture.{kind.partition(':')[0]}")


def run(kind: str, seconds: float, seed: int, library: Path | None = None, grace: float = GRACE) -> Counts:
    """Play a kind in a child process of its own; its counts, also where it dies or hangs.

    library:  the compiled shim; compiled for this call where it is needed and none is given.
    """
    if library is None and module_of(kind).PRELOADED:
        with tempfile.TemporaryDirectory() as folder:
            return run(kind, seconds, seed, compiled(Path(folder)), grace)
    with tempfile.TemporaryFile("w+") as errors:
        command = [sys.executable, "-m", "torture.slices", kind, str(seconds), str(seed)]
        child = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=_environment(kind, library),
            start_new_session=True,
            cwd=_HOME,
        )
        try:
            output, _ = child.communicate(timeout=seconds + grace)
            ending = f"ended with {child.returncode}" if child.returncode else ""
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGABRT)  # faulthandler then says where it hung
            output, _ = child.communicate()
            ending = f"did not end in {seconds + grace:.0f} s"
        _end_session(child.pid)
        errors.seek(0)
        return _counted(kind, seed, output, ending and f"the process {ending}: {_last(errors.read())}")


def _environment(kind: str, library: Path | None) -> dict[str, str]:
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    paths = [str(_HOME), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    if library is not None and module_of(kind).PRELOADED:
        environment["LD_PRELOAD"] = str(library)
    return environment


def _counted(kind: str, seed: int, output: str, ending: str) -> Counts:
    """The last counts that the child printed, and a fault where it ended badly."""
    lines = [line for line in output.splitlines() if line.startswith('{"seed"')]
    last = json.loads(lines[-1]) if lines else {"seed": seed, "counts": Counts(kind).to_json()}
    counts = Counts.of_json(last["counts"])
    counts.seed = last["seed"]
    if ending:
        counts.case("process")
        counts.fault("process", ending)
    return counts


def _last(errors: str) -> str:
    """What the child's standard error ends with, in one line."""
    return " | ".join(errors.strip().splitlines()[-12:])[-1500:]


def _end_session(leader: int) -> None:
    """End what children the slice has left behind."""
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def _say(counts: Counts) -> None:
    print(json.dumps({"seed": counts.seed, "counts": counts.to_json()}), flush=True)


def main() -> None:
    """Play a kind and print its counts before each round and at the end, an object a line."""
    faulthandler.enable()
    kind, seconds, seed = sys.argv[1:4]
    rounds.announce = _say
    function = getattr(module_of(kind), kind.partition(":")[2] or "run")
    _say(function(float(seconds), int(seed)))


if __name__ == "__main__":
    main()
