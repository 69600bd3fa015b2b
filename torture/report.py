"""The counts as a table: in the terminal, as JSON, and in a page."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from torture.counts import Counts

BEGIN, END = "<!-- torture: begin -->", "<!-- torture: end -->"
TITLES = {
    "kills": "processes killed",
    "faults": "system calls that failed",
    "powercuts": "disks after a power cut",
    "interrupts": "interrupts (Ctrl-C)",
    "together": "answers and calls beside others",
    "files": "changed files",
}


def table(counts: dict[str, Counts]) -> str:
    """Cases and faults by kind, for a terminal."""
    lines = [f"{'kind':<12} {'cases':>9} {'faults':>7} {'rounds':>7}"]
    lines += [
        f"{kind:<12} {count.cases:>9,} {count.faulty:>7,} {count.rounds:>7,}"
        for kind, count in counts.items()
    ]
    return "\n".join(lines)


def faults(counts: dict[str, Counts]) -> str:
    """Each fault whose text is stored, with the command that plays its round again."""
    lines = []
    for count in counts.values():
        for fault in count.faults:
            lines += [f"{fault.kind}: {fault.text}", f"    {fault.replay}"]
    return "\n".join(lines)


def document(counts: dict[str, Counts], minutes: float, seed: int) -> dict[str, Any]:
    """Everything as JSON, with the machine and the versions."""
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "minutes": minutes,
        "seed": seed,
        "machine": {**machine(), "sqlite": sqlite3.sqlite_version},
        "kinds": {kind: count.to_json() for kind, count in counts.items()},
    }


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write the document to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def write_page(path: Path, content: dict[str, Any]) -> None:
    """Put a table between the two markers of a page. Raises ValueError where it has none."""
    text = path.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise ValueError(f"{path}: expected the lines {BEGIN!r} and {END!r}, between which the table goes")
    before, after = text.split(BEGIN, 1)[0], text.split(END, 1)[1]
    path.write_text(f"{before}{BEGIN}\n{_page(content)}{END}{after}", encoding="utf-8")


def _page(content: dict[str, Any]) -> str:
    computer = content["machine"]
    lines = [
        f"{content['made'][:10]}, {content['minutes']:g} minutes, seed {content['seed']}, femtosearch "
        f"{computer['femtosearch']} at {computer['commit']}, Python {computer['python']}, SQLite "
        f"{computer['sqlite']}, {computer['cores']} cores.",
        "",
        "| kind | what was tried | cases | faults |",
        "| --- | --- | ---: | ---: |",
    ]
    for kind, count in content["kinds"].items():
        lines.append(f"| `{kind}` | **{TITLES[kind]}** | {count['cases']:,} | {count['faulty']:,} |")
        for topic, (cases, faulty) in sorted(count["topics"].items()):
            lines.append(f"| | {topic} | {cases:,} | {faulty:,} |")
    return "\n".join(lines) + "\n"
