"""docs/coming-from.md's blocks: a peer's, and the femtosearch lines after it, which print the same."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from femtosearch.model.model import Model

PAGE = Path(__file__).parent.parent / "docs" / "coming-from.md"
NUMBER = r"-?\d+\.\d+"
TOLERANCE = 0.0011  # of numbers that were rounded to three places


def known(page: str) -> str:
    """What all blocks know."""
    return re.findall(r"```python\n(.*?)```", page, re.S)[0]


def pairs(page: str) -> list[tuple[str, str, str]]:
    """(peer, its block, femtosearch's block)."""
    block = r'```python title="{}"\n(.*?)```'
    return re.findall(
        block.format(r"(?!femtosearch)([^\"]+)") + r"\s+" + block.format("femtosearch"), page, re.S
    )


def check(pythons: Mapping[str, str], ours: str) -> list[dict[str, object]]:
    """Run every pair. pythons: of each peer's environment; ours: of this one."""
    page, outputs = PAGE.read_text(encoding="utf-8"), []
    with tempfile.TemporaryDirectory() as place:
        Model.load().save(Path(place) / "megabyte")
        for peer, theirs, mine in pairs(page):
            if peer in pythons:
                printed = [
                    _printed(python, known(page) + code, place)
                    for python, code in ((pythons[peer], theirs), (ours, mine))
                ]
                outputs.append({"peer": peer, "printed": printed, "same": same(*printed)})
    return outputs


def same(first: str, second: str) -> bool:
    """Whether two outputs differ in nothing but the last place of numbers."""
    close = all(
        abs(float(a) - float(b)) <= TOLERANCE
        for a, b in zip(re.findall(NUMBER, first), re.findall(NUMBER, second), strict=False)
    )
    return close and re.sub(NUMBER, "", first) == re.sub(NUMBER, "", second)


def _printed(python: str, code: str, place: str) -> str:
    offline = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([python, "-c", code], cwd=place, env=offline, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{python} failed:\n{code}\n{done.stderr}")
    return done.stdout
