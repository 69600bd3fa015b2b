"""What is read of real folders: files, documents, what is left out and why, seconds the first time and again.

    python -m benchmarks.files /usr/share/doc /usr/share/man/man7 --out benchmarks/results/files.json

The command line indexes each folder in a process of its own: at first, and again with nothing changed. It
prints the table of `docs/files.md`. `--made FOLDER` fills a folder with PDFs and office files first.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.machine import machine

WORDS = ["heat", "pump", "valve", "invoice", "quarterly", "budget", "migration", "backup", "restore"]
WORDS += ["network", "garden", "tomato", "recipe"]


def main() -> None:
    """Measure, print the table and, with --out, write everything as JSON."""
    options = _options()
    before = machine()
    folders = list(options.folder)
    if options.made:
        _make_files(options.made)
        folders.append(options.made)
    figures = [_figures(folder, options.exclude) for folder in folders]
    print("| folder | files read | documents | left out | told | first | again |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for entry in figures:
        print(_row(entry))
    if options.out:
        report = {"benchmark": "files", "machine": before, "folders": figures}
        options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _figures(folder: Path, exclude: list[str]) -> dict[str, Any]:
    """The counts and times of one folder."""
    with tempfile.TemporaryDirectory() as place:
        first, first_seconds = _index(Path(place, "index"), folder, exclude)
        _index(Path(place, "index"), folder, exclude)  # what was written a moment ago is looked at once more
        again, again_seconds = _index(Path(place, "index"), folder, exclude)
    told = Counter(_kind(entry["reason"]) for entry in first["skipped"])
    left_out = Counter(entry["reason"].split(" (")[0] for entry in first["left_out"])
    return {
        "folder": os.fspath(folder),
        "files": first["files"],
        "documents": first["documents"],
        "told": dict(told.most_common()),
        "left_out": dict(left_out.most_common()),
        "kinds_not_read": dict(list(first["kinds"].items())[:20]),
        "seconds": round(first_seconds, 2),
        "seconds_again": round(again_seconds, 2),
        "stored_again": again["stored"],
        "files_again": again["files"],
        "bytes": first["index"]["bytes"],
    }


def _index(index: Path, folder: Path, exclude: list[str]) -> tuple[dict[str, Any], float]:
    command = [sys.executable, "-m", "femtosearch", "index", str(index), str(folder), "--json", "--quiet"]
    command += [argument for glob in exclude for argument in ("--exclude", glob)]
    start = time.perf_counter()
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(run.stdout), time.perf_counter() - start


def _kind(reason: str) -> str:
    """A reason without its numbers and names."""
    return reason.split(" (")[0].split("; ")[0].split(":")[0]


def _row(entry: dict[str, Any]) -> str:
    told, left_out = (
        "; ".join(f"{count:,} {reason}" for reason, count in entry[kind].items()) or "none"
        for kind in ("told", "left_out")
    )
    cells = [
        f"`{entry['folder']}`",
        f"{entry['files']:,}",
        f"{entry['documents']:,}",
        left_out,
        told,
        f"{entry['seconds']:.1f} s",
        f"{entry['seconds_again']:.2f} s",
    ]
    return f"| {' | '.join(cells)} |"


def _make_files(folder: Path) -> None:
    """PDFs, office files and books, some of them encrypted, broken or bombs."""
    from tests.read.make_files import docx, epub, odt, pdf, pptx, zipped

    folder.mkdir(parents=True, exist_ok=True)
    for number in range(40):
        words = [WORDS[(number * 7 + n) % len(WORDS)] for n in range(60)]
        lines = "\n".join(" ".join(words[at : at + 8]) for at in range(0, 60, 8))
        files = {
            "pdf": pdf([lines, lines[::-1][:300]], title=f"Report {number}"),
            "docx": docx([("berschrift1", f"Chapter {number}"), ("", lines)]),
            "odt": odt(f"<text:p>{lines}</text:p>"),
            "pptx": pptx([lines, f"slide two of {number}"]),
            "epub": epub({"a.xhtml": f"<h1>Part {number}</h1><p>{lines}"}),
        }
        for extension, content in files.items():
            (folder / f"{number}.{extension}").write_bytes(content)
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 and no more")
    (folder / "scan.pdf").write_bytes(pdf([""]))
    (folder / "bomb.docx").write_bytes(zipped({"word/document.xml": b"<a>" + bytes(1 << 25)}))
    (folder / "locked.docx").write_bytes(b"\xd0\xcf\x11\xe0" + bytes(4096))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="*")
    parser.add_argument("--exclude", action="append", default=[], metavar="GLOB")
    parser.add_argument("--made", type=Path, metavar="FOLDER")
    parser.add_argument("--out", type=Path, metavar="FILE")
    return parser.parse_args()


if __name__ == "__main__":
    main()
