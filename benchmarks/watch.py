"""`femtosearch index --watch` while files come, change, move and go, as fast as a process can make them.

python -m benchmarks.watch [--seconds N] [--out FILE]

Afterwards a new file has to be found, and the index to have a document for each file that is there. Needs the
extra [watch].
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import machine

FILES = 300
PATIENCE = 120.0  # seconds until the last file is found
COMMAND = (sys.executable, "-m", "femtosearch")


def main() -> None:
    """Measure, print and, with --out, write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--out", type=Path, metavar="FILE")
    options = parser.parse_args()
    before = machine()
    with tempfile.TemporaryDirectory() as place:
        figures = _watched(Path(place), options.seconds)
    for name, figure in figures.items():
        print(f"{name}: {figure:,}")
    if options.out:
        report = {"benchmark": "watch", "machine": before, **figures}
        options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _watched(place: Path, seconds: float) -> dict[str, Any]:
    folder, index = place / "files", place / "index"
    folder.mkdir()
    for number in range(FILES):
        (folder / f"{number}.txt").write_text(f"note number {number} about boats", encoding="utf-8")
    command = [*COMMAND, "index", os.fspath(index), os.fspath(folder), "--watch", "--quiet"]
    watching = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _until_found(index, "boats")
        events = _churn(folder, seconds)
        (folder / "needle.txt").write_text("the zebra needle in the haystack", encoding="utf-8")
        waited = _until_found(index, "zebra needle")
        time.sleep(5)  # what changed before it may be read after it
        status = Path(f"/proc/{watching.pid}/status").read_text(encoding="utf-8")
    finally:
        watching.send_signal(signal.SIGINT)
        watching.wait()
    shown = subprocess.run([*COMMAND, "info", index, "--json"], capture_output=True, check=True)
    return {
        "events": events,
        "seconds": seconds,
        "seconds_until_found": round(waited, 1),
        "files": sum(len(names) for _, _, names in os.walk(folder)),
        "documents": json.loads(shown.stdout)["index"]["documents"],
        "peak_kb": int(status.split("VmHWM:")[1].split()[0]),
    }


def _churn(folder: Path, seconds: float) -> int:
    """Change files as editors do, make and move folders, make and remove files; how many events these are."""
    rng, events, end = random.Random(1), 0, time.monotonic() + seconds
    while time.monotonic() < end:
        number, kind = rng.randrange(FILES), rng.random()
        inner = folder / f"folder {number}"
        if kind < 0.1:  # written beside, and renamed over
            (folder / "draft").write_text(f"note {number} changed {events}", encoding="utf-8")
            (folder / "draft").replace(folder / f"{number}.txt")
            events += 4
        elif kind < 0.2:
            inner.mkdir(exist_ok=True)
            (inner / "x.txt").write_text("in a folder", encoding="utf-8")
            events += 3
        elif kind < 0.3 and inner.is_dir():
            shutil.rmtree(folder / f"moved {number}", ignore_errors=True)
            inner.rename(folder / f"moved {number}")
            events += 2
        else:
            for _ in range(20):
                path = folder / f"{number} for a moment"
                path.touch()
                path.unlink()
            events += 80
    return events


def _until_found(index: Path, query: str) -> float:
    """Seconds until the first hit has the query's last word."""
    began = time.monotonic()
    while time.monotonic() - began < PATIENCE:
        command = [*COMMAND, "search", os.fspath(index), query, "-k", "1", "--json", "--quiet"]
        shown = subprocess.run(command, capture_output=True, text=True)
        if query.split()[-1] in (json.loads(shown.stdout)["text"] if shown.stdout else ""):
            return time.monotonic() - began
        time.sleep(0.5)
    sys.exit(f"expected {query!r} to be found within {PATIENCE:g} seconds")


if __name__ == "__main__":
    main()
