"""Fail if an inner loop of a kernel keeps a vector on the stack: its sums have to stay in registers.

    python native/check/spills.py

The kernels are compiled to assembly as CMakeLists.txt has it. Of the functions that are written to keep their
sums in registers, each loop without a loop in it is looked at.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

NATIVE = Path(__file__).parents[1]
FLAGS = {
    "avx2": ["-mavx2", "-mfma"],
    "avx512": [
        "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512vnni", "-mfma",
        "-mprefer-vector-width=512",
    ],
}  # fmt: skip
FILES = {"bert/float_kernel.cc": "fast", "bert/int8_kernel.cc": "off"}  # and how floats are contracted
CAREFUL = re.compile(r"(sum_tile|sum_words)<")
STORE = re.compile(r"^v?mov\w+\s+%[xyz]mm\d+, -?\w*\(%r[sb]p[,)]")


def main() -> None:
    """Print what is found; the exit code is 1 where a vector is stored in an inner loop."""
    looked_at, spilled = 0, []
    for name, flags in FLAGS.items():
        for file, contraction in FILES.items():
            for function, lines in functions(assembly(file, name, contraction, flags)):
                if CAREFUL.search(function):
                    looked_at += 1
                    if count := sum(bool(STORE.match(line)) for loop in loops(lines) for line in loop):
                        spilled.append(f"{name} {file}: {function}: {count} vectors are stored in a loop")
    print(*spilled, f"{looked_at} functions were looked at", sep="\n")
    sys.exit(bool(spilled) or not looked_at)


def assembly(file: str, name: str, contraction: str, flags: list[str]) -> str:
    """The file as assembly, with names as they are in C++."""
    command = ["g++", "-std=c++17", "-O3", "-fPIC", "-fno-math-errno", f"-ffp-contract={contraction}", *flags]
    command += [f"-DFEMTO_KERNEL={name}", f"-I{NATIVE}", "-S", "-o", "-", str(NATIVE / file)]
    made = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return subprocess.run(["c++filt"], check=True, capture_output=True, text=True, input=made).stdout


def functions(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each function's name and lines."""
    name, lines = "", []
    for line in text.splitlines():
        if line and not line[0].isspace() and line.endswith(":") and not line.startswith(".L"):
            if name:
                yield name, lines
            name, lines = line[:-1], []
        else:
            lines.append(line.strip())
    yield name, lines


def loops(lines: list[str]) -> Iterator[list[str]]:
    """The loops that have none inside: from a label to the jump back to it."""
    labels = {line[:-1]: n for n, line in enumerate(lines) if line.startswith(".L") and line.endswith(":")}
    jumps = ((n, re.match(r"j\w+\s+(\.L\w+)$", line)) for n, line in enumerate(lines))
    spans = [(labels[jump[1]], n) for n, jump in jumps if jump and labels.get(jump[1], n) < n]
    for begin, end in spans:
        if not any(begin <= b and e < end for b, e in spans):
            yield lines[begin:end]


if __name__ == "__main__":
    main()
