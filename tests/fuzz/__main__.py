"""`python -m tests.fuzz --seconds 60`: every target for its share of the time; exit code 1 at a fault."""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path

from .fuzzer import Fuzzer
from .targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
MOST_BYTES = 4096  # of an input that is kept


def corpus_of(name: str) -> list[bytes]:
    """The inputs that are kept for a target."""
    return [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]


def main() -> int:
    """Fuzz, print a line a target, and keep what reached new lines if asked to."""
    parser = argparse.ArgumentParser("python -m tests.fuzz", description="Fuzz what others may hand us.")
    parser.add_argument("target", nargs="*", help=f"of {', '.join(TARGETS)} (default: all)")
    parser.add_argument("--seconds", type=float, default=60.0, help="for all targets together (60)")
    parser.add_argument("--runs", type=int, default=1 << 62, help="the most of one target")
    parser.add_argument("--seed", type=int, default=0, help="of the changes (0)")
    parser.add_argument("--keep", action="store_true", help="put what reached new lines into the corpus")
    options = parser.parse_args()
    names, failed = options.target or list(TARGETS), False
    for name in names:
        fuzzer = Fuzzer(name, corpus_of(name), options.seed)
        known = set(fuzzer.inputs)
        fuzzer.run(options.seconds / len(names), options.runs)
        counts = f"{fuzzer.runs:>9,} runs  {fuzzer.lines:>5,} lines  {len(fuzzer.inputs):>4} inputs"
        print(f"{name:<9}{counts}  {len(fuzzer.faults)} faults", flush=True)
        for content, error in fuzzer.faults:
            print(f"    {content[:200]!r}: {error[:300]}")
        failed |= bool(fuzzer.faults)
        for content in set(fuzzer.inputs) - known if options.keep else ():
            if len(content) <= MOST_BYTES:
                digest = hashlib.sha256(content).hexdigest()[:16]
                (CORPUS / name / digest).write_bytes(content)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
