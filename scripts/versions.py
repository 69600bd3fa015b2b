"""Checks that all that states the version agrees: python scripts/versions.py [--tag v0.2.0] [--dist FOLDER].

--tag:   the tag is that version's.
--dist:  the folder has every file of a release, and no other.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STATED = {  # where a version stands
    "CITATION.cff": r"^version: (\S+)$",
    "CHANGELOG.md": r"\A# Changelog\n\n## (\S+)$",
    "packaging/Dockerfile": r"^ARG VERSION=(\S+)$",
    "packaging/compose.yaml": r"image: femtosearch:(\S+)$",
    "packaging/homebrew/femtosearch.rb": r"femtosearch-([^/]+)\.tar\.gz",
    "packaging/conda/recipe.yaml": r'^  version: "(\S+)"$',
}
SYSTEMS = [f"{libc}_{machine}" for libc in ("manylinux", "musllinux") for machine in ("x86_64", "aarch64")]
SYSTEMS += ["macosx_x86_64", "macosx_arm64", "win_amd64", "win_arm64"]
KINDS = ("cp311-cp311", "cp312-abi3")


def version() -> str:
    """The version that is to be released."""
    content = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    stated: str = tomllib.loads(content)["project"]["version"]
    return stated


def disagreements(wanted: str) -> Iterator[str]:
    """Where another version stands, or none."""
    for name, pattern in STATED.items():
        stated = re.findall(pattern, (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
        if stated[:1] != [wanted]:
            yield f"{name}: expected {wanted}, found {stated[0] if stated else 'none'}"
    if not (ROOT / "tests/golden/index" / f"release-{wanted}").is_dir():
        yield f"tests/golden/index: expected release-{wanted}: python tests/golden/make_release.py"


def missing(folder: Path, wanted: str) -> Iterator[str]:
    """Files that a release of that version lacks, and files of another."""
    names = {path.name for path in folder.iterdir()}
    expected = [rf"femtosearch-{wanted}\.tar\.gz"]
    for kind in KINDS:
        for system in SYSTEMS:
            libc, machine = re.fullmatch(r"([a-z]+)_(\w+)", system).groups()  # type: ignore[union-attr]
            platform = machine if libc == "win" else rf"[\w.]*{machine}"
            expected.append(rf"femtosearch-{wanted}-{kind}-{libc}_{platform}\.whl")
    for pattern in expected:
        fitting = {name for name in names if re.fullmatch(pattern, name)}
        if len(fitting) != 1:
            yield f"{folder}: expected one file {pattern}, found {sorted(fitting) or 'none'}"
        names -= fitting
    yield from (f"{folder}: expected no {name}" for name in sorted(names))


def main() -> int:
    parsing = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parsing.add_argument("--tag", metavar="TAG")
    parsing.add_argument("--dist", type=Path, metavar="FOLDER")
    options = parsing.parse_args()
    wanted = version()
    faults = list(disagreements(wanted))
    if options.tag not in (None, f"v{wanted}"):
        faults.append(f"the tag: expected v{wanted}, found {options.tag}")
    if options.dist is not None:
        faults += missing(options.dist, wanted)
    print(*(faults or [f"all say {wanted}"]), sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
