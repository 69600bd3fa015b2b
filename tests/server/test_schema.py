"""The description in /openapi.json is what the server does: schemathesis tries to find where it is not."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from .conftest import fill, running

SECONDS = 60
CONFIG = Path(__file__).with_name("schemathesis.toml")


@pytest.mark.slow
@pytest.mark.skipif(find_spec("schemathesis") is None, reason="needs schemathesis")
def test_schemathesis_finds_nothing_in_a_minute(model, tmp_path):
    with running(model, [fill(tmp_path / "notes", model)], writable=True) as server:
        code = "import sys; from schemathesis.cli import schemathesis; sys.exit(schemathesis())"
        command = [sys.executable, "-c", code, "--config-file", str(CONFIG)]
        command += ["run", f"{server.url}/openapi.json", "--checks", "all"]
        # What a filter in words or a mapping of operators may be is more than a JSON schema can say.
        command += ["--exclude-checks", "positive_data_acceptance"]
        command += ["--max-time", str(SECONDS), "--max-examples", "1000000", "--no-color"]
        run = subprocess.run(
            command, capture_output=True, text=True, timeout=300, cwd=tmp_path, env={**os.environ, "CI": "1"}
        )
        assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]
        assert server.ask("GET", "/search?q=a+cat&k=1")[0] == 200
