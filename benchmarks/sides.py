"""Runs a peer's half of a benchmark, in the Python of the peer's environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def run_side(peer: str, python: str, script: str, *arguments: object, place: Path) -> None:
    """Run a script beside this one, in the folder `place`, without the Hub; an error ends the program with
    the end of what the peer printed.
    """
    # -P: the modules beside the script have names of packages, such as `kernels`, which transformers imports.
    command = [python, "-P", str(HERE / script), *map(str, arguments)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=place, env=environment)
    except OSError as error:
        sys.exit(f"{python}: expected a Python with {peer}, found none ({error.strerror})")
    if done.returncode:
        sys.exit(f"{peer}, with {python}, ended with {done.returncode}:\n{done.stderr[-2000:]}")
