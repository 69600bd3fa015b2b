"""core.wasm asks for nothing; whether it is what the sources make, `scripts/web --check` says."""

import subprocess
from pathlib import Path

import femtosearch

from .conftest import NODE, in_node

CORE = Path(femtosearch.__file__).parent / "web" / "core.wasm"


@in_node
def test_it_asks_for_nothing():
    content = "require('fs').readFileSync(process.argv[1])"
    code = f"console.log(WebAssembly.Module.imports(new WebAssembly.Module({content})))"
    done = subprocess.run([NODE, "-e", code, str(CORE)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
